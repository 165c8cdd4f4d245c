//! What a mirror created goes when nobody wants it any more, and nothing else does: engine, ledger, rules and deletions together.

use std::collections::BTreeSet;

use tagscope::image::{Repository, Tag};
use tagscope::mirror::ledger::Ledger;
use tagscope::mirror::prune::{Doubt, Part, Refusal, Rules, Sight, part};
use tagscope::registry::remote::Intent;
use tagscope::registry::sweep::{Swept, sweep_all};

use super::*;
use crate::fake_registry::{Auth, Fault, Image, Nth};

const PLACEHOLDER: &str = "application/vnd.tagscope.placeholder.v1";
const PATH: &str = "team/app";

/// What is wrong with a source.
type Break = fn(&FakeRegistry);

/// A mirror of `team/app` that prunes.
struct Mirror {
    world: World,
    ledger: Ledger,
    rules: Rules,
    referrers: bool,
    overwrite: Overwrite,
    hour: i64,
}

impl Mirror {
    async fn new() -> Self {
        Self {
            world: World::new().await,
            ledger: Ledger::default(),
            rules: Rules {
                grace: Duration::from_hours(24),
                max_percent: 50,
            },
            referrers: false,
            overwrite: Overwrite::Never,
            hour: 0,
        }
    }

    fn to(&self) -> Repository {
        self.world.destination.image(PATH).parse().unwrap()
    }

    /// Copies a day later, and says what is due.
    async fn turn(&mut self) -> (Done, Part) {
        self.hour += 25;
        let mut job = self.world.job(PATH, all());
        job.referrers = self.referrers;
        job.overwrite = self.overwrite.clone();
        let done = self.world.run(vec![job]).await;
        self.ledger.note(&done.report);
        let to = self.to();
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(self.hour);
        let looked = match &done.report.looks[..] {
            [look] => {
                assert_eq!(look.to, std::slice::from_ref(&to));
                let sight = Sight {
                    source: &look.from,
                    at,
                    listed: look.listed,
                    is_complete: look.is_complete,
                    wanted: &look.selected.iter().cloned().collect(),
                };
                self.ledger.look(&to, &sight, at)
            }
            [] => Err(Doubt::Trouble("there is no list".to_owned())),
            several => panic!("{several:?}"),
        };
        let part = part(&self.ledger, &to, at, looked, self.rules);
        (done, part)
    }

    /// Copies until the grace is over, and deletes what is due then.
    async fn prune(&mut self) -> (Part, Swept) {
        self.turn().await;
        let (_, part) = self.turn().await;
        let swept = self.sweep(&part, &mut 100).await;
        (part, swept)
    }

    async fn sweep(&mut self, part: &Part, room: &mut usize) -> Swept {
        let due = part.due.iter();
        let due = due.map(|due| (due.tag.clone(), due.digest.clone()));
        let remote = client().remote(self.to(), Access::default(), Intent::Write);
        let nothing = BTreeSet::new();
        sweep_all(
            &remote,
            &mut self.ledger,
            due.collect(),
            Some(&nothing),
            room,
            &|| true,
        )
        .await
    }

    fn add(&self, tags: &[&str]) {
        for (tag, seed) in tags.iter().zip(1..) {
            let image = Image::sized(seed, &[100]);
            self.world.source.add_image(PATH, tag, &image);
        }
    }

    /// Copies what is there, and then the source loses these.
    async fn lose(&mut self, tags: &[&str]) {
        self.turn().await;
        for tag in tags {
            self.world.source.delete_tag(PATH, tag);
        }
    }

    fn tags(&self) -> Vec<String> {
        let mut tags = self.world.destination.tags(PATH);
        tags.sort_unstable();
        tags
    }
}

fn names(tags: &[Tag]) -> Vec<&str> {
    tags.iter().map(Tag::as_str).collect()
}

fn due(part: &Part) -> Vec<&str> {
    part.due.iter().map(|due| due.tag.as_str()).collect()
}

