//! From a body to a TagQuery: what is of the wrong type is refused, what is unknown or there twice is told, in
//! kube-apiserver's words and with its paths. Names of members are case-sensitive; `null` is as good as absent.

use std::collections::HashMap;

use serde_json::Value;

use super::media::Media;
use super::node::{self, Node};
use super::options::Validation;
use crate::api::tag_query::{
    KIND, QueriedChoice, QueriedFilter, QueriedGovernance, QueriedOrder, QueriedPolicy,
    QueriedRange, QueriedRepository, TagQuery, TagQuerySpec,
};
use crate::api::tags::{API_VERSION, VERSION};
use crate::apiserver::hex;
use crate::apiserver::status::Status;

/// How many unknown and repeated fields are told.
pub(super) const MOST_PROBLEMS: usize = 100;

/// How much of what is nothing at all is told.
const SUMMARY: usize = 30;

/// The members of `metadata`.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What was read.
#[derive(Debug, PartialEq)]
pub(super) struct Decoded {
    pub(super) object: TagQuery,
    /// What the answer is to warn of.
    pub(super) warnings: Vec<String>,
}

/// Reads `text`.
pub(super) fn decode(text: &[u8], media: Media, validation: Validation) -> Result<Decoded, Status> {
    let unrecognized = |why: &str| {
        let summary = summary(text);
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {KIND}): couldn't get version/kind; {why} ({summary})"
        ))
    };
    let node = node::parse(text, media).map_err(|error| match media {
        Media::Json => unrecognized(&format!("json parse error: {error}")),
        Media::Yaml => unrecognized(&format!("yaml parse error: {error}")),
    })?;
    let kind = node.kind();
    let Node::Object(members) = node else {
        return Err(unrecognized(&format!(
            "json parse error: json: cannot unmarshal {kind} into Go value of type {KIND}"
        )));
    };
    let mut reader = Reader::default();
    let mut fields = reader.members(members, "");
    let version = reader.text(&mut fields, "apiVersion");
    let kind = reader.text(&mut fields, "kind");
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (version, kind) = match (version, kind) {
        (Ok(version), Ok(kind)) => (given(version), given(kind)),
        (Err(error), _) | (_, Err(error)) => {
            return Err(unrecognized(&format!("json parse error: {error}")));
        }
    };
    if let Some(version) = version.filter(|version| version != API_VERSION) {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({API_VERSION})"
        )));
    }
    let kind = kind.unwrap_or_else(|| KIND.to_owned());
    let unfit = |why: String| {
        Status::bad_request(format!(
            "{kind} in version {VERSION:?} cannot be handled as a {KIND}: {why}"
        ))
    };
    if kind != KIND {
        return Err(unfit(format!(
            "the kind in the data ({kind}) does not match the expected kind ({KIND})"
        )));
    }
    let object = reader.object(fields).map_err(unfit)?;
    let problems = reader.problems;
    match validation {
        Validation::Strict if !problems.is_empty() => Err(unfit(format!(
            "strict decoding error: {}",
            problems.join(", ")
        ))),
        Validation::Strict | Validation::Ignore => Ok(Decoded {
            object,
            warnings: Vec::new(),
        }),
        Validation::Warn => Ok(Decoded {
            object,
            warnings: problems,
        }),
    }
}

/// The members of one object that have not been taken yet.
struct Fields {
    path: String,
    members: Vec<(String, Node)>,
}

impl Fields {
    fn take(&mut self, name: &str) -> Option<Node> {
        let at = self.members.iter().position(|(known, _)| known == name)?;
        let (_, node) = self.members.remove(at);
        Some(node).filter(|node| *node != Node::Null)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }
}

#[derive(Default)]
struct Reader {
    /// What types would have dropped.
    problems: Vec<String>,
}

type Wrong = String;

