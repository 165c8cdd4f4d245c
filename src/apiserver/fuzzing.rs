//! The parsers of what clients say, for the fuzz targets: bytes in, and what must hold of the outcome.
//!
//! Built for tests and fuzzing only. A target that cannot fail finds nothing: each one states properties. That nothing
//! grows beyond its input is one of them everywhere.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::authn;
use super::continue_token::Token;
use super::kind::Kind;
use super::negotiate::{Form, Shape, negotiate, require_json};
use super::query::{Query, Start, pretty};
use super::request_info::{RequestInfo, ResourceRequest, Verb, decode};
use super::selector::{fields, labels};
use super::status::Status;

const KINDS: [Kind; 2] = [Kind::ImageTag, Kind::TagSet];

/// A refusal is the client's fault, and quotes what it refuses a few times at most.
fn refused(status: &Status, codes: &[u16], data: &[u8]) {
    assert!(codes.contains(&status.code), "{status:?}");
    assert!(!status.message.is_empty());
    let details = status.details.as_ref().map(ToString::to_string);
    let length = status.message.len() + details.unwrap_or_default().len();
    assert!(length <= 64 * data.len() + 4096, "{length} bytes");
}

/// At most what bytes become that are replaced by U+FFFD.
fn is_within(text: &str, data: &[u8]) -> bool {
    text.len() <= 3 * data.len()
}

/// A query: what is understood excludes what it must, and a list and a watch select alike.
pub(crate) fn query(data: &[u8]) {
    let raw = String::from_utf8_lossy(data);
    let query = Query::parse(Some(&raw));
    for kind in KINDS {
        let (list, watch) = (query.list_options(kind), query.watch_options(kind));
        if let (Ok(list), Ok(watch)) = (&list, &watch) {
            assert_eq!(list.selection.labels, watch.selection.labels);
            assert_eq!(list.selection.fields, watch.selection.fields);
        }
        match list {
            Ok(list) => {
                assert_ne!(list.limit, Some(0));
                let token = list.continue_token.as_deref();
                assert!(token.is_none() || list.at.is_none(), "{list:?}");
                assert!(token.is_none_or(|token| !token.is_empty() && is_within(token, data)));
                assert!(list.at.is_none_or(|(version, _)| version.0 > 0));
            }
            Err(status) => refused(&status, &[400, 422], data),
        }
        match watch {
            Ok(watch) => {
                let (is_state, after) = match watch.start {
                    Start::State(version) => (true, version),
                    Start::After(version) => (false, Some(version)),
                    Start::Now => (false, None),
                };
                assert_eq!(watch.marks_initial_end, is_state);
                assert!(after.is_none_or(|version| version.0 > 0));
            }
            Err(status) => refused(&status, &[400, 422], data),
        }
    }
    if let Err(status) = query.get_options() {
        refused(&status, &[400], data);
    }
    if let Err(status) = query.include_object() {
        refused(&status, &[400], data);
    }
    assert!(pretty(&query).is_none() || query.first("pretty").is_some());
}

/// A label selector on the first line, labels on the others: what is read can be written, and reads back the same.
pub(crate) fn label_selector(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, lines) = text.split_once('\n').unwrap_or((&text, ""));
    let selector = match labels::Selector::parse(text) {
        Ok(selector) => selector,
        Err(error) => return refused(&Status::bad_request(error.to_string()), &[400], data),
    };
    let written = selector.to_string();
    assert!(written.len() <= 8 * text.len(), "{written:?}");
    let again = labels::Selector::parse(&written);
    assert_eq!(again.as_ref(), Ok(&selector), "{written:?}");
    let labels: BTreeMap<String, String> = lines
        .lines()
        .take(16)
        .filter_map(|line| line.split_once('='))
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .collect();
    // Each of them must hold: one more can only leave out more.
    let narrower = format!(
        "{written}{}label",
        if written.is_empty() { "" } else { "," }
    );
    let narrower = labels::Selector::parse(&narrower).expect("one more that is well-formed");
    assert!(selector.matches(&labels) || !narrower.matches(&labels));
    assert!(!selector.is_everything() || selector.matches(&labels));
}

/// A field selector: what is read can be written, and reads back the same.
pub(crate) fn field_selector(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for kind in KINDS {
        let selector = match fields::Selector::parse(&text, kind) {
            Ok(selector) => selector,
            Err(error) => {
                refused(&Status::bad_request(error.to_string()), &[400], data);
                continue;
            }
        };
        let written = selector.written();
        let again = fields::Selector::parse(&written.join(","), kind);
        let again = again.map(|again| again.written());
        assert_eq!(again.ok().as_ref(), Some(&written));
        assert_eq!(selector.is_everything(), written.is_empty());
    }
}

/// A continue token, and what could be inside of one: whatever is read is written again as it was.
pub(crate) fn continue_token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for text in [&*text, &URL_SAFE_NO_PAD.encode(data)] {
        for all_namespaces in [false, true] {
            let token = match Token::decode(text, all_namespaces) {
                Ok(token) => token,
                Err(error) => {
                    assert!(error.to_string().len() < 200, "{error}");
                    continue;
                }
            };
            assert!(!token.name.is_empty() && !token.name.contains('/'));
            assert_eq!(token.namespace.is_some(), all_namespaces);
            let length = token.name.len() + token.namespace.as_ref().map_or(0, String::len);
            assert!(length <= text.len(), "{token:?}");
            let again = Token::decode(&token.encode(), all_namespaces);
            assert_eq!(again.expect("one of ours"), token);
        }
    }
}

