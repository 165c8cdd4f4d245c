//! Defaults, and what decoding forgives.

use super::*;

fn spec(json: serde_json::Value) -> ImageRepositorySpec {
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_scan_gets_its_timeout_else_its_interval_and_at_least_a_second() {
    let rows = [
        (serde_json::json!({"interval": "5m"}), 300),
        (serde_json::json!({"interval": "5m", "timeout": "20s"}), 20),
        (serde_json::json!({"interval": "5m", "timeout": "20ms"}), 1),
        (serde_json::json!({"interval": "10ms"}), 1),
        (serde_json::json!({}), 1),
        (serde_json::json!({"interval": "24h"}), 600),
        (
            serde_json::json!({"interval": "24h", "timeout": "30m"}),
            1800,
        ),
        (
            serde_json::json!({"interval": "24h", "timeout": "24h"}),
            3600,
        ),
    ];
    for (json, seconds) in rows {
        assert_eq!(
            spec(json.clone()).scan_timeout(),
            Duration::from_secs(seconds),
            "{json}"
        );
    }
}

#[test]
fn an_empty_exclusion_list_means_the_default() {
    assert_eq!(
        spec(serde_json::json!({})).effective_exclusion_list(),
        [DEFAULT_EXCLUSION]
    );
    assert_eq!(
        spec(serde_json::json!({"exclusionList": []})).effective_exclusion_list(),
        [DEFAULT_EXCLUSION]
    );
    assert_eq!(
        spec(serde_json::json!({"exclusionList": ["x"]})).effective_exclusion_list(),
        ["x"]
    );
}

#[test]
fn an_object_of_another_time_still_decodes() {
    let object: ImageRepository = serde_json::from_value(serde_json::json!({
        "apiVersion": "image.toolkit.fluxcd.io/v1",
        "kind": "ImageRepository",
        "metadata": {"name": "odd", "namespace": "default"},
        "spec": {"provider": "somewhere", "interval": "99999999999h", "fromTheFuture": {"a": 1}},
        "status": {"observedGeneration": -1, "lastScanResult": {"tagCount": 3}},
    }))
    .unwrap();
    assert_eq!(object.spec.provider, Provider::Unknown);
    assert_eq!(object.spec.image, "");
    let status = object.status.unwrap();
    assert_eq!(status.observed_generation, Some(-1));
    assert_eq!(status.last_scan_result.unwrap().tag_count, 3);
}

#[test]
fn a_status_is_written_with_flux_s_names() {
    let status = ImageRepositoryStatus {
        observed_generation: Some(2),
        canonical_image_name: Some("docker.io/library/alpine".to_owned()),
        last_scan_result: Some(ScanResult {
            revision: "1234".to_owned(),
            tag_count: 2,
            scan_time: Some(Time("2026-01-02T03:04:05.678Z".parse().unwrap())),
            latest_tags: vec!["b".to_owned(), "a".to_owned()],
        }),
        observed_exclusion_list: vec![DEFAULT_EXCLUSION.to_owned()],
        last_handled_reconcile_at: Some("now".to_owned()),
        conditions: Vec::new(),
    };
    assert_eq!(
        serde_json::to_value(status).unwrap(),
        serde_json::json!({
            "observedGeneration": 2,
            "canonicalImageName": "docker.io/library/alpine",
            "lastScanResult": {
                "revision": "1234",
                "tagCount": 2,
                "scanTime": "2026-01-02T03:04:05Z",
                "latestTags": ["b", "a"],
            },
            "observedExclusionList": ["^.*\\.sig$"],
            "lastHandledReconcileAt": "now",
        })
    );
}
