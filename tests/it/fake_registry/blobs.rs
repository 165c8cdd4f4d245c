//! Blobs: read, whole or in part, here or from the store; and deleted.

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::{HeaderMap, Method, Response, StatusCode};

use super::Shared;
use super::content::Content;
use super::log::Request;
use super::replies::{Body, empty, error, redirect, set};
use super::state::State;

pub(super) fn answer(
    state: &mut State,
    shared: &Shared,
    entry: &Request,
    name: &str,
    digest: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    let Some(repository) = state.repositories.get_mut(name) else {
        return error(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            "repository name not known to registry",
        );
    };
    let unknown = || {
        error(
            StatusCode::NOT_FOUND,
            "BLOB_UNKNOWN",
            "blob unknown to registry",
        )
    };
    if entry.method == Method::DELETE {
        return match repository.blobs.remove(digest) {
            Some(_) => empty(StatusCode::ACCEPTED),
            None => unknown(),
        };
    }
    let Some(content) = repository.blob(digest) else {
        return unknown();
    };
    if let (Some(host), false, &Method::GET) = (
        state.options.redirects_blobs_to,
        entry.listener.is_store(),
        &entry.method,
    ) {
        let origin = shared.store_origin(entry.listener, host);
        return redirect(&format!("{origin}/store{}?signature=s%2Fe+c", entry.path));
    }
    let mut answer = if state.options.has_ranges && entry.method == Method::GET {
        ranged(&content, headers)
    } else {
        sent(&content, 0, content.len(), StatusCode::OK)
    };
    if state.options.has_ranges {
        set(&mut answer, ACCEPT_RANGES.as_str(), "bytes");
    }
    if answer.status().is_success() {
        set(
            &mut answer,
            CONTENT_TYPE.as_str(),
            "application/octet-stream",
        );
        set(&mut answer, ETAG.as_str(), &format!("\"{digest}\""));
        if !entry.listener.is_store() {
            set(&mut answer, "docker-content-digest", digest);
        }
    }
    answer
}

fn ranged(content: &Content, headers: &HeaderMap) -> Response<Body> {
    let length = content.len();
    let asked = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = asked.and_then(|text| range(text, length)) else {
        return sent(content, 0, length, StatusCode::OK);
    };
    if first >= length || last < first {
        let mut answer = empty(StatusCode::RANGE_NOT_SATISFIABLE);
        set(
            &mut answer,
            CONTENT_RANGE.as_str(),
            &format!("bytes */{length}"),
        );
        return answer;
    }
    let end = length.min(last.saturating_add(1));
    let mut answer = sent(content, first, end, StatusCode::PARTIAL_CONTENT);
    if answer.status() == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{length}", end - 1);
        set(&mut answer, CONTENT_RANGE.as_str(), &range);
    }
    answer
}

fn sent(content: &Content, start: u64, end: u64, status: StatusCode) -> Response<Body> {
    let Some(body) = content.body(start..end) else {
        return error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "UNKNOWN",
            "the bytes were not kept",
        );
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_LENGTH, (end - start).into());
    answer
}

/// First and last byte asked for; none: nothing that is understood.
pub(super) fn range(text: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (first, last) {
        ("", last) => {
            let count: u64 = last.parse().ok()?;
            Some((length.saturating_sub(count), length.saturating_sub(1)))
        }
        (first, "") => Some((first.parse().ok()?, u64::MAX)),
        (first, last) => Some((first.parse().ok()?, last.parse().ok()?)),
    }
}
