//! What is owned is owned again after it was written down, what others moved is not, and looks count only where they can be believed.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::mirror::sealed::Reader;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn digest(number: u32) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn to() -> Repository {
    repository("r.example:5000/mirror/app")
}

fn wrote(name: &str, now: u32, before: Option<u32>, with: Option<u32>) -> Written {
    Written {
        to: to(),
        tag: tag(name),
        digest: digest(now),
        before: before.map(digest),
        with: with.map(digest),
    }
}

fn noted(written: Vec<Written>) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.note(&Report {
        written,
        ..Report::default()
    });
    ledger
}

fn seen(name: &str, found: u32, outcome: Outcome) -> Report {
    let tags = vec![TagReport {
        from: repository("ghcr.io/a/app"),
        to: to(),
        tag: Some(tag(name)),
        source: None,
        destination: Some(digest(found)),
        expected: None,
        outcome,
        referrers: 0,
        moved_meanwhile: false,
    }];
    Report {
        tags,
        ..Report::default()
    }
}

fn digest_of(ledger: &Ledger, name: &str) -> Option<Digest> {
    let entry = ledger.entry(&to(), &tag(name))?;
    Some(entry.digest.clone())
}

#[test]
fn owned_is_what_was_not_there_before() {
    let ledger = noted(vec![
        wrote("new", 1, None, None),
        wrote("old", 2, Some(3), None),
    ]);
    assert_eq!(digest_of(&ledger, "new"), Some(digest(1)));
    assert_eq!(digest_of(&ledger, "old"), None);
    assert_eq!((ledger.owned(&to()), ledger.len()), (1, 1));
    // By whichever of its names.
    assert_eq!(ledger.owned(&repository("R.example:5000/mirror/app")), 1);
    assert_eq!(ledger.owned(&repository("r.example/mirror/app")), 0);
}

#[test]
fn what_is_written_again_stays_owned_and_what_others_wrote_meanwhile_does_not() {
    for (before, is_owned) in [
        (Some(1), true),
        (None, true),
        (Some(7), false),
        (Some(2), false),
    ] {
        let mut ledger = noted(vec![wrote("a", 1, None, None)]);
        ledger.note(&Report {
            written: vec![wrote("a", 2, before, None)],
            ..Report::default()
        });
        let expected = is_owned.then(|| digest(2));
        assert_eq!(digest_of(&ledger, "a"), expected, "{before:?}");
    }
}

#[test]
fn what_is_seen_to_have_moved_is_not_owned() {
    for (found, outcome, is_owned) in [
        (1, Outcome::Unchanged, true),
        (2, Outcome::Unchanged, false),
        (2, Outcome::Drifted { found: digest(2) }, false),
        (1, Outcome::Drifted { found: digest(1) }, true),
        // What was copied is told by what was written.
        (2, Outcome::Copied, true),
    ] {
        let mut ledger = noted(vec![wrote("a", 1, None, None)]);
        ledger.note(&seen("a", found, outcome.clone()));
        assert_eq!(ledger.owned(&to()) == 1, is_owned, "{found} {outcome:?}");
    }
}

#[test]
fn a_ledger_has_an_end() {
    let mut ledger = Ledger::default();
    let many = (0..MOST_TAGS + 5).map(|number| Written {
        digest: digest(0),
        ..wrote(&format!("t{number}"), 0, None, None)
    });
    ledger.note(&Report {
        written: many.collect(),
        ..Report::default()
    });
    assert_eq!(ledger.len(), MOST_TAGS);
    let again = Ledger::decode(&ledger.encode()).unwrap();
    assert_eq!(again, ledger);
}

#[test]
fn five_thousand_tags_are_a_quarter_of_a_mebibyte() {
    let many = (0..5000).map(|number| wrote(&format!("v1.{number}.0"), number, None, None));
    let bytes = noted(many.collect()).encode();
    assert!(bytes.len() < 256 << 10, "{}", bytes.len());
}

/// What a look at a list of `listed` tags says, with these wanted.
fn look(ledger: &mut Ledger, at: i64, listed: usize, wanted: &[&str]) -> Result<(), Doubt> {
    look_at(ledger, "ghcr.io/a/app", at, Some(listed), wanted)
}

