//! The index `/`: every path that is served, so that people find their way (OPS-6).

use std::collections::BTreeSet;

use serde_json::json;

use crate::api::tags::{API_VERSION, GROUP};

/// The paths, sorted.
pub(super) fn of(liveness: &[(&str, bool)], readiness: &[(&str, bool)]) -> String {
    let mut paths: BTreeSet<String> = [
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ]
    .map(str::to_owned)
    .into();
    paths.extend([
        format!("/apis/{GROUP}"),
        format!("/apis/{API_VERSION}"),
        format!("/openapi/v3/apis/{API_VERSION}"),
    ]);
    let endpoints = [
        ("healthz", liveness),
        ("livez", liveness),
        ("readyz", readiness),
    ];
    for (endpoint, checks) in endpoints {
        paths.extend(checks.iter().map(|(name, _)| format!("/{endpoint}/{name}")));
    }
    json!({ "paths": paths }).to_string()
}
