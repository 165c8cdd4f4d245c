//! A shared sequence is a sorted map, and a copy writes few nodes anew.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;

impl Item for (u16, u8) {
    type By = u16;

    fn by(&self) -> &u16 {
        &self.0
    }
}

type Numbers = Sorted<(u16, u8)>;

fn filled(count: u16) -> Numbers {
    (0..count).map(|key| (key, 0)).collect()
}

/// The addresses of all nodes.
fn nodes(sorted: &Numbers) -> HashSet<*const Node<(u16, u8)>> {
    fn visit(node: &Arc<Node<(u16, u8)>>, found: &mut HashSet<*const Node<(u16, u8)>>) {
        found.insert(Arc::as_ptr(node));
        if let Node::Inner(nodes) = &**node {
            nodes.iter().for_each(|node| visit(node, found));
        }
    }
    let mut found = HashSet::new();
    sorted.root.iter().for_each(|root| visit(root, &mut found));
    found
}

fn widths(node: &Node<(u16, u8)>, found: &mut Vec<usize>) {
    match node {
        Node::Leaf(items) => found.push(items.len()),
        Node::Inner(nodes) => {
            found.push(nodes.len());
            nodes.iter().for_each(|node| widths(node, found));
        }
    }
}

#[test]
fn nothing_allocates_nothing() {
    let none = Numbers::default();
    assert!(none.is_empty() && none.iter().next().is_none());
    assert_eq!(none.len(), 0);
    assert!(none.get(&1).is_none() && none.without(&1).is_empty());
    assert_eq!(none.heap_bytes(|_| 1), 0);
    assert!(none.with((1, 1)).without(&1).root.is_none());
}

#[test]
fn a_change_writes_the_nodes_on_its_way_and_shares_the_others() {
    for count in [1_000, 60_000] {
        let before = filled(count);
        for key in [0, count / 2, count - 1, count] {
            for after in [before.with((key, 1)), before.without(&key)] {
                let news = nodes(&after).difference(&nodes(&before)).count();
                // 16 to the fourth is more than there are; one more for each node that was cut.
                assert!(news <= 8, "{news} nodes for {key} of {count}");
            }
        }
        let path = before.path_bytes(&7);
        assert!(path <= 8 * 1024, "{path} of {count}");
    }
}

#[test]
fn what_is_built_at_once_is_packed() {
    let packed = filled(10_000);
    let grown = (0..10_000).fold(Numbers::default(), |grown, key| grown.with((key, 0)));
    assert_eq!(packed, grown);
    assert!(!packed.is_shared_with(&grown) && packed.is_shared_with(&packed.clone()));
    let bytes = packed.heap_bytes(|_| 0);
    assert!(bytes < 10_000 * 8, "{bytes} bytes for items of 4");
}

proptest! {
    #[test]
    fn it_is_a_map(steps in prop::collection::vec((0..300_u16, any::<u8>(), prop::bool::weighted(0.6)), 0..1_000), from in 0..310_u16) {
        let mut map = BTreeMap::new();
        let mut sorted = Numbers::default();
        for (key, value, is_put) in steps {
            let before = sorted.clone();
            let was: Vec<_> = map.clone().into_iter().collect();
            if is_put {
                map.insert(key, value);
                sorted = sorted.with((key, value));
            } else {
                map.remove(&key);
                sorted = sorted.without(&key);
            }
            prop_assert!(before.iter().copied().eq(was), "the one before stands as it was");
        }
        let expected: Vec<_> = map.clone().into_iter().collect();
        prop_assert!(sorted.iter().copied().eq(expected.iter().copied()));
        prop_assert_eq!(sorted.len(), expected.len());
        prop_assert!(sorted.iter_from(&from).copied().eq(map.range(from..).map(|(key, value)| (*key, *value))));
        for key in 0..310 {
            prop_assert_eq!(sorted.get(&key).map(|item| item.1), map.get(&key).copied());
        }
        prop_assert_eq!(&sorted, &expected.iter().copied().collect::<Numbers>());
        let mut found = Vec::new();
        sorted.root.iter().for_each(|root| widths(root, &mut found));
        prop_assert!(found.iter().all(|width| (1..=WIDTH).contains(width)), "{:?}", found);
    }
}
