//! A registry that means no good: a small server on loopback whose answers tests choose, path by path.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is sent for a tag list.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Status line without version, header lines, body.
    Whole(&'static str, String, String),
    /// The beginning of a tag list, and tags without end.
    Endless,
}

impl Answer {
    /// A tag list.
    pub(crate) fn tags(tags: &[&str]) -> Self {
        let body = serde_json::json!({"name": "any", "tags": tags}).to_string();
        Self::Whole("200 OK", "Content-Type: application/json\r\n".into(), body)
    }
}

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Hostile {
    address: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    accepting: JoinHandle<()>,
}

impl Hostile {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers: Arc<Mutex<HashMap<String, Answer>>> = Arc::default();
        let shared = Arc::clone(&answers);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answers = Arc::clone(&shared);
                // A client that goes away in the middle is what some tests are about.
                tokio::spawn(async move { drop(converse(stream, &answers).await) });
            }
        });
        Self {
            address,
            answers,
            accepting,
        }
    }

    /// `ADDRESS/REPOSITORY`, for a `spec.image`.
    pub(crate) fn image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }

    /// From now on, this is the tag list of `repository`.
    pub(crate) fn answer(&self, repository: &str, answer: Answer) {
        let path = format!("/v2/{repository}/tags/list");
        self.answers.lock().unwrap().insert(path, answer);
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse(
    stream: TcpStream,
    answers: &Mutex<HashMap<String, Answer>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    // Who tries TLS first is told by the answer that it is not spoken here.
    if stream.fill_buf().await?.first() == Some(&0x16) {
        let answer = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(answer.as_bytes()).await;
    }
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request).await? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while stream.read_line(&mut header).await? > 0 && !header.trim().is_empty() {
            header.clear();
        }
        let target = request.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let found = answers.lock().unwrap().get(path).cloned();
        let absent = || Answer::Whole("404 Not Found", String::new(), String::new());
        match found.unwrap_or_else(absent) {
            Answer::Whole(status, headers, body) => {
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
                stream.write_all(answer.as_bytes()).await?;
            }
            Answer::Endless => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"name\":\"any\",\"tags\":[\"0\"";
                stream.write_all(head.as_bytes()).await?;
                let more = ",\"1.0.0\"".repeat(8192);
                loop {
                    stream.write_all(more.as_bytes()).await?;
                }
            }
        }
    }
}
