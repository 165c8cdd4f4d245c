//! Small rules of the transport that belong to no other file: what a resumed session proves, what handshakes tell of our
//! authorities, what the log tells of certificates and requests, and who may reach the port.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SignatureScheme};
use serde_json::{Value, json};
use tagscope::clock::{HandClock, SharedClock};
use tagscope::serve::Certificates;
use tagscope::serve::reload::{Files, Follower};
use tagscope::task;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::authn_kit::{LIST, World};
use crate::serve_kit::{Ca, Client, Http1, eventually, get};
use crate::sources;

const H1: &[&str] = &["http/1.1"];

/// The client's certificate is remembered with the session; whether it still counts is asked at each request.
#[tokio::test]
async fn a_resumed_session_is_no_proof_once_the_authority_has_changed() {
    let world = World::new().await;
    let client = Client::showing(&world.server_ca, H1, &world.proxy());
    let headers = [("X-Remote-User", "bob"), ("host", "localhost")];
    let next = Ca::new("proxies");
    for (round, kind, status) in [
        (0, HandshakeKind::Full, 200),
        (1, HandshakeKind::Resumed, 200),
        (2, HandshakeKind::Resumed, 401),
    ] {
        if round == 2 {
            let only_next = vec![next.der()];
            world.reconfigure(|config| config.front_proxy_ca = Some(only_next.into()));
        }
        let stream = client.tls(world.server.address).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind), "{round}");
        let answer = Http1::over(stream).await.send(get(LIST, &headers)).await;
        assert_eq!(answer.status, status, "{round}");
    }
}

/// Shows nothing, and remembers how many authorities the server said that it accepts.
#[derive(Debug, Default)]
struct Hints(Mutex<Vec<usize>>);

impl ResolvesClientCert for Hints {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.lock().push(hints.len());
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Hundreds of names would break some clients, and with a list a client may hold back what it has.
#[tokio::test]
async fn a_certificate_is_asked_for_and_no_authority_named() {
    let world = World::new().await;
    let many: Vec<_> = (0..3).map(|_| Ca::new("kubernetes").der()).collect();
    world.reconfigure(|config| config.client_ca = Some(many.into()));
    let mut roots = RootCertStore::empty();
    roots.add(world.server_ca.der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let hints = Arc::new(Hints::default());
    let resolver: Arc<dyn ResolvesClientCert> = Arc::<Hints>::clone(&hints);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(world.server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.unwrap();
    let answer = Http1::over(stream).await.get("/livez").await;
    assert_eq!(answer.status, 200, "nobody has to show one");
    assert_eq!(*hints.0.lock(), [0]);
}

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// Writes a pair that ends after so many days into the directory `into`.
fn write_pair(into: &Path, lasts: i64) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = std::time::SystemTime::from(now() + days(lasts)).into();
    let certificate = params.self_signed(&key).unwrap().pem();
    std::fs::write(into.join("tls.crt"), certificate).unwrap();
    std::fs::write(into.join("tls.key"), key.serialize_pem()).unwrap();
}

/// What we log on this thread at this level and above.
#[derive(Clone)]
struct Log {
    least: Level,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn of(least: Level) -> Self {
        Self {
            least,
            lines: Arc::default(),
        }
    }

    fn with(&self, words: &str) -> Vec<String> {
        let lines = self.lines.lock();
        let found = lines.iter().filter(|line| line.contains(words));
        found.cloned().collect()
    }

    fn count(&self, words: &str) -> usize {
        self.with(words).len()
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.least && metadata.target().starts_with("tagscope")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.lines.lock().push(text.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn the_log_warns_once_two_weeks_before_a_certificate_ends() {
    const WORDS: &str = "Serving certificate ends soon";
    let logged = Log::of(Level::WARN);
    let _logging = tracing::subscriber::set_default(logged.clone());
    let directory = tempfile::tempdir().unwrap();
    write_pair(directory.path(), 15);
    let files = Files {
        certificate: directory.path().join("tls.crt"),
        key: directory.path().join("tls.key"),
    };
    let (certificates, stop) = (Certificates::empty(), CancellationToken::new());
    let clock = Arc::new(HandClock::at(now()));
    let told: SharedClock = Arc::<HandClock>::clone(&clock);
    let follower = Follower::load(files, certificates.clone(), told).unwrap();
    let following = follower.follow(Duration::from_millis(10), stop.clone());
    task::detach("follow", following);
    let _stops = stop.drop_guard();
    let until = async |lasts: i64| {
        eventually("the new pair serves", || {
            certificates.not_after() == Some(now() + days(lasts))
        })
        .await;
    };
    write_pair(directory.path(), 16);
    until(16).await;
    assert_eq!(logged.count(WORDS), 0);
    clock.advance(days(3));
    eventually("it warns", || logged.count(WORDS) > 0).await;
    write_pair(directory.path(), 60);
    until(60).await;
    assert_eq!(logged.count(WORDS), 1, "once for each certificate");
}

#[tokio::test]
async fn each_request_leaves_one_line_without_its_secrets() {
    let logged = Log::of(Level::DEBUG);
    let _logging = tracing::subscriber::set_default(logged.clone());
    let world = World::new().await;
    let mut client = world.client(None).http2(world.server.address).await;
    let headers = [
        ("Authorization", "Bearer good"),
        ("Audit-ID", "id-7"),
        ("User-Agent", "kubectl/v1"),
    ];
    let path = format!("{LIST}?limit=5");
    assert_eq!(client.send(get(&path, &headers)).await.status, 200);
    eventually("it is written", || logged.count("Request ended") == 1).await;
    let line = logged.with("Request ended").remove(0);
    for part in [
        "audit_id=\"id-7\"",
        "verb=\"LIST\"",
        LIST,
        "user=\"system:serviceaccount:n:robot\"",
        "groups=2",
        "127.0.0.1",
        "kubectl/v1",
        "code=200",
        "duration=",
        "bytes=",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert_eq!(logged.count("Bearer"), 0);
    assert!(!line.contains("good"), "{line}");

    // An id is passed on whole, and written down in part.
    let long = "i".repeat(100);
    let answer = client
        .send(get(&path, &[headers[0], ("Audit-ID", long.as_str())]))
        .await;
    assert_eq!(answer.header("audit-id"), Some(&*long));
    eventually("it is written", || logged.count("Request ended") == 2).await;
    let line = logged.with("Request ended").remove(1);
    let written = format!("audit_id=\"{}\"", "i".repeat(64));
    assert!(line.contains(&written), "{line}");
}

/// kube-apiserver's address is often no pod's, so that no selector finds it.
#[test]
fn whoever_knows_the_port_may_reach_it() {
    let text = sources::read(&sources::root().join("deploy/base/network-policies.yaml"));
    let policy: Value = serde_saphyr::from_str(&text).unwrap();
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    let open = rules
        .iter()
        .find(|rule| rule.get("from").is_none())
        .unwrap();
    let ports = open["ports"].as_array().unwrap();
    assert!(ports.contains(&json!({"port": "https"})), "{open}");
    let others = rules.iter().filter(|rule| rule.get("from").is_some());
    assert!(
        others
            .flat_map(|rule| rule["ports"].as_array().unwrap())
            .all(|port| port["port"] != "https")
    );
}
