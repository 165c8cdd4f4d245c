//! Serving certificates that change while they are in use, and their authorities with them.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use crate::harness::ControlPlane;

/// Certificates as `certs/dev-ca.sh` makes them, and where the server finds the present ones.
pub(super) struct Certificates {
    /// What the server was told to read.
    live: PathBuf,
    /// Where the next ones are made.
    next: PathBuf,
    /// The authorities of late: a server takes its time to show another certificate.
    believed: Vec<String>,
}

/// How many authorities are believed at once.
const BELIEVED: usize = 8;

impl Certificates {
    /// A first pair, in use, below `dir`.
    pub(super) async fn new(dir: &Path) -> Self {
        let mut made = Self {
            live: dir.join("serving"),
            next: dir.join("serving-next"),
            believed: Vec::new(),
        };
        fs::create_dir_all(&made.live).unwrap();
        made.make().await;
        made.install();
        made
    }

    /// The flags that make the server read them.
    pub(super) fn flags(&self) -> [String; 2] {
        let file = |name| self.live.join(name).display().to_string();
        [
            format!("--tls-cert-file={}", file("tls.crt")),
            format!("--tls-private-key-file={}", file("tls.key")),
        ]
    }

    /// Makes another certificate; of another authority, when asked to.
    pub(super) async fn change(&mut self, authority: bool) {
        if authority {
            fs::remove_file(self.next.join("ca.crt")).unwrap();
        }
        self.make().await;
    }

    /// Takes what was made into use, as an administrator copies files.
    pub(super) fn install(&self) {
        for name in ["tls.key", "tls.crt"] {
            let new = self.live.join(name).with_extension("new");
            fs::copy(self.next.join(name), &new).unwrap();
            fs::rename(new, self.live.join(name)).unwrap();
        }
    }

    /// Writes the authorities into the APIService, the last one and some before.
    pub(super) async fn publish(&self, cluster: &ControlPlane) {
        assert!(
            self.try_publish(cluster).await,
            "the bundle is not published"
        );
    }

    /// Like [`Self::publish`], and says whether it could be done.
    pub(super) async fn try_publish(&self, cluster: &ControlPlane) -> bool {
        let bundle = STANDARD.encode(self.believed.concat());
        let patch = format!("{{\"spec\":{{\"caBundle\":\"{bundle}\"}}}}");
        let service = "v1alpha1.tags.tagscope.dev";
        let args = ["patch", "apiservice", service, "--type=merge", "-p", &patch];
        cluster.kubectl(&args).await.success
    }

    async fn make(&mut self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/dev-ca.sh");
        let made = Command::new(script).arg(&self.next).output().await.unwrap();
        assert!(made.status.success(), "{made:?}");
        let authority = fs::read_to_string(self.next.join("ca.crt")).unwrap();
        if !self.believed.contains(&authority) {
            self.believed.push(authority);
            let surplus = self.believed.len().saturating_sub(BELIEVED);
            self.believed.drain(..surplus);
        }
    }
}
