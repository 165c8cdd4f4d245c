//! The workbench: both controllers over the fake API server, the fake registries, and a store, in paused time.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tagscope::clock::Clock;
use tagscope::control::{self, Controllers, Metrics, Settings, World, image_mirror};
use tagscope::object::Key;
use tagscope::registry;
use tagscope::store::Store;
use tagscope::task::{Outcome, Tasks};
use tokio::time::Instant;

use super::fake_images::FakeImages;
use super::fake_kube::{Asked, FakeKube};

pub(super) const REPOSITORIES: &str = "imagerepositories";
pub(super) const POLICIES: &str = "imagepolicies";
pub(super) const IMAGE: &str = "registry.test/o/app";

/// Calendar time that goes with tokio's, so that pausing one pauses the other.
#[derive(Debug)]
struct TokioClock {
    start: Timestamp,
    begin: Instant,
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.start + SignedDuration::try_from(self.begin.elapsed()).expect("a short test")
    }
}

pub(super) struct Bench {
    pub(super) kube: FakeKube,
    pub(super) images: FakeImages,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) controllers: Controllers,
    metrics: Metrics,
    tasks: Tasks,
}

impl Bench {
    pub(super) fn start() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let clock = clock();
        Self::on(
            FakeKube::new(),
            FakeImages::default(),
            Store::in_memory(clock.clone()),
            clock,
            settings,
        )
    }

    pub(super) fn on(
        kube: FakeKube,
        images: FakeImages,
        store: Store,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let registry = Arc::new(images.clone());
        Self::over(registry, kube, images, store, clock, settings)
    }

    /// Over the program's own registry client, in real time.
    pub(super) fn over_the_wire() -> Self {
        let (clock, registry) = (
            clock(),
            registry::Client::new(registry::Settings::default()),
        );
        let (store, images) = (Store::in_memory(clock.clone()), FakeImages::default());
        Self::over(
            Arc::new(registry),
            FakeKube::new(),
            images,
            store,
            clock,
            Settings::default(),
        )
    }

    /// Acts only while `lead` says so.
    pub(super) fn led(lead: control::Lead) -> Self {
        let (clock, images) = (clock(), FakeImages::default());
        let store = Store::in_memory(clock.clone());
        let registry = Arc::new(images.clone());
        let settings = Settings::default();
        Self::all(
            registry,
            FakeKube::new(),
            images,
            store,
            clock,
            settings,
            lead,
        )
    }

    fn over(
        registry: Arc<dyn control::Registry>,
        kube: FakeKube,
        images: FakeImages,
        store: Store,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let lead = control::Lead::always();
        Self::all(registry, kube, images, store, clock, settings, lead)
    }

    fn all(
        registry: Arc<dyn control::Registry>,
        kube: FakeKube,
        images: FakeImages,
        store: Store,
        clock: Arc<dyn Clock>,
        settings: Settings,
        lead: control::Lead,
    ) -> Self {
        let client = kube.client().into();
        let world = World {
            client,
            store,
            registry,
            clock,
            lead,
            settings,
            metrics: Metrics::default(),
            mirroring: None,
        };
        Self::of(world, kube, images)
    }

    /// With mirrors, which are looked at.
    pub(super) fn with_mirrors(
        kube: FakeKube,
        images: FakeImages,
        store: Store,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let mirroring = image_mirror::World {
            registry: registry::Client::new(registry::Settings::default()),
            client: kube.client().into(),
            lead: control::Lead::always(),
            mandate: None,
            events: tagscope::cluster::event::Events::silent(),
            known: Arc::default(),
            state: None,
            settings: image_mirror::Settings::default(),
        };
        let world = World {
            client: kube.client().into(),
            store,
            registry: Arc::new(images.clone()),
            clock,
            lead: control::Lead::always(),
            settings,
            metrics: Metrics::default(),
            mirroring: Some(mirroring),
        };
        Self::of(world, kube, images)
    }

    /// Mirrors over the program's own registry client, which scans too; in real time.
    pub(super) fn mirrors_over_the_wire(mirroring: image_mirror::Settings) -> Self {
        let (kube, clock) = (FakeKube::new(), clock());
        let registry = registry::Client::new(registry::Settings::default());
        let mirroring = image_mirror::World {
            registry: registry.clone(),
            client: kube.client().into(),
            lead: control::Lead::always(),
            mandate: None,
            events: tagscope::cluster::event::Events::silent(),
            known: Arc::default(),
            state: None,
            settings: mirroring,
        };
        let world = World {
            client: kube.client().into(),
            store: Store::in_memory(clock.clone()),
            registry: Arc::new(registry),
            clock,
            lead: control::Lead::always(),
            settings: Settings::default(),
            metrics: Metrics::default(),
            mirroring: Some(mirroring),
        };
        Self::of(world, kube, FakeImages::default())
    }

    fn of(world: World, kube: FakeKube, images: FakeImages) -> Self {
        let tasks = Tasks::new();
        let (store, clock) = (world.store.clone(), world.clock.clone());
        let metrics = world.metrics.clone();
        let controllers = control::start(world, &tasks);
        Self {
            kube,
            images,
            store,
            clock,
            controllers,
            metrics,
            tasks,
        }
    }

    /// How many reconciles of `controller` there were, whatever came of them.
    pub(super) fn reconciles(&self, controller: &str) -> u64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics");
        let series = format!("controller_runtime_reconcile_total{{controller=\"{controller}\"");
        text.lines()
            .filter(|line| line.starts_with(&series))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    }

    /// Stops the controllers and waits until they have ended.
    pub(super) async fn stop(&self) {
        self.tasks.shutdown().cancel();
        while let Some(end) = self.tasks.next_end().await {
            assert_eq!(end.outcome, Outcome::Returned, "{}", end.name);
        }
    }

    /// An ImageRepository `name` in `apps` for [`IMAGE`], with these fields besides.
    pub(super) fn repository(&self, name: &str, fields: Value) {
        let mut spec = json!({ "image": IMAGE, "interval": "5m" });
        for (field, value) in fields.as_object().expect("fields") {
            spec[field] = value.clone();
        }
        self.kube.create(
            REPOSITORIES,
            "apps",
            json!({
                "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository",
                "metadata": { "name": name }, "spec": spec,
            }),
        );
    }

    /// An ImagePolicy `name` in `apps` for versions of `range` in the ImageRepository `repository`.
    pub(super) fn policy(&self, name: &str, repository: &Value, range: &str) {
        self.kube.create(POLICIES, "apps", json!({
            "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy",
            "metadata": { "name": name },
            "spec": { "imageRepositoryRef": repository, "policy": { "semver": { "range": range } } },
        }));
    }

    pub(super) async fn repository_is(&self, name: &str, ready: &str, message: &str) -> Value {
        self.kube
            .wait_for(REPOSITORIES, "apps", name, |object| {
                says(object, ready, message)
            })
            .await
    }

    pub(super) async fn policy_is(&self, name: &str, ready: &str, message: &str) -> Value {
        self.kube
            .wait_for(POLICIES, "apps", name, |object| {
                says(object, ready, message)
            })
            .await
    }

    /// Lets everything that is due happen, and this much time pass.
    pub(super) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Waits until the store is in some state.
    pub(super) async fn until(&self, check: impl Fn(&Self) -> bool) {
        let mut changed = self.store.changed();
        let waiting = async {
            while !check(self) {
                changed.changed().await.expect("an open store");
            }
        };
        tokio::time::timeout(Duration::from_mins(1), waiting)
            .await
            .expect("the store to get there");
    }

    pub(super) async fn settle(&self) {
        self.pass(Duration::from_millis(10)).await;
    }

    /// The writes since the last look.
    pub(super) fn take_writes(&self) -> Vec<Asked> {
        self.kube
            .take_asked()
            .into_iter()
            .filter(Asked::is_write)
            .collect()
    }

    pub(super) fn tags(&self, name: &str) -> Option<Vec<String>> {
        let tags = self.store.snapshot().repository(&Key::new("apps", name))?;
        Some(
            tags.entries_after(None)
                .map(|entry| entry.tag.to_string())
                .collect(),
        )
    }

    /// The tags that policies elect, as `tag by namespace/name`.
    pub(super) fn elected(&self, namespace: &str, name: &str) -> Vec<String> {
        let Some(tags) = self.store.snapshot().repository(&Key::new(namespace, name)) else {
            return vec![];
        };
        tags.selected()
            .flat_map(|entry| {
                entry
                    .selected_by
                    .iter()
                    .map(|by| format!("{} by {by}", entry.tag))
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock {
        start: "2026-05-01T12:00:00Z".parse().expect("a date"),
        begin: Instant::now(),
    })
}

pub(super) fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|one| one["type"] == type_)
}

pub(super) fn says(object: &Value, ready: &str, message: &str) -> bool {
    condition(object, "Ready").is_some_and(|one| {
        one["status"] == ready
            && one["message"]
                .as_str()
                .is_some_and(|text| text.contains(message))
    })
}

pub(super) fn status_patches(writes: &[Asked]) -> usize {
    writes
        .iter()
        .filter(|one| one.method == Method::PATCH && one.path.ends_with("/status"))
        .count()
}

pub(super) fn events(writes: &[Asked]) -> Vec<String> {
    let events = writes.iter().filter(|one| one.path.contains("/events"));
    events
        .map(|one| {
            format!(
                "{} {}",
                one.method,
                one.body["message"].as_str().unwrap_or_default()
            )
        })
        .collect()
}
