//! A filled store, a way to ask, and a way to read what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::{HeaderMap, Method, Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tagscope::apiserver::request_info::RequestInfo;
use tagscope::apiserver::resources::Tags;
use tagscope::apiserver::response::Payload;
use tagscope::clock::HandClock;
use tagscope::object::Key;
use tagscope::store::{Owner, ResourceVersion, Scan, Store};
use tokio_util::sync::CancellationToken;

pub(super) const BASE: &str = "/apis/tags.tagscope.dev/v1alpha1";
pub(super) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
pub(super) const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
pub(super) const PARTIAL_LIST: &str =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

/// A server over a store in memory.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) clock: Arc<HandClock>,
    pub(super) shutdown: CancellationToken,
    pub(super) tags: Tags,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    /// The sizes of the chunks, for a streamed body.
    pub(super) chunks: Option<Vec<usize>>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// `metadata.name` of each item.
    pub(super) fn names(&self) -> Vec<String> {
        names(&self.json())
    }

    pub(super) fn list_version(&self) -> u64 {
        list_version(&self.json())
    }
}

pub(super) fn names(list: &Value) -> Vec<String> {
    let items = list.get("items").unwrap().as_array().unwrap();
    items
        .iter()
        .map(|item| {
            item.pointer("/metadata/name")
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

pub(super) fn list_version(list: &Value) -> u64 {
    list.pointer("/metadata/resourceVersion")
        .unwrap()
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn owner(namespace: &str, name: &str) -> Owner {
    // Any fixed UUID that differs by key.
    let uid = uuid::Uuid::new_v5(
        &uuid::Uuid::NAMESPACE_URL,
        format!("{namespace}/{name}").as_bytes(),
    );
    Owner {
        key: Key::new(namespace, name),
        uid: uid.to_string(),
        created: time("2026-01-02T03:04:05Z"),
        labels: BTreeMap::new(),
    }
}

impl World {
    pub(super) fn new() -> Self {
        let clock = Arc::new(HandClock::at(time("2026-03-01T00:00:00Z")));
        let store = Store::in_memory(clock.clone());
        let shutdown = CancellationToken::new();
        let tags = Tags::new(store.clone(), clock.clone(), shutdown.clone());
        Self {
            store,
            clock,
            shutdown,
            tags,
        }
    }

    /// Two repositories in `flux-system`, one in `apps`; a second scan found 6.3.0, which a policy elects.
    pub(super) fn filled() -> Self {
        let world = Self::new();
        world.scan(
            "flux-system",
            "podinfo",
            "ghcr.io/stefanprodan/podinfo",
            &["6.0.0", "6.1.0", "6.2.0-rc.1", "latest"],
            true,
        );
        world.scan(
            "flux-system",
            "podinfo-web",
            "ghcr.io/stefanprodan/podinfo-web",
            &["main-1"],
            true,
        );
        world.scan(
            "apps",
            "cache",
            "index.docker.io/library/redis",
            &["7.2.1", "v7.4.0"],
            true,
        );
        world.clock.advance(SignedDuration::from_hours(5));
        world.scan(
            "flux-system",
            "podinfo",
            "ghcr.io/stefanprodan/podinfo",
            &["6.0.0", "6.1.0", "6.2.0-rc.1", "6.3.0", "latest"],
            false,
        );
        world.elect("flux-system/podinfo", "apps/stable", Some("6.3.0"), true);
        world.elect(
            "flux-system/podinfo",
            "flux-system/podinfo",
            Some("6.3.0"),
            true,
        );
        world.clock.advance(SignedDuration::from_mins(7));
        world
    }

    pub(super) fn scan(
        &self,
        namespace: &str,
        name: &str,
        image: &str,
        tags: &[&str],
        first: bool,
    ) {
        self.scan_of(owner(namespace, name), image, tags, first);
    }

    pub(super) fn scan_of(&self, owner: Owner, image: &str, tags: &[&str], first: bool) {
        use tagscope::clock::Clock as _;
        self.store
            .commit_scan(Scan {
                owner,
                image: image.parse().unwrap(),
                tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
                aside: Vec::new(),
                revision: format!("{}", tags.len()),
                time: self.clock.now(),
                complete: true,
                dating: if first {
                    tagscope::store::Dating::AtFirst
                } else {
                    tagscope::store::Dating::Now
                },
            })
            .unwrap();
    }

    /// `repository` and `policy` as `namespace/name`.
    pub(super) fn elect(
        &self,
        repository: &str,
        policy: &str,
        tag: Option<&str>,
        with_digest: bool,
    ) {
        let digest = with_digest.then(|| {
            format!("sha256:{}", "0123456789abcdef".repeat(4))
                .parse()
                .unwrap()
        });
        let elected = tag.map(|tag| (tag.parse().unwrap(), digest));
        self.store
            .commit_election(&key(repository), &key(policy), elected)
            .unwrap();
    }

    pub(super) fn version(&self) -> ResourceVersion {
        self.store.snapshot().resource_version()
    }

    /// Asks and reads the whole answer.
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.get_as(path, "").await
    }

    /// Asks with an `Accept` header.
    pub(super) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        let headers: &[(&str, &str)] = if accept.is_empty() {
            &[]
        } else {
            &[("accept", accept)]
        };
        self.ask(Method::GET, path, headers).await
    }

    pub(super) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let (status, headers, payload) = self.begin(method, path, headers).await;
        let (text, chunks) = match payload {
            Payload::Full(bytes) => (bytes.to_vec(), None),
            Payload::Stream(mut stream) => {
                let (mut text, mut sizes) = (Vec::new(), Vec::new());
                while let Some(chunk) = stream.next().await {
                    sizes.push(chunk.len());
                    text.extend_from_slice(&chunk);
                }
                (text, Some(sizes))
            }
        };
        Answer {
            status,
            headers,
            text: String::from_utf8(text).unwrap(),
            chunks,
        }
    }

    /// Asks, and leaves the body to the caller.
    pub(super) async fn begin(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, Payload) {
        let uri = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{BASE}/{path}")
        };
        let mut request = Request::builder().method(method.clone()).uri(&uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let info = RequestInfo::parse(&method, &parts.uri);
        let (parts, payload) = self.tags.respond(&parts, &info).await.into_parts();
        (parts.status, parts.headers, payload)
    }

    /// Begins a watch, which must be accepted.
    pub(super) async fn watch(&self, path: &str) -> Frames {
        self.watch_as(path, "application/json").await
    }

    pub(super) async fn watch_as(&self, path: &str, accept: &str) -> Frames {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}watch=true");
        let (status, headers, payload) =
            self.begin(Method::GET, &path, &[("accept", accept)]).await;
        let Payload::Stream(stream) = payload else {
            panic!("{status}: not a stream: {payload:?}")
        };
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "application/json");
        Frames {
            stream,
            rest: Vec::new(),
        }
    }
}

