//! What is written down of each request.

use std::collections::HashMap;
use std::time::Instant;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Method};

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Listener {
    /// The registry, plain.
    Plain,
    /// The registry, TLS.
    Tls,
    /// The token server, plain.
    TokenPlain,
    /// The token server, TLS.
    TokenTls,
    /// The store of blobs, plain.
    StorePlain,
    /// The store of blobs, TLS.
    StoreTls,
}

impl Listener {
    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TokenTls | Self::StoreTls)
    }

    pub(super) fn is_store(self) -> bool {
        matches!(self, Self::StorePlain | Self::StoreTls)
    }
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// `/v2/`.
    Ping,
    /// A tag list.
    List,
    /// A manifest.
    Manifest,
    /// A blob.
    Blob,
    /// An upload of a blob, the store's too.
    Upload,
    /// The referrers of a digest.
    Referrers,
    /// A blob, from the store.
    Store,
    /// The token server.
    Token,
    /// None of these.
    Other,
}

/// What kind of credential came with a request; never the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// None.
    Nothing,
    /// User name and password.
    Basic,
    /// A bearer token.
    Bearer,
    /// Something else.
    Other,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) listener: Listener,
    pub(crate) method: Method,
    pub(crate) route: Route,
    pub(crate) path: String,
    pub(crate) query: String,
    /// The `Host` header.
    pub(crate) host: String,
    pub(crate) sent: Sent,
    /// Whether the client showed a certificate.
    pub(crate) has_certificate: bool,
    /// When its head had come.
    pub(crate) at: Instant,
    /// What was answered; 0: nothing (yet).
    pub(crate) status: u16,
    /// Bytes of its body that were read.
    pub(crate) bytes_in: u64,
    /// Bytes of the answer's body that were sent.
    pub(crate) bytes_out: u64,
    headers: Vec<(&'static str, String)>,
}

/// The headers that are kept.
const KEPT: &[&str] = &[
    "accept",
    "accept-encoding",
    "content-length",
    "content-range",
    "content-type",
    "expect",
    "if-match",
    "if-none-match",
    "range",
    "transfer-encoding",
    "user-agent",
];

impl Request {
    pub(super) fn of(
        listener: Listener,
        has_certificate: bool,
        parts: &http::request::Parts,
    ) -> Self {
        let path = parts.uri.path().to_owned();
        let text = |value: Option<&http::HeaderValue>| {
            value
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let headers = KEPT
            .iter()
            .filter(|name| parts.headers.contains_key(**name))
            .map(|name| (*name, text(parts.headers.get(*name))))
            .collect();
        Self {
            listener,
            method: parts.method.clone(),
            route: route(listener, &path),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            host: text(parts.headers.get(HOST)),
            sent: sent(&parts.headers),
            has_certificate,
            path,
            at: Instant::now(),
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            headers,
        }
    }

    /// One of the request's headers; those that say what was asked for are kept, a credential never.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// `path`, or `path?query`.
    pub(crate) fn place(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        format!("{}?{}", self.path, self.query)
    }

    /// The first value of `name` in the query.
    pub(super) fn asked(&self, name: &str) -> Option<String> {
        self.all_asked(name).into_iter().next()
    }

    /// Every value of `name` in the query.
    pub(super) fn all_asked(&self, name: &str) -> Vec<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }
}

fn route(listener: Listener, path: &str) -> Route {
    match listener {
        Listener::TokenPlain | Listener::TokenTls => Route::Token,
        Listener::StorePlain | Listener::StoreTls => match path {
            _ if path.contains("/blobs/uploads/") => Route::Upload,
            _ => Route::Store,
        },
        Listener::Plain | Listener::Tls => match path {
            "/v2/" => Route::Ping,
            _ if path.ends_with("/tags/list") => Route::List,
            _ if path.contains("/manifests/") => Route::Manifest,
            _ if path.contains("/referrers/") => Route::Referrers,
            _ if path.contains("/blobs/uploads/") => Route::Upload,
            _ if path.contains("/blobs/") => Route::Blob,
            _ => Route::Other,
        },
    }
}

fn sent(headers: &HeaderMap) -> Sent {
    match headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
    {
        None => Sent::Nothing,
        Some(value) if value.starts_with("Basic ") => Sent::Basic,
        Some(value) if value.starts_with("Bearer ") => Sent::Bearer,
        Some(_) => Sent::Other,
    }
}

/// All requests, and how many are under way.
#[derive(Debug, Default)]
pub(super) struct Book {
    requests: Vec<Request>,
    /// Requests that were forgotten.
    forgotten: usize,
    under_way: HashMap<Route, usize>,
    most: HashMap<Route, usize>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Book {
    /// Writes a request down; its number.
    pub(super) fn begin(&mut self, request: Request) -> usize {
        let route = request.route;
        self.requests.push(request);
        let now = self.under_way.entry(route).or_default();
        *now += 1;
        let most = self.most.entry(route).or_default();
        *most = (*most).max(*now);
        self.forgotten + self.requests.len() - 1
    }

    pub(super) fn end(&mut self, route: Route) {
        *self.under_way.entry(route).or_insert(1) -= 1;
    }

    fn entry(&mut self, number: usize) -> Option<&mut Request> {
        self.requests.get_mut(number.checked_sub(self.forgotten)?)
    }

    pub(super) fn answered(&mut self, number: usize, status: u16) {
        if let Some(entry) = self.entry(number) {
            entry.status = status;
        }
    }

    pub(super) fn read(&mut self, number: usize, bytes: u64) {
        self.bytes_in += bytes;
        if let Some(entry) = self.entry(number) {
            entry.bytes_in += bytes;
        }
    }

    pub(super) fn wrote(&mut self, number: usize, bytes: u64) {
        self.bytes_out += bytes;
        if let Some(entry) = self.entry(number) {
            entry.bytes_out += bytes;
        }
    }

    pub(super) fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Forgets requests, sums and peaks.
    pub(super) fn clear(&mut self) {
        self.forgotten += self.requests.len();
        self.requests.clear();
        (self.bytes_in, self.bytes_out) = (0, 0);
        self.most = self.under_way.clone();
    }

    pub(super) fn most_at_once(&self, route: Route) -> usize {
        self.most.get(&route).copied().unwrap_or_default()
    }

    pub(super) fn under_way(&self, route: Route) -> usize {
        self.under_way.get(&route).copied().unwrap_or_default()
    }
}
