//! Mirrors over objects and Secrets of a small cluster: what they may copy, with whose credentials, or why not.

mod waits;

use std::convert::Infallible;

use base64::Engine as _;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::api::{ImagePolicy, names};
use crate::clock::SystemClock;
use crate::cluster::index::Touched;
use crate::control::Settings;
use crate::store::{Candidate, Dating, Owner, Scan, Store};

/// What no message may say.
const HIDDEN: &str = "hunter2";

type Objects<K> = Mutex<BTreeMap<Key, Found<K>>>;

struct World {
    context: Context,
    /// What the API server has, by path.
    served: Arc<Mutex<BTreeMap<String, Value>>>,
    repositories: Objects<ImageRepository>,
    policies: Objects<ImagePolicy>,
    mirrors: Objects<ImageMirror>,
}

fn key(text: &str) -> Key {
    let (namespace, name) = text.split_once('/').unwrap();
    Key::new(namespace, name)
}

impl World {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let served: Arc<Mutex<BTreeMap<String, Value>>> = Arc::default();
        for (name, team) in [("apps", "a"), ("images", "b")] {
            let namespace = json!({ "metadata": { "name": name, "labels": { "team": team } } });
            let path = format!("/api/v1/namespaces/{name}");
            served.lock().insert(path, namespace);
        }
        let kube = served.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let path = request.uri().path().to_owned();
            let name = path.rsplit('/').next().unwrap_or_default();
            let found = kube.lock().get(&path).cloned();
            let status = if found.is_some() { 200 } else { 404 };
            let missing = json!({
                "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
                "message": format!("secrets \"{name}\" not found"),
            });
            let body = Body::from(found.unwrap_or(missing).to_string().into_bytes());
            let answer = http::Response::builder().status(status).body(body);
            async move { Ok::<_, Infallible>(answer.unwrap()) }
        });
        let clock = Arc::new(SystemClock);
        let store = Store::in_memory(clock.clone());
        let client = Client::new(service, "default");
        let world = Self {
            context: Context::alone(client, store, clock, settings),
            served,
            repositories: Mutex::default(),
            policies: Mutex::default(),
            mirrors: Mutex::default(),
        };
        world.context.repositories.know([]);
        world.context.policies.know([]);
        world
    }

    fn pull_secret(&self, name: &str, user: &str) {
        let auths = json!({ "auths": {
            "registry.test": { "username": user, "password": HIDDEN },
            "mirror.test": { "username": user, "password": HIDDEN },
        }});
        self.secret(
            name,
            "kubernetes.io/dockerconfigjson",
            &[(".dockerconfigjson", &auths.to_string())],
        );
    }

    fn secret(&self, name: &str, kind: &str, data: &[(&str, &str)]) {
        let name = key(name);
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let data: BTreeMap<_, _> = data
            .iter()
            .map(|(key, text)| (*key, encode(text)))
            .collect();
        let secret = json!({
            "metadata": { "name": &*name.name, "uid": "u", "resourceVersion": "7" },
            "type": kind, "data": data,
        });
        let path = format!(
            "/api/v1/namespaces/{}/secrets/{}",
            name.namespace, name.name
        );
        self.served.lock().insert(path, secret);
    }

    /// An ImageRepository, and its tags in the store if it has any.
    fn repository(&self, name: &str, fields: Value, tags: &[&str]) {
        let mut fields = fields;
        if fields.get("image").is_none() {
            fields["image"] = format!("registry.test/o/{}", key(name).name).into();
        }
        let spec = serde_json::from_value(fields).unwrap();
        self.put_repository(name, ImageRepository::new(&key(name).name, spec));
        if !tags.is_empty() {
            self.scan(name, tags);
        }
    }

    fn put_repository(&self, name: &str, mut object: ImageRepository) {
        let uid = object.metadata.uid.get_or_insert_with(|| "uid".to_owned());
        assert!(!uid.is_empty());
        self.repositories
            .lock()
            .insert(key(name), Found::Object(Arc::new(object)));
        self.context
            .repositories
            .know(self.repositories.lock().clone());
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut ImageRepository)) {
        let Some(Found::Object(object)) = self.repositories.lock().get(&key(name)).cloned() else {
            panic!("no {name}");
        };
        let mut object = (*object).clone();
        change(&mut object);
        self.put_repository(name, object);
    }

    fn annotate(&self, name: &str, namespaces: &str) {
        self.change(name, |object| {
            let annotations = object.metadata.annotations.get_or_insert_default();
            annotations.insert(names::MIRROR_ALLOW_FROM.to_owned(), namespaces.to_owned());
        });
    }

    fn scan(&self, name: &str, tags: &[&str]) {
        let found = self.context.repositories.find(&key(name)).object().unwrap();
        let scan = Scan {
            owner: Owner {
                key: key(name),
                uid: found.metadata.uid.clone().unwrap(),
                created: Timestamp::UNIX_EPOCH,
                labels: BTreeMap::new(),
            },
            image: found.spec.image.parse().unwrap(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            aside: vec![],
            revision: "r".into(),
            time: Timestamp::UNIX_EPOCH,
            complete: true,
            dating: Dating::AtFirst,
        };
        self.context.store.commit_scan(scan).unwrap();
    }

    fn policy(&self, name: &str, source: &str, latest: Option<(&str, &str)>) {
        let source = key(source);
        let spec = json!({
            "imageRepositoryRef": { "name": &*source.name, "namespace": &*source.namespace },
            "policy": { "semver": { "range": "*" } },
        });
        let mut object = ImagePolicy::new(&key(name).name, serde_json::from_value(spec).unwrap());
        let latest = latest.map(|(name, tag)| json!({ "latestRef": { "name": name, "tag": tag } }));
        object.status = latest.map(|status| serde_json::from_value(status).unwrap());
        self.policies
            .lock()
            .insert(key(name), Found::Object(Arc::new(object)));
        self.context.policies.know(self.policies.lock().clone());
    }

    fn candidate(&self, policy: &str, repository: &str, image: &str, tag: &str) {
        let candidate = Candidate {
            repository: key(repository),
            image: image.parse().unwrap(),
            tag: tag.parse().unwrap(),
        };
        self.context
            .store
            .board()
            .put_candidate(&key(policy), Some(candidate));
    }

    fn mirror(&self, name: &str, fields: Value) {
        let mut all = json!({ "destinations": [{ "name": "copy", "registry": "mirror.test" }] });
        let Value::Object(fields) = fields else {
            panic!("{fields}")
        };
        for (name, value) in fields {
            all[name] = value;
        }
        let object = ImageMirror::new(&key(name).name, serde_json::from_value(all).unwrap());
        let touched = Touched {
            key: key(name),
            before: Found::Absent,
            after: Found::Object(Arc::new(object)),
        };
        self.mirrors.lock().insert(key(name), touched.after.clone());
        self.context.mirrors.know(self.mirrors.lock().clone());
        sources::noted(&self.context, &touched);
    }

    async fn gather(&self, name: &str) -> Facts {
        let Gathered::Object(facts) = gather(&self.context, &key(name)).await else {
            panic!("no object");
        };
        for trouble in &facts.troubles {
            assert!(!trouble.message.contains(HIDDEN), "{}", trouble.message);
        }
        let shown = format!("{facts:?}");
        assert!(!shown.contains(HIDDEN), "{shown}");
        *facts
    }

    /// What is told of a mirror that copies nothing.
    async fn trouble(&self, name: &str) -> Trouble {
        let mut facts = self.gather(name).await;
        assert!(facts.sources.is_empty(), "{:?}", facts.sources);
        assert_eq!(facts.troubles.len(), 1, "{:?}", facts.troubles);
        facts.troubles.remove(0)
    }

    /// Its only source.
    async fn source(&self, name: &str) -> Source {
        let mut facts = self.gather(name).await;
        assert_eq!(facts.troubles, []);
        assert_eq!(facts.sources.len(), 1, "{:?}", facts.sources);
        facts.sources.remove(0)
    }
}