fn look_at(
    ledger: &mut Ledger,
    source: &str,
    at: i64,
    listed: Option<usize>,
    wanted: &[&str],
) -> Result<(), Doubt> {
    let at = Timestamp::UNIX_EPOCH + HOUR * i32::try_from(at).unwrap();
    let sight = Sight {
        source: &repository(source),
        at,
        listed: listed.unwrap_or(3),
        is_complete: listed.is_some(),
        wanted: &wanted.iter().map(|name| tag(name)).collect(),
    };
    ledger.look(&to(), &sight, at + SignedDuration::from_mins(1))
}

fn unwanted(ledger: &Ledger, name: &str) -> Option<(i64, u8)> {
    let Unwanted { since, looks } = ledger.entry(&to(), &tag(name))?.unwanted?;
    Some((since.as_second() / 60, looks))
}

fn three() -> Ledger {
    noted(vec![
        wrote("a", 1, None, None),
        wrote("b", 2, None, None),
        wrote("c", 3, None, None),
    ])
}

#[test]
fn looks_are_counted_once_each_and_in_a_row() {
    let mut ledger = three();
    assert_eq!(look(&mut ledger, 1, 3, &["a", "b", "c"]), Ok(()));
    assert_eq!(unwanted(&ledger, "c"), None);
    assert_eq!(look(&mut ledger, 2, 2, &["a", "b"]), Ok(()));
    assert_eq!(unwanted(&ledger, "c"), Some((121, 1)));
    // The same list again says nothing new.
    assert_eq!(look(&mut ledger, 2, 2, &["a", "b"]), Ok(()));
    assert_eq!(unwanted(&ledger, "c"), Some((121, 1)));
    // A list from before neither.
    assert_eq!(look(&mut ledger, 1, 2, &["a", "b"]), Ok(()));
    assert_eq!(unwanted(&ledger, "c"), Some((121, 1)));
    assert_eq!(look(&mut ledger, 3, 2, &["a", "b"]), Ok(()));
    assert_eq!(unwanted(&ledger, "c"), Some((121, 2)));
    let written = ledger.encode();
    assert_eq!(look(&mut ledger, 4, 2, &["a", "b"]), Ok(()));
    assert_eq!(ledger.encode(), written, "nothing to write down any more");
    assert_eq!(look(&mut ledger, 5, 3, &["a", "b", "c"]), Ok(()));
    assert_eq!(unwanted(&ledger, "c"), None);
}

#[test]
fn fault_31_a_list_that_is_not_believed_counts_for_nothing() {
    let shrunk = |listed, before| Doubt::Shrunk { listed, before };
    for (listed, wanted, doubt, since) in [
        (None, &["a", "b"][..], Doubt::Incomplete, Some((121, 0))),
        (Some(0), &[], Doubt::Empty, Some((121, 0))),
        (Some(4), &["a", "b"], shrunk(4, 10), Some((121, 0))),
        (
            Some(10),
            &[],
            Doubt::NothingWanted { listed: 10 },
            Some((121, 0)),
        ),
        // What is in it is wanted all the same.
        (None, &["a", "b", "c"], Doubt::Incomplete, None),
    ] {
        let mut ledger = three();
        assert_eq!(look(&mut ledger, 1, 10, &["a", "b", "c"]), Ok(()));
        assert_eq!(look(&mut ledger, 2, 10, &["a", "b"]), Ok(()));
        let looked = look_at(&mut ledger, "ghcr.io/a/app", 3, listed, wanted);
        assert_eq!(looked, Err(doubt.clone()));
        assert_eq!(unwanted(&ledger, "c"), since, "{doubt:?}");
        assert_eq!(unwanted(&ledger, "a"), None, "{doubt:?}");
    }
}

#[test]
fn fault_31_a_list_that_shrank_by_more_than_half_has_to_be_seen_twice_more() {
    let mut ledger = three();
    assert_eq!(look(&mut ledger, 1, 10, &["a", "b", "c"]), Ok(()));
    assert!(matches!(
        look(&mut ledger, 2, 4, &["a"]),
        Err(Doubt::Shrunk { .. })
    ));
    assert_eq!(unwanted(&ledger, "c"), None);
    // The very same list, looked at again.
    assert_eq!(look(&mut ledger, 2, 4, &["a"]), Ok(()));
    assert_eq!(unwanted(&ledger, "c"), Some((121, 0)));
    assert_eq!(look(&mut ledger, 3, 4, &["a"]), Ok(()));
    assert_eq!(look(&mut ledger, 4, 4, &["a"]), Ok(()));
    assert_eq!(unwanted(&ledger, "c"), Some((121, 2)));
    // Half is not more than half.
    assert_eq!(look(&mut ledger, 5, 2, &["a"]), Ok(()));
}

