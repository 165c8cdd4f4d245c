//! Others who write the very tag that is being copied: what they wrote is seen right before ours would be, and stays theirs.

use bytes::Bytes;
use tagscope::image::{Digest, Repository};
use tagscope::mirror::ledger::Ledger;

use super::*;
use crate::fake_registry::{Fault, Image, Nth};

const PATH: &str = "team/app";
const LATE: SignedDuration = SignedDuration::from_secs(31);

/// When somebody else writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// While the blobs are on their way.
    Uploading,
    /// While they are brought again, after the registry has refused the root once with this.
    Healing(u16, &'static str),
}

const HEALING: When = When::Healing(400, "MANIFEST_BLOB_UNKNOWN");

/// A copy of one tag, and somebody else who does something meanwhile.
struct Race {
    world: World,
    clock: Arc<HandClock>,
    when: When,
    /// How often the root's first answer is given.
    nth: Nth,
    /// By what the root is written that is refused.
    refused: String,
    job: Job,
}

impl Race {
    async fn new(when: When, overwrite: Overwrite) -> Self {
        let mut world = World::new().await;
        let clock = Arc::new(HandClock::at(Timestamp::UNIX_EPOCH));
        world.clock = Arc::<HandClock>::clone(&clock);
        let image = Image::sized(1, &[100]);
        world.source.add_image(PATH, "1.0", &image);
        let mut job = world.job(PATH, all());
        job.overwrite = overwrite;
        Self {
            world,
            clock,
            when,
            nth: Nth::First(1),
            refused: "1.0".to_owned(),
            job,
        }
    }

    /// Copies while `other` happens, so much later than the beginning.
    async fn run(&self, later: SignedDuration, other: impl FnOnce(&World)) -> Done {
        let destination = &self.world.destination;
        let slow = Fault::Slow(Duration::from_millis(200));
        let (method, route) = match self.when {
            When::Uploading => {
                destination.on(Method::PUT, "/uploads/", Nth::Every, slow);
                (Method::PUT, Route::Upload)
            }
            When::Healing(status, code) => {
                let pattern = format!("/manifests/{}$", self.refused);
                let fault = Fault::Code(status, code);
                destination.on(Method::PUT, &pattern, self.nth, fault);
                destination.on(Method::HEAD, "/blobs/", Nth::Every, slow);
                (Method::HEAD, Route::Blob)
            }
        };
        let other = async {
            until(|| destination.count_of(&method, route) > 0).await;
            self.clock.advance(later);
            other(&self.world);
        };
        let (done, ()) = tokio::join!(self.world.run(vec![self.job.clone()]), other);
        done
    }

    /// How often the root was sent.
    fn sent(&self) -> usize {
        let end = format!("/manifests/{}", self.refused);
        let destination = &self.world.destination;
        destination.count_where(|it| it.method == Method::PUT && it.path.ends_with(&end))
    }

    fn at_destination(&self) -> Digest {
        let found = self.world.destination.tag_digest(PATH, "1.0");
        found.unwrap().parse().unwrap()
    }

    /// What a mirror owns that has made this run.
    fn owned(&self, done: &Done) -> usize {
        let to: Repository = self.world.destination.image(PATH).parse().unwrap();
        let mut ledger = Ledger::default();
        ledger.note(&done.report);
        ledger.owned(&to)
    }
}

#[tokio::test]
async fn a_tag_that_came_to_be_meanwhile_is_seen_before_each_attempt_and_is_nobodys_but_its_writers()
 {
    for when in [When::Uploading, HEALING] {
        for (overwrite, seed) in [
            (Overwrite::Never, 2),
            (Overwrite::Never, 1),
            (Overwrite::Always, 2),
            (Overwrite::Always, 1),
        ] {
            let what = format!("{when:?}, {overwrite:?}, {seed}");
            let is_never = matches!(overwrite, Overwrite::Never);
            let race = Race::new(when, overwrite).await;
            let done = race
                .run(LATE, |world| {
                    let theirs = Image::sized(seed, &[100]);
                    world.destination.add_image(PATH, "1.0", &theirs);
                })
                .await;
            let theirs =
                FakeRegistry::start()
                    .await
                    .add_image(PATH, "1.0", &Image::sized(seed, &[100]));
            let theirs: Digest = theirs.parse().unwrap();
            let found = theirs.clone();
            let (expected, is_written) = match (seed, is_never) {
                (1, _) => (Outcome::Unchanged, false),
                (_, true) => (Outcome::Drifted { found }, false),
                (_, false) => (Outcome::Copied, true),
            };
            assert_eq!(outcomes(&done), [("1.0".to_owned(), expected)], "{what}");
            let before = usize::from(when == HEALING);
            assert_eq!(race.sent(), before + usize::from(is_written), "{what}");
            assert_eq!(race.at_destination() == theirs, !is_written, "{what}");
            assert_eq!(race.owned(&done), 0, "{what}: {done:?}");
            race.world.destination.check_whole(PATH);
        }
    }
}

