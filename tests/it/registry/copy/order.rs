//! Whatever images are made of, and whatever goes wrong: at no instant does a tag point to what is not whole.

use super::*;
use crate::fake_registry::{Fault, Image, Layer, Nth};

/// Numbers that follow from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// A few layers of few, so that images share them.
    fn image(&mut self) -> Image {
        let layers = 1 + self.below(4);
        let layers = (0..layers).map(|_| {
            let seed = 1 + self.below(12);
            Layer::new(seed, 50 + 100 * seed)
        });
        Image::new(layers.collect::<Vec<_>>())
    }

    fn tree(&mut self, levels: u64) -> Image {
        if levels == 0 || self.below(3) == 0 {
            return self.image();
        }
        let children = 1 + self.below(3);
        let children: Vec<_> = (0..children).map(|_| self.tree(levels - 1)).collect();
        Image::index(children)
    }

    fn fault(&mut self, world: &World) {
        let nth = Nth::First(1 + usize::try_from(self.below(3)).unwrap());
        let to = &world.destination;
        match self.below(10) {
            0 => to.on(Method::PUT, "/blobs/uploads/", nth, Fault::Status(500)),
            1 => to.on(Method::PUT, "/blobs/uploads/", nth, Fault::ResetAfter(40)),
            2 => to.on(Method::PUT, "/blobs/uploads/", nth, Fault::CommitThenReset),
            3 => to.on(Method::PUT, "/blobs/uploads/", nth, Fault::SessionLost),
            4 => to.on(Method::POST, "/blobs/uploads/", nth, Fault::Status(403)),
            5 => to.on(Method::PUT, "/manifests/", nth, Fault::CommitThen(502)),
            6 => to.on(Method::PUT, "/manifests/", nth, Fault::Status(400)),
            7 => world
                .source
                .on(Method::GET, "/blobs/", nth, Fault::ResetAt(60)),
            8 => world
                .source
                .on(Method::GET, "/blobs/", nth, Fault::WrongBytes),
            _ => world
                .source
                .on(Method::GET, "/blobs/", nth, Fault::Status(404)),
        }
    }
}

#[tokio::test]
async fn fault_27_at_no_instant_does_a_tag_point_to_what_is_not_whole() {
    let (mut looks, mut written) = (0_usize, 0);
    for seed in 0..30 {
        let mut chance = Chance(seed);
        let world = World::new().await;
        // Nothing but the order makes it right.
        world
            .destination
            .configure(|options| options.checks_references = false);
        let paths = ["team/app", "team/other"];
        for path in paths {
            for tag in 0..=chance.below(4) {
                let tree = chance.tree(2).annotation("tag", &tag.to_string());
                world.source.add_image(path, &format!("1.{tag}"), &tree);
            }
        }
        for _ in 0..chance.below(4) {
            chance.fault(&world);
        }
        let jobs = paths.map(|path| world.job(path, all())).into();
        let mut run = std::pin::pin!(world.run(jobs));
        let cut = (chance.below(3) == 0).then(|| chance.below(200));
        for instant in 0.. {
            tokio::select! {
                biased;
                _ = &mut run => break,
                () = tokio::task::yield_now() => {}
            }
            if Some(instant) == cut {
                world.cancel.cancel();
            }
            for path in paths {
                if !world.destination.tags(path).is_empty() {
                    let faults = world.destination.faults_of(path);
                    let conversation = world.destination.conversation();
                    assert!(faults.is_empty(), "{seed}: {faults:?}\n{conversation:#?}");
                    looks += 1;
                }
            }
        }
        written += paths
            .map(|path| world.destination.tags(path).len())
            .iter()
            .sum::<usize>();
        assert_eq!(
            world.destination.sessions(),
            0,
            "{seed}: nothing is left open"
        );
    }
    assert!(
        looks > 100 && written > 30,
        "{looks} looks at {written} tags"
    );
}

#[tokio::test]
async fn an_upload_is_begun_when_there_is_a_place_to_read_for_it() {
    let world = World::new().await;
    let layers = (0..60).map(|seed| Layer::new(seed, 100));
    let layers: Vec<_> = layers.collect();
    world
        .source
        .add_image("team/app", "1.0", &Image::new(layers));
    world
        .source
        .on(Method::GET, "/blobs/", Nth::Every, Fault::HangHead);
    let run = world.run(vec![world.job("team/app", tag("1.0"))]);
    let seen = async {
        let posts = || world.destination.count_of(&Method::POST, Route::Upload);
        until(|| blobs_asked(&world.source) > 0 && posts() == blobs_asked(&world.source)).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = posts();
        let places = world.source.most_at_once(Route::Blob);
        world.cancel.cancel();
        (begun, places)
    };
    let (_, (begun, places)) = tokio::join!(run, seen);
    assert!(places < 32, "else nobody waits for one");
    assert_eq!(begun, places);
}

#[tokio::test]
async fn a_destination_that_does_not_begin_an_upload_does_not_keep_the_others() {
    let world = World::new().await;
    let hung = FakeRegistry::start().await;
    world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[3_000_000]));
    hung.on(Method::POST, "/uploads/$", Nth::Every, Fault::HangHead);
    let mut job = world.job("team/app", tag("1.0"));
    job.destinations.insert(0, place(&hung, "team/app"));
    let seen = async {
        until(|| world.destination.tag_digest("team/app", "1.0").is_some()).await;
        world.cancel.cancel();
    };
    let (done, ()) = tokio::join!(world.run(vec![job]), seen);
    world.destination.check_whole("team/app");
    let ended: Vec<_> = done.report.tags.iter().map(|it| &it.outcome).collect();
    assert!(ended.contains(&&Outcome::Copied), "{ended:?}");
    assert!(hung.tags("team/app").is_empty());
}
