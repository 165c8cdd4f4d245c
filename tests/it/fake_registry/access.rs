//! Who may: challenges, and what a token covers.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Response};
use tokio::time::Instant;

use super::Shared;
use super::log::Request;
use super::options::Auth;
use super::replies::{Body, unauthorized};
use super::state::State;

/// Keeps what came as `Authorization`, for whoever asks whether a secret came here.
pub(super) fn remember(state: &mut State, headers: &HeaderMap) {
    let Some(sent) = headers.get(AUTHORIZATION) else {
        return;
    };
    let sent = String::from_utf8_lossy(sent.as_bytes()).into_owned();
    let decoded = sent
        .split_once(' ')
        .and_then(|(_, text)| BASE64_STANDARD.decode(text).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    state.credentials.extend(decoded);
    state.credentials.insert(sent);
}

/// The repository and the actions on it that a request takes.
fn needed(entry: &Request) -> (Option<&str>, &'static [&'static str]) {
    let rest = entry.path.strip_prefix("/v2/").unwrap_or_default();
    let name = ["/tags/list", "/manifests/", "/blobs/", "/referrers/"]
        .iter()
        .find_map(|part| rest.split_once(part))
        .map(|(name, _)| name);
    let is_upload = entry.path.contains("/blobs/uploads/");
    let actions: &[&str] = match entry.method {
        Method::GET | Method::HEAD if !is_upload => &["pull"],
        Method::DELETE if !is_upload => &["delete"],
        _ => &["pull", "push"],
    };
    (name, actions)
}

/// Whether `scope` has every one of `actions` on `name`.
fn covers(scope: &str, name: &str, actions: &[&str]) -> bool {
    actions.iter().all(|action| {
        scope.split(' ').any(|one| {
            one.strip_prefix("repository:")
                .and_then(|one| one.rsplit_once(':'))
                .is_some_and(|(known, all)| {
                    known == name && all.split(',').any(|one| one == *action || one == "*")
                })
        })
    })
}

/// The scope of the token in `headers`, while that is good.
fn scope<'a>(state: &'a State, headers: &HeaderMap) -> Option<&'a str> {
    let sent = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let grant = state.tokens.get(sent.strip_prefix("Bearer ")?)?;
    (grant.ends > Instant::now()).then_some(grant.scope.as_str())
}

/// Whether whoever sent `headers` may read `name` besides: for mounts.
pub(super) fn may_pull(state: &State, headers: &HeaderMap, name: &str) -> bool {
    match &state.auth {
        Auth::Open | Auth::Basic { .. } => true,
        Auth::Bearer { .. } => {
            scope(state, headers).is_some_and(|scope| covers(scope, name, &["pull"]))
        }
    }
}

/// The challenge that the request gets; none: it may go on.
pub(super) fn authenticate(
    state: &State,
    shared: &Shared,
    entry: &Request,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    let sent = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match &state.auth {
        Auth::Open => None,
        Auth::Basic { username, password } => {
            let expected = format!(
                "Basic {}",
                BASE64_STANDARD.encode(format!("{username}:{password}"))
            );
            (sent != expected)
                .then(|| unauthorized(Some("Basic realm=\"fake\""), "authentication required"))
        }
        Auth::Bearer { .. } => {
            let (name, actions) = needed(entry);
            let scope = scope(state, headers);
            if scope.is_some_and(|scope| name.is_none_or(|name| covers(scope, name, actions))) {
                return None;
            }
            let (scheme, token) = if entry.listener.is_tls() {
                ("https", shared.token_tls)
            } else {
                ("http", shared.token_plain)
            };
            let host = entry
                .host
                .rsplit_once(':')
                .map_or(entry.host.as_str(), |(host, _)| host);
            let wanted = name
                .map(|name| format!(",scope=\"repository:{name}:{}\"", actions.join(",")))
                .unwrap_or_default();
            let error = match (sent.starts_with("Bearer "), scope) {
                (false, _) => "",
                (true, None) => ",error=\"invalid_token\"",
                (true, Some(_)) => ",error=\"insufficient_scope\"",
            };
            let challenge = format!(
                "Bearer realm=\"{scheme}://{host}:{}/token\",service=\"fake\"{wanted}{error}",
                token.port()
            );
            Some(unauthorized(Some(&challenge), "authentication required"))
        }
    }
}
