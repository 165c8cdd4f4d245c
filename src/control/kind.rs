//! The kinds that are controlled, and how each is called where.

use prometheus_client::encoding::EncodeLabelValue;

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
}

impl EncodeLabelValue for Kind {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.controller(), encoder)
    }
}
