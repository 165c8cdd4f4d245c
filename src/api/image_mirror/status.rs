//! What an ImageMirror says of itself: counts, the outcomes worth reading, the last run and the next one.
//!
//! Bounded whatever the mirror copies: a mirror of thousands of tags says how many fared how, and names those that did not
//! fare well, the worst first.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::condition::{self, Condition};
use crate::api::crd;

/// So many outcomes are listed; how many more there are is counted.
pub const MOST_OUTCOMES: usize = 100;

/// A message of one outcome is cut to so many characters.
pub const LONGEST_MESSAGE: usize = 256;

/// So many tags that are about to be deleted are named.
pub const MOST_PLANNED: usize = 20;

/// What is known of a mirror.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct ImageMirrorStatus {
    /// Ready, and while they hold, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::list_schema")]
    pub conditions: Vec<Condition>,

    /// The generation of the spec that was last brought to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// How many tags fare how, each destination counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TagCounts>,

    /// Those that did not fare well, failures and drift first, and then those that were copied last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MOST_OUTCOMES))]
    pub outcomes: Vec<TagOutcome>,

    /// How many outcomes there are besides.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "crd::plain_integer")]
    pub omitted_outcomes: i64,

    /// The last run that asked a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<MirrorRun>,

    /// When it looks at its sources again, unless something asks for it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crd::date_time")]
    pub next_run: Option<Time>,

    /// What is about to be deleted, and what was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneStatus>,

    /// The name of the state (a file below --storage-path) in which is written what the last run learnt. A process that has
    /// another one asks the destinations before it believes in what it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,

    /// The last value of the annotation reconcile.fluxcd.io/requestedAt that was acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// How many tags fare how, each destination counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagCounts {
    /// How many are wanted.
    #[schemars(schema_with = "crd::plain_integer")]
    pub total: i64,

    /// How many are at the destination as they are at the source.
    #[schemars(schema_with = "crd::plain_integer")]
    pub mirrored: i64,

    /// How many differ at the destination, and may not be overwritten.
    #[serde(default)]
    #[schemars(schema_with = "crd::plain_integer")]
    pub drifted: i64,

    /// How many the destination's registry does not let be moved.
    #[serde(default)]
    #[schemars(schema_with = "crd::plain_integer")]
    pub blocked: i64,

    /// How many could not be copied.
    #[serde(default)]
    #[schemars(schema_with = "crd::plain_integer")]
    pub failed: i64,

    /// How many of the wanted ones are mirrored, for people: 40/52.
    pub summary: String,
}

/// How one tag fared at one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagOutcome {
    /// The tag.
    pub tag: String,

    /// The ImageRepository it comes from, by its name.
    pub repository: String,

    /// The destination, by its name in the spec.
    pub destination: String,

    /// Copied, Unchanged, Drifted, BlockedByImmutability, Failed, or NotBegun.
    pub outcome: String,

    /// What went wrong, or what the destination has in its place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,

    /// The digest at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<String>,

    /// The digest at the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_digest: Option<String>,
}

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorRun {
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crd::date_time")]
    pub started: Option<Time>,

    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crd::date_time")]
    pub finished: Option<Time>,

    /// What it was for: NewTags, Interval, Verify, or Requested.
    pub reason: String,

    /// Tags that were copied, each destination counted.
    #[schemars(schema_with = "crd::plain_integer")]
    pub copied: i64,

    /// Bytes that were read at the source.
    #[schemars(schema_with = "crd::plain_integer")]
    pub bytes_read: i64,

    /// Bytes that were written to destinations.
    #[schemars(schema_with = "crd::plain_integer")]
    pub bytes_written: i64,

    /// Blobs that a destination took from another of its repositories.
    #[schemars(schema_with = "crd::plain_integer")]
    pub blobs_mounted: i64,
}

/// What is about to be deleted, and what was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PruneStatus {
    /// How many tags are owned by this mirror at its destinations: those that it has created and that nobody moved since.
    #[schemars(schema_with = "crd::plain_integer")]
    pub owned: i64,

    /// How many of them are to be deleted at the next run, because they are gone for long enough.
    #[schemars(schema_with = "crd::plain_integer")]
    pub planned: i64,

    /// Some of those, as destination repository and tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MOST_PLANNED))]
    pub sample: Vec<String>,

    /// How many were deleted by the last run that deleted any.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "crd::plain_integer")]
    pub deleted: i64,

    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crd::date_time")]
    pub last_deletion: Option<Time>,

    /// Why nothing is deleted, where something would be.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refused: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks for it")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
