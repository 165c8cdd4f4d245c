//! Field selectors, by the grammar of `k8s.io/apimachinery/pkg/fields`: `=`, `==`, `!=`, terms joined by commas.
//!
//! `image` takes any spelling of an image name: `nginx`, `docker.io/nginx` and `index.docker.io/library/nginx` select
//! the same tags.

#[cfg(any(test, feature = "fuzzing"))]
mod written;

use std::sync::Arc;

use crate::apiserver::kind::Kind;
use crate::image;
use crate::object::Key;
use crate::quote::quote;
use crate::store::{EntryRef, RepositoryTags};

/// Why a field selector does not parse, in upstream's words where upstream has any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    #[expect(missing_docs, reason = "the message names them")]
    Term { selector: String, term: String },
    /// A backslash before something that needs none, or at the end.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A bare `=` or `,` in a value, told by its code point as upstream tells it.
    #[error("invalid field selector: unescaped character in value: {}", u32::from(*(.0)))]
    Unescaped(char),
    #[error("{} is not a known field selector: only {known}", quote(label))]
    #[expect(missing_docs, reason = "the message names them")]
    UnknownLabel { label: String, known: String },
    #[error("invalid field selector: image: {} is not an image name", quote(value))]
    #[expect(missing_docs, reason = "the message names them")]
    Image { value: String, source: image::Error },
}

/// A field that can be selected by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Name,
    Namespace,
    Repository,
    Image,
    Tag,
    Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    label: Label,
    negated: bool,
    value: String,
}

/// A parsed selector: all terms must hold. The default selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Arc<[Term]>);

impl Selector {
    /// Parses the text of a `fieldSelector` parameter for objects of `kind`; the empty text selects everything.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Error> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some((label, negated, value)) = split_term(part) else {
                return Err(Error::Term {
                    selector: text.to_owned(),
                    term: part.to_owned(),
                });
            };
            let value = unescape(value)?;
            terms.push(Term::new(kind, label, negated, value)?);
        }
        Ok(Self(terms.into()))
    }

    /// The same of the one object `name`. `None` where there are terms that do not ask for it by name already.
    pub(in crate::apiserver) fn of_name(&self, name: &str) -> Option<Self> {
        if self.is_everything() {
            let term = Term {
                label: Label::Name,
                negated: false,
                value: name.to_owned(),
            };
            return Some(Self([term].into()));
        }
        (self.required(Label::Name) == Some(name)).then(|| self.clone())
    }

    /// Whether there is no term.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the ImageRepository that an object comes from says all: its tags are selected together, or not at all.
    pub(super) fn is_settled_by_key(&self) -> bool {
        self.0.iter().all(|term| match term.label {
            Label::Namespace | Label::Repository => true,
            Label::Name | Label::Image | Label::Tag | Label::Digest => false,
        })
    }

    /// The namespace that every selected object is in.
    pub(super) fn required_namespace(&self) -> Option<&str> {
        self.required(Label::Namespace)
    }

    /// The ImageRepository that every selected object comes from.
    pub(super) fn required_repository(&self, kind: Kind) -> Option<&str> {
        self.required(Label::Repository).or_else(|| {
            let name = self.required(Label::Name)?;
            Some(match kind {
                // Without a colon it names no tag at all, and neither does the empty repository.
                Kind::ImageTag => name
                    .split_once(':')
                    .map_or("", |(repository, _)| repository),
                Kind::TagSet => name,
            })
        })
    }

    /// The one tag that can be selected in each repository.
    pub(super) fn required_tag(&self) -> Option<&str> {
        self.required(Label::Tag).or_else(|| {
            self.required(Label::Name)?
                .split_once(':')
                .map(|(_, tag)| tag)
        })
    }

    pub(super) fn admits_key(&self, kind: Kind, key: &Key) -> bool {
        self.required_repository(kind)
            .is_none_or(|name| name == &*key.name)
            && self.0.iter().all(|term| match term.label {
                Label::Namespace => term.admits(*key.namespace == *term.value),
                Label::Repository => term.admits(*key.name == *term.value),
                Label::Name | Label::Image | Label::Tag | Label::Digest => true,
            })
    }

    /// Whether a digest is required, which only elected tags have.
    pub(super) fn requires_digest(&self) -> bool {
        self.required(Label::Digest)
            .is_some_and(|digest| !digest.is_empty())
    }

    /// Whether some term is about the single tag.
    pub(super) fn judges_tags(&self) -> bool {
        let mut terms = self.0.iter();
        terms.any(|term| match term.label {
            Label::Name | Label::Tag | Label::Digest => true,
            Label::Namespace | Label::Repository | Label::Image => false,
        })
    }

    /// Whether the terms hold that are about the repository.
    pub(super) fn matches_repository(&self, tags: &RepositoryTags) -> bool {
        let key = &tags.owner().key;
        self.0.iter().all(|term| match term.label {
            Label::Namespace => term.admits(*key.namespace == *term.value),
            Label::Repository => term.admits(*key.name == *term.value),
            Label::Image => term.admits(is_named(tags.image(), &term.value)),
            Label::Name | Label::Tag | Label::Digest => true,
        })
    }

    /// Whether the terms hold that are about the tag.
    pub(super) fn matches_entry(&self, tags: &RepositoryTags, entry: EntryRef<'_>) -> bool {
        self.0.iter().all(|term| match term.label {
            Label::Name => {
                let named = term.value.split_once(':');
                term.admits(named == Some((&*tags.owner().key.name, entry.tag)))
            }
            Label::Tag => term.admits(entry.tag == term.value),
            Label::Digest => {
                let digest = entry.digest.map_or("", image::Digest::as_str);
                term.admits(digest == term.value)
            }
            Label::Namespace | Label::Repository | Label::Image => true,
        })
    }

    /// Whether the terms hold that are about the tag set.
    pub(super) fn matches_set(&self, tags: &RepositoryTags) -> bool {
        self.0.iter().all(|term| match term.label {
            Label::Name => term.admits(*tags.owner().key.name == *term.value),
            Label::Namespace | Label::Repository | Label::Image | Label::Tag | Label::Digest => {
                true
            }
        })
    }

    fn required(&self, label: Label) -> Option<&str> {
        let mut terms = self.0.iter();
        terms
            .find(|term| term.label == label && !term.negated)
            .map(|term| term.value.as_str())
    }
}

