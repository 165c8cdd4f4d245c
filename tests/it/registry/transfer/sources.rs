//! Sources that break off, lie, dawdle and overrun.

use super::*;
use crate::fake_registry::{Fault, Nth};

#[tokio::test]
async fn fault_01_a_truncated_blob_is_read_on() {
    for fault in [Fault::TruncateAt(300 * KIB), Fault::ResetAt(300 * KIB)] {
        let pair = Pair::new(MIB).await;
        pair.source
            .on(Method::GET, "/blobs/", Nth::First(2), fault.clone());
        pair.copy().await.unwrap();
        pair.check_done();
        assert_eq!(pair.reads(), 3, "{fault:?}");
        assert!(pair.source.requests()[1].header("range").is_some());
        assert_eq!(pair.destination.requests().len(), 2);
        assert!(pair.source.bytes_out() < MIB + 300 * KIB);
    }
}

#[tokio::test]
async fn fault_01_a_source_that_never_gets_anywhere_is_given_up() {
    let pair = Pair::new(MIB).await;
    pair.source
        .on(Method::GET, "/blobs/", Nth::Every, Fault::TruncateAt(100));
    let error = pair.copy().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transport);
    assert_eq!(pair.reads(), 6);
    pair.check_nothing();
}

#[tokio::test]
async fn fault_02_a_wrong_length_is_noticed_before_the_upload() {
    let pair = Pair::new(MIB).await;
    let fault = Fault::ContentLength(MIB - 1);
    pair.source.on(Method::GET, "/blobs/", Nth::Every, fault);
    let error = pair.copy().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert_eq!(pair.asked(&Method::PUT), 0);
    pair.check_nothing();
}

#[tokio::test]
async fn fault_03_04_06_what_is_wrong_is_never_committed() {
    for (fault, kinds) in [
        (Fault::TooLong, &[Kind::Integrity][..]),
        (Fault::WrongBytes, &[Kind::Integrity]),
        (Fault::Compressed, &[Kind::Integrity, Kind::Protocol]),
    ] {
        for size in [100, 3 * MIB] {
            let pair = Pair::new(size).await;
            pair.source
                .on(Method::GET, "/blobs/", Nth::Every, fault.clone());
            let error = pair.copy().await.unwrap_err();
            assert!(kinds.contains(&error.kind()), "{fault:?}: {error}");
            assert_eq!(pair.reads(), 1, "it is no use to read it again");
            let ended = pair
                .destination
                .count_where(|request| request.method == Method::PUT && request.bytes_in == size);
            assert_eq!(ended, 0, "{fault:?}");
            pair.check_nothing();
        }
    }
}

#[tokio::test]
async fn fault_07_a_source_without_ranges_is_read_from_the_beginning() {
    for fault in [
        Fault::RangeIgnored,
        Fault::RangeShifted,
        Fault::Code(416, "RANGE_INVALID"),
    ] {
        let pair = Pair::new(MIB).await;
        let broken = Fault::TruncateAt(300 * KIB);
        pair.source
            .on(Method::GET, "/blobs/", Nth::First(1), broken);
        pair.source
            .on(Method::GET, "/blobs/", Nth::Exactly(2), fault.clone());
        pair.copy().await.unwrap();
        pair.check_done();
        assert!(pair.reads() <= 3, "{fault:?}");
        assert_eq!(pair.destination.requests().len(), 2);
    }
}

#[tokio::test]
async fn fault_15_a_source_that_falls_silent_is_asked_again() {
    let mut pair = Pair::new(MIB).await;
    pair.client = client_with(Duration::from_millis(300));
    pair.source.on(
        Method::GET,
        "/blobs/",
        Nth::First(1),
        Fault::StallAt(700 * KIB),
    );
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.reads(), 2);
}

#[tokio::test]
async fn fault_16_a_middlebox_that_closes_ever_again_is_outlived() {
    let pair = Pair::new(5 * MIB).await;
    let fault = Fault::ResetAt(600 * KIB);
    pair.source.on(Method::GET, "/blobs/", Nth::Every, fault);
    pair.copy().await.unwrap();
    pair.check_done();
    assert!(pair.reads() >= 9);
    assert_eq!(pair.destination.requests().len(), 2);
}
