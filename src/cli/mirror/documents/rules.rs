//! What schemas say in CEL, and lists that are maps: how fields have to go together. Held where the schema has them, in the
//! schema's own words.
//!
//! There is no CEL here: each rule has its counterpart, by its text. A test finds those that have none.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::schema::Schema;

/// What a rule holds of the value that it stands at.
type Rule = fn(&Fields<'_>) -> bool;

/// Rules and what they mean.
const RULES: [(&str, Rule); 9] = [
    ("has(self.name) != has(self.selector)", |it| {
        it.has("name") != it.has("selector")
    }),
    (
        "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
        |it| (it.is("operator", "In") || it.is("operator", "NotIn")) == it.has_items("values"),
    ),
    ("!has(self.limit) || has(self.policy)", |it| {
        !it.has("limit") || it.has("policy")
    }),
    (
        "!has(self.imagePolicyRefs) || size(self.imagePolicyRefs) == 0 || (!has(self.filterTags) && !has(self.policy) && !has(self.limit))",
        |it| {
            let others = ["filterTags", "policy", "limit"];
            !it.has_items("imagePolicyRefs") || !others.iter().any(|name| it.has(name))
        },
    ),
    (
        "!has(self.mutable) || size(self.mutable) == 0 || (has(self.mode) && self.mode == 'MutableTagsOnly')",
        |it| !it.has_items("mutable") || it.is("mode", "MutableTagsOnly"),
    ),
    (
        "!has(self.interval) || (has(self.digestReflectionPolicy) && self.digestReflectionPolicy == 'Always')",
        |it| !it.has("interval") || it.is("digestReflectionPolicy", "Always"),
    ),
    (
        "has(self.interval) || !has(self.digestReflectionPolicy) || self.digestReflectionPolicy != 'Always'",
        |it| it.has("interval") || !it.is("digestReflectionPolicy", "Always"),
    ),
    ("!self.registry.contains('://')", |it| {
        it.text("registry")
            .is_none_or(|registry| !registry.contains("://"))
    }),
    (
        r"!has(self.repositoryTemplate) || self.repositoryTemplate.matches(r'^([a-z0-9._/-]|\{(host|path|name)\})+$')",
        |it| it.text("repositoryTemplate").is_none_or(is_template),
    ),
];

fn is_template(text: &str) -> bool {
    let placeholders = ["{host}", "{path}", "{name}"];
    let plain = placeholders
        .into_iter()
        .fold(text.to_owned(), |text, one| text.replace(one, "-"));
    let is_known =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._/-".contains(&byte);
    !plain.is_empty() && plain.bytes().all(is_known)
}

/// The fields of an object; a null is as good as absent.
struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn has_items(&self, name: &str) -> bool {
        let items = self.get(name).and_then(Value::as_array);
        items.is_some_and(|items| !items.is_empty())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    fn is(&self, name: &str, text: &str) -> bool {
        self.text(name) == Some(text)
    }
}

/// Tells `report` which rules a value that is well formed breaks, and at which field.
pub(super) fn check(
    schema: &Schema,
    value: &Value,
    path: &str,
    report: &mut dyn FnMut(&str, String),
) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let known = RULES.iter().find(|(text, _)| *text == rule.rule);
        if known.is_some_and(|(_, is_kept)| !is_kept(&Fields(value))) {
            let message = rule.message.as_ref().unwrap_or(&rule.rule);
            // Some messages begin with the field themselves.
            let message = message.strip_prefix("spec.").unwrap_or(message);
            report(path, message.to_owned());
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                let own = schema.properties.as_ref().and_then(|all| all.get(name));
                let any = match &schema.additional_properties {
                    Some(JSONSchemaPropsOrBool::Schema(schema)) => Some(&**schema),
                    Some(JSONSchemaPropsOrBool::Bool(_)) | None => None,
                };
                if let Some(schema) = own.or(any) {
                    check(schema, value, &format!("{path}.{name}"), report);
                }
            }
        }
        Value::Array(items) => {
            let keys = schema.x_kubernetes_list_map_keys.iter().flatten();
            let keys: Vec<&str> = keys.map(String::as_str).collect();
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                let named = keys.iter().map(|key| {
                    let value = item.get(key).unwrap_or(&Value::Null);
                    value.to_string()
                });
                let name: Vec<String> = named.collect();
                let shown = name.join(", ");
                if !keys.is_empty() && !seen.insert(name) {
                    let path = format!("{path}.{}", keys.join(", "));
                    report(&path, format!("is {shown}, as that of another one"));
                }
                if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
                    check(schema, item, &path, report);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
