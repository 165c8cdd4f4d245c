//! Remembers answers for a short while, asks once for many (AUTHZ-5), and never remembers a failure.
//!
//! The question runs to its end though its first asker goes away, since others may wait for the same answer. Time is
//! tokio's; the cache below only bounds how much is kept.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Failure;
use crate::task;

/// How long an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(pub Duration);

/// Answers by key. Keys are digests, so that neither tokens nor names lie about in memory.
#[derive(Debug, Clone)]
pub struct Memory<V: Clone + Send + Sync + 'static> {
    answers: Cache<[u8; 32], Answer<V>>,
    asking: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
struct Answer<V> {
    value: Result<V, Failure>,
    until: Instant,
}

impl<V: Clone + Send + Sync + 'static> Memory<V> {
    /// A memory of at most `capacity` answers, none of which holds longer than `longest`; at most `asking` callers wait for
    /// answers, and more are refused as [`Failure::Busy`].
    pub fn new(capacity: u64, longest: Duration, asking: usize) -> Self {
        // Twice the time: holding is decided by `until`, this only frees what nobody asked for again.
        let answers = Cache::builder()
            .max_capacity(capacity)
            .time_to_live(longest.saturating_mul(2).max(Duration::from_secs(1)))
            .build();
        Self {
            answers,
            asking: Arc::new(Semaphore::new(asking)),
        }
    }

    /// The answer to the question `key`, when it is remembered.
    pub async fn known(&self, key: &[u8; 32]) -> Option<Result<V, Failure>> {
        let answer = self.answers.get(key).await?;
        (answer.until > Instant::now()).then_some(answer.value)
    }

    /// The answer to the question `key`: remembered, or asked for by `ask`, which also says how long it holds.
    ///
    /// # Errors
    /// Those of `ask`, shared by all who waited, and forgotten at once; [`Failure::Busy`].
    pub async fn recall(
        &self,
        key: [u8; 32],
        ask: impl Future<Output = Result<(V, Ttl), Failure>> + Send + 'static,
    ) -> Result<V, Failure> {
        if let Some(answer) = self.known(&key).await {
            return answer;
        }
        let slot = Arc::clone(&self.asking)
            .try_acquire_owned()
            .map_err(|_| Failure::Busy)?;
        let answers = self.answers.clone();
        let answer = task::outlive("review", async move {
            let _slot = slot;
            let init = async {
                match ask.await {
                    Ok((value, Ttl(ttl))) => Answer {
                        value: Ok(value),
                        until: Instant::now() + ttl,
                    },
                    Err(failure) => Answer {
                        value: Err(failure),
                        until: Instant::now(),
                    },
                }
            };
            let stale = |answer: &Answer<V>| answer.until <= Instant::now();
            answers
                .entry(key)
                .or_insert_with_if(init, stale)
                .await
                .into_value()
        });
        answer
            .await
            .unwrap_or_else(|| Answer {
                value: Err(Failure::BrokenOff),
                until: Instant::now(),
            })
            .value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const KEY: [u8; 32] = [7; 32];
    const TEN: Ttl = Ttl(Duration::from_secs(10));

    #[derive(Clone, Default)]
    struct Asked(Arc<AtomicUsize>);

    impl Asked {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
        async fn slowly(self, answer: Result<(u8, Ttl), Failure>) -> Result<(u8, Ttl), Failure> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer
        }
    }

    fn memory() -> Memory<u8> {
        Memory::new(100, TEN.0, 50)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_for_its_time_and_no_longer() {
        let (memory, asked) = (memory(), Asked::default());
        for (wait, value, count) in [(0, 1, 1), (8, 1, 1), (3, 2, 2)] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            let answer = memory
                .recall(
                    KEY,
                    asked
                        .clone()
                        .slowly(Ok((u8::try_from(asked.count()).unwrap() + 1, TEN))),
                )
                .await;
            assert_eq!((answer.unwrap(), asked.count()), (value, count));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_holds_for_no_time_is_asked_for_each_time() {
        let (memory, asked) = (Memory::new(100, Duration::ZERO, 50), Asked::default());
        let now = Ttl(Duration::ZERO);
        for count in 1..4 {
            let answer = memory.recall(KEY, asked.clone().slowly(Ok((5, now))));
            assert_eq!((answer.await.unwrap(), asked.count()), (5, count));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_askers_are_one_question() {
        let (memory, asked) = (memory(), Asked::default());
        let askers = (0..40).map(|_| memory.recall(KEY, asked.clone().slowly(Ok((5, TEN)))));
        let answers = futures::future::join_all(askers).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap() == 5));
        assert_eq!(asked.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_by_those_who_waited_and_then_forgotten() {
        let (memory, asked) = (memory(), Asked::default());
        let askers =
            (0..3).map(|_| memory.recall(KEY, asked.clone().slowly(Err(Failure::BrokenOff))));
        assert!(
            futures::future::join_all(askers)
                .await
                .iter()
                .all(Result::is_err)
        );
        assert_eq!(asked.count(), 1);
        assert_eq!(
            memory
                .recall(KEY, asked.clone().slowly(Ok((5, TEN))))
                .await
                .unwrap(),
            5
        );
        assert_eq!(asked.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_question_outlives_its_first_asker() {
        let (memory, asked) = (memory(), Asked::default());
        let first = memory.recall(KEY, asked.clone().slowly(Ok((5, TEN))));
        assert!(
            tokio::time::timeout(Duration::from_millis(1), first)
                .await
                .is_err()
        );
        assert_eq!(
            memory
                .recall(KEY, asked.clone().slowly(Ok((6, TEN))))
                .await
                .unwrap(),
            5
        );
        assert_eq!(asked.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_questions_are_refused() {
        let (memory, asked) = (Memory::new(100, TEN.0, 2), Asked::default());
        let askers = (0..3_u8).map(|n| memory.recall([n; 32], asked.clone().slowly(Ok((n, TEN)))));
        let answers = futures::future::join_all(askers).await;
        assert_eq!(
            answers
                .iter()
                .filter(|answer| matches!(answer, Err(Failure::Busy)))
                .count(),
            1
        );
        assert!(
            memory
                .recall([9; 32], asked.slowly(Ok((9, TEN))))
                .await
                .is_ok(),
            "room again"
        );
    }
}
