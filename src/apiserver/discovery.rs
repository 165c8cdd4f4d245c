//! The discovery documents: which groups, versions, resources and verbs are served.
//!
//! They depend on nothing but the build, so that every replica sends the same bytes, whatever the registries do.

use serde_json::{Value, json};

use crate::api::tag_query;
use crate::api::tags::{API_VERSION, GROUP, VERSION};
use crate::apiserver::kind::Kind;

/// What works on every kind that is listed; `delete` is absent, which keeps namespace deletion, garbage collection and quota away.
pub const VERBS: [&str; 3] = ["get", "list", "watch"];

/// What works on queries: they are answered and forgotten.
pub const QUERY_VERBS: [&str; 1] = ["create"];

/// `APIGroupList`, at `/apis`.
pub fn groups() -> Value {
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group_members()]})
}

/// `APIGroup`, at `/apis/<group>`.
pub fn group() -> Value {
    let mut group = json!({"kind": "APIGroup", "apiVersion": "v1"});
    if let (Value::Object(group), Value::Object(members)) = (&mut group, group_members()) {
        group.extend(members);
    }
    group
}

/// `APIResourceList`, at `/apis/<group>/<version>`.
pub fn resources() -> Value {
    let resources: Vec<Value> = Kind::ALL
        .iter()
        .map(|kind| {
            json!({
                "name": kind.plural(),
                "singularName": kind.singular(),
                "namespaced": true,
                "kind": kind.name(),
                "verbs": VERBS,
                "shortNames": [kind.short_name()],
            })
        })
        .chain([json!({
            "name": tag_query::PLURAL,
            "singularName": tag_query::SINGULAR,
            "namespaced": true,
            "kind": tag_query::KIND,
            "verbs": QUERY_VERBS,
        })])
        .collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION, "resources": resources})
}

/// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`, at `/apis`.
pub fn aggregated() -> Value {
    let resources: Vec<Value> = Kind::ALL
        .iter()
        .map(|kind| {
            json!({
                "resource": kind.plural(),
                "responseKind": {"group": GROUP, "version": VERSION, "kind": kind.name()},
                "scope": "Namespaced",
                "singularResource": kind.singular(),
                "verbs": VERBS,
                "shortNames": [kind.short_name()],
            })
        })
        .chain([json!({
            "resource": tag_query::PLURAL,
            "responseKind": {"group": GROUP, "version": VERSION, "kind": tag_query::KIND},
            "scope": "Namespaced",
            "singularResource": tag_query::SINGULAR,
            "verbs": QUERY_VERBS,
        })])
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [{
            "metadata": {"name": GROUP},
            "versions": [{"version": VERSION, "resources": resources, "freshness": "Current"}],
        }],
    })
}

fn group_members() -> Value {
    let version = json!({"groupVersion": API_VERSION, "version": VERSION});
    json!({"name": GROUP, "versions": [version], "preferredVersion": version})
}
