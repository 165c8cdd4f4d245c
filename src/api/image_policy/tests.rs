//! Defaults, and what decoding forgives.

use super::*;

fn spec(rest: &serde_json::Value) -> ImagePolicySpec {
    let mut json = serde_json::json!({"imageRepositoryRef": {"name": "podinfo"}, "policy": {}});
    json.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    serde_json::from_value(json).unwrap()
}

#[test]
fn only_a_policy_that_always_reflects_digests_has_an_interval() {
    let rows = [
        (serde_json::json!({}), None),
        (
            serde_json::json!({"digestReflectionPolicy": "Never", "interval": "1m"}),
            None,
        ),
        (
            serde_json::json!({"digestReflectionPolicy": "IfNotPresent"}),
            None,
        ),
        (
            serde_json::json!({"digestReflectionPolicy": "Always", "interval": "1m"}),
            Some(60),
        ),
        (
            serde_json::json!({"digestReflectionPolicy": "Always", "interval": "0s"}),
            Some(600),
        ),
        (
            serde_json::json!({"digestReflectionPolicy": "Always"}),
            Some(600),
        ),
        (
            serde_json::json!({"digestReflectionPolicy": "Sometimes"}),
            None,
        ),
    ];
    for (json, seconds) in rows {
        assert_eq!(
            spec(&json).digest_interval(),
            seconds.map(Duration::from_secs),
            "{json}"
        );
    }
}

#[test]
fn every_choice_decodes() {
    let spec = spec(&serde_json::json!({
        "policy": {"semver": {"range": "1.x"}, "alphabetical": {"order": "desc"}, "numerical": {}},
        "filterTags": {"pattern": "^main-(?P<ts>[0-9]+)$", "extract": "$ts"},
        "suspend": true,
    }));
    assert_eq!(spec.policy.semver.unwrap().range, "1.x");
    assert_eq!(spec.policy.alphabetical.unwrap().order, "desc");
    assert_eq!(spec.policy.numerical.unwrap().order, "");
    assert_eq!(spec.filter_tags.unwrap().extract, "$ts");
    assert!(spec.suspend);
}
