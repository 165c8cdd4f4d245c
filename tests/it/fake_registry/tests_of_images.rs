//! Manifests, referrers and whole images: what the registry takes, keeps, lists and refuses.

use http::Method;
use serde_json::{Value, json};

use super::state::{INDEX_TYPE, MANIFEST_TYPE};
use super::tests_of_uploads::{Answer, send};
use super::{FakeRegistry, Image, Layer, Personality, digest_of};

async fn get(registry: &FakeRegistry, place: &str) -> Answer {
    send(registry, Method::GET, place, &[], "").await.unwrap()
}

async fn put(registry: &FakeRegistry, reference: &str, manifest: &Value) -> Answer {
    let place = format!("/v2/a/b/manifests/{reference}");
    let headers = [("content-type", MANIFEST_TYPE)];
    let body = manifest.to_string();
    send(registry, Method::PUT, &place, &headers, body)
        .await
        .unwrap()
}

#[tokio::test]
async fn images_are_whole_and_the_check_says_what_is_not() {
    let registry = FakeRegistry::start().await;
    let shared = Layer::new(1, 1000);
    let foreign = Layer::new(9, 10).foreign("http://elsewhere/layer");
    let children = ["linux/amd64", "linux/arm64/v8"].map(|platform| {
        Image::new([
            shared.clone(),
            Layer::new(platform.len() as u64, 500),
            foreign.clone(),
        ])
        .platform(platform)
    });
    let index = Image::index(children.clone());
    assert_eq!(index.layer_bytes(), 2000);
    let digest = registry.add_image("a/b", "1", &index);
    registry.add_image("a/b", "docker", &index.clone().docker());
    registry.add_image("a/b", "long", &children[0].clone().sha512());
    let child = registry.add_image("a/b", "child", &children[1]);
    let referrer = registry.add_referrer("a/b", &child, "application/x", 5);
    registry.check_whole("a/b");
    assert!(
        registry.has_blob("a/b", &shared.digest()) && !registry.has_blob("a/b", &foreign.digest())
    );
    let (kind, document) = registry.manifest("a/b", "1").unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(
        (kind.as_str(), document["manifests"][1]["digest"].as_str()),
        (INDEX_TYPE, Some(child.as_str()))
    );
    assert_eq!(document["manifests"][1]["platform"]["variant"], "v8");
    assert_eq!(registry.tag_digest("a/b", "1"), Some(digest));
    let (kind, _) = registry.manifest("a/b", "docker").unwrap();
    assert!(kind.contains("manifest.list"));

    registry.corrupt_blob("a/b", &shared.digest(), "other");
    registry.lose_manifest("a/b", &child);
    registry.corrupt_manifest("a/b", &referrer, "no JSON");
    let found = registry.faults_of("a/b").join("\n");
    for expected in [
        format!("{} has the digest {}", shared.digest(), digest_of(b"other")),
        format!("blob {} of tag 1 has 5 bytes", shared.digest()),
        format!("manifest {child} of tag 1 is missing"),
        format!("{referrer} has the digest"),
    ] {
        assert!(found.contains(&expected), "{expected} in\n{found}");
    }
    registry.lose_blob("a/b", &shared.digest());
    let found = registry.faults_of("a/b").join("\n");
    assert!(
        found.contains(&format!(
            "blob {} of tag docker is missing",
            shared.digest()
        )),
        "{found}"
    );
    registry.lose_repository("a/b");
    assert_eq!(registry.faults_of("a/b"), ["no such repository"]);
}

#[tokio::test]
async fn manifests_are_known_by_etag_type_and_digest() {
    let registry = FakeRegistry::start().await;
    let digest = registry.add_image("a/b", "1", &Image::sized(1, &[10]).docker());
    let answer = get(&registry, "/v2/a/b/manifests/1").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("application/vnd.docker.")
    );
    assert_eq!(answer.header("docker-content-digest"), digest);
    assert_eq!(digest_of(&answer.body), digest);
    let etag = answer.header("etag").to_owned();
    let known = [("if-none-match", etag.as_str())];
    for method in [Method::GET, Method::HEAD] {
        let place = "/v2/a/b/manifests/1";
        let again = send(&registry, method, place, &known, "").await.unwrap();
        assert_eq!(
            (again.status, again.header("docker-content-digest")),
            (304, digest.as_str())
        );
    }
    registry.configure(|options| {
        options.manifest_etags = false;
        options.refuses_manifest_head = Some(405);
    });
    let place = format!("/v2/a/b/manifests/{digest}");
    let again = send(&registry, Method::GET, &place, &known, "")
        .await
        .unwrap();
    assert_eq!((again.status, again.header("etag")), (200, ""));
    let head = send(&registry, Method::HEAD, &place, &[], "")
        .await
        .unwrap();
    assert_eq!(head.status, 405);
}