fn from(name: &str) -> Value {
    let key = key(name);
    json!({ "name": &*key.name, "namespace": &*key.namespace })
}

fn user(place: &Place) -> Option<String> {
    use crate::secret::Credential;
    place
        .access
        .credential
        .as_ref()
        .map(|credential| match credential {
            Credential::Basic { username, .. } => username.clone(),
            other => panic!("{other:?}"),
        })
}

fn tags(source: &Source) -> Vec<&str> {
    source.tags.iter().map(Tag::as_str).collect()
}

fn everybody() -> Value {
    json!({ "namespaceSelectors": [{}] })
}

#[tokio::test]
async fn in_its_own_namespace_a_mirror_uses_what_the_repository_has() {
    let world = World::new();
    world.pull_secret("apps/pull", "reader");
    world.pull_secret("apps/push", "writer");
    world.pull_secret("apps/other", "other");
    let hex = "0123456789abcdef".repeat(4);
    let signature = format!("sha256-{hex}.sig");
    let fields = json!({ "secretRef": { "name": "pull" }, "suspend": true });
    world.repository("apps/app", fields, &["1.0.0", "2.0.0", &signature]);
    let destinations = json!([
        { "name": "one", "registry": "mirror.test", "secretRef": { "name": "push" } },
        { "name": "two", "registry": "other.test/x", "repositoryTemplate": "{name}", "insecure": true },
    ]);
    world.mirror(
        "apps/m",
        json!({ "sourceRef": { "name": "app" }, "destinations": destinations }),
    );
    let source = world.source("apps/m").await;
    assert_eq!(tags(&source), ["2.0.0", "1.0.0"]);
    assert_eq!(user(&source.from).as_deref(), Some("reader"));
    let to: Vec<_> = source
        .to
        .iter()
        .map(|to| to.repository.to_string())
        .collect();
    assert_eq!(to, ["mirror.test/registry.test/o/app", "other.test/x/app"]);
    assert_eq!(user(&source.to[0]).as_deref(), Some("writer"));
    assert_eq!(
        (user(&source.to[1]), source.to[1].access.insecure),
        (None, true)
    );
    // The mirror's own goes before it.
    world.mirror(
        "apps/m",
        json!({
            "sourceRef": { "name": "app" }, "sourceSecretRef": { "name": "other" },
        }),
    );
    let source = world.source("apps/m").await;
    assert_eq!(user(&source.from).as_deref(), Some("other"));
}

