//! What the registry answers.

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::Shared;
use super::faults::Fault;
use super::listener::Connection;
use super::log::{Listener, Request};
use super::misbehaviour;
use super::state::{Auth, EMPTY_BLOB, ETags, Links, MANIFEST_TYPE, State, digest_of};

pub(super) type Body = BoxBody<Bytes, io::Error>;

/// Answers one request to the registry.
pub(super) async fn answer(
    connection: &Connection,
    shared: &Shared,
    request: hyper::Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
    else {
        return error(StatusCode::BAD_REQUEST, "UNKNOWN", "the request broke off");
    };
    let entry = Request::of(connection.listener, connection.has_certificate, &parts);
    let (fault, usual) = {
        let mut state = shared.state.lock();
        state.log.push(entry.clone());
        let early = state
            .faults
            .front()
            .or(state.standing_fault.as_ref())
            .is_some_and(Fault::is_early);
        if !early && let Some(challenge) = authenticate(&state, shared, &entry, &parts.headers) {
            return challenge;
        }
        let fault = state
            .faults
            .pop_front()
            .or_else(|| state.standing_fault.clone());
        (fault, usual(&mut state, &entry, &parts.headers, &body))
    };
    match fault {
        None => usual,
        Some(fault) => {
            misbehaviour::misbehave(
                fault,
                usual,
                &entry,
                &parts.headers,
                &connection.wants_reset,
            )
            .await
        }
    }
}

/// What a registry in good health answers.
fn usual(state: &mut State, entry: &Request, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
    let Some(rest) = entry.path.strip_prefix("/v2/") else {
        return error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such place");
    };
    if rest.is_empty() {
        return json(StatusCode::OK, "{}".to_owned());
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        let answer = list(state, entry, name);
        return conditional(state, entry, name, headers, answer);
    }
    if let Some((name, reference)) = rest.split_once("/manifests/") {
        return manifest(state, entry, name, reference, headers, body);
    }
    if let Some((name, rest)) = rest.split_once("/blobs/") {
        return blob(state, entry, name, rest, body);
    }
    error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such place")
}

