//! Uploads that begin with the wish not to be made.

use super::*;
use crate::fake_registry::{Fault, Mounts, Nth};

/// A destination that has the blob in `other/app`.
async fn with_neighbour() -> (FakeRegistry, Digest) {
    let registry = FakeRegistry::start().await;
    let layer = Layer::new(1, 1000);
    registry.add_image("other/app", "1", &Image::new([layer.clone()]));
    (registry, layer.digest().parse().unwrap())
}

async fn ask(client: &Client, registry: &FakeRegistry, blob: &Digest) -> Result<Begun, Error> {
    let to = remote(client, registry, "to/app", Intent::Write);
    let other = repository(&registry.image("other/app"));
    to.begin_upload(blob, Some(&other)).await
}

#[tokio::test]
async fn fault_19_a_mounted_blob_costs_one_request() {
    let (registry, blob) = with_neighbour().await;
    let begun = ask(&client(), &registry, &blob).await.unwrap();
    assert!(matches!(begun, Begun::Mounted));
    assert_eq!(registry.requests().len(), 1);
    assert!(registry.has_blob("to/app", blob.as_str()));
    assert!(!registry.requests()[0].query.contains("origin"));
}

#[tokio::test]
async fn fault_19_a_mount_that_is_not_done_is_an_upload_begun() {
    let (registry, blob) = with_neighbour().await;
    registry.configure(|options| options.mounts = Mounts::Ignored);
    let client = client();
    for asked in 1..=2 {
        let begun = ask(&client, &registry, &blob).await.unwrap();
        assert!(matches!(begun, Begun::Session(_)));
        assert_eq!(registry.requests().len(), asked);
    }
}

#[tokio::test]
async fn fault_19_a_mount_that_is_an_error_is_paid_for_once() {
    for status in [400, 403, 404, 405, 500] {
        let (registry, blob) = with_neighbour().await;
        registry.configure(|options| options.mounts = Mounts::Refused(status));
        let client = client();
        let begun = ask(&client, &registry, &blob).await.unwrap();
        assert!(matches!(begun, Begun::Session(_)));
        assert_eq!(registry.requests().len(), 2, "{status}");
        let begun = ask(&client, &registry, &blob).await.unwrap();
        assert!(matches!(begun, Begun::Session(_)));
        assert_eq!(registry.requests().len(), 3, "{status}");
        let mounts = registry.count_where(|request| request.query.contains("mount="));
        assert_eq!(mounts, 1);
    }
}

#[tokio::test]
async fn fault_19_a_mount_begun_nowhere_is_begun_again() {
    let (registry, blob) = with_neighbour().await;
    registry.configure(|options| options.mounts = Mounts::Ignored);
    registry.on(
        Method::POST,
        "mount=",
        Nth::Every,
        Fault::Location(String::new()),
    );
    let begun = ask(&client(), &registry, &blob).await.unwrap();
    assert!(matches!(begun, Begun::Session(_)));
    assert_eq!(registry.requests().len(), 2);
}

#[tokio::test]
async fn a_mount_is_asked_of_the_same_registry_only() {
    let (registry, blob) = with_neighbour().await;
    let to = remote(&client(), &registry, "to/app", Intent::Write);
    for elsewhere in ["registry.example/other/app", &registry.image("to/app")] {
        let begun = to.begin_upload(&blob, Some(&repository(elsewhere))).await;
        assert!(matches!(begun, Ok(Begun::Session(_))));
    }
    assert_eq!(registry.count_where(|request| request.query.is_empty()), 2);
}
