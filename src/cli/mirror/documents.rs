//! `tagscope mirror -f FILE`: documents as in a cluster, read from files.
//!
//! They are held to the schemas that a cluster would hold them to, and every problem is told at once, with file, document
//! and field. No value of a Secret is ever in a message. Nobody is asked anything here.

mod read;
mod resolve;
mod rules;
mod schema;
mod secret;
mod unread;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::Failure;
use super::order::{Order, Suspended};
use crate::api::{ImageMirrorSpec, ImagePolicySpec, ImageRepositorySpec};
use crate::object::{Key, LONGEST_NAME, LONGEST_NAMESPACE};
use secret::Secret;
use unread::{Kind, Unread};

pub(super) use schema::without_nulls;

/// More problems are counted, not told.
const MOST_PROBLEMS: usize = 50;

/// What documents ask for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) orders: Vec<Order>,
    pub(super) suspended: Vec<Suspended>,
    pub(super) warnings: Vec<String>,
}

/// Where a document stands, for messages.
#[derive(Debug, Clone)]
struct Place {
    file: String,
    /// The first is 1.
    number: usize,
    /// Where in it, if it is one of a list.
    item: Option<usize>,
    /// Kind and name, as far as they are known.
    what: String,
}

/// One document.
#[derive(Debug)]
struct Document {
    place: Place,
    value: Value,
}

/// An object and where it stands.
#[derive(Debug)]
struct Object<T> {
    place: Place,
    labels: BTreeMap<String, String>,
    spec: T,
}

/// Everything that was read, by key.
#[derive(Debug, Default)]
struct Objects {
    mirrors: BTreeMap<Key, Object<ImageMirrorSpec>>,
    repositories: BTreeMap<Key, Object<ImageRepositorySpec>>,
    policies: BTreeMap<Key, Object<ImagePolicySpec>>,
    secrets: BTreeMap<Key, Object<Secret>>,
    unread: Unread,
}

/// What is wrong.
#[derive(Debug, Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, place: &Place, field: &str, what: impl fmt::Display) {
        let field = if field.is_empty() {
            String::new()
        } else {
            format!("{field}: ")
        };
        self.0.push(format!("{place}: {field}{what}"));
    }

    /// An error where there are any; what was odd besides may be what explains it.
    fn end(self, warnings: &mut Vec<String>) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        for warning in warnings.drain(..) {
            crate::cli::warn(&warning);
        }
        let Self(mut lines) = self;
        keep_first(&mut lines);
        let more = lines.len().saturating_sub(MOST_PROBLEMS);
        lines.truncate(MOST_PROBLEMS);
        if more > 0 {
            lines.push(format!("and {more} more problems"));
        }
        Err(Failure::usage(anyhow::anyhow!(lines.join("\n"))))
    }
}

/// Of lines that are the same the first: what several mirrors share is looked at for each.
fn keep_first(lines: &mut Vec<String>) {
    let mut seen = HashSet::new();
    lines.retain(|line| seen.insert(line.clone()));
}

/// `mirrors.yaml, document 2 (ImageMirror default/web)`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.number)?;
        if let Some(item) = self.item {
            write!(f, ", items[{item}]")?;
        }
        if !self.what.is_empty() {
            write!(f, " ({})", self.what)?;
        }
        Ok(())
    }
}

/// Reads files (`-` is standard input), and says what they ask for.
pub(super) fn load(files: &[PathBuf]) -> Result<Asked, Failure> {
    let mut problems = Problems::default();
    let mut warnings = Vec::new();
    let documents = read::all(files, &mut problems)?;
    asked(documents, problems, &mut warnings)
}

fn asked(
    documents: Vec<Document>,
    mut problems: Problems,
    warnings: &mut Vec<String>,
) -> Result<Asked, Failure> {
    // What is no document may have been any.
    let is_anything = !problems.0.is_empty();
    let mut objects = sort(documents, &mut problems, warnings);
    if is_anything {
        objects.unread.add_anything();
    }
    let orders = resolve::orders(&objects, &mut problems, warnings);
    keep_first(warnings);
    problems.end(warnings)?;
    Ok(Asked {
        orders,
        suspended: resolve::suspended(&objects),
        warnings: std::mem::take(warnings),
    })
}

/// Sorts documents by kind, holds each to its schema, and reads it.
fn sort(documents: Vec<Document>, problems: &mut Problems, warnings: &mut Vec<String>) -> Objects {
    let schemas = schema::Schemas::new();
    let mut objects = Objects::default();
    for Document { mut place, value } in documents {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
        if version.is_empty() || kind.is_empty() {
            let field = if version.is_empty() {
                "apiVersion"
            } else {
                "kind"
            };
            problems.add(&place, field, "is required, and is a text");
            objects.unread.add_anything();
            continue;
        }
        place.what.clone_from(&kind);
        let Some(known) = known(&version, &kind) else {
            warnings.push(format!("{place}: {version} {kind} is not used here"));
            continue;
        };
        let (key, labels) = match metadata(&value, &mut place, &kind, problems) {
            Ok(found) => found,
            Err(key) => {
                objects.unread.add(known, key);
                continue;
            }
        };
        let of = (key.clone(), place, labels);
        let place = &of.1;
        let is_read = match known {
            Kind::Mirror => {
                let read = spec(&value, place, schemas.mirror.as_ref(), problems);
                insert(&mut objects.mirrors, of, read, problems)
            }
            Kind::Repository => {
                let read = spec(&value, place, schemas.repository.as_ref(), problems);
                insert(&mut objects.repositories, of, read, problems)
            }
            Kind::Policy => {
                let read = spec(&value, place, schemas.policy.as_ref(), problems);
                warn_of_governance(&value, place, warnings);
                insert(&mut objects.policies, of, read, problems)
            }
            Kind::Secret => {
                let read = secret::read(&value, place, problems);
                insert(&mut objects.secrets, of, read, problems)
            }
        };
        if !is_read {
            objects.unread.add(known, Some(key));
        }
    }
    objects
}

