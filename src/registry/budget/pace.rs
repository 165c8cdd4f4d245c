//! How fast one host is asked: what was set, what the host said, and what it showed. Pure: moments come in.
//!
//! Four things have to agree before a request goes:
//!
//! - no pause is on, from a 429 or a 503 that named one, or from our own back-off where a 429 named none;
//! - the rate that was set (`--registry-rps`) has room;
//! - what the host said is left (`allowance`) to this credential, or to nobody in particular, is not used up, but for a
//!   tenth, which stays for others who share an address or an account with us (the cluster's own image pulls);
//! - the rate that a 429 taught has room: half of what it answered with 429, a tenth of that more every half minute
//!   without another, and forgotten once it is twice what it was.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::allowance::Allowance;
use crate::secret::Fingerprint;

/// No pause is longer, whoever asks for it.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// The pause after a 429 that names none; doubles from one to the next.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Where the doubling ends.
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);
/// Requests are counted for this long to tell how fast they went.
const COUNTED: Duration = Duration::from_secs(10);
/// No 429 teaches a lower rate.
const SLOWEST: f64 = 0.1;
/// How often a learnt rate rises.
const RISES_EVERY: Duration = Duration::from_secs(30);
/// By how much of the rate that was too much.
const RISES_BY: f64 = 0.1;
/// One in so many requests that a host allows is left to others.
const LEFT_TO_OTHERS: f64 = 0.1;
/// Accounts at one host whose allowance is remembered.
const ACCOUNTS: usize = 1024;

/// Whose allowance it is: a credential's, or that of all who come without one.
pub(in crate::registry) type Account = Option<Fingerprint>;

/// One host's pace.
#[derive(Debug)]
pub(super) struct Pace {
    set: Option<Bucket>,
    told: HashMap<Account, Told>,
    learnt: Option<Learnt>,
    paused_until: Option<Instant>,
    /// Times in a row that the host named no pause.
    backoffs: u32,
    counted: Counted,
    /// What was counted before that, where the one followed the other at once.
    counted_before: Option<Counted>,
}

/// Requests, and since when.
#[derive(Debug, Clone, Copy)]
struct Counted {
    since: Instant,
    number: u32,
}

/// Tokens that come back steadily.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(per_second: f64, capacity: f64, now: Instant) -> Self {
        Self {
            per_second,
            capacity,
            tokens: capacity,
            at: now,
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.capacity);
        self.at = now;
    }

    fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        // A hair's breadth, so that a wait that was kept is over.
        let missing = 1.0 - self.tokens;
        if missing < 1e-6 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(LONGEST_PAUSE)
    }
}

/// What the host said last.
#[derive(Debug)]
enum Told {
    /// A window that slides.
    Steadily(Bucket),
    /// So many until then.
    Until(Instant, f64),
}

/// What 429s taught.
#[derive(Debug)]
struct Learnt {
    bucket: Bucket,
    /// What was too much.
    ceiling: f64,
    risen: Instant,
}

impl Pace {
    /// Without limits but `per_second`, if it is above zero.
    pub(super) fn new(per_second: f64, now: Instant) -> Self {
        let set = (per_second > 0.0).then(|| Bucket::full(per_second, per_second.max(1.0), now));
        Self {
            set,
            told: HashMap::new(),
            learnt: None,
            paused_until: None,
            backoffs: 0,
            counted: Counted {
                since: now,
                number: 0,
            },
            counted_before: None,
        }
    }

    /// What is left of a pause.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        self.paused_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// How long until the next request of `account` may go, pauses included.
    pub(super) fn wait(&mut self, now: Instant, account: Account) -> Duration {
        let set = self.set.as_mut().map(|bucket| bucket.wait(now));
        let learnt = self.learnt.as_mut().map(|learnt| learnt.bucket.wait(now));
        let told = match self.told.get_mut(&account) {
            Some(Told::Steadily(bucket)) => Some(bucket.wait(now)),
            Some(Told::Until(until, left)) if *left < 1.0 => {
                Some(until.saturating_duration_since(now))
            }
            Some(Told::Until(..)) | None => None,
        };
        [set, learnt, told]
            .into_iter()
            .flatten()
            .fold(self.pause(now), Duration::max)
            .min(LONGEST_PAUSE)
    }

