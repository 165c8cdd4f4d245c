//! Whether a full page without a `Link` has to be probed for more, or is known to be all there is.
//!
//! A page with exactly as many tags as were asked for may be the whole list, or the beginning of one whose registry
//! forgets to say so. Only a request for what comes after it tells: one more request for every scan of such a
//! repository, for ever. So answers are remembered by host and first segment of the path (behind one host, different
//! registries may stand by it):
//!
//! - a `Link` was seen: links work there, and a page without one is the last;
//! - a probe found more: pages there are cut without a word, and every full page is probed;
//! - three probes in a row found nothing: it is believed. One full page an hour is probed all the same.
//!
//! Belief never covers a page that changed since this process last read it: a tag that pushed another one off a full
//! page would look like the other's removal. What is risked is this: a registry that sends no links, cut three
//! full pages at their very end, and gets tags behind an unchanged full page, is seen to have them an hour late.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher as _};
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::image::Repository;

/// So many probes in a row have to find nothing.
const CONVINCED_BY: u32 = 3;
/// How often belief is put to the test.
const TESTED_EVERY: Duration = Duration::from_hours(1);
/// Host and segment pairs remembered.
const NAMESPACES: u64 = 10_000;
/// Repositories whose full page is remembered, by 16 bytes each.
const PAGES: u64 = 50_000;

/// What probes have found so far.
#[derive(Debug)]
pub(super) struct Probes {
    /// Those that are asked for most stay longest. Held for the time of one decision.
    namespaces: Cache<u64, std::sync::Arc<Mutex<Habit>>>,
    /// By repository: the full page that was read last.
    pages: Cache<u64, u64>,
}

/// What is to be probed: the full page that came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    page: u64,
}

/// How lists end there.
#[derive(Debug, Default)]
struct Habit {
    links: bool,
    /// A probe found something once.
    cuts: bool,
    /// Probes that found nothing.
    in_vain: u32,
    last: Option<Instant>,
}

impl Probes {
    pub(super) fn new() -> Self {
        Self {
            namespaces: Cache::new(NAMESPACES),
            pages: Cache::new(PAGES),
        }
    }

    fn habit(&self, repository: &Repository) -> std::sync::Arc<Mutex<Habit>> {
        let segment = repository.path().split('/').next();
        let host = repository.registry().api_host().to_ascii_lowercase();
        self.namespaces
            .get_with(hash(&(host, segment)), Default::default)
    }

    /// How to ask for more after the full page `tags` without a link, the first of `repository`'s list; `None`: that is
    /// known to be all.
    pub(super) fn probe<'a>(
        &self,
        repository: &Repository,
        tags: impl Iterator<Item = &'a str>,
    ) -> Option<Probe> {
        // The order that tags come in is no part of it: the sum of their hashes is the same in any order.
        let page = tags.fold(0_u64, |sum, tag| sum.wrapping_add(hash(tag)));
        let name = hash(repository);
        let before = self.pages.get(&name);
        let habit = self.habit(repository);
        let mut habit = habit.lock();
        let now = Instant::now();
        let is_tested = habit
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < TESTED_EVERY);
        let is_convinced = habit.in_vain >= CONVINCED_BY;
        let is_believed = habit.links
            || (is_convinced && is_tested && before.is_none_or(|before| before == page));
        if is_believed && !habit.cuts {
            self.pages.insert(name, page);
            return None;
        }
        if is_convinced {
            // One is enough: those who come meanwhile need not.
            habit.last = Some(now);
        }
        Some(Probe { page })
    }

    /// A probe was answered, with more or with nothing. Only now the page counts as read: had the probe failed, the
    /// next scan would have to make it again.
    pub(super) fn probed(&self, repository: &Repository, probe: Probe, found_more: bool) {
        self.pages.insert(hash(repository), probe.page);
        let habit = self.habit(repository);
        let mut habit = habit.lock();
        habit.cuts |= found_more;
        habit.in_vain = habit.in_vain.saturating_add(1);
        habit.last = Some(Instant::now());
    }

    /// The registry named a next page.
    pub(super) fn linked(&self, repository: &Repository) {
        self.habit(repository).lock().links = true;
    }
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(name: &str) -> Repository {
        name.parse().unwrap()
    }

    /// Whether a full page of `name` with these tags is probed; the probe finds nothing.
    fn scan(probes: &Probes, name: &str, tags: &[&str]) -> bool {
        let repository = repository(name);
        let probe = probes.probe(&repository, tags.iter().copied());
        if let Some(probe) = probe {
            probes.probed(&repository, probe, false);
        }
        probe.is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn three_probes_in_vain_convince_for_an_hour() {
        let probes = Probes::new();
        for n in 0..3 {
            assert!(scan(&probes, &format!("r.test/team/app{n}"), &["1"]));
        }
        assert!(!scan(&probes, "r.test/team/app9", &["1"]));
        assert!(!scan(&probes, "R.test/team/app0", &["1"]));
        assert!(scan(&probes, "r.test/other/app", &["1"]), "elsewhere");
        assert!(scan(&probes, "s.test/team/app", &["1"]), "another host");
        tokio::time::advance(Duration::from_secs(3599)).await;
        assert!(!scan(&probes, "r.test/team/app1", &["1"]));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(scan(&probes, "r.test/team/app1", &["1"]));
        assert!(!scan(&probes, "r.test/team/app1", &["1"]));
        assert!(!scan(&probes, "r.test/team/app2", &["1"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_changed_is_probed_whatever_is_believed() {
        let probes = Probes::new();
        for _ in 0..4 {
            scan(&probes, "r.test/team/app", &["1", "2"]);
        }
        assert!(!scan(&probes, "r.test/team/app", &["2", "1"]), "same tags");
        // A probe that failed was none.
        let image = repository("r.test/team/app");
        assert!(probes.probe(&image, ["1", "3"].into_iter()).is_some());
        assert!(scan(&probes, "r.test/team/app", &["1", "3"]));
        assert!(!scan(&probes, "r.test/team/app", &["1", "3"]));
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_probe_found_more_every_full_page_is_probed() {
        let probes = Probes::new();
        for _ in 0..3 {
            scan(&probes, "r.test/team/app", &["1"]);
        }
        tokio::time::advance(TESTED_EVERY).await;
        let image = repository("r.test/team/app");
        let probe = probes.probe(&image, ["1"].into_iter()).unwrap();
        probes.probed(&image, probe, true);
        for _ in 0..9 {
            assert!(scan(&probes, "r.test/team/other", &["1"]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_is_taken_at_its_word() {
        let probes = Probes::new();
        probes.linked(&repository("r.test/team/app"));
        assert!(!scan(&probes, "r.test/team/other", &["1"]));
        tokio::time::advance(TESTED_EVERY * 2).await;
        assert!(!scan(&probes, "r.test/team/other", &["2"]));
        assert!(scan(&probes, "r.test/else/other", &["1"]));
    }
}
