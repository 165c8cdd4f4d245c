//! The requests that are measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::JSON;
use crate::client::Server;
use crate::cost::Process;

/// The best of so many runs counts.
pub(crate) const RUNS: usize = 5;

/// How a whole list is taken, at best.
#[derive(Debug)]
pub(crate) struct Lists {
    pub(crate) bytes: usize,
    pub(crate) first: Duration,
    pub(crate) whole: Duration,
    pub(crate) encoding: String,
}

impl Lists {
    pub(crate) async fn of(server: &Server, path: &str, accept: &str) -> Self {
        Self::with(server, path, &[("accept", accept)]).await
    }

    /// The same for a client that unpacks.
    pub(crate) async fn packed(server: &Server, path: &str) -> Self {
        Self::with(
            server,
            path,
            &[("accept", JSON), ("accept-encoding", "gzip")],
        )
        .await
    }

    async fn with(server: &Server, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut best = Self {
            bytes: 0,
            first: Duration::MAX,
            whole: Duration::MAX,
            encoding: String::new(),
        };
        for _ in 0..RUNS {
            // The handshake is no part of a list.
            let taken = server.connect().await.get(path, headers).await;
            best.bytes = taken.bytes;
            best.first = best.first.min(taken.first);
            best.whole = best.whole.min(taken.whole);
            best.encoding = taken.encoding;
        }
        best
    }
}

/// Reads up to `most` pages one after the other; tells how many and how long the answers took.
pub(crate) async fn pages(server: &Server, path: &str, most: usize) -> (usize, Duration) {
    let mut connection = server.connect().await;
    let (mut token, mut took) = (String::new(), Duration::ZERO);
    for page in 1..=most {
        let path = format!("{path}&continue={token}");
        let start = Instant::now();
        let text = connection.text(&path).await;
        took += start.elapsed();
        let Some((_, rest)) = text.split_once("\"continue\":\"") else {
            return (page, took);
        };
        rest.split_once('"').unwrap().0.clone_into(&mut token);
    }
    (most, took)
}

/// How often something was answered.
pub(crate) struct Rate {
    pub(crate) requests: usize,
    pub(crate) took: Duration,
    /// Seconds of the server's processor time.
    pub(crate) cpu: f64,
}

/// Asks over `connections` connections, each without a pause, for as long as `time`.
pub(crate) async fn gets(
    server: &Server,
    path: &str,
    process: &Process,
    connections: usize,
    time: Duration,
) -> Rate {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut connection = server.connect().await;
        connection.get(path, &[("accept", JSON)]).await;
        clients.push(connection);
    }
    let requests = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let (start, before) = (Instant::now(), process.cpu());
    for mut connection in clients {
        let (requests, path) = (Arc::clone(&requests), path.to_owned());
        tasks.spawn(async move {
            while start.elapsed() < time {
                connection.get(&path, &[("accept", JSON)]).await;
                requests.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    Rate {
        requests: requests.load(Ordering::Relaxed),
        took: start.elapsed(),
        cpu: process.cpu() - before,
    }
}

/// Takes `count` lists at the same time; the bytes of all.
pub(crate) async fn many_lists(server: &Server, path: &str, count: usize) -> usize {
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (mut connection, path) = (server.connect().await, path.to_owned());
        tasks.spawn(async move { connection.get(&path, &[("accept", JSON)]).await.bytes });
    }
    let mut bytes = 0;
    while let Some(ended) = tasks.join_next().await {
        bytes += ended.unwrap();
    }
    bytes
}
