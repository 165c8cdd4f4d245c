//! Which of the objects that are due run, and which wait: at most so many at a time *in each lane*.
//!
//! A lane is a registry's host. A reconcile spends its time waiting for a registry, and one that is slow, down or
//! sparing with answers would soon hold every place there is, so that objects of other registries had to wait for it.
//! So each host has its own places, and reconciles wait here as bare names, without holding anything. A bound on all
//! lanes together keeps their number finite; it is far above what a cluster's registries can fill.
//!
//! Pure: knows names, not futures.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use kube::ResourceExt as _;

use super::Context;
use super::queue::Lane;
use crate::api::image_policy::ReflectionPolicy;
use crate::api::names;
use crate::cluster::index::Found;
use crate::image::Repository;
use crate::object::Key;

/// At most so many run at a time in all lanes together, or as many as one lane may run, if that is more.
const MOST_RUNNING: usize = 256;

/// Things in line.
#[derive(Debug)]
pub(super) struct Lanes<L, K> {
    each: usize,
    running: usize,
    by_name: HashMap<L, Line<K>>,
    /// Lanes with somebody in line and a place free, each once, in the order in which they are served.
    open: VecDeque<L>,
    /// Who is in line, and in which.
    in_line: HashMap<K, L>,
}

#[derive(Debug)]
struct Line<K> {
    running: usize,
    waiting: VecDeque<K>,
    is_open: bool,
}

impl<L: Clone + Eq + Hash, K: Clone + Eq + Hash> Lanes<L, K> {
    /// Empty lanes, of `each` places.
    pub(super) fn new(each: usize) -> Self {
        Self {
            each: each.max(1),
            running: 0,
            by_name: HashMap::new(),
            open: VecDeque::new(),
            in_line: HashMap::new(),
        }
    }

    /// `key` gets in line in `lane`, unless it is in line there already; from another line it moves.
    pub(super) fn push(&mut self, lane: L, key: K) {
        match self.in_line.insert(key.clone(), lane.clone()) {
            Some(before) if before == lane => return,
            Some(before) => self.leave(&before, &key),
            None => {}
        }
        let known = self.by_name.entry(lane.clone()).or_insert_with(|| Line {
            running: 0,
            waiting: VecDeque::new(),
            is_open: false,
        });
        known.waiting.push_back(key);
        self.reopen(lane);
    }

    /// The next that may run now, and its lane; lanes take turns.
    pub(super) fn start(&mut self) -> Option<(L, K)> {
        if self.running >= MOST_RUNNING.max(self.each) {
            return None;
        }
        let lane = self.open.pop_front()?;
        let known = self.by_name.get_mut(&lane)?;
        known.is_open = false;
        let key = known.waiting.pop_front()?;
        known.running += 1;
        self.running += 1;
        self.in_line.remove(&key);
        self.reopen(lane.clone());
        Some((lane, key))
    }

    /// One that ran in `lane` has ended.
    pub(super) fn end(&mut self, lane: &L) {
        let Some(known) = self.by_name.get_mut(lane) else {
            return;
        };
        known.running = known.running.saturating_sub(1);
        self.running = self.running.saturating_sub(1);
        if known.running == 0 && known.waiting.is_empty() {
            self.by_name.remove(lane);
        } else {
            self.reopen(lane.clone());
        }
    }

    fn leave(&mut self, lane: &L, key: &K) {
        let Some(known) = self.by_name.get_mut(lane) else {
            return;
        };
        known.waiting.retain(|waiting| waiting != key);
        if known.waiting.is_empty() {
            if known.is_open {
                self.open.retain(|open| open != lane);
                known.is_open = false;
            }
            if known.running == 0 {
                self.by_name.remove(lane);
            }
        }
    }

    fn reopen(&mut self, lane: L) {
        let each = self.each;
        if let Some(known) = self.by_name.get_mut(&lane)
            && !known.is_open
            && !known.waiting.is_empty()
            && known.running < each
        {
            known.is_open = true;
            self.open.push_back(lane);
        }
    }
}