#[tokio::test]
async fn another_namespace_lends_names_and_its_owner_lends_credentials() {
    let world = World::new();
    world.pull_secret("images/pull", "reader");
    world.pull_secret("apps/own", "own");
    let secret = json!({ "name": "pull" });
    world.repository("images/app", json!({ "secretRef": secret }), &["1.0.0"]);
    world.mirror("apps/m", json!({ "sourceRef": from("images/app") }));
    let trouble = world.trouble("apps/m").await;
    assert_eq!(trouble.reason, reason::ACCESS_DENIED);
    let words =
        "access denied: 'images/app' can't be accessed due to missing ACL labels on 'accessFrom'";
    assert_eq!(trouble.message, words);
    // An owner's annotation does not stand in for accessFrom.
    world.annotate("images/app", "apps");
    assert_eq!(world.trouble("apps/m").await.message, words);
    let others = json!({ "namespaceSelectors": [{ "matchLabels": { "team": "z" } }] });
    world.repository(
        "images/app",
        json!({ "secretRef": secret, "accessFrom": others }),
        &[],
    );
    let trouble = world.trouble("apps/m").await;
    assert!(
        trouble
            .message
            .contains("ACL labels mismatch on namespace 'apps'"),
        "{trouble:?}"
    );

    world.repository(
        "images/app",
        json!({ "secretRef": secret, "accessFrom": everybody() }),
        &[],
    );
    let trouble = world.trouble("apps/m").await;
    assert_eq!(
        (trouble.reason, trouble.cure),
        (reason::ACCESS_DENIED, Cure::Retry)
    );
    assert!(
        trouble.message.contains("spec.sourceSecretRef"),
        "{trouble:?}"
    );
    world.annotate("images/app", "web,apps");
    assert_eq!(
        user(&world.source("apps/m").await.from).as_deref(),
        Some("reader")
    );
    world.annotate("images/app", "web");
    world.mirror(
        "apps/m",
        json!({
            "sourceRef": from("images/app"), "sourceSecretRef": { "name": "own" },
        }),
    );
    assert_eq!(
        user(&world.source("apps/m").await.from).as_deref(),
        Some("own")
    );
    // Where there is nothing to lend, nothing is needed.
    world.repository(
        "images/open",
        json!({ "accessFrom": everybody() }),
        &["1.0.0"],
    );
    world.mirror("apps/m", json!({ "sourceRef": from("images/open") }));
    assert_eq!(user(&world.source("apps/m").await.from), None);
}

#[tokio::test]
async fn a_flag_ends_references_to_other_namespaces() {
    let world = World::with(Settings {
        no_cross_namespace_refs: true,
        ..Settings::default()
    });
    world.repository(
        "images/app",
        json!({ "accessFrom": everybody() }),
        &["1.0.0"],
    );
    world.annotate("images/app", "*");
    world.repository("apps/app", json!({}), &["1.0.0"]);
    world.policy(
        "images/stable",
        "apps/app",
        Some(("registry.test/o/app", "1.0.0")),
    );
    world.mirror("apps/m", json!({ "sourceRef": from("images/app") }));
    let trouble = world.trouble("apps/m").await;
    let words =
        "cannot access 'ImageRepository/images/app', cross-namespace references have been blocked";
    assert_eq!(
        (trouble.reason, &*trouble.message),
        (reason::ACCESS_DENIED, words)
    );
    let policies = json!([{ "name": "stable", "namespace": "images" }]);
    world.mirror(
        "apps/m",
        json!({
            "sourceRef": { "name": "app" }, "tags": { "imagePolicyRefs": policies },
        }),
    );
    let facts = world.gather("apps/m").await;
    assert!(
        facts.troubles[0].message.contains("have been blocked"),
        "{:?}",
        facts.troubles
    );
    assert!(facts.sources[0].tags.is_empty());
}

