//! TagQuery, the review of `tags.tagscope.dev/v1alpha1`: which tag would this policy elect, and why not that one?
//!
//! These types are what a request is read into, what is answered, and the one source of the OpenAPI schemas (the doc
//! comments are what `kubectl explain` prints). A query is answered and forgotten: nothing is stored.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image_policy::PolicyChoice;

/// The plural resource name.
pub const PLURAL: &str = "tagqueries";
/// The singular resource name.
pub const SINGULAR: &str = "tagquery";
/// The kind's name.
pub const KIND: &str = "TagQuery";
/// How many of the ranking are told where the query does not say.
pub const DEFAULT_LIMIT: i64 = 10;
/// How many of the ranking may be asked for.
pub const MOST_RANKED: i64 = 1000;
/// How many rejected tags are told.
pub const MOST_REJECTED: usize = 10_000;
/// How many tags an inline list may have.
pub const MOST_TAGS: usize = 100_000;
/// How many patterns an inline list's exclusion list may have; as many as that of an ImageRepository.
pub const MOST_EXCLUSIONS: usize = 25;
/// How many bytes `filterTags.extract` may have.
pub const LONGEST_EXTRACT: usize = 4096;

/// TagQuery asks which tag a policy would elect, and why not the others. It is a review: it can only be created, the
/// answer comes back in its status, and nothing is stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.TagQuery")]
pub struct TagQuery {
    /// Kind is always `TagQuery`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// APIVersion is always `tags.tagscope.dev/v1alpha1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Standard object metadata. A query needs none of it, and gets back what it was given.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Spec is what is asked.
    pub spec: TagQuerySpec,
    /// Status is the answer. It is ignored in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TagQueryStatus>,
}

/// TagQuerySpec says which tags are elected from, and how. Exactly one of imageRepositoryRef, imagePolicyRef and tags
/// is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.TagQuerySpec")]
pub struct TagQuerySpec {
    /// ImageRepositoryRef names the ImageRepository whose tags are elected from. It takes the right to list imagetags
    /// in its namespace; in another namespace than the query's it also has to be open to that one by accessFrom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_repository_ref: Option<QueriedRepository>,
    /// ImagePolicyRef names an ImagePolicy of the query's namespace, to be asked about as it stands. It takes the right
    /// to get that ImagePolicy, and to list imagetags in the namespace of its ImageRepository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_policy_ref: Option<QueriedPolicy>,
    /// Tags are the tags themselves, at most 100,000; duplicates count once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// ExclusionList are regular expressions; tags that match one of them are left out before anything else. It goes
    /// with tags only: an ImageRepository has its own. At most 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusion_list: Option<Vec<String>>,
    /// FilterTags says which tags take part, and by which part of their name. With imagePolicyRef it takes the place of
    /// the policy's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_tags: Option<QueriedFilter>,
    /// Policy says how the tag is chosen. It is required, except with imagePolicyRef, where it takes the place of the
    /// policy's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<QueriedChoice>,
    /// Governance holds the election back, as the annotations of an ImagePolicy do. With imagePolicyRef it takes the
    /// place of all of the policy's annotations; an empty one stands for none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governance: Option<QueriedGovernance>,
    /// Limit is the most entries in status.ranked: 10 where it is absent or 0, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// Explain asks for status.rejected, one reason for each tag that is not elected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<bool>,
}

