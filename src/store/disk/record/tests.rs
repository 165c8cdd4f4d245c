//! A repository on disk is the repository that was written, or an error.

use proptest::prelude::*;

use super::*;
use crate::clock::SystemClock;
use crate::store::{Scan, Store};

const CEILING: u64 = 1 << 41;

/// A moment that has everything: several commits, marks idle and not, digests, labels, signatures.
fn moment(names: &[String], later: &[String], elect: &[usize]) -> Arc<RepositoryTags> {
    let store = Store::in_memory(Arc::new(SystemClock));
    let key = Key::new("apps", "podinfo");
    let parse = |names: &[String]| {
        names
            .iter()
            .map(|name| name.parse().unwrap())
            .collect::<Vec<Tag>>()
    };
    let scan = Scan {
        owner: Owner {
            key: key.clone(),
            uid: "3f0e".to_owned(),
            created: Timestamp::new(-5, -7).unwrap(),
            labels: [
                ("team".to_owned(), "ä".to_owned()),
                ("empty".to_owned(), String::new()),
            ]
            .into(),
        },
        image: "ghcr.io/stefanprodan/podinfo".parse().unwrap(),
        tags: parse(names),
        aside: vec!["sha256-1.sig".parse().unwrap()],
        revision: "12345".to_owned(),
        time: Timestamp::new(1_700_000_000, 123_456_789).unwrap(),
        complete: true,
        dating: if elect.len().is_multiple_of(2) {
            crate::store::Dating::AtFirst
        } else {
            crate::store::Dating::Refound
        },
    };
    store.commit_scan(scan.clone()).unwrap();
    store
        .commit_scan(Scan {
            complete: false,
            dating: crate::store::Dating::Now,
            tags: parse(later),
            ..scan
        })
        .unwrap();
    for (policy, index) in elect.iter().enumerate() {
        let digest = (policy % 2 == 0).then(|| format!("sha256:{policy:064}").parse().unwrap());
        let tag = &names[index % names.len()];
        let policy = Key::new("apps", format!("p{}", policy % 3));
        store
            .commit_pushed(
                &key,
                &Election {
                    tag: tag.parse().unwrap(),
                    pushed: digest.clone().map(|digest| Pushed {
                        digest,
                        seen: Timestamp::from_second(
                            1_700_000_000 - i64::try_from(index % 5).unwrap(),
                        )
                        .unwrap(),
                    }),
                    policy,
                    digest,
                },
            )
            .unwrap();
    }
    store.snapshot().repository(&key).unwrap()
}

fn assert_same(a: &RepositoryTags, b: &RepositoryTags) {
    assert_eq!(a.owner(), b.owner());
    assert_eq!(
        (a.image(), a.revision(), a.scan_time(), a.is_complete()),
        (b.image(), b.revision(), b.scan_time(), b.is_complete())
    );
    assert_eq!(
        (a.resource_version(), a.aside(), a.elections()),
        (b.resource_version(), b.aside(), b.elections())
    );
    assert_eq!((a.refound(), &a.marks), (b.refound(), &b.marks));
    assert!(a.entries_after(None).eq(b.entries_after(None)));
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(
        names in prop::collection::vec("[a-z0-9_][a-z0-9_.-]{0,12}", 1..50),
        later in prop::collection::vec("[a-z0-9_][a-z0-9_.-]{0,12}", 0..9),
        elect in prop::collection::vec(any::<usize>(), 0..9),
    ) {
        let tags = moment(&names, &later, &elect);
        let record = encode(&tags);
        assert_same(&decode(&record, CEILING).unwrap(), &tags);
        prop_assert_eq!(encode(&decode(&record, CEILING).unwrap()), record);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        prop_assert!(decode(&bytes, CEILING).is_err());
    }

    /// Also behind a checksum that matches.
    #[test]
    fn a_damaged_body_is_refused_or_reads_without_a_panic(at: prop::sample::Index, bit in 0u8..8, cut: prop::sample::Index) {
        let names: Vec<_> = (0..40).map(|i| format!("v1.{i}")).collect();
        let record = encode(&moment(&names, &["latest".to_owned()], &[1, 2, 3, 4]));
        let mut body = record[..record.len() - CHECKSUM].to_vec();
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        body.truncate(cut.index(body.len()).max(at + 1));
        let sum = checksum(&body);
        body.extend_from_slice(&sum);
        if let Ok(tags) = decode(&body, CEILING) {
            tags.entries_after(None).for_each(drop);
            tags.selected().for_each(drop);
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let names = ["a".to_owned(), "b".to_owned()];
    let record = encode(&moment(&names, &[], &[1]));
    for at in 0..record.len() {
        assert!(decode(&record[..at], CEILING).is_err(), "cut at {at}");
        let mut flipped = record.clone();
        flipped[at] ^= 1;
        assert!(decode(&flipped, CEILING).is_err(), "flipped at {at}");
    }
}

/// As the layout before has it: without what stands behind the elections.
#[test]
fn a_record_of_the_layout_before_is_read() {
    let tags = moment(&["a".to_owned(), "b".to_owned()], &[], &[]);
    let record = encode(&tags);
    let mut old = record[..record.len() - CHECKSUM - 2].to_vec();
    let sum = checksum(&old);
    old.extend_from_slice(&sum);
    let read = decode(&old, CEILING).unwrap();
    assert_same(&read, &tags);
    assert_eq!(encode(&read), record, "it is written as a new one");
}

#[test]
fn a_version_that_was_never_given_is_refused() {
    let tags = moment(&["a".to_owned()], &[], &[]);
    let newest = tags.resource_version().0;
    assert!(decode(&encode(&tags), newest + 1).is_ok());
    assert_eq!(
        decode(&encode(&tags), newest).unwrap_err(),
        Malformed("a version lies in the future")
    );
}
