//! Each scripted fault is seen by a plain client, where and as often as the script says.

use std::time::{Duration, Instant};

use http::Method;

use super::tests_of_uploads::{begin, send};
use super::{FakeRegistry, Fault, Nth, Route, bytes_of, digest_of};

async fn with_blob() -> (FakeRegistry, String, bytes::Bytes) {
    let registry = FakeRegistry::start().await;
    let bytes = bytes_of(1, 100_000);
    let digest = registry.add_blob("a/b", bytes.clone());
    (registry, format!("/v2/a/b/blobs/{digest}"), bytes)
}

/// What a client sees that reads until the end: status, Content-Length, body, and how it ended.
async fn read(
    registry: &FakeRegistry,
    place: &str,
    range: &str,
) -> reqwest::Result<(u16, Option<u64>, Vec<u8>, Option<reqwest::Error>)> {
    let client = reqwest::Client::builder()
        .no_proxy()
        // Plain HTTP alone: the platform's certificates need not be read.
        .tls_certs_only([])
        .timeout(Duration::from_millis(500))
        .build()?;
    let url = format!("http://{}{place}", registry.plain_host());
    let mut answer = client.get(url).header("range", range).send().await?;
    let length = answer.headers().get("content-length");
    let length = length.map(|value| value.to_str().unwrap().parse().unwrap());
    let mut all = Vec::new();
    let end = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => all.extend_from_slice(&piece),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    Ok((answer.status().as_u16(), length, all, end))
}