#[test]
fn another_source_has_to_be_seen_twice_more() {
    let mut ledger = three();
    assert_eq!(look(&mut ledger, 1, 3, &["a", "b", "c"]), Ok(()));
    let other = |ledger: &mut Ledger, at| look_at(ledger, "quay.io/a/app", at, Some(3), &["a"]);
    let before = repository("ghcr.io/a/app");
    assert_eq!(other(&mut ledger, 2), Err(Doubt::OtherSource { before }));
    assert_eq!(unwanted(&ledger, "c"), None);
    assert_eq!(other(&mut ledger, 3), Ok(()));
    assert_eq!(other(&mut ledger, 4), Ok(()));
    assert_eq!(unwanted(&ledger, "c"), Some((181, 2)));
}

fn sig(number: u32) -> String {
    format!("sha256-{}.sig", digest(number).hex())
}

#[test]
fn what_belongs_to_an_image_goes_after_it_and_not_while_another_tag_has_it() {
    let mut ledger = noted(vec![
        wrote("a", 1, None, None),
        wrote("b", 1, None, None),
        wrote(&sig(1), 9, None, Some(1)),
    ]);
    assert_eq!(ledger.owned(&to()), 2, "a signature is no image");
    let nothing = BTreeSet::new();
    assert_eq!(ledger.orphans(&to(), &nothing), []);
    ledger.deleted(&to(), &tag("a"));
    assert_eq!(ledger.orphans(&to(), &nothing), [], "b has it, too");
    ledger.deleted(&to(), &tag("b"));
    // A tag that is not ours may have it.
    assert_eq!(ledger.orphans(&to(), &[digest(1)].into()), []);
    let orphan = (tag(&sig(1)), digest(9));
    assert_eq!(
        ledger.orphans(&to(), &nothing),
        std::slice::from_ref(&orphan)
    );
    let mut again = Ledger::decode(&ledger.encode()).unwrap();
    assert_eq!(again.orphans(&to(), &nothing), [orphan]);
    again.deleted(&to(), &tag(&sig(1)));
    assert!(again.is_empty());
}

#[test]
fn what_belongs_to_two_images_stays_with_the_second() {
    // A signature of a platform that two indexes share: the second run finds it there.
    let mut ledger = noted(vec![
        wrote("a", 1, None, None),
        wrote(&sig(5), 9, None, Some(1)),
        wrote("b", 2, None, None),
        wrote(&sig(5), 9, Some(9), Some(2)),
    ]);
    ledger.deleted(&to(), &tag("a"));
    assert_eq!(ledger.orphans(&to(), &BTreeSet::new()), []);
    ledger.deleted(&to(), &tag("b"));
    assert_eq!(ledger.orphans(&to(), &BTreeSet::new()).len(), 1);
}

#[test]
fn a_signature_of_too_many_images_is_not_owned() {
    let mut written: Vec<_> = (0..20)
        .map(|number| wrote(&format!("t{number}"), number, None, None))
        .collect();
    written.push(wrote(&sig(5), 99, None, Some(0)));
    written.extend((1..20).map(|number| wrote(&sig(5), 99, Some(99), Some(number))));
    let ledger = noted(written);
    assert_eq!((ledger.owned(&to()), ledger.len()), (20, 20));
}

#[test]
fn what_is_announced_is_that_and_nothing_else() {
    let mut ledger = three();
    let next = |names: &[&str]| names.iter().map(|name| (to(), tag(name))).collect();
    ledger.announce(&next(&["a", "b"]), Some([7; 32]));
    ledger.announce(&next(&["b", "c", "absent"]), Some([8; 32]));
    let ledger = Ledger::decode(&ledger.encode()).unwrap();
    let is_announced = |name| ledger.entry(&to(), &tag(name)).unwrap().is_announced;
    assert_eq!(["a", "b", "c"].map(is_announced), [false, true, true]);
    assert!(ledger.has_announced([8; 32]) && !ledger.has_announced([7; 32]));
    assert!(!Ledger::default().has_announced([0; 32]));
}