/// QueriedRepository names an ImageRepository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.QueriedRepository")]
pub struct QueriedRepository {
    /// Name is the name of the ImageRepository.
    pub name: String,
    /// Namespace is its namespace; that of the query where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// QueriedPolicy names an ImagePolicy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.QueriedPolicy")]
pub struct QueriedPolicy {
    /// Name is the name of the ImagePolicy.
    pub name: String,
}

/// QueriedFilter says which tags take part in an election, and as what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.QueriedFilter")]
pub struct QueriedFilter {
    /// Pattern is a regular expression (RE2, not anchored) that a tag has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Extract is what is compared in place of the whole tag: a template over the groups of the pattern, such as `$ts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<String>,
}

/// QueriedChoice is one way to choose a tag. Of several, semver goes before alphabetical before numerical.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.QueriedChoice")]
pub struct QueriedChoice {
    /// Semver chooses the highest semantic version within a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semver: Option<QueriedRange>,
    /// Alphabetical chooses the last or the first in byte order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alphabetical: Option<QueriedOrder>,
    /// Numerical chooses the largest or the smallest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerical: Option<QueriedOrder>,
}

/// QueriedRange is a range of semantic versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.QueriedRange")]
pub struct QueriedRange {
    /// Range is the range, for example `1.x`, `~1.4`, or `>=1.0.0 <2.0.0`.
    pub range: String,
}

/// QueriedOrder is a direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.QueriedOrder")]
pub struct QueriedOrder {
    /// Order is `asc` (the last or largest is elected) or `desc`; asc where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// QueriedGovernance are the annotations that govern an ImagePolicy, as fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.QueriedGovernance")]
pub struct QueriedGovernance {
    /// Hold is the one tag to elect, as long as it is in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// MinimumAge is how long a tag has to be known, a Go duration such as `72h`. The tags of an inline list are old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_age: Option<String>,
    /// Downgrade is `forbid` where what stands elected may not give way to an earlier tag because it vanished, or
    /// `allow`. Something stands with imagePolicyRef only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<String>,
    /// Platforms are what an elected tag has to run on, all of it, as `os/arch` or `os/arch/variant`. The registry is
    /// not asked: what no policy has asked about yet is PlatformUnknown. At most 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platforms: Option<Vec<String>>,
    /// RequireMirrored is the ImageMirror, as `name` or `namespace/name`, that has to have verified a tag at all its
    /// destinations. It takes the right to get that ImageMirror. The tags of an inline list are at none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_mirrored: Option<String>,
}

impl From<&PolicyChoice> for QueriedChoice {
    fn from(choice: &PolicyChoice) -> Self {
        let order = |order: &str| QueriedOrder {
            order: Some(order.to_owned()),
        };
        Self {
            semver: choice.semver.as_ref().map(|semver| QueriedRange {
                range: semver.range.clone(),
            }),
            alphabetical: choice.alphabetical.as_ref().map(|it| order(&it.order)),
            numerical: choice.numerical.as_ref().map(|it| order(&it.order)),
        }
    }
}

/// TagQueryStatus is the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.TagQueryStatus")]
pub struct TagQueryStatus {
    /// Latest is the tag that is elected. With imagePolicyRef it may be one that stands elected although it is not in
    /// the list. It is absent where nothing is elected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<RankedTag>,
    /// Ranked are the tags that nothing speaks against, the best first: the latest and those that would be elected in
    /// its place, at most spec.limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranked: Vec<RankedTag>,
    /// Rejected are the tags that are not elected, with explain: first those that the policy ranks, the best first,
    /// then all others in descending byte order. At most 10,000; rejectedOmitted tells how many more there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedTag>,
    /// RejectedOmitted is how many rejected tags are not listed because there are more than 10,000. The counts have
    /// them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_omitted: Option<i64>,
    /// Counts are the numbers of tags, always exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<TagCounts>,
    /// Revision identifies the list that was elected from: that of the ImageRepository's status, or one over the inline
    /// list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Complete is false when the registry may hold more tags than the last scan could read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// Error says why there is no election: the policy is invalid, nothing fits, or what is needed is not there. It is
    /// what a Flux ImagePolicy would say in its Ready condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<QueryError>,
}

/// RankedTag is a tag with what the policy judges it by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.RankedTag")]
pub struct RankedTag {
    /// Tag is the tag.
    pub tag: String,
    /// Key is what the policy compares: the tag, or what filterTags extracts from it, cut at 1,024 characters. It is
    /// absent where filterTags does not let the tag in, and it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// RejectedTag is a tag that is not elected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.RejectedTag")]
pub struct RejectedTag {
    /// Tag is the tag.
    pub tag: String,
    /// Reason is the first rule that speaks against it, one of Excluded, NotHeld, FilteredByPattern, ExtractCollision,
    /// NotSemver, OutOfRange, Prerelease, NotNumeric, WrongPlatform, PlatformUnknown, BudgetExhausted, TooYoung,
    /// NotMirrored, DowngradeForbidden and LowerRank.
    pub reason: String,
    /// Message says the same for people.
    pub message: String,
}

/// TagCounts are numbers of tags: total is eligible and all of rejected but LowerRank.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.TagCounts")]
pub struct TagCounts {
    /// Total is the number of tags in the list.
    pub total: i64,
    /// Eligible is the number of tags that nothing speaks against, the latest among them.
    pub eligible: i64,
    /// Rejected are the numbers of tags that are not elected, by reason. LowerRank are the eligible ones among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<String, i64>,
}

/// QueryError says why there is no election.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.QueryError")]
pub struct QueryError {
    /// Reason is one of InvalidPolicy, InvalidExclusionList, Failure (nothing fits), PolicyNotFound, DependencyNotReady,
    /// ImageURLInvalid, AccessDenied, InvalidAnnotation, NotSynced and DeadlineExceeded.
    pub reason: String,
    /// Message is the text, Flux's own where Flux has one.
    pub message: String,
}
