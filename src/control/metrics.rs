//! What the controllers count. Labels come from closed sets, except where Flux's own metrics name the object;
//! those series go when the object goes.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets_range};
use prometheus_client::registry::{Registry, Unit};

use super::kind::Kind;
use super::queue::Next;
use crate::object::Key;

/// How a reconcile ended, in controller-runtime's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(
    non_camel_case_types,
    reason = "label values are spelled as controller-runtime spells them"
)]
pub enum ReconcileResult {
    /// Done; nothing is scheduled.
    success,
    /// Done; the next one is scheduled.
    requeue_after,
    /// Failed; a retry is scheduled.
    error,
}

impl ReconcileResult {
    /// The result that a decision about the next reconcile amounts to.
    pub(super) fn of(next: Next) -> Self {
        match next {
            Next::Await => Self::success,
            Next::After(_) => Self::requeue_after,
            Next::Retry { .. } => Self::error,
        }
    }
}

/// What a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are lower case")]
pub enum ScanResult {
    /// Other tags than before.
    changed,
    /// The same tags as before.
    unchanged,
    /// Nothing: it failed.
    failed,
}

/// Where a scan's answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are lower case")]
pub enum AnswerSource {
    /// The registry was asked.
    registry,
    /// Another ImageRepository's scan.
    shared,
}

/// What an election did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are lower case")]
pub enum ElectionResult {
    /// Another tag than before.
    changed,
    /// The same tag as before.
    unchanged,
    /// No tag.
    failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: Kind,
    result: ReconcileResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabels {
    kind: &'static str,
    name: String,
    namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScanLabels {
    result: ScanResult,
    source: AnswerSource,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ElectionLabels {
    result: ElectionResult,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    namespace: String,
    name: String,
}

type Durations = Family<ObjectLabels, Histogram, fn() -> Histogram>;

/// The controllers' metrics. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    reconciles: Family<ReconcileLabels, Counter>,
    active: Family<ControllerLabels, Gauge>,
    durations: Durations,
    scans: Family<ScanLabels, Counter>,
    elections: Family<ElectionLabels, Counter>,
    lags: Family<PolicyLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            active: Family::default(),
            durations: Durations::new_with_constructor(|| {
                Histogram::new(exponential_buckets_range(0.01, 1800.0, 10))
            }),
            scans: Family::default(),
            elections: Family::default(),
            lags: Family::default(),
        }
    }
}

impl Metrics {
    /// Puts everything into `registry`, under the names that dashboards know.
    pub fn register(&self, registry: &mut Registry) {
        let runtime = registry.sub_registry_with_prefix("controller_runtime");
        runtime.register(
            "reconcile",
            "Total number of reconciliations per controller",
            self.reconciles.clone(),
        );
        runtime.register(
            "active_workers",
            "Number of reconciles that run now",
            self.active.clone(),
        );
        registry.register_with_unit(
            "gotk_reconcile_duration",
            "The duration of a reconciliation",
            Unit::Seconds,
            self.durations.clone(),
        );
        let own = registry.sub_registry_with_prefix("tagscope");
        own.register(
            "scans",
            "Total number of scans, by what they found and where from",
            self.scans.clone(),
        );
        own.register(
            "elections",
            "Total number of elections, by what they did",
            self.elections.clone(),
        );
        own.register(
            "policy_lag_tags",
            "Number of matching tags that are newer than the elected one",
            self.lags.clone(),
        );
    }

    /// A reconcile runs for as long as the answer lives.
    pub(super) fn active(&self, controller: Kind) -> Active {
        let gauge = self
            .active
            .get_or_create_owned(&ControllerLabels { controller });
        gauge.inc();
        Active(gauge)
    }

    /// A reconcile has come to a result.
    pub(super) fn reconciled(
        &self,
        controller: Kind,
        key: &Key,
        result: ReconcileResult,
        took: Duration,
    ) {
        self.reconciles
            .get_or_create(&ReconcileLabels { controller, result })
            .inc();
        self.durations
            .get_or_create(&object_labels(controller, key))
            .observe(took.as_secs_f64());
    }

    /// An object is gone, and its series with it.
    pub(super) fn forget(&self, controller: Kind, key: &Key) {
        self.durations.remove(&object_labels(controller, key));
        if controller == Kind::ImagePolicy {
            self.lags(key, None);
        }
    }

    /// So many matching tags are newer than the one that a policy elects; `None`: it elects none.
    pub(super) fn lags(&self, key: &Key, tags: Option<usize>) {
        let labels = PolicyLabels {
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
        };
        match tags {
            Some(tags) => {
                let tags = i64::try_from(tags).unwrap_or(i64::MAX);
                self.lags.get_or_create(&labels).set(tags);
            }
            None => {
                self.lags.remove(&labels);
            }
        }
    }

    /// A scan has ended.
    pub(super) fn scanned(&self, result: ScanResult, source: AnswerSource) {
        self.scans
            .get_or_create(&ScanLabels { result, source })
            .inc();
    }

    /// An election has ended.
    pub(super) fn elected(&self, result: ElectionResult) {
        self.elections
            .get_or_create(&ElectionLabels { result })
            .inc();
    }
}

/// One reconcile that runs.
pub(super) struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn object_labels(controller: Kind, key: &Key) -> ObjectLabels {
    ObjectLabels {
        kind: controller.name(),
        name: key.name.to_string(),
        namespace: key.namespace.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_dashboards_ask_for_and_series_go_with_their_object() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let key = Key::new("apps", "podinfo");
        metrics.reconciled(
            Kind::ImageRepository,
            &key,
            ReconcileResult::requeue_after,
            Duration::from_secs(1),
        );
        metrics.scanned(ScanResult::changed, AnswerSource::shared);
        let text = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        for expected in [
            r#"controller_runtime_reconcile_total{controller="imagerepository",result="requeue_after"} 1"#,
            r#"gotk_reconcile_duration_seconds_count{kind="ImageRepository",name="podinfo",namespace="apps"} 1"#,
            r#"tagscope_scans_total{result="changed",source="shared"} 1"#,
        ] {
            assert!(
                text().contains(expected),
                "{expected} is not in\n{}",
                text()
            );
        }
        metrics.forget(Kind::ImageRepository, &key);
        assert!(!text().contains("podinfo"));
    }
}