    /// A request of `account` goes.
    pub(super) fn take(&mut self, now: Instant, account: Account) {
        if matches!(self.told.get(&account), Some(Told::Until(until, _)) if *until <= now) {
            self.told.remove(&account);
        }
        let told = match self.told.get_mut(&account) {
            Some(Told::Steadily(bucket)) => Some(&mut bucket.tokens),
            Some(Told::Until(_, left)) => Some(left),
            None => None,
        };
        let set = self.set.as_mut().map(|bucket| &mut bucket.tokens);
        let learnt = self.learnt.as_mut().map(|learnt| &mut learnt.bucket.tokens);
        for tokens in [set, learnt, told].into_iter().flatten() {
            *tokens -= 1.0;
        }
        let passed = now.saturating_duration_since(self.counted.since);
        if passed > COUNTED {
            // Behind a gap, what was counted before it tells nothing of how fast requests go now.
            self.counted_before = Some(self.counted).filter(|_| passed < COUNTED * 2);
            self.counted = Counted {
                since: now,
                number: 0,
            };
        }
        self.counted.number = self.counted.number.saturating_add(1);
    }

    /// The host answered that it is too much, and to come back after `asked`. Returns how long it is left alone.
    pub(super) fn too_much(&mut self, now: Instant, asked: Option<Duration>) -> Duration {
        // Those that were under way when the pause began have nothing new to say, unless it is a longer pause.
        let is_news = self.pause(now).is_zero();
        let pause = match asked.filter(|asked| !asked.is_zero()) {
            Some(asked) => asked.min(LONGEST_PAUSE),
            None if is_news => {
                let pause = FIRST_BACKOFF
                    .saturating_mul(1 << self.backoffs.min(16))
                    .min(LONGEST_BACKOFF);
                self.backoffs = self.backoffs.saturating_add(1);
                pause
            }
            None => Duration::ZERO,
        };
        if is_news {
            self.slow_down(now);
        }
        let until = now.checked_add(pause).unwrap_or(now);
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
        self.pause(now)
    }

    fn slow_down(&mut self, now: Instant) {
        let Counted { mut since, number } = self.counted;
        let mut number = number.max(1);
        let is_fresh = now.saturating_duration_since(since) <= COUNTED;
        if let Some(before) = self.counted_before.filter(|_| is_fresh) {
            since = before.since;
            number = number.saturating_add(before.number);
        }
        let seconds = now.saturating_duration_since(since).as_secs_f64().max(1.0);
        let seen = f64::from(number) / seconds;
        let ceiling = self
            .learnt
            .as_ref()
            .map_or(seen, |learnt| learnt.bucket.per_second.min(seen));
        let bucket = Bucket::full((ceiling / 2.0).max(SLOWEST), 1.0, now);
        self.learnt = Some(Learnt {
            bucket,
            ceiling: ceiling.max(SLOWEST),
            risen: now,
        });
    }

    /// The host answered as it should.
    pub(super) fn went_well(&mut self, now: Instant) {
        if self.pause(now).is_zero() {
            self.backoffs = 0;
        }
        let Some(learnt) = &mut self.learnt else {
            return;
        };
        if now.saturating_duration_since(learnt.risen) < RISES_EVERY {
            return;
        }
        learnt.bucket.fill(now);
        learnt.bucket.per_second += learnt.ceiling * RISES_BY;
        learnt.risen = now;
        if learnt.bucket.per_second >= 2.0 * learnt.ceiling {
            self.learnt = None;
        }
    }

    /// The host said what is left to `account`.
    pub(super) fn told(&mut self, now: Instant, account: Account, allowance: Allowance) {
        let Allowance {
            remaining,
            limit,
            window,
            resets_in,
        } = allowance;
        let number = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let kept = limit.map_or(0.0, |limit| number(limit) * LEFT_TO_OTHERS);
        let left = number(remaining) - kept;
        let told = match (limit, window, resets_in) {
            (Some(limit), Some(window), _) if limit > 0 => Some(Told::Steadily(Bucket {
                per_second: number(limit) / window.as_secs_f64(),
                capacity: (number(limit) - kept).max(1.0),
                tokens: left,
                at: now,
            })),
            (_, _, Some(resets_in)) => now
                .checked_add(resets_in)
                .map(|until| Told::Until(until, left)),
            // No word of when there will be more.
            _ => None,
        };
        let Some(told) = told else {
            self.told.remove(&account);
            return;
        };
        if self.told.len() >= ACCOUNTS && !self.told.contains_key(&account) {
            self.make_room(now);
        }
        self.told.insert(account, told);
    }

