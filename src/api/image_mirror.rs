//! The kind ImageMirror: tags of scanned images that are copied to other registries.
//!
//! Field comments are what `kubectl explain` prints, so they speak to the manifest's author. What is copied, and when a
//! tag is overwritten, is decided in `crate::mirror`. Decoding is lenient where the schema is strict.

#![expect(
    clippy::duplicated_attributes,
    reason = "columns and names repeat their keys"
)]

mod selector;
mod status;

use std::time::Duration;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bandwidth::Bandwidth;
use super::duration::GoDuration;
use super::image_policy::{PolicyChoice, TagFilter};
use super::reference::{LocalObjectReference, NamespacedObjectReference};

pub use selector::{ObjectSelector, Operator, Requirement};
pub use status::{
    ImageMirrorStatus, LONGEST_MESSAGE, MOST_OUTCOMES, MOST_PLANNED, MirrorRun, PruneStatus,
    TagCounts, TagOutcome,
};

/// How often a mirror whose spec does not say is looked at.
pub const DEFAULT_INTERVAL: Duration = Duration::from_mins(10);

/// After how long a destination is asked again for what is known to be there.
pub const DEFAULT_VERIFY_INTERVAL: Duration = Duration::from_hours(24);

/// How long a tag has to be gone before its copy may be deleted.
pub const DEFAULT_GRACE: Duration = Duration::from_hours(24);

/// The part of a destination's tags, in percent, that may be deleted at once.
pub const DEFAULT_MAX_DELETE_PERCENT: u8 = 10;

/// The name of a destination repository where no template is given.
pub const DEFAULT_TEMPLATE: &str = "{host}/{path}";

/// What is copied, where to, and how careful.
#[derive(
    CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "mirror.tagscope.dev",
    version = "v1alpha1",
    kind = "ImageMirror",
    plural = "imagemirrors",
    singular = "imagemirror",
    shortname = "imirror",
    category = "all",
    namespaced,
    status = "ImageMirrorStatus",
    derive = "PartialEq",
    doc = "Tags of scanned images that are copied to other registries.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.sourceRef.name"),
    printcolumn(
        name = "Mirrored",
        type_ = "string",
        json_path = ".status.tags.summary"
    ),
    printcolumn(name = "Drift", type_ = "integer", json_path = ".status.tags.drifted"),
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
        name = "Last run",
        type_ = "date",
        json_path = ".status.lastRun.finished"
    ),
    printcolumn(
        name = "Next run",
        type_ = "string",
        json_path = ".status.nextRun",
        priority = 1
    ),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.tags.failed",
        priority = 1
    ),
    printcolumn(
        name = "Destination",
        type_ = "string",
        json_path = ".spec.destinations[0].registry",
        priority = 1
    ),
    printcolumn(
        name = "Suspended",
        type_ = "boolean",
        json_path = ".spec.suspend",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ImageMirrorSpec {
    /// The ImageRepository, or those, whose tags are copied. How the source is reached (credentials, certificates,
    /// proxy, insecure) and which tags are left out (exclusionList) is said there.
    pub source_ref: SourceReference,

    /// A Secret of type kubernetes.io/dockerconfigjson with credentials that may pull from the sources. It goes before the
    /// ImageRepositories' own, which a mirror of another namespace may use only where the ImageRepository has its namespace in the
    /// annotation mirror.tagscope.dev/allow-from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_secret_ref: Option<LocalObjectReference>,

    /// Which tags are copied. All of them when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TagSelection>,

    /// Where to.
    #[schemars(extend("minItems" = 1, "maxItems" = 16, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub destinations: Vec<Destination>,

    /// Which platforms of an image are copied. All of them when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platforms: Option<Platforms>,

    /// Whether signatures, attestations, SBOMs and other referrers of an image are copied with it: those of the referrers
    /// API, and those that cosign keeps as tags.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub referrers: bool,

    /// When a tag that is at the destination with another content is overwritten. Never when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<Overwrite>,

    /// Whether tags that were copied are deleted at the destination when they are gone from the source, or from the
    /// selection. They stay when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,

    /// How long to wait between two looks at the sources, for example 10m, which is the default. New tags of a scan are
    /// copied at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("pattern" = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub interval: Option<GoDuration>,

    /// After how long destinations are asked for what is known to be there, for example 24h, which is the default. 0s asks
    /// every time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("pattern" = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub verify_interval: Option<GoDuration>,

    /// The most bytes per second that are copied, for example 50MiB. Not limited when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("pattern" = super::bandwidth::PATTERN))]
    pub bandwidth: Option<Bandwidth>,

    /// Stops copying until it is false again. What is under way is ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

/// One ImageRepository by its name, or several by their labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.name) != has(self.selector)",
    "message": "exactly one of name and selector must be set",
}]))]
pub struct SourceReference {
    /// The name of the ImageRepository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("minLength" = 1, "maxLength" = 253))]
    pub name: Option<String>,

