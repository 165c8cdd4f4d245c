//! How little is asked and written, also when something is away: counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::json;
use tagscope::clock::Clock;
use tagscope::control::Settings;
use tagscope::object::Key;
use tagscope::store::Store;

use super::bench::{Bench, IMAGE, POLICIES, REPOSITORIES, clock, events, says, status_patches};
use super::fake_images::FakeImages;
use super::fake_kube::FakeKube;
use super::lifecycle::reborn;

const MANY: usize = 20;

fn name(number: usize) -> String {
    format!("app-{number}")
}

/// Twenty repositories with an image and a policy each, all Ready.
async fn many(bench: &Bench) {
    for number in 0..MANY {
        let image = format!("registry.test/o/{}", name(number));
        bench.images.push(&image, &["1.0.0", "1.1.0"]);
        bench.repository(&name(number), json!({ "image": image }));
        bench.policy(&name(number), &json!({ "name": name(number) }), "1.x");
    }
    for number in 0..MANY {
        let name = name(number);
        bench.policy_is(&name, "True", "resolved to 1.1.0").await;
    }
    bench.pass(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_scan_writes_one_status_and_one_event_for_each_object() {
    let bench = Bench::start();
    bench.images.takes(Duration::from_secs(3));
    for number in 0..MANY {
        let image = format!("registry.test/o/{}", name(number));
        bench.images.push(&image, &["1.0.0"]);
        bench.repository(&name(number), json!({ "image": image }));
    }
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.images.take_lists().len(), MANY);
    let writes = bench.take_writes();
    assert_eq!(
        (status_patches(&writes), events(&writes).len(), writes.len()),
        (MANY, MANY, 2 * MANY)
    );
}

#[tokio::test(start_paused = true)]
async fn events_hold_up_no_status() {
    let bench = Bench::start();
    bench.kube.leave_unanswered(Method::POST, "/events");
    many(&bench).await;
    assert!(events(&bench.take_writes()).is_empty(), "none came through");
    bench.kube.heal();
    bench.pass(Duration::from_mins(1)).await;
    // The clock stands still: a policy's first name for its Event is its repository's, and is taken.
    let writes = bench.take_writes();
    let told = writes.iter().filter_map(|write| {
        let about = write.body.get("involvedObject")?;
        about["uid"].as_str().map(str::to_owned)
    });
    assert_eq!(told.collect::<BTreeSet<_>>().len(), 2 * MANY);
}

#[tokio::test]
async fn a_restart_with_its_store_asks_for_nothing_whatever_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = Store::open(dir.path(), 0, clock.clone()).unwrap();
    let (kube, images) = (FakeKube::new(), FakeImages::default());
    let bench = Bench::on(kube, images, store, clock, Settings::default());
    many(&bench).await;
    bench.stop().await;
    bench.store.close().await.unwrap();
    bench.images.take_lists();
    bench.take_writes();
    let clock = bench.clock.clone();
    let bench = reborn(bench, || Store::open(dir.path(), 0, clock).unwrap());
    bench.controllers.wait_until_synced().await;
    tokio::time::pause();
    bench.pass(Duration::from_mins(2)).await;
    let writes = bench.take_writes();
    assert!(writes.is_empty(), "{writes:#?}");
    assert!(bench.images.take_lists().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_without_its_store_asks_once_for_each_and_says_nothing_new() {
    let bench = Bench::start();
    many(&bench).await;
    bench.stop().await;
    bench.images.take_lists();
    bench.take_writes();
    bench.images.takes(Duration::from_millis(500));
    let clock = bench.clock.clone();
    let bench = reborn(bench, || Store::in_memory(clock));
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.images.take_lists().len(), MANY);
    let writes = bench.take_writes();
    assert!(status_patches(&writes) <= MANY, "{writes:#?}");
    assert_eq!(writes.len(), status_patches(&writes), "{writes:#?}");
    assert!(
        writes.iter().all(|one| one.path.contains(REPOSITORIES)),
        "none of a policy: {writes:#?}"
    );
    for number in 0..MANY {
        let elected = bench.elected("apps", &name(number));
        assert_eq!(elected, [format!("1.1.0 by apps/{}", name(number))]);
        let object = bench.kube.get(REPOSITORIES, "apps", &name(number)).unwrap();
        assert!(says(&object, "True", "found 2 tags"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_known_already_is_not_sent_again() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.images.names_lists();
    bench.repository("app", json!({}));
    bench.repository("peer", json!({}));
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.repository_is("peer", "True", "found 1 tags").await;
    bench.settle().await;
    assert_eq!(bench.images.take_lists().len(), 1);
    bench.take_writes();
    bench.pass(Duration::from_mins(6)).await;
    let lists = bench.images.take_lists();
    assert!(
        lists.len() == 1 && lists[0].was_unchanged,
        "for both: {lists:?}"
    );
    let writes = bench.take_writes();
    assert_eq!(
        (status_patches(&writes), writes.len()),
        (2, 2),
        "{writes:#?}"
    );
    for write in &writes {
        let changed = write.body["status"].as_object().unwrap();
        let told = changed["lastScanResult"].as_object().unwrap();
        assert_eq!(told.keys().collect::<Vec<_>>(), ["scanTime"]);
    }
    // Other labels, or a pushed tag, and it goes on as before.
    bench.images.push(IMAGE, &["1.1.0"]);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "once");
    bench.repository_is("app", "True", "found 2 tags").await;
    assert!(!bench.images.take_lists()[0].was_unchanged);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "twice");
    bench.settle().await;
    assert!(bench.images.take_lists()[0].was_unchanged);
    // Whoever wants other tags of the list has to see it.
    let spec = json!({ "spec": { "exclusionList": ["^1.0"] } });
    bench.kube.edit(REPOSITORIES, "apps", "app", spec);
    bench.repository_is("app", "True", "found 1 tags").await;
    assert!(!bench.images.take_lists()[0].was_unchanged);
}

#[tokio::test(start_paused = true)]
async fn what_is_suspect_is_always_looked_at_anew() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.images.names_lists();
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.images.empty(IMAGE);
    for token in ["1", "2", "3"] {
        bench.kube.annotate(REPOSITORIES, "apps", "app", token);
        bench.settle().await;
    }
    assert!(
        bench
            .images
            .take_lists()
            .iter()
            .all(|list| !list.was_unchanged)
    );
    assert_eq!(bench.tags("app").unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_costs_one_status_more_and_no_request() {
    let bench = Bench::start();
    many(&bench).await;
    bench.pass(Duration::from_secs(270)).await;
    bench.images.take_lists();
    bench.images.push("registry.test/o/app-7", &["1.2.0"]);
    bench.kube.go_away();
    bench.take_writes();
    // All become due while it is away.
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(
        bench.images.take_lists().len(),
        MANY,
        "what could not be written is not asked for again"
    );
    assert_eq!(bench.tags("app-7").unwrap().len(), 3, "and served");
    bench.kube.heal();
    bench.kube.take_asked();
    bench.policy_is("app-7", "True", "resolved to 1.2.0").await;
    bench.pass(Duration::from_secs(100)).await;
    let asked = bench.kube.take_asked();
    let lists = asked.iter().filter(|one| {
        one.method == Method::GET && one.path.ends_with(REPOSITORIES) && !one.is_watch
    });
    assert!(lists.count() <= 2, "one resync");
    let writes: Vec<_> = asked
        .into_iter()
        .filter(super::fake_kube::Asked::is_write)
        .collect();
    assert_eq!(
        status_patches(&writes),
        MANY + 1,
        "one of each repository, and one of the policy: {writes:#?}"
    );
    assert!(bench.images.take_lists().is_empty());
    for number in 0..MANY {
        let object = bench.kube.get(POLICIES, "apps", &name(number)).unwrap();
        assert!(says(&object, "True", "resolved to"), "{object:#}");
    }
}

/// A clock that can be set.
#[derive(Debug)]
struct Settable {
    clock: Arc<dyn Clock>,
    behind: Mutex<SignedDuration>,
}

impl Clock for Settable {
    fn now(&self) -> Timestamp {
        self.clock.now() - *self.behind.lock()
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_an_hour_neither_stops_scans_nor_multiplies_them() {
    let clock = Arc::new(Settable {
        clock: clock(),
        behind: Mutex::default(),
    });
    let store = Store::in_memory(clock.clone());
    let (kube, images) = (FakeKube::new(), FakeImages::default());
    images.push(IMAGE, &["1.0.0"]);
    let bench = Bench::on(kube, images, store, clock.clone(), Settings::default());
    bench.repository("app", json!({}));
    bench.repository_is("app", "True", "found 1 tags").await;
    bench.pass(Duration::from_secs(10)).await;
    bench.images.take_lists();
    *clock.behind.lock() = SignedDuration::from_hours(1);
    bench.pass(Duration::from_mins(30)).await;
    let scans = bench.images.take_lists().len();
    assert!((5..=7).contains(&scans), "every five minutes: {scans}");
    *clock.behind.lock() = SignedDuration::ZERO;
    bench.pass(Duration::from_mins(30)).await;
    let scans = bench.images.take_lists().len();
    assert!((5..=7).contains(&scans), "nor forward: {scans}");
}

#[tokio::test(start_paused = true)]
async fn policies_whose_tags_stayed_are_not_even_looked_at() {
    let bench = Bench::start();
    many(&bench).await;
    let before = bench.reconciles("imagepolicy");
    let scans = bench.reconciles("imagerepository");
    bench.pass(Duration::from_mins(11)).await;
    assert!(bench.reconciles("imagerepository") >= scans + 2 * MANY as u64);
    assert_eq!(bench.reconciles("imagepolicy"), before);
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_could_not_be_told_is_told_once_it_can_be() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    bench.kube.refuse(
        Method::PATCH,
        "/status",
        http::StatusCode::SERVICE_UNAVAILABLE,
    );
    bench.repository("app", json!({}));
    bench.pass(Duration::from_mins(2)).await;
    assert_eq!(bench.images.take_lists().len(), 1);
    // Who asks for news gets news.
    bench.images.push(IMAGE, &["1.1.0"]);
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.images.take_lists().len(), 1);
    bench.kube.heal();
    let object = bench.repository_is("app", "True", "found 2 tags").await;
    assert_eq!(object["status"]["lastHandledReconcileAt"], "now");
    assert!(bench.images.take_lists().is_empty());
    bench.settle().await;
    assert_eq!(events(&bench.take_writes()).len(), 1);
    let held = bench.store.snapshot().repository(&Key::new("apps", "app"));
    assert_eq!(held.unwrap().tag_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_election_that_could_not_be_told_is_told_soon_after_it_can_be() {
    let bench = Bench::start();
    bench.images.push(IMAGE, &["1.0.0"]);
    let refused = http::StatusCode::SERVICE_UNAVAILABLE;
    let status = format!("{POLICIES}/app/status");
    bench.kube.refuse(Method::PATCH, &status, refused);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.pass(Duration::from_mins(30)).await;
    bench.kube.heal();
    bench.pass(Duration::from_secs(30)).await;
    let object = bench.kube.get(POLICIES, "apps", "app").unwrap();
    assert!(says(&object, "True", "resolved to 1.0.0"), "{object:#}");
}
