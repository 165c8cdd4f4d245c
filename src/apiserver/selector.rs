//! Label and field selectors: what a list or watch leaves out.
//!
//! The grammar and the words are upstream's. What an object must look like is decided in two steps: once per
//! ImageRepository ([`Selection::pick`]), which settles nearly everything, and once per tag only for what is left.

pub mod fields;
pub mod labels;

use crate::apiserver::kind::Kind;
use crate::apiserver::object::{Origin, label};
use crate::object::Key;
use crate::store::{EntryRef, RepositoryTags, TagEntry};

/// Both selectors of one request. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Over labels.
    pub labels: labels::Selector,
    /// Over fields.
    pub fields: fields::Selector,
}

/// Which of one ImageRepository's tags can be selected at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// None of them.
    Nothing,
    /// At most the one that [`fields::Selector::required_tag`] names.
    One,
    /// Only elected ones.
    Elected,
    /// Those that [`Selection::matches_entry`].
    Matching,
    /// All of them.
    All,
}

impl Selection {
    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// The one tag that can be selected in each repository, where the selectors say so.
    pub(super) fn required_tag(&self) -> Option<&str> {
        self.fields.required_tag()
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

    /// Narrows a walk through one repository's tags. Builds nothing of an object.
    pub(super) fn pick(&self, tags: &RepositoryTags) -> Pick {
        if !self.fields.matches_repository(tags) {
            return Pick::Nothing;
        }
        let plain = self.matches_labels(tags, false);
        let elected = self.matches_labels(tags, true);
        if !(plain || elected) {
            return Pick::Nothing;
        }
        if self.fields.required_tag().is_some() {
            return Pick::One;
        }
        // Only elected tags have a digest.
        if !plain || self.fields.requires_digest() {
            Pick::Elected
        } else if !elected || self.fields.judges_tags() {
            Pick::Matching
        } else {
            Pick::All
        }
    }

    /// Whether the tag of a repository that is picked is selected.
    pub(super) fn matches_entry(&self, tags: &RepositoryTags, entry: EntryRef<'_>) -> bool {
        self.matches_labels(tags, !entry.selected_by.is_empty())
            && self.fields.matches_entry(tags, entry)
    }

    /// Whether the tag is selected.
    pub(super) fn matches_tag(&self, origin: &Origin, entry: &TagEntry) -> bool {
        self.fields.matches_repository(origin.tags())
            && self.matches_entry(origin.tags(), entry.into())
    }

    /// Whether the tag set is selected.
    pub(super) fn matches_set(&self, origin: &Origin) -> bool {
        self.picks_set(origin.tags())
    }

    /// Whether the tag set of `tags` is selected.
    pub(super) fn picks_set(&self, tags: &RepositoryTags) -> bool {
        self.fields.matches_repository(tags)
            && self.fields.matches_set(tags)
            && self.matches_labels(tags, false)
    }

    fn matches_labels(&self, tags: &RepositoryTags, elected: bool) -> bool {
        self.labels
            .matches_by(|key| label::value(tags, elected, key))
    }
}
