//! When a watch tells its position, and when it ends.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// A watch that names no length lasts between this and twice this, so that not all end together.
const SHORTEST_DEFAULT: u64 = 1800;
/// No watch lasts longer: it was authorised only when it began.
const LONGEST: u64 = 3600;
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// The last bookmark comes this long before the end.
const BEFORE_END: Duration = Duration::from_secs(2);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Bookmark,
    End,
}

/// The times of one watch.
#[derive(Debug)]
pub(super) struct Schedule {
    end: Instant,
    bookmark: Option<Instant>,
}

impl Schedule {
    pub(super) fn new(timeout_seconds: Option<u64>, bookmarks: bool) -> Self {
        let now = Instant::now();
        let seconds = match timeout_seconds {
            None | Some(0) => SHORTEST_DEFAULT + jitter(SHORTEST_DEFAULT),
            Some(seconds) => seconds.min(LONGEST),
        };
        let end = now + Duration::from_secs(seconds);
        let mut schedule = Self {
            end,
            bookmark: None,
        };
        if bookmarks {
            schedule.bookmark = schedule.bookmark_after(now);
        }
        schedule
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// What is due now; a bookmark is due once.
    pub(super) fn due(&mut self) -> Due {
        let now = Instant::now();
        if now >= self.end {
            return Due::End;
        }
        match self.bookmark {
            Some(at) if now >= at => {
                self.bookmark = self.bookmark_after(now);
                Due::Bookmark
            }
            Some(_) | None => Due::Nothing,
        }
    }

    /// Waits until something is due.
    pub(super) async fn wait(&self) {
        sleep_until(self.bookmark.unwrap_or(self.end).min(self.end)).await;
    }

    /// Each minute, and shortly before the end; none after that one.
    fn bookmark_after(&self, now: Instant) -> Option<Instant> {
        let last = self.end.checked_sub(BEFORE_END).filter(|last| *last > now);
        last.map(|last| last.min(now + BOOKMARK_EVERY))
    }
}

/// A random number below `bound`. The randomness of a UUID is plenty for spreading ends.
fn jitter(bound: u64) -> u64 {
    Uuid::new_v4().as_u64_pair().1 % bound
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bookmarks_come_each_minute_and_before_the_end() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Some(150), true);
        let mut seen = Vec::new();
        loop {
            schedule.wait().await;
            let due = schedule.due();
            seen.push((start.elapsed().as_secs(), due));
            if due == Due::End {
                break;
            }
        }
        assert_eq!(
            seen,
            [
                (60, Due::Bookmark),
                (120, Due::Bookmark),
                (148, Due::Bookmark),
                (150, Due::End)
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_bookmarks_only_the_end_is_due() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Some(3), false);
        schedule.wait().await;
        assert_eq!(schedule.due(), Due::End);
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unnamed_length_is_half_an_hour_to_an_hour_and_none_is_longer() {
        for timeout in [None, Some(0)] {
            let length = Schedule::new(timeout, false).end - Instant::now();
            assert!((1800..3600).contains(&length.as_secs()), "{length:?}");
        }
        assert_eq!(
            Schedule::new(Some(u64::MAX), false).end - Instant::now(),
            Duration::from_hours(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_stream_still_learns_what_is_due() {
        let mut schedule = Schedule::new(Some(100), true);
        assert_eq!(schedule.due(), Due::Nothing);
        advance(Duration::from_secs(61)).await;
        assert_eq!(schedule.due(), Due::Bookmark);
        assert_eq!(schedule.due(), Due::Nothing);
        advance(Duration::from_secs(40)).await;
        assert_eq!(schedule.due(), Due::End);
    }
}
