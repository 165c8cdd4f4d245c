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

#[test]
fn the_latest_image_follows_the_reference_but_is_no_reason_to_write() {
    let status =
        |tag: Option<&str>, image: Option<&str>, handled: Option<&str>| ImagePolicyStatus {
            latest_ref: tag.map(|tag| ImageRef {
                name: "ghcr.io/o/r".to_owned(),
                tag: tag.to_owned(),
                digest: Some("sha256:ab".to_owned()),
            }),
            latest_image: image.map(str::to_owned),
            last_handled_reconcile_at: handled.map(str::to_owned),
            ..ImagePolicyStatus::default()
        };
    let rows = [
        // Nothing else to write: neither filled in nor put right.
        (status(None, None, None), status(None, None, None), None),
        (
            status(Some("1"), None, None),
            status(Some("1"), None, None),
            None,
        ),
        (
            status(Some("1"), Some("x:0"), None),
            status(Some("1"), Some("x:0"), None),
            Some("x:0"),
        ),
        // Something is.
        (
            status(None, None, None),
            status(Some("1"), None, None),
            Some("ghcr.io/o/r:1"),
        ),
        (
            status(Some("1"), Some("ghcr.io/o/r:1"), None),
            status(Some("2"), Some("ghcr.io/o/r:1"), None),
            Some("ghcr.io/o/r:2"),
        ),
        (
            status(Some("1"), None, None),
            status(Some("1"), None, Some("now")),
            Some("ghcr.io/o/r:1"),
        ),
        (
            status(Some("1"), Some("ghcr.io/o/r:1"), None),
            status(None, Some("ghcr.io/o/r:1"), None),
            None,
        ),
    ];
    for (before, after, expected) in rows {
        let shown = format!("{before:?} -> {after:?}");
        let written = after.with_latest_image(&before);
        assert_eq!(written.latest_image.as_deref(), expected, "{shown}");
    }
}
