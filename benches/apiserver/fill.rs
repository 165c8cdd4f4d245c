//! What is listed: custom resources in kube-apiserver, and as many tags in the program, of the same content.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::OURS;
use crate::client::Server;
use crate::e2e::harness::eventually;
use crate::it::fake_registry::FakeRegistry;

/// How many clients create at the same time.
const CLIENTS: usize = 16;

/// The user may do everything, but by a rule that has to be looked up.
pub(crate) const RIGHTS: &str = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"bench"},
"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"bench"}]}"#;

/// A custom resource that has the fields and columns of an ImageTag.
pub(crate) fn definition() -> String {
    let text = r#"{"type":"string"}"#;
    let number = r#"{"type":"integer","format":"int64"}"#;
    let columns = [
        ("Image", ".image", 0),
        ("Tag", ".tag", 0),
        ("Selected By", ".selectedBy[*].name", 0),
        ("First Seen", ".firstSeen", 0),
        ("Digest", ".digest", 1),
        ("Version", ".version.major", 1),
    ]
    .map(|(name, path, priority)| {
        format!(r#"{{"name":"{name}","type":"string","jsonPath":"{path}","priority":{priority}}}"#)
    })
    .join(",");
    format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"imagetags.bench.tagscope.dev"}},
"spec":{{"group":"bench.tagscope.dev","scope":"Namespaced","names":{{"kind":"ImageTag","listKind":"ImageTagList","plural":"imagetags","singular":"imagetag"}},
"versions":[{{"name":"v1alpha1","served":true,"storage":true,"additionalPrinterColumns":[{columns}],
"schema":{{"openAPIV3Schema":{{"type":"object","properties":{{"repository":{text},"image":{text},"tag":{text},"firstSeen":{text},"digest":{text},
"version":{{"type":"object","properties":{{"major":{number},"minor":{number},"patch":{number},"prerelease":{text},"metadata":{text}}}}},
"selectedBy":{{"type":"array","items":{{"type":"object","properties":{{"namespace":{text},"name":{text}}}}}}}}}}}}}}}]}}}}"#
    )
}

/// The name of the n-th repository.
pub(crate) fn repository(n: usize) -> String {
    format!("repository-{n:04}")
}

/// The n-th tag of every repository.
pub(crate) fn version(n: usize) -> String {
    format!("v{}.{}.{}", n / 2500, n / 50 % 50, n % 50)
}

fn object(n: usize) -> String {
    let (repository, tag) = (repository(n / 1000), version(n % 1000));
    let (minor, patch) = (n % 1000 / 50 % 50, n % 50);
    format!(
        r#"{{"apiVersion":"bench.tagscope.dev/v1alpha1","kind":"ImageTag","metadata":{{"name":"{repository}.{tag}","namespace":"bench","labels":{{"tags.tagscope.dev/repository":"{repository}"}}}},"repository":"{repository}","image":"127.0.0.1:30000/team/{repository}","tag":"{tag}","version":{{"major":0,"minor":{minor},"patch":{patch}}}}}"#
    )
}

/// Creates `count` custom resources.
pub(crate) async fn custom_resources(kube: &Server, count: usize) {
    let path = "/apis/bench.tagscope.dev/v1alpha1/namespaces/bench/imagetags?fieldManager=bench";
    create(kube, path, 0..count, object).await;
}

/// Has the repositories scanned, of a thousand tags each, and waits until all their tags are served.
pub(crate) async fn tags(kube: &Server, ours: &Server, fake: &FakeRegistry, which: Range<usize>) {
    let versions: Vec<_> = (0..1000).map(version).collect();
    for n in which.clone() {
        fake.add_repository(
            &format!("team/{}", repository(n)),
            versions.iter().map(String::as_str),
        );
    }
    let host = fake.plain_host();
    let path = "/apis/image.toolkit.fluxcd.io/v1/namespaces/bench/imagerepositories";
    let expected = which.end * 1000;
    create(kube, path, which, move |n| {
        let name = repository(n);
        format!(
            r#"{{"apiVersion":"image.toolkit.fluxcd.io/v1","kind":"ImageRepository","metadata":{{"name":"{name}","namespace":"bench"}},"spec":{{"image":"{host}/team/{name}","interval":"12h"}}}}"#
        )
    })
    .await;
    eventually(Duration::from_mins(5), "all tags are served", || async {
        let path = format!("{OURS}/imagetags?limit=1");
        let list = ours.connect().await.text(&path).await;
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let remaining = list["metadata"]["remainingItemCount"].as_u64();
        match remaining.map_or(0, |remaining| remaining + 1) {
            all if all == expected as u64 => Ok(()),
            all => Err(format!("{all} of {expected}")),
        }
    })
    .await;
}

/// Posts what `body` makes of every number.
async fn create(
    server: &Server,
    path: &str,
    which: Range<usize>,
    body: impl Fn(usize) -> String + Send + Sync + 'static,
) {
    let (next, body) = (Arc::new(AtomicUsize::new(which.start)), Arc::new(body));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut connection = server.connect().await;
        let (next, body, path) = (Arc::clone(&next), Arc::clone(&body), path.to_owned());
        let end = which.end;
        clients.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= end {
                    break;
                }
                connection.post(&path, body(n)).await;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}
