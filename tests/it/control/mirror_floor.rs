//! What a large mirror asks when nothing has changed: 200 repositories of 50 tags, requests counted at both ends. The
//! floor is one list for each repository, which the scan makes, and nothing else; where every tag may move, one HEAD
//! for each besides, and nothing at the destination.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tagscope::control::image_mirror;

use super::bench::{Bench, REPOSITORIES};
use crate::fake_registry::{FakeRegistry, Image, Route};

const MIRRORS: &str = "imagemirrors";
const COUNT: usize = 200;
const TAGS: usize = 50;
const ALL: usize = COUNT * TAGS;

fn name(number: usize) -> String {
    format!("app-{number:03}")
}

/// Two registries, and one mirror of all that is at the one to the other.
struct Large {
    bench: Bench,
    source: FakeRegistry,
    destination: FakeRegistry,
}

impl Large {
    async fn start() -> Self {
        let (source, destination) = (FakeRegistry::start().await, FakeRegistry::start().await);
        for number in 0..COUNT {
            let image = Image::sized(number as u64, &[100]);
            for tag in 0..TAGS {
                source.add_image(
                    &format!("team/{}", name(number)),
                    &format!("1.{tag}.0"),
                    &image,
                );
            }
        }
        let settings = image_mirror::Settings::default();
        let bench = Bench::mirrors_over_the_wire(settings);
        for number in 0..COUNT {
            let image = source.image(&format!("team/{}", name(number)));
            bench.repository(&name(number), json!({ "image": image, "interval": "24h" }));
        }
        let large = Self {
            bench,
            source,
            destination,
        };
        // First the scans, so that there is one run of all of it.
        for number in 0..COUNT {
            let name = name(number);
            large
                .bench
                .repository_is(&name, "True", "found 50 tags")
                .await;
        }
        large.bench.kube.create(
            MIRRORS,
            "apps",
            json!({
                "apiVersion": "mirror.tagscope.dev/v1alpha1", "kind": "ImageMirror",
                "metadata": { "name": "all" },
                "spec": {
                    "sourceRef": { "selector": {} }, "interval": "24h", "verifyInterval": "48h",
                    "overwrite": { "mode": "Always" },
                    "destinations": [{
                        "name": "there", "registry": large.destination.plain_host(), "repositoryTemplate": "{path}",
                    }],
                },
            }),
        );
        large
            .until(|status| status["tags"]["summary"] == format!("{ALL}/{ALL}"))
            .await;
        large.forget();
        large
    }

    async fn until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let kube = &self.bench.kube;
        let waiting = kube.wait_for(MIRRORS, "apps", "all", |object| holds(&object["status"]));
        let waiting = tokio::time::timeout(Duration::from_mins(5), waiting);
        waiting.await.expect("a mirror that gets there")
    }

    fn forget(&self) {
        self.source.clear_requests();
        self.destination.clear_requests();
    }

    /// Requests at the source and at the destination, each with how many of them are lists and HEADs of manifests.
    fn asked(&self) -> [(usize, usize, usize); 2] {
        [&self.source, &self.destination].map(|registry| {
            (
                registry.requests().len(),
                registry.count(Route::List),
                registry.count_of(&Method::HEAD, Route::Manifest),
            )
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_in_which_nothing_changed_costs_the_floor() {
    let large = Large::start().await;
    let bench = &large.bench;

    // Every repository is scanned, and nothing is new: the scan's own list is all there is.
    for number in 0..COUNT {
        bench
            .kube
            .annotate(REPOSITORIES, "apps", &name(number), "now");
    }
    for number in 0..COUNT {
        let handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == "now";
        bench
            .kube
            .wait_for(REPOSITORIES, "apps", &name(number), handled)
            .await;
    }
    // Whatever the scans brought about comes before this one ends.
    large.source.push("team/app-000", "2.0.0");
    bench
        .kube
        .annotate(REPOSITORIES, "apps", "app-000", "again");
    let more = format!("{0}/{0}", ALL + 1);
    large
        .until(|status| status["tags"]["summary"] == more.as_str())
        .await;
    let [(_, lists, heads), (there, lists_there, _)] = large.asked();
    assert_eq!((lists, heads), (COUNT + 1, 0), "{:?}", large.asked());
    // What is new is written, and nothing else is asked there.
    assert_eq!(lists_there, 0);
    assert!(there < 10, "{:?}", large.destination.conversation());

    // A change of the spec has everything looked at; then comes the interval.
    let change = json!({ "spec": { "interval": "15s" } });
    bench.kube.edit(MIRRORS, "apps", "all", change);
    large
        .until(|status| status["observedGeneration"] == 2)
        .await;
    large.forget();
    large
        .until(|status| status["lastRun"]["reason"] == "Interval")
        .await;
    // Every tag is looked at, at the source alone.
    let all = ALL + 1;
    let [(asked, lists, heads), there] = large.asked();
    assert_eq!((asked, lists, there), (heads, 0, (0, 0, 0)));
    assert!((all..2 * all).contains(&heads), "{heads}");

    // Every tag on both sides.
    large.forget();
    bench.kube.annotate(MIRRORS, "apps", "all", "verify");
    large
        .until(|status| status["lastHandledReconcileAt"] == "verify")
        .await;
    let [(asked, _, heads), (there, lists, heads_there)] = large.asked();
    assert_eq!(asked, heads);
    assert_eq!(there, lists + heads_there, "{:?}", large.asked());
    assert!(lists <= COUNT && heads_there <= all, "{:?}", large.asked());
    bench.stop().await;
}
