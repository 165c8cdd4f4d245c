//! What images can run on.

use serde_json::{Value, json};
use tagscope::image::Digest;
use tagscope::registry::{Access, Client, Error, Kind};

use super::{client, repository, soon, with_tags};
use crate::fake_registry::{FakeRegistry, Fault, Route};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

async fn platforms(
    client: &Client,
    registry: &FakeRegistry,
    digest: &str,
) -> Result<Vec<String>, Error> {
    let image = repository(&registry.image("team/app"));
    let digest = digest.parse().unwrap();
    let found = client
        .platforms(&image, &digest, &Access::default(), soon())
        .await?;
    Ok(found.iter().map(ToString::to_string).collect())
}

fn listed(platform: &Value) -> Value {
    let digest = Digest::of(platform.to_string().as_bytes()).to_string();
    json!({ "mediaType": MANIFEST, "digest": digest, "size": 7, "platform": platform })
}

/// A manifest with a configuration that says this.
fn single(registry: &FakeRegistry, config: &Value) -> String {
    let config = registry.put_manifest("team/app", None, CONFIG, config);
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config, "size": 7 }, "layers": [] });
    registry.put_manifest("team/app", None, MANIFEST, &manifest)
}

#[tokio::test]
async fn an_index_says_it_in_one_request_and_attestations_do_not_count() {
    let registry = with_tags(&[]).await;
    for media_type in [INDEX, LIST] {
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [
            listed(&json!({ "os": "linux", "architecture": "arm64", "variant": "v8" })),
            listed(&json!({ "os": "linux", "architecture": "amd64" })),
            listed(&json!({ "os": "linux", "architecture": "arm", "variant": "v7" })),
            listed(&json!({ "os": "windows", "architecture": "amd64", "os.version": "10.0.1" })),
            listed(&json!({ "os": "windows", "architecture": "amd64", "os.version": "10.0.2" })),
            listed(&json!({ "os": "unknown", "architecture": "unknown" })),
        ]});
        let digest = registry.put_manifest("team/app", Some("1"), media_type, &index);
        registry.clear_requests();
        assert_eq!(
            platforms(&client(), &registry, &digest).await.unwrap(),
            [
                "linux/amd64",
                "linux/arm/v7",
                "linux/arm64",
                "windows/amd64"
            ]
        );
        assert_eq!(registry.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_single_manifest_has_the_platform_of_its_configuration() {
    let registry = with_tags(&[]).await;
    let digest = single(
        &registry,
        &json!({ "os": "linux", "architecture": "arm64", "rootfs": {} }),
    );
    assert_eq!(
        platforms(&client(), &registry, &digest).await.unwrap(),
        ["linux/arm64"]
    );
    assert_eq!(
        (registry.count(Route::Manifest), registry.count(Route::Blob)),
        (1, 1)
    );
    // What is no image runs nowhere.
    let chart = registry.push("team/app", "chart");
    assert!(
        platforms(&client(), &registry, &chart)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn an_index_within_an_index_and_a_manifest_without_platform_are_looked_into() {
    let registry = with_tags(&[]).await;
    let inner = json!({ "mediaType": INDEX, "manifests": [
        listed(&json!({ "os": "linux", "architecture": "s390x" })),
        { "mediaType": INDEX, "digest": "sha256:deeper", "size": 7 },
    ]});
    let inner = registry.put_manifest("team/app", None, INDEX, &inner);
    let bare = single(
        &registry,
        &json!({ "os": "linux", "architecture": "riscv64" }),
    );
    let outer = json!({ "mediaType": INDEX, "manifests": [
        { "mediaType": INDEX, "digest": inner, "size": 7 },
        { "mediaType": MANIFEST, "digest": bare, "size": 7 },
    ]});
    let outer = registry.put_manifest("team/app", None, INDEX, &outer);
    assert_eq!(
        platforms(&client(), &registry, &outer).await.unwrap(),
        ["linux/riscv64", "linux/s390x"]
    );
    let many: Vec<_> = (0..9)
        .map(|_| json!({ "mediaType": MANIFEST, "digest": bare, "size": 7 }))
        .collect();
    let many = json!({ "mediaType": INDEX, "manifests": many });
    let many = registry.put_manifest("team/app", None, INDEX, &many);
    let error = platforms(&client(), &registry, &many).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "an image's index of {} for team/app exceeds 8 manifests without a platform, the limit",
            registry.plain_host()
        )
    );
}

#[tokio::test]
async fn what_does_not_have_its_digest_is_refused_and_what_is_missing_is_named() {
    let registry = with_tags(&[]).await;
    let host = registry.plain_host();
    let digest = single(
        &registry,
        &json!({ "os": "linux", "architecture": "amd64" }),
    );
    let client = client();
    registry.fail_next(Fault::Json(r#"{"manifests":[]}"#.into()));
    let error = platforms(&client, &registry, &digest).await.unwrap_err();
    assert!(
        error.to_string().starts_with(&format!(
            "{host} sent a malformed answer to GET /v2/team/app/manifests/{digest}: what it sent has the digest sha256:"
        )),
        "{error}"
    );
    // The configuration, too.
    registry.fail_next(Fault::Slow(std::time::Duration::ZERO));
    registry.fail_next(Fault::Json(
        r#"{"os":"linux","architecture":"arm64"}"#.into(),
    ));
    let error = platforms(&client, &registry, &digest).await.unwrap_err();
    assert!(
        error.to_string().contains("what it sent has the digest"),
        "{error}"
    );
    assert!(error.to_string().contains("/blobs/sha256:"), "{error}");

    let missing = Digest::of(b"none").to_string();
    let error = platforms(&client, &registry, &missing).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.to_string(),
        format!(
            "{host} does not know the manifest team/app@{missing}; MANIFEST_UNKNOWN: manifest unknown"
        )
    );
    let neither = registry.put_manifest("team/app", None, MANIFEST, &json!({ "schemaVersion": 1 }));
    let error = platforms(&client, &registry, &neither).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("it names neither manifests nor a configuration"),
        "{error}"
    );
}
