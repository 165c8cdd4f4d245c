//! What mirrors count: each series carries the mirror's namespace and name, and goes when the mirror goes. Never a
//! registry, a repository or a tag: those are what others choose.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::mirror::outcome::{self, Report, Totals};
use crate::object::Key;

/// How a mirror stands, all its tags counted and not those of one run only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::control) struct Stands {
    /// Tags that a destination has with another content, or does not let be moved.
    pub(in crate::control) drifted: i64,
    /// Tags that are wanted and not at a destination yet.
    pub(in crate::control) pending: i64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are lower case")]
enum RunResult {
    /// Everything is there.
    succeeded,
    /// Drift, or a registry that forbids to move a tag.
    blocked,
    /// Something failed.
    failed,
}

/// How one tag fared at one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are lower case")]
enum TagOutcome {
    copied,
    unchanged,
    drifted,
    immutable,
    gone,
    not_begun,
    failed,
}

const RESULTS: [RunResult; 3] = [RunResult::succeeded, RunResult::blocked, RunResult::failed];

const OUTCOMES: [TagOutcome; 7] = [
    TagOutcome::copied,
    TagOutcome::unchanged,
    TagOutcome::drifted,
    TagOutcome::immutable,
    TagOutcome::gone,
    TagOutcome::not_begun,
    TagOutcome::failed,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    namespace: String,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    namespace: String,
    name: String,
    result: RunResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TagLabels {
    namespace: String,
    name: String,
    outcome: TagOutcome,
}

type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// The metrics of mirrors. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Mirrors {
    runs: Family<RunLabels, Counter>,
    tags: Family<TagLabels, Counter>,
    read: Family<Labels, Counter>,
    written: Family<Labels, Counter>,
    mounts: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    took: Family<Labels, Seconds>,
    drifted: Family<Labels, Gauge>,
    pending: Family<Labels, Gauge>,
}

impl Mirrors {
    /// Puts everything below `own`, which has the program's prefix.
    pub(super) fn register(&self, own: &mut Registry) {
        let mirror = own.sub_registry_with_prefix("mirror");
        mirror.register(
            "runs",
            "Total number of runs of a mirror, by how they ended",
            self.runs.clone(),
        );
        mirror.register(
            "tags",
            "Total number of tags that a mirror looked at, each destination counted, by how they fared",
            self.tags.clone(),
        );
        mirror.register_with_unit(
            "read",
            "Bytes that a mirror read from its sources",
            Unit::Bytes,
            self.read.clone(),
        );
        mirror.register_with_unit(
            "written",
            "Bytes that a mirror wrote to its destinations",
            Unit::Bytes,
            self.written.clone(),
        );
        mirror.register(
            "mounts",
            "Total number of blobs that a destination took from another of its repositories",
            self.mounts.clone(),
        );
        mirror.register(
            "retries",
            "Total number of requests of a mirror that were made again",
            self.retries.clone(),
        );
        mirror.register_with_unit(
            "last_run_duration",
            "How long the last run of a mirror took",
            Unit::Seconds,
            self.took.clone(),
        );
        mirror.register(
            "drifted_tags",
            "Number of tags that a destination has with another content, or does not let be moved, each destination counted",
            self.drifted.clone(),
        );
        mirror.register(
            "pending_tags",
            "Number of tags that are wanted and not at a destination yet, each destination counted",
            self.pending.clone(),
        );
    }

    pub(super) fn ran(&self, mirror: &Key, report: &Report, took: Duration) {
        let Report {
            tags,
            totals,
            problems: _,
            warnings: _,
            written: _,
            looks: _,
        } = report;
        let labels = labels(mirror);
        let result = match report.verdict() {
            outcome::Verdict::Done => RunResult::succeeded,
            outcome::Verdict::Blocked => RunResult::blocked,
            outcome::Verdict::Failed => RunResult::failed,
        };
        // All of them from the first run on: a rate needs a zero to start from.
        for one in RESULTS {
            drop(self.runs.get_or_create(&run_labels(mirror, one)));
        }
        for one in OUTCOMES {
            drop(self.tags.get_or_create(&tag_labels(mirror, one)));
        }
        self.runs.get_or_create(&run_labels(mirror, result)).inc();
        for tag in tags {
            let outcome = TagOutcome::of(&tag.outcome);
            self.tags.get_or_create(&tag_labels(mirror, outcome)).inc();
        }
        let Totals {
            requests: _,
            bytes_read,
            bytes_written,
            blobs_copied: _,
            blobs_mounted,
            blobs_skipped: _,
            manifests: _,
            retries,
        } = totals;
        self.read.get_or_create(&labels).inc_by(*bytes_read);
        self.written.get_or_create(&labels).inc_by(*bytes_written);
        self.mounts.get_or_create(&labels).inc_by(*blobs_mounted);
        self.retries.get_or_create(&labels).inc_by(*retries);
        self.took.get_or_create(&labels).set(took.as_secs_f64());
    }

    pub(super) fn stands(&self, mirror: &Key, stands: Stands) {
        let Stands { drifted, pending } = stands;
        let labels = labels(mirror);
        self.drifted.get_or_create(&labels).set(drifted);
        self.pending.get_or_create(&labels).set(pending.max(0));
    }

