//! Tags that a scan named: what is known of destinations is believed without their lists.

use super::*;
use crate::fake_registry::{Image, Nth};

async fn copied(tags: &[&str]) -> (World, Job) {
    let world = World::new().await;
    for (seed, tag) in (1..).zip(tags) {
        let image = Image::sized(seed, &[300]);
        world.source.add_image("team/app", tag, &image);
    }
    let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let mut job = world.job("team/app", Wanted::Tags(tags));
    job.follows_scan = true;
    assert_all(&world.run(vec![job.clone()]).await, &Outcome::Copied);
    world.clear();
    (world, job)
}

#[tokio::test]
async fn what_is_known_to_be_there_costs_one_request_a_tag_at_the_source_and_none_at_the_destination()
 {
    let (world, mut job) = copied(&["1.0", "2.0", "3.0"]).await;
    for referrers in [false, true] {
        world.clear();
        job.referrers = referrers;
        let before = world.run(vec![job.clone()]).await;
        assert_all(&before, &Outcome::Unchanged);
        world.clear();
        assert_all(&world.run(vec![job.clone()]).await, &Outcome::Unchanged);
        assert_counted(&world.source, &[("HEAD Manifest", 3)]);
        assert_counted(&world.destination, &[]);
    }
    // Without a scan the destination's list is asked for as ever.
    job.follows_scan = false;
    job.referrers = false;
    world.clear();
    assert_all(&world.run(vec![job]).await, &Outcome::Unchanged);
    assert_counted(&world.destination, &[("GET List", 1)]);
}

#[tokio::test]
async fn what_was_known_for_too_long_is_asked_for_by_one_list() {
    let (world, mut job) = copied(&["1.0", "2.0"]).await;
    job.verify_after = Duration::ZERO;
    assert_all(&world.run(vec![job]).await, &Outcome::Unchanged);
    assert_counted(&world.source, &[("HEAD Manifest", 2)]);
    assert_counted(&world.destination, &[("GET List", 1), ("HEAD Manifest", 2)]);
}

#[tokio::test]
async fn one_new_tag_among_those_that_are_known_is_asked_for_by_itself() {
    let (world, mut job) = copied(&["1.0", "2.0"]).await;
    let image = Image::sized(9, &[300]);
    world.source.add_image("team/app", "3.0", &image);
    let tags = ["1.0", "2.0", "3.0"].map(|tag| tag.parse().unwrap());
    job.wanted = Wanted::Tags(tags.into());
    let done = world.run(vec![job]).await;
    assert_eq!(done.report.summary(), "1 copied, 2 unchanged");
    assert_eq!(world.destination.count_of(&Method::GET, Route::List), 0);
    assert_eq!(
        world.destination.count_of(&Method::HEAD, Route::Manifest),
        1
    );
}

#[tokio::test]
async fn a_tag_that_is_gone_since_the_scan_is_no_mistake() {
    let (world, job) = copied(&["1.0", "2.0"]).await;
    world.source.delete_tag("team/app", "2.0");
    let done = world.run(vec![job]).await;
    assert_eq!(done.report.summary(), "1 gone, 1 unchanged");
}

/// Writes down what differs.
#[derive(Debug, Default)]
struct Differing(parking_lot::Mutex<Vec<String>>);

impl copy::Progress for Differing {
    fn happened(&self, event: copy::Event<'_>) {
        if let copy::Event::Differs { tag, .. } = event {
            self.0.lock().push(tag.to_string());
        }
    }
}

#[tokio::test]
async fn a_tag_that_has_to_be_written_is_told_of_before_it_is() {
    let (world, mut job) = copied(&["1.0", "latest"]).await;
    job.overwrite = Overwrite::Always;
    let image = Image::sized(9, &[300]);
    world.source.add_image("team/app", "latest", &image);
    let fault = crate::fake_registry::Fault::Status(403);
    world
        .destination
        .on(Method::PUT, "/manifests/", Nth::Every, fault);
    let settings = Settings {
        concurrency: NonZeroUsize::new(16).unwrap(),
        bandwidth: None,
        is_dry_run: false,
        clock: Arc::clone(&world.clock),
        mandate: None,
        cancel: world.cancel.clone(),
    };
    let differing = Differing::default();
    let done = copy::run(&client(), vec![job], &world.known, &settings, &differing).await;
    assert_eq!(done.report.summary(), "1 immutable, 1 unchanged");
    assert_eq!(*differing.0.lock(), ["latest"]);
}