#[tokio::test]
async fn fault_31_only_what_was_created_goes() {
    let mut mirror = Mirror::new().await;
    mirror.add(&[
        "created",
        "kept",
        "same",
        "other",
        "overwritten",
        "k2",
        "k3",
    ]);
    mirror.overwrite = Overwrite::MutableTagsOnly(vec![
        tagscope::regexp::Regexp::new("^overwritten$").unwrap(),
    ]);
    let there = &mirror.world.destination;
    // Somebody else had put these there: one as it is at the source, two as something else.
    there.add_image(PATH, "same", &Image::sized(3, &[100]));
    there.add_image(PATH, "other", &Image::sized(40, &[100]));
    there.add_image(PATH, "overwritten", &Image::sized(50, &[100]));
    there.add_image(PATH, "foreign", &Image::sized(60, &[100]));
    mirror.lose(&["created", "same", "other"]).await;
    mirror.world.source.delete_tag(PATH, "overwritten");
    mirror
        .world
        .source
        .add_image(PATH, "new", &Image::sized(70, &[100]));
    let (part, swept) = mirror.prune().await;
    assert_eq!((due(&part), part.owned), (vec!["created"], 5));
    assert_eq!(names(&swept.deleted), ["created"]);
    let left = [
        "foreign",
        "k2",
        "k3",
        "kept",
        "new",
        "other",
        "overwritten",
        "same",
    ];
    assert_eq!(mirror.tags(), left);
    mirror.world.destination.check_whole(PATH);
    // By its tag alone: nobody was asked to delete a manifest.
    let deletes = mirror.world.destination.requests().into_iter();
    let deletes: Vec<_> = deletes.filter(|it| it.method == Method::DELETE).collect();
    assert!(matches!(&deletes[..], [one] if one.path.ends_with("/manifests/created")));
}

#[tokio::test]
async fn fault_31_a_tag_that_somebody_else_moved_stays() {
    let mut mirror = Mirror::new().await;
    mirror.add(&["a", "b", "c"]);
    mirror.lose(&["a"]).await;
    mirror.turn().await;
    let (_, part) = mirror.turn().await;
    assert_eq!(due(&part), ["a"]);
    let there = &mirror.world.destination;
    let moved = there.add_image(PATH, "a", &Image::sized(9, &[10]));
    let swept = mirror.sweep(&part, &mut 100).await;
    assert_eq!((names(&swept.moved), swept.deleted.len()), (vec!["a"], 0));
    assert_eq!(mirror.world.destination.tag_digest(PATH, "a"), Some(moved));
    let (_, part) = mirror.turn().await;
    assert_eq!(
        (due(&part).len(), part.owned),
        (0, 2),
        "it is not ours any more"
    );
    // One that was deleted by somebody else is not there, and that is that.
    mirror.lose(&["b"]).await;
    mirror.rules.max_percent = 100;
    mirror.turn().await;
    let (_, part) = mirror.turn().await;
    mirror.world.destination.delete_tag(PATH, "b");
    let swept = mirror.sweep(&part, &mut 100).await;
    assert_eq!(names(&swept.deleted), ["b"]);
}

#[tokio::test]
async fn fault_31_of_a_digest_that_two_tags_have_one_goes_alone() {
    // 405 and 400: those that delete by digest only; none: those that delete tags.
    for refusal in [None, Some(405), Some(400)] {
        let mut mirror = Mirror::new().await;
        let image = Image::sized(1, &[100]);
        for tag in ["a", "b"] {
            mirror.world.source.add_image(PATH, tag, &image);
        }
        mirror.world.destination.add_image(PATH, "foreign", &image);
        mirror
            .world
            .destination
            .configure(|options| options.refuses_tag_deletion = refusal);
        mirror.lose(&["a"]).await;
        let (_, swept) = mirror.prune().await;
        assert_eq!(names(&swept.deleted), ["a"], "{refusal:?}");
        assert_eq!(mirror.tags(), ["b", "foreign"], "{refusal:?}");
        mirror.world.destination.check_whole(PATH);
        let digest = mirror.world.source.tag_digest(PATH, "b").unwrap();
        let asked = mirror.world.destination.requests();
        let is_fatal = |it: &Request| it.method == Method::DELETE && it.path.ends_with(&digest);
        assert!(!asked.iter().any(is_fatal), "{refusal:?}");
    }
}

#[tokio::test]
async fn fault_31_where_nothing_can_be_deleted_it_is_told_once_and_all_stays() {
    for (status, words) in [(405, "deletes no tags"), (403, "denies")] {
        let mut mirror = Mirror::new().await;
        mirror.add(&["a", "b", "c", "d"]);
        mirror.world.destination.configure(|options| {
            options.refuses_tag_deletion = Some(status);
            options.refuses_digest_deletion = Some(status);
        });
        mirror.lose(&["a", "b"]).await;
        let (part, swept) = mirror.prune().await;
        assert_eq!(due(&part), ["a", "b"]);
        let trouble = swept.trouble.unwrap();
        assert!(
            trouble.contains(words) && trouble.contains("team/app:a is not deleted"),
            "{trouble}"
        );
        assert!(swept.deleted.is_empty());
        assert_eq!(mirror.tags(), ["a", "b", "c", "d"]);
        mirror.world.destination.check_whole(PATH);
        // It is still ours, and goes when it may.
        let (_, part) = mirror.turn().await;
        mirror.world.destination.configure(|options| {
            options.refuses_tag_deletion = None;
        });
        let swept = mirror.sweep(&part, &mut 100).await;
        assert_eq!(names(&swept.deleted), ["a", "b"]);
    }
}

