//! Holds a value to the schema of its definition, as an API server does when it is asked to be strict: types, what is
//! required, what is allowed, and no field that there is not. Rules in CEL are held by `rules`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;
use serde_json::Value;

use crate::api::{ImageMirror, ImagePolicy, ImageRepository};
use crate::regexp::Regexp;

pub(super) use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps as Schema;

/// Deeper nesting than any schema's.
const MOST_DEPTH: usize = 32;

/// The schemas of the kinds' specs.
#[derive(Debug)]
pub(super) struct Schemas {
    pub(super) mirror: Option<Schema>,
    pub(super) repository: Option<Schema>,
    pub(super) policy: Option<Schema>,
}

impl Schemas {
    pub(super) fn new() -> Self {
        Self {
            mirror: spec_of(ImageMirror::crd()),
            repository: spec_of(ImageRepository::crd()),
            policy: spec_of(ImagePolicy::crd()),
        }
    }
}

fn spec_of(definition: CustomResourceDefinition) -> Option<Schema> {
    let version = definition.spec.versions.into_iter().next()?;
    let root = version.schema?.open_api_v3_schema?;
    root.properties?.remove("spec")
}

/// Tells `report` what is wrong with `value`, and with which field.
pub(super) fn check(
    schema: &Schema,
    value: &Value,
    path: &str,
    report: &mut dyn FnMut(&str, String),
) {
    check_at(schema, value, path, MOST_DEPTH, report);
}

fn check_at(
    schema: &Schema,
    value: &Value,
    path: &str,
    depth: usize,
    report: &mut dyn FnMut(&str, String),
) {
    let Some(depth) = depth.checked_sub(1) else {
        report(path, "is nested too deep".to_owned());
        return;
    };
    let kind = schema.type_.as_deref().unwrap_or_default();
    if !is_of(kind, value) {
        report(
            path,
            format!("has to be {}, and is {}", named(kind), name_of(value)),
        );
        return;
    }
    if let Some(allowed) = &schema.enum_ {
        // An optional enumeration lists null as well.
        let allowed: Vec<&Value> = allowed
            .iter()
            .map(|it| &it.0)
            .filter(|it| !it.is_null())
            .collect();
        if !allowed.contains(&value) {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            report(
                path,
                format!("is {value}, and has to be one of {}", allowed.join(", ")),
            );
        }
    }
    match value {
        Value::Object(fields) => {
            for name in schema.required.iter().flatten() {
                if fields.get(name).is_none_or(Value::is_null) {
                    report(&format!("{path}.{name}"), "is required".to_owned());
                }
            }
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                let property = schema.properties.as_ref().and_then(|known| known.get(name));
                match (property, &schema.additional_properties) {
                    // A null is an absent field.
                    _ if value.is_null() => {}
                    (Some(property), _) => check_at(property, value, &path, depth, report),
                    (None, Some(JSONSchemaPropsOrBool::Schema(schema))) => {
                        check_at(schema, value, &path, depth, report);
                    }
                    (None, Some(JSONSchemaPropsOrBool::Bool(true))) => {}
                    (None, Some(JSONSchemaPropsOrBool::Bool(false)) | None) => {
                        report(&path, "is no field that there is".to_owned());
                    }
                }
            }
        }
        Value::Array(items) => {
            let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
            bounds(
                count,
                schema.min_items,
                schema.max_items,
                "items",
                path,
                report,
            );
            if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    check_at(schema, item, &format!("{path}[{index}]"), depth, report);
                }
            }
        }
        Value::String(text) => {
            let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            bounds(
                count,
                schema.min_length,
                schema.max_length,
                "characters",
                path,
                report,
            );
            if let Some(pattern) = &schema.pattern
                && Regexp::new(pattern).is_ok_and(|regexp| !regexp.is_match(text))
            {
                report(path, format!("is {value}, which does not match {pattern}"));
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let is_low = schema.minimum.is_some_and(|least| number < least);
            let is_high = schema.maximum.is_some_and(|most| number > most);
            if is_low || is_high {
                report(path, format!("is {value}, which is out of range"));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn bounds(
    count: i64,
    least: Option<i64>,
    most: Option<i64>,
    of: &str,
    path: &str,
    report: &mut dyn FnMut(&str, String),
) {
    if let Some(least) = least.filter(|least| count < *least) {
        report(
            path,
            format!("has {count} {of}, and needs {least} at least"),
        );
    }
    if let Some(most) = most.filter(|most| count > *most) {
        report(path, format!("has {count} {of}, more than {most}"));
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn named(kind: &str) -> &str {
    match kind {
        "object" => "an object",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        other => other,
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The same without fields that are null, which are as good as absent.
pub(in crate::cli::mirror) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}
