//! Tag lists, page by page.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, Response, StatusCode};

use super::content::digest_of;
use super::log::Request;
use super::options::{ETags, Links};
use super::replies::{Body, empty, error, json, refusal, with_link};
use super::state::State;

pub(super) fn list(state: &mut State, entry: &Request, name: &str) -> Response<Body> {
    let digests = state.options.lists_digests.then(|| digests(state, name));
    let Some(repository) = state.repositories.get(name) else {
        return error(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            "repository name not known to registry",
        );
    };
    let paging = &state.paging;
    let asked: Option<usize> = entry
        .asked("n")
        .filter(|_| !paging.ignores_size)
        .and_then(|n| n.parse().ok());
    let too_many = asked.is_some_and(|n| paging.max_size.is_some_and(|max| n > max));
    if let Some((status, code)) = paging.refusal
        && (too_many || (paging.refuses_any_size && asked.is_some()))
    {
        return refusal(status, code, "invalid number of results requested");
    }
    let size = asked
        .or(paging.default_size)
        .map(|n| paging.max_size.map_or(n, |max| n.min(max)));
    let last = match paging.links {
        Links::Opaque => entry.asked("next_page").and_then(|text| opened(&text)),
        Links::AbsoluteOpaque => entry.asked("last").map(|text| {
            let place = text.trim_start_matches('.');
            opened(place).unwrap_or(text)
        }),
        _ => entry.asked("last"),
    };
    let start = match last {
        Some(last) if !paging.ignores_last => repository.after(&last),
        _ => 0,
    };
    let end = size.map_or(repository.tags.len(), |size| {
        repository.tags.len().min(start + size)
    });
    let page = &repository.tags[start..end];
    let mut document = serde_json::json!({"name": name, "tags": page});
    if let Some(digests) = digests {
        document["child"] = serde_json::json!([]);
        document["manifest"] = digests;
    }
    let answer = json(StatusCode::OK, document.to_string());
    let is_last = end >= repository.tags.len();
    let next = page.last().filter(|_| !is_last);
    match (next, paging.links) {
        (Some(last), links) => with_next(answer, entry, links, size.unwrap(), last),
        (None, Links::ZeroAtEnd) if size.is_some() && !page.is_empty() => with_link(
            answer,
            &format!(
                "<{}?last={}&n=0>; rel=\"next\"",
                entry.path,
                page.last().unwrap()
            ),
        ),
        (None, _) => answer,
    }
}

/// `answer` with the place of the page behind `last`, as this registry says it.
fn with_next(
    answer: Response<Body>,
    entry: &Request,
    links: Links,
    size: usize,
    last: &str,
) -> Response<Body> {
    let query = |name: &str, value: &str| {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("n", &size.to_string())
            .append_pair(name, value)
            .finish()
    };
    let scheme = if entry.listener.is_tls() {
        "https"
    } else {
        "http"
    };
    let here = format!("{scheme}://{}", entry.host);
    let sealed = BASE64_URL_SAFE_NO_PAD.encode(last);
    let (place, query) = match links {
        Links::Missing => return answer,
        Links::Relative | Links::ZeroAtEnd => (entry.path.clone(), query("last", last)),
        Links::Absolute => (format!("{here}{}", entry.path), query("last", last)),
        Links::WrongHost => (
            format!("{scheme}://internal.invalid{}", entry.path),
            query("last", last),
        ),
        Links::LostPrefix => {
            let rest = entry.path.strip_prefix("/v2/").unwrap_or_default();
            let rest = rest.split_once('/').map_or(rest, |(_, rest)| rest);
            (format!("/v2/{rest}"), query("last", last))
        }
        Links::Opaque => (entry.path.clone(), query("next_page", &sealed)),
        Links::AbsoluteOpaque => (
            format!("{here}{}", entry.path),
            query("last", &format!("{}{sealed}", ".".repeat(200))),
        ),
    };
    with_link(answer, &format!("<{place}?{query}>; rel=\"next\""))
}

fn opened(sealed: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
    String::from_utf8(bytes).ok()
}

/// Every manifest with its tags, as Google's registries say it.
fn digests(state: &mut State, name: &str) -> serde_json::Value {
    let mut all = serde_json::Map::new();
    let Some(repository) = state.repositories.get_mut(name) else {
        return serde_json::Value::Null;
    };
    for tag in repository.tags.clone() {
        let Some((digest, stored)) = repository.manifest(name, &tag) else {
            continue;
        };
        let one = all.entry(digest).or_insert_with(|| {
            serde_json::json!({
                "imageSizeBytes": stored.content.len().to_string(),
                "mediaType": stored.media_type,
                "tag": [],
                "timeCreatedMs": "0",
                "timeUploadedMs": (1_700_000_000_000_u64 + stored.place as u64).to_string(),
            })
        });
        one["tag"].as_array_mut().unwrap().push(tag.into());
    }
    all.into()
}

/// `answer` with its ETag, or 304 for whoever has that already.
pub(super) fn conditional(
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
        answer = empty(StatusCode::NOT_MODIFIED);
    } else {
        state.list_bodies += 1;
    }
    answer.headers_mut().insert(ETAG, etag.parse().unwrap());
    answer
}