fn list(state: &State, entry: &Request, name: &str) -> Response<Body> {
    let Some(repository) = state.repositories.get(name) else {
        return error(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            "repository name not known to registry",
        );
    };
    let paging = &state.paging;
    let query: Vec<(String, String)> = url::form_urlencoded::parse(entry.query.as_bytes())
        .into_owned()
        .collect();
    let value = |name: &str| {
        query
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let asked: Option<usize> = value("n").and_then(|n| n.parse().ok());
    let too_many = asked.is_some_and(|n| paging.max_size.is_some_and(|max| n > max));
    if let Some((status, code)) = paging.refusal
        && (too_many || (paging.refuses_any_size && asked.is_some()))
    {
        return error(
            StatusCode::from_u16(status).unwrap(),
            code,
            "invalid number of results requested",
        );
    }
    let size = asked
        .or(paging.default_size)
        .map(|n| paging.max_size.map_or(n, |max| n.min(max)));
    let start = match value("last") {
        Some(last) if !paging.ignores_last => repository.after(last),
        _ => 0,
    };
    let end = size.map_or(repository.tags.len(), |size| {
        repository.tags.len().min(start + size)
    });
    let page = &repository.tags[start..end];
    let answer = json(
        StatusCode::OK,
        serde_json::json!({"name": name, "tags": page}).to_string(),
    );
    match page.last() {
        Some(last) if end < repository.tags.len() => {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("n", &size.unwrap().to_string())
                .append_pair("last", last)
                .finish();
            let scheme = if entry.listener == Listener::Tls {
                "https"
            } else {
                "http"
            };
            match paging.links {
                Links::Relative => {
                    with_link(answer, &format!("<{}?{query}>; rel=\"next\"", entry.path))
                }
                Links::Absolute => with_link(
                    answer,
                    &format!(
                        "<{scheme}://{}{}?{query}>; rel=\"next\"",
                        entry.host, entry.path
                    ),
                ),
                Links::WrongHost => with_link(
                    answer,
                    &format!(
                        "<{scheme}://internal.invalid{}?{query}>; rel=\"next\"",
                        entry.path
                    ),
                ),
                Links::Missing => answer,
            }
        }
        _ => answer,
    }
}

/// `answer` with its ETag, or 304 for whoever has that already.
fn conditional(
    state: &mut State,
    entry: &Request,
    name: &str,
    headers: &HeaderMap,
    mut answer: Response<Body>,
) -> Response<Body> {
    if answer.status() != StatusCode::OK {
        return answer;
    }
    if state.etags == ETags::None {
        state.list_bodies += 1;
        return answer;
    }
    let tags = state
        .repositories
        .get(name)
        .map(|repository| repository.tags.join(","));
    let state_of_it =
        digest_of(format!("{}\n{}", entry.query, tags.unwrap_or_default()).as_bytes());
    let etag = match state.etags {
        ETags::None => return answer,
        ETags::Strong => format!("\"{state_of_it}\""),
        ETags::Weak => format!("W/\"{state_of_it}\""),
        ETags::Unquoted => state_of_it,
        ETags::Long => format!("\"{}\"", state_of_it.repeat(15)),
    };
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if known == Some(etag.as_str()) {
        answer = whole(StatusCode::NOT_MODIFIED, Bytes::new());
    } else {
        state.list_bodies += 1;
    }
    answer.headers_mut().insert(ETAG, etag.parse().unwrap());
    answer
}

fn manifest(
    state: &mut State,
    entry: &Request,
    name: &str,
    reference: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Body> {
    if entry.method == Method::PUT {
        let media_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or(MANIFEST_TYPE);
        let tag = (!reference.starts_with("sha256:")).then_some(reference);
        let repository = state.repositories.entry(name.to_owned()).or_default();
        let digest = repository.put_manifest(tag, media_type, body.to_vec());
        let mut answer = whole(StatusCode::CREATED, Bytes::new());
        answer.headers_mut().insert(
            LOCATION,
            format!("/v2/{name}/manifests/{digest}").parse().unwrap(),
        );
        answer
            .headers_mut()
            .insert("docker-content-digest", digest.parse().unwrap());
        return answer;
    }
    let found = state
        .repositories
        .get_mut(name)
        .and_then(|repository| repository.manifest(name, reference));
    let Some((digest, media_type, content)) = found else {
        return error(
            StatusCode::NOT_FOUND,
            "MANIFEST_UNKNOWN",
            "manifest unknown",
        );
    };
    let length = content.len();
    let mut answer = whole(
        StatusCode::OK,
        if entry.method == Method::HEAD {
            Bytes::new()
        } else {
            content.into()
        },
    );
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, media_type.parse().unwrap());
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert("docker-content-digest", digest.parse().unwrap());
    answer
}

fn blob(state: &mut State, entry: &Request, name: &str, rest: &str, body: &[u8]) -> Response<Body> {
    if rest == "uploads/" && entry.method == Method::POST {
        let mut answer = whole(StatusCode::ACCEPTED, Bytes::new());
        let session = format!("/v2/{name}/blobs/uploads/{}", uuid::Uuid::new_v4());
        answer
            .headers_mut()
            .insert(LOCATION, session.parse().unwrap());
        return answer;
    }
    if rest.starts_with("uploads/") && entry.method == Method::PUT {
        let digest = digest_of(body);
        let stated =
            url::form_urlencoded::parse(entry.query.as_bytes()).find(|(key, _)| key == "digest");
        if stated.is_none_or(|(_, stated)| stated != digest) {
            return error(
                StatusCode::BAD_REQUEST,
                "DIGEST_INVALID",
                "the content has another digest",
            );
        }
        let repository = state.repositories.entry(name.to_owned()).or_default();
        repository.contents.insert(
            digest.clone(),
            ("application/octet-stream".to_owned(), body.to_vec()),
        );
        let mut answer = whole(StatusCode::CREATED, Bytes::new());
        answer.headers_mut().insert(
            LOCATION,
            format!("/v2/{name}/blobs/{digest}").parse().unwrap(),
        );
        return answer;
    }
    let Some(repository) = state.repositories.get(name) else {
        return error(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            "repository name not known to registry",
        );
    };
    let stored = repository
        .contents
        .get(rest)
        .map(|(_, content)| content.clone());
    match stored.or_else(|| (rest == digest_of(EMPTY_BLOB)).then(|| EMPTY_BLOB.to_vec())) {
        Some(content) => whole(StatusCode::OK, content.into()),
        None => error(
            StatusCode::NOT_FOUND,
            "BLOB_UNKNOWN",
            "blob unknown to registry",
        ),
    }
}

/// The challenge that the request gets; none: it may go on.
fn authenticate(
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
            if sent == expected {
                None
            } else {
                Some(unauthorized(
                    Some("Basic realm=\"fake\""),
                    "authentication required",
                ))
            }
        }
        Auth::Bearer { .. } => {
            let name = entry.path.strip_prefix("/v2/").unwrap_or_default();
            let name = ["/tags/list", "/manifests/", "/blobs/"]
                .iter()
                .find_map(|part| name.split_once(part))
                .map(|(name, _)| name);
            let action = if entry.method == Method::GET || entry.method == Method::HEAD {
                "pull"
            } else {
                "push"
            };
            let scope = sent
                .strip_prefix("Bearer ")
                .and_then(|token| state.tokens.get(token));
            let covers = |scope: &str, name: &str| {
                scope.split(' ').any(|one| {
                    one.strip_prefix(&format!("repository:{name}:"))
                        .is_some_and(|all| all.split(',').any(|known| known == action))
                })
            };
            if scope.is_some_and(|scope| name.is_none_or(|name| covers(scope, name))) {
                return None;
            }
            let (scheme, token) = match entry.listener {
                Listener::Tls | Listener::TokenTls => ("https", shared.token_tls),
                Listener::Plain | Listener::TokenPlain => ("http", shared.token_plain),
            };
            let host = entry
                .host
                .rsplit_once(':')
                .map_or(entry.host.as_str(), |(host, _)| host);
            let scope = name
                .map(|name| format!(",scope=\"repository:{name}:{action}\""))
                .unwrap_or_default();
            let challenge = format!(
                "Bearer realm=\"{scheme}://{host}:{}/token\",service=\"fake\"{scope}",
                token.port()
            );
            Some(unauthorized(Some(&challenge), "authentication required"))
        }
    }
}

pub(super) fn unauthorized(challenge: Option<&str>, message: &str) -> Response<Body> {
    let mut answer = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
    if let Some(challenge) = challenge {
        answer
            .headers_mut()
            .insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
    }
    answer
}

pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json(
        status,
        serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string(),
    )
}

pub(super) fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut answer = whole(status, body.into());
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, "application/json".parse().unwrap());
    answer
}

pub(super) fn redirect(target: &str) -> Response<Body> {
    let mut answer = whole(StatusCode::TEMPORARY_REDIRECT, Bytes::new());
    answer
        .headers_mut()
        .insert(LOCATION, target.parse().unwrap());
    answer
}

pub(super) fn whole(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Full::new(body).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer
}

pub(super) fn with_link(mut answer: Response<Body>, link: &str) -> Response<Body> {
    answer.headers_mut().insert(LINK, link.parse().unwrap());
    answer
}
