//! What is known is known again, forgets as it is told, and reads nothing that it has not written.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn digest(number: u32) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn copied(number: u32, second: i64) -> Copied {
    Copied {
        source: digest(number),
        destination: digest(number / 2),
        verified: Timestamp::new(second, 5).unwrap(),
    }
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// What everybody may read at one registry.
fn everybody() -> Provenance {
    Provenance {
        registry: "source.example".parse().unwrap(),
        account: None,
    }
}

fn account(number: u64) -> Provenance {
    Provenance {
        account: Some(number),
        ..everybody()
    }
}

const NAMES: [&str; 5] = [
    "registry.example/team/app",
    "registry.example/team/other",
    "localhost:5000/app",
    "alpine",
    "[::1]:5000/a/b",
];

#[test]
fn blobs_are_known_where_they_were_noted() {
    let known = Known::default();
    let [app, other, local, ..] = NAMES.map(repository);
    let blob = digest(1);
    assert!(!known.has_blob(&app, &blob));
    assert_eq!(known.holder(app.registry(), &blob, &everybody()), None);
    known.note_blob_of(&app, &blob, &everybody());
    known.note_blob(&app, &blob);
    assert!(known.has_blob(&app, &blob));
    assert!(!known.has_blob(&other, &blob) && !known.has_blob(&app, &digest(2)));
    assert_eq!(
        known.holder(other.registry(), &blob, &everybody()),
        Some(app.clone())
    );
    assert_eq!(known.holder(local.registry(), &blob, &everybody()), None);
    known.note_blob_of(&other, &blob, &everybody());
    known.forget_blob(&app, &blob);
    assert_eq!(
        known.holder(other.registry(), &blob, &everybody()),
        Some(other.clone())
    );
    known.forget_repository(&other);
    assert_eq!(known.holder(other.registry(), &blob, &everybody()), None);
    known.note_blob(&other, &digest(2));
    assert!(!known.has_blob(&other, &blob) && known.has_blob(&other, &digest(2)));
}

#[test]
fn a_blob_is_mounted_from_where_it_was_brought_for_the_same_account_or_for_everybody() {
    let known = Known::default();
    let [app, other, ..] = NAMES.map(repository);
    let elsewhere = Provenance {
        registry: "elsewhere.example".parse().unwrap(),
        account: None,
    };
    let (public, secret, old) = (digest(1), digest(2), digest(3));
    known.note_blob(&app, &old);
    known.note_blob_of(&app, &public, &everybody());
    known.note_blob_of(&app, &secret, &account(1));
    // Another who reads it by rights of their own brings it elsewhere.
    known.note_blob_of(&other, &secret, &account(2));
    let holder = |known: &Known, blob, of: &Provenance| {
        let holder = known.holder(app.registry(), blob, of);
        for name in [&app, &other] {
            if holder.as_ref() == Some(name) {
                assert!(known.may_mount_from(name, blob, of));
            }
        }
        holder
    };
    for of in [&everybody(), &account(1), &account(2)] {
        assert_eq!(holder(&known, &public, of), Some(app.clone()));
        assert_eq!(holder(&known, &old, of), None);
        assert!(!known.may_mount_from(&app, &old, of));
    }
    assert_eq!(holder(&known, &secret, &account(1)), Some(app.clone()));
    assert_eq!(holder(&known, &secret, &account(2)), Some(other.clone()));
    for of in [&everybody(), &account(3), &elsewhere] {
        assert_eq!(holder(&known, &secret, of), None);
        assert!(!known.may_mount_from(&app, &secret, of));
    }
    assert_eq!(holder(&known, &public, &elsewhere), None);

    // Accounts are of this process.
    let again = Known::decode(&known.encode()).unwrap();
    assert_eq!(holder(&again, &public, &account(1)), Some(app.clone()));
    assert_eq!(holder(&again, &secret, &account(1)), None);
    assert!(again.has_blob(&app, &secret) && again.has_blob(&other, &secret));
    assert_eq!(again.encode(), known.encode());
    // What was written takes nothing away from what is known here.
    known.merge(&again);
    assert_eq!(holder(&known, &secret, &account(2)), Some(other.clone()));
    let third = Known::default();
    third.merge(&known);
    assert_eq!(holder(&third, &secret, &account(2)), Some(other.clone()));
    known.forget_blob(&other, &secret);
    assert_eq!(holder(&known, &secret, &account(2)), None);
    assert!(!known.has_blob(&other, &secret));
}

