//! The API server cannot be reached for a while: what happened meanwhile is caught up with, once, and what did not
//! happen is not asked about. How long it takes is the client's own growing delay; here requests are counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{ControlPlane, Tagscope, eventually};
use crate::it::fake_registry::{FakeRegistry, Route};
use crate::leaders::{Somebody, prepare};
use crate::world::SOON;

const PAIRS: usize = 8;
const NS: &str = "apps";

/// It is tried so often in vain before the API server is back.
const ATTEMPTS: usize = 20;

/// Those delays grow up to half a minute.
const LATER: Duration = Duration::from_mins(2);

const WRITTEN: [&str; 3] = ["imagerepositories", "imagepolicies", "events"];
const QUIET: Duration = Duration::from_millis(2500);

/// The way to the API server, that can be cut: all connections end, and new ones at once.
struct Line {
    address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// Ends the connections of now; a cancelled one: the line is cut.
    whole: Mutex<CancellationToken>,
    refused: AtomicUsize,
}

impl Line {
    async fn to(server: String) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(State::default());
        let mut serving = JoinSet::new();
        serving.spawn(serve(socket, server, state.clone()));
        Self {
            address,
            state,
            _serving: serving,
        }
    }

    fn cut(&self) {
        self.state.whole.lock().cancel();
    }

    fn mend(&self) {
        *self.state.whole.lock() = CancellationToken::new();
    }

    fn refused(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }
}

async fn serve(socket: TcpListener, server: String, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = socket.accept().await.unwrap();
        let whole = state.whole.lock().clone();
        if whole.is_cancelled() {
            state.refused.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        let server = server.clone();
        connections.spawn(async move {
            // At the end of a test it may be gone.
            let Ok(mut server) = TcpStream::connect(server).await else {
                return;
            };
            let copying = copy_bidirectional(&mut client, &mut server);
            // A connection that is reset is in order.
            drop(whole.run_until_cancelled(copying).await);
        });
    }
}

fn name(n: usize) -> String {
    format!("pair-{n}")
}

fn pair(registry: &FakeRegistry, n: usize) -> String {
    let (name, image) = (name(n), registry.image(&name(n)));
    format!(
        "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, metadata: {{name: {name}, namespace: {NS}}}, \
         spec: {{image: \"{image}\", interval: 1h}}}}\n---\n\
         {{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, metadata: {{name: {name}, namespace: {NS}}}, \
         spec: {{imageRepositoryRef: {{name: {name}}}, policy: {{semver: {{range: 1.x}}}}}}}}\n---\n"
    )
}

/// The program at the end of a line.
struct Distant {
    cluster: ControlPlane,
    registry: FakeRegistry,
    line: Line,
    user: String,
    program: Tagscope,
}

impl Distant {
    async fn start() -> Self {
        let registry = FakeRegistry::start().await;
        for n in 0..=PAIRS {
            registry.add_repository(&name(n), ["1.0.0", "1.1.0"]);
        }
        let cluster = prepare().await;
        let Somebody { user, kubeconfig } =
            Somebody::new(&cluster, "tagscope-system", "distant").await;
        let text = std::fs::read_to_string(&kubeconfig).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        let server = &mut config["clusters"][0]["cluster"]["server"];
        let line = Line::to(server.as_str().unwrap().replace("https://", "")).await;
        *server = json!(format!("https://{}", line.address));
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let program = cluster.tagscope().kubeconfig(kubeconfig).start().await;
        let program = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
        cluster.install(&program).await;
        Self {
            cluster,
            registry,
            line,
            user,
            program,
        }
    }

    async fn kubectl(&self, args: &[&str]) -> String {
        let args = [args, &["-n", NS]].concat();
        self.cluster.kubectl(&args).await.ok()
    }