    /// Forgets what holds nobody back now; where all do, any one.
    fn make_room(&mut self, now: Instant) {
        self.told.retain(|_, told| match told {
            Told::Steadily(bucket) => !bucket.wait(now).is_zero(),
            Told::Until(until, left) => *until > now && *left < 1.0,
        });
        if self.told.len() >= ACCOUNTS
            && let Some(any) = self.told.keys().next().copied()
        {
            self.told.remove(&any);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: Duration = Duration::ZERO;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// How many of `tries`, one every `every`, may go at once.
    fn go(pace: &mut Pace, start: Instant, tries: u32, every: Duration) -> u32 {
        (0..tries)
            .filter(|n| {
                let now = start + every * *n;
                let goes = pace.wait(now, None).is_zero();
                if goes {
                    pace.take(now, None);
                }
                goes
            })
            .count()
            .try_into()
            .unwrap()
    }

    #[test]
    fn without_word_or_setting_nothing_is_held_back() {
        let now = Instant::now();
        assert_eq!(go(&mut Pace::new(0.0, now), now, 1000, NO), 1000);
    }

    #[test]
    fn a_rate_that_was_set_is_kept() {
        let now = Instant::now();
        let mut pace = Pace::new(5.0, now);
        assert_eq!(go(&mut pace, now, 100, NO), 5, "a second's worth at once");
        assert_eq!(pace.wait(now, None), Duration::from_millis(200));
        assert_eq!(
            go(&mut pace, now + s(1), 1000, Duration::from_millis(10)),
            54
        );
        let mut slow = Pace::new(0.5, now);
        assert_eq!(go(&mut slow, now, 9, NO), 1);
        assert_eq!(slow.wait(now, None), s(2));
    }

    #[test]
    fn a_pause_is_as_long_as_was_asked_and_never_cut_short() {
        let now = Instant::now();
        let mut pace = Pace::new(0.0, now);
        assert_eq!(pace.too_much(now, Some(s(30))), s(30));
        assert_eq!(
            pace.too_much(now, Some(s(10))),
            s(30),
            "another's was longer"
        );
        assert_eq!(pace.too_much(now, None), s(30));
        assert_eq!(pace.too_much(now, Some(s(40))), s(40));
        assert_eq!(pace.too_much(now, Some(s(86400))), LONGEST_PAUSE);
        assert_eq!(pace.pause(now + s(3599)), s(1));
        assert_eq!(pace.wait(now + s(3600), None), NO);
    }

    #[test]
    fn without_a_word_pauses_double_up_to_a_cap_and_begin_anew_after_success() {
        let mut now = Instant::now();
        let mut pace = Pace::new(0.0, now);
        let mut pauses = vec![];
        for _ in 0..11 {
            let pause = pace.too_much(now, None);
            pauses.push(pause.as_secs());
            // Those that were under way at the same time do not count again.
            assert_eq!(pace.too_much(now, Some(NO)), pause);
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        pace.went_well(now);
        assert_eq!(pace.too_much(now, None), s(1));
    }

    #[test]
    fn too_much_halves_the_rate_and_it_recovers_slowly() {
        let mut now = Instant::now();
        let mut pace = Pace::new(0.0, now);
        // 20 a second, for two seconds.
        assert_eq!(go(&mut pace, now, 40, Duration::from_millis(50)), 40);
        now += s(2);
        pace.too_much(now, Some(s(1)));
        now += s(1);
        let went = go(&mut pace, now, 1000, Duration::from_millis(10));
        assert!((95..=105).contains(&went), "10 a second: {went}");
        now += s(10);
        pace.too_much(now, Some(s(1)));
        now += s(1);
        let went = go(&mut pace, now, 1000, Duration::from_millis(10));
        assert!((45..=60).contains(&went), "5 a second: {went}");
        let mut minutes = 0;
        while pace.learnt.is_some() {
            now += s(30);
            pace.went_well(now);
            pace.went_well(now);
            minutes += 1;
            assert!(minutes < 100);
        }
        assert!(
            minutes >= 14,
            "half minutes until it is forgotten: {minutes}"
        );
    }

    #[test]
    fn a_tenth_of_what_a_host_allows_is_left_to_others() {
        let now = Instant::now();
        let mut pace = Pace::new(0.0, now);
        let hub = Allowance {
            remaining: 14,
            limit: Some(100),
            window: Some(s(21600)),
            resets_in: None,
        };
        pace.told(now, None, hub);
        assert_eq!(go(&mut pace, now, 100, NO), 4);
        assert_eq!(
            pace.wait(now, None).as_secs(),
            216,
            "one comes back in this time"
        );
        assert_eq!(go(&mut pace, now + s(217), 100, NO), 1);
        pace.told(
            now,
            None,
            Allowance {
                remaining: 100,
                ..hub
            },
        );
        assert_eq!(go(&mut pace, now, 100, NO), 90, "the last word counts");
    }

    #[test]
    fn what_is_used_up_comes_back_at_the_reset() {
        let now = Instant::now();
        let mut pace = Pace::new(0.0, now);
        let allowance = Allowance {
            remaining: 2,
            limit: None,
            window: None,
            resets_in: Some(s(60)),
        };
        pace.told(now, None, allowance);
        assert_eq!(go(&mut pace, now, 10, NO), 2);
        assert_eq!(pace.wait(now + s(10), None), s(50));
        assert_eq!(go(&mut pace, now + s(60), 10, NO), 10);
        let without_time = Allowance {
            remaining: 0,
            resets_in: None,
            ..allowance
        };
        pace.told(now, None, without_time);
        assert_eq!(pace.wait(now, None), NO);
    }

    #[test]
    fn each_account_has_an_allowance_of_its_own_and_a_pause_is_for_all() {
        let now = Instant::now();
        let mut pace = Pace::new(0.0, now);
        let account = |n: usize| {
            let token = crate::secret::Credential::RegistryToken(n.to_string().as_str().into());
            Some(token.fingerprint())
        };
        let used_up = Allowance {
            remaining: 0,
            limit: None,
            window: None,
            resets_in: Some(s(60)),
        };
        pace.told(now, account(1), used_up);
        for (who, wait) in [(account(1), s(60)), (account(2), NO), (None, NO)] {
            assert_eq!(pace.wait(now, who), wait);
        }
        pace.told(now, None, used_up);
        assert_eq!(
            (pace.wait(now, None), pace.wait(now, account(2))),
            (s(60), NO)
        );
        pace.too_much(now, Some(s(90)));
        for who in [account(1), account(2), None] {
            assert_eq!(pace.wait(now, who), s(90));
        }
        for n in 0..2 * ACCOUNTS {
            pace.told(now, account(n), used_up);
        }
        assert_eq!(pace.told.len(), ACCOUNTS);
    }

    #[test]
    fn how_fast_it_went_is_known_when_counting_has_just_begun_anew_too() {
        let begin = Instant::now();
        for (tries, last) in [(201, 10_000), (202, 10_050), (203, 10_100), (390, 19_450)] {
            let mut pace = Pace::new(0.0, begin);
            go(&mut pace, begin, tries, Duration::from_millis(50));
            pace.too_much(begin + Duration::from_millis(last), None);
            let learnt = pace.learnt.unwrap().bucket.per_second;
            assert!((9.5..=10.5).contains(&learnt), "{tries}: {learnt}");
        }
        // An hour ago is not now.
        let mut pace = Pace::new(0.0, begin);
        go(&mut pace, begin, 100, Duration::from_millis(50));
        go(&mut pace, begin + s(3600), 40, Duration::from_millis(50));
        pace.too_much(begin + s(3602), None);
        let learnt = pace.learnt.unwrap().bucket.per_second;
        assert!((9.5..=10.5).contains(&learnt), "{learnt}");
    }
}
