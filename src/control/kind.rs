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
}

impl Kind {
    /// The kind's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageRepository => "ImageRepository",
            Self::ImagePolicy => "ImagePolicy",
        }
    }

    /// The controller's name, in logs and metrics.
    pub const fn controller(self) -> &'static str {
        match self {
            Self::ImageRepository => "imagerepository",
            Self::ImagePolicy => "imagepolicy",
        }
    }

    /// What every log line of one reconcile carries.
    pub(super) fn span(self, key: &Key) -> tracing::Span {
        tracing::info_span!(
            "reconcile",
            controller = self.controller(),
            controllerGroup = names::IMAGE_GROUP,
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
