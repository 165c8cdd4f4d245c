//! The schemas: what `schemars` says of the Rust types, reduced to what the two dialects take.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Dialect;
use crate::api::tag_query::{self, TagQuery};
use crate::api::tags::{GROUP, ImageTagList, TagSetList, VERSION};
use crate::apiserver::kind::Kind;

/// The prefix of our own schemas' names.
pub(super) const OURS: &str = "dev.tagscope.tags.v1alpha1.";
/// The prefix of the metadata's.
pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Every schema by its name.
pub(super) fn schemas(dialect: Dialect) -> BTreeMap<String, Value> {
    let mut generator = SchemaSettings::draft07().into_generator();
    generator.subschema_for::<ImageTagList>();
    generator.subschema_for::<TagSetList>();
    generator.subschema_for::<TagQuery>();
    generator.subschema_for::<APIResourceList>();
    let mut schemas: BTreeMap<String, Value> = generator
        .take_definitions(true)
        .into_iter()
        .map(|(name, schema)| (name, reduced(dialect, schema)))
        .collect();
    for kind in Kind::ALL {
        for name in [kind.name(), kind.list_name()] {
            let identity = json!([{"group": GROUP, "version": VERSION, "kind": name}]);
            extend(
                &mut schemas,
                &format!("{OURS}{name}"),
                None,
                "x-kubernetes-group-version-kind",
                identity,
            );
        }
    }
    let identity = json!([{"group": GROUP, "version": VERSION, "kind": tag_query::KIND}]);
    extend(
        &mut schemas,
        &format!("{OURS}{}", tag_query::KIND),
        None,
        "x-kubernetes-group-version-kind",
        identity,
    );
    let identity = json!([{"group": "", "version": "v1", "kind": "APIResourceList"}]);
    let list = format!("{META}APIResourceList");
    extend(
        &mut schemas,
        &list,
        None,
        "x-kubernetes-group-version-kind",
        identity,
    );
    // What upstream's own definitions have besides: a definition that differs would be kept twice.
    for (name, field, key, value) in [
        (
            "ObjectMeta",
            Some("finalizers"),
            "x-kubernetes-list-type",
            json!("set"),
        ),
        (
            "ObjectMeta",
            Some("finalizers"),
            "x-kubernetes-patch-strategy",
            json!("merge"),
        ),
        (
            "ObjectMeta",
            Some("managedFields"),
            "x-kubernetes-list-type",
            json!("atomic"),
        ),
        (
            "ObjectMeta",
            Some("ownerReferences"),
            "x-kubernetes-list-map-keys",
            json!(["uid"]),
        ),
        (
            "ObjectMeta",
            Some("ownerReferences"),
            "x-kubernetes-list-type",
            json!("map"),
        ),
        (
            "ObjectMeta",
            Some("ownerReferences"),
            "x-kubernetes-patch-merge-key",
            json!("uid"),
        ),
        (
            "ObjectMeta",
            Some("ownerReferences"),
            "x-kubernetes-patch-strategy",
            json!("merge"),
        ),
        (
            "OwnerReference",
            None,
            "x-kubernetes-map-type",
            json!("atomic"),
        ),
        (
            "APIResource",
            None,
            "required",
            json!(["name", "singularName", "namespaced", "kind", "verbs"]),
        ),
        (
            "APIResource",
            Some("categories"),
            "x-kubernetes-list-type",
            json!("atomic"),
        ),
        (
            "APIResource",
            Some("shortNames"),
            "x-kubernetes-list-type",
            json!("atomic"),
        ),
        (
            "APIResourceList",
            Some("resources"),
            "x-kubernetes-list-type",
            json!("atomic"),
        ),
    ] {
        extend(&mut schemas, &format!("{META}{name}"), field, key, value);
    }
    schemas
}

fn extend(
    schemas: &mut BTreeMap<String, Value>,
    name: &str,
    field: Option<&str>,
    key: &str,
    value: Value,
) {
    let schema = schemas.get_mut(name);
    let place = match field {
        None => schema,
        Some(field) => schema.and_then(|schema| schema.get_mut("properties")?.get_mut(field)),
    };
    if let Some(Value::Object(place)) = place {
        place.insert(key.to_owned(), value);
    }
}

/// Strips what is JSON Schema but not OpenAPI: meta keywords, `null` as a type, optional references as choices.
fn reduced(dialect: Dialect, schema: Value) -> Value {
    let mut members = match schema {
        Value::Object(members) => members,
        // `true`, which means any value.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Value::Object(Map::new());
        }
    };
    for dropped in ["$schema", "title", "default"] {
        members.remove(dropped);
    }
    if let Some(Value::Array(types)) = members.get("type") {
        let kept = types
            .iter()
            .find(|kind| *kind != "null")
            .cloned()
            .unwrap_or(Value::Null);
        members.insert("type".to_owned(), kept);
    }
    // An optional reference is a choice between it and null; one with a description is a sum of one.
    for combined in ["anyOf", "allOf"] {
        if let Some(Value::Array(choices)) = members.remove(combined) {
            let mut choices = choices.into_iter();
            let kept = choices.find(|choice| choice.get("type") != Some(&json!("null")));
            if let Some(Value::Object(kept)) = kept {
                members.extend(kept);
            }
        }
    }
    if let Some(Value::String(description)) = members.get_mut("description") {
        *description = unwrapped(description);
    }
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for property in properties.values_mut() {
            *property = reduced(dialect, property.take());
        }
    }
    for nested in ["items", "additionalProperties"] {
        if let Some(schema) = members.get_mut(nested) {
            *schema = reduced(dialect, schema.take());
        }
    }
    let name = members
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.strip_prefix("#/definitions/"));
    if let Some(reference) = name.map(|name| dialect.reference(name)) {
        members.remove("$ref");
        if dialect == Dialect::V3 && !members.is_empty() {
            members.insert("allOf".to_owned(), json!([reference]));
        } else if let Value::Object(reference) = reference {
            members.extend(reference);
        }
    }
    Value::Object(members)
}

/// Joins the lines of a paragraph, as a doc comment has them, and keeps the paragraphs apart.
fn unwrapped(text: &str) -> String {
    let paragraphs: Vec<String> = text
        .split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "))
        .collect();
    paragraphs.join("\n\n")
}
