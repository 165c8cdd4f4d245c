//! What watching costs: how late changes arrive, what a watch holds, and the processor time of both.
//!
//! The server is this process, with its whole chain behind TLS; the clients are another one, so that neither is
//! measured with the other. A change tells when it was committed: in the digest of the tag that it elects.
//!
//! `WATCH_SECONDS` is how long each round lasts (30).
#![allow(
    clippy::disallowed_methods,
    clippy::unchecked_time_subtraction,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::similar_names,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a benchmark prints, and may be blunt"
)]

#[allow(
    dead_code,
    unused_imports,
    reason = "the benchmark needs only a part of it"
)]
#[path = "../tests/it/serve_kit.rs"]
mod serve_kit;

use std::alloc::System;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tagscope::apiserver::authn::{Authenticator, Settings as AuthnSettings};
use tagscope::apiserver::authz::{Authorizer, Settings as AuthzSettings};
use tagscope::apiserver::chain::{Chain, Settings};
use tagscope::apiserver::health::{Health, Readiness, Version};
use tagscope::apiserver::resources::Tags;
use tagscope::apiserver::review::{Failure, Reviewer};
use tagscope::clock::{HandClock, SystemClock};
use tagscope::cluster::delegated::{AllowedNames, AuthConfig};
use tagscope::object::Key;
use tagscope::secret::SecretString;
use tagscope::serve::Limits;
use tagscope::store::{Dating, Owner, Scan, Store};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use serve_kit::{self as kit, Ca, Running, distant};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REPOSITORIES: usize = 1000;
const TAGS: usize = 100;
const NAMESPACES: usize = 20;
const CONNECTIONS: usize = 10;
const BASE: &str = "/apis/tags.tagscope.dev/v1alpha1";

/// One round: who watches what, and how much happens.
struct Round {
    name: &'static str,
    watches: usize,
    /// Each watches one repository; else all of them.
    one_each: bool,
    changes_per_second: u32,
}

const ROUNDS: [Round; 3] = [
    Round {
        name: "1,000 watches of one repository each, 1,000 changes/s",
        watches: 1000,
        one_each: true,
        changes_per_second: 1000,
    },
    Round {
        name: "100 watches of everything, 100 changes/s",
        watches: 100,
        one_each: false,
        changes_per_second: 100,
    },
    Round {
        name: "1,000 watches of everything, 10 changes/s",
        watches: 1000,
        one_each: false,
        changes_per_second: 10,
    },
];

fn main() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let args: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match args.iter().position(|arg| arg == "--client") {
        Some(at) => runtime.block_on(client(&args[at + 1..])),
        None => runtime.block_on(serve()),
    }
}

/// Bytes allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 on every Linux that matters.
    Duration::from_millis(ticks * 10)
}

fn key(n: usize) -> Key {
    Key::new(
        format!("team-{}", n % NAMESPACES),
        format!("repository-{n:04}"),
    )
}

fn filled() -> Store {
    let store = Store::in_memory(Arc::new(SystemClock));
    for n in 0..REPOSITORIES {
        let scan = Scan {
            owner: Owner {
                key: key(n),
                uid: format!("00000000-0000-4000-8000-{n:012}"),
                created: Timestamp::UNIX_EPOCH,
                labels: BTreeMap::new(),
            },
            image: format!("registry.example.org/team/repository-{n:04}")
                .parse()
                .unwrap(),
            tags: (0..TAGS)
                .map(|tag| format!("v1.{}.{}", tag / 10, tag % 10).parse().unwrap())
                .collect(),
            aside: Vec::new(),
            revision: "1".into(),
            time: Timestamp::UNIX_EPOCH,
            complete: true,
            dating: Dating::AtFirst,
        };
        store.commit_scan(scan).unwrap();
        // The first election of a repository takes room of the store's own.
        change(&store, n);
    }
    store
}

