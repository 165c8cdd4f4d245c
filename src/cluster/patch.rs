//! Writes to our own kinds: one merge patch on the status, and the removal of a finalizer that others left.
//!
//! A patch carries only what changed, and the object's uid, so that a status never lands on a namesake that was
//! created in between.

use std::fmt::Debug;

use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Error;
use crate::object::Key;

/// The kinds that can be patched here.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug
{
}
impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
{
}

/// Writes the difference between two statuses of `key`, and answers what the API server then holds; `None` when
/// there was no difference, and nothing was asked.
pub async fn status<K: Kind, S: Serialize + Sync>(
    client: &Client,
    key: &Key,
    object: &K,
    before: &S,
    after: &S,
    manager: &str,
) -> Result<Option<K>, Error> {
    let Some(changes) = merge_patch(&to_json(before)?, &to_json(after)?) else {
        return Ok(None);
    };
    let patch = json!({ "metadata": { "uid": object.meta().uid }, "status": changes });
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    let written = api::<K>(client, key)
        .patch_status(&key.name, &params, &Patch::Merge(&patch))
        .await?;
    Ok(Some(written))
}

/// Removes `finalizer` from `object`, leaving others alone; `None` when it was not there. A list of finalizers
/// that changed in between is a [`Error::Conflict`].
pub async fn remove_finalizer<K: Kind>(
    client: &Client,
    key: &Key,
    object: &K,
    finalizer: &str,
    manager: &str,
) -> Result<Option<K>, Error> {
    if !object.finalizers().iter().any(|one| one == finalizer) {
        return Ok(None);
    }
    let kept: Vec<&String> = object
        .finalizers()
        .iter()
        .filter(|one| *one != finalizer)
        .collect();
    let patch = json!({ "metadata": {
        "uid": object.meta().uid,
        "resourceVersion": object.meta().resource_version,
        "finalizers": kept,
    }});
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    let written = api::<K>(client, key)
        .patch(&key.name, &params, &Patch::Merge(&patch))
        .await?;
    Ok(Some(written))
}

/// The RFC 7386 patch that leads from `before` to `after`; `None` when they are equal.
pub fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Some(after.clone());
    };
    let mut changes = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        changes.insert(name.clone(), Value::Null);
    }
    for (name, value) in after {
        match before.get(name) {
            Some(known) => {
                if let Some(change) = merge_patch(known, value) {
                    changes.insert(name.clone(), change);
                }
            }
            None => {
                changes.insert(name.clone(), value.clone());
            }
        }
    }
    Some(Value::Object(changes))
}

fn to_json<S: Serialize>(status: &S) -> Result<Value, Error> {
    serde_json::to_value(status).map_err(|source| Error::Encode { source })
}

fn api<K: Kind>(client: &Client, key: &Key) -> Api<K> {
    Api::namespaced(client.clone(), &key.namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_holds_only_what_changed() {
        for (before, after, expected) in [
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1}), json!({"a": 2}), Some(json!({"a": 2}))),
            (
                json!({"a": 1, "b": 2}),
                json!({"b": 2}),
                Some(json!({"a": null})),
            ),
            (json!(null), json!({"a": 1}), Some(json!({"a": 1}))),
            (
                json!({"r": {"x": 1, "y": [1]}}),
                json!({"r": {"x": 1, "y": [2]}}),
                Some(json!({"r": {"y": [2]}})),
            ),
            (
                json!({}),
                json!({"r": {"x": 1}}),
                Some(json!({"r": {"x": 1}})),
            ),
        ] {
            assert_eq!(
                merge_patch(&before, &after),
                expected,
                "{before} -> {after}"
            );
        }
    }
}