#[test]
fn fault_31_a_ledger_that_was_damaged_is_refused() {
    let bytes = three().encode();
    for length in 0..bytes.len() {
        assert!(Ledger::decode(&bytes[..length]).is_err(), "{length}");
    }
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        assert!(Ledger::decode(&damaged).is_err(), "{place}");
    }
    for version in [1, 3_u32] {
        let other = [&bytes[..16], &version.to_le_bytes(), &bytes[20..]].concat();
        assert_eq!(
            Ledger::decode(&other),
            Err(Error("it is of another version"))
        );
    }
}

fn mirror(name: &str) -> Key {
    Key::new("apps", name)
}

/// Mirrors that copy to the one repository, and the tags that they select.
fn parties(mirrors: &[(&str, &[&str])]) -> Parties {
    let mirrors = mirrors.iter().map(|(name, tags)| {
        let tags = tags.iter().map(|name| tag(name));
        (mirror(name), tags.collect())
    });
    [(to(), mirrors.collect())].into()
}

/// As a run of these leaves it, and the next one finds it.
fn shared(ledger: &mut Ledger, written: Vec<Written>, mirrors: &[(&str, &[&str])]) {
    let report = Report {
        written,
        ..Report::default()
    };
    *ledger = Ledger::decode(&ledger.encode()).unwrap();
    ledger.note_of(&report, parties(mirrors));
}

fn names(ledger: &Ledger) -> Vec<String> {
    let to = to();
    let images = ledger.images(&to);
    images.map(|(tag, _)| tag.to_string()).collect()
}

#[test]
fn what_an_absent_mirror_wants_is_left_alone() {
    let written = || {
        vec![
            wrote("1.0", 1, None, None),
            wrote("2.0", 2, None, None),
            wrote("3.0", 3, None, None),
            wrote(&sig(2), 9, None, Some(2)),
        ]
    };
    let (one, two) = (&["1.0", "3.0"][..], &["2.0", "3.0"][..]);
    for (present, left) in [
        (&[("a", &["1.0"][..])][..], &["1.0"][..]),
        (&[("b", &["2.0"])], &["2.0"]),
        (&[("a", one), ("b", two)], &["1.0", "2.0", "3.0"]),
        (
            &[("a", one), ("b", two), ("c", &[])],
            &["1.0", "2.0", "3.0"],
        ),
        (&[("c", &[])], &[]),
        (&[], &[]),
    ] {
        let mut ledger = Ledger::default();
        shared(&mut ledger, written(), &[("a", one), ("b", two)]);
        shared(&mut ledger, Vec::new(), present);
        assert_eq!(names(&ledger), left, "{present:?}");
        assert_eq!(ledger.owned(&to()), left.len(), "{present:?}");
        assert_eq!(ledger.len(), 4, "nothing is forgotten");
        // Two looks that miss all of it.
        for at in [1, 2] {
            drop(look(&mut ledger, at, 3, &["other"]));
        }
        let missed = ["1.0", "2.0", "3.0"].map(|name| unwanted(&ledger, name).is_some());
        let visible = ["1.0", "2.0", "3.0"].map(|name| left.contains(&name));
        assert_eq!(missed, visible, "{present:?}");
        // What belongs to an image may be another's as well.
        ledger.deleted(&to(), &tag("2.0"));
        let orphans = ledger.orphans(&to(), &BTreeSet::new()).len();
        assert_eq!(orphans, usize::from(left.len() == 3), "{present:?}");
    }
}

#[test]
fn what_a_mirror_selects_later_is_its_own_too_and_what_moved_away_is_not_looked_at() {
    let mut ledger = Ledger::default();
    shared(
        &mut ledger,
        vec![wrote("1.0", 1, None, None)],
        &[("a", &["1.0"])],
    );
    // Found there, unchanged.
    shared(&mut ledger, Vec::new(), &[("b", &["1.0"])]);
    for (present, is_seen) in [
        (&[("a", &[][..])][..], false),
        (&[("b", &[])], false),
        (&[("a", &[]), ("b", &[])], true),
    ] {
        shared(&mut ledger, Vec::new(), present);
        assert_eq!(ledger.owned(&to()) == 1, is_seen, "{present:?}");
    }
    // A mirror that takes part, and does not copy there any more.
    let elsewhere = parties(&[("a", &[]), ("b", &[])]).into_values();
    let elsewhere = elsewhere.map(|mirrors| (repository("r.example/other"), mirrors));
    ledger.note_of(&Report::default(), elsewhere.collect());
    assert_eq!((ledger.owned(&to()), ledger.len()), (0, 1));
}

