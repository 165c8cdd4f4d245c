//! A road between one process and the registries: it knows who wrote when, and can be narrow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Plain HTTP to one address, for a process whose `HTTP_PROXY` it is.
pub(super) struct Road {
    pub(super) address: SocketAddr,
    /// When a request that writes a blob or a manifest began, and its first line.
    writes: Arc<Mutex<Vec<(Instant, String)>>>,
    _serving: JoinSet<()>,
}

impl Road {
    /// To `server`. Every 64 KiB that a client sends take `pause`.
    pub(super) async fn to(server: String, pause: Duration) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let writes = Arc::<Mutex<Vec<(Instant, String)>>>::default();
        let mut serving = JoinSet::new();
        let seen = writes.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = socket.accept().await.unwrap();
                let (server, seen) = (server.clone(), seen.clone());
                connections.spawn(async move {
                    // Whoever is killed resets what he had open.
                    drop(carry(client, &server, pause, &seen).await);
                });
            }
        });
        Self {
            address,
            writes,
            _serving: serving,
        }
    }

    /// What was written over it.
    pub(super) fn writes(&self) -> Vec<(Instant, String)> {
        self.writes.lock().clone()
    }
}

async fn carry(
    client: TcpStream,
    server: &str,
    pause: Duration,
    seen: &Mutex<Vec<(Instant, String)>>,
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
            if ["PUT ", "POST ", "PATCH ", "DELETE "]
                .iter()
                .any(|method| line.starts_with(method))
            {
                seen.lock().push((Instant::now(), line));
            }
            to.write_all(&bytes[..read]).await?;
            tokio::time::sleep(pause).await;
        }
    };
    let (sent, answered) = tokio::join!(out, tokio::io::copy(&mut answers, &mut back));
    sent?;
    answered.map(|_| ())
}