#[tokio::test]
async fn a_selector_takes_what_it_can_and_tells_of_the_rest() {
    let world = World::new();
    let label = |name: &str, team: &str| {
        world.change(name, |object| {
            object.metadata.labels = Some([("team".to_owned(), team.to_owned())].into());
        });
    };
    for name in ["a", "b", "c", "d"] {
        let name = format!("apps/{name}");
        world.repository(&name, json!({}), &["1.0.0", "2.0.0", "x"]);
        label(&name, if name == "apps/d" { "other" } else { "web" });
    }
    world.change("apps/b", |object| object.spec.image = "https://x".into());
    world.repository("images/e", json!({}), &["1.0.0"]);
    world.mirror(
        "apps/m",
        json!({
            "sourceRef": { "selector": { "matchLabels": { "team": "web" } } },
            "tags": { "policy": { "semver": { "range": "*" } }, "limit": 1 },
        }),
    );
    let facts = world.gather("apps/m").await;
    let found: Vec<_> = facts
        .sources
        .iter()
        .map(|source| (source.repository.to_string(), tags(source)))
        .collect();
    let expected = ["apps/a", "apps/c"].map(|name| (name.to_owned(), vec!["2.0.0"]));
    assert_eq!(found, expected);
    assert_eq!(facts.troubles.len(), 1);
    assert_eq!(facts.troubles[0].reason, reason::IMAGE_URL_INVALID);
    assert_eq!(
        sources::mirrors_of(&world.context, &key("apps/a")),
        [key("apps/m")]
    );
    assert_eq!(sources::mirrors_of(&world.context, &key("apps/d")), []);
    // It was a source, and is none any more: the mirror has to hear of that.
    label("apps/a", "other");
    assert_eq!(
        sources::mirrors_of(&world.context, &key("apps/a")),
        [key("apps/m")]
    );
}

#[tokio::test]
async fn what_only_the_spec_can_mend_is_final() {
    let world = World::new();
    world.repository("apps/app", json!({}), &["1.0.0"]);
    let destination = |fields: Value| {
        let mut all = json!({ "name": "copy", "registry": "mirror.test" });
        let Value::Object(fields) = fields else {
            panic!("{fields}")
        };
        for (name, value) in fields {
            all[name] = value;
        }
        json!({ "destinations": [all] })
    };
    let rows = [
        (
            destination(json!({ "repositoryTemplate": "{x}" })),
            reason::INVALID_SPEC,
            "spec.destinations[0].repositoryTemplate: ",
        ),
        (
            destination(json!({ "registry": "a b" })),
            reason::INVALID_SPEC,
            "spec.destinations[0]: ",
        ),
        (
            destination(json!({ "registry": "registry.test", "repositoryTemplate": "{path}" })),
            reason::INVALID_SPEC,
            "spec.destinations[0]: leads to the source itself",
        ),
        (
            json!({ "tags": { "filterTags": { "pattern": "(" } } }),
            reason::INVALID_POLICY,
            "spec.tags: ",
        ),
        (
            json!({ "tags": { "policy": { "semver": { "range": "x.y" } } } }),
            reason::INVALID_POLICY,
            "spec.tags: ",
        ),
        (
            json!({ "tags": { "limit": 2 } }),
            reason::INVALID_POLICY,
            "spec.tags: limit needs a policy",
        ),
    ];
    for (mut fields, reason, begin) in rows {
        fields["sourceRef"] = json!({ "name": "app" });
        world.mirror("apps/m", fields);
        let trouble = world.trouble("apps/m").await;
        assert_eq!(
            (trouble.reason, trouble.cure),
            (reason, Cure::Change),
            "{trouble:?}"
        );
        assert!(trouble.message.starts_with(begin), "{trouble:?}");
    }
    world.mirror(
        "apps/m",
        json!({
            "sourceRef": { "name": "app" }, "platforms": { "include": ["x"] },
        }),
    );
    let facts = world.gather("apps/m").await;
    let trouble = facts.how.unwrap_err();
    assert!(
        trouble.cure == Cure::Change && trouble.message.starts_with("spec.platforms.include[0]: "),
        "{trouble:?}"
    );
}
