//! The kinds that are controlled, and how each is called where.

use prometheus_client::encoding::EncodeLabelValue;

use crate::api::names;
use crate::object::Key;

/// A controlled kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Scans an image.
    ImageRepository,
    /// Elects a tag.
    ImagePolicy,
    /// Copies tags.
    ImageMirror,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ImageRepository, Self::ImagePolicy, Self::ImageMirror];

    /// The kind's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageRepository => "ImageRepository",
            Self::ImagePolicy => "ImagePolicy",
            Self::ImageMirror => "ImageMirror",
        }
    }

    /// The controller's name, in logs and metrics.
    pub const fn controller(self) -> &'static str {
        match self {
            Self::ImageRepository => "imagerepository",
            Self::ImagePolicy => "imagepolicy",
            Self::ImageMirror => "imagemirror",
        }
    }

    /// The kind's API group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::ImageRepository | Self::ImagePolicy => names::IMAGE_GROUP,
            Self::ImageMirror => names::MIRROR_GROUP,
        }
    }

    /// What every log line of one reconcile carries.
    pub(super) fn span(self, key: &Key) -> tracing::Span {
        tracing::info_span!(
            "reconcile",
            controller = self.controller(),
            controllerGroup = self.group(),
            controllerKind = self.name(),
            namespace = %key.namespace,
            name = %key.name,
            reconcileID = %uuid::Uuid::new_v4(),
        )
    }
}

impl EncodeLabelValue for Kind {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.controller(), encoder)
    }
}
