//! What manifests say is what is read, and what they leave out is safe.

use std::collections::BTreeMap;

use kube::CustomResourceExt as _;
use serde_json::json;

use super::*;

fn spec(json: serde_json::Value) -> ImageMirrorSpec {
    serde_json::from_value(json).unwrap()
}

#[test]
fn what_is_left_out_is_safe() {
    let spec = spec(json!({
        "sourceRef": {"name": "app"},
        "destinations": [{"name": "a", "registry": "r.example"}],
        "overwrite": {}, "prune": {}, "platforms": {"include": ["linux/amd64"]}, "interval": "0s",
    }));
    assert_eq!(spec.effective_interval(), Duration::from_mins(10));
    assert_eq!(spec.effective_verify_interval(), Duration::from_hours(24));
    assert_eq!(spec.overwrite.unwrap().mode, OverwriteMode::Never);
    assert_eq!(spec.platforms.unwrap().mode, PlatformMode::Rewritten);
    let prune = spec.prune.unwrap();
    assert!(!prune.enabled);
    assert_eq!(prune.effective_grace(), Duration::from_hours(24));
    assert_eq!(prune.max_delete_percent(), 10);
    let destination = &spec.destinations[0];
    assert_eq!(destination.effective_template(), "{host}/{path}");
    assert!(!destination.insecure && !spec.referrers && !spec.suspend);
}

#[test]
fn an_interval_of_nothing_verifies_every_time() {
    for (interval, effective) in [
        (None, Duration::from_hours(24)),
        (Some("0s"), Duration::ZERO),
        (Some("0h0m"), Duration::ZERO),
        (Some("1h"), Duration::from_hours(1)),
    ] {
        let spec = spec(json!({
            "sourceRef": {"name": "app"}, "destinations": [], "verifyInterval": interval,
        }));
        assert_eq!(spec.effective_verify_interval(), effective, "{interval:?}");
    }
}

#[test]
fn a_whole_spec_reads_back_as_it_was_written() {
    let whole = json!({
        "sourceRef": {"selector": {"matchLabels": {"team": "a"},
            "matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}, "namespace": "images"},
        "tags": {"filterTags": {"pattern": "^v(.*)$", "extract": "$1"}, "policy": {"semver": {"range": "1.x"}}, "limit": 3},
        "destinations": [{"name": "a", "registry": "r.example:5000/m", "repositoryTemplate": "{name}",
            "secretRef": {"name": "s"}, "certSecretRef": {"name": "c"}, "proxySecretRef": {"name": "p"}, "insecure": true}],
        "platforms": {"include": ["linux/amd64"], "mode": "Sparse"},
        "referrers": true,
        "overwrite": {"mode": "MutableTagsOnly", "mutable": ["^edge-"]},
        "prune": {"enabled": true, "grace": "48h0m0s", "maxDeleteFraction": "5%"},
        "interval": "5m0s", "verifyInterval": "12h0m0s", "bandwidth": "50MiB", "suspend": true,
    });
    assert_eq!(serde_json::to_value(spec(whole.clone())).unwrap(), whole);
}

#[test]
fn what_a_newer_schema_admits_blinds_nobody() {
    let spec = spec(json!({
        "sourceRef": {"name": "app"}, "destinations": [],
        "overwrite": {"mode": "OnTuesdays"}, "platforms": {"include": [], "mode": "Shuffled"},
    }));
    assert_eq!(spec.overwrite.unwrap().mode, OverwriteMode::Unknown);
    assert_eq!(spec.platforms.unwrap().mode, PlatformMode::Unknown);
}

#[test]
fn a_fraction_that_is_none_deletes_nothing() {
    for (text, percent) in [
        ("0%", 0),
        ("7%", 7),
        ("100%", 100),
        ("101%", 0),
        ("7", 0),
        ("", 0),
        ("-1%", 0),
    ] {
        let prune = Prune {
            max_delete_fraction: Some(text.to_owned()),
            ..Prune::default()
        };
        assert_eq!(prune.max_delete_percent(), percent, "{text}");
    }
}

#[test]
fn selectors_mean_what_kubernetes_means() {
    let labels: BTreeMap<String, String> = [("team", "a"), ("env", "prod")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    for (selector, selected) in [
        (json!({}), true),
        (json!({"matchLabels": {"team": "a"}}), true),
        (json!({"matchLabels": {"team": "b"}}), false),
        (json!({"matchLabels": {"team": "a", "zone": "x"}}), false),
        (
            json!({"matchExpressions": [{"key": "env", "operator": "In", "values": ["dev", "prod"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["x"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["x"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "env", "operator": "Exists"}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "env", "operator": "Gt", "values": ["1"]}]}),
            false,
        ),
    ] {
        let parsed: ObjectSelector = serde_json::from_value(selector.clone()).unwrap();
        assert_eq!(parsed.selects(&labels), selected, "{selector}");
    }
}

#[test]
fn the_definition_is_the_one_that_was_decided() {
    let crd = ImageMirror::crd();
    assert_eq!(
        crd.metadata.name.as_deref(),
        Some("imagemirrors.mirror.tagscope.dev")
    );
    let names = &crd.spec.names;
    assert_eq!(
        (names.kind.as_str(), names.plural.as_str()),
        ("ImageMirror", "imagemirrors")
    );
    assert_eq!(
        names.short_names.as_deref(),
        Some(&["imirror".to_owned()][..])
    );
    assert_eq!(crd.spec.versions[0].name, "v1alpha1");
    let schema = crd.spec.versions[0]
        .schema
        .as_ref()
        .unwrap()
        .open_api_v3_schema
        .as_ref()
        .unwrap();
    let spec = &schema.properties.as_ref().unwrap()["spec"];
    assert_eq!(
        spec.required.as_deref(),
        Some(&["destinations".to_owned(), "sourceRef".to_owned()][..])
    );
    let fields: Vec<&str> = spec
        .properties
        .as_ref()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        [
            "bandwidth",
            "destinations",
            "interval",
            "overwrite",
            "platforms",
            "prune",
            "referrers",
            "sourceRef",
            "sourceSecretRef",
            "suspend",
            "tags",
            "verifyInterval",
        ]
    );
    let mut rules = Vec::new();
    collect_rules(spec, &mut rules);
    assert_eq!(rules.len(), 7, "{rules:?}");
}

fn collect_rules(
    schema: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps,
    rules: &mut Vec<String>,
) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray;
    rules.extend(
        schema
            .x_kubernetes_validations
            .iter()
            .flatten()
            .map(|rule| rule.rule.clone()),
    );
    schema
        .properties
        .iter()
        .flatten()
        .for_each(|(_, property)| collect_rules(property, rules));
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        collect_rules(item, rules);
    }
}