#[tokio::test]
async fn pushes_are_held_to_what_they_name() {
    let registry = FakeRegistry::start().await;
    let blob = registry.add_blob("a/b", "abc");
    let of = |digest: &str| {
        let blob = json!({"mediaType": "application/x", "digest": digest, "size": 3});
        json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": blob, "layers": []})
    };
    let missing = digest_of(b"missing");
    let refused = put(&registry, "1", &of(&missing)).await;
    assert!(refused.status == 400 && refused.text().contains("MANIFEST_BLOB_UNKNOWN"));
    assert_eq!(registry.tags("a/b"), Vec::<String>::new());
    let whole = of(&blob);
    let digest = digest_of(whole.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [{"digest": digest, "size": whole.to_string().len()}]});
    let refused = put(&registry, "i", &index).await;
    assert!(refused.status == 400 && refused.text().contains("MANIFEST_UNKNOWN"));
    registry.configure(|options| options.takes_sparse_indexes = true);
    assert_eq!(put(&registry, "i", &index).await.status, 201);
    let refused = put(&registry, &missing, &whole).await;
    assert!(refused.status == 400 && refused.text().contains("DIGEST_INVALID"));
    assert_eq!(put(&registry, &digest, &whole).await.status, 201);
    assert_eq!(registry.tags("a/b"), ["i"]);
    let answer = put(&registry, "1", &whole).await;
    assert_eq!(
        (answer.status, answer.header("docker-content-digest")),
        (201, digest.as_str())
    );
    assert_eq!(put(&registry, "-x", &whole).await.status, 400);
    let many = format!("{digest}?tag=x&tag=y");
    assert_eq!(put(&registry, &many, &whole).await.header("oci-tag"), "");
    registry.configure(|options| {
        options.takes_many_tags = true;
        options.checks_references = false;
    });
    assert_eq!(
        put(&registry, &many, &whole).await.header("oci-tag"),
        "x, y"
    );
    assert_eq!(registry.tags("a/b"), ["i", "1", "x", "y"]);
    assert_eq!(put(&registry, "2", &of(&missing)).await.status, 201);
    assert_eq!(registry.faults_of("a/b").len(), 1);
}

#[tokio::test]
async fn tags_are_immutable_guarded_and_deleted() {
    let registry = FakeRegistry::start().await;
    let bare = json!({"schemaVersion": 2});
    let other = json!({"schemaVersion": 2, "annotations": {}});
    let digest = digest_of(bare.to_string().as_bytes());
    assert_eq!(put(&registry, "1", &bare).await.status, 201);
    for status in [400, 403, 405, 409, 412] {
        registry.configure(|options| options.immutable_tags = Some(status));
        for manifest in [&bare, &other] {
            let refused = put(&registry, "1", manifest).await;
            assert_eq!(refused.status, status);
            assert_eq!(refused.text().contains("TAG_INVALID"), status == 400);
        }
        assert_eq!(put(&registry, &digest, &bare).await.status, 201);
    }
    registry.configure(|options| options.immutable_tags = None);
    for (etag, status) in [("\"sha256:stale\"", 412), (&*format!("\"{digest}\""), 201)] {
        let place = "/v2/a/b/manifests/1";
        let guard = [("if-match", etag)];
        let answer = send(&registry, Method::PUT, place, &guard, other.to_string()).await;
        assert_eq!(answer.unwrap().status, status);
    }
    let delete = async |reference: &str| {
        let place = format!("/v2/a/b/manifests/{reference}");
        send(&registry, Method::DELETE, &place, &[], "")
            .await
            .unwrap()
            .status
    };
    registry.set_tag("a/b", "2", &digest);
    registry.set_tag("a/b", "3", &digest);
    registry.configure(|options| {
        options.refuses_tag_deletion = Some(405);
        options.refuses_digest_deletion = Some(403);
    });
    assert_eq!((delete("2").await, delete(&digest).await), (405, 403));
    registry.configure(|options| {
        options.refuses_tag_deletion = None;
        options.refuses_digest_deletion = None;
    });
    assert_eq!((delete("2").await, delete("2").await), (202, 404));
    assert!(registry.manifest("a/b", &digest).is_some());
    assert_eq!((delete(&digest).await, delete(&digest).await), (202, 404));
    assert_eq!(registry.tags("a/b"), ["1"]);
}