impl Term {
    fn new(kind: Kind, label: &str, negated: bool, value: String) -> Result<Self, Error> {
        let known = match (label, kind) {
            ("metadata.name", _) => Some(Label::Name),
            ("metadata.namespace", _) => Some(Label::Namespace),
            ("repository", _) => Some(Label::Repository),
            ("image", _) => Some(Label::Image),
            ("tag", Kind::ImageTag) => Some(Label::Tag),
            ("digest", Kind::ImageTag) => Some(Label::Digest),
            _ => None,
        };
        let Some(known) = known else {
            let known: Vec<String> = kind
                .field_labels()
                .iter()
                .map(|label| quote(label))
                .collect();
            return Err(Error::UnknownLabel {
                label: label.to_owned(),
                known: known.join(", "),
            });
        };
        let value = if known == Label::Image {
            match value.parse::<image::Repository>() {
                Ok(name) => name.to_string(),
                Err(source) => return Err(Error::Image { value, source }),
            }
        } else {
            value
        };
        Ok(Self {
            label: known,
            negated,
            value,
        })
    }

    fn admits(&self, equal: bool) -> bool {
        equal != self.negated
    }
}

/// Whether `name` is how `image` is written.
fn is_named(image: &image::Repository, name: &str) -> bool {
    let rest = name.strip_prefix(image.registry().as_str());
    rest.and_then(|rest| rest.strip_prefix('/')) == Some(image.path())
}

/// The parts between commas; a backslash keeps the character after it from being one.
fn split_terms(text: &str) -> Vec<&str> {
    let mut after_backslash = false;
    text.split(move |character: char| {
        let separates = character == ',' && !after_backslash;
        after_backslash = character == '\\' && !after_backslash;
        separates
    })
    .collect()
}

/// Label, whether the operator is `!=`, and the value as it stands.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for (index, character) in term.char_indices() {
        let (label, rest) = term.split_at(index);
        match character {
            '!' => {
                if let Some(value) = rest.strip_prefix("!=") {
                    return Some((label, true, value));
                }
            }
            '=' => {
                let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?;
                return Some((label, false, value));
            }
            _ => {}
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                Some(other) => return Err(Error::Escape(format!("\\{other}"))),
                None => return Err(Error::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(Error::Unescaped(character)),
            plain => out.push(plain),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
