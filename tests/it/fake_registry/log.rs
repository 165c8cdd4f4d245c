//! What is written down of each request.

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
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`.
    Ping,
    /// A tag list.
    List,
    /// A manifest.
    Manifest,
    /// A blob or an upload.
    Blob,
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
}

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
        Self {
            listener,
            method: parts.method.clone(),
            route: route(listener, &path),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            host: text(parts.headers.get(HOST)),
            sent: sent(&parts.headers),
            has_certificate,
            path,
        }
    }
}

fn route(listener: Listener, path: &str) -> Route {
    match listener {
        Listener::TokenPlain | Listener::TokenTls => Route::Token,
        Listener::Plain | Listener::Tls => match path {
            "/v2/" => Route::Ping,
            _ if path.ends_with("/tags/list") => Route::List,
            _ if path.contains("/manifests/") => Route::Manifest,
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