    pub(super) fn forget(&self, mirror: &Key) {
        for result in RESULTS {
            self.runs.remove(&run_labels(mirror, result));
        }
        for outcome in OUTCOMES {
            self.tags.remove(&tag_labels(mirror, outcome));
        }
        let labels = labels(mirror);
        for counters in [&self.read, &self.written, &self.mounts, &self.retries] {
            counters.remove(&labels);
        }
        self.took.remove(&labels);
        self.drifted.remove(&labels);
        self.pending.remove(&labels);
    }
}

impl TagOutcome {
    fn of(outcome: &outcome::Outcome) -> Self {
        match outcome {
            outcome::Outcome::Copied => Self::copied,
            outcome::Outcome::Unchanged => Self::unchanged,
            outcome::Outcome::Drifted { .. } => Self::drifted,
            outcome::Outcome::Immutable { .. } => Self::immutable,
            outcome::Outcome::Gone => Self::gone,
            outcome::Outcome::NotBegun { .. } => Self::not_begun,
            outcome::Outcome::Failed { .. } => Self::failed,
        }
    }
}

fn labels(mirror: &Key) -> Labels {
    Labels {
        namespace: mirror.namespace.to_string(),
        name: mirror.name.to_string(),
    }
}

fn run_labels(mirror: &Key, result: RunResult) -> RunLabels {
    let Labels { namespace, name } = labels(mirror);
    RunLabels {
        namespace,
        name,
        result,
    }
}

fn tag_labels(mirror: &Key, outcome: TagOutcome) -> TagLabels {
    let Labels { namespace, name } = labels(mirror);
    TagLabels {
        namespace,
        name,
        outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::outcome::{Outcome, TagReport};

    fn tag(outcome: Outcome) -> TagReport {
        TagReport {
            from: "ghcr.io/a/b".parse().unwrap(),
            to: "r.example/app".parse().unwrap(),
            tag: Some("v1".parse().unwrap()),
            source: None,
            destination: None,
            expected: None,
            outcome,
            referrers: 0,
            moved_meanwhile: false,
        }
    }

    #[test]
    fn runs_are_counted_by_mirror_and_all_of_it_goes_with_the_mirror() {
        let metrics = super::super::Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let text = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let mirror = Key::new("apps", "podinfo");
        let report = Report {
            tags: vec![
                tag(Outcome::Copied),
                tag(Outcome::Copied),
                tag(Outcome::NotBegun { cause: "x".into() }),
            ],
            totals: Totals {
                bytes_read: 10,
                bytes_written: 20,
                blobs_mounted: 3,
                retries: 4,
                ..Totals::default()
            },
            ..Report::default()
        };
        metrics.mirrored(&mirror, &report, Duration::from_millis(1500));
        metrics.mirrored(&mirror, &Report::default(), Duration::from_millis(500));
        let stands = Stands {
            drifted: 5,
            pending: 6,
        };
        metrics.mirror_stands(&mirror, stands);
        let of = r#"namespace="apps",name="podinfo""#;
        let after = text();
        for expected in [
            format!(r#"tagscope_mirror_runs_total{{{of},result="failed"}} 1"#),
            format!(r#"tagscope_mirror_runs_total{{{of},result="succeeded"}} 1"#),
            format!(r#"tagscope_mirror_runs_total{{{of},result="blocked"}} 0"#),
            format!(r#"tagscope_mirror_tags_total{{{of},outcome="copied"}} 2"#),
            format!(r#"tagscope_mirror_tags_total{{{of},outcome="not_begun"}} 1"#),
            format!(r#"tagscope_mirror_tags_total{{{of},outcome="drifted"}} 0"#),
            format!("tagscope_mirror_read_bytes_total{{{of}}} 10"),
            format!("tagscope_mirror_written_bytes_total{{{of}}} 20"),
            format!("tagscope_mirror_mounts_total{{{of}}} 3"),
            format!("tagscope_mirror_retries_total{{{of}}} 4"),
            format!("tagscope_mirror_last_run_duration_seconds{{{of}}} 0.5"),
            format!("tagscope_mirror_drifted_tags{{{of}}} 5"),
            format!("tagscope_mirror_pending_tags{{{of}}} 6"),
        ] {
            assert!(after.contains(&expected), "{expected} is not in\n{after}");
        }
        metrics.forget(crate::control::Kind::ImageMirror, &mirror);
        assert!(!text().contains("podinfo"), "{}", text());
    }

    /// `docs/metrics.md` has a row for each of them, and no other.
    #[test]
    fn the_documentation_names_exactly_the_metrics_that_exist() {
        let metrics = super::super::Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mirror = Key::new("apps", "podinfo");
        metrics.mirrored(&mirror, &Report::default(), Duration::ZERO);
        metrics.mirror_stands(&mirror, Stands::default());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let there: std::collections::BTreeSet<&str> = text
            .lines()
            .filter(|line| line.starts_with("tagscope_mirror_"))
            .filter_map(|line| line.split('{').next())
            .collect();
        let docs = include_str!("../../../docs/metrics.md");
        let told: std::collections::BTreeSet<&str> = docs
            .lines()
            .filter(|line| line.starts_with('|'))
            .filter_map(|line| line.split('|').nth(1))
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .filter(|name| name.starts_with("tagscope_mirror_"))
            .collect();
        assert_eq!(told, there);
    }
}
