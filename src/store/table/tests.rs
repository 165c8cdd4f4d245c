//! The compact table against a plain sorted list.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const CEILING: u64 = u64::MAX;

fn build(entries: &BTreeMap<String, Stamp>, origins: &[Origin]) -> Table {
    let mut builder = Builder::default();
    for origin in origins {
        builder.add_origin(*origin);
    }
    for (name, stamp) in entries {
        builder.push(name, *stamp);
    }
    builder.finish()
}

fn read(table: &Table) -> Vec<(String, Stamp)> {
    let mut cursor = table.cursor();
    let mut entries = Vec::new();
    while cursor.advance() {
        assert_eq!(cursor.index() as usize, entries.len());
        entries.push((cursor.name().to_owned(), cursor.stamp()));
    }
    entries
}

fn versions(count: u32) -> BTreeMap<String, Stamp> {
    let names: BTreeSet<_> = (0..count)
        .map(|i| format!("v1.{}.{}", i / 50, i % 50))
        .collect();
    names
        .into_iter()
        .enumerate()
        .map(|(rank, name)| {
            (
                name,
                Stamp {
                    rank: u32::try_from(rank).unwrap(),
                    ..Stamp::default()
                },
            )
        })
        .collect()
}

fn entries() -> impl Strategy<Value = BTreeMap<String, Stamp>> {
    let stamp = (
        0u32..3,
        0u32..6,
        prop_oneof![3 => Just(0u64), 1 => 1000u64..1010],
    )
        .prop_map(|(origin, rank, modified)| Stamp {
            origin,
            rank,
            modified,
        });
    prop::collection::btree_map("[a-c0-2_][a-c0-2_.-]{0,6}", stamp, 0..80)
}

fn origins() -> Vec<Origin> {
    vec![
        Origin::new(7, Seen::AtFirst),
        Origin::new(300, Seen::Unknown),
        Origin::new(900, Seen::At(1_700_000_000)),
    ]
}

proptest! {
    #[test]
    fn a_table_holds_what_was_put_into_it(entries in entries()) {
        let table = build(&entries, &origins());
        prop_assert_eq!(read(&table), entries.clone().into_iter().collect::<Vec<_>>());
        prop_assert_eq!(table.len() as usize, entries.len());
        let again = Table::checked(table.bytes(), table.origins().to_vec(), table.len(), CEILING).unwrap();
        prop_assert_eq!(read(&again), read(&table));
        prop_assert_eq!(&again.blocks, &table.blocks);
    }

    #[test]
    fn searching_and_walking_agree_with_a_map(entries in entries(), probe in "[a-c0-2_.-]{0,7}") {
        let table = build(&entries, &origins());
        let found = table.find(&probe).map(|cursor| cursor.stamp());
        prop_assert_eq!(found, entries.get(&probe).copied());
        let mut cursor = table.cursor_after(&probe);
        let after: Vec<_> = entries.keys().filter(|name| name.as_str() > probe.as_str()).collect();
        for name in after {
            prop_assert!(cursor.advance());
            prop_assert_eq!(cursor.name(), name.as_str());
        }
        prop_assert!(!cursor.advance());
        for (index, name) in entries.keys().enumerate() {
            let on = table.on(u32::try_from(index).unwrap()).unwrap();
            prop_assert_eq!((on.index() as usize, on.name()), (index, name.as_str()));
        }
        prop_assert!(table.on(table.len()).is_none());
        let mut descending = Vec::new();
        table.for_each_descending(&mut |name| descending.push(name.to_owned()));
        prop_assert!(descending.iter().eq(entries.keys().rev()));
    }

    #[test]
    fn no_bytes_make_the_checker_panic(bytes: Vec<u8>, len in 0u32..40) {
        drop(Table::checked(&bytes, origins(), len, CEILING));
    }

    #[test]
    fn a_damaged_table_is_refused_or_reads_without_a_panic(entries in entries(), at: prop::sample::Index, bit in 0u8..8) {
        let table = build(&entries, &origins());
        let mut bytes = table.bytes().to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Ok(table) = Table::checked(&bytes, origins(), table.len(), CEILING) {
            read(&table);
        }
    }
}

#[test]
fn a_version_costs_about_five_bytes() {
    let table = build(&versions(1000), &[Origin::new(1 << 40, Seen::AtFirst)]);
    assert!(
        table.heap_bytes() < 6 * 1000,
        "{} bytes",
        table.heap_bytes()
    );
}

#[test]
fn names_are_compared_as_a_whole() {
    let table = build(&versions(3), &[Origin::new(1, Seen::AtFirst)]);
    let tags = |names: &[&str]| {
        names
            .iter()
            .map(|name| name.parse().unwrap())
            .collect::<Vec<Tag>>()
    };
    assert!(table.is_named(&tags(&["v1.0.0", "v1.0.1", "v1.0.2"])));
    assert!(!table.is_named(&tags(&["v1.0.0", "v1.0.1"])));
    assert!(!table.is_named(&tags(&["v1.0.0", "v1.0.1", "v1.0.3"])));
}

#[test]
fn the_checker_says_what_is_wrong() {
    let table = build(&versions(3), &[Origin::new(5, Seen::AtFirst)]);
    let check = |bytes: &[u8], origins: &[Origin], len, ceiling| {
        Table::checked(bytes, origins.to_vec(), len, ceiling)
            .map(|_| ())
            .unwrap_err()
            .0
    };
    let origins = table.origins();
    let bytes = table.bytes();
    assert_eq!(
        check(&bytes[..bytes.len() - 1], origins, 3, CEILING),
        "a name is cut off"
    );
    assert_eq!(
        check(bytes, origins, 2, CEILING),
        "a table is longer than its entries"
    );
    assert_eq!(check(bytes, origins, 4, CEILING), "an entry is cut off");
    assert_eq!(check(bytes, &[], 3, CEILING), "a tag's commit is missing");
    assert_eq!(
        check(bytes, origins, 3, 7),
        "a tag's version lies in the future"
    );
    let mut swapped = bytes.to_vec();
    *swapped.last_mut().unwrap() = b'0';
    assert_eq!(
        check(&swapped, origins, 3, CEILING),
        "tags are out of order"
    );
    let mut spaced = bytes.to_vec();
    *spaced.last_mut().unwrap() = b'~';
    assert_eq!(check(&spaced, origins, 3, CEILING), "a name is not a tag");
}
