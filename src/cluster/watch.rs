//! Follows one kind: list, then watch, forever, into an [`Index`], telling a listener about every object touched.
//!
//! One undecodable object does not hide the others, and a broken watch is resumed or listed anew with a growing
//! delay. Nothing here filters: what a change means is the listener's business.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::Api;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::index::{self, Found, Index, Touched};
use super::with_causes;
use crate::object::Key;

/// Which objects of a kind are followed.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// One namespace only; `None`: all of them.
    pub namespace: Option<String>,
    /// A label selector, e.g. `sharding.fluxcd.io/key=shard1`.
    pub label_selector: Option<String>,
}

/// Follows `K` into `index` until dropped. `listener` is called, in order, for everything that is heard; a list is
/// told as one batch.
pub async fn follow<K, L, F>(client: Client, scope: Scope, index: Index<K>, mut listener: L)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
    L: FnMut(Vec<Touched<K>>) -> F,
    F: Future<Output = ()>,
{
    let api: Api<DeserializeGuard<K>> = match &scope.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut config = watcher::Config::default();
    if let Some(selector) = &scope.label_selector {
        config = config.labels(selector);
    }
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut listed = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(guarded)) => {
                let (key, found) = read(guarded);
                listed.insert(key, found);
            }
            Ok(Event::InitDone) => listener(index.replace(std::mem::take(&mut listed))).await,
            Ok(Event::Apply(guarded)) => {
                let (key, found) = read(guarded);
                listener(vec![index.apply(key, found)]).await;
            }
            Ok(Event::Delete(guarded)) => {
                let (key, _) = read(guarded);
                listener(vec![index.remove(key)]).await;
            }
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), error = with_causes(&error), "Failed to watch, retrying");
            }
        }
    }
}

fn read<K: Resource<DynamicType = ()>>(guarded: DeserializeGuard<K>) -> (Key, Found<K>) {
    let key = Key::new(guarded.namespace().unwrap_or_default(), guarded.name_any());
    match guarded.0 {
        Ok(mut object) => {
            index::slim(&mut object);
            (key, Found::Object(Arc::new(object)))
        }
        Err(invalid) => {
            tracing::error!(kind = %K::kind(&()), object = %key, error = invalid.error, "Failed to decode an object");
            (key, Found::Unreadable)
        }
    }
}
