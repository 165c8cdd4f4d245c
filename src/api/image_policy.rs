//! The kind ImagePolicy: which of an image's tags is the one to use.
//!
//! Field comments are what `kubectl explain` prints, so they speak to the manifest's author. What a policy
//! means is not here but in `crate::policy`.

#![expect(
    clippy::duplicated_attributes,
    reason = "columns and names repeat their keys"
)]

use std::time::Duration;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::{self, Condition};
use super::duration::GoDuration;
use super::reference::{ImageRef, NamespacedObjectReference};

/// How often a digest is refreshed when a policy that always reflects it gives no interval.
pub const DEFAULT_DIGEST_INTERVAL: Duration = Duration::from_mins(10);

/// Which image, which of its tags take part, and how one of them is elected.
#[derive(
    CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "image.toolkit.fluxcd.io",
    version = "v1",
    kind = "ImagePolicy",
    plural = "imagepolicies",
    singular = "imagepolicy",
    shortname = "imgpol",
    shortname = "imagepol",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-images",
    namespaced,
    status = "ImagePolicyStatus",
    derive = "PartialEq",
    doc = "A rule that elects one tag of an ImageRepository.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.latestRef.name"),
    printcolumn(name = "Tag", type_ = "string", json_path = ".status.latestRef.tag"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.interval) || (has(self.digestReflectionPolicy) && self.digestReflectionPolicy == 'Always')",
        "message": "spec.interval is only accepted when spec.digestReflectionPolicy is set to 'Always'",
    },
    {
        "rule": "has(self.interval) || !has(self.digestReflectionPolicy) || self.digestReflectionPolicy != 'Always'",
        "message": "spec.interval must be set when spec.digestReflectionPolicy is set to 'Always'",
    },
]))]
pub struct ImagePolicySpec {
    /// The ImageRepository whose tags are elected from.
    pub image_repository_ref: NamespacedObjectReference,

    /// How the tag is chosen. When several are given, semver goes before alphabetical before numerical.
    pub policy: PolicyChoice,

    /// Which tags take part, and by which part of their name. All of them, whole, when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_tags: Option<TagFilter>,

    /// Whether the elected tag's digest is put into the status: never, only when the tag changes
    /// (IfNotPresent), or refreshed at every interval (Always).
    #[serde(default, skip_serializing_if = "ReflectionPolicy::is_never")]
    #[schemars(with = "String", extend("enum" = ["Always", "IfNotPresent", "Never"], "default" = "Never"))]
    pub digest_reflection_policy: ReflectionPolicy,

    /// How often the digest is refreshed. Goes with digestReflectionPolicy Always, and only with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("pattern" = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub interval: Option<GoDuration>,

    /// Stops elections until it is false again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

/// The ways to choose a tag. The schema does not insist on exactly one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyChoice {
    /// The highest semantic version within a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semver: Option<SemVerPolicy>,

    /// The last or the first in byte order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alphabetical: Option<AlphabeticalPolicy>,

    /// The largest or the smallest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerical: Option<NumericalPolicy>,
}

/// The highest semantic version within a range.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SemVerPolicy {
    /// The range, for example 1.x, ~1.4, or >=1.0.0 <2.0.0.
    pub range: String,
}

/// Byte order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlphabeticalPolicy {
    /// asc elects the last (Z), desc the first (A).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["asc", "desc"], "default" = "asc"))]
    pub order: String,
}

/// Order by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NumericalPolicy {
    /// asc elects the largest (9), desc the smallest (0).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = ["asc", "desc"], "default" = "asc"))]
    pub order: String,
}

/// Which tags take part in an election, and as what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagFilter {
    /// A regular expression (RE2, not anchored) that a tag has to match.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pattern: String,

    /// What is compared in place of the whole tag: a template over the groups of the pattern, such as $ts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub extract: String,
}

/// When the elected tag's digest is reflected into the status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReflectionPolicy {
    /// At every interval, whatever was there before.
    Always,
    /// When there is none yet for the elected tag.
    IfNotPresent,
    /// Not at all.
    #[default]
    Never,
    /// Something that a schema newer than this program admits.
    #[serde(other)]
    Unknown,
}

/// What the last election chose.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct ImagePolicyStatus {
    /// The elected image and tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_ref: Option<ImageRef>,

    /// What was elected before latestRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_previous_ref: Option<ImageRef>,

    /// latestRef as name:tag, for readers of the versions before v1. Read latestRef instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_image: Option<String>,

    /// The generation of the spec that was last brought to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, and while they hold, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::list_schema")]
    pub conditions: Vec<Condition>,

    /// The last value of the annotation reconcile.fluxcd.io/requestedAt that was acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl ImagePolicyStatus {
    /// Brings [`Self::latest_image`] up to date with the reference, if the status is to be written anyway.
    ///
    /// It is never a reason to write: Flux's own definition does not have the field, the API server drops it there
    /// without a word, and a write for its sake would come again with every look at the object.
    #[must_use]
    pub fn with_latest_image(mut self, written: &Self) -> Self {
        if self != *written {
            let latest = self.latest_ref.as_ref();
            self.latest_image = latest.map(|latest| format!("{}:{}", latest.name, latest.tag));
        }
        self
    }
}

/// What stands elected in the status, if it is of this image.
pub fn current<'a>(object: &'a ImagePolicy, image: &str) -> Option<&'a ImageRef> {
    let known = object.status.as_ref()?.latest_ref.as_ref();
    known.filter(|known| known.name == image)
}

impl ImagePolicySpec {
    /// How often the digest is to be refreshed; None unless the policy always reflects it.
    ///
    /// An absent or zero interval, which the schema refuses but an older one did not, counts as
    /// [`DEFAULT_DIGEST_INTERVAL`].
    pub fn digest_interval(&self) -> Option<Duration> {
        match self.digest_reflection_policy {
            ReflectionPolicy::Always => {
                let interval = self
                    .interval
                    .map(GoDuration::as_std)
                    .filter(|interval| !interval.is_zero());
                Some(interval.unwrap_or(DEFAULT_DIGEST_INTERVAL))
            }
            ReflectionPolicy::IfNotPresent
            | ReflectionPolicy::Never
            | ReflectionPolicy::Unknown => None,
        }
    }
}

impl ReflectionPolicy {
    /// Whether the digest of what is elected is reflected. What is not known reflects none.
    pub fn reflects(self) -> bool {
        match self {
            Self::Always | Self::IfNotPresent => true,
            Self::Never | Self::Unknown => false,
        }
    }

    /// Whether no digest is wanted.
    pub fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

#[cfg(test)]
mod tests;
