//! Manifests: read, pushed, deleted; and who refers to one.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::Value;

use super::content::{algorithm_of, digest_of, digest_with};
use super::log::Request;
use super::replies::{Body, empty, error, json, refusal, set, whole, with_link};
use super::state::{INDEX_TYPE, MANIFEST_TYPE, Repository, State, Stored};

/// Status, code and message of a refusal.
type Refusal = (u16, &'static str, String);

pub(super) fn answer(
    state: &mut State,
    entry: &Request,
    name: &str,
    reference: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let answer = match entry.method {
        Method::PUT => put(state, entry, name, reference, headers, body),
        Method::DELETE => delete(state, name, reference),
        _ => return get(state, entry, name, reference, headers),
    };
    answer.unwrap_or_else(|(status, code, message)| refusal(status, code, &message))
}

fn get(
    state: &mut State,
    entry: &Request,
    name: &str,
    reference: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    let is_head = entry.method == Method::HEAD;
    if let (true, Some(status)) = (is_head, state.options.refuses_manifest_head) {
        return refusal(status, "UNSUPPORTED", "not by HEAD");
    }
    let as_digest = reference.replacen('-', ":", 1);
    let reference = if state.options.takes_tags_for_digests && algorithm_of(&as_digest).is_some() {
        as_digest.as_str()
    } else {
        reference
    };
    let found = state
        .repositories
        .get_mut(name)
        .and_then(|repository| repository.manifest(name, reference));
    let Some((digest, stored)) = found else {
        return error(
            StatusCode::NOT_FOUND,
            "MANIFEST_UNKNOWN",
            "manifest unknown",
        );
    };
    let etag = format!("\"{digest}\"");
    let has_etag = state.options.manifest_etags;
    let mut answer = if has_etag && names(headers, IF_NONE_MATCH, &etag) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let length = stored.content.len();
        let content = if is_head {
            Bytes::new()
        } else {
            stored.content
        };
        let mut answer = whole(StatusCode::OK, content);
        set(&mut answer, CONTENT_TYPE.as_str(), &stored.media_type);
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
        answer
    };
    set(&mut answer, "docker-content-digest", &digest);
    if has_etag {
        set(&mut answer, ETAG.as_str(), &etag);
    }
    answer
}

/// Whether the header names `etag`, or anything.
fn names(headers: &HeaderMap, header: http::HeaderName, etag: &str) -> bool {
    headers
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| {
            let one = one.trim();
            one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag
        })
}