#[tokio::test]
async fn a_tag_that_nobody_else_wrote_is_owned_however_long_it_took() {
    for when in [When::Uploading, HEALING] {
        let race = Race::new(when, Overwrite::Never).await;
        let done = race.run(LATE, |_| ()).await;
        assert_all(&done, &Outcome::Copied);
        assert_eq!(race.owned(&done), 1, "{when:?}: {done:?}");
    }
}

#[tokio::test]
async fn a_tag_that_moves_at_the_source_while_blobs_are_brought_again_is_said_to_have_moved() {
    let race = Race::new(HEALING, Overwrite::Never).await;
    let done = race
        .run(LATE, |world| {
            let next = Image::sized(50, &[10]);
            world.source.add_image(PATH, "1.0", &next);
        })
        .await;
    assert_all(&done, &Outcome::Copied);
    assert!(done.report.tags[0].moved_meanwhile, "{done:?}");
}

#[tokio::test]
async fn what_is_refused_and_is_there_all_the_same_was_written_by_somebody_else() {
    // A moment ago there was nothing, so that nobody is asked again.
    for (when, nth) in [
        (When::Uploading, Nth::First(1)),
        (When::Healing(400, "MANIFEST_INVALID"), Nth::Every),
    ] {
        for seed in [1, 2] {
            let mut race = Race::new(when, Overwrite::Always).await;
            race.nth = nth;
            let destination = &race.world.destination;
            destination.configure(|options| options.immutable_tags = Some(412));
            let done = race
                .run(SignedDuration::ZERO, |world| {
                    let theirs = Image::sized(seed, &[100]);
                    world.destination.add_image(PATH, "1.0", &theirs);
                })
                .await;
            let [(_, outcome)] = &outcomes(&done)[..] else {
                panic!("{done:?}");
            };
            let theirs = race.at_destination();
            if seed == 1 {
                assert_eq!(*outcome, Outcome::Unchanged, "{when:?}");
            } else {
                assert!(
                    matches!(outcome, Outcome::Immutable { found, .. } if *found == Some(theirs)),
                    "{when:?}: {outcome:?}"
                );
            }
            assert_eq!(race.owned(&done), 0, "{when:?}, {seed}: {done:?}");
        }
    }
}

#[tokio::test]
async fn a_signature_that_came_to_be_meanwhile_is_not_written_over() {
    let mut race = Race::new(HEALING, Overwrite::Never).await;
    let digest = race.world.source.tag_digest(PATH, "1.0").unwrap();
    race.refused = race.world.source.add_cosign(PATH, &digest, "sig", 7);
    race.job.wanted = tag("1.0");
    race.job.referrers = true;
    let done = race
        .run(LATE, |world| {
            world.destination.add_cosign(PATH, &digest, "sig", 8);
        })
        .await;
    let found = race.world.destination.tag_digest(PATH, &race.refused);
    let found = found.unwrap().parse().unwrap();
    let expected = [
        ("1.0".to_owned(), Outcome::Copied),
        (race.refused.clone(), Outcome::Drifted { found }),
    ];
    assert_eq!(outcomes(&done), expected);
    assert_eq!(race.sent(), 1);
}

#[tokio::test]
async fn a_list_of_referrers_that_somebody_else_wrote_just_so_is_theirs() {
    let mut list: Option<(String, Bytes)> = None;
    for owned in [2, 1] {
        let race = Race::new(HEALING, Overwrite::Never).await;
        let (source, destination) = (&race.world.source, &race.world.destination);
        destination.configure(|options| {
            options.says_subject = false;
            options.has_referrers = false;
            options.immutable_tags = Some(412);
        });
        let digest = source.tag_digest(PATH, "1.0").unwrap();
        source.add_referrer(PATH, &digest, "application/x", 20);
        let fallback = digest.replacen(':', "-", 1);
        let slow = Fault::Slow(Duration::from_millis(300));
        let pattern = format!("/manifests/{fallback}$");
        destination.on(Method::GET, &pattern, Nth::First(1), slow);
        let mut job = race.job.clone();
        job.wanted = tag("1.0");
        job.referrers = true;
        // After we have seen that there is none.
        let other = async {
            let asked = || {
                destination
                    .count_where(|it| it.method == Method::GET && it.path.ends_with(&fallback))
            };
            until(|| asked() > 0).await;
            if let Some((kind, bytes)) = &list {
                let theirs = serde_json::from_slice(bytes).unwrap();
                destination.put_manifest(PATH, Some(&fallback), kind, &theirs);
            }
        };
        let (done, ()) = tokio::join!(race.world.run(vec![job]), other);
        assert_all(&done, &Outcome::Copied);
        let mut ledger = Ledger::default();
        ledger.note(&done.report);
        assert_eq!(ledger.len(), owned, "{done:?}");
        list = destination.manifest(PATH, &fallback);
    }
}