/// The lane of an ImageRepository: the host of its image, unless it only goes or rests.
pub(super) fn of_repository(context: &Context, key: &Key) -> Lane {
    let Found::Object(object) = context.repositories.find(key) else {
        return Lane::default();
    };
    if object.metadata.deletion_timestamp.is_some() || object.spec.suspend {
        return Lane::default();
    }
    let image = object.spec.image.parse::<Repository>();
    image.map_or_else(
        |_| Lane::default(),
        |image| image.registry().api_host().to_ascii_lowercase().into(),
    )
}

/// The lane of an ImagePolicy: its repository's, where it has something to ask a registry.
pub(super) fn of_policy(context: &Context, key: &Key) -> Lane {
    let Found::Object(object) = context.policies.find(key) else {
        return Lane::default();
    };
    let asks = object.spec.digest_reflection_policy != ReflectionPolicy::Never
        || object.annotations().contains_key(names::PLATFORMS);
    let rests = object.metadata.deletion_timestamp.is_some() || object.spec.suspend;
    if !asks || rests {
        return Lane::default();
    }
    let repository = object.spec.image_repository_ref.key(&key.namespace);
    of_repository(context, &repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(lanes: &mut Lanes<&'static str, u32>) -> Vec<(&'static str, u32)> {
        std::iter::from_fn(|| lanes.start()).collect()
    }

    #[test]
    fn a_full_lane_holds_up_nobody_else() {
        let mut lanes = Lanes::new(2);
        for n in 0..5 {
            lanes.push("slow", n);
        }
        lanes.push("quick", 10);
        lanes.push("quick", 11);
        lanes.push("quick", 12);
        assert_eq!(
            started(&mut lanes),
            [("slow", 0), ("quick", 10), ("slow", 1), ("quick", 11)]
        );
        lanes.end(&"quick");
        assert_eq!(started(&mut lanes), [("quick", 12)]);
        lanes.end(&"slow");
        lanes.end(&"slow");
        assert_eq!(started(&mut lanes), [("slow", 2), ("slow", 3)]);
    }

    #[test]
    fn who_is_in_line_is_in_line_once() {
        let mut lanes = Lanes::new(1);
        for _ in 0..3 {
            lanes.push("a", 1);
        }
        assert_eq!(started(&mut lanes), [("a", 1)]);
        lanes.push("a", 1);
        assert_eq!(started(&mut lanes), []);
        lanes.end(&"a");
        assert_eq!(started(&mut lanes), [("a", 1)], "asked for again meanwhile");
        lanes.end(&"a");
        assert!(lanes.by_name.is_empty(), "nothing is left behind");
    }

    #[test]
    fn who_has_nothing_to_ask_any_more_leaves_a_slow_line() {
        let mut lanes = Lanes::new(1);
        lanes.push("slow", 1);
        lanes.push("slow", 2);
        lanes.push("slow", 3);
        assert_eq!(started(&mut lanes), [("slow", 1)]);
        lanes.push("", 2);
        assert_eq!(started(&mut lanes), [("", 2)]);
        lanes.end(&"");
        lanes.end(&"slow");
        assert_eq!(started(&mut lanes), [("slow", 3)], "and only it is left");
        lanes.end(&"slow");
        // An open line that nobody is left in is none.
        lanes.push("slow", 4);
        lanes.push("", 4);
        assert_eq!(started(&mut lanes), [("", 4)]);
        lanes.end(&"");
        assert!(lanes.by_name.is_empty() && lanes.open.is_empty() && lanes.in_line.is_empty());
    }

    #[test]
    fn all_lanes_together_are_bounded() {
        let mut lanes = Lanes::new(4);
        for n in 0..1000_u32 {
            lanes.push(n / 4, n);
        }
        let count = std::iter::from_fn(|| lanes.start()).count();
        assert_eq!(count, MOST_RUNNING);
        lanes.end(&0);
        assert!(lanes.start().is_some());
        assert!(lanes.start().is_none());
        let mut wide = Lanes::new(500);
        (0..600_u32).for_each(|n| wide.push("a", n));
        assert_eq!(std::iter::from_fn(|| wide.start()).count(), 500);
    }
}
