//! Turns in paused time: who waits for whom, for how long, and who is sent away.

use parking_lot::Mutex as Log;

use super::super::observe::Exchange;
use super::*;
use crate::secret::Credential;

#[derive(Debug, Default)]
struct Waits(Log<Vec<Wait>>);

impl Observer for Waits {
    fn observe(&self, _: Exchange<'_>) {}

    fn waited(&self, _: &str, wait: Wait) {
        self.0.lock().push(wait);
    }
}

struct Bench {
    budgets: Budgets,
    waits: Arc<Waits>,
}

impl Bench {
    fn new(concurrency: usize, per_second: f64) -> Self {
        Self {
            budgets: Budgets::new(Rate {
                concurrency,
                per_second,
            }),
            waits: Arc::default(),
        }
    }

    async fn begin(&self, host: &str) -> Result<Turn, Error> {
        self.begin_as(host, None).await
    }

    async fn begin_as(&self, host: &str, account: Account) -> Result<Turn, Error> {
        let observer: Arc<dyn Observer> = Arc::<Waits>::clone(&self.waits);
        let allowed = Deadline::after(s(10));
        Turn::begin(&self.budgets, host, account, allowed, &observer).await
    }
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn no_more_operations_at_a_time_than_allowed_and_those_that_wait_lose_no_time() {
    let bench = Bench::new(2, 0.0);
    let (a, _b) = (
        bench.begin("a.test").await.unwrap(),
        bench.begin("A.test").await.unwrap(),
    );
    let third = bench.begin("a.test");
    tokio::pin!(third);
    assert!(tokio::time::timeout(s(60), &mut third).await.is_err());
    // Another host has places of its own.
    bench.begin("b.test").await.unwrap();
    drop(a);
    let third = third.await.unwrap();
    assert_eq!(third.remaining(), s(10), "all of its time");
    assert_eq!(*bench.waits.0.lock(), [Wait::For(s(60))]);
}

#[tokio::test(start_paused = true)]
async fn waiting_is_bounded() {
    let bench = Bench::new(1, 0.0);
    let held = bench.begin("a.test").await.unwrap();
    let begin = Instant::now();
    let error = bench.begin("a.test").await.unwrap_err();
    assert_eq!(begin.elapsed(), LONGEST_WAIT);
    assert!(error.is_wait());
    assert_eq!(
        error.to_string(),
        "a.test was not asked, because too many requests to it are waiting: to be asked again in 1s"
    );
    drop(held);
    assert!(bench.begin("a.test").await.is_ok());
    let budget = bench.budgets.of("a.test");
    budget.waiting.store(MOST_WAITING, Ordering::Relaxed);
    let _held = bench.begin("a.test").await.unwrap();
    let begin = Instant::now();
    assert!(bench.begin("a.test").await.unwrap_err().is_wait());
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(budget.waiting.load(Ordering::Relaxed), MOST_WAITING);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_the_whole_hosts_and_no_other_hosts() {
    let bench = Bench::new(4, 0.0);
    let turn = bench.begin("a.test").await.unwrap();
    turn.admit(None).await.unwrap();
    assert_eq!(turn.too_much(Some(s(90))), s(90));
    drop(turn);
    let error = bench.begin("a.test").await.unwrap_err();
    assert_eq!((error.is_wait(), error.retry_after()), (true, Some(s(90))));
    assert!(bench.begin("b.test").await.is_ok());
    assert_eq!(*bench.waits.0.lock(), [Wait::PutOff]);
    tokio::time::advance(Duration::from_millis(88_500)).await;
    // The rest is short enough to be waited for.
    let begin = Instant::now();
    bench.begin("a.test").await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_millis(1500));
}

#[tokio::test(start_paused = true)]
async fn waits_between_requests_are_added_to_the_time_allowed() {
    let bench = Bench::new(4, 0.5);
    let turn = bench.begin("a.test").await.unwrap();
    let begin = Instant::now();
    let pages = turn.drive(async {
        for _ in 0..20 {
            turn.admit(None).await?;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        Ok(())
    });
    // 20 requests, one every two seconds, and 8 seconds of answers: more than 10 seconds, but not of the registry's.
    pages.await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_millis(38_400));
    let turn = bench.begin("a.test").await.unwrap();
    let slow = turn.drive(async {
        turn.admit(None).await?;
        tokio::time::sleep(s(11)).await;
        Ok(())
    });
    assert_eq!(
        slow.await,
        Err(Error::TimedOut {
            host: "a.test".into(),
            allowed: s(10)
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_by_all_together() {
    let bench = Arc::new(Bench::new(4, 2.0));
    let begin = Instant::now();
    let all = (0..21).map(|_| {
        let bench = Arc::clone(&bench);
        async move {
            bench
                .begin("a.test")
                .await
                .unwrap()
                .admit(None)
                .await
                .unwrap();
        }
    });
    futures::future::join_all(all).await;
    assert_eq!(
        begin.elapsed().as_millis() / 100,
        95,
        "two at once, then two a second"
    );
}

#[tokio::test(start_paused = true)]
async fn an_allowance_that_is_used_up_puts_off() {
    let bench = Bench::new(4, 0.0);
    let turn = bench.begin("a.test").await.unwrap();
    turn.admit(None).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("ratelimit-limit", "100;w=21600".parse().unwrap());
    headers.insert("ratelimit-remaining", "10;w=21600".parse().unwrap());
    turn.answered(None, StatusCode::OK, &headers, Timestamp::UNIX_EPOCH);
    let error = bench.begin("a.test").await.unwrap_err();
    assert_eq!((error.is_wait(), error.retry_after()), (true, Some(s(216))));
    assert_eq!(
        error.to_string(),
        "a.test was not asked, because its rate of requests is used up: to be asked again in 216s"
    );
    // Others have an allowance of their own there.
    let other = Credential::RegistryToken("other".into()).fingerprint();
    bench.begin_as("a.test", Some(other)).await.unwrap();
    // Between requests it is waited for, however many follow, each for no longer than five minutes.
    let begin = Instant::now();
    for _ in 0..10 {
        turn.admit(None).await.unwrap();
    }
    assert_eq!(begin.elapsed().as_secs(), 2160);
    headers.insert("ratelimit-limit", "10;w=21600".parse().unwrap());
    headers.insert("ratelimit-remaining", "1;w=21600".parse().unwrap());
    turn.answered(None, StatusCode::OK, &headers, Timestamp::UNIX_EPOCH);
    let error = turn.admit(None).await.unwrap_err();
    assert_eq!(
        (error.is_wait(), error.retry_after()),
        (false, Some(s(2160)))
    );
}

#[tokio::test(start_paused = true)]
async fn scans_go_before_those_who_copy() {
    let bench = Bench::new(4, 1.0);
    let observer: Arc<dyn Observer> = Arc::<Waits>::clone(&bench.waits);
    let turn = || Turn::aside(&bench.budgets, "a.test", Deadline::after(s(10)), &observer);
    // More than a pace of one a second takes in a minute.
    let copies: Vec<_> = (0..100).map(|_| turn()).collect();
    let copies = futures::future::join_all(copies.iter().map(|turn| turn.admit(None)));
    let scan = async {
        tokio::time::sleep(s(3)).await;
        let begin = Instant::now();
        bench.begin("a.test").await.unwrap();
        begin.elapsed()
    };
    tokio::pin!(copies, scan);
    let waited = tokio::select! {
        waited = &mut scan => waited,
        _ = &mut copies => panic!("the scan was last"),
    };
    assert!(waited <= s(2), "{waited:?}");
    assert!(copies.await.iter().all(Result::is_ok));
}
