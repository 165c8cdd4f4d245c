//! Kubernetes Events when there are many of them, and when the API server is away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::ObjectReference;
use parking_lot::Mutex;
use serde_json::json;
use tagscope::cluster::event::{
    self, About, Events, Fate, Observer, Patience, Report, Settings, Severity, Sink,
};
use tagscope::task::{Outcome, Tasks};
use tokio::time::Instant;

use super::bench::{Bench, IMAGE, POLICIES, REPOSITORIES, clock};
use super::fake_kube::FakeKube;

const EVENTS: &str = "/namespaces/apps/events";

/// Counts what became of what.
#[derive(Debug, Default)]
struct Fates(Mutex<BTreeMap<String, usize>>);

impl Observer for Fates {
    fn observe(&self, sink: Sink, fate: Fate) {
        *self
            .0
            .lock()
            .entry(format!("{sink:?} {fate:?}"))
            .or_default() += 1;
    }
}

impl Fates {
    fn of(&self, fate: Fate) -> usize {
        let name = format!("{:?} {fate:?}", Sink::Kubernetes);
        self.0.lock().get(&name).copied().unwrap_or(0)
    }
}

struct Recorder {
    kube: FakeKube,
    events: Events,
    fates: Arc<Fates>,
    tasks: Tasks,
}

const GRACE: Duration = Duration::from_secs(5);

fn recorder() -> Recorder {
    let kube = FakeKube::new();
    let fates = Arc::new(Fates::default());
    let settings = Settings {
        component: "image-reflector-controller".into(),
        address: None,
        patience: Patience::default(),
        clock: clock(),
        observer: fates.clone(),
    };
    let (events, recorder) = event::recorder(kube.client(), settings);
    let tasks = Tasks::new();
    let until = tasks.shutdown().clone();
    tasks.spawn(
        "events",
        recorder.run(async move { until.cancelled().await }, GRACE),
    );
    Recorder {
        kube,
        events,
        fates,
        tasks,
    }
}

fn report(name: &str, message: &str) -> Report {
    Report {
        about: About {
            object: ObjectReference {
                kind: Some("ImagePolicy".into()),
                namespace: Some("apps".into()),
                name: Some(name.into()),
                uid: Some(format!("uid of {name}")),
                ..ObjectReference::default()
            },
            metadata: BTreeMap::new(),
        },
        severity: Severity::Normal,
        reason: "Succeeded".into(),
        message: message.into(),
    }
}

impl Recorder {
    /// The messages that were posted and taken, in order.
    fn written(&self) -> Vec<String> {
        let mut messages = Vec::new();
        for asked in self.kube.take_asked() {
            if asked.method == Method::POST {
                let name = asked.body["metadata"]["name"].as_str().unwrap();
                if self.kube.get("events", "apps", name).is_some() {
                    messages.push(asked.body["message"].as_str().unwrap().to_owned());
                }
            }
        }
        messages
    }

    /// Waits until everything was told, or given up.
    async fn end(self) -> Arc<Fates> {
        drop(self.events);
        let end = self.tasks.next_end().await.unwrap();
        assert_eq!(end.outcome, Outcome::Returned);
        self.fates
    }
}

