//! No rule of a definition is without its counterpart, and none here without its rule.

use kube::CustomResourceExt as _;
use serde_json::json;

use super::super::schema::Schemas;
use super::*;
use crate::api::{ImageMirror, ImagePolicy, ImageRepository};

/// Every rule below `schema`, wherever a schema can have one.
fn collect<'a>(schema: &'a Schema, rules: &mut BTreeSet<&'a str>) {
    let own = schema.x_kubernetes_validations.iter().flatten();
    rules.extend(own.map(|rule| rule.rule.as_str()));
    for property in schema.properties.iter().flatten().map(|(_, it)| it) {
        collect(property, rules);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        collect(item, rules);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &schema.additional_properties {
        collect(value, rules);
    }
    let several = [&schema.all_of, &schema.any_of, &schema.one_of];
    for schema in several.into_iter().flatten().flatten() {
        collect(schema, rules);
    }
}

#[test]
fn every_rule_of_the_definitions_has_its_counterpart() {
    let definitions = [
        ImageMirror::crd(),
        ImageRepository::crd(),
        ImagePolicy::crd(),
    ];
    let mut said = BTreeSet::new();
    for definition in &definitions {
        for version in &definition.spec.versions {
            let schema = version.schema.as_ref().unwrap();
            collect(schema.open_api_v3_schema.as_ref().unwrap(), &mut said);
        }
    }
    // What is installed has other versions besides.
    let installed = crate::api::crds();
    for definition in installed.iter().filter(|it| {
        let plural = it.spec.names.plural.as_str();
        matches!(
            plural,
            "imagepolicies" | "imagerepositories" | "imagemirrors"
        )
    }) {
        for version in &definition.spec.versions {
            let schema = version.schema.as_ref().unwrap();
            collect(schema.open_api_v3_schema.as_ref().unwrap(), &mut said);
        }
    }
    let held: BTreeSet<&str> = RULES.iter().map(|(text, _)| *text).collect();
    assert_eq!(said, held);
    // And they are where `check` passes by.
    let Schemas {
        mirror,
        repository,
        policy,
    } = Schemas::new();
    let specs = [mirror.unwrap(), repository.unwrap(), policy.unwrap()];
    let mut in_specs = BTreeSet::new();
    for schema in &specs {
        collect(schema, &mut in_specs);
    }
    assert_eq!(in_specs, held);
}

#[test]
fn rules_mean_what_they_say() {
    let rule = |beginning: &str| {
        let mut found = RULES.iter().filter(|(text, _)| text.starts_with(beginning));
        let (_, rule) = found.next().unwrap();
        assert!(found.next().is_none());
        rule
    };
    for (beginning, value, is_kept) in [
        ("has(self.name)", json!({"name": "a"}), true),
        (
            "has(self.name)",
            json!({"name": null, "selector": {}}),
            true,
        ),
        ("has(self.name)", json!({}), false),
        (
            "(self.operator",
            json!({"operator": "In", "values": ["a"]}),
            true,
        ),
        (
            "(self.operator",
            json!({"operator": "NotIn", "values": []}),
            false,
        ),
        ("(self.operator", json!({"operator": "Exists"}), true),
        (
            "(self.operator",
            json!({"operator": "Exists", "values": ["a"]}),
            false,
        ),
        ("!has(self.limit)", json!({"limit": 1}), false),
        (
            "!has(self.imagePolicyRefs)",
            json!({"imagePolicyRefs": [], "limit": 1}),
            true,
        ),
        (
            "!has(self.imagePolicyRefs)",
            json!({"imagePolicyRefs": [{}], "policy": {}}),
            false,
        ),
        ("!has(self.mutable)", json!({"mutable": ["a"]}), false),
        (
            "!has(self.mutable)",
            json!({"mutable": ["a"], "mode": "MutableTagsOnly"}),
            true,
        ),
        ("!has(self.interval)", json!({"interval": "1m"}), false),
        (
            "!has(self.interval)",
            json!({"interval": "1m", "digestReflectionPolicy": "Always"}),
            true,
        ),
        (
            "has(self.interval)",
            json!({"digestReflectionPolicy": "Always"}),
            false,
        ),
        (
            "has(self.interval)",
            json!({"digestReflectionPolicy": "Never"}),
            true,
        ),
        ("has(self.interval)", json!({}), true),
    ] {
        assert_eq!(
            rule(beginning)(&Fields(&value)),
            is_kept,
            "{beginning} {value}"
        );
    }
}
