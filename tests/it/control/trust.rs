//! Lists that may not be what the registry has: nothing is lost by them.

use std::time::Duration;

use serde_json::json;
use tagscope::control::Settings;
use tagscope::object::Key;
use tagscope::store::{RepositoryTags, Store};

use super::bench::{Bench, IMAGE, POLICIES, REPOSITORIES, condition, events, status_patches};
use super::lifecycle::reborn;

const SUSPECT: &str = "the tag list may be incomplete, and no tag is removed: ";

/// Twenty versions, all scanned, and a policy that elects the highest.
async fn bench(settings: Settings) -> Bench {
    let bench = Bench::with(settings);
    fill(&bench).await;
    bench
}

async fn fill(bench: &Bench) {
    let tags: Vec<String> = (0..20).map(|minor| format!("1.{minor}.0")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    bench.images.push(IMAGE, &tags);
    bench.repository("app", json!({}));
    bench.policy("app", &json!({ "name": "app" }), "1.x");
    bench.policy_is("app", "True", "resolved to 1.19.0").await;
    bench.settle().await;
    bench.take_writes();
}

/// The registry loses its fifteen newest tags.
fn shrink(bench: &Bench) {
    for minor in 5..20 {
        bench.images.remove(IMAGE, &format!("1.{minor}.0"));
    }
}

/// Asks for a scan, and answers how many tags are held then, whether they are said to be all, and the Events.
async fn scan(bench: &Bench, token: &str) -> (usize, bool, Vec<String>) {
    bench.kube.annotate(REPOSITORIES, "apps", "app", token);
    let object = bench
        .kube
        .wait_for(REPOSITORIES, "apps", "app", |object| {
            object["status"]["lastHandledReconcileAt"] == token
        })
        .await;
    bench.settle().await;
    let held = held(bench);
    assert_eq!(
        object["status"]["lastScanResult"]["tagCount"],
        held.tag_count(),
        "what is served counts"
    );
    assert_eq!(
        object["status"]["lastScanResult"]["revision"],
        held.revision()
    );
    let told = events(&bench.take_writes());
    (held.tag_count(), held.is_complete(), told)
}

fn held(bench: &Bench) -> std::sync::Arc<RepositoryTags> {
    let key = Key::new("apps", "app");
    bench.store.snapshot().repository(&key).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lost_most_of_its_tags_is_believed_the_third_time() {
    let bench = bench(Settings::default()).await;
    shrink(&bench);
    let (count, complete, told) = scan(&bench, "1").await;
    assert_eq!((count, complete), (20, false));
    let why = "it has 5 tags, where 20 were known (tags go when 3 scans in a row miss them)";
    assert_eq!(told, [format!("POST {SUSPECT}{why}")]);
    assert_eq!(
        scan(&bench, "2").await,
        (20, false, vec![]),
        "told when it became so, and not again"
    );
    bench.policy_is("app", "True", "resolved to 1.19.0").await;
    assert_eq!(bench.elected("apps", "app"), ["1.19.0 by apps/app"]);
    let (count, complete, _) = scan(&bench, "3").await;
    assert_eq!((count, complete), (5, true));
    bench.policy_is("app", "True", "resolved to 1.4.0").await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_takes_nothing_away_at_once() {
    let bench = bench(Settings::default()).await;
    bench.images.empty(IMAGE);
    let (count, complete, told) = scan(&bench, "1").await;
    assert_eq!((count, complete), (20, false));
    assert!(told[0].contains("it is empty, where 20 tags were known"));
    // Those that are merely due confirm as well as those that were asked for.
    bench.pass(Duration::from_secs(299)).await;
    assert_eq!(held(&bench).tag_count(), 20);
    bench.pass(Duration::from_mins(6)).await;
    assert_eq!(held(&bench).tag_count(), 0);
    assert!(held(&bench).is_complete());
    bench.policy_is("app", "False", "no tags in database").await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_whole_again_leaves_no_trace() {
    let bench = bench(Settings::default()).await;
    shrink(&bench);
    scan(&bench, "1").await;
    scan(&bench, "2").await;
    let back: Vec<String> = (5..20).map(|minor| format!("1.{minor}.0")).collect();
    let back: Vec<&str> = back.iter().map(String::as_str).collect();
    bench.images.push(IMAGE, &back);
    assert_eq!(scan(&bench, "3").await, (20, true, vec![]));
    shrink(&bench);
    for token in ["4", "5"] {
        let (count, complete, _) = scan(&bench, token).await;
        assert_eq!((count, complete), (20, false), "counted from one again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_with_gaps_is_never_believed() {
    let bench = bench(Settings::default()).await;
    shrink(&bench);
    bench.images.lists_incompletely("page 2 is missing");
    for token in 0..6 {
        let (count, complete, _) = scan(&bench, &token.to_string()).await;
        assert_eq!((count, complete), (20, false));
    }
    bench.policy_is("app", "True", "resolved to 1.19.0").await;
}

#[tokio::test(start_paused = true)]
async fn what_the_spec_excludes_by_now_is_not_missing() {
    let bench = bench(Settings::default()).await;
    let spec = json!({ "spec": { "exclusionList": [r"^1\.1"] } });
    bench.kube.edit(REPOSITORIES, "apps", "app", spec);
    bench.repository_is("app", "True", "found 9 tags").await;
    assert!(held(&bench).is_complete());
    bench.policy_is("app", "True", "resolved to 1.9.0").await;
    // And what is excluded does not make a loss look greater than it is.
    bench.images.remove(IMAGE, "1.9.0");
    let (count, complete, _) = scan(&bench, "1").await;
    assert_eq!((count, complete), (8, true));
}

#[tokio::test(start_paused = true)]
async fn how_many_confirmations_it_takes_can_be_set() {
    let settings = Settings {
        suspect_confirmations: 1,
        ..Settings::default()
    };
    let bench = bench(settings).await;
    shrink(&bench);
    let (count, complete, _) = scan(&bench, "1").await;
    assert_eq!((count, complete), (5, true));
}

#[tokio::test(start_paused = true)]
async fn objects_that_share_answers_count_them_each_for_itself() {
    let bench = bench(Settings::default()).await;
    bench.repository("peer", json!({}));
    bench.repository_is("peer", "True", "found 20 tags").await;
    shrink(&bench);
    let count = |name: &str| bench.tags(name).unwrap().len();
    bench.pass(Duration::from_mins(9)).await;
    assert_eq!((count("app"), count("peer")), (20, 20));
    bench.pass(Duration::from_mins(15)).await;
    assert_eq!((count("app"), count("peer")), (5, 5));
}

#[tokio::test]
async fn a_restart_counts_from_one_and_says_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let clock = super::bench::clock();
    let store = Store::open(dir.path(), 0, clock.clone()).unwrap();
    let bench = Bench::on(
        super::fake_kube::FakeKube::new(),
        super::fake_images::FakeImages::default(),
        store,
        clock,
        Settings::default(),
    );
    fill(&bench).await;
    shrink(&bench);
    scan(&bench, "1").await;
    scan(&bench, "2").await;
    bench.stop().await;
    bench.store.close().await.unwrap();
    let clock = bench.clock.clone();
    let bench = reborn(bench, || Store::open(dir.path(), 0, clock).unwrap());
    bench.controllers.wait_until_synced().await;
    bench.take_writes();
    for token in ["3", "4"] {
        assert_eq!(scan(&bench, token).await, (20, false, vec![]));
    }
    let (count, complete, _) = scan(&bench, "5").await;
    assert_eq!((count, complete), (5, true));
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_is_filled_with_less_under_reserve() {
    let bench = bench(Settings::default()).await;
    bench.stop().await;
    shrink(&bench);
    let clock = bench.clock.clone();
    let bench = reborn(bench, || Store::in_memory(clock));
    bench.repository_is("app", "True", "found 5 tags").await;
    bench.settle().await;
    assert!(!held(&bench).is_complete());
    assert!(held(&bench).refound().is_some());
    let told = events(&bench.take_writes());
    assert!(
        told.iter()
            .any(|event| event.contains("it has 5 tags, where 20 were known")),
        "{told:?}"
    );
    bench.policy_is("app", "True", "resolved to 1.19.0").await;
    let (count, complete, _) = scan(&bench, "1").await;
    assert_eq!((count, complete), (5, false));
    bench.pass(Duration::from_mins(1)).await;
    bench.policy_is("app", "True", "resolved to 1.19.0").await;
    let (count, complete, _) = scan(&bench, "2").await;
    assert_eq!((count, complete), (5, true));
    bench.policy_is("app", "True", "resolved to 1.4.0").await;
}

#[tokio::test(start_paused = true)]
async fn an_unsuspicious_list_costs_no_more_than_before() {
    let bench = bench(Settings::default()).await;
    for minor in 15..20 {
        bench.images.remove(IMAGE, &format!("1.{minor}.0"));
    }
    bench.kube.annotate(REPOSITORIES, "apps", "app", "now");
    bench.policy_is("app", "True", "resolved to 1.14.0").await;
    bench.settle().await;
    let writes = bench.take_writes();
    assert_eq!(status_patches(&writes), 2, "{writes:#?}");
    let policy = bench.kube.get(POLICIES, "apps", "app").unwrap();
    assert!(condition(&policy, "Ready").is_some());
}
