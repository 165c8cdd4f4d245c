//! What form the client wants its answer in: the `Accept` header, JSON or YAML, `pretty`, and the transformations that
//! Kubernetes hides in media-type parameters.
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
pub const ACCEPTED: [&str; 2] = ["application/json", "application/yaml"];

/// How an answer is written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    #[default]
    Json,
    /// YAML. Not for streams: nothing in it says where an event ends.
    Yaml,
}

impl Encoding {
    /// As `Content-Type` writes it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// The objects themselves.
    #[default]
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

/// The outcome of the negotiation; by default compact JSON of the objects themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// The form.
    pub form: Form,
    /// How it is written down.
    pub encoding: Encoding,
    /// Indented for people. Never with YAML, which always is.
    pub pretty: bool,
}

impl Negotiated {
    fn new(form: Form, encoding: Encoding, pretty: bool) -> Self {
        Self {
            form,
            encoding,
            pretty: pretty && encoding == Encoding::Json,
        }
    }

    /// How a `Status` is told that answers such a request in place of what it asked for. A client is never refused for
    /// the way in which it wants to be refused: what cannot be served is JSON.
    pub fn of_status(headers: &HeaderMap, query: Option<&str>) -> Self {
        let wants_pretty = wants_pretty(headers, &Query::parse(query));
        let encoding = clauses(headers)
            .unwrap_or_default()
            .iter()
            .filter(|clause| clause.is_plain() && stream_fits(clause))
            .find_map(|clause| encoding(clause, Shape::One))
            .unwrap_or_default();
        Self::new(Form::Objects, encoding, wants_pretty)
    }
}

/// Negotiates the form of an API answer of the given shape.
pub fn negotiate(headers: &HeaderMap, query: &Query, shape: Shape) -> Result<Negotiated, Status> {
    let wants_pretty = wants_pretty(headers, query);
    let Some(clauses) = clauses(headers) else {
        return Ok(Negotiated::new(Form::Objects, Encoding::Json, wants_pretty));
    };
    for clause in clauses {
        let (Some(encoding), true) = (encoding(&clause, shape), stream_fits(&clause)) else {
            continue;
        };
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
        let is_pretty = wants_pretty || clause.parameter("pretty") == Some("1");
        return Ok(Negotiated::new(form, encoding, is_pretty));
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

/// Negotiates the form of a discovery document. Only `/apis` has an aggregated form.
pub fn negotiate_discovery(
    headers: &HeaderMap,
    query: &Query,
    has_aggregated: bool,
) -> Result<(Discovery, Negotiated), Status> {
    let wants_pretty = wants_pretty(headers, query);
    let plain = |encoding| Negotiated::new(Form::Objects, encoding, wants_pretty);
    let Some(clauses) = clauses(headers) else {
        return Ok((Discovery::Legacy, plain(Encoding::Json)));
    };
    for clause in &clauses {
        let Some(encoding) = encoding(clause, Shape::One) else {
            continue;
        };
        match (
            clause.parameter("g"),
            clause.parameter("v"),
            clause.parameter("as"),
        ) {
            (None, None, None) => return Ok((Discovery::Legacy, plain(encoding))),
            (Some("apidiscovery.k8s.io"), Some("v2"), Some("APIGroupDiscoveryList"))
                if has_aggregated =>
            {
                return Ok((Discovery::AggregatedV2, plain(encoding)));
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
                .any(|clause| clause.admits("application", "json") && clause.is_plain()) =>
        {
            Ok(())
        }
        Some(_) => Err(Status::not_acceptable(&["application/json"])),
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

/// The first media type of [`ACCEPTED`] that the clause admits; a stream comes as JSON only.
fn encoding(clause: &Clause<'_>, shape: Shape) -> Option<Encoding> {
    if clause.admits("application", "json") {
        Some(Encoding::Json)
    } else if shape != Shape::Stream && clause.admits("application", "yaml") {
        Some(Encoding::Yaml)
    } else {
        None
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

fn wants_pretty(headers: &HeaderMap, query: &Query) -> bool {
    pretty(query).unwrap_or_else(|| is_read_by_people(headers))
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
