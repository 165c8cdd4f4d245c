//! One source, several destinations at once.

use tokio::time::Instant;

use tagscope::registry::transfer::Limiter;

use super::*;
use crate::fake_registry::{Fault, Nth};

async fn three() -> (FakeRegistry, FakeRegistry, FakeRegistry) {
    let [a, b, c] = [
        FakeRegistry::start().await,
        FakeRegistry::start().await,
        FakeRegistry::start().await,
    ];
    (a, b, c)
}

fn has(registry: &FakeRegistry, blob: &Descriptor) -> bool {
    registry.has_blob("to/app", blob.digest.as_str()) && registry.sessions() == 0
}

#[tokio::test]
async fn a_blob_is_read_once_for_all() {
    let (source, a, b) = three().await;
    let blob = add_blob(&source, 1, 5 * MIB);
    let (results, counts) = copy(&client(), &source, &blob, &[&a, &b]).await.unwrap();
    assert_eq!(results, [Ok(()), Ok(())]);
    assert!(has(&a, &blob) && has(&b, &blob));
    assert_eq!(source.count_of(&Method::GET, Route::Blob), 1);
    assert_eq!(counts.read.load(Ordering::Relaxed), blob.size);
    assert_eq!((a.requests().len(), b.requests().len()), (2, 2));
}

#[tokio::test]
async fn a_slow_destination_reads_on_its_own() {
    let (source, quick, slow) = three().await;
    let blob = add_blob(&source, 1, 24 * MIB);
    slow.on(
        Method::PUT,
        "digest=",
        Nth::First(1),
        Fault::SlowReading(2 * MIB),
    );
    let (results, _) = copy(&client(), &source, &blob, &[&quick, &slow])
        .await
        .unwrap();
    assert_eq!(results, [Ok(()), Ok(())]);
    assert!(has(&quick, &blob) && has(&slow, &blob));
    let reads: Vec<_> = source
        .requests()
        .iter()
        .filter(|request| request.route == Route::Blob)
        .map(|request| request.header("range").is_some())
        .collect();
    assert_eq!(reads, [false, true], "the rest, with the same hash");
    assert_eq!(slow.requests().len(), 2);
}

#[tokio::test]
async fn one_that_fails_does_not_keep_the_others() {
    let (source, good, bad) = three().await;
    let blob = add_blob(&source, 1, 4 * MIB);
    bad.on(
        Method::PUT,
        "digest=",
        Nth::Every,
        Fault::Code(403, "DENIED"),
    );
    let (results, _) = copy(&client(), &source, &blob, &[&bad, &good])
        .await
        .unwrap();
    assert_eq!(results[1], Ok(()));
    let error = results[0].clone().unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(has(&good, &blob));
    assert!(bad.sessions() == 0 && !bad.has_blob("to/app", blob.digest.as_str()));
}

#[tokio::test]
async fn one_that_takes_another_rung_reads_again_alone() {
    let (source, plain, odd) = three().await;
    let blob = add_blob(&source, 1, 4 * MIB);
    odd.configure(|options| options.refuses_put_body = Some(413));
    let (results, _) = copy(&client(), &source, &blob, &[&plain, &odd])
        .await
        .unwrap();
    assert_eq!(results, [Ok(()), Ok(())]);
    assert!(has(&plain, &blob) && has(&odd, &blob));
    assert_eq!(source.count_of(&Method::GET, Route::Blob), 2);
    assert_eq!(plain.requests().len(), 2);
}

/// Uploads that are begun on the way.
fn targets(client: &Client, destinations: &[&FakeRegistry]) -> Vec<Target> {
    let to = |registry: &&FakeRegistry| remote(client, registry, "to/app", Intent::Write);
    destinations.iter().map(to).map(Target::new).collect()
}

#[tokio::test]
async fn one_that_does_not_begin_does_not_keep_the_others() {
    let (source, good, hung) = three().await;
    let blob = add_blob(&source, 1, 5 * MIB);
    hung.on(Method::POST, "/uploads/$", Nth::Every, Fault::HangHead);
    let client = client();
    let from = remote(&client, &source, "from/app", Intent::Read);
    let counts = Counts::default();
    let targets = targets(&client, &[&hung, &good]);
    let copied = transfer(&from, &blob, targets, &[], &counts);
    let is_there = async {
        while !has(&good, &blob) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        results = copied => panic!("{results:?}"),
        () = is_there => {}
    }
    assert_eq!(hung.count_of(&Method::POST, Route::Upload), 1);
    assert_eq!(source.count_of(&Method::GET, Route::Blob), 1);
}

#[tokio::test]
async fn one_that_begins_late_reads_the_rest_on_its_own() {
    let (source, good, late) = three().await;
    let blob = add_blob(&source, 1, 5 * MIB);
    let slow = Fault::Slow(Duration::from_secs(6));
    late.on(Method::POST, "/uploads/$", Nth::First(1), slow);
    let client = client();
    let from = remote(&client, &source, "from/app", Intent::Read);
    let counts = Counts::default();
    let targets = targets(&client, &[&late, &good]);
    let results = transfer(&from, &blob, targets, &[], &counts).await;
    assert_eq!(results, [Ok(()), Ok(())]);
    assert!(has(&good, &blob) && has(&late, &blob));
    assert!(source.count_of(&Method::GET, Route::Blob) <= 2);
    assert_eq!((good.requests().len(), late.requests().len()), (2, 2));
}

#[tokio::test]
async fn where_no_upload_can_be_begun_nothing_is_read() {
    let (source, bad, _) = three().await;
    let blob = add_blob(&source, 1, MIB);
    let denied = Fault::Code(403, "DENIED");
    bad.on(Method::POST, "/uploads/$", Nth::Every, denied);
    let client = client();
    let from = remote(&client, &source, "from/app", Intent::Read);
    let counts = Counts::default();
    let results = transfer(&from, &blob, targets(&client, &[&bad]), &[], &counts).await;
    let error = results[0].clone().unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert_eq!(source.requests().len(), 0);
}

#[tokio::test]
async fn the_bandwidth_is_kept() {
    let (source, to, _) = three().await;
    let blob = add_blob(&source, 1, MIB);
    let client = client();
    let from = remote(&client, &source, "from/app", Intent::Read);
    let target = remote(&client, &to, "to/app", Intent::Write);
    let target = begin(target, &blob.digest).await.unwrap();
    let limiter = Arc::new(Limiter::new(2 * MIB));
    let begun = Instant::now();
    let counts = Counts::default();
    let results = transfer(&from, &blob, vec![target], &[limiter], &counts).await;
    assert_eq!(results, [Ok(())]);
    assert!(
        begun.elapsed() >= Duration::from_millis(370),
        "{:?}",
        begun.elapsed()
    );
}
