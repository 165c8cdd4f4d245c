//! The kinds of the aggregated group `tags.tagscope.dev/v1alpha1` as Rust types: what clients read, and the one
//! source of the OpenAPI schemas (these doc comments are what `kubectl explain` prints).
//!
//! Nothing is served from these types: `apiserver::object` writes the same JSON straight from the store, and a test
//! there holds the two together.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names;

/// The API group.
pub const GROUP: &str = names::TAGS_GROUP;
/// The one version of the group.
pub const VERSION: &str = names::TAGS_VERSION;
/// `group/version`, as `apiVersion` writes it.
pub const API_VERSION: &str = "tags.tagscope.dev/v1alpha1";
/// The APIService that the group version is registered with.
pub const API_SERVICE: &str = names::API_SERVICE_NAME;
/// The plural names of what is served.
pub const RESOURCES: [&str; 3] = ["imagetags", "tagsets", super::tag_query::PLURAL];
/// The label that names the ImageRepository a tag was found by.
pub const REPOSITORY_LABEL: &str = names::LABEL_REPOSITORY;
/// The label that is `"true"` while a policy elects the tag.
pub const SELECTED_LABEL: &str = names::LABEL_SELECTED;

/// ImageTag is one tag of a scanned container image, named `<ImageRepository name>:<tag>`. It is computed and
/// read-only: it appears and vanishes with the tag in the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.ImageTag")]
pub struct ImageTag {
    /// APIVersion is always `tags.tagscope.dev/v1alpha1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind is always `ImageTag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Standard object metadata. The labels are `tags.tagscope.dev/repository`, `tags.tagscope.dev/selected` while
    /// the tag is elected, and those of the ImageRepository's labels that the server was told to copy.
    pub metadata: ObjectMeta,
    /// Repository is the name of the ImageRepository, in the same namespace, that the tag was found by.
    pub repository: String,
    /// Image is the canonical name of the image without its tag, for example `index.docker.io/library/alpine`.
    pub image: String,
    /// Tag is the tag itself.
    pub tag: String,
    /// FirstSeen is when a scan first found the tag. It is absent when the tag was there at the first scan, because
    /// then its age is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Time>,
    /// Digest is the digest of the manifest that the tag named when it was last resolved, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Version holds the parts of the tag read as a semantic version, when it can be read as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// SelectedBy lists the ImagePolicies that elect the tag at present, sorted by namespace and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_by: Option<Vec<PolicyReference>>,
}

/// Version is a tag read as a semantic version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.Version")]
pub struct Version {
    /// Major is the first number.
    pub major: i64,
    /// Minor is the second number; 0 when the tag leaves it out.
    pub minor: i64,
    /// Patch is the third number; 0 when the tag leaves it out.
    pub patch: i64,
    /// Prerelease is what follows the first hyphen, for example `rc.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prerelease: Option<String>,
    /// Metadata is what follows the plus sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
}

/// PolicyReference names an ImagePolicy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.PolicyReference")]
pub struct PolicyReference {
    /// Namespace is the namespace of the ImagePolicy.
    pub namespace: String,
    /// Name is the name of the ImagePolicy.
    pub name: String,
}

/// ImageTagList is a list of ImageTags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.ImageTagList")]
pub struct ImageTagList {
    /// APIVersion is always `tags.tagscope.dev/v1alpha1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind is always `ImageTagList`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Standard list metadata.
    pub metadata: ListMeta,
    /// Items are the tags, sorted by namespace and name.
    pub items: Vec<ImageTag>,
}

/// TagSet is the whole tag list of one ImageRepository, named as the ImageRepository, as the last scan left it. It is
/// computed and read-only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.TagSet")]
pub struct TagSet {
    /// APIVersion is always `tags.tagscope.dev/v1alpha1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind is always `TagSet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Standard object metadata.
    pub metadata: ObjectMeta,
    /// Image is the canonical name of the image, for example `index.docker.io/library/alpine`.
    pub image: String,
    /// Revision identifies the content of the list; it is the revision in the ImageRepository's status.
    pub revision: String,
    /// ScanTime is when the scan ran that found this content.
    pub scan_time: Time,
    /// Complete is false when the registry may hold more tags than the last scan could read.
    pub complete: bool,
    /// TagCount is the number of tags.
    pub tag_count: i64,
    /// Tags are the tags in descending byte order, the order in which policies are fed and over which the revision
    /// is computed.
    pub tags: Vec<String>,
}

/// TagSetList is a list of TagSets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "dev.tagscope.tags.v1alpha1.TagSetList")]
pub struct TagSetList {
    /// APIVersion is always `tags.tagscope.dev/v1alpha1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind is always `TagSetList`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Standard list metadata.
    pub metadata: ListMeta,
    /// Items are the tag sets, sorted by namespace and name.
    pub items: Vec<TagSet>,
}

macro_rules! served {
    ($kind:ident, $list:ident, $plural:literal) => {
        impl k8s_openapi::Resource for $kind {
            const API_VERSION: &'static str = API_VERSION;
            const GROUP: &'static str = GROUP;
            const KIND: &'static str = stringify!($kind);
            const VERSION: &'static str = VERSION;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = k8s_openapi::NamespaceResourceScope;
        }

        impl k8s_openapi::ListableResource for $kind {
            const LIST_KIND: &'static str = stringify!($list);
        }

        impl k8s_openapi::Metadata for $kind {
            type Ty = ObjectMeta;

            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

served!(ImageTag, ImageTagList, "imagetags");
served!(TagSet, TagSetList, "tagsets");