fn is_reset(error: &reqwest::Error) -> bool {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |link| link.source());
    chain
        .filter_map(|link| link.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn scripts_count_their_own_requests() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("a/b", ["1"]);
    registry.on(
        Method::GET,
        "/tags/list$",
        Nth::Exactly(2),
        Fault::Status(500),
    );
    registry.on(Method::GET, r"n=5$", Nth::First(2), Fault::Status(502));
    registry.on(
        None::<Method>,
        "/manifests/",
        Nth::After(1),
        Fault::Status(503),
    );
    registry.on(Method::HEAD, "/manifests/", Nth::Every, Fault::Status(504));
    registry.on(Method::GET, "/v2/$", Nth::Every, Fault::Challenge(None));
    let mut found = Vec::new();
    for (method, place) in [
        (Method::GET, "/v2/a/b/tags/list"),
        (Method::GET, "/v2/a/b/tags/list?n=5"),
        (Method::GET, "/v2/a/b/tags/list"),
        (Method::GET, "/v2/a/b/tags/list?n=5"),
        (Method::GET, "/v2/a/b/tags/list?n=5"),
        (Method::GET, "/v2/a/b/manifests/1"),
        (Method::GET, "/v2/a/b/manifests/1"),
        (Method::HEAD, "/v2/a/b/manifests/1"),
        (Method::GET, "/v2/"),
    ] {
        found.push(
            send(&registry, method, place, &[], "")
                .await
                .unwrap()
                .status,
        );
    }
    assert_eq!(found, [200, 502, 500, 502, 200, 200, 503, 503, 401]);
    let log: Vec<u16> = registry.requests().iter().map(|one| one.status).collect();
    assert_eq!(log, found);
    assert_eq!(registry.conversation()[1], "GET /v2/a/b/tags/list?n=5 502");
    registry.heal();
    let answer = send(&registry, Method::GET, "/v2/", &[], "").await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn bodies_are_cut_held_up_and_changed() {
    let (registry, blob, bytes) = with_blob().await;
    let met = async |fault: Fault| {
        registry.on(Method::GET, "/blobs/", Nth::First(1), fault);
        let seen = read(&registry, &blob, "").await.unwrap();
        registry.heal();
        seen
    };
    let full = Some(100_000);

    let (_, length, body, end) = met(Fault::TruncateAt(70_000)).await;
    assert!(length == full && body == bytes[..70_000]);
    assert!(end.is_some_and(|end| !is_reset(&end) && !end.is_timeout()));
    let (_, length, body, end) = met(Fault::ResetAt(5)).await;
    assert!(length == full && body.len() <= 5 && is_reset(&end.unwrap()));
    let (_, length, body, end) = met(Fault::StallAt(99_999)).await;
    assert!(length == full && body == bytes[..99_999] && end.unwrap().is_timeout());
    let (_, length, body, end) = met(Fault::ContentLength(10)).await;
    assert!(length == Some(10) && body == bytes[..10] && end.is_none());
    let (_, length, body, end) = met(Fault::ContentLength(100_001)).await;
    assert!(length == Some(100_001) && body == bytes && end.is_some());
    let (_, length, body, end) = met(Fault::WrongBytes).await;
    assert!(length == full && body.len() == 100_000 && body != bytes && end.is_none());
    let (_, length, body, end) = met(Fault::TooLong).await;
    assert!(length.is_none() && body.len() > 100_000 && body.starts_with(&bytes) && end.is_none());
    let start = Instant::now();
    let (_, length, body, _) = met(Fault::SlowBody(500_000)).await;
    assert!(length == full && body == bytes && start.elapsed() >= Duration::from_millis(190));
    let (_, _, body, end) = met(Fault::SlowBody(100)).await;
    assert!(body.len() < 100 && end.unwrap().is_timeout());
    let (status, _, body, end) = read(&registry, &blob, "").await.unwrap();
    assert!(status == 200 && body == bytes && end.is_none());
}

#[tokio::test]
async fn ranges_are_kept_ignored_shifted_and_refused() {
    let (registry, blob, bytes) = with_blob().await;
    let get = async |range: &str| {
        let headers = [("range", range)];
        send(&registry, Method::GET, &blob, &headers, "")
            .await
            .unwrap()
    };
    for (range, status, said, expected) in [
        (
            "bytes=99990-",
            206,
            "bytes 99990-99999/100000",
            &bytes[99_990..],
        ),
        ("bytes=10-19", 206, "bytes 10-19/100000", &bytes[10..20]),
        (
            "bytes=-5",
            206,
            "bytes 99995-99999/100000",
            &bytes[99_995..],
        ),
        ("bytes=0-999999", 206, "bytes 0-99999/100000", &bytes[..]),
        ("bytes=100000-", 416, "bytes */100000", &[]),
        ("lines=1-2", 200, "", &bytes[..]),
    ] {
        let answer = get(range).await;
        assert_eq!(
            (answer.status, answer.header("content-range")),
            (status, said)
        );
        assert!(answer.body == expected, "{range}");
    }
    registry.on(Method::GET, "/blobs/", Nth::Exactly(1), Fault::RangeIgnored);
    registry.on(Method::GET, "/blobs/", Nth::Exactly(2), Fault::RangeShifted);
    let answer = get("bytes=10-").await;
    assert!(answer.status == 200 && answer.body == bytes);
    let answer = get("bytes=10-").await;
    assert_eq!(answer.header("content-range"), "bytes 11-99999/100000");
    assert!(answer.body == bytes[11..]);
    registry.configure(|options| options.has_ranges = false);
    assert_eq!(get("bytes=10-").await.status, 200);
    assert_eq!(registry.requests()[0].header("range"), Some("bytes=99990-"));
}

#[tokio::test]
async fn the_head_is_changed_or_never_comes() {
    let (registry, blob, _) = with_blob().await;
    let met = async |fault: Fault| {
        registry.on(Method::GET, "/blobs/", Nth::First(1), fault);
        let seen = send(&registry, Method::GET, &blob, &[], "").await;
        registry.heal();
        seen
    };
    let answer = met(Fault::NoDigestHeader).await.unwrap();
    assert_eq!(
        (answer.status, answer.header("docker-content-digest")),
        (200, "")
    );
    let answer = met(Fault::ContentType("text/plain")).await.unwrap();
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "text/plain")
    );
    let answer = met(Fault::HtmlStatus(429)).await.unwrap();
    assert!(answer.status == 429 && answer.text().starts_with("<!DOCTYPE html>"));
    assert!(is_reset(&met(Fault::ResetHead).await.err().unwrap()));
    assert_eq!(registry.requests().last().unwrap().status, 0);
    assert!(met(Fault::HangHead).await.err().unwrap().is_timeout());

    let place = "/v2/a/b/blobs/uploads/";
    for location in ["http://elsewhere/", ""] {
        let fault = Fault::Location(location.into());
        registry.on(Method::POST, "/uploads/", Nth::First(1), fault);
        let answer = send(&registry, Method::POST, place, &[], "").await.unwrap();
        assert_eq!((answer.status, answer.header("location")), (202, location));
        registry.heal();
    }
}