/// Elects one tag of repository `n` with a digest that says when.
fn change(store: &Store, n: usize) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let digest = format!("sha256:{:064x}", now.as_nanos()).parse().unwrap();
    let policy = Key::new("flux-system", "policy");
    let elected = Some(("v1.0.0".parse().unwrap(), Some(digest)));
    let key = key(n % REPOSITORIES);
    store.commit_election(&key, &policy, elected).unwrap();
}

/// In kube-apiserver's place: allows everything, and keeps nothing that would be counted with the watches.
struct Forgetful;

impl Reviewer for Forgetful {
    fn token<'a>(
        &'a self,
        _: &'a SecretString,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>> {
        Box::pin(std::future::ready(Err(Failure::BrokenOff)))
    }

    fn access(
        &self,
        _: SubjectAccessReviewSpec,
    ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>> {
        Box::pin(std::future::ready(Ok(SubjectAccessReviewStatus {
            allowed: true,
            ..SubjectAccessReviewStatus::default()
        })))
    }
}

async fn start(store: &Store, files: &Path) -> (Running, watch::Sender<Arc<AuthConfig>>) {
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
    let identity = proxies.client("front-proxy", &[], distant());
    std::fs::write(files.join("ca"), server_ca.der()).unwrap();
    std::fs::write(files.join("certificate"), &identity.chain[0]).unwrap();
    std::fs::write(files.join("key"), identity.key.secret_der()).unwrap();
    let reviewer: Arc<dyn Reviewer> = Arc::new(Forgetful);
    let readiness = Readiness::new();
    readiness.fact("store").set(true);
    let clock = Arc::new(HandClock::at("2030-01-01T00:00:00Z".parse().unwrap()));
    let tags = Tags::new(
        store.clone(),
        Arc::new(SystemClock),
        CancellationToken::new(),
    );
    let chain = Chain::new(
        Settings {
            served: &["imagetags", "tagsets"],
            ..Settings::default()
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
        Arc::new(()),
    );
    let server = kit::https(&server_ca, Limits::default(), Duration::from_mins(1), chain).await;
    (server, config)
}

async fn serve() {
    let seconds: u32 = std::env::var("WATCH_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(30);
    let files = tempfile::tempdir().unwrap();
    let store = filled();
    let (server, _config) = start(&store, files.path()).await;
    for round in &ROUNDS {
        run(&store, server.address, files.path(), round, seconds).await;
    }
}

async fn run(store: &Store, address: SocketAddr, files: &Path, round: &Round, seconds: u32) {
    let mut clients = Clients::start(address, files, round);
    clients.expect("connected");
    let (before, history) = (held(), store.history_bytes());
    clients.say("open");
    clients.expect("opened");
    let opened = held();
    let changes = seconds * round.changes_per_second;
    let deliveries = if round.one_each {
        changes as usize
    } else {
        changes as usize * round.watches
    };
    let (cpu, begun) = (processor_time(), Instant::now());
    let (committer, period) = (
        store.clone(),
        Duration::from_secs(1) / round.changes_per_second,
    );
    let commits = tokio::task::spawn_blocking(move || {
        for n in 0..changes {
            let due = begun + period * n;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            change(&committer, n as usize);
        }
        begun.elapsed()
    });
    let took = commits.await.unwrap();
    clients.say(&deliveries.to_string());
    let told = clients.line();
    let cpu = (processor_time() - cpu).as_secs_f64() / took.as_secs_f64() * 100.0;
    // The history is the store's, however many watch.
    let after = held() + history - store.history_bytes();
    println!("{}, {:.1} s:", round.name, took.as_secs_f64());
    println!("  {told} of {deliveries}");
    println!(
        "  server: {cpu:.1} % of a processor; {} bytes per watch when it is opened, {} after the changes",
        (opened - before) / round.watches,
        after.saturating_sub(before) / round.watches,
    );
    println!("  history {} bytes", store.history_bytes());
    clients.end();
}

/// The other process.
struct Clients {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Clients {
    fn start(address: SocketAddr, files: &Path, round: &Round) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("--client")
            .arg(address.to_string())
            .arg(files)
            .arg(round.watches.to_string())
            .arg(round.one_each.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn say(&mut self, line: &str) {
        let input = self.process.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

/// What all clients saw.
#[derive(Default)]
struct Seen {
    events: AtomicUsize,
    /// Watches that ended, which none should.
    ended: AtomicUsize,
    /// Microseconds from commit to here.
    delays: Mutex<Vec<u32>>,
    more: Notify,
}

async fn client(args: &[String]) {
    let address: SocketAddr = args[0].parse().unwrap();
    let files = Path::new(&args[1]);
    let watches: usize = args[2].parse().unwrap();
    let one_each = args[3] == "true";
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        senders.push(connect(address, files).await);
    }
    println!("connected");
    heard();
    let seen = Arc::new(Seen::default());
    for n in 0..watches {
        let key = key(n);
        let path = if one_each {
            format!(
                "namespaces/{}/imagetags?fieldSelector=repository%3D{}&",
                key.namespace, key.name
            )
        } else {
            "imagetags?".to_owned()
        };
        let uri = format!(
            "https://localhost{BASE}/{path}watch=1&allowWatchBookmarks=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
        );
        let request = Request::get(uri)
            .header("x-remote-user", "bob")
            .body(Empty::new())
            .unwrap();
        let response = senders[n % CONNECTIONS]
            .send_request(request)
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            follow(response.into_body(), &seen).await;
            seen.ended.fetch_add(1, Ordering::SeqCst);
        });
    }
    println!("opened");
    let cpu = processor_time();
    let expected: usize = tokio::task::spawn_blocking(heard)
        .await
        .unwrap()
        .parse()
        .unwrap();
    let all = async {
        while seen.events.load(Ordering::SeqCst) < expected {
            seen.more.notified().await;
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(5), all).await);
    let mut delays = std::mem::take(&mut *seen.delays.lock());
    delays.sort_unstable();
    let at = |part: f64| {
        let index = (delays.len() as f64 * part) as usize;
        f64::from(delays[index.min(delays.len() - 1)]) / 1e3
    };
    println!(
        "delivered {} (watches ended {}), p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms; clients {:.1} s of processor;",
        seen.events.load(Ordering::SeqCst),
        seen.ended.load(Ordering::SeqCst),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        (processor_time() - cpu).as_secs_f64(),
    );
    // Until the other side hangs up.
    tokio::task::spawn_blocking(heard).await.unwrap();
}

/// What the server's side says next.
fn heard() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

async fn connect(address: SocketAddr, files: &Path) -> http2::SendRequest<Empty<Bytes>> {
    let read = |name: &str| std::fs::read(files.join(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(read("ca"))).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(read("key")));
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![CertificateDer::from(read("certificate"))], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.unwrap();
    // The windows of Go's client.
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(1 << 30)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender
}

async fn follow(mut body: hyper::body::Incoming, seen: &Seen) {
    const MARK: &[u8] = b"\"digest\":\"sha256:";
    let mut rest: Vec<u8> = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        rest.extend_from_slice(&data);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos();
        let mut delays = Vec::new();
        let mut start = 0;
        while let Some(end) = rest[start..].iter().position(|byte| *byte == b'\n') {
            let line = &rest[start..start + end];
            start += end + 1;
            let Some(at) = line.windows(MARK.len()).position(|part| part == MARK) else {
                continue;
            };
            let digits = &line[at + MARK.len()..at + MARK.len() + 64];
            let then = u128::from_str_radix(
                std::str::from_utf8(digits).unwrap().trim_start_matches('0'),
                16,
            )
            .unwrap();
            delays.push((now.saturating_sub(then) / 1000) as u32);
        }
        rest.drain(..start);
        if !delays.is_empty() {
            seen.events.fetch_add(delays.len(), Ordering::SeqCst);
            seen.delays.lock().extend(delays);
            seen.more.notify_one();
        }
    }
}
