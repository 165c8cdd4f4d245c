//! What kube-apiserver's merger and kubectl need of the documents.

use std::collections::BTreeSet;

use super::*;

const KEYWORDS: [&str; 30] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "default",
    "description",
    "discriminator",
    "enum",
    "example",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "xml",
];

fn check(schema: &Value, place: &str, dialect: Dialect) {
    for (key, value) in schema.as_object().unwrap() {
        let known = key.starts_with("x-") || KEYWORDS.contains(&key.as_str());
        assert!(known, "{key} in {place}");
        match key.as_str() {
            "properties" => {
                for (name, property) in value.as_object().unwrap() {
                    check(property, &format!("{place}.{name}"), dialect);
                }
            }
            "items" | "additionalProperties" => check(value, &format!("{place}[]"), dialect),
            "type" => assert!(value.is_string(), "{place}"),
            "$ref" if dialect == Dialect::V3 => {
                assert_eq!(schema.as_object().unwrap().len(), 1, "{place}");
            }
            _ => {}
        }
    }
    if schema.get("type") == Some(&json!("array")) {
        assert!(schema.get("items").is_some(), "{place} has no items");
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.clone());
            }
            members
                .values()
                .for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn schemas_use_only_what_the_protobuf_converter_takes() {
    for (dialect, document, place) in [
        (Dialect::V2, v2(), "/definitions"),
        (Dialect::V3, v3(), "/components/schemas"),
    ] {
        let schemas = document.pointer(place).unwrap().as_object().unwrap();
        assert!(schemas.len() > 8);
        for (name, schema) in schemas {
            check(schema, name, dialect);
        }
    }
}

#[test]
fn every_reference_resolves_and_every_schema_is_reached() {
    for (document, place) in [(v2(), "/definitions"), (v3(), "/components/schemas")] {
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let defined: BTreeSet<String> = document
            .pointer(place)
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .map(|name| format!("#{place}/{name}"))
            .collect();
        assert_eq!(found, defined);
    }
}

/// The one operation of a path.
fn operation(item: &Value) -> &Value {
    let methods = ["get", "post", "patch"];
    methods.iter().find_map(|method| item.get(*method)).unwrap()
}

#[test]
fn kubectl_finds_field_validation_where_it_looks_for_it() {
    for document in [v2(), v3()] {
        let base =
            "/paths/~1apis~1tags.tagscope.dev~1v1alpha1~1namespaces~1{namespace}~1tagqueries";
        let names = |pointer: String| {
            let operation = document.pointer(&pointer).unwrap();
            let parameters = operation.get("parameters").unwrap().as_array().unwrap();
            let names = parameters
                .iter()
                .map(|one| one.get("name").unwrap().as_str().unwrap());
            (
                operation.clone(),
                names.map(str::to_owned).collect::<BTreeSet<String>>(),
            )
        };
        let (patch, parameters) = names(format!("{base}~1{{name}}/patch"));
        assert!(parameters.contains("fieldValidation") && parameters.contains("dryRun"));
        assert_eq!(
            patch
                .pointer("/x-kubernetes-group-version-kind/kind")
                .unwrap(),
            "TagQuery"
        );
        assert!(
            patch
                .get("description")
                .unwrap()
                .as_str()
                .unwrap()
                .contains("always 405")
        );
        let (post, parameters) = names(format!("{base}/post"));
        for name in ["fieldValidation", "dryRun", "fieldManager"] {
            assert!(parameters.contains(name), "{name}");
        }
        assert_eq!(post.get("x-kubernetes-action").unwrap(), "post");
        assert!(post.pointer("/responses/201").is_some());
        let shared = document.pointer(&format!("{base}/parameters")).unwrap();
        assert!(shared.to_string().contains("\"pretty\""));
    }
}

#[test]
fn paths_stay_under_the_group_version_and_name_their_kind() {
    let prefix = "/apis/tags.tagscope.dev/v1alpha1/";
    for document in [v2(), v3()] {
        let paths = document.get("paths").unwrap().as_object().unwrap();
        assert_eq!(paths.len(), 9);
        for (path, item) in paths {
            assert!(path.starts_with(prefix), "{path}");
            let operation = operation(item);
            if path != prefix {
                assert!(
                    operation
                        .pointer("/x-kubernetes-group-version-kind/kind")
                        .unwrap()
                        .is_string(),
                    "{path}"
                );
                assert!(
                    operation.get("x-kubernetes-action").unwrap().is_string(),
                    "{path}"
                );
            }
            for answer in operation
                .get("responses")
                .unwrap()
                .as_object()
                .unwrap()
                .values()
            {
                assert!(answer.get("description").is_some(), "{path}");
            }
        }
        let ids: BTreeSet<&str> = paths
            .values()
            .map(|item| {
                operation(item)
                    .get("operationId")
                    .unwrap()
                    .as_str()
                    .unwrap()
            })
            .collect();
        assert_eq!(ids.len(), paths.len());
    }
}

#[test]
fn the_field_selector_names_its_fields() {
    for document in [v2(), v3()] {
        let paths = document.get("paths").unwrap().as_object().unwrap();
        let list = paths
            .get("/apis/tags.tagscope.dev/v1alpha1/imagetags")
            .unwrap();
        let parameters = |value: &Value| {
            let all = value.get("parameters").and_then(Value::as_array).cloned();
            all.unwrap_or_default()
        };
        let selector = [parameters(list), parameters(operation(list))]
            .concat()
            .into_iter()
            .find(|parameter| parameter["name"] == "fieldSelector")
            .unwrap();
        let description = selector["description"].as_str().unwrap();
        for label in crate::apiserver::kind::Kind::ImageTag.field_labels() {
            assert!(description.contains(label), "{label} in {description}");
        }
    }
}

#[test]
fn explain_finds_selected_by_with_its_words() {
    let document = v3();
    let schemas = document.pointer("/components/schemas").unwrap();
    let tag = schemas.get("dev.tagscope.tags.v1alpha1.ImageTag").unwrap();
    assert_eq!(
        tag.get("x-kubernetes-group-version-kind").unwrap(),
        &json!([{"group": "tags.tagscope.dev", "version": "v1alpha1", "kind": "ImageTag"}])
    );
    let selected_by = tag.pointer("/properties/selectedBy").unwrap();
    assert_eq!(selected_by.get("type").unwrap(), "array");
    assert!(
        selected_by
            .get("description")
            .unwrap()
            .as_str()
            .unwrap()
            .contains("ImagePolicies that elect")
    );
    assert!(
        selected_by.pointer("/items/$ref").is_some()
            || selected_by.pointer("/items/allOf/0/$ref").is_some()
    );
}

#[test]
fn every_field_of_ours_is_described() {
    let document = v2();
    for (name, schema) in document.get("definitions").unwrap().as_object().unwrap() {
        if !name.starts_with(schemas::OURS) {
            continue;
        }
        assert!(schema.get("description").is_some(), "{name}");
        for (field, property) in schema.get("properties").unwrap().as_object().unwrap() {
            let words = property.get("description").and_then(Value::as_str);
            assert!(
                words.is_some_and(|words| !words.contains('\n')),
                "{name}.{field}: {words:?}"
            );
        }
    }
}