    /// The labels of the ImageRepositories. An empty selector selects all of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<ObjectSelector>,

    /// The namespace of the ImageRepositories; the mirror's own when it is absent. In another one, an ImageRepository has
    /// to let the mirror in by its accessFrom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("maxLength" = 63))]
    pub namespace: Option<String>,
}

/// Which tags are copied: those that policies elect, or those that a filter and a policy leave. Nothing means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.limit) || has(self.policy)",
        "message": "limit needs a policy, which says what the latest tags are",
    },
    {
        "rule": "!has(self.imagePolicyRefs) || size(self.imagePolicyRefs) == 0 || (!has(self.filterTags) && !has(self.policy) && !has(self.limit))",
        "message": "imagePolicyRefs cannot be combined with filterTags, policy and limit",
    },
]))]
pub struct TagSelection {
    /// ImagePolicies of the source, each of which elects one tag to copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 64))]
    pub image_policy_refs: Vec<NamespacedObjectReference>,

    /// Which tags take part, and by which part of their name the policy judges them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_tags: Option<TagFilter>,

    /// Which tags are copied, and in which order: semver leaves those within the range. Without a limit all that it
    /// leaves are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyChoice>,

    /// How many of the latest tags, by the policy's order, are copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", extend("minimum" = 1, "maximum" = 100_000))]
    pub limit: Option<u32>,
}

/// A registry that images are copied to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!self.registry.contains('://')",
        "message": "registry is a host, optionally with a port and a path, without a scheme",
    },
    {
        "rule": "!has(self.repositoryTemplate) || self.repositoryTemplate.matches(r'^([a-z0-9._/-]|\\{(host|path|name)\\})+$')",
        "message": "repositoryTemplate is made of {host}, {path}, {name} and what repositories' names are made of",
    },
]))]
pub struct Destination {
    /// Tells it from the other destinations, in messages and in the status.
    #[schemars(extend("minLength" = 1, "maxLength" = 63, "pattern" = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// The registry's host, with a port where it needs one, and optionally the beginning of all repositories' paths, for
    /// example registry.example.com:5000/mirror.
    #[schemars(extend("minLength" = 1, "maxLength" = 512))]
    pub registry: String,

    /// The repository's path below the registry, made from the source's name: {host} is its host (with - in place
    /// of a colon), {path} its path, and {name} the last segment of that. Default: {host}/{path}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("minLength" = 1, "maxLength" = 255))]
    pub repository_template: Option<String>,

    /// A Secret of type kubernetes.io/dockerconfigjson with credentials that may push to the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,

    /// A Secret with a client certificate (tls.crt and tls.key), with certificate authorities to trust (ca.crt), or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,

    /// A Secret with the proxy to reach the registry through: key address, optionally username and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,

    /// Allows a registry that speaks plain HTTP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

/// Which platforms of an image are copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Platforms {
    /// The platforms to keep, such as linux/amd64 or linux/arm/v7.
    #[schemars(extend("minItems" = 1, "maxItems" = 32))]
    pub include: Vec<String>,

