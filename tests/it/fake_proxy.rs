//! A small HTTP proxy: CONNECT and absolute-form, with a password if wanted, and with ways to misbehave. It knows names
//! that no DNS knows, and writes down what it was asked.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How it behaves.
#[derive(Debug, Clone, Default)]
pub(crate) enum Mood {
    /// It lets everybody through.
    #[default]
    Open,
    /// It lets this user through.
    Asks(&'static str, &'static str),
    /// It lets nobody through: 403.
    Refuses,
    /// It ends the connection instead of an answer.
    HangsUp,
    /// It never answers.
    Silent,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    names: HashMap<String, String>,
    heads: Vec<String>,
}

/// A running proxy; gone when dropped.
#[derive(Debug)]
pub(crate) struct FakeProxy {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
    _task: JoinSet<()>,
}

impl FakeProxy {
    pub(crate) async fn start(mood: Mood) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = socket.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            mood,
            ..State::default()
        }));
        let mut task = JoinSet::new();
        let shared = state.clone();
        task.spawn(async move {
            let mut streams = JoinSet::new();
            while let Ok((stream, _)) = socket.accept().await {
                let state = shared.clone();
                // A client that goes away in the middle is what some tests are about.
                streams.spawn(async move { drop(converse(stream, &state).await) });
            }
        });
        Self {
            host,
            state,
            _task: task,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.host)
    }

    /// How it behaves from now on.
    pub(crate) fn set_mood(&self, mood: Mood) {
        self.state.lock().mood = mood;
    }

    /// From now on `name` (`host:port`) is at `address`.
    pub(crate) fn knows(&self, name: &str, address: &str) {
        let (name, address) = (name.to_owned(), address.to_owned());
        self.state.lock().names.insert(name, address);
    }

    /// The first lines of what it was asked, without the version.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.heads()
            .iter()
            .map(|head| head.split(" HTTP/").next().unwrap().to_owned())
            .collect()
    }

    /// What it was asked, with all headers.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.lock().heads.clone()
    }
}

async fn converse(mut from: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mood = {
        let mut state = state.lock();
        state.heads.push(head.clone());
        state.mood.clone()
    };
    let refuse = |status: &str, headers: &str| {
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let refusal = match mood {
        Mood::Open => None,
        Mood::Asks(username, password) => {
            let expected =
                base64::prelude::BASE64_STANDARD.encode(format!("{username}:{password}"));
            let is_known = head.lines().any(|line| {
                line.to_ascii_lowercase()
                    .starts_with("proxy-authorization:")
                    && line.ends_with(&format!("Basic {expected}"))
            });
            (!is_known).then(|| {
                refuse(
                    "407 Proxy Authentication Required",
                    "Proxy-Authenticate: Basic realm=\"proxy\"\r\n",
                )
            })
        }
        Mood::Refuses => Some(refuse("403 Forbidden", "")),
        Mood::HangsUp => return Ok(()),
        Mood::Silent => std::future::pending().await,
    };
    if let Some(refusal) = refusal {
        from.write_all(refusal.as_bytes()).await?;
        return from.shutdown().await;
    }
    let (first, rest) = head.split_once("\r\n").unwrap();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let url = url::Url::parse(target).ok().filter(url::Url::has_host);
    let name = match &url {
        Some(url) => format!(
            "{}:{}",
            url.host_str().unwrap(),
            url.port_or_known_default().unwrap()
        ),
        None => target.to_owned(),
    };
    let address = state.lock().names.get(&name).cloned().unwrap_or(name);
    let Ok(mut to) = TcpStream::connect(address).await else {
        let refusal = refuse("502 Bad Gateway", "");
        from.write_all(refusal.as_bytes()).await?;
        return from.shutdown().await;
    };
    match url {
        None => from.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?,
        Some(url) => {
            let query = url
                .query()
                .map(|query| format!("?{query}"))
                .unwrap_or_default();
            let kept: String = rest
                .lines()
                .filter(|line| !line.is_empty())
                .filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"))
                .map(|line| format!("{line}\r\n"))
                .collect();
            let head = format!(
                "{method} {}{query} HTTP/1.1\r\n{kept}Connection: close\r\n\r\n",
                url.path()
            );
            to.write_all(head.as_bytes()).await?;
        }
    }
    tokio::io::copy_bidirectional(&mut from, &mut to).await?;
    Ok(())
}
