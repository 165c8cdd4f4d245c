//! Destinations that want blobs in other ways, break off, forget, and lead elsewhere.

use super::*;
use crate::fake_registry::{Auth, Fault, Nth, Options};
use crate::registry::{basic, bearer};

/// Of an upload that has begun.
const SESSION: &str = "/blobs/uploads/.";

#[tokio::test]
async fn fault_13_a_lost_answer_is_asked_for() {
    for fault in [Fault::CommitThen(502), Fault::CommitThenReset] {
        let pair = Pair::new(100 * KIB).await;
        pair.destination
            .on(Method::PUT, SESSION, Nth::First(1), fault);
        pair.copy().await.unwrap();
        pair.check_done();
        assert_eq!(pair.asked(&Method::PUT), 1);
        assert_eq!(pair.destination.count_of(&Method::HEAD, Route::Blob), 1);
    }
}

#[tokio::test]
async fn fault_13_a_failed_put_is_made_again_in_a_new_session() {
    for status in [500, 502, 503, 504] {
        let pair = Pair::new(100 * KIB).await;
        pair.destination
            .on(Method::PUT, SESSION, Nth::First(2), Fault::Status(status));
        pair.copy().await.unwrap();
        pair.check_done();
        assert_eq!(pair.asked(&Method::PUT), 3);
        assert_eq!(pair.asked(&Method::POST), 3);
    }
    let pair = Pair::new(100 * KIB).await;
    pair.destination
        .on(Method::PUT, SESSION, Nth::Every, Fault::Status(500));
    let error = pair.copy().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(pair.asked(&Method::PUT), 4);
    pair.check_nothing();
}

#[tokio::test]
async fn fault_14_a_reset_in_the_middle_takes_the_next_rung() {
    let pair = Pair::new(3 * MIB).await;
    let reset = Fault::ResetAfter(700 * KIB);
    pair.destination
        .on(Method::PUT, SESSION, Nth::First(1), reset);
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.asked(&Method::PATCH), 1);
    assert_eq!(pair.reads(), 2);
}

#[tokio::test]
async fn fault_14_a_patch_goes_on_where_the_registry_is() {
    let pair = Pair::new(12 * MIB).await;
    pair.destination
        .configure(|options| options.refuses_put_body = Some(405));
    let reset = Fault::ResetAfter(9 * MIB);
    pair.destination
        .on(Method::PATCH, SESSION, Nth::First(1), reset);
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.asked(&Method::PATCH), 2);
    let requests = pair.destination.requests();
    let again = requests
        .iter()
        .rfind(|r| r.method == Method::PATCH)
        .unwrap();
    let range = again.header("content-range").unwrap();
    assert!(range.starts_with("9437184-"), "{range}");
    assert_eq!(again.bytes_in, 3 * MIB);
    // Read on from a mark, not from the beginning.
    let last = pair.source.requests().pop().unwrap();
    let range = last.header("range").unwrap().to_owned();
    let offset: u64 = range["bytes=".len()..range.len() - 1].parse().unwrap();
    assert!((8 * MIB..=9 * MIB).contains(&offset), "{range}");
}

#[tokio::test]
async fn fault_15_a_destination_that_takes_no_more_is_left() {
    let mut pair = Pair::new(24 * MIB).await;
    pair.client = client_with(Duration::from_millis(500));
    pair.destination.on(
        Method::PUT,
        SESSION,
        Nth::First(1),
        Fault::StallReading(MIB),
    );
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.asked(&Method::POST), 2);
}

#[tokio::test]
async fn fault_17_a_lost_session_is_begun_anew() {
    let pair = Pair::new(100 * KIB).await;
    pair.destination
        .on(Method::PUT, SESSION, Nth::First(1), Fault::SessionLost);
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.asked(&Method::POST), 2);

    let pair = Pair::new(100 * KIB).await;
    pair.destination
        .on(Method::PUT, SESSION, Nth::Every, Fault::SessionLost);
    let error = pair.copy().await.unwrap_err();
    assert!(matches!(error, Error::UploadLost { .. }), "{error}");
    assert_eq!(pair.asked(&Method::POST), 4);
    pair.check_nothing();
}

#[tokio::test]
async fn fault_41_words_that_look_like_codes_decide_nothing() {
    // With that code it would be the end; what stands in the words is none.
    let words = "no; NAME_UNKNOWN: nobody; DENIED: nothing";
    let pair = Pair::new(100 * KIB).await;
    let fault = Fault::Says(405, "UNSUPPORTED", words);
    pair.destination
        .on(Method::PUT, SESSION, Nth::First(1), fault);
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.asked(&Method::PATCH), 1);

    let pair = Pair::new(100 * KIB).await;
    let fault = Fault::Says(405, "NAME_UNKNOWN", "UNSUPPORTED");
    pair.destination.on(Method::PUT, SESSION, Nth::Every, fault);
    pair.copy().await.unwrap_err();
    assert_eq!(pair.asked(&Method::PATCH), 0, "that code ends it");
    pair.check_nothing();
}