#[test]
fn two_accounts_may_have_brought_the_same() {
    let known = Known::default();
    let [app, other, ..] = NAMES.map(repository);
    for of in [account(1), account(2), everybody()] {
        known.note_blob_of(&app, &digest(1), &of);
        known.note_blob_of(&other, &digest(1), &of);
    }
    let again = Known::decode(&known.encode()).unwrap();
    assert!(again.may_mount_from(&app, &digest(1), &account(7)));
    known.forget_blob(&app, &digest(1));
    assert!(!known.has_blob(&app, &digest(1)) && known.has_blob(&other, &digest(1)));
}

#[test]
fn it_is_shown_by_its_numbers() {
    let shown = format!("{:?}", full());
    assert_eq!(shown, "Known { repositories: 5, blobs: 3500, tags: 5 }");
}

#[test]
fn a_manifest_is_no_blob() {
    let known = Known::default();
    let [app, other, ..] = NAMES.map(repository);
    let (as_blob, as_manifest) = (digest(1), digest(2));
    known.note_blob(&app, &as_blob);
    known.note_manifest(&app, &as_manifest);
    let known = Known::decode(&known.encode()).unwrap();
    assert!(known.has_blob(&app, &as_blob) && !known.has_manifest(&app, &as_blob));
    assert!(known.has_manifest(&app, &as_manifest) && !known.has_blob(&app, &as_manifest));
    assert_eq!(
        known.holder(other.registry(), &as_manifest, &everybody()),
        None
    );
    known.forget_blob(&app, &as_manifest);
    assert!(known.has_manifest(&app, &as_manifest));
    known.forget_manifest(&app, &as_manifest);
    assert!(!known.has_manifest(&app, &as_manifest));
}

#[test]
fn a_registry_is_the_same_however_it_is_written() {
    let known = Known::default();
    known.note_blob_of(&repository("R.example:443/a/b"), &digest(1), &everybody());
    assert!(known.has_blob(&repository("r.example/a/b"), &digest(1)));
    let holder = known.holder(&"r.EXAMPLE".parse().unwrap(), &digest(1), &everybody());
    assert_eq!(holder, Some(repository("r.example/a/b")));
    known.forget_repository(&repository("R.example/a/b"));
    assert!(!known.has_blob(&repository("R.example:443/a/b"), &digest(1)));
}

#[test]
fn sha512_is_known_as_well() {
    let known = Known::default();
    let [app, ..] = NAMES.map(repository);
    let long: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
    known.note_blob(&app, &long);
    let copied = Copied {
        source: long.clone(),
        destination: long.clone(),
        verified: Timestamp::UNIX_EPOCH,
    };
    known.note_tag(&app, &tag("a"), &app, "", copied.clone());
    let again = Known::decode(&known.encode()).unwrap();
    assert!(again.has_blob(&app, &long));
    assert_eq!(again.tag(&app, &tag("a"), &app, ""), Some(copied));
}

#[test]
fn tags_are_told_apart_by_where_they_went_and_how() {
    let known = Known::default();
    let [app, other, local, ..] = NAMES.map(repository);
    known.note_tag(&app, &tag("1"), &local, "", copied(1, 1));
    assert_eq!(known.tag(&app, &tag("1"), &local, ""), Some(copied(1, 1)));
    for (from, name, to, variant) in [
        (&other, "1", &local, ""),
        (&app, "2", &local, ""),
        (&app, "1", &other, ""),
        (&app, "1", &local, "linux/arm64"),
    ] {
        assert_eq!(known.tag(from, &tag(name), to, variant), None);
    }
    known.forget_repository(&local);
    assert_eq!(known.tag(&app, &tag("1"), &local, ""), None);
}