    /// Waits until the policies elect these, by name.
    async fn elect(&self, expected: &BTreeMap<String, &str>) {
        let what = format!("{expected:?} are elected");
        eventually(LATER, &what, || async {
            let list = self.kubectl(&["get", "imagepolicies", "-o", "json"]).await;
            let list: Value = serde_json::from_str(&list).unwrap();
            let items = list["items"].as_array().unwrap().clone();
            let elected: BTreeMap<_, _> = items
                .iter()
                .map(|item| {
                    let tag = item["status"]["latestRef"]["tag"].as_str();
                    let name = item["metadata"]["name"].as_str().unwrap();
                    (name.to_owned(), tag.unwrap_or_default().to_owned())
                })
                .collect();
            let is_it = elected.len() == expected.len()
                && elected
                    .iter()
                    .all(|(name, tag)| expected.get(name) == Some(&&**tag));
            is_it.then_some(()).ok_or_else(|| format!("{elected:?}"))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_api_server_was_away_is_caught_up_with_once() {
    let mut distant = Distant::start().await;
    let pairs: String = (0..PAIRS).map(|n| pair(&distant.registry, n)).collect();
    distant.cluster.apply(&pairs).await;
    let mut elected: BTreeMap<String, &str> = (0..PAIRS).map(|n| (name(n), "1.1.0")).collect();
    distant.elect(&elected).await;
    distant.cluster.settled(&WRITTEN, QUIET, SOON).await;

    distant.line.cut();
    distant.registry.clear_requests();
    // Somebody asks for a scan, another pair goes, one comes, and a range changes.
    distant.registry.push("pair-0", "1.2.0");
    let request = [
        "imagerepository/pair-0",
        "reconcile.fluxcd.io/requestedAt=now",
    ];
    distant
        .kubectl(&[&["annotate"], &request[..]].concat())
        .await;
    let gone = ["delete", "imagerepository,imagepolicy", "pair-1"];
    distant.kubectl(&gone).await;
    distant.cluster.apply(&pair(&distant.registry, PAIRS)).await;
    let range = r#"{"spec":{"policy":{"semver":{"range":"1.0.x"}}}}"#;
    let change = ["patch", "imagepolicy/pair-2", "--type=merge", "-p", range];
    distant.kubectl(&change).await;
    eventually(LATER, "it has tried for a while", || async {
        let refused = distant.line.refused();
        if refused >= ATTEMPTS {
            Ok(())
        } else {
            Err(refused)
        }
    })
    .await;
    assert_eq!(distant.program.end(), None, "{}", distant.program.log());
    let seen = distant.cluster.requests_of(&distant.user).len();

    distant.line.mend();
    elected.insert("pair-0".to_owned(), "1.2.0");
    elected.remove("pair-1");
    elected.insert(name(PAIRS), "1.1.0");
    elected.insert("pair-2".to_owned(), "1.0.0");
    distant.elect(&elected).await;
    eventually(LATER, "tags go with their repository", || async {
        let gone = [
            "get",
            "imagetags",
            "-l",
            "tags.tagscope.dev/repository=pair-1",
        ];
        let args = [&gone[..], &["-n", NS, "-o", "name"]].concat();
        match distant.cluster.kubectl(&args).await.probe()?.trim() {
            "" => Ok(()),
            left => Err(left.to_owned()),
        }
    })
    .await;
    distant.cluster.settled(&WRITTEN, QUIET, SOON).await;

    // No storm: the registry is asked about what is new, nothing else is written, and nothing is listed twice.
    let asked: Vec<_> = distant.registry.requests();
    assert_eq!(distant.registry.count(Route::List), 2, "{asked:?}");
    let requests = distant.cluster.requests_of(&distant.user).split_off(seen);
    let mut written = BTreeMap::new();
    let mut begun = BTreeMap::new();
    for request in &requests {
        let object = &request["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (verb, resource) = (text(&request["verb"]), text(&object["resource"]));
        // What was deleted may be written to until that is heard, in vain.
        let is_taken = request["responseStatus"]["code"].as_u64() < Some(300);
        if is_taken && WRITTEN.contains(&&*resource) && resource != "events" && verb == "patch" {
            let of = format!("{resource}/{}", text(&object["name"]));
            *written.entry(of).or_insert(0) += 1;
        }
        let uri = text(&request["requestURI"]);
        let path = uri.split('?').next().unwrap_or_default().to_owned();
        if verb == "list" || (verb == "watch" && request["stage"] == "ResponseStarted") {
            // Of one kind, several may be followed: their selectors tell them apart.
            let selector = uri.split('&').find(|part| part.contains("Selector"));
            let of = (verb, path, selector.unwrap_or_default().to_owned());
            *begun.entry(of).or_insert(0) += 1;
        }
    }
    let expected = [
        "imagepolicies/pair-0",
        "imagepolicies/pair-2",
        "imagepolicies/pair-8",
        "imagerepositories/pair-0",
        "imagerepositories/pair-8",
    ];
    assert!(written.keys().eq(&expected), "{written:?}");
    // A new policy may be heard of before its repository, and says so.
    let is_once = |(of, count): (&String, &u32)| *count == 1 || (of == expected[2] && *count == 2);
    assert!(written.iter().all(is_once), "{written:?}");
    assert!(begun.values().all(|count| *count <= 1), "{begun:#?}");
    assert!(
        begun.len() >= 3,
        "what is followed is followed again: {begun:#?}"
    );
    assert!(
        distant.program.terminate().await.success(),
        "{}",
        distant.program.log()
    );
}