#[tokio::test]
async fn fault_17_odd_answers_to_patches() {
    let begun_low = |options: &mut Options| options.refuses_put_body = Some(413);
    // 201, and a Range that says nothing: the digest settles it.
    let pair = Pair::new(100 * KIB).await;
    pair.destination.configure(begun_low);
    pair.destination.on(
        Method::PATCH,
        SESSION,
        Nth::First(1),
        Fault::PatchStatus(201),
    );
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.asked(&Method::PATCH), 1);
    // 416: the session is asked, and has nothing.
    let pair = Pair::new(100 * KIB).await;
    pair.destination.configure(begun_low);
    let refused = Fault::Code(416, "BLOB_UPLOAD_INVALID");
    pair.destination
        .on(Method::PATCH, SESSION, Nth::First(1), refused);
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.asked(&Method::GET), 1);
    // Chunks that do not advance: there is no other way left.
    let pair = Pair::new(6 * MIB).await;
    pair.destination.configure(|options| {
        begun_low(options);
        options.refuses_plain_patch = Some(405);
        options.chunk_status = Some(201);
    });
    let error = pair.copy().await.unwrap_err();
    assert!(matches!(error, Error::UploadLost { .. }), "{error}");
    pair.check_nothing();
}

#[tokio::test]
async fn fault_18_the_ladder_is_gone_down_and_remembered() {
    let with_body = |pair: &Pair, method: &Method| {
        pair.destination.count_where(|request| {
            request.method == *method && request.header("content-length") != Some("0")
        })
    };
    for status in [400, 405, 411, 413] {
        let pair = Pair::new(100 * KIB).await;
        pair.destination
            .configure(|options| options.refuses_put_body = Some(status));
        pair.copy().await.unwrap();
        pair.check_done();
        assert_eq!(with_body(&pair, &Method::PUT), 1);
        assert_eq!(pair.asked(&Method::PATCH), 1);
        // The next one does not pay.
        let next = add_blob(&pair.source, 2, 50 * KIB);
        pair.destination.clear_requests();
        pair.copy_blob(&next).await.unwrap();
        assert_eq!(with_body(&pair, &Method::PUT), 0, "{status}");
        assert_eq!(pair.destination.requests().len(), 3);
    }
}

#[tokio::test]
async fn fault_18_a_registry_that_closes_before_it_has_read() {
    let pair = Pair::new(8 * MIB).await;
    pair.destination
        .on(Method::PUT, "digest=", Nth::First(1), Fault::Unread(413));
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.asked(&Method::PATCH), 1);
    let next = add_blob(&pair.source, 2, 50 * KIB);
    pair.destination.clear_requests();
    pair.copy_blob(&next).await.unwrap();
    assert_eq!(pair.destination.requests().len(), 3, "POST, PATCH, PUT");
}

#[tokio::test]
async fn fault_18_chunks_are_the_last_rung() {
    for (least, chunks) in [(None, 3), (Some(8 * MIB), 2)] {
        let pair = Pair::new(11 * MIB).await;
        pair.destination.configure(|options| {
            options.refuses_put_body = Some(413);
            options.refuses_plain_patch = Some(400);
            options.chunk_min = least;
        });
        pair.copy().await.unwrap();
        pair.check_done();
        let taken = pair.destination.count_where(|request| {
            request.method == Method::PATCH && request.header("content-range").is_some()
        });
        assert_eq!(taken, chunks);
    }
}

#[tokio::test]
async fn fault_18_a_wrong_digest_is_no_reason_to_try_another_way() {
    let pair = Pair::new(100 * KIB).await;
    let refused = Fault::Code(400, "DIGEST_INVALID");
    pair.destination
        .on(Method::PUT, SESSION, Nth::Every, refused);
    let error = pair.copy().await.unwrap_err();
    assert!(error.to_string().contains("DIGEST_INVALID"), "{error}");
    assert_eq!(pair.asked(&Method::PUT), 1);
    pair.check_nothing();
}

#[tokio::test]
async fn fault_33_a_token_that_ends_in_between_is_replaced() {
    let pair = Pair::new(100 * KIB).await;
    pair.destination.set_auth(bearer());
    let repository = repository(&pair.destination.image("to/app"));
    let to = pair
        .client
        .remote(repository, basic("me", "hunter2"), Intent::Write);
    let target = begin(to, &pair.blob.digest).await.unwrap();
    pair.destination.revoke_tokens();
    let from = remote(&pair.client, &pair.source, "from/app", Intent::Read);
    let results = transfer(&from, &pair.blob, vec![target], &[], &Counts::default()).await;
    assert_eq!(results, [Ok(())]);
    pair.check_done();
    assert!(!pair.source.saw("hunter2"));
}