#[tokio::test]
async fn fault_31_a_broken_list_deletes_nothing() {
    let tags = ["a", "b", "c", "d", "e", "f"];
    let breaks: [(&str, Break); 5] = [
        ("empty", |source| {
            source.on(
                Method::GET,
                "/tags/list",
                Nth::Every,
                Fault::Json(r#"{"name":"team/app","tags":[]}"#.into()),
            );
        }),
        ("truncated", |source| {
            let link = Fault::Link("<nonsense".to_owned());
            source.on(Method::GET, "/tags/list", Nth::Every, link);
        }),
        ("denied", |source| {
            source.set_auth(Auth::Basic {
                username: "me".into(),
                password: "hunter2".into(),
            });
        }),
        ("broken off", |source| {
            source.on(Method::GET, "/tags/list", Nth::Every, Fault::Truncated);
        }),
        ("gone", |source| source.lose_repository(PATH)),
    ];
    for (what, broken) in breaks {
        let mut mirror = Mirror::new().await;
        mirror.rules.max_percent = 100;
        mirror.add(&tags);
        mirror.lose(&["a"]).await;
        broken(&mirror.world.source);
        for _ in 0..4 {
            let (_, part) = mirror.turn().await;
            assert_eq!(due(&part), [""; 0], "{what}");
            mirror.sweep(&part, &mut 100).await;
        }
        assert_eq!(mirror.tags(), tags, "{what}");
    }
}

#[tokio::test]
async fn fault_31_a_list_of_less_than_half_has_to_say_so_three_times() {
    let mut mirror = Mirror::new().await;
    mirror.rules.max_percent = 100;
    mirror.add(&["a", "b", "c", "d", "e", "f", "g"]);
    mirror.lose(&["a", "b", "c", "d"]).await;
    let (_, part) = mirror.turn().await;
    let doubt = Doubt::Shrunk {
        listed: 3,
        before: 7,
    };
    assert_eq!(part.refused, Some(Refusal::Doubt(doubt)));
    let (_, part) = mirror.turn().await;
    assert_eq!((due(&part).len(), part.waiting.len()), (0, 4));
    let (_, part) = mirror.turn().await;
    assert_eq!(due(&part), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn fault_31_too_much_at_once_is_refused_with_numbers() {
    let mut mirror = Mirror::new().await;
    mirror.rules.max_percent = 10;
    mirror.add(&["a", "b", "c", "d", "e"]);
    mirror.lose(&["a"]).await;
    let (part, swept) = mirror.prune().await;
    assert_eq!(swept, Swept::default());
    let told = part.refused.unwrap().to_string();
    let words =
        "1 of 5 owned tags would be deleted, more than the 10% of spec.prune.maxDeleteFraction";
    assert_eq!(told, words);
    assert_eq!(mirror.tags().len(), 5);
}

#[tokio::test]
async fn fault_31_without_its_ledger_nothing_is_a_mirrors() {
    let mut mirror = Mirror::new().await;
    mirror.rules.max_percent = 100;
    mirror.add(&["a", "b", "c"]);
    mirror.lose(&["a"]).await;
    mirror.ledger = Ledger::default();
    for _ in 0..4 {
        let (_, part) = mirror.turn().await;
        assert_eq!((part.owned, due(&part).len()), (0, 0));
    }
    assert_eq!(mirror.tags(), ["a", "b", "c"]);
}

#[tokio::test]
async fn signatures_go_after_their_image_and_stay_with_another() {
    let mut mirror = Mirror::new().await;
    mirror.referrers = true;
    // Registries without the API of referrers get a fallback tag.
    for registry in [&mirror.world.source, &mirror.world.destination] {
        registry.configure(|options| options.has_referrers = false);
    }
    let source = &mirror.world.source;
    let shared = Image::sized(1, &[100]);
    let digest = source.add_image(PATH, "a", &shared);
    source.add_image(PATH, "b", &shared);
    source.add_image(PATH, "c", &Image::sized(2, &[100]));
    source.add_cosign(PATH, &digest, "sig", 20);
    source.add_referrer(PATH, &digest, "application/x.sbom", 21);
    source.add_referrers_tag(PATH, &digest);
    let of_image = |mirror: &Mirror| {
        let tags = mirror.tags().into_iter();
        tags.filter(|tag| tag.starts_with("sha256-")).count()
    };
    mirror.lose(&["a"]).await;
    assert_eq!(of_image(&mirror), 2);
    let (_, swept) = mirror.prune().await;
    assert_eq!(
        (names(&swept.deleted), swept.companions.len()),
        (vec!["a"], 0)
    );
    assert_eq!(of_image(&mirror), 2, "b has the same digest");
    mirror.lose(&["b"]).await;
    let (_, swept) = mirror.prune().await;
    assert_eq!(
        (names(&swept.deleted), swept.companions.len()),
        (vec!["b"], 2)
    );
    assert_eq!(mirror.tags(), ["c"]);
}

#[tokio::test]
async fn a_deletion_that_was_broken_off_is_brought_to_its_end() {
    let mut mirror = Mirror::new().await;
    mirror.add(&["a", "b"]);
    mirror.lose(&["a"]).await;
    mirror.turn().await;
    let (_, part) = mirror.turn().await;
    // What a run leaves that was killed between the two steps.
    let placeholder = Image::sized(77, &[10]).artifact_type(PLACEHOLDER);
    let there = &mirror.world.destination;
    there.add_image(PATH, "a", &placeholder);
    let swept = mirror.sweep(&part, &mut 100).await;
    assert_eq!(names(&swept.deleted), ["a"]);
    assert_eq!(mirror.tags(), ["b"]);
}

#[tokio::test]
async fn a_deletion_that_was_broken_off_where_nothing_is_deleted_any_more_is_undone() {
    let mut mirror = Mirror::new().await;
    mirror.add(&["a", "b"]);
    mirror.lose(&["a"]).await;
    mirror.turn().await;
    let (_, part) = mirror.turn().await;
    let there = &mirror.world.destination;
    let digest = there.tag_digest(PATH, "a");
    there.configure(|options| {
        options.refuses_tag_deletion = Some(405);
        options.refuses_digest_deletion = Some(405);
    });
    there.add_image(
        PATH,
        "a",
        &Image::sized(77, &[10]).artifact_type(PLACEHOLDER),
    );
    let swept = mirror.sweep(&part, &mut 100).await;
    let trouble = swept.trouble.unwrap();
    assert!(trouble.contains("deletes no tags"), "{trouble}");
    assert_eq!(mirror.world.destination.tag_digest(PATH, "a"), digest);
    // It is still ours, and goes when it may.
    mirror.world.destination.configure(|options| {
        options.refuses_tag_deletion = None;
    });
    let swept = mirror.sweep(&part, &mut 100).await;
    assert_eq!(names(&swept.deleted), ["a"]);
}

#[tokio::test]
async fn what_is_held_by_nobody_knows_what_is_left_where_it_is() {
    let mut mirror = Mirror::new().await;
    mirror.referrers = true;
    mirror.rules.max_percent = 100;
    let source = &mirror.world.source;
    let digest = source.add_image(PATH, "a", &Image::sized(1, &[100]));
    source.add_image(PATH, "b", &Image::sized(2, &[100]));
    let signature = source.add_cosign(PATH, &digest, "sig", 20);
    mirror.lose(&["a"]).await;
    mirror.turn().await;
    let (_, part) = mirror.turn().await;
    let due = part.due.into_iter().map(|due| (due.tag, due.digest));
    let due: Vec<_> = due.collect();
    let remote = client().remote(mirror.to(), Access::default(), Intent::Write);
    for (due, held, left) in [
        (due, None, vec!["b", &*signature]),
        (Vec::new(), Some(BTreeSet::new()), vec!["b"]),
    ] {
        let (ledger, held) = (&mut mirror.ledger, held.as_ref());
        let swept = sweep_all(&remote, ledger, due, held, &mut 100, &|| true).await;
        assert_eq!(swept.trouble, None);
        assert_eq!(mirror.tags(), left);
    }
}

#[tokio::test]
async fn no_more_is_deleted_than_there_is_room_for() {
    let mut mirror = Mirror::new().await;
    mirror.add(&["a", "b", "c", "d", "e", "f"]);
    mirror.lose(&["a", "b", "c"]).await;
    mirror.turn().await;
    let (_, part) = mirror.turn().await;
    assert_eq!(due(&part), ["a", "b", "c"]);
    let mut room = 2;
    let swept = mirror.sweep(&part, &mut room).await;
    assert_eq!((names(&swept.deleted), room), (vec!["a", "b"], 0));
    assert_eq!(mirror.tags(), ["c", "d", "e", "f"]);
}

#[tokio::test]
async fn what_is_moved_by_the_mirror_itself_stays_its_own() {
    let mut mirror = Mirror::new().await;
    mirror.overwrite = Overwrite::Always;
    mirror.add(&["a", "b", "c"]);
    mirror.turn().await;
    mirror
        .world
        .source
        .add_image(PATH, "a", &Image::sized(30, &[100]));
    mirror.lose(&["a"]).await;
    let (part, swept) = mirror.prune().await;
    assert_eq!((names(&swept.deleted), part.owned), (vec!["a"], 3));
    assert_eq!(mirror.world.destination.tag_digest(PATH, "a"), None);
}
