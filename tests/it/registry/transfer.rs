//! Blobs from one fake registry to others: what is asked, how often, and what is there in the end.

mod destinations;
mod fan_out;
mod mounts;
mod sources;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use tagscope::image::Digest;
use tagscope::mirror::document::Descriptor;
use tagscope::registry::remote::{Intent, Remote};
use tagscope::registry::transfer::{Meter, Target, transfer};
use tagscope::registry::upload::Begun;
use tagscope::registry::{Access, Client, Copying, Error, Kind, Patience, Settings};

use super::repository;
use crate::fake_registry::{FakeRegistry, Image, Layer, Route};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A client whose waits are short, and who takes so long for a standstill.
fn client_with(stall: Duration) -> Client {
    let patience = Patience {
        first_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(20),
        tries: 3,
    };
    Client::new(Settings {
        patience,
        copying: Copying {
            patience,
            stall,
            ..Copying::default()
        },
        ..Settings::default()
    })
}

fn client() -> Client {
    client_with(Duration::from_secs(20))
}

fn remote(client: &Client, registry: &FakeRegistry, path: &str, intent: Intent) -> Remote {
    client.remote(repository(&registry.image(path)), Access::default(), intent)
}

#[derive(Debug, Default)]
struct Counts {
    read: AtomicU64,
    written: [AtomicU64; 3],
}

impl Counts {
    fn written(&self, target: usize) -> u64 {
        self.written[target].load(Ordering::Relaxed)
    }
}

impl Meter for Counts {
    fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }
    fn written(&self, target: usize, bytes: u64) {
        self.written[target].fetch_add(bytes, Ordering::Relaxed);
    }
    fn again(&self, target: Option<usize>) {
        if let Some(target) = target {
            self.written[target].store(0, Ordering::Relaxed);
        }
    }
}

/// A source with one blob of `size` bytes, and a destination without it.
struct Pair {
    source: FakeRegistry,
    destination: FakeRegistry,
    client: Client,
    blob: Descriptor,
}

impl Pair {
    async fn new(size: u64) -> Self {
        let source = FakeRegistry::start().await;
        let blob = add_blob(&source, 1, size);
        Self {
            source,
            destination: FakeRegistry::start().await,
            client: client(),
            blob,
        }
    }

    async fn copy(&self) -> Result<(), Error> {
        self.copy_blob(&self.blob).await
    }

    async fn copy_blob(&self, blob: &Descriptor) -> Result<(), Error> {
        let (mut results, _) = copy(&self.client, &self.source, blob, &[&self.destination]).await?;
        results.remove(0)
    }

    fn asked(&self, method: &Method) -> usize {
        self.destination.count_of(method, Route::Upload)
    }

    fn reads(&self) -> usize {
        self.source.count_of(&Method::GET, Route::Blob)
    }

    fn is_there(&self) -> bool {
        let digest = self.blob.digest.to_string();
        self.destination.has_blob("to/app", &digest)
    }

    /// The blob is there, and nothing is left open.
    fn check_done(&self) {
        assert!(self.is_there(), "{:#?}", self.destination.conversation());
        self.check_tidy();
    }

    /// The blob is not there, and nothing is left open.
    fn check_nothing(&self) {
        assert!(!self.is_there(), "{:#?}", self.destination.conversation());
        self.check_tidy();
    }

    fn check_tidy(&self) {
        let conversation = self.destination.conversation();
        assert_eq!(self.destination.sessions(), 0, "{conversation:#?}");
        let faults = self.destination.faults_of("to/app");
        assert!(faults.is_empty(), "{faults:?}");
    }
}

fn add_blob(source: &FakeRegistry, seed: u64, size: u64) -> Descriptor {
    let layer = Layer::new(seed, size);
    let digest = layer.digest().parse().unwrap();
    source.add_image("from/app", &format!("t{seed}"), &Image::new([layer]));
    Descriptor {
        media_type: String::new(),
        digest,
        size,
    }
}

async fn copy(
    client: &Client,
    source: &FakeRegistry,
    blob: &Descriptor,
    destinations: &[&FakeRegistry],
) -> Result<(Vec<Result<(), Error>>, Arc<Counts>), Error> {
    let from = remote(client, source, "from/app", Intent::Read);
    let mut targets = Vec::new();
    for destination in destinations {
        let to = remote(client, destination, "to/app", Intent::Write);
        targets.push(begin(to, &blob.digest).await?);
    }
    let counts = Arc::new(Counts::default());
    let results = transfer(&from, blob, targets, &[], &*counts).await;
    for (index, result) in results.iter().enumerate() {
        if result.is_ok() {
            assert_eq!(counts.written(index), blob.size);
        }
    }
    Ok((results, counts))
}

async fn begin(remote: Remote, blob: &Digest) -> Result<Target, Error> {
    match remote.begin_upload(blob, None).await? {
        Begun::Session(session) => Ok(Target::begun(remote, session)),
        Begun::Mounted => panic!("nobody asked for that"),
    }
}

#[tokio::test]
async fn a_new_blob_costs_two_requests_there_and_one_here() {
    for size in [1, 4096, 3 * MIB] {
        let pair = Pair::new(size).await;
        pair.copy().await.unwrap();
        pair.check_done();
        let conversation = pair.destination.conversation();
        assert_eq!(conversation.len(), 2, "{conversation:#?}");
        assert_eq!(pair.source.requests().len(), 1);
        let put = &pair.destination.requests()[1];
        assert_eq!(put.header("content-length"), Some(&*size.to_string()));
        assert_eq!(put.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn fault_09_an_empty_blob_is_not_read_at_all() {
    let pair = Pair::new(0).await;
    pair.copy().await.unwrap();
    pair.check_done();
    assert_eq!(pair.destination.requests().len(), 2);
    assert_eq!(pair.source.requests().len(), 0);

    let pair = Pair::new(0).await;
    pair.destination
        .configure(|options| options.takes_empty_blobs = false);
    let error = pair.copy().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.to_string().contains("empty blob"), "{error}");
    pair.check_nothing();
    assert_eq!(pair.asked(&Method::POST), 1);
}