#[tokio::test]
async fn what_is_replaced_is_not_done_and_what_is_lost_is() {
    let registry = FakeRegistry::start().await;
    let manifest = r#"{"schemaVersion":2}"#;
    let put = async |tag: &str, fault: Fault| {
        registry.on(Method::PUT, "/manifests/", Nth::First(1), fault);
        let place = format!("/v2/a/b/manifests/{tag}");
        let seen = send(&registry, Method::PUT, &place, &[], manifest).await;
        registry.heal();
        let seen = seen.map(|answer| answer.status);
        (seen, registry.tag_digest("a/b", tag).is_some())
    };
    let (seen, is_done) = put("a", Fault::Status(500)).await;
    assert!(seen.unwrap() == 500 && !is_done);
    let (seen, is_done) = put("b", Fault::CommitThen(500)).await;
    assert!(seen.unwrap() == 500 && is_done);
    let (seen, is_done) = put("c", Fault::CommitThenReset).await;
    assert!(is_reset(&seen.unwrap_err()) && is_done);
    let (seen, is_done) = put("d", Fault::ResetHead).await;
    assert!(is_reset(&seen.unwrap_err()) && !is_done);
}

#[tokio::test]
async fn uploads_break_in_their_middle() {
    let (registry, _, bytes) = with_blob().await;
    let patch = async |place: &str, fault: Fault| {
        registry.on(Method::PATCH, "/uploads/", Nth::First(1), fault);
        let seen = send(&registry, Method::PATCH, place, &[], bytes.clone()).await;
        registry.heal();
        seen
    };
    let place = begin(&registry).await;
    patch(&place, Fault::ResetAfter(70_000))
        .await
        .err()
        .unwrap();
    let answer = send(&registry, Method::GET, &place, &[], "").await.unwrap();
    assert_eq!(answer.header("range"), "0-69999");
    assert_eq!(registry.requests()[1].bytes_in, 70_000);
    assert!(
        patch(&place, Fault::StallReading(10))
            .await
            .err()
            .unwrap()
            .is_timeout()
    );
    assert_eq!(registry.session_bytes(), 70_010);
    registry.lose_sessions();

    let place = begin(&registry).await;
    let answer = patch(&place, Fault::PatchStatus(201)).await.unwrap();
    assert_eq!((answer.status, answer.header("range")), (201, "0-0"));
    assert_eq!(registry.session_bytes(), 100_000);
    let answer = patch(&place, Fault::SessionLost).await.unwrap();
    assert!(answer.status == 404 && answer.text().contains("BLOB_UPLOAD_UNKNOWN"));
    assert_eq!(registry.sessions(), 0);
    registry.on(Method::POST, "/uploads/", Nth::Every, Fault::SessionLost);
    let place = begin(&registry).await;
    assert!(!place.is_empty() && registry.sessions() == 0);
    registry.heal();

    registry.configure(|options| options.resumes_uploads = false);
    let place = begin(&registry).await;
    patch(&place, Fault::ResetAfter(70_000))
        .await
        .err()
        .unwrap();
    assert_eq!(registry.sessions(), 0);

    let place = begin(&registry).await;
    let start = Instant::now();
    patch(&place, Fault::SlowReading(500_000)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(190));

    // More than fits into the buffers between: the answer has to come before all of it is sent.
    let long = vec![0; 32 << 20];
    let place = format!("{}&digest={}", begin(&registry).await, digest_of(b"x"));
    registry.on(Method::PUT, "/uploads/", Nth::First(1), Fault::Unread(413));
    if let Ok(answer) = send(&registry, Method::PUT, &place, &[], long).await {
        assert_eq!(answer.status, 413);
    }
    let unread = registry.requests().pop().unwrap();
    assert_eq!((unread.status, unread.bytes_in), (413, 0));
}

#[tokio::test]
async fn bytes_and_requests_at_once_are_counted() {
    let (registry, blob, _) = with_blob().await;
    registry.configure(|options| options.latency = Duration::from_millis(50));
    let one = || read(&registry, &blob, "");
    let (a, b, c) = tokio::join!(one(), one(), one());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(registry.most_at_once(Route::Blob), 3);
    assert_eq!(registry.under_way(Route::Blob), 0);
    assert_eq!((registry.bytes_in(), registry.bytes_out()), (0, 300_000));
    assert_eq!(registry.requests()[2].bytes_out, 100_000);
    registry.clear_requests();
    assert_eq!(
        (registry.bytes_out(), registry.most_at_once(Route::Blob)),
        (0, 0)
    );
    read(&registry, &blob, "bytes=0-9").await.unwrap();
    assert_eq!(
        (registry.bytes_out(), registry.requests()[0].bytes_out),
        (10, 10)
    );
}