    /// How the others are left out. Rewritten: the index is written without them, which gives it a digest of its own and
    /// leaves signatures of the index behind. Sparse: the index stays as it is and names what is not there, which some registries refuse.
    #[serde(default, skip_serializing_if = "PlatformMode::is_default")]
    #[schemars(with = "String", extend("enum" = ["Rewritten", "Sparse"], "default" = "Rewritten"))]
    pub mode: PlatformMode,
}

/// How platforms are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlatformMode {
    /// The index is written without them.
    #[default]
    Rewritten,
    /// The index names what is not there.
    Sparse,
    /// Something that a schema newer than this program admits.
    #[serde(other)]
    Unknown,
}

/// When a tag that is at the destination with another content is overwritten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.mutable) || size(self.mutable) == 0 || (has(self.mode) && self.mode == 'MutableTagsOnly')",
    "message": "mutable goes with mode MutableTagsOnly",
}]))]
pub struct Overwrite {
    /// Never: a tag that differs is reported as drift. MutableTagsOnly: only latest, names without a digit such as those of
    /// branches, and what mutable names. Always: whatever the tag.
    #[serde(default, skip_serializing_if = "OverwriteMode::is_default")]
    #[schemars(with = "String", extend("enum" = ["Never", "MutableTagsOnly", "Always"], "default" = "Never"))]
    pub mode: OverwriteMode,

    /// Regular expressions (RE2, not anchored) of more tags that are meant to move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 25))]
    pub mutable: Vec<String>,
}

/// When a tag that differs is overwritten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverwriteMode {
    /// Never.
    #[default]
    Never,
    /// Tags that are meant to move.
    MutableTagsOnly,
    /// Always.
    Always,
    /// Something that a schema newer than this program admits.
    #[serde(other)]
    Unknown,
}

/// Whether and how carefully tags are deleted at the destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prune {
    /// Whether anything is deleted at all. Only ever what this mirror copied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enabled: bool,

    /// How long a tag has to be gone before its copy is deleted, for example 24h, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("pattern" = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub grace: Option<GoDuration>,

    /// Nothing is deleted when it would be more than this part of a destination repository's tags, for example 10%, which
    /// is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("pattern" = "^(100|[1-9]?[0-9])%$"))]
    pub max_delete_fraction: Option<String>,
}

impl ImageMirrorSpec {
    /// How often sources are looked at. Not without a pause: nothing is as good as absent.
    pub fn effective_interval(&self) -> Duration {
        let given = self.interval.map(GoDuration::as_std);
        given.filter(|it| !it.is_zero()).unwrap_or(DEFAULT_INTERVAL)
    }

    /// After how long destinations are asked for what is known to be there; nothing asks every time.
    pub fn effective_verify_interval(&self) -> Duration {
        self.verify_interval
            .map_or(DEFAULT_VERIFY_INTERVAL, GoDuration::as_std)
    }
}

impl Prune {
    /// How long a tag has to be gone before its copy is deleted.
    pub fn effective_grace(&self) -> Duration {
        self.grace.map_or(DEFAULT_GRACE, GoDuration::as_std)
    }

    /// The part of a destination's tags, in percent, that may be deleted at once. What is no such part is nothing: then
    /// nothing is deleted.
    pub fn max_delete_percent(&self) -> u8 {
        match self.max_delete_fraction.as_deref() {
            None => DEFAULT_MAX_DELETE_PERCENT,
            Some(text) => text
                .strip_suffix('%')
                .and_then(|number| number.parse().ok())
                .filter(|percent| *percent <= 100)
                .unwrap_or(0),
        }
    }
}

impl Destination {
    /// The template of its repositories' names.
    pub fn effective_template(&self) -> &str {
        self.repository_template
            .as_deref()
            .unwrap_or(DEFAULT_TEMPLATE)
    }
}

impl PlatformMode {
    /// Whether it is what holds where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::Rewritten
    }
}

impl OverwriteMode {
    /// Whether it is what holds where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::Never
    }
}

#[cfg(test)]
mod tests;
