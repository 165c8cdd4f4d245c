//! A road to a registry: it knows which process wrote when, and can be narrow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request that writes: when its head came by, which process sent it (0: nobody we know), and its first line.
pub(super) type Write = (Instant, u32, String);

/// Plain HTTP to one address.
pub(super) struct Road {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    processes: Mutex<Vec<u32>>,
    writes: Mutex<Vec<Write>>,
}

impl Road {
    /// To `server`. Every 64 KiB that a client sends take `pause`.
    pub(super) async fn to(server: String, pause: Duration) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(State::default());
        let mut serving = JoinSet::new();
        let shared = state.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, peer) = socket.accept().await.unwrap();
                let owner = owner(&shared.processes.lock(), peer.port());
                let (server, shared) = (server.clone(), shared.clone());
                connections.spawn(async move {
                    // Whoever is killed resets what he had open.
                    drop(carry(client, owner, &server, pause, &shared.writes).await);
                });
            }
        });
        Self {
            address,
            state,
            _serving: serving,
        }
    }

    /// The processes that it tells apart from now on.
    pub(super) fn know(&self, processes: impl IntoIterator<Item = u32>) {
        *self.state.processes.lock() = processes.into_iter().collect();
    }

    /// What this one wrote.
    pub(super) fn writes_of(&self, process: u32) -> Vec<Write> {
        let writes = self.state.writes.lock();
        let own = writes.iter().filter(|(_, owner, _)| *owner == process);
        own.cloned().collect()
    }
}

/// Which of the processes has the socket at this port of ours, as the kernel says.
fn owner(processes: &[u32], port: u16) -> u32 {
    let local = format!("0100007F:{port:04X}");
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let socket = sockets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.nth(1) == Some(&local)).then(|| words.nth(7).unwrap_or_default())
    });
    let link = format!("socket:[{}]", socket.unwrap_or_default());
    let has = |process: &&u32| {
        let files = std::fs::read_dir(format!("/proc/{process}/fd"));
        let mut files = files.into_iter().flatten().flatten();
        files.any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == &*link))
    };
    processes.iter().find(has).copied().unwrap_or_default()
}

async fn carry(
    client: TcpStream,
    owner: u32,
    server: &str,
    pause: Duration,
    seen: &Mutex<Vec<Write>>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(server).await?;
    let (mut from, mut back) = client.into_split();
    let (mut answers, mut to) = server.into_split();
    let out = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut bytes).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            let line = bytes[..read].split(|byte| *byte == b'\r').next();
            let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
            let writes = ["PUT /", "POST /", "PATCH /", "DELETE /"];
            if writes.iter().any(|method| line.starts_with(method)) {
                seen.lock().push((Instant::now(), owner, line));
            }
            to.write_all(&bytes[..read]).await?;
            tokio::time::sleep(pause).await;
        }
    };
    let (sent, answered) = tokio::join!(out, tokio::io::copy(&mut answers, &mut back));
    sent?;
    answered.map(|_| ())
}