#[tokio::test]
async fn referrers_are_listed_in_pages_and_filtered() {
    let registry = FakeRegistry::start().await;
    let subject = registry.add_image("a/b", "1", &Image::sized(1, &[10]));
    let referrers: Vec<String> = (0..3)
        .map(|n| registry.add_referrer("a/b", &subject, ["x/a", "x/b"][n % 2], 10 + n as u64))
        .collect();
    let list = async |place: &str| {
        let answer = get(&registry, place).await;
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        let digests: Vec<String> = document["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["digest"].as_str().unwrap().to_owned())
            .collect();
        let header = |name: &str| answer.header(name).to_owned();
        (digests, header("link"), header("oci-filters-applied"))
    };
    let place = format!("/v2/a/b/referrers/{subject}");
    assert_eq!(list(&place).await.0, referrers);
    let (found, _, applied) = list(&format!("{place}?artifactType=x%2Fb")).await;
    assert_eq!(
        (&found[..], applied.as_str()),
        (&referrers[1..2], "artifactType")
    );
    let none = format!("/v2/a/b/referrers/{}", digest_of(b"none"));
    assert!(list(&none).await.0.is_empty());
    registry.configure(|options| {
        options.referrers_page = Some(2);
        options.filters_referrers = false;
    });
    let (first, link, _) = list(&format!("{place}?artifactType=x%2Fb")).await;
    let next = link.split(['<', '>']).nth(1).unwrap();
    let (second, end, _) = list(next).await;
    assert_eq!(([first, second].concat(), end.as_str()), (referrers, ""));

    let with_subject = json!({"schemaVersion": 2, "subject": {"digest": subject}});
    let said = async |tag: &str| {
        put(&registry, tag, &with_subject)
            .await
            .header("oci-subject")
            .to_owned()
    };
    assert_eq!(said("s").await, subject);
    registry.configure(|options| options.says_subject = false);
    assert_eq!(said("t").await, "");
    registry.configure(|options| options.has_referrers = false);
    assert_eq!(get(&registry, &place).await.status, 404);
    let tag = registry.add_referrers_tag("a/b", &subject);
    let (kind, index) = registry.manifest("a/b", &tag).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(
        (kind.as_str(), index["manifests"].as_array().unwrap().len()),
        (INDEX_TYPE, 4)
    );
    let signature = registry.add_cosign("a/b", &subject, "sig", 7);
    assert_eq!(signature, format!("{tag}.sig"));
    registry.check_whole("a/b");
}

#[tokio::test]
async fn personalities_differ_where_registries_do() {
    let registry = FakeRegistry::start().await;
    let tags: Vec<String> = (0..120).map(|n| format!("t{n:03}")).collect();
    registry.add_repository("a/b", tags.clone());
    let page = async |query: &str| {
        let answer = get(&registry, &format!("/v2/a/b/tags/list{query}")).await;
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        let count = document["tags"].as_array().map_or(0, Vec::len);
        (
            answer.status,
            count,
            answer.header("link").to_owned(),
            document,
        )
    };
    for personality in Personality::ALL {
        registry.become_a(personality);
        let (n, expected) = match personality {
            Personality::Quay => ("?n=101", (400, 0)),
            Personality::Ecr => ("?n=1001", (400, 0)),
            Personality::Gar => ("?n=10", (200, 120)),
            Personality::Acr | Personality::Ghcr | Personality::Gitlab => ("", (200, 100)),
            Personality::Nexus | Personality::Artifactory => ("?n=70", (200, 70)),
            Personality::Plain | Personality::Hub => ("", (200, 120)),
        };
        let (status, count, link, document) = page(n).await;
        assert_eq!((status, count), expected, "{personality:?}");
        if personality == Personality::Gar {
            assert_eq!(document["manifest"].as_object().unwrap().len(), 120);
        }
        let lost = "</v2/b/tags/list?";
        assert_eq!(
            link.starts_with(lost),
            personality == Personality::Artifactory,
            "{link}"
        );
        if personality == Personality::Nexus {
            assert_eq!(link, "");
        }
        // Where a link is right, it leads through all tags once.
        let mut found = Vec::new();
        let mut query = "?n=70".to_owned();
        let is_right = !matches!(personality, Personality::Artifactory | Personality::Nexus);
        while is_right && found.len() < 120 {
            let (_, _, link, document) = page(&query).await;
            let list = document["tags"].as_array().unwrap();
            found.extend(list.iter().map(|tag| tag.as_str().unwrap().to_owned()));
            let next = link.split('>').next().unwrap_or_default();
            query = next
                .split_once("/tags/list")
                .map_or_else(String::new, |(_, rest)| rest.into());
        }
        assert!(!is_right || found == tags, "{personality:?}");
        if personality == Personality::Ghcr {
            assert_eq!(query.rsplit('&').next(), Some("n=0"), "{query}");
        }
    }
    let digest = registry.add_image("a/b", "image", &Image::sized(1, &[10]));
    let place = format!("/v2/a/b/manifests/{}", digest.replacen(':', "-", 1));
    for (personality, status) in [(Personality::Gitlab, 200), (Personality::Plain, 404)] {
        registry.become_a(personality);
        assert_eq!(get(&registry, &place).await.status, status);
    }
}