/// A method and a target, a line each: what is authorized is what the path and the query say, and nothing beside it.
pub(crate) fn request_info(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (method, target) = (lines.next(), lines.next());
    let Ok(method) = Method::from_bytes(method.unwrap_or_default()) else {
        return;
    };
    let Ok(uri) = Uri::try_from(target.unwrap_or_default()) else {
        return;
    };
    let info = RequestInfo::parse(&method, &uri);
    let decoded = info.decoded_path();
    assert!(is_within(&decoded, uri.path().as_bytes()));
    if let Some(strict) = decode::strict(uri.path()) {
        assert_eq!(strict, decoded);
    }
    let request = match info {
        RequestInfo::NonResource { verb, path } => {
            assert_eq!(path, uri.path());
            assert!(verb.eq_ignore_ascii_case(method.as_str()));
            return;
        }
        RequestInfo::Resource(request) => request,
    };
    let is_collection = matches!(request.verb, Verb::List | Verb::Watch);
    let ResourceRequest {
        verb,
        group,
        version,
        resource,
        subresource,
        namespace,
        name,
        path,
    } = request;
    assert_eq!(path, uri.path());
    let in_path = name.as_ref().filter(|_| !is_collection);
    let optional = [subresource.as_ref(), namespace.as_ref(), in_path];
    for part in optional.into_iter().flatten() {
        assert!(!part.is_empty());
    }
    let parts = [Some(&group), Some(&version), Some(&resource)];
    for part in parts.into_iter().chain(optional).flatten() {
        assert!(part.is_empty() || decoded.split('/').any(|segment| segment == part));
    }
    let query = Query::parse(uri.query());
    match verb {
        Verb::Get | Verb::Delete => return assert!(name.is_some()),
        Verb::DeleteCollection => return assert!(name.is_none()),
        Verb::Create | Verb::Update | Verb::Patch | Verb::Unknown => return,
        Verb::List | Verb::Watch => {}
    }
    // Asked for by the parameter, or by the prefix of old.
    if query.flag("watch") == Some(true) {
        assert_eq!(verb, Verb::Watch);
    } else if verb == Verb::Watch {
        assert!(decoded.split('/').any(|segment| segment == "watch"));
    }
    // The prefix of old has the name in its path, and `watch` holds the selector to it.
    let has_prefix = [3, 4]
        .into_iter()
        .any(|place| decoded.split('/').nth(place) == Some("watch"));
    if verb == Verb::Watch && (has_prefix || query.flag("watch") != Some(true)) {
        return;
    }
    // Who may read one object by its name may list only that one.
    let selector = query.first("fieldSelector").unwrap_or_default();
    if let Some(name) = name {
        for kind in KINDS {
            if let Ok(selector) = fields::Selector::parse(selector, kind) {
                assert!(selector.requires_name(&name), "{name:?}");
            }
        }
    }
}

/// `Accept`, one header per line: who takes plain JSON as a last resort gets an answer, and the same one if another is
/// to be had. Nothing is less than the resort's quality, and of equal ones the widest comes last.
pub(crate) fn accept(data: &[u8]) {
    let headers = headers(data.split(|byte| *byte == b'\n').map(|line| (ACCEPT, line)));
    let mut obliging = headers.clone();
    let last_resort = format!("*/*;q={}", f32::MIN);
    obliging.append(ACCEPT, last_resort.parse().expect("ASCII"));
    let query = Query::default();
    for shape in [Shape::One, Shape::List, Shape::Stream] {
        match negotiate(&headers, &query, shape) {
            Ok(negotiated) => {
                let again = negotiate(&obliging, &query, shape);
                assert!(again.is_ok_and(|again| again == negotiated));
            }
            Err(status) => {
                refused(&status, &[406], data);
                if let Ok(obliged) = negotiate(&obliging, &query, shape) {
                    assert_eq!(obliged.form, Form::Objects);
                } else {
                    assert!(status.message.starts_with("you requested"), "{status:?}");
                }
            }
        }
    }
    assert!(require_json(&obliging).is_ok());
}

/// Headers, `name: value` per line, of a request that asks for a WebSocket.
pub(crate) fn websocket(data: &[u8]) {
    if let Err(status) = super::watch::websocket::fuzz(&named_headers(data)) {
        refused(&status, &[400, 426], data);
    }
}

/// Headers, `name: value` per line, as the front proxy might send them.
pub(crate) fn front_proxy(data: &[u8]) {
    authn::fuzzing::front_proxy(&named_headers(data));
}

/// The value of an `Authorization` header.
pub(crate) fn authorization(data: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(data) {
        authn::fuzzing::authorization(&value);
    }
}

/// Headers, `name: value` per line, of which some may ask to act as somebody else.
pub(crate) fn impersonate(data: &[u8]) {
    authn::fuzzing::impersonate(&named_headers(data));
}

/// As much of them as a connection takes, and is well-formed.
fn headers<'a>(lines: impl Iterator<Item = (HeaderName, &'a [u8])>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.take(64) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    headers
}

fn named_headers(data: &[u8]) -> HeaderMap {
    headers(data.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next()?).ok()?;
        Some((name, parts.next()?.trim_ascii()))
    }))
}