#[tokio::test]
async fn fault_35_an_upload_goes_where_its_location_leads() {
    let pair = Pair::new(100 * KIB).await;
    pair.destination
        .configure(|options| options.absolute_locations = true);
    pair.copy().await.unwrap();
    pair.check_done();

    // Another host: without the credential.
    let pair = Pair::new(100 * KIB).await;
    pair.destination.set_auth(Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    });
    pair.destination
        .configure(|options| options.uploads_to = Some("localhost"));
    let repository = repository(&pair.destination.image("to/app"));
    let to = pair
        .client
        .remote(repository, basic("me", "hunter2"), Intent::Write);
    let target = begin(to, &pair.blob.digest).await.unwrap();
    let from = remote(&pair.client, &pair.source, "from/app", Intent::Read);
    let results = transfer(&from, &pair.blob, vec![target], &[], &Counts::default()).await;
    assert_eq!(results, [Ok(())]);
    pair.check_done();
    let strays = pair.destination.count_where(|request| {
        request.host.starts_with("localhost") && request.sent != crate::fake_registry::Sent::Nothing
    });
    assert_eq!(strays, 0);
}

#[tokio::test]
async fn fault_35_an_upload_does_not_go_where_it_must_not() {
    for location in [
        "file:///etc/passwd",
        "http://user:word@127.0.0.1/u",
        "/v2/../../u",
        "",
    ] {
        let pair = Pair::new(100).await;
        pair.destination.on(
            Method::POST,
            "/uploads/",
            Nth::Every,
            Fault::Location(location.to_owned()),
        );
        let error = pair.copy().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsafe, "{location:?}: {error}");
        assert_eq!(pair.asked(&Method::PUT), 0);
        assert!(!pair.is_there());
    }
}

#[tokio::test]
async fn fault_23_a_repository_that_is_not_made_is_named() {
    let pair = Pair::new(100).await;
    pair.destination
        .configure(|options| options.creates_repositories = false);
    let error = pair.copy().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("to/app"), "{error}");
    assert_eq!(pair.asked(&Method::POST), 1);
}

#[tokio::test]
async fn fault_13_a_success_that_comes_too_early_or_from_no_registry_is_none() {
    let other = Digest::of(b"something else").to_string();
    for fault in [
        Fault::Unread(201),
        Fault::Html,
        Fault::ContentDigest(Some(other)),
    ] {
        let pair = Pair::new(12 * MIB).await;
        pair.destination
            .on(Method::PUT, SESSION, Nth::First(1), fault.clone());
        pair.copy().await.unwrap();
        assert!(pair.is_there(), "{fault:?}");
        assert!(
            matches!(fault, Fault::Unread(_))
                || pair.destination.count_of(&Method::HEAD, Route::Blob) == 1,
            "{fault:?}: {:#?}",
            pair.destination.conversation()
        );
    }
    // A page for whatever is asked: nothing is there, and nothing is said to be.
    let pair = Pair::new(100 * KIB).await;
    pair.destination
        .on(Method::PUT, SESSION, Nth::Every, Fault::Html);
    pair.destination
        .on(Method::HEAD, "/blobs/", Nth::Every, Fault::Html);
    let error = pair.copy().await.unwrap_err();
    assert!(matches!(error, Error::Html { .. }), "{error}");
    assert!(!pair.is_there());
}

#[tokio::test]
async fn fault_16_a_middlebox_before_the_destination_that_closes_ever_again_is_outlived() {
    let pair = Pair::new(6 * MIB).await;
    let closed = Fault::ResetAfter(1200 * KIB);
    pair.destination
        .on(Method::PUT, "digest=", Nth::First(1), closed.clone());
    pair.destination
        .on(Method::PATCH, SESSION, Nth::Every, closed);
    pair.copy().await.unwrap();
    pair.check_done();
    assert!(pair.asked(&Method::PATCH) >= 5);
    // What arrived is not sent again.
    let taken = pair.destination.requests();
    let patched = taken.iter().filter(|it| it.method == Method::PATCH);
    assert_eq!(patched.map(|it| it.bytes_in).sum::<u64>(), 6 * MIB);
}

#[tokio::test]
async fn fault_15_for_a_destination_that_pauses_the_source_is_asked_once() {
    let pair = Pair::new(24 * MIB).await;
    let pause = Fault::PauseReading(MIB, Duration::from_secs(7));
    pair.destination
        .on(Method::PUT, SESSION, Nth::First(1), pause);
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!((pair.reads(), pair.asked(&Method::PUT)), (1, 1));
}