fn put(
    state: &mut State,
    entry: &Request,
    name: &str,
    reference: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response<Body>, Refusal> {
    let options = state.options.clone();
    if !options.creates_repositories && !state.repositories.contains_key(name) {
        return Err((404, "NAME_UNKNOWN", "no such repository".into()));
    }
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or(MANIFEST_TYPE);
    let digest = match algorithm_of(reference) {
        Some(algorithm) => {
            let digest = digest_with(algorithm, &body).unwrap();
            if digest != reference {
                let message = format!("the content has the digest {digest}");
                return Err((400, "DIGEST_INVALID", message));
            }
            digest
        }
        None if reference.contains(':') => {
            return Err((400, "DIGEST_INVALID", "unknown algorithm".into()));
        }
        None => digest_of(&body),
    };
    let repository = state.repositories.entry(name.to_owned()).or_default();
    let mut tags: Vec<String> = Vec::new();
    if algorithm_of(reference).is_none() {
        tags.push(reference.to_owned());
    } else if options.takes_many_tags {
        tags = entry.all_asked("tag");
    }
    if let Some(bad) = tags.iter().find(|tag| !is_tag(tag)) {
        return Err((400, "TAG_INVALID", format!("{bad:?} is no tag")));
    }
    for tag in &tags {
        let known = repository.tag_digest(name, tag);
        if headers.contains_key(IF_MATCH)
            && known
                .as_ref()
                .is_none_or(|known| !names(headers, IF_MATCH, &format!("\"{known}\"")))
        {
            return Err((412, "PRECONDITION_FAILED", "the tag has moved".into()));
        }
        if let (Some(status), Some(known)) = (options.immutable_tags, known) {
            let code = if status == 400 {
                "TAG_INVALID"
            } else {
                "DENIED"
            };
            return Err((status, code, format!("{tag} is there, immutable: {known}")));
        }
    }
    let document: Value = serde_json::from_slice(&body)
        .map_err(|error| (400, "MANIFEST_INVALID", error.to_string()))?;
    if options.checks_references {
        check_references(repository, &document, options.takes_sparse_indexes)?;
    }
    repository.put_manifest_as(&digest, media_type, body);
    for tag in &tags {
        repository.point(tag, &digest);
    }
    let mut answer = empty(StatusCode::CREATED);
    let place = format!("/v2/{name}/manifests/{digest}");
    set(&mut answer, LOCATION.as_str(), &place);
    set(&mut answer, "docker-content-digest", &digest);
    let subject = document["subject"]["digest"].as_str();
    if let (true, true, Some(subject)) = (options.says_subject, options.has_referrers, subject) {
        set(&mut answer, "oci-subject", subject);
    }
    if options.takes_many_tags && !entry.query.is_empty() && !tags.is_empty() {
        set(&mut answer, "oci-tag", &tags.join(", "));
    }
    Ok(answer)
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

/// Descriptors of a manifest: config and layers (those that a registry must have), and children.
pub(super) fn references(document: &Value) -> (Vec<&Value>, Vec<&Value>) {
    let layers = document["layers"].as_array().into_iter().flatten();
    let blobs = document
        .get("config")
        .into_iter()
        .chain(layers)
        .filter(|blob| {
            let is_foreign = blob["mediaType"]
                .as_str()
                .is_some_and(|kind| kind.contains("foreign") || kind.contains("nondistributable"));
            blob["digest"].is_string() && !is_foreign
        })
        .collect();
    let children = document["manifests"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    (blobs, children)
}

fn check_references(
    repository: &Repository,
    document: &Value,
    takes_sparse_indexes: bool,
) -> Result<(), Refusal> {
    let (blobs, children) = references(document);
    for blob in blobs {
        let digest = blob["digest"].as_str().unwrap_or_default();
        if !repository.has_blob(digest) {
            return Err((
                400,
                "MANIFEST_BLOB_UNKNOWN",
                format!("blob unknown to registry: {digest}"),
            ));
        }
    }
    for child in children {
        let digest = child["digest"].as_str().unwrap_or_default();
        if !takes_sparse_indexes && !repository.manifests.contains_key(digest) {
            return Err((
                400,
                "MANIFEST_UNKNOWN",
                format!("manifest unknown to registry: {digest}"),
            ));
        }
    }
    Ok(())
}

fn delete(state: &mut State, name: &str, reference: &str) -> Result<Response<Body>, Refusal> {
    let by_digest = algorithm_of(reference).is_some();
    let refused = if by_digest {
        state.options.refuses_digest_deletion
    } else {
        state.options.refuses_tag_deletion
    };
    if let Some(status) = refused {
        let code = match status {
            400 if !by_digest => "DIGEST_INVALID",
            403 => "DENIED",
            _ => "UNSUPPORTED",
        };
        return Err((status, code, "not to be deleted".into()));
    }
    let was_there = state.repositories.get_mut(name).is_some_and(|repository| {
        if by_digest {
            repository.delete_manifest(name, reference)
        } else {
            repository.delete_tag(reference)
        }
    });
    if was_there {
        Ok(empty(StatusCode::ACCEPTED))
    } else {
        Err((404, "MANIFEST_UNKNOWN", "manifest unknown".into()))
    }
}

/// The manifests whose subject is `digest`, in the order in which they came.
pub(super) fn referrers_of(repository: &Repository, digest: &str) -> Vec<Value> {
    let mut found: Vec<(&String, &Stored, Value)> = repository
        .manifests
        .iter()
        .filter_map(|(known, stored)| {
            let document: Value = serde_json::from_slice(&stored.content).ok()?;
            (document["subject"]["digest"] == digest).then_some((known, stored, document))
        })
        .collect();
    found.sort_by_key(|(_, stored, _)| stored.place);
    found
        .into_iter()
        .map(|(known, stored, document)| {
            let kind = document
                .get("artifactType")
                .or_else(|| document["config"].get("mediaType"));
            let mut one = serde_json::json!({
                "mediaType": stored.media_type,
                "digest": known,
                "size": stored.content.len(),
            });
            if let Some(kind) = kind {
                one["artifactType"] = kind.clone();
            }
            if let Some(annotations) = document.get("annotations") {
                one["annotations"] = annotations.clone();
            }
            one
        })
        .collect()
}

pub(super) fn index_of(descriptors: &[Value]) -> Value {
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": descriptors,
    })
}

/// Answers `GET …/referrers/<digest>`.
pub(super) fn referrers(
    state: &State,
    entry: &Request,
    name: &str,
    digest: &str,
) -> Response<Body> {
    if !state.options.has_referrers {
        return error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such place");
    }
    if algorithm_of(digest).is_none() {
        return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "no digest");
    }
    let mut all = state
        .repositories
        .get(name)
        .map(|repository| referrers_of(repository, digest))
        .unwrap_or_default();
    let kind = entry.asked("artifactType");
    let filter = kind.filter(|_| state.options.filters_referrers);
    if let Some(kind) = &filter {
        all.retain(|one| one["artifactType"] == **kind);
    }
    let start = entry.asked("last").map_or(0, |last| {
        all.iter()
            .position(|one| one["digest"] == *last)
            .map_or(0, |at| at + 1)
    });
    let size = state.options.referrers_page.unwrap_or(all.len());
    let end = all.len().min(start + size);
    let page = &all[start..end];
    let mut answer = json(StatusCode::OK, index_of(page).to_string());
    set(&mut answer, CONTENT_TYPE.as_str(), INDEX_TYPE);
    if filter.is_some() {
        set(&mut answer, "oci-filters-applied", "artifactType");
    }
    match page.last() {
        Some(last) if end < all.len() => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            if let Some(kind) = &filter {
                query.append_pair("artifactType", kind);
            }
            query.append_pair("last", last["digest"].as_str().unwrap());
            let place = format!("<{}?{}>; rel=\"next\"", entry.path, query.finish());
            with_link(answer, &place)
        }
        _ => answer,
    }
}
