//! The serving certificate over its whole life. Of files: swapped as Kubernetes swaps a mounted Secret. Self-managed: leaves and authorities change under load, for two processes that share one
//! Secret, and no client that believes what the APIService says ever fails (APISVC-2, OPS-20 to OPS-22).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use http::Request;
use hyper::body::Incoming;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tagscope::clock::{Clock, HandClock, SystemClock};
use tagscope::cluster::serving_cert::{Issued, Keeper, Lives, Settings};
use tagscope::serve::reload::{Files, Follower};
use tagscope::serve::{Body, Certificates, KeyPair, Limits, Listener, Peer, Server, Tls};
use tagscope::task::Group;
use tokio_util::sync::CancellationToken;

use crate::authn_fake_cluster::Cluster;
use crate::serve_kit::{self as kit, Ca, Client, Identity, Running, eventually};

const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.tags.tagscope.dev";
const SECRET: &str = "/api/v1/namespaces/ns/secrets/tagscope-ca";

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn settings() -> Settings {
    Settings {
        namespace: "ns".into(),
        service: "tagscope".into(),
        api_service: "v1alpha1.tags.tagscope.dev".into(),
        lives: Lives {
            authority: days(30),
            authority_margin: days(10),
            certificate: days(9),
            publication: SignedDuration::from_hours(1),
            overlap: days(2),
        },
    }
}

/// The clock of one process, which counts how often that asks for the time.
#[derive(Debug)]
struct Asked {
    clock: Arc<HandClock>,
    times: AtomicUsize,
}

impl Asked {
    /// In one look at the Secret the keeper asks no more often than this.
    const IN_ONE_LOOK: usize = 8;

    fn times(&self) -> usize {
        self.times.load(Ordering::SeqCst)
    }
}

impl Clock for Asked {
    fn now(&self) -> Timestamp {
        self.times.fetch_add(1, Ordering::SeqCst);
        self.clock.now()
    }
}

/// A process: a server and the keeper of its certificate.
struct Process {
    server: Running,
    asked: Arc<Asked>,
    failures: Arc<std::sync::atomic::AtomicU64>,
}

impl Process {
    async fn start(client: kube::Client, clock: &Arc<HandClock>, keepers: &mut Group) -> Self {
        let certificates = Certificates::empty();
        let installed = certificates.clone();
        let install = move |issued: &Issued| {
            installed.replace(KeyPair::from_der(issued.chain.clone(), &issued.key)?);
            Ok(())
        };
        let asked = Arc::new(Asked {
            clock: Arc::clone(clock),
            times: AtomicUsize::new(0),
        });
        let keeper = Keeper::start(client, settings(), asked.clone(), install)
            .await
            .unwrap();
        let failures = Arc::default();
        let keeper = keeper
            .with_period(Duration::from_millis(10))
            .counting(Arc::clone(&failures));
        keepers.spawn("keeper", keeper.keep(CancellationToken::new()));
        Self {
            failures,
            ..Self::over(certificates, asked).await
        }
    }

    /// One whose certificate nobody keeps.
    async fn over(certificates: Certificates, asked: Arc<Asked>) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let answer =
            |_: Request<Incoming>, _: Peer| async { http::Response::new(Body::from("ok")) };
        let server = Server::new(listener, answer)
            .with_tls(Tls::new(certificates.clone()).unwrap())
            .with_limits(Limits::default());
        Self {
            server: kit::run(server, certificates, Duration::from_secs(1)),
            asked,
            failures: Arc::default(),
        }
    }
}

#[derive(Debug)]
struct Hands(Arc<HandClock>);

impl TimeProvider for Hands {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.now().as_second().unsigned_abs();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// What the APIService says to believe.
fn bundle(cluster: &Cluster) -> Option<String> {
    let held = cluster.object(API_SERVICE)?["spec"]["caBundle"]
        .as_str()?
        .to_owned();
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(held)
        .unwrap();
    Some(String::from_utf8(decoded).unwrap())
}

/// kube-apiserver, as far as it believes: what `bundle` says, for the Service's name, at the clock's time.
fn believer(bundle: &str, clock: &Arc<HandClock>) -> Client {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let time = Arc::new(Hands(Arc::clone(clock)));
    let config = ClientConfig::builder_with_details(provider, time)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::of(config).named("tagscope.ns.svc")
}

/// What the load has seen.
#[derive(Default)]
struct Seen {
    rounds: [AtomicUsize; 3],
    failures: Mutex<Vec<String>>,
    leaves: Mutex<BTreeSet<Vec<u8>>>,
}

/// One client: reads the bundle, connects anew to each process, asks, and again.
async fn load(
    at: usize,
    cluster: Cluster,
    clock: Arc<HandClock>,
    addresses: Vec<std::net::SocketAddr>,
    seen: Arc<Seen>,
) {
    loop {
        let client = believer(&bundle(&cluster).unwrap(), &clock);
        for address in &addresses {
            match client.tls(*address).await {
                Ok(stream) => {
                    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                    seen.leaves.lock().insert(leaf);
                    let mut connection = kit::Http1::over(stream).await;
                    assert_eq!(connection.get("/").await.text(), "ok");
                }
                Err(error) => seen
                    .failures
                    .lock()
                    .push(format!("{} {error}", clock.now())),
            }
        }
        seen.rounds[at].fetch_add(1, Ordering::SeqCst);
    }
}

fn api_service() -> Value {
    json!({
        "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": "v1alpha1.tags.tagscope.dev"},
        "spec": {
            "group": "tags.tagscope.dev", "version": "v1alpha1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "ns", "name": "tagscope"},
        },
    })
}

