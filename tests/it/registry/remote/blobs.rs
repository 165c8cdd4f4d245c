//! Blobs, looked for and opened.

use http::Method;
use tagscope::registry::remote::{BlobStream, Intent};
use tagscope::registry::{Error, Kind};

use super::{bearer, descriptor, me, reader, remote_as};
use crate::fake_registry::{
    FakeRegistry, Fault, Image, Layer, Listener, Nth, Route, Sent, bytes_of,
};

const SIZE: u64 = 200_000;

async fn with_layer() -> (FakeRegistry, Layer) {
    let registry = FakeRegistry::start().await;
    let layer = Layer::new(7, SIZE);
    registry.add_image("team/app", "1", &Image::new([layer.clone()]));
    (registry, layer)
}

async fn read(stream: &mut BlobStream) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[tokio::test]
async fn a_blob_is_read_from_any_offset() {
    let (registry, layer) = with_layer().await;
    let remote = reader(&registry);
    let blob = descriptor(&layer.digest(), SIZE);
    for offset in [0, 1, 150_000] {
        let mut stream = remote.open_blob(&blob, offset).await.unwrap();
        let from = usize::try_from(offset).unwrap();
        assert_eq!(read(&mut stream).await.unwrap(), bytes_of(7, SIZE)[from..]);
    }
    let digest = layer.digest().parse().unwrap();
    assert!(remote.has_blob(&digest).await.unwrap());
    let other = tagscope::image::Digest::of(b"other");
    assert!(!remote.has_blob(&other).await.unwrap());
}

#[tokio::test]
async fn fault_01_a_blob_that_breaks_off_says_so_and_goes_on_elsewhere() {
    let (registry, layer) = with_layer().await;
    let remote = reader(&registry);
    let blob = descriptor(&layer.digest(), SIZE);
    for fault in [
        Fault::TruncateAt(50_000),
        Fault::ResetAt(50_000),
        Fault::StallAt(50_000),
    ] {
        registry.on(Method::GET, "/blobs/", Nth::First(1), fault);
        let mut stream = remote.open_blob(&blob, 0).await.unwrap();
        let error = read(&mut stream).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Transport);
        registry.heal();
    }
}

#[tokio::test]
async fn fault_02_and_03_a_blob_of_another_length_is_refused() {
    let (registry, layer) = with_layer().await;
    let remote = reader(&registry);
    let blob = descriptor(&layer.digest(), SIZE);
    registry.fail_next(Fault::ContentLength(1000));
    let error = remote.open_blob(&blob, 0).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("it has 1000 bytes, and 200000 are expected"),
        "{error}"
    );
    registry.fail_next(Fault::TooLong);
    let mut stream = remote.open_blob(&blob, 0).await.unwrap();
    let error = read(&mut stream).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("it is longer than 200000 bytes"),
        "{error}"
    );
    registry.fail_next(Fault::Compressed);
    let error = remote.open_blob(&blob, 0).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
}

#[tokio::test]
async fn fault_07_a_range_that_is_not_the_one_asked_for() {
    let (registry, layer) = with_layer().await;
    let remote = reader(&registry);
    let blob = descriptor(&layer.digest(), SIZE);
    registry.fail_next(Fault::RangeIgnored);
    let mut stream = remote.open_blob(&blob, 1000).await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap(), bytes_of(7, SIZE)[1000..]);
    registry.fail_next(Fault::RangeShifted);
    let error = remote.open_blob(&blob, 1000).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    let error = remote.open_blob(&blob, SIZE).await.unwrap_err();
    assert!(error.to_string().contains("416"), "{error}");
}

#[tokio::test]
async fn fault_12_a_store_that_wants_to_be_left_alone_does_not_slow_the_registry() {
    let (registry, layer) = with_layer().await;
    registry.configure(|options| options.redirects_blobs_to = Some("localhost"));
    registry.on(
        Method::GET,
        "^/store",
        Nth::First(1),
        Fault::RateLimited(Some("1".into())),
    );
    let remote = reader(&registry);
    let blob = descriptor(&layer.digest(), SIZE);
    let named = super::tag("1");
    let (read, head) = tokio::join!(
        async { read(&mut remote.open_blob(&blob, 0).await.unwrap()).await },
        remote.head(&named),
    );
    assert_eq!(read.unwrap().len(), 200_000);
    assert!(head.unwrap().is_some());
    assert_eq!(registry.count(Route::Store), 2);
}

#[tokio::test]
async fn fault_34_no_credential_goes_where_a_redirect_leads() {
    let (registry, layer) = with_layer().await;
    registry.set_auth(bearer());
    registry.configure(|options| options.redirects_blobs_to = Some("localhost"));
    let remote = remote_as(&registry, me(), Intent::Read);
    let blob = descriptor(&layer.digest(), SIZE);
    let mut stream = remote.open_blob(&blob, 1000).await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap(), bytes_of(7, SIZE)[1000..]);
    let requests = registry.requests();
    let store: Vec<_> = requests
        .iter()
        .filter(|request| request.listener == Listener::StorePlain)
        .collect();
    assert_eq!(store.len(), 1);
    assert_eq!(
        (store[0].sent, store[0].header("range")),
        (Sent::Nothing, Some("bytes=1000-"))
    );
    assert_eq!(store[0].query, "signature=s%2Fe+c", "byte for byte");
    // Back at the registry it is not sent again.
    let back = format!(
        "http://{}/v2/team/app/blobs/{}",
        registry.plain_host(),
        layer.digest()
    );
    registry.configure(|options| options.redirects_blobs_to = Some("localhost"));
    registry.on(Method::GET, "^/store", Nth::Every, Fault::Redirect(back));
    registry.clear_requests();
    let error = remote.open_blob(&blob, 0).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Authentication);
    assert_eq!(registry.requests().last().unwrap().sent, Sent::Nothing);
    for target in [
        "file:///etc/passwd",
        "gopher://x/",
        "http://169.254.169.254/latest",
    ] {
        registry.heal();
        registry.fail_next(Fault::Redirect(target.into()));
        let error = remote.open_blob(&blob, 0).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsafe, "{target}");
    }
    registry.fail_always(Fault::RedirectToItself);
    let error = remote.open_blob(&blob, 0).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
}

#[tokio::test]
async fn fault_40_signed_addresses_and_secrets_are_in_no_message() {
    let (registry, layer) = with_layer().await;
    registry.set_auth(bearer());
    registry.configure(|options| options.redirects_blobs_to = Some("localhost"));
    registry.on(Method::GET, "^/store", Nth::Every, Fault::Status(403));
    let remote = remote_as(&registry, me(), Intent::Read);
    let error = remote
        .open_blob(&descriptor(&layer.digest(), SIZE), 0)
        .await
        .unwrap_err();
    let shown = format!("{error} {error:?} {remote:?}");
    for secret in ["signature", "hunter2", "token-number"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
