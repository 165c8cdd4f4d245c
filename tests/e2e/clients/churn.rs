//! Tags, repositories and policies that come and go at random, and the model of what has to be served in the end.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::harness::eventually;
use crate::it::fake_registry::{FakeRegistry, Fault};
use crate::restart::Dice;
use crate::world::SOON;

/// How many repositories come and go.
const REPOSITORIES: u64 = 6;
/// About how many tags a repository has.
const TAGS: u64 = 24;
const RANGES: [&str; 4] = ["*", "1.x", "<1.10", ">=1.5"];

/// A registry whose content changes at random, and the objects that make tagscope read it.
pub(crate) struct Churn {
    pub(crate) registry: FakeRegistry,
    pub(crate) dice: Dice,
    namespace: String,
    /// Repository → the tags that the registry has; no entry: there is no ImageRepository.
    scanned: BTreeMap<String, BTreeSet<String>>,
    next: u64,
}

impl Churn {
    /// Nothing yet.
    pub(crate) async fn new(namespace: &str) -> Self {
        Self {
            registry: FakeRegistry::start().await,
            dice: Dice::new(),
            namespace: namespace.to_owned(),
            scanned: BTreeMap::new(),
            next: 0,
        }
    }

    /// Every repository, with a policy.
    pub(crate) async fn begin(&mut self, client: &kube::Client) -> Result<(), kube::Error> {
        for number in 0..REPOSITORIES {
            self.create(client, &repository(number)).await?;
        }
        Ok(())
    }

    /// One random change. An error is the API server's: what was asked of it may or may not have happened, and
    /// [`Self::settle`] makes sure of it.
    pub(crate) async fn step(&mut self, client: &kube::Client) -> Result<(), kube::Error> {
        let name = repository(self.dice.below(REPOSITORIES));
        if !self.scanned.contains_key(&name) {
            return self.create(client, &name).await;
        }
        match self.dice.below(20) {
            0 => {
                let api = repositories(client, &self.namespace);
                self.scanned.remove(&name);
                return api.delete(&name, &DeleteParams::default()).await.map(drop);
            }
            1 | 2 => {
                let at = usize::try_from(self.dice.below(4)).unwrap();
                let range = RANGES[at];
                let policy = json!({"spec": {"policy": {"semver": {"range": range}}}});
                return merge(&policies(client, &self.namespace), &name, &policy).await;
            }
            3 => self.registry.fail_times(
                usize::try_from(1 + self.dice.below(3)).unwrap(),
                Fault::Status(503),
            ),
            _ => {}
        }
        let tags = self.scanned.get_mut(&name).unwrap();
        for _ in 0..=self.dice.below(4) {
            let surplus = tags.len() as u64 > self.dice.below(2 * TAGS);
            let old: Vec<String> = tags.iter().cloned().collect();
            if surplus && old.len() > 1 {
                let at = usize::try_from(self.dice.below(old.len() as u64)).unwrap();
                tags.remove(&old[at]);
                self.registry.delete_tag(&name, &old[at]);
            } else {
                self.next += 1;
                // Some come back under the name that they had.
                let tag = format!("1.{}.{}", self.next % 20, self.next % 7);
                self.registry.push(&name, &tag);
                tags.insert(tag);
            }
        }
        self.request(client, &name).await
    }

    /// Has everything scanned once more, and waits until exactly what the registry has is served.
    pub(crate) async fn settle(&mut self, client: &kube::Client) {
        self.registry.heal();
        eventually(SOON * 2, "a scan of everything is asked for", || {
            self.assure(client)
        })
        .await;
        let sets = api(
            client,
            &self.namespace,
            "tags.tagscope.dev",
            "v1alpha1",
            "TagSet",
        );
        eventually(SOON * 4, "what the registry has is served", || async {
            let list = sets.list(&ListParams::default()).await;
            let list = list.map_err(|e| e.to_string())?;
            let served: BTreeMap<String, BTreeSet<String>> = list
                .items
                .into_iter()
                .map(|set| {
                    let tags = serde_json::from_value(set.data["tags"].clone()).unwrap();
                    (set.metadata.name.unwrap(), tags)
                })
                .collect();
            if served == self.scanned {
                Ok(())
            } else {
                Err(format!("served {served:?}\nmodel {:?}", self.scanned))
            }
        })
        .await;
    }

    /// Makes sure of the objects, whatever became of requests whose answers were lost, and has all of them scanned.
    async fn assure(&self, client: &kube::Client) -> Result<(), kube::Error> {
        let api = repositories(client, &self.namespace);
        for found in api.list(&ListParams::default()).await?.items {
            let name = found.metadata.name.unwrap();
            if !self.scanned.contains_key(&name) {
                api.delete(&name, &DeleteParams::default()).await?;
            }
        }
        for name in self.scanned.keys() {
            self.apply(client, name).await?;
            self.request(client, name).await?;
        }
        Ok(())
    }

    /// How many tags the model has.
    pub(crate) fn tags(&self) -> u64 {
        self.scanned.values().map(|tags| tags.len() as u64).sum()
    }

    async fn create(&mut self, client: &kube::Client, name: &str) -> Result<(), kube::Error> {
        let tags: BTreeSet<String> = (0..TAGS)
            .map(|n| format!("1.{}.{}", n % 20, n % 7))
            .collect();
        self.registry
            .add_repository(name, tags.iter().cloned().chain(["latest".to_owned()]));
        self.scanned.insert(
            name.to_owned(),
            tags.into_iter().chain(["latest".to_owned()]).collect(),
        );
        self.apply(client, name).await
    }

    /// The ImageRepository and its policy, unless they are there.
    async fn apply(&self, client: &kube::Client, name: &str) -> Result<(), kube::Error> {
        let object = json!({
            "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository",
            "metadata": {"name": name},
            "spec": {"image": self.registry.image(name), "interval": "1h"},
        });
        create(&repositories(client, &self.namespace), object).await?;
        let object = json!({
            "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy",
            "metadata": {"name": name},
            "spec": {"imageRepositoryRef": {"name": name}, "policy": {"semver": {"range": "*"}}},
        });
        create(&policies(client, &self.namespace), object).await
    }

    /// Asks for a scan, as `flux reconcile` does.
    async fn request(&self, client: &kube::Client, name: &str) -> Result<(), kube::Error> {
        let token = uuid::Uuid::new_v4().to_string();
        let annotations = json!({"reconcile.fluxcd.io/requestedAt": token});
        let patch = json!({"metadata": {"annotations": annotations}});
        merge(&repositories(client, &self.namespace), name, &patch).await
    }
}

fn repository(number: u64) -> String {
    format!("app-{number}")
}

fn api(
    client: &kube::Client,
    namespace: &str,
    group: &str,
    version: &str,
    kind: &str,
) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, version, kind);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind))
}

fn repositories(client: &kube::Client, namespace: &str) -> Api<DynamicObject> {
    let group = "image.toolkit.fluxcd.io";
    api(client, namespace, group, "v1", "ImageRepository")
}

fn policies(client: &kube::Client, namespace: &str) -> Api<DynamicObject> {
    let group = "image.toolkit.fluxcd.io";
    api(client, namespace, group, "v1", "ImagePolicy")
}

async fn create(api: &Api<DynamicObject>, object: Value) -> Result<(), kube::Error> {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    match api.create(&PostParams::default(), &object).await {
        // It was left by a repository that is gone, or made by a request whose answer was lost.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        outcome => outcome.map(drop),
    }
}

async fn merge(api: &Api<DynamicObject>, name: &str, patch: &Value) -> Result<(), kube::Error> {
    let patched = api
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    patched.map(drop)
}