fn asked(cluster: &Cluster, start: &str) -> usize {
    cluster
        .log()
        .iter()
        .filter(|line| line.starts_with(start))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaves_and_authorities_change_under_load_and_no_request_fails() {
    let cluster = Cluster::new();
    let (_server, client) = cluster.start().await;
    cluster.put(API_SERVICE, api_service());
    let clock = Arc::new(HandClock::at("2026-06-01T00:00:00Z".parse().unwrap()));
    let (mut keepers, mut clients) = (Group::new(), Group::new());
    let processes = [
        Process::start(client.clone(), &clock, &mut keepers).await,
        Process::start(client, &clock, &mut keepers).await,
    ];
    eventually("the bundle is published", || bundle(&cluster).is_some()).await;
    let addresses: Vec<_> = processes
        .iter()
        .map(|process| process.server.address)
        .collect();
    let seen = Arc::new(Seen::default());
    for at in 0..seen.rounds.len() {
        let (cluster, clock) = (cluster.clone(), Arc::clone(&clock));
        let one = load(at, cluster, clock, addresses.clone(), Arc::clone(&seen));
        clients.spawn("load", one);
    }
    // What was connected before stays connected.
    let mut old = believer(&bundle(&cluster).unwrap(), &clock)
        .http1(addresses[0])
        .await;

    let (mut bundles, mut most) = (BTreeSet::new(), 0);
    for day in 0..45 {
        let looks = || processes.each_ref().map(|process| process.asked.times());
        let rounds = || {
            seen.rounds
                .each_ref()
                .map(|rounds| rounds.load(Ordering::SeqCst))
        };
        let before = looks();
        let enough = 3 * Asked::IN_ONE_LOOK;
        eventually("both keepers have looked", || {
            looks()
                .iter()
                .zip(before)
                .all(|(now, before)| *now >= before + enough)
        })
        .await;
        let before = rounds();
        eventually("every client has read the bundle anew", || {
            rounds()
                .iter()
                .zip(before)
                .all(|(now, before)| *now >= before + 2)
        })
        .await;
        let held = bundle(&cluster).unwrap();
        most = most.max(held.matches("BEGIN CERTIFICATE").count());
        bundles.insert(held);
        assert_eq!(old.get("/").await.text(), "ok");
        clock.advance(days(1));
        if day == 10 {
            // Somebody wants another authority at once. It is of the day that has just begun: no keeper makes it on one day, and
            // is heard of by the other on the next.
            cluster.delete(SECRET);
        }
    }
    assert_eq!(*seen.failures.lock(), [""; 0], "no handshake failed");
    let leaves = seen.leaves.lock().len();
    assert!(
        leaves >= 12,
        "{leaves} certificates of two processes over 45 days"
    );
    // One for the Secret that was deleted, and one that was due; each beside its predecessor for a while, and then alone.
    assert_eq!(bundles.len(), 5);
    assert_eq!(most, 2, "and never more than that");
    let writes = asked(&cluster, "PATCH");
    assert!(
        writes <= 2 * bundles.len() + 2,
        "{writes} writes: they do not quarrel"
    );
    for process in &processes {
        assert_eq!(process.failures.load(Ordering::SeqCst), 0);
        let end = process.server.certificates.not_after().unwrap();
        assert!(end > clock.now(), "{end}");
    }
    clients.abort().await;
    keepers.abort().await;
}

/// One process goes on with the certificate of an authority whose Secret was deleted, and has not looked since; another one
/// starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_without_the_secret_takes_nobodys_belief_away() {
    let cluster = Cluster::new();
    let (_server, client) = cluster.start().await;
    cluster.put(API_SERVICE, api_service());
    let clock = Arc::new(HandClock::at("2026-06-01T00:00:00Z".parse().unwrap()));
    let mut keepers = Group::new();
    let first = Process::start(client.clone(), &clock, &mut keepers).await;
    eventually("the bundle is published", || bundle(&cluster).is_some()).await;
    keepers.abort().await;
    let before = bundle(&cluster).unwrap();
    cluster.delete(SECRET);

    // Nobody keeps it: what holds from here on, holds from its start.
    let certificates = Certificates::empty();
    let (installed, seen) = (certificates.clone(), cluster.clone());
    let install = move |issued: &Issued| {
        let published = bundle(&seen).unwrap();
        assert_eq!(
            published.matches("BEGIN CERTIFICATE").count(),
            2,
            "before it is used"
        );
        installed.replace(KeyPair::from_der(issued.chain.clone(), &issued.key)?);
        Ok(())
    };
    let keeper = Keeper::start(client.clone(), settings(), clock.clone(), install).await;
    let keeper = keeper.unwrap();
    let held = bundle(&cluster).unwrap();
    assert_eq!(held, keeper.bundle());
    assert!(held.contains(before.trim()) && held.len() > before.len());
    let asked_for_nothing = Arc::new(Asked {
        clock: clock.clone(),
        times: AtomicUsize::new(0),
    });
    let second = Process::over(certificates, asked_for_nothing).await;
    for address in [first.server.address, second.server.address] {
        believer(&held, &clock).tls(address).await.unwrap();
    }
    assert!(
        believer(&before, &clock)
            .tls(second.server.address)
            .await
            .is_err()
    );
    // A third one finds all of it, and changes nothing.
    let writes = asked(&cluster, "PATCH");
    let third = Keeper::start(client, settings(), clock.clone(), |_| Ok(())).await;
    assert_eq!(third.unwrap().bundle(), held);
    assert_eq!(asked(&cluster, "PATCH"), writes);
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
}

