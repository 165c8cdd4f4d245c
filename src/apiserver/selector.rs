//! Label and field selectors: what a list or watch leaves out.
//!
//! The grammar and the words are upstream's. What an object must look like is decided in two steps: once per
//! ImageRepository ([`Selection::pick`]), which settles nearly everything, and once per tag only for what is left.

pub mod fields;
pub mod labels;

use crate::apiserver::kind::Kind;
use crate::apiserver::object::Origin;
use crate::object::Key;
use crate::store::TagEntry;

/// Both selectors of one request. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Over labels.
    pub labels: labels::Selector,
    /// Over fields.
    pub fields: fields::Selector,
}

/// Which of one ImageRepository's tags can be selected at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pick {
    /// None of them.
    Nothing,
    /// At most this one.
    One(String),
    /// Only elected ones.
    Elected,
    /// Any.
    Any,
}

impl Selection {
    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether objects of the repository `key` can be selected, judged by its name alone.
    pub(super) fn admits_key(&self, kind: Kind, key: &Key) -> bool {
        self.fields.admits_key(kind, key)
    }

    /// Whether [`Selection::admits_key`] says all that there is to say.
    pub(super) fn is_settled_by_key(&self) -> bool {
        self.labels.is_everything() && self.fields.is_settled_by_key()
    }

    /// The one repository, or the one namespace, that every selected object is in, where the selectors say so.
    pub(super) fn narrowed(&self, kind: Kind) -> (Option<&str>, Option<&str>) {
        (
            self.fields.required_namespace(),
            self.fields.required_repository(kind),
        )
    }

    /// Narrows a walk through one repository's tags.
    pub(super) fn pick(&self, origin: &Origin) -> Pick {
        let plain = self.labels.matches(origin.labels(false));
        let elected = self.labels.matches(origin.labels(true));
        if !(plain || elected) || !self.fields.matches_repository(origin) {
            return Pick::Nothing;
        }
        match self.fields.required_tag() {
            Some(tag) => Pick::One(tag.to_owned()),
            None if !plain => Pick::Elected,
            None => Pick::Any,
        }
    }

    /// Whether the tag is selected.
    pub(super) fn matches_tag(&self, origin: &Origin, entry: &TagEntry) -> bool {
        self.labels
            .matches(origin.labels(!entry.selected_by.is_empty()))
            && self.fields.matches_repository(origin)
            && self.fields.matches_tag(origin, entry)
    }

    /// Whether the tag set is selected.
    pub(super) fn matches_set(&self, origin: &Origin) -> bool {
        self.labels.matches(origin.labels(false))
            && self.fields.matches_repository(origin)
            && self.fields.matches_set(origin)
    }
}
