//! The kind ImageRepository: an image whose tags are scanned.
//!
//! Field comments are what `kubectl explain` prints, so they speak to the manifest's author. Decoding is
//! lenient where the schema is strict: one odd object must not blind the program to all the others.

#![expect(
    clippy::duplicated_attributes,
    reason = "columns and names repeat their keys"
)]

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::AccessFrom;
use super::condition::{self, Condition};
use super::crd;
use super::duration::GoDuration;
use super::reference::LocalObjectReference;

/// The exclusion list that holds when a spec gives none: signatures as cosign tags them.
pub const DEFAULT_EXCLUSION: &str = r"^.*\.sig$";

/// No scan gets less time than this, whatever the spec says.
pub const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest a scan may take.
pub const MAX_TIMEOUT: Duration = Duration::from_hours(1);

/// The longest a scan may take whose object does not say.
pub const MAX_DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// What to scan, how often, and with which credentials.
#[derive(
    CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "image.toolkit.fluxcd.io",
    version = "v1",
    kind = "ImageRepository",
    plural = "imagerepositories",
    singular = "imagerepository",
    shortname = "imgrepo",
    shortname = "imagerepo",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-images",
    namespaced,
    status = "ImageRepositoryStatus",
    derive = "PartialEq",
    doc = "An image whose tags are scanned at an interval, and served as imagetags.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(
        name = "Tags",
        type_ = "string",
        json_path = ".status.lastScanResult.tagCount"
    ),
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
        name = "Last scan",
        type_ = "string",
        json_path = ".status.lastScanResult.scanTime",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["image", "interval"]))]
pub struct ImageRepositorySpec {
    /// The image, as in a container's image field but without tag and digest, for example ghcr.io/org/app.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,

    /// How long to wait between two scans, for example 5m.
    #[serde(default, skip_serializing_if = "GoDuration::is_zero")]
    #[schemars(with = "String", extend("pattern" = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"))]
    pub interval: GoDuration,

    /// How long one scan may take. The interval when it is absent; never less than one second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("pattern" = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$"))]
    pub timeout: Option<GoDuration>,

    /// A Secret of type kubernetes.io/dockerconfigjson with credentials for the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,

    /// A Secret with the proxy to reach the registry through: key address, optionally username and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,

    /// A ServiceAccount whose image pull secrets are for the registry, after secretRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("maxLength" = 253))]
    pub service_account_name: Option<String>,

    /// A Secret of type Opaque or kubernetes.io/tls with a client certificate (tls.crt and tls.key), with
    /// certificate authorities to trust (ca.crt), or with both, for connections to the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<LocalObjectReference>,

    /// Stops scans until it is false again. A scan that runs already is not interrupted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,

    /// Lets policies of other namespaces refer to this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_from: Option<AccessFrom>,

    /// Regular expressions (RE2, not anchored); a tag that any of them matches is ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = [DEFAULT_EXCLUSION], "maxItems" = 25))]
    pub exclusion_list: Vec<String>,

    /// Where credentials come from: a Secret (generic), or the workload identity of a cloud.
    #[serde(default, skip_serializing_if = "Provider::is_generic")]
    #[schemars(with = "String", extend("enum" = ["generic", "aws", "azure", "gcp"], "default" = "generic"))]
    pub provider: Provider,

    /// Allows a registry that speaks plain HTTP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

/// Where credentials for the registry come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// A Secret, or nothing.
    #[default]
    Generic,
    /// Elastic Container Registry.
    Aws,
    /// Azure Container Registry.
    Azure,
    /// Google Artifact Registry.
    Gcp,
    /// Something that a schema newer than this program admits.
    #[serde(other)]
    Unknown,
}

/// What the last scans found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct ImageRepositoryStatus {
    /// Ready, and while they hold, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::list_schema")]
    pub conditions: Vec<Condition>,

    /// The generation of the spec that was last brought to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The image with its implied parts written out: index.docker.io/library/alpine for alpine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical_image_name: Option<String>,

    /// The result of the last scan that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scan_result: Option<ScanResult>,

    /// The exclusion list that the last scan applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed_exclusion_list: Vec<String>,

    /// The last value of the annotation reconcile.fluxcd.io/requestedAt that was acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// The result of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanResult {
    /// A checksum of all tags: it differs when the tags do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,

    /// How many tags there are after exclusion.
    #[schemars(schema_with = "crd::plain_integer")]
    pub tag_count: i64,

    /// When the scan ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crd::date_time")]
    pub scan_time: Option<Time>,

    /// A sample: the first ten tags in descending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latest_tags: Vec<String>,
}

impl ImageRepositorySpec {
    /// How long one scan may take: `timeout`, else `interval`, at least [`MIN_TIMEOUT`]; at most [`MAX_TIMEOUT`] when
    /// it is asked for, and [`MAX_DEFAULT_TIMEOUT`] when it is not: a registry that trickles holds a place for as long.
    pub fn scan_timeout(&self) -> Duration {
        let asked = self
            .timeout
            .map(|timeout| timeout.as_std().min(MAX_TIMEOUT));
        asked
            .unwrap_or_else(|| self.interval.as_std().min(MAX_DEFAULT_TIMEOUT))
            .max(MIN_TIMEOUT)
    }

    /// The exclusion list that applies: an empty one means [`DEFAULT_EXCLUSION`].
    pub fn effective_exclusion_list(&self) -> Vec<String> {
        if self.exclusion_list.is_empty() {
            vec![DEFAULT_EXCLUSION.to_owned()]
        } else {
            self.exclusion_list.clone()
        }
    }
}

impl Provider {
    /// Whether credentials come from Secrets alone.
    pub fn is_generic(&self) -> bool {
        *self == Self::Generic
    }
}

#[cfg(test)]
mod tests;