/// A new directory behind the link `..data`, as the kubelet makes it.
fn swap(mount: &Path, name: &str, certificate: &Identity, key: &Identity) {
    let dir = mount.join(name);
    std::fs::create_dir(&dir).unwrap();
    let certificate = pem("CERTIFICATE", &certificate.chain[0]);
    std::fs::write(dir.join("tls.crt"), certificate).unwrap();
    let key = pem("PRIVATE KEY", key.key.secret_der());
    std::fs::write(dir.join("tls.key"), key).unwrap();
    let link = mount.join("..data_tmp");
    std::os::unix::fs::symlink(name, &link).unwrap();
    std::fs::rename(link, mount.join("..data")).unwrap();
}

#[tokio::test]
async fn swapped_files_are_shown_to_new_connections_and_broken_ones_to_nobody() {
    let mount = tempfile::tempdir().unwrap();
    let mount = mount.path();
    let [one, two] = ["one", "two"].map(Ca::new);
    let (first, second) = (one.server(), two.server());
    swap(mount, "..1", &first, &first);
    for file in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{file}"), mount.join(file)).unwrap();
    }
    let files = Files {
        certificate: mount.join("tls.crt"),
        key: mount.join("tls.key"),
    };
    let (certificates, failures) = (Certificates::empty(), Arc::default());
    let follower = Follower::load(files, certificates.clone(), Arc::new(SystemClock)).unwrap();
    let (stop, mut following) = (CancellationToken::new(), Group::new());
    let follower = follower.counting(Arc::clone(&failures));
    following.spawn(
        "follower",
        follower.follow(Duration::from_millis(10), stop.clone()),
    );
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let answer = |_: Request<Incoming>, _: Peer| async { http::Response::new(Body::from("ok")) };
    let server = Server::new(listener, answer).with_tls(Tls::new(certificates.clone()).unwrap());
    let server = kit::run(server, certificates.clone(), Duration::from_secs(1));
    // Clients without a past: one that takes an earlier session up is shown nothing.
    let believer = |ca: &Ca| Client::new(ca, &["http/1.1"]);
    let shown = async || {
        [
            believer(&one).tls(server.address).await.is_ok(),
            believer(&two).tls(server.address).await.is_ok(),
        ]
    };
    assert_eq!(shown().await, [true, false]);
    let mut old = believer(&one).http1(server.address).await;
    let before = certificates.current().unwrap();

    swap(mount, "..2", &second, &second);
    eventually("the new pair is taken", || {
        !Arc::ptr_eq(&certificates.current().unwrap(), &before)
    })
    .await;
    assert_eq!(shown().await, [false, true]);
    assert_eq!(old.get("/").await.text(), "ok", "old connections stay");

    swap(mount, "..3", &first, &second);
    eventually("a pair that does not fit is counted", || {
        failures.load(Ordering::SeqCst) > 2
    })
    .await;
    assert_eq!(shown().await, [false, true], "and not shown");
    let before = certificates.current().unwrap();
    swap(mount, "..4", &first, &first);
    eventually("a good one is taken again", || {
        !Arc::ptr_eq(&certificates.current().unwrap(), &before)
    })
    .await;
    assert_eq!(shown().await, [true, false]);
    stop.cancel();
    following.next_end().await;
}
