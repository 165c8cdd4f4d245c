//! A source, a destination, a cluster with one ImageRepository, and the controllers over all three.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tagscope::clock::{SharedClock, SystemClock};
use tagscope::cluster::event::{self, Patience};
use tagscope::control::image_mirror;
use tagscope::control::{self, Lead, Limits, Metrics, Settings, World};
use tagscope::object::Key;
use tagscope::registry;
use tagscope::state::State;
use tagscope::store::{Mirrored, Store};
use tagscope::task::{Outcome, Tasks};

use super::super::bench::{REPOSITORIES, says};
use super::super::fake_kube::{Asked, FakeKube};
use crate::fake_registry::{FakeRegistry, Request};

pub(super) const MIRRORS: &str = "imagemirrors";

/// What is kept from one start of the program to the next.
pub(super) struct Rig {
    pub(super) kube: FakeKube,
    pub(super) source: FakeRegistry,
    pub(super) destination: FakeRegistry,
    pub(super) clock: SharedClock,
    /// What the program is told besides.
    pub(super) settings: Settings,
    disk: tempfile::TempDir,
    program: Option<Program>,
}

/// The running program.
struct Program {
    store: Store,
    tasks: Tasks,
}

impl Rig {
    /// With an ImageRepository `app`, whose image is `team/app` of the source.
    pub(super) async fn start() -> Self {
        Self::by(Arc::new(SystemClock)).await
    }

    pub(super) async fn by(clock: SharedClock) -> Self {
        let mut rig = Self::prepare(clock).await;
        rig.run();
        rig
    }

    /// Everything but the program.
    pub(super) async fn prepare(clock: SharedClock) -> Self {
        let rig = Self {
            kube: FakeKube::new(),
            source: FakeRegistry::start().await,
            destination: FakeRegistry::start().await,
            clock,
            settings: Settings::default(),
            disk: tempfile::tempdir().unwrap(),
            program: None,
        };
        rig.repository("app");
        rig
    }

    /// An ImageRepository of this name, whose image is the source's `team/NAME`.
    pub(super) fn repository(&self, name: &str) {
        let image = self.source.image(&format!("team/{name}"));
        self.kube.create(
            REPOSITORIES,
            "apps",
            json!({
                "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository", "metadata": { "name": name },
                "spec": { "image": image, "interval": "1h", "insecure": true },
            }),
        );
    }

    /// Starts the program.
    pub(super) fn run(&mut self) {
        let path = |name: &str| self.disk.path().join(name);
        let store = Store::open(&path("tags"), 0, self.clock.clone()).unwrap();
        let client = registry::Client::new(registry::Settings {
            patience: registry::Patience {
                first_wait: Duration::from_millis(5),
                ..registry::Patience::default()
            },
            ..registry::Settings::default()
        });
        let (tasks, metrics) = (Tasks::new(), Metrics::default());
        let (events, recorder) = event::recorder(
            self.kube.client(),
            event::Settings {
                component: "tagscope".into(),
                address: None,
                patience: Patience::default(),
                clock: self.clock.clone(),
                observer: Arc::new(metrics.clone()),
            },
        );
        let until = tasks.shutdown().clone();
        tasks.spawn(
            "mirror-events",
            recorder.run(
                async move { until.cancelled().await },
                Duration::from_secs(1),
            ),
        );
        let opened = State::open(&path("mirror")).unwrap();
        let mirroring = image_mirror::World {
            registry: client.clone(),
            client: self.kube.client().into(),
            lead: Lead::always(),
            mandate: None,
            events,
            known: Arc::new(opened.known),
            state: Some(Arc::new(opened.state)),
            settings: image_mirror::Settings::default(),
        };
        let world = World {
            client: self.kube.client().into(),
            store: store.clone(),
            registry: Arc::new(client),
            clock: self.clock.clone(),
            lead: Lead::always(),
            settings: Settings {
                retry: Limits {
                    min: Duration::from_millis(20),
                    max: Duration::from_millis(300),
                },
                ..self.settings.clone()
            },
            metrics,
            mirroring: Some(mirroring),
        };
        control::start(world, &tasks);
        self.program = Some(Program { store, tasks });
    }

