//! Which Events were written, and how much each object has said: decides whether a report is new, a repetition
//! or too much. No IO and no clock: the present is handed in.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use moka::sync::Cache;

use super::{Report, Severity};

/// How long an Event is counted on before the same news is written anew: a little less than the API server keeps it.
const KEPT: Duration = Duration::from_mins(50);

/// How many Events are remembered.
const REMEMBERED: u64 = 4096;

/// How much an object may say at once, and how long until it may say one more thing: client-go's spam filter.
const BURST: u32 = 25;
const REFILL: SignedDuration = SignedDuration::from_secs(300);

/// What is to be done with a report.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write a new Event.
    New,
    /// Count it on the Event that says it already; the entry is what that Event becomes.
    Again(Entry),
    /// Say nothing.
    Quiet,
}

/// An Event that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The Event's name.
    pub(super) name: String,
    /// How often it was said.
    pub(super) count: i32,
    /// When it was said first.
    pub(super) first: Timestamp,
}

impl Entry {
    /// A first entry for `report`, named as client-go names Events, and never longer than a name may be.
    pub(super) fn new(report: &Report, now: Timestamp) -> Self {
        let about: String = report
            .about
            .object
            .name
            .as_deref()
            .unwrap_or("object")
            .chars()
            .take(220)
            .collect();
        Self {
            name: format!("{about}.{:x}", now.as_nanosecond()),
            count: 1,
            first: now,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Object {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

impl Object {
    fn of(about: &ObjectReference) -> Self {
        Self {
            kind: about.kind.clone(),
            namespace: about.namespace.clone(),
            name: about.name.clone(),
            uid: about.uid.clone(),
        }
    }
}

type News = (Object, Severity, String, String);

/// What was said so far, with a bound.
#[derive(Debug)]
pub(super) struct Ledger {
    written: Cache<News, Entry>,
    allowance: Cache<Object, (u32, Timestamp)>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            written: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(KEPT)
                .build(),
            allowance: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(3 * KEPT)
                .build(),
        }
    }
}

impl Ledger {
    /// What to do with `report`, which uses up some of its object's allowance.
    pub(super) fn next(&mut self, report: &Report, now: Timestamp) -> Step {
        if !self.is_allowed(Object::of(&report.about.object), now) {
            return Step::Quiet;
        }
        match self.written.get(&news(report)) {
            Some(entry) => Step::Again(Entry {
                count: entry.count.saturating_add(1),
                ..entry
            }),
            None => Step::New,
        }
    }

    /// The API server has taken `entry`.
    pub(super) fn written(&mut self, report: &Report, entry: Entry) {
        self.written.insert(news(report), entry);
    }

    fn is_allowed(&self, object: Object, now: Timestamp) -> bool {
        let (mut left, mut since) = self.allowance.get(&object).unwrap_or((BURST, now));
        // A clock that was set back must not keep it waiting until it has caught up.
        since = since.min(now);
        let elapsed = now.duration_since(since);
        let refilled = elapsed
            .as_secs()
            .checked_div(REFILL.as_secs())
            .unwrap_or(0)
            .max(0);
        if refilled > 0 {
            left = left
                .saturating_add(u32::try_from(refilled).unwrap_or(BURST))
                .min(BURST);
            since = now;
        }
        let allowed = left > 0;
        self.allowance
            .insert(object, (left.saturating_sub(1), since));
        allowed
    }
}

fn news(report: &Report) -> News {
    (
        Object::of(&report.about.object),
        report.severity,
        report.reason.clone(),
        report.message.clone(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::About;
    use super::*;

    fn report(name: &str, message: &str) -> Report {
        Report {
            about: About {
                object: ObjectReference {
                    name: Some(name.to_owned()),
                    ..ObjectReference::default()
                },
                ..About::default()
            },
            severity: Severity::Warning,
            reason: "ReadOperationFailed".to_owned(),
            message: message.to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_same_news_is_counted_and_other_news_is_new() {
        let mut ledger = Ledger::default();
        let first = report("a", "scan failed");
        assert_eq!(ledger.next(&first, at(0)), Step::New);
        ledger.written(&first, Entry::new(&first, at(0)));
        let Step::Again(entry) = ledger.next(&first, at(1)) else {
            panic!("not counted")
        };
        assert_eq!((entry.count, entry.first), (2, at(0)));
        ledger.written(&first, entry);
        let Step::Again(entry) = ledger.next(&first, at(2)) else {
            panic!("not counted")
        };
        assert_eq!(entry.count, 3);
        assert_eq!(ledger.next(&report("a", "another"), at(3)), Step::New);
        assert_eq!(ledger.next(&report("b", "scan failed"), at(4)), Step::New);
    }

    #[test]
    fn what_was_not_written_is_not_counted_on() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.next(&report("a", "x"), at(0)), Step::New);
        assert_eq!(ledger.next(&report("a", "x"), at(1)), Step::New);
    }

    #[test]
    fn a_talkative_object_is_slowed_down_alone() {
        let mut ledger = Ledger::default();
        for turn in 0..BURST {
            assert_eq!(
                ledger.next(&report("a", &turn.to_string()), at(0)),
                Step::New
            );
        }
        assert_eq!(ledger.next(&report("a", "more"), at(1)), Step::Quiet);
        assert_eq!(ledger.next(&report("b", "first"), at(1)), Step::New);
        assert_eq!(ledger.next(&report("a", "later"), at(301)), Step::New);
        assert_eq!(ledger.next(&report("a", "too soon"), at(302)), Step::Quiet);
    }

    #[test]
    fn a_clock_set_back_keeps_nobody_silent() {
        let mut ledger = Ledger::default();
        for turn in 0..=BURST {
            ledger.next(&report("a", &turn.to_string()), at(3600));
        }
        assert_eq!(ledger.next(&report("a", "now"), at(0)), Step::Quiet);
        assert_eq!(ledger.next(&report("a", "later"), at(300)), Step::New);
    }

    #[test]
    fn names_fit() {
        let entry = Entry::new(&report(&"n".repeat(253), "x"), at(1_700_000_000));
        assert!(entry.name.len() <= 253, "{}", entry.name.len());
    }
}