#[test]
fn what_one_mirror_alone_has_noted_is_nobodys_of_several() {
    let mut ledger = three();
    shared(&mut ledger, Vec::new(), &[("a", &["a"])]);
    assert_eq!(names(&ledger), ["a"]);
}

#[test]
fn what_belongs_to_images_is_of_all_who_have_copied_there() {
    let mut ledger = Ledger::default();
    let written = vec![
        wrote("1.0", 1, None, None),
        wrote(&sig(1), 9, None, Some(1)),
    ];
    shared(&mut ledger, written, &[("a", &["1.0"])]);
    // What it has of that digest is not owned, and has the same signature.
    shared(&mut ledger, Vec::new(), &[("b", &["stable"])]);
    shared(&mut ledger, Vec::new(), &[("a", &[])]);
    ledger.deleted(&to(), &tag("1.0"));
    assert_eq!(ledger.orphans(&to(), &BTreeSet::new()), []);
    shared(&mut ledger, Vec::new(), &[("a", &[]), ("b", &[])]);
    assert_eq!(ledger.orphans(&to(), &BTreeSet::new()).len(), 1);
}

#[test]
fn a_tag_of_too_many_mirrors_is_not_owned() {
    let mut ledger = three();
    let many: Vec<String> = (0..17).map(|number| format!("m{number}")).collect();
    let mirrors: Vec<_> = many.iter().map(|name| (&**name, &["a"][..])).collect();
    shared(&mut ledger, Vec::new(), &mirrors[..16]);
    assert_eq!((ledger.len(), names(&ledger).len()), (3, 1));
    shared(&mut ledger, Vec::new(), &mirrors);
    assert_eq!((ledger.len(), names(&ledger).len()), (2, 0));
    let again = Ledger::decode(&ledger.encode()).unwrap();
    assert_eq!(again.encode(), ledger.encode());
}

fn any_ledger() -> impl Strategy<Value = Ledger> {
    let name = prop_oneof![
        "[a-z][a-z0-9.]{0,9}".prop_map(|text| text),
        (0..4_u32).prop_map(sig),
    ];
    let write = (
        name,
        0..6_u32,
        proptest::option::of(0..6_u32),
        proptest::option::of(0..6_u32),
    );
    let writes = proptest::collection::vec(write, 0..24);
    let looks = proptest::collection::vec(
        (0..9_i64, proptest::option::of(0..9_usize), any::<bool>()),
        0..5,
    );
    (writes, looks).prop_map(|(writes, looks)| {
        let written = writes
            .iter()
            .map(|(name, now, before, with)| wrote(name, *now, *before, *with));
        let mut ledger = noted(written.collect());
        for (at, listed, is_wanted) in looks {
            let first = writes
                .first()
                .map(|(name, ..)| name.as_str())
                .filter(|_| is_wanted);
            drop(look_at(
                &mut ledger,
                "ghcr.io/a/app",
                at,
                listed,
                &Vec::from_iter(first),
            ));
        }
        if let Some((name, ..)) = writes.last() {
            ledger.announce(&[(to(), tag(name))].into(), Some([3; 32]));
        }
        if let Some((name, ..)) = writes.first() {
            ledger.deleted(&to(), &tag(name));
        }
        for (name, now, ..) in writes.iter().skip(2).take(4) {
            let mirror = format!("m{now}");
            ledger.note_of(&Report::default(), parties(&[(&mirror, &[name])]));
        }
        // That is not kept.
        ledger.parties = None;
        ledger
    })
}

proptest! {
    #[test]
    fn what_is_written_down_is_read_again(ledger in any_ledger()) {
        let bytes = ledger.encode();
        let again = Ledger::decode(&bytes);
        prop_assert_eq!(again.as_ref(), Ok(&ledger));
        prop_assert_eq!(again.unwrap().encode(), bytes);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(Ledger::decode(&bytes));
        if let Ok(read) = codec::body(Reader(&bytes)) {
            prop_assert_eq!(Ledger::decode(&read.encode()), Ok(read));
        }
    }

    #[test]
    fn no_change_makes_it_panic(ledger in any_ledger(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = ledger.encode();
        let body = 16 + 4 + 8 + 32;
        let place = body + place.index(bytes.len() - body);
        bytes[place] = byte;
        if let Ok(read) = Ledger::decode_unchecked(&bytes[body..]) {
            prop_assert_eq!(Ledger::decode(&read.encode()), Ok(read));
        }
    }
}