/// The kind, if it is one that is read.
fn known(version: &str, kind: &str) -> Option<Kind> {
    let is_flux = matches!(
        version,
        "image.toolkit.fluxcd.io/v1"
            | "image.toolkit.fluxcd.io/v1beta2"
            | "image.toolkit.fluxcd.io/v1beta1"
    );
    match kind {
        "ImageMirror" => (version == "mirror.tagscope.dev/v1alpha1").then_some(Kind::Mirror),
        "ImageRepository" => is_flux.then_some(Kind::Repository),
        "ImagePolicy" => is_flux.then_some(Kind::Policy),
        "Secret" => (version == "v1").then_some(Kind::Secret),
        _ => None,
    }
}

/// Name, namespace and labels; an error has the name, where it has one.
fn metadata(
    value: &Value,
    place: &mut Place,
    kind: &str,
    problems: &mut Problems,
) -> Result<(Key, BTreeMap<String, String>), Option<Key>> {
    let metadata = value.get("metadata");
    let text = |field: &str| {
        metadata?
            .get(field)?
            .as_str()
            .filter(|text| !text.is_empty())
    };
    let Some(name) = text("name") else {
        problems.add(place, "metadata.name", "is required, and is a text");
        return Err(None);
    };
    let namespace = text("namespace").unwrap_or("default");
    for (field, text, most) in [
        ("metadata.name", name, LONGEST_NAME),
        ("metadata.namespace", namespace, LONGEST_NAMESPACE),
    ] {
        if text.len() > most {
            problems.add(place, field, format!("is longer than {most} bytes"));
            return Err(None);
        }
    }
    let key = Key::new(namespace, name);
    place.what = format!("{kind} {key}");
    let labels = metadata.and_then(|metadata| metadata.get("labels"));
    let labels = match labels {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(labels) => {
            let Ok(labels) = serde_json::from_value(labels.clone()) else {
                problems.add(place, "metadata.labels", "is not a map of texts");
                return Err(Some(key));
            };
            labels
        }
    };
    Ok((key, labels))
}

/// The spec, if it is what its schema says.
fn spec<T: DeserializeOwned>(
    value: &Value,
    place: &Place,
    schema: Option<&schema::Schema>,
    problems: &mut Problems,
) -> Option<T> {
    let before = problems.0.len();
    let Some(spec) = value.get("spec").filter(|spec| !spec.is_null()) else {
        problems.add(place, "spec", "is required");
        return None;
    };
    if let Some(schema) = schema {
        schema::check(schema, spec, "spec", &mut |field, what| {
            problems.add(place, field, what);
        });
        // Of what is not well formed, rules mean nothing.
        if problems.0.len() == before {
            rules::check(schema, spec, "spec", &mut |field, what| {
                problems.add(place, field, what);
            });
        }
    }
    if problems.0.len() > before {
        return None;
    }
    match serde_json::from_value(without_nulls(spec)) {
        Ok(spec) => Some(spec),
        Err(error) => {
            problems.add(place, "spec", error);
            None
        }
    }
}

/// Whether there is an object by that name now.
fn insert<T>(
    map: &mut BTreeMap<Key, Object<T>>,
    (key, place, labels): (Key, Place, BTreeMap<String, String>),
    spec: Option<T>,
    problems: &mut Problems,
) -> bool {
    let Some(spec) = spec else { return false };
    if let Some(other) = map.get(&key) {
        problems.add(
            &place,
            "metadata.name",
            format!("is taken already, in {}", other.place),
        );
        return true;
    }
    map.insert(
        key,
        Object {
            place,
            labels,
            spec,
        },
    );
    true
}

/// What governs elections needs a memory that a command does not have.
fn warn_of_governance(value: &Value, place: &Place, warnings: &mut Vec<String>) {
    use crate::api::names::{DOWNGRADE, HOLD, MINIMUM_AGE, PLATFORMS};
    let annotations = value.get("metadata").and_then(|it| it.get("annotations"));
    for name in [HOLD, MINIMUM_AGE, DOWNGRADE, PLATFORMS] {
        if annotations.is_some_and(|annotations| annotations.get(name).is_some()) {
            warnings.push(format!("{place}: the annotation {name} has no effect here"));
        }
    }
}

#[cfg(test)]
mod tests;