impl Reader {
    fn object(&mut self, mut fields: Fields) -> Result<TagQuery, Wrong> {
        let metadata = match fields.take("metadata") {
            None => Value::Object(serde_json::Map::new()),
            Some(node @ Node::Object(_)) => self.metadata(node),
            Some(node) => return Err(wrong(&node, "metadata", "v1.ObjectMeta")),
        };
        let metadata =
            serde_json::from_value(metadata).map_err(|error| format!("metadata: {error}"))?;
        let spec = match self.fields(&mut fields, "spec")? {
            Some(spec) => self.spec(spec)?,
            None => TagQuerySpec::default(),
        };
        // The answer's place. What stands there is nobody's business.
        fields.take("status");
        self.finish(&fields);
        Ok(TagQuery {
            kind: None,
            api_version: None,
            metadata,
            spec,
            status: None,
        })
    }

    fn metadata(&mut self, node: Node) -> Value {
        let Node::Object(members) = node else {
            return Value::Null;
        };
        let Fields { path, members } = self.members(members, "metadata");
        let mut known = serde_json::Map::new();
        for (name, node) in members {
            if METADATA.contains(&name.as_str()) {
                if let (Node::Object(inner), "labels" | "annotations") = (&node, name.as_str()) {
                    self.tell_repeated(inner, &format!("{path}.{name}"));
                }
                // Written by servers, as large as they like, and dropped here as there.
                if name != "managedFields" {
                    known.insert(name, node.into_value());
                }
            } else {
                self.tell(format!("unknown field \"{path}.{name}\""));
            }
        }
        Value::Object(known)
    }

    fn spec(&mut self, mut fields: Fields) -> Result<TagQuerySpec, Wrong> {
        let image_repository_ref = match self.fields(&mut fields, "imageRepositoryRef")? {
            None => None,
            Some(mut inner) => {
                let name = self.text(&mut inner, "name")?.unwrap_or_default();
                let namespace = self.text(&mut inner, "namespace")?;
                self.finish(&inner);
                Some(QueriedRepository { name, namespace })
            }
        };
        let image_policy_ref = match self.fields(&mut fields, "imagePolicyRef")? {
            None => None,
            Some(mut inner) => {
                let name = self.text(&mut inner, "name")?.unwrap_or_default();
                self.finish(&inner);
                Some(QueriedPolicy { name })
            }
        };
        let tags = self.texts(&mut fields, "tags")?;
        let exclusion_list = self.texts(&mut fields, "exclusionList")?;
        let filter_tags = match self.fields(&mut fields, "filterTags")? {
            None => None,
            Some(mut inner) => {
                let pattern = self.text(&mut inner, "pattern")?;
                let extract = self.text(&mut inner, "extract")?;
                self.finish(&inner);
                Some(QueriedFilter { pattern, extract })
            }
        };
        let policy = match self.fields(&mut fields, "policy")? {
            None => None,
            Some(inner) => Some(self.choice(inner)?),
        };
        let governance = match self.fields(&mut fields, "governance")? {
            None => None,
            Some(mut inner) => {
                let governance = QueriedGovernance {
                    hold: self.text(&mut inner, "hold")?,
                    minimum_age: self.text(&mut inner, "minimumAge")?,
                    downgrade: self.text(&mut inner, "downgrade")?,
                    platforms: self.texts(&mut inner, "platforms")?,
                    require_mirrored: self.text(&mut inner, "requireMirrored")?,
                };
                self.finish(&inner);
                Some(governance)
            }
        };
        let limit = match fields.take("limit") {
            None => None,
            Some(Node::Integer(limit)) => Some(limit),
            Some(node) => return Err(wrong(&node, &fields.path_of("limit"), "int64")),
        };
        let explain = match fields.take("explain") {
            None => None,
            Some(Node::Bool(explain)) => Some(explain),
            Some(node) => return Err(wrong(&node, &fields.path_of("explain"), "bool")),
        };
        self.finish(&fields);
        Ok(TagQuerySpec {
            image_repository_ref,
            image_policy_ref,
            tags,
            exclusion_list,
            filter_tags,
            policy,
            governance,
            limit,
            explain,
        })
    }

