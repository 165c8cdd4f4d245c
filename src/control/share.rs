//! One answer for everybody who asks the same question at the same time: two ImageRepositories that name one image
//! with one credential cost one list request.
//!
//! Whoever waits drives the request; when nobody waits any more, it is dropped. An answer is handed to somebody
//! who comes later only if it is recent enough for them, and kept only while somebody else may come. Whoever takes
//! one counts the next interval from it, and so falls into step with the one who asked.
//! Credentials are part of the question, so nobody sees what another's credential opened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use jiff::Timestamp;
use moka::Expiry;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::registry::{Identity, Listed, Refusal};
use crate::clock::SharedClock;

/// How long an answer is kept for others, at most: those further out of step each ask for themselves, which is seldom.
pub const KEPT: Duration = Duration::from_mins(30);

/// How many tags are kept for others at a time, over all answers.
const MOST_TAGS_KEPT: u64 = 500_000;

/// A registry's answer, and when it was had.
#[derive(Debug)]
pub struct Answer {
    /// What the registry said.
    pub listing: Result<Listed, Refusal>,
    /// When it was said: the scan time.
    pub at: Timestamp,
    /// When it was asked for; an answer is as old as its question.
    asked: Instant,
    /// How long it is kept.
    keep: Duration,
}

impl Answer {
    /// When it was asked for: no two answers to one asker have this in common.
    pub fn asked(&self) -> Instant {
        self.asked
    }
}

/// Frees an answer when its time is over; whether it is recent enough is for each asker to say.
#[derive(Debug)]
struct Keeping;

impl Expiry<Identity, Arc<Answer>> for Keeping {
    fn expire_after_create(
        &self,
        _: &Identity,
        answer: &Arc<Answer>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(answer.keep)
    }

    fn expire_after_update(
        &self,
        _: &Identity,
        answer: &Arc<Answer>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(answer.keep)
    }
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The registry was asked.
    Asked,
    /// Somebody else had asked.
    Shared,
}

type Flight = Shared<BoxFuture<'static, Arc<Answer>>>;