#[test]
fn a_tag_that_was_deleted_is_forgotten_wherever_it_came_from() {
    let known = Known::default();
    let [app, other, local, ..] = NAMES.map(repository);
    for from in [&app, &other] {
        known.note_tag(from, &tag("1"), &local, "", copied(1, 1));
        known.note_tag(from, &tag("2"), &local, "", copied(2, 1));
    }
    known.note_tag(&app, &tag("1"), &other, "", copied(1, 1));
    known.forget_tag(&local, &tag("1"));
    known.forget_tag(&repository("r.example/absent"), &tag("2"));
    for from in [&app, &other] {
        assert_eq!(known.tag(from, &tag("1"), &local, ""), None);
        assert_eq!(known.tag(from, &tag("2"), &local, ""), Some(copied(2, 1)));
    }
    assert_eq!(known.tag(&app, &tag("1"), &other, ""), Some(copied(1, 1)));
}

#[test]
fn many_repositories_may_be_forgotten() {
    let known = Known::default();
    let name = |number: u32| repository(&format!("registry.example/app-{number}"));
    let blob = digest(1);
    for round in 0..3 {
        for number in 0..200 {
            known.note_blob_of(&name(number), &blob, &everybody());
            known.note_blob(&name(number), &digest(number));
        }
        for number in 0..150 {
            known.forget_repository(&name(number));
            assert!(!known.has_blob(&name(number), &blob), "{round} {number}");
        }
        let registry = name(0).registry().clone();
        assert!(known.holder(&registry, &blob, &everybody()).is_some());
        let again = Known::decode(&known.encode()).unwrap();
        for number in 0..200 {
            assert_eq!(again.has_blob(&name(number), &blob), number >= 150);
            assert_eq!(
                again.has_blob(&name(number), &digest(number)),
                number >= 150
            );
        }
    }
}

#[test]
fn two_runs_learn_from_each_other_but_not_what_was_found_to_be_gone() {
    let (ours, theirs) = (Known::default(), Known::default());
    let [app, other, local, ..] = NAMES.map(repository);
    for name in [&app, &other, &local] {
        theirs.note_blob(name, &digest(1));
        theirs.note_tag(&app, &tag("1"), name, "", copied(1, 10));
        theirs.note_tag(&app, &tag("2"), name, "", copied(1, 10));
    }
    ours.note_blob(&app, &digest(2));
    ours.note_tag(&app, &tag("1"), &other, "", copied(2, 5));
    ours.note_tag(&app, &tag("2"), &other, "", copied(2, 15));
    ours.forget_repository(&local);
    ours.forget_blob(&app, &digest(1));
    ours.merge(&theirs);
    ours.merge(&ours);
    assert!(ours.has_blob(&app, &digest(2)) && ours.has_blob(&other, &digest(1)));
    assert!(!ours.has_blob(&app, &digest(1)) && !ours.has_blob(&local, &digest(1)));
    assert_eq!(ours.tag(&app, &tag("1"), &other, ""), Some(copied(1, 10)));
    assert_eq!(ours.tag(&app, &tag("2"), &other, ""), Some(copied(2, 15)));
    assert_eq!(ours.tag(&app, &tag("1"), &local, ""), None);
    ours.note_blob(&app, &digest(1));
    assert!(ours.has_blob(&app, &digest(1)));
}

fn full() -> Known {
    let known = Known::default();
    for (name, number) in NAMES.iter().zip(0..) {
        let name = repository(name);
        for blob in 0..700 {
            known.note_blob_of(&name, &digest(blob * (number + 1)), &everybody());
        }
        known.note_tag(
            &name,
            &tag("v1"),
            &repository(NAMES[0]),
            "x",
            copied(number, -3),
        );
    }
    known
}