    fn choice(&mut self, mut fields: Fields) -> Result<QueriedChoice, Wrong> {
        let semver = match self.fields(&mut fields, "semver")? {
            None => None,
            Some(mut inner) => {
                let range = self.text(&mut inner, "range")?.unwrap_or_default();
                self.finish(&inner);
                Some(QueriedRange { range })
            }
        };
        let alphabetical = self.order(&mut fields, "alphabetical")?;
        let numerical = self.order(&mut fields, "numerical")?;
        self.finish(&fields);
        Ok(QueriedChoice {
            semver,
            alphabetical,
            numerical,
        })
    }

    fn order(&mut self, fields: &mut Fields, name: &str) -> Result<Option<QueriedOrder>, Wrong> {
        let Some(mut inner) = self.fields(fields, name)? else {
            return Ok(None);
        };
        let order = self.text(&mut inner, "order")?;
        self.finish(&inner);
        Ok(Some(QueriedOrder { order }))
    }

    fn fields(&mut self, fields: &mut Fields, name: &str) -> Result<Option<Fields>, Wrong> {
        let path = fields.path_of(name);
        match fields.take(name) {
            None => Ok(None),
            Some(Node::Object(members)) => Ok(Some(self.members(members, &path))),
            Some(node) => Err(wrong(&node, &path, "struct")),
        }
    }

    #[expect(clippy::unused_self, reason = "read as the other kinds of fields are")]
    fn text(&self, fields: &mut Fields, name: &str) -> Result<Option<String>, Wrong> {
        match fields.take(name) {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(node) => Err(wrong(&node, &fields.path_of(name), "string")),
        }
    }

    #[expect(clippy::unused_self, reason = "read as the other kinds of fields are")]
    fn texts(&self, fields: &mut Fields, name: &str) -> Result<Option<Vec<String>>, Wrong> {
        let path = fields.path_of(name);
        let items = match fields.take(name) {
            None => return Ok(None),
            Some(Node::List(items)) => items,
            Some(node) => return Err(wrong(&node, &path, "[]string")),
        };
        let texts = items.into_iter().map(|item| match item {
            Node::Text(text) => Ok(text),
            Node::Null => Ok(String::new()),
            node => Err(wrong(&node, &path, "string")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// The members of the object at `path`, each once: of repeated ones the last.
    fn members(&mut self, members: Vec<(String, Node)>, path: &str) -> Fields {
        let mut places = HashMap::new();
        let mut kept: Vec<(String, Node)> = Vec::with_capacity(members.len());
        let fields = Fields {
            path: path.to_owned(),
            members: Vec::new(),
        };
        for (name, node) in members {
            let place = *places.entry(name.clone()).or_insert(kept.len());
            match kept.get_mut(place) {
                Some((_, earlier)) => {
                    self.tell(format!("duplicate field \"{}\"", fields.path_of(&name)));
                    *earlier = node;
                }
                None => kept.push((name, node)),
            }
        }
        Fields {
            members: kept,
            ..fields
        }
    }

    fn tell_repeated(&mut self, members: &[(String, Node)], path: &str) {
        let mut seen = std::collections::HashSet::new();
        for (name, _) in members {
            if !seen.insert(name) {
                self.tell(format!("duplicate field \"{path}.{name}\""));
            }
        }
    }

    /// What is left is unknown.
    fn finish(&mut self, fields: &Fields) {
        for (name, _) in &fields.members {
            self.tell(format!("unknown field \"{}\"", fields.path_of(name)));
        }
    }

    fn tell(&mut self, problem: String) {
        if self.problems.len() < MOST_PROBLEMS && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

fn wrong(node: &Node, path: &str, wanted: &str) -> Wrong {
    let kind = node.kind();
    format!("json: cannot unmarshal {kind} into Go struct field {KIND}.{path} of type {wanted}")
}

/// The beginning of what is no object, as kube-apiserver shows it.
fn summary(text: &[u8]) -> String {
    let start = text.get(..SUMMARY).unwrap_or(text);
    let rest = if start.len() < text.len() { " ..." } else { "" };
    match start.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{rest}", String::from_utf8_lossy(start)),
        Some(_) => format!("{}{rest}", hex::lower(start)),
    }
}
