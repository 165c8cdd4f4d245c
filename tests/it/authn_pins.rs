//! Flags in the ConfigMap's place, and a ConfigMap that is missing, deleted, malformed or forbidden: what counts, and what
//! the metric says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tagscope::cluster::delegated::{
    AllowedNames, AuthConfig, Follower, Gauges, Lookup, Pinned, Pins,
};
use tagscope::task;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::authn_fake_cluster::Cluster;
use crate::serve_kit::{Ca, Running, SOON, eventually};

const CONFIG: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const CONFIGS: &str = "/api/v1/namespaces/kube-system/configmaps";

fn config_map(data: &Value) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": data,
    })
}

/// What kube-apiserver writes.
fn data(users: &Ca, proxies: &Ca) -> Value {
    json!({
        "client-ca-file": users.pem(),
        "requestheader-client-ca-file": proxies.pem(),
        "requestheader-allowed-names": r#"["front-proxy-client"]"#,
        "requestheader-username-headers": r#"["X-Remote-User"]"#,
        "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
        "requestheader-group-headers": r#"["X-Remote-Group"]"#,
        "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
    })
}

/// A follower at work.
struct Following {
    current: watch::Receiver<Arc<AuthConfig>>,
    gauges: Gauges,
    _server: Running,
    _stop: DropGuard,
}

impl Following {
    async fn start(cluster: &Cluster, pinned: Pinned) -> Self {
        let (server, client) = cluster.start().await;
        let gauges = Gauges::default();
        let follower = Follower::start(client, pinned, gauges.clone())
            .await
            .unwrap()
            .with_files_period(Duration::from_millis(10));
        let current = follower.current();
        let stop = CancellationToken::new();
        task::detach("follow", follower.follow(stop.clone()));
        Self {
            current,
            gauges,
            _server: server,
            _stop: stop.drop_guard(),
        }
    }

    async fn becomes(&mut self, what: &str, holds: impl FnMut(&Arc<AuthConfig>) -> bool) {
        let reached = tokio::time::timeout(SOON, self.current.wait_for(holds)).await;
        assert!(matches!(reached, Ok(Ok(_))), "{what}");
    }

