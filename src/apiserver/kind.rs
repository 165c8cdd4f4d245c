//! The served kinds and how each is called: the one table that discovery, OpenAPI, routes and errors read.

use crate::api::tags::GROUP;

/// A served kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One object per tag.
    ImageTag,
    /// One object per ImageRepository.
    TagSet,
}

impl Kind {
    /// Every served kind, in the order of the discovery documents.
    pub const ALL: [Self; 2] = [Self::ImageTag, Self::TagSet];

    /// The kind behind a plural resource name.
    pub fn of_resource(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageTag => "ImageTag",
            Self::TagSet => "TagSet",
        }
    }

    /// The name of the list kind.
    pub fn list_name(self) -> &'static str {
        match self {
            Self::ImageTag => "ImageTagList",
            Self::TagSet => "TagSetList",
        }
    }

    /// The plural resource name, as in paths and RBAC rules.
    pub fn plural(self) -> &'static str {
        match self {
            Self::ImageTag => "imagetags",
            Self::TagSet => "tagsets",
        }
    }

    /// The singular resource name.
    pub fn singular(self) -> &'static str {
        match self {
            Self::ImageTag => "imagetag",
            Self::TagSet => "tagset",
        }
    }

    /// The short name that kubectl accepts.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::ImageTag => "imgtag",
            Self::TagSet => "tset",
        }
    }

    /// `resource.group`, as messages name it.
    pub fn qualified(self) -> String {
        format!("{}.{GROUP}", self.plural())
    }

    /// The field labels that field selectors may name.
    pub fn field_labels(self) -> &'static [&'static str] {
        match self {
            Self::ImageTag => &[
                "metadata.name",
                "metadata.namespace",
                "repository",
                "image",
                "tag",
                "digest",
            ],
            Self::TagSet => &["metadata.name", "metadata.namespace", "repository", "image"],
        }
    }
}
