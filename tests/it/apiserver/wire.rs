//! The resources behind the whole chain and real TLS: what only a connection can show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tagscope::apiserver::authn::{Authenticator, Settings as AuthnSettings};
use tagscope::apiserver::authz::{Authorizer, Settings as AuthzSettings};
use tagscope::apiserver::chain::{Chain, Settings};
use tagscope::apiserver::health::{Health, Readiness, Version};
use tagscope::apiserver::kind::Kind;
use tagscope::apiserver::resources::Tags;
use tagscope::apiserver::review::Reviewer;
use tagscope::apiserver::watch::{Breadth, Observer};
use tagscope::clock::{HandClock, SystemClock};
use tagscope::cluster::delegated::{AllowedNames, AuthConfig};
use tagscope::object::Key;
use tagscope::serve::Limits;
use tagscope::store::{Dating, ResourceVersion, Scan, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::support::{BASE, owner, time};
use crate::authn_kit::{Metrics, Reviews};
use crate::serve_kit::{self as kit, Ca, Client, Running, distant};

/// The user of every request; `eve` may do nothing.
pub(super) const USER: (&str, &str) = ("X-Remote-User", "bob");

/// What watches told.
#[derive(Default)]
pub(super) struct Told {
    pub(super) events: AtomicUsize,
    pub(super) bytes: AtomicUsize,
    pub(super) listed: AtomicUsize,
    pub(super) expired: AtomicUsize,
    pub(super) stalled: AtomicUsize,
    /// From now on it panics at every event.
    pub(super) panics: AtomicBool,
}

impl Observer for Told {
    fn sent(&self, _: Kind, bytes: usize) {
        assert!(!self.panics.load(Ordering::SeqCst), "on purpose");
        self.events.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }
    fn listed(&self, _: Kind, _: Breadth, _: Duration) {
        self.listed.fetch_add(1, Ordering::SeqCst);
    }
    fn expired(&self, _: Kind) {
        self.expired.fetch_add(1, Ordering::SeqCst);
    }
    fn stalled(&self, _: Kind) {
        self.stalled.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server over a store in memory.
pub(super) struct Wire {
    pub(super) store: Store,
    pub(super) told: Arc<Told>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: CancellationToken,
    pub(super) server: Running,
    server_ca: Ca,
    proxies: Ca,
    _config: watch::Sender<Arc<AuthConfig>>,
}

impl Wire {
    pub(super) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(super) async fn with(settings: Settings) -> Self {
        let (server_ca, proxies) = (Ca::new("server"), Ca::new("proxies"));
        let config = watch::Sender::new(Arc::new(AuthConfig {
            client_ca: None,
            front_proxy_ca: Some(vec![proxies.der()].into()),
            allowed_names: AllowedNames::These(vec!["front-proxy".into()]),
            username_headers: vec!["x-remote-user".into()],
            uid_headers: Vec::new(),
            group_headers: vec!["x-remote-group".into()],
            extra_prefixes: vec!["x-remote-extra-".into()],
        }));
        let clock = Arc::new(HandClock::at(time("2030-01-01T00:00:00Z")));
        let reviewer: Arc<dyn Reviewer> = Arc::new(Reviews::default());
        let store = Store::in_memory(Arc::new(SystemClock));
        let (told, metrics) = (Arc::new(Told::default()), Arc::new(Metrics::default()));
        let shutdown = CancellationToken::new();
        let readiness = Readiness::new();
        readiness.fact("store").set(true);
        let tags = Tags::new(store.clone(), clock.clone(), shutdown.clone())
            .with_watches_observed(Arc::<Told>::clone(&told));
        let chain = Chain::new(
            Settings {
                served: &["imagetags", "tagsets"],
                ..settings
            },
            Authenticator::new(
                AuthnSettings::default(),
                config.subscribe(),
                Arc::clone(&reviewer),
                clock,
            ),
            Authorizer::new(AuthzSettings::default(), reviewer),
            Health::new(readiness, Version::current()),
            Arc::new(tags),
            Arc::<Metrics>::clone(&metrics),
        );
        let server = kit::https(&server_ca, Limits::default(), Duration::from_mins(1), chain).await;
        let wire = Self {
            store,
            told,
            metrics,
            shutdown,
            server,
            server_ca,
            proxies,
            _config: config,
        };
        wire.scan("n", "a", &["1"]);
        wire
    }

    /// kube-apiserver, which proxies.
    pub(super) fn client(&self, protocols: &[&str]) -> Client {
        let identity = self.proxies.client("front-proxy", &[], distant());
        Client::showing(&self.server_ca, protocols, &identity)
    }

    pub(super) fn scan(&self, namespace: &str, name: &str, tags: &[&str]) {
        let scan = Scan {
            owner: owner(namespace, name),
            image: "ghcr.io/o/i".parse().unwrap(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            aside: Vec::new(),
            revision: tags.join(","),
            time: time("2029-01-01T00:00:00Z"),
            complete: true,
            dating: Dating::Now,
        };
        self.store.commit_scan(scan).unwrap();
    }

    /// Lets one more policy elect the tag `1`.
    pub(super) fn elect(&self, policy: &str) {
        let elected = Some(("1".parse().unwrap(), None));
        let policy = Key::new("n", policy);
        self.store
            .commit_election(&Key::new("n", "a"), &policy, elected)
            .unwrap();
    }

    pub(super) fn version(&self) -> ResourceVersion {
        self.store.snapshot().resource_version()
    }

    /// The path and query of a watch from now on, with `more` parameters.
    pub(super) fn watch_path(&self, resource: &str, more: &str) -> String {
        format!(
            "{BASE}/{resource}?watch=1&resourceVersion={}{more}",
            self.version().0
        )
    }

    /// Outcomes of watches that are over: code, and whether they came to their end.
    pub(super) fn watches_ended(&self) -> Vec<(Option<u16>, bool, u64)> {
        let ended = self.metrics.ended.lock();
        ended
            .iter()
            .filter(|(labels, _)| labels.verb == "WATCH")
            .map(|(_, outcome)| (outcome.code, outcome.complete, outcome.bytes))
            .collect()
    }
}

/// The frames of an answer, one by one.
pub(super) struct Frames {
    body: Incoming,
    rest: Vec<u8>,
}

impl Frames {
    pub(super) fn of(response: Response<Incoming>) -> Self {
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            rest: Vec::new(),
        }
    }

    /// The next frame; `None` at a clean end.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(kit::SOON, self.body.frame());
            match frame.await.expect("a frame or the end comes") {
                Some(frame) => {
                    let data: Bytes = frame.unwrap().into_data().unwrap();
                    self.rest.extend_from_slice(&data);
                }
                None => {
                    assert!(self.rest.is_empty(), "the stream ended within a frame");
                    return None;
                }
            }
        }
    }
}

/// `TYPE name` of a frame.
pub(super) fn brief(frame: &Value) -> String {
    super::support::brief(std::slice::from_ref(frame)).remove(0)
}