#[test]
fn fault_29_a_state_that_was_cut_off_is_refused() {
    let bytes = full().encode();
    let whole = bytes.len();
    for length in (0..whole).step_by(97).chain(0..80).chain([whole - 1]) {
        assert!(Known::decode(&bytes[..length]).is_err(), "{length}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(Known::decode(&longer).is_err());
}

#[test]
fn fault_29_a_state_that_was_damaged_is_refused() {
    let bytes = full().encode();
    for place in (0..bytes.len()).step_by(101).chain(0..64) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        assert!(Known::decode(&damaged).is_err(), "{place}");
    }
}

#[test]
fn fault_29_a_state_from_the_future_is_refused() {
    let mut bytes = full().encode();
    bytes[16] = 200;
    assert_eq!(
        Known::decode(&bytes).unwrap_err(),
        Error("it is of another version")
    );
    assert_eq!(
        Known::decode(b"something else, long enough to be one").unwrap_err(),
        Error("it is no state")
    );
}

#[test]
fn fault_29_absurd_counts_are_refused_before_anything_is_allocated() {
    let huge = u32::MAX.to_le_bytes();
    let none = 0_u32.to_le_bytes();
    let registry: &[u8] = b"\x10\x00registry.example";
    for body in [
        [&huge[..], &none, &none, &none].concat(),
        [&none[..], &huge, &none, &none].concat(),
        [&none[..], &none, &huge, &none].concat(),
        [&none[..], &none, &none, &huge].concat(),
        [&none[..], &none, &1_u32.to_le_bytes(), registry, &huge].concat(),
        [&1_u32.to_le_bytes()[..], b"\xff\xff"].concat(),
    ] {
        assert!(Known::decode_unchecked(&body).is_err(), "{body:?}");
    }
    let nothing = [none, none, none, none].concat();
    assert!(Known::decode_unchecked(&nothing).is_ok());
}

/// What a model of it would hold.
type Model = (
    BTreeSet<(usize, u32)>,
    BTreeMap<(usize, usize, u8), (u32, i64)>,
);

fn answers(known: &Known, (blobs, tags): &Model) -> Result<(), TestCaseError> {
    let names = NAMES.map(repository);
    for (index, name) in names.iter().enumerate() {
        for blob in 0..12 {
            let expected = blobs.contains(&(index, blob));
            prop_assert_eq!(known.has_blob(name, &digest(blob)), expected);
            let holder = known.holder(name.registry(), &digest(blob), &everybody());
            let is_held = names
                .iter()
                .enumerate()
                .any(|(at, it)| it.registry() == name.registry() && blobs.contains(&(at, blob)));
            prop_assert_eq!(holder.is_some(), is_held);
            if let Some(holder) = holder {
                let at = names.iter().position(|it| *it == holder).unwrap();
                prop_assert!(blobs.contains(&(at, blob)) && holder.registry() == name.registry());
            }
        }
        for (to, there) in names.iter().enumerate() {
            for number in 0..3 {
                let found = known.tag(name, &tag(&format!("t{number}")), there, "v");
                let expected = tags.get(&(index, to, number));
                prop_assert_eq!(found, expected.map(|(what, when)| copied(*what, *when)));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_and_nothing_else(
        steps in prop::collection::vec((0..10_u8, 0..5_usize, 0..5_usize, 0..12_u32, 0..3_u8, -9..9_i64), 0..120),
    ) {
        let known = Known::default();
        let mut model = Model::default();
        let names = NAMES.map(repository);
        for (step, at, to, blob, number, second) in steps {
            match step {
                0 => {
                    known.forget_repository(&names[at]);
                    model.0.retain(|(index, _)| *index != at);
                    model.1.retain(|(from, to, _), _| *from != at && *to != at);
                }
                1 | 2 => {
                    known.forget_blob(&names[at], &digest(blob));
                    model.0.remove(&(at, blob));
                }
                3..=6 => {
                    known.note_blob_of(&names[at], &digest(blob), &everybody());
                    model.0.insert((at, blob));
                }
                _ => {
                    let name = tag(&format!("t{number}"));
                    known.note_tag(&names[at], &name, &names[to], "v", copied(blob, second));
                    model.1.insert((at, to, number), (blob, second));
                }
            }
        }
        answers(&known, &model)?;
        let bytes = known.encode();
        answers(&known, &model)?;
        let again = Known::decode(&bytes).unwrap();
        answers(&again, &model)?;
        prop_assert_eq!(again.encode(), bytes);
        let merged = Known::default();
        merged.merge(&known);
        answers(&merged, &model)?;
    }

    #[test]
    fn fault_29_no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        prop_assert!(Known::decode(&bytes).is_err());
        let _either = Known::decode_unchecked(&bytes);
        let small = Known::default();
        small.note_blob_of(&repository(NAMES[0]), &digest(1), &everybody());
        small.note_tag(&repository(NAMES[0]), &tag("a"), &repository(NAMES[2]), "", copied(3, 4));
        let mut body = small.encode().split_off(16 + 4 + 8 + 32);
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if let Ok(read) = Known::decode_unchecked(&body) {
            let bytes = read.encode();
            prop_assert_eq!(Known::decode(&bytes).unwrap().encode(), bytes);
        }
    }
}