/// The frames of a watch, one by one.
pub(super) struct Frames {
    stream: std::pin::Pin<Box<dyn Stream<Item = bytes::Bytes> + Send>>,
    rest: Vec<u8>,
}

impl Frames {
    /// Of an answer that was accepted.
    pub(super) fn of(payload: Payload) -> Self {
        let Payload::Stream(stream) = payload else {
            panic!("not a stream: {payload:?}")
        };
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    /// The next frame; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            match self.stream.next().await {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None => {
                    assert!(self.rest.is_empty(), "the stream ended within a frame");
                    return None;
                }
            }
        }
    }

    /// The frames that are there without waiting.
    pub(super) async fn ready(&mut self) -> Vec<Value> {
        let mut frames = Vec::new();
        // The clock is paused in tests: this is over as soon as nothing else can run.
        while let Ok(Some(frame)) =
            tokio::time::timeout(Duration::from_millis(1), self.next()).await
        {
            frames.push(frame);
        }
        frames
    }
}

/// `TYPE name@version`, short enough to compare lists of.
pub(super) fn brief(frames: &[Value]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| {
            let kind = frame["type"].as_str().unwrap();
            let name = frame
                .pointer("/object/metadata/name")
                .and_then(Value::as_str)
                .unwrap_or("-");
            format!("{kind} {name}")
        })
        .collect()
}

pub(super) fn key(text: &str) -> Key {
    let (namespace, name) = text.split_once('/').unwrap();
    Key::new(namespace, name)
}
