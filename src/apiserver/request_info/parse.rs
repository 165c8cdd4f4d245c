//! From method and path to [`RequestInfo`], by the rules of `k8s.io/apiserver/pkg/endpoints/request`.
//!
//! Total: every request is something. The path prefix `watch/` of old is a watch, whatever the method; `proxy/`, which
//! nothing here serves, counts as a non-resource path: it is authorized as such, and then answered 404.

use http::{Method, Uri};
use url::form_urlencoded;

use super::{RequestInfo, ResourceRequest, Verb, decode};
use crate::apiserver::selector::labels;

impl RequestInfo {
    /// What `method` on `uri` asks for (AUTHZ-4). Host and scheme do not matter.
    pub fn parse(method: &Method, uri: &Uri) -> Self {
        match resource(method, uri) {
            Some(request) => Self::Resource(request),
            None => Self::NonResource {
                verb: method.as_str().to_ascii_lowercase(),
                path: uri.path().to_owned(),
            },
        }
    }

    /// The path, percent-decoded: what authorization is about.
    pub fn decoded_path(&self) -> String {
        let (Self::NonResource { path, .. } | Self::Resource(ResourceRequest { path, .. })) = self;
        decode::lenient(path).into_owned()
    }
}

impl Verb {
    /// The verb as RBAC writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Unknown => "",
        }
    }
}

fn resource(method: &Method, uri: &Uri) -> Option<ResourceRequest> {
    let path = decode::lenient(uri.path());
    let trimmed = path.trim_matches('/');
    let parts: Vec<&str> = trimmed.split('/').collect();
    let (group, version, parts) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return None,
    };
    let (verb, parts) = match parts {
        ["watch"] | ["proxy", ..] => return None,
        ["watch", rest @ ..] => (Verb::Watch, rest),
        _ => (verb(method), parts),
    };
    // `namespaces/<ns>/status` and `…/finalize` are subresources of the namespace, anything else a resource in it.
    let (namespace, parts) = match parts {
        ["namespaces", namespace, "status" | "finalize", ..] => (Some(*namespace), parts),
        ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (Some(*namespace), inner),
        ["namespaces", namespace] => (Some(*namespace), parts),
        _ => (None, parts),
    };
    let mut request = ResourceRequest {
        verb,
        group: group.to_owned(),
        version: version.to_owned(),
        resource: parts.first().copied().unwrap_or_default().to_owned(),
        subresource: non_empty(parts.get(2)),
        namespace: namespace.filter(|name| !name.is_empty()).map(str::to_owned),
        name: non_empty(parts.get(1)),
        path: uri.path().to_owned(),
    };
    if request.name.is_none() {
        match verb {
            Verb::Get => {
                let query = uri.query().unwrap_or_default();
                request.verb = if is_true(query, "watch") {
                    Verb::Watch
                } else {
                    Verb::List
                };
                request.name = first(query, "fieldSelector")
                    .filter(|_| decodes(query))
                    .and_then(|selector| required_name(&selector));
            }
            Verb::Delete => request.verb = Verb::DeleteCollection,
            Verb::List
            | Verb::Watch
            | Verb::Create
            | Verb::Update
            | Verb::Patch
            | Verb::DeleteCollection
            | Verb::Unknown => {}
        }
    }
    Some(request)
}

fn non_empty(part: Option<&&str>) -> Option<String> {
    part.filter(|text| !text.is_empty())
        .map(|text| (*text).to_owned())
}

fn verb(method: &Method) -> Verb {
    match *method {
        Method::POST => Verb::Create,
        Method::GET | Method::HEAD => Verb::Get,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Delete,
        _ => Verb::Unknown,
    }
}

/// The first value of a query parameter; later ones do not count.
pub(in crate::apiserver) fn first(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Query booleans: absent, `0` and `false` in any case are false, everything else (also nothing) is true.
fn is_true(query: &str, name: &str) -> bool {
    first(query, name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
}

/// `X`, when the field selector requires exactly `metadata.name=X` and X can be a path segment. It makes RBAC rules
/// with `resourceNames` hold for lists and watches of one object. Nothing, when any term is malformed.
fn required_name(selector: &str) -> Option<String> {
    let terms = field_terms(selector)?;
    let name = terms
        .into_iter()
        .find(|term| term.field == "metadata.name" && term.equal)
        .map(|term| term.value);
    name.filter(|name| {
        !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%'])
    })
}

/// Whether kube-apiserver could read the whole query as that of a list. Where it cannot, it takes no name out of it, and
/// the answer is 400 once the request is authorized.
fn decodes(query: &str) -> bool {
    let is_integer =
        |name| first(query, name).is_none_or(|text| text.is_empty() || text.parse::<i64>().is_ok());
    is_integer("limit")
        && is_integer("timeoutSeconds")
        && first(query, "labelSelector").is_none_or(|text| labels::Selector::parse(&text).is_ok())
}

/// One term of a field selector, whatever field it is about.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::apiserver) struct FieldTerm {
    pub(in crate::apiserver) field: String,
    /// `=` or `==`, not `!=`.
    pub(in crate::apiserver) equal: bool,
    pub(in crate::apiserver) value: String,
}

/// The terms in the order in which upstream sorts them; `None` when one is malformed.
pub(in crate::apiserver) fn field_terms(selector: &str) -> Option<Vec<FieldTerm>> {
    let mut parts: Vec<&str> = terms(selector).collect();
    parts.sort_unstable();
    parts
        .into_iter()
        .map(|part| {
            let (field, equal, value) = split_term(part)?;
            Some(FieldTerm {
                field: field.to_owned(),
                equal,
                value: unescape(value)?,
            })
        })
        .collect()
}

/// The selector cut at its unescaped commas; empty terms do not count.
fn terms(selector: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    selector
        .split(move |c: char| {
            let cut = c == ',' && !escaped;
            escaped = c == '\\' && !escaped;
            cut
        })
        .filter(|term| !term.is_empty())
}

/// Key, whether it must be equal, and the value still escaped.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.char_indices().scan(false, |escaped, (at, c)| {
        let special = !*escaped && matches!(c, '=' | '!');
        *escaped = c == '\\' && !*escaped;
        Some((at, special))
    });
    for (at, special) in at {
        if !special {
            continue;
        }
        let (key, rest) = term.split_at_checked(at)?;
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((key, equal, value));
            }
        }
    }
    None
}

/// A value without its escapes: only `\\`, `\,` and `\=` are allowed, and a bare `,` or `=` is not.
fn unescape(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => text.push(c),
                Some(_) | None => return None,
            },
            ',' | '=' => return None,
            c => text.push(c),
        }
    }
    Some(text)
}
