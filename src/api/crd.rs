//! The CustomResourceDefinitions, generated from the Rust types.
//!
//! The derived schemas say more than Flux's (nullable fields, number formats) and spread their
//! descriptions over lines; this brings them to the form in which they are installed. Nothing here reads a
//! cluster.
//!
//! Of Flux's kinds, `v1` is the version that is stored and the only one that the program speaks. The versions before it
//! stay served for the manifests in Git that still name them. All have one schema, the union of what each ever had, so
//! that no conversion is needed and nothing is pruned on the way through any of them. The kind of our own has one version.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::names::IMAGE_GROUP;
use super::{ImageMirror, ImagePolicy, ImageRepository};

/// The versions of Flux's kinds before the one that is stored, newest first.
const OLDER_VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];

/// What Kubernetes allows as the type of a condition.
pub(super) const CONDITION_TYPE_PATTERN: &str = concat!(
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?",
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
);

/// Why a definition could not be written as YAML.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The YAML writer refused a value.
    #[error("write {name} as YAML")]
    Write {
        /// The object's name.
        name: String,
        /// What it refused.
        #[source]
        source: serde_saphyr::ser_error::Error,
    },
}

/// Every CustomResourceDefinition of the program, in the order of their names.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        ImageMirror::crd(),
        ImagePolicy::crd(),
        ImageRepository::crd(),
    ]
    .into_iter()
    .map(finish)
    .collect()
}

/// All of [`crds`] as one stream of YAML documents: what `tagscope crds` prints and `deploy/crds/crds.yaml` is.
pub fn stream() -> Result<String, Error> {
    crds().iter().map(render).collect()
}

/// One object as a YAML document, with its `---`.
pub fn render<T: Serialize + kube::Resource>(object: &T) -> Result<String, Error> {
    let body = serde_saphyr::to_string(object).map_err(|source| Error::Write {
        name: object.meta().name.clone().unwrap_or_default(),
        source,
    })?;
    Ok(format!("---\n{body}"))
}

/// An integer with no width, as Go's `int` comes out.
pub(super) fn plain_integer(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer" })
}

/// A moment in RFC 3339.
pub(super) fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(root) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        {
            root.title = None;
            finish_schema(root);
        }
    }
    if crd.spec.group == IMAGE_GROUP {
        let older: Vec<_> = crd.spec.versions.iter().flat_map(older_versions).collect();
        crd.spec.versions.extend(older);
    }
    crd
}

/// The same under older names. `kubectl apply` passes on what the warning says.
fn older_versions(
    current: &CustomResourceDefinitionVersion,
) -> impl Iterator<Item = CustomResourceDefinitionVersion> {
    OLDER_VERSIONS.into_iter().map(|name| {
        let stored = &current.name;
        CustomResourceDefinitionVersion {
            name: name.to_owned(),
            storage: false,
            deprecated: Some(true),
            deprecation_warning: Some(format!(
                "{IMAGE_GROUP}/{name} is deprecated and still served; {IMAGE_GROUP}/{stored} has the same fields"
            )),
            ..current.clone()
        }
    })
}

/// An absent field and a null one are the same to Flux, because none of its fields is nullable: the API
/// server drops the null and puts the default in its place.
fn finish_schema(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        finish_schema(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => finish_schema(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(finish_schema),
        None => {}
    }
    match &mut schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(value)) => finish_schema(value),
        Some(JSONSchemaPropsOrBool::Bool(_)) | None => {}
    }
}