    /// Ends the program in order.
    pub(super) async fn stop(&mut self) {
        let Program { store, tasks } = self.program.take().expect("a running program");
        tasks.shutdown().cancel();
        while let Some(end) = tasks.next_end().await {
            assert_eq!(end.outcome, Outcome::Returned, "{}", end.name);
        }
        store.close().await.unwrap();
    }

    /// Where the program keeps what it keeps.
    pub(super) fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// Loses what is known of destinations.
    pub(super) fn lose_state(&self) {
        let path: &Path = &self.disk.path().join("mirror");
        std::fs::remove_dir_all(path).unwrap();
    }

    pub(super) fn store(&self) -> &Store {
        &self.program.as_ref().expect("a running program").store
    }

    /// A mirror `app` of the repository `app`, into `mirror/team/app`, with these fields besides.
    pub(super) fn mirror(&self, fields: Value) {
        let mut spec = json!({
            "sourceRef": { "name": "app" },
            "destinations": [{
                "name": "main", "insecure": true,
                "registry": format!("{}/mirror", self.destination.plain_host()),
                "repositoryTemplate": "{path}",
            }],
        });
        for (field, value) in fields.as_object().expect("fields") {
            spec[field] = value.clone();
        }
        self.kube.create(
            MIRRORS,
            "apps",
            json!({
                "apiVersion": "mirror.tagscope.dev/v1alpha1", "kind": "ImageMirror",
                "metadata": { "name": "app" }, "spec": spec,
            }),
        );
    }

    pub(super) fn edit(&self, spec: Value) {
        self.kube
            .edit(MIRRORS, "apps", "app", json!({ "spec": spec }));
    }

    /// The mirror's object when its Ready says so.
    pub(super) async fn is(&self, ready: &str, message: &str) -> Value {
        let is_so = |object: &Value| {
            let is_over = super::super::bench::condition(object, "Reconciling").is_none();
            says(object, ready, message) && (ready == "False" || is_over)
        };
        self.kube.wait_for(MIRRORS, "apps", "app", is_so).await
    }

    pub(super) fn object(&self) -> Value {
        self.kube.get(MIRRORS, "apps", "app").expect("the mirror")
    }

    /// Has the repository scanned anew, and waits until it is.
    pub(super) async fn scan(&self, token: &str) {
        self.kube.annotate(REPOSITORIES, "apps", "app", token);
        let is_done = |object: &Value| object["status"]["lastHandledReconcileAt"] == token;
        self.kube
            .wait_for(REPOSITORIES, "apps", "app", is_done)
            .await;
    }

    /// What is verified, as tag → digest at the source; `None`: nothing was said yet.
    pub(super) fn verified(&self) -> Option<BTreeMap<String, String>> {
        let mirrored: Arc<Mirrored> = self.store().board().mirrored(&Key::new("apps", "app"))?;
        let copies = mirrored.repositories.get(&Key::new("apps", "app"))?;
        let tags = copies.tags.iter();
        Some(
            tags.map(|(tag, verified)| (tag.to_string(), verified.source.to_string()))
                .collect(),
        )
    }

    pub(super) fn clear(&self) {
        self.source.clear_requests();
        self.destination.clear_requests();
        self.kube.take_asked();
    }

    /// What was written of the mirror since the last look: status patches and Events, as JSON.
    pub(super) fn writes(&self) -> (Vec<Value>, Vec<String>) {
        let asked = self.kube.take_asked().into_iter();
        let writes: Vec<_> = asked.filter(Asked::is_write).collect();
        let statuses = writes.iter().filter(|one| one.path.contains(MIRRORS));
        let events = writes.iter().filter(|one| {
            one.path.contains("/events") && one.body["involvedObject"]["kind"] == "ImageMirror"
        });
        let words = |one: &Asked| {
            let body = &one.body;
            format!(
                "{} {}",
                body["type"].as_str().unwrap_or_default(),
                body["message"].as_str().unwrap_or_default()
            )
        };
        (
            statuses.map(|one| one.body["status"].clone()).collect(),
            events.map(words).collect(),
        )
    }
}

/// How often each kind of request was made, as `GET Manifest`.
pub(super) fn counted(registry: &FakeRegistry) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for Request { method, route, .. } in registry.requests() {
        *counts.entry(format!("{method} {route:?}")).or_default() += 1;
    }
    counts
}

/// Waits for what other tasks do.
pub(super) async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting)
        .await
        .expect("it comes to that");
}