#[tokio::test(start_paused = true)]
async fn two_thousand_at_once_are_written_within_seconds_and_a_few_at_a_time() {
    let recorder = recorder();
    recorder
        .kube
        .takes(Method::POST, EVENTS, Duration::from_millis(10));
    let begin = Instant::now();
    for number in 0..2000 {
        recorder
            .events
            .publish(report(&format!("app-{number}"), "elected"));
    }
    assert_eq!(begin.elapsed(), Duration::ZERO, "nobody waits");
    let kube = recorder.kube.clone();
    let fates = recorder.end().await;
    assert_eq!(fates.of(Fate::Told), 2000);
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(kube.most_under_way(), 8);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_one_object_is_said_in_order_and_repetitions_are_counted() {
    let recorder = recorder();
    recorder
        .kube
        .takes(Method::POST, EVENTS, Duration::from_millis(10));
    // All at the same moment, of which their names are made.
    for message in ["a", "b", "b", "c", "b"] {
        recorder.events.publish(report("app", message));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let kube = recorder.kube.clone();
    let mut asked: Vec<String> = kube
        .take_asked()
        .iter()
        .map(|one| format!("{} {}", one.method, one.body["message"].as_str().unwrap()))
        .collect();
    // One whose name was taken is posted again under the next.
    asked.dedup();
    assert_eq!(asked, ["POST a", "POST b", "PATCH b", "POST c", "PATCH b"]);
    assert_eq!(kube.most_under_way(), 1);
    let fates = recorder.end().await;
    assert_eq!(fates.of(Fate::Told), 5);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_for_a_minute_gets_everything_once_afterwards() {
    let recorder = recorder();
    recorder
        .kube
        .refuse(Method::POST, EVENTS, StatusCode::SERVICE_UNAVAILABLE);
    for number in 0..100 {
        recorder
            .events
            .publish(report(&format!("app-{number}"), "elected"));
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(recorder.written().is_empty());
    let tries = recorder.fates.of(Fate::Failed);
    assert_eq!(tries, 0, "none is given up");
    recorder.kube.heal();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(recorder.written().len(), 100);
    let fates = recorder.end().await;
    assert_eq!((fates.of(Fate::Told), fates.of(Fate::Failed)), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_is_not_hammered_and_memory_has_a_bound() {
    let recorder = recorder();
    recorder
        .kube
        .refuse(Method::POST, EVENTS, StatusCode::SERVICE_UNAVAILABLE);
    for number in 0..10_000 {
        recorder
            .events
            .publish(report(&format!("app-{number}"), "elected"));
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    // Eight at a time, each with a growing wait.
    let asked = recorder.kube.take_asked().len();
    assert!((8..=100).contains(&asked), "{asked}");
    let dropped = recorder.fates.of(Fate::Dropped);
    assert_eq!(dropped, 10_000 - 4096 - 8, "what is oldest");
    recorder.kube.heal();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let written: Vec<String> = {
        let asked = recorder.kube.take_asked();
        let names = asked.iter().map(|one| &one.body["involvedObject"]["name"]);
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(written.len(), 4096 + 8);
    assert!(
        written.contains(&"app-9999".to_owned()),
        "the newest are kept"
    );
    assert!(!written.contains(&"app-4000".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_refuses_is_lost_and_holds_up_nothing() {
    let recorder = recorder();
    recorder
        .kube
        .refuse(Method::POST, EVENTS, StatusCode::FORBIDDEN);
    recorder.events.publish(report("app", "first"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(recorder.fates.of(Fate::Failed), 1);
    recorder.kube.heal();
    recorder.events.publish(report("app", "second"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(recorder.written(), ["second"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_at_the_end_still_goes_out_but_not_for_ever() {
    let recorder = recorder();
    recorder
        .kube
        .takes(Method::POST, EVENTS, Duration::from_millis(10));
    for number in 0..500 {
        recorder
            .events
            .publish(report(&format!("app-{number}"), "elected"));
    }
    recorder.tasks.shutdown().cancel();
    let begin = Instant::now();
    // Somebody still holds the way in, as a reconcile does that has not ended.
    assert!(recorder.tasks.next_end().await.is_some());
    assert_eq!(begin.elapsed().as_secs(), GRACE.as_secs());
    assert_eq!(recorder.fates.of(Fate::Told), 500);
}

#[tokio::test(start_paused = true)]
async fn annotations_for_receivers_go_with_an_event_and_others_do_not() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.kube.create(
        REPOSITORIES,
        "apps",
        json!({
            "metadata": { "name": "app", "annotations": {
                "event.toolkit.fluxcd.io/team": "a", "note": "b", "reconcile.fluxcd.io/requestedAt": "c",
            } },
            "spec": { "image": IMAGE, "interval": "5m" },
        }),
    );
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.settle().await;
    let writes = bench.take_writes();
    let told = writes
        .iter()
        .find(|one| one.path.ends_with("/events"))
        .unwrap();
    assert_eq!(
        told.body["metadata"]["annotations"],
        json!({ "event.toolkit.fluxcd.io/team": "a" })
    );
    assert_eq!(
        told.body["source"]["component"],
        "image-reflector-controller"
    );
    assert!(told.body["involvedObject"]["resourceVersion"].is_null());
}

#[tokio::test(start_paused = true)]
async fn events_that_cannot_be_written_delay_no_status() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench
        .kube
        .takes(Method::POST, EVENTS, Duration::from_mins(10));
    let begin = Instant::now();
    for number in 0..50 {
        let name = format!("app-{number}");
        bench.repository(&name, json!({}));
        bench.policy(&name, &json!({ "name": name }), "1.x");
    }
    for number in 0..50 {
        let name = format!("app-{number}");
        bench.repository_is(&name, "True", "found 1 tags").await;
        bench.policy_is(&name, "True", "resolved to 1.0.0").await;
    }
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert!(bench.kube.get(POLICIES, "apps", "app-0").is_some());
}