/// When a flight left, and the flight, for as long as somebody is aboard.
type Departure = (Instant, WeakShared<BoxFuture<'static, Arc<Answer>>>);

/// The requests that are under way, and a few recent answers.
#[derive(Debug)]
pub struct Shares {
    /// Protects the map of flights; never held while one is awaited.
    flights: Mutex<HashMap<Identity, Departure>>,
    kept: Cache<Identity, Arc<Answer>>,
    clock: SharedClock,
}

impl Shares {
    /// Nothing under way, nothing kept.
    pub fn new(clock: SharedClock) -> Self {
        let kept = Cache::builder()
            .max_capacity(MOST_TAGS_KEPT)
            .weigher(|_, answer: &Arc<Answer>| {
                let tags = answer
                    .listing
                    .as_ref()
                    .ok()
                    .and_then(Listed::fresh)
                    .map_or(0, |listing| listing.tags.len());
                u32::try_from(tags).unwrap_or(u32::MAX).saturating_add(1)
            })
            .expire_after(Keeping)
            .build();
        Self {
            flights: Mutex::default(),
            kept,
            clock,
        }
    }

    /// An answer to the question `identity` that was asked for no longer than `slack` ago, by `ask` if need be.
    /// `keep`: for how long somebody else may want it, no longer than [`KEPT`]; zero when there is nobody else.
    pub async fn answer<F>(
        &self,
        identity: Identity,
        slack: Duration,
        keep: Duration,
        ask: F,
    ) -> (Arc<Answer>, Source)
    where
        F: FnOnce() -> BoxFuture<'static, Result<Listed, Refusal>>,
    {
        let now = Instant::now();
        let oldest = now.checked_sub(slack).unwrap_or(now);
        if let Some(kept) = self.kept.get(&identity).filter(|kept| kept.asked >= oldest) {
            return (kept, Source::Shared);
        }
        let (flight, source) = self.board(&identity, oldest, (now, keep.min(KEPT)), ask);
        let answer = flight.await;
        if source == Source::Asked {
            self.land(&identity, now);
            if !keep.is_zero() && answer.listing.is_ok() {
                self.kept.insert(identity, answer.clone());
            }
        }
        (answer, source)
    }

    /// The flight that left no earlier than `oldest`, or a new one.
    fn board<F>(
        &self,
        identity: &Identity,
        oldest: Instant,
        (now, keep): (Instant, Duration),
        ask: F,
    ) -> (Flight, Source)
    where
        F: FnOnce() -> BoxFuture<'static, Result<Listed, Refusal>>,
    {
        let mut flights = self.flights.lock();
        if let Some((left, flight)) = flights.get(identity)
            && *left >= oldest
            && let Some(flight) = flight.upgrade()
        {
            return (flight, Source::Shared);
        }
        let clock = self.clock.clone();
        let request = ask();
        let flight = async move {
            let listing = request.await;
            Arc::new(Answer {
                listing,
                at: clock.now(),
                asked: now,
                keep,
            })
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            // Flights whose passengers all left leave an entry behind.
            flights.retain(|_, (_, flight)| flight.upgrade().is_some());
            flights.insert(identity.clone(), (now, weak));
        }
        (flight, Source::Asked)
    }

    fn land(&self, identity: &Identity, left: Instant) {
        let mut flights = self.flights.lock();
        if flights.get(identity).is_some_and(|(at, _)| *at == left) {
            flights.remove(identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock::SystemClock;
    use crate::control::registry::Listing;
    use crate::control::registry::{Question, Ways};
    use crate::image::Tag;
    use crate::registry::Access;
    use crate::secret::Credential;

    /// A registry that takes a second, and counts.
    struct Slow {
        shares: Shares,
        asked: Arc<AtomicUsize>,
    }

    impl Slow {
        fn new() -> Self {
            Self {
                shares: Shares::new(Arc::new(SystemClock)),
                asked: Arc::default(),
            }
        }

        async fn list(&self, credential: Option<&str>, slack: u64, others: bool) -> Source {
            let keep = if others { KEPT } else { Duration::ZERO };
            let credential = credential.map(|token| Credential::RegistryToken(token.into()));
            let access = Access {
                credential,
                ..Access::default()
            };
            let question = Question {
                image: "registry.test/o/app".parse().unwrap(),
                ways: Ways { access, mark: None },
                timeout: Duration::from_secs(9),
                known: None,
            };
            let asked = self.asked.clone();
            let ask = move || {
                asked.fetch_add(1, Ordering::SeqCst);
                async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(Listed::Fresh(Listing {
                        tags: vec!["1".parse::<Tag>().unwrap()],
                        duplicates: 0,
                        incomplete: None,
                        invalid: None,
                        validator: None,
                    }))
                }
                .boxed()
            };
            self.shares
                .answer(question.identity(), Duration::from_secs(slack), keep, ask)
                .await
                .1
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_at_the_same_time_shares() {
        let slow = Slow::new();
        let (a, b) = tokio::join!(slow.list(None, 0, false), slow.list(None, 0, false));
        assert_eq!((a, b, slow.asked()), (Source::Asked, Source::Shared, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn another_credential_is_another_question() {
        let slow = Slow::new();
        tokio::join!(
            slow.list(None, 5, true),
            slow.list(Some("a"), 5, true),
            slow.list(Some("b"), 5, true)
        );
        assert_eq!(slow.asked(), 3);
        assert_eq!(slow.list(Some("a"), 5, true).await, Source::Shared);
        assert_eq!(slow.list(Some("c"), 5, true).await, Source::Asked);
        assert_eq!(slow.list(Some("d"), 1800, true).await, Source::Asked);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_others_while_it_is_recent_enough() {
        let slow = Slow::new();
        slow.list(None, 0, true).await;
        assert_eq!(slow.list(None, 2, true).await, Source::Shared);
        tokio::time::advance(Duration::from_mins(2)).await;
        assert_eq!(slow.list(None, 150, true).await, Source::Shared);
        assert_eq!(slow.list(None, 60, true).await, Source::Asked, "too old");
        assert_eq!(
            slow.list(None, 0, true).await,
            Source::Asked,
            "somebody asked for news"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_when_nobody_else_may_come() {
        let slow = Slow::new();
        slow.list(None, 0, false).await;
        assert_eq!(slow.list(None, 5, false).await, Source::Asked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_outlives_the_one_who_started_it_but_not_everybody() {
        let slow = Slow::new();
        let short = tokio::time::timeout(Duration::from_millis(500), slow.list(None, 0, false));
        let (impatient, patient) = tokio::join!(short, slow.list(None, 0, false));
        assert!(impatient.is_err());
        assert_eq!((patient, slow.asked()), (Source::Shared, 1));
        let alone =
            tokio::time::timeout(Duration::from_millis(500), slow.list(None, 0, false)).await;
        assert!(alone.is_err());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(
            slow.list(None, 9, false).await,
            Source::Asked,
            "the abandoned one is not boarded"
        );
    }
}
