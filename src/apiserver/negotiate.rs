//! What form the client wants its answer in: the `Accept` header, `pretty`, and the transformations that Kubernetes
//! hides in media-type parameters.
//!
//! A clause that cannot be served (protobuf, CBOR, an unknown transformation) is skipped, not refused: clients list
//! what they like best first. Nothing here renders.

mod accept;

use http::HeaderMap;
use http::header;

use self::accept::Clause;
use crate::apiserver::query::{Query, pretty};
use crate::apiserver::status::Status;

/// The media types that are served.
pub const ACCEPTED: [&str; 1] = ["application/json"];

/// Which version of `meta.k8s.io` a transformed answer is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetaVersion {
    /// `meta.k8s.io/v1`
    V1,
    /// `meta.k8s.io/v1beta1`
    V1Beta1,
}

impl MetaVersion {
    /// As `apiVersion` writes it.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The objects themselves.
    Objects,
    /// `PartialObjectMetadata`: of a list's items or of one object.
    Partial(MetaVersion),
    /// `Table`.
    Table(MetaVersion),
}

/// What a Table's rows carry besides their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// A PartialObjectMetadata.
    Metadata,
    /// The object.
    Object,
    /// Nothing.
    None,
}

/// What the request answers with, before any transformation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One object, or a stream of single objects.
    One,
    /// A list.
    List,
    /// A stream of events.
    Stream,
}

/// The outcome of the negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// The form.
    pub form: Form,
    /// Indented for people.
    pub pretty: bool,
}

/// Negotiates the form of an API answer of the given shape.
pub fn negotiate(headers: &HeaderMap, query: &Query, shape: Shape) -> Result<Negotiated, Status> {
    let wants_pretty = pretty(query).unwrap_or_else(|| is_read_by_people(headers));
    let Some(clauses) = clauses(headers) else {
        return Ok(Negotiated {
            form: Form::Objects,
            pretty: wants_pretty,
        });
    };
    for clause in clauses {
        if !clause.admits_json() || !stream_fits(&clause) {
            continue;
        }
        let Some(target) = target(&clause) else {
            continue;
        };
        let form = match (target, shape) {
            (Target::Objects, _) => Form::Objects,
            (Target::Table(version), _) => Form::Table(version),
            (Target::Partial(version), Shape::One | Shape::Stream)
            | (Target::PartialList(version), Shape::List) => Form::Partial(version),
            (Target::Partial(_), Shape::List) => {
                return Err(Status::not_convertible(
                    "you requested PartialObjectMetadata, but the requested object is a list",
                ));
            }
            (Target::PartialList(_), Shape::One | Shape::Stream) => {
                return Err(Status::not_convertible(
                    "you requested PartialObjectMetadataList, but the requested object is not a list",
                ));
            }
        };
        return Ok(Negotiated {
            form,
            pretty: wants_pretty || clause.parameter("pretty") == Some("1"),
        });
    }
    Err(Status::not_acceptable(match shape {
        Shape::One | Shape::List => &ACCEPTED,
        Shape::Stream => &["application/json;stream=watch"],
    }))
}

/// A discovery document's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// The plain document.
    Legacy,
    /// `apidiscovery.k8s.io/v2`.
    AggregatedV2,
}

/// Negotiates the form of `/apis`.
pub fn negotiate_discovery(headers: &HeaderMap) -> Result<Discovery, Status> {
    let Some(clauses) = clauses(headers) else {
        return Ok(Discovery::Legacy);
    };
    for clause in clauses.iter().filter(|clause| clause.admits_json()) {
        match (
            clause.parameter("g"),
            clause.parameter("v"),
            clause.parameter("as"),
        ) {
            (None, None, None) => return Ok(Discovery::Legacy),
            (Some("apidiscovery.k8s.io"), Some("v2"), Some("APIGroupDiscoveryList")) => {
                return Ok(Discovery::AggregatedV2);
            }
            _ => {}
        }
    }
    Err(Status::not_acceptable(&ACCEPTED))
}

/// Whether plain JSON is acceptable, for documents that come in no other form.
pub fn require_json(headers: &HeaderMap) -> Result<(), Status> {
    match clauses(headers) {
        None => Ok(()),
        Some(clauses)
            if clauses
                .iter()
                .any(|clause| clause.admits_json() && clause.is_plain()) =>
        {
            Ok(())
        }
        Some(_) => Err(Status::not_acceptable(&ACCEPTED)),
    }
}

enum Target {
    Objects,
    Partial(MetaVersion),
    PartialList(MetaVersion),
    Table(MetaVersion),
}

/// `None`: a transformation that is not offered.
fn target(clause: &Clause<'_>) -> Option<Target> {
    let asked = (
        clause.parameter("as"),
        clause.parameter("g"),
        clause.parameter("v"),
    );
    let (kind, version) = match asked {
        (None, None, None) => return Some(Target::Objects),
        (Some(kind), Some("meta.k8s.io"), Some("v1")) => (kind, MetaVersion::V1),
        (Some(kind), Some("meta.k8s.io"), Some("v1beta1")) => (kind, MetaVersion::V1Beta1),
        _ => return None,
    };
    match kind {
        "Table" => Some(Target::Table(version)),
        "PartialObjectMetadata" => Some(Target::Partial(version)),
        "PartialObjectMetadataList" => Some(Target::PartialList(version)),
        _ => None,
    }
}

fn stream_fits(clause: &Clause<'_>) -> bool {
    matches!(clause.parameter("stream"), None | Some("" | "watch"))
}

/// `None` when the client names nothing.
fn clauses(headers: &HeaderMap) -> Option<Vec<Clause<'_>>> {
    let values: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    if values.iter().all(|value| value.is_empty()) {
        return None;
    }
    Some(accept::parse(&values))
}

fn is_read_by_people(headers: &HeaderMap) -> bool {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"]
        .iter()
        .any(|known| agent.starts_with(known))
}

#[cfg(test)]
mod tests;