    async fn has_problems(&self, count: i64) {
        eventually(&format!("{count} problems"), || {
            self.gauges.problems.get() == count
        })
        .await;
    }
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn what_flags_say_counts_and_the_rest_follows_the_config_map() {
    let directory = tempfile::tempdir().unwrap();
    let (users, proxies, other, next) = (
        Ca::new("users"),
        Ca::new("proxies"),
        Ca::new("other"),
        Ca::new("next"),
    );
    let cluster = Cluster::new();
    cluster.put(CONFIG, config_map(&data(&users, &proxies)));
    let file = write(directory.path(), "proxy.pem", &other.pem());
    let pins = Pins {
        front_proxy_ca: Some(file.clone()),
        allowed_names: Some(Vec::new()),
        username_headers: Some(vec!["x-who".into()]),
        ..Pins::default()
    };
    let mut following = Following::start(&cluster, pins.load().await.unwrap()).await;
    let expected = AuthConfig {
        client_ca: Some([users.der()].into()),
        front_proxy_ca: Some([other.der()].into()),
        allowed_names: AllowedNames::Any,
        username_headers: vec!["x-who".into()],
        uid_headers: vec!["x-remote-uid".into()],
        group_headers: vec!["x-remote-group".into()],
        extra_prefixes: vec!["x-remote-extra-".into()],
    };
    assert_eq!(**following.current.borrow(), expected);

    // The ConfigMap rotates both authorities: that of the proxy is the file's business.
    cluster.put(CONFIG, config_map(&data(&next, &next)));
    following
        .becomes("the users' authority follows", |config| {
            config.client_ca.as_deref() == Some(&[next.der()][..])
        })
        .await;
    assert_eq!(
        following.current.borrow().front_proxy_ca.as_deref(),
        Some(&[other.der()][..])
    );
    write(directory.path(), "proxy.pem", &proxies.pem());
    following
        .becomes("the file is read again", |config| {
            config.front_proxy_ca.as_deref() == Some(&[proxies.der()][..])
        })
        .await;
    following.has_problems(0).await;

    // A file that breaks keeps what it said, and says so until it is whole again.
    write(directory.path(), "proxy.pem", "not a certificate");
    following.has_problems(1).await;
    std::fs::remove_file(&file).unwrap();
    following.has_problems(1).await;
    assert_eq!(
        following.current.borrow().front_proxy_ca.as_deref(),
        Some(&[proxies.der()][..])
    );
    write(directory.path(), "proxy.pem", &proxies.pem());
    following.has_problems(0).await;
}

#[tokio::test]
async fn files_that_hold_no_bundle_are_an_error_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let empty = write(directory.path(), "empty.pem", "");
    let missing = directory.path().join("missing.pem");
    for (pins, expected) in [
        (
            Pins {
                client_ca: Some(empty.clone()),
                ..Pins::default()
            },
            format!("--client-ca-file {} holds no certificate", empty.display()),
        ),
        (
            Pins {
                front_proxy_ca: Some(missing.clone()),
                ..Pins::default()
            },
            format!(
                "failed to read --requestheader-client-ca-file {}",
                missing.display()
            ),
        ),
    ] {
        assert_eq!(pins.load().await.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn a_lookup_that_is_skipped_asks_nothing_and_headers_have_their_usual_names() {
    let directory = tempfile::tempdir().unwrap();
    let proxies = Ca::new("proxies");
    let file = write(directory.path(), "proxy.pem", &proxies.pem());
    let cluster = Cluster::new();
    let pins = Pins {
        lookup: Lookup::Skipped,
        front_proxy_ca: Some(file),
        group_headers: Some(vec!["x-groups".into()]),
        ..Pins::default()
    };
    let mut following = Following::start(&cluster, pins.load().await.unwrap()).await;
    let authorities = [
        following.gauges.client_authorities.get(),
        following.gauges.front_proxy_authorities.get(),
    ];
    assert_eq!(authorities, [0, 1]);
    let expected = AuthConfig {
        front_proxy_ca: Some([proxies.der()].into()),
        username_headers: vec!["x-remote-user".into()],
        group_headers: vec!["x-groups".into()],
        extra_prefixes: vec!["x-remote-extra-".into()],
        ..AuthConfig::default()
    };
    assert_eq!(**following.current.borrow(), expected);
    let next = Ca::new("next");
    write(directory.path(), "proxy.pem", &next.pem());
    following
        .becomes("the file is read again", |config| {
            config.front_proxy_ca.as_deref() == Some(&[next.der()][..])
        })
        .await;
    assert_eq!(cluster.log(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lookup_whose_failure_is_tolerated_catches_up() {
    let (users, proxies) = (Ca::new("users"), Ca::new("proxies"));
    let cluster = Cluster::new();
    cluster.refuse(Method::GET, CONFIG, 403);
    cluster.refuse(Method::GET, CONFIGS, 403);
    let pins = Pins {
        lookup: Lookup::Tolerated,
        ..Pins::default()
    };
    let mut following = Following::start(&cluster, pins.load().await.unwrap()).await;
    assert_eq!(**following.current.borrow(), AuthConfig::default());
    assert!(following.gauges.problems.get() > 0, "it is told");
    cluster.put(CONFIG, config_map(&data(&users, &proxies)));
    following
        .becomes("it is read once it may be", |config| {
            config.front_proxy_ca.is_some()
        })
        .await;
    following.has_problems(0).await;
}

/// Deleted, emptied, malformed: the last good state goes on, and the metric says that something is wrong.
#[tokio::test]
async fn whatever_happens_to_the_config_map_its_last_good_state_goes_on() {
    let (users, proxies) = (Ca::new("users"), Ca::new("proxies"));
    let good = data(&users, &proxies);
    let cluster = Cluster::new();
    cluster.put(CONFIG, config_map(&good));
    let following = Following::start(&cluster, Pinned::default()).await;
    let state = Arc::clone(&following.current.borrow());
    let mut malformed = good.clone();
    malformed["requestheader-allowed-names"] = json!("front-proxy-client");
    malformed["client-ca-file"] = json!("-----BEGIN CERTIFICATE-----");
    for (map, problems) in [
        (Some(json!({})), 7),
        (Some(good.clone()), 0),
        (Some(malformed), 2),
        (None, 3),
        (Some(good), 0),
    ] {
        match &map {
            Some(data) => cluster.put(CONFIG, config_map(data)),
            None => cluster.delete(CONFIG),
        }
        following.has_problems(problems).await;
        assert_eq!(*following.current.borrow(), state, "{map:?}");
    }
}
