//! What the controllers count. Labels come from closed sets, except where Flux's own metrics name the object;
//! those series go when the object goes.

mod mirrors;

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets_range};
use prometheus_client::registry::{Registry, Unit};

use super::kind::Kind;
use super::queue::Next;
use super::queue::meter::{Meter, Meters};
use crate::cluster::event::{Fate, Observer, Sink};
use crate::mirror::outcome::Report;
use crate::object::Key;
use mirrors::Mirrors;
pub(super) use mirrors::Stands;

/// How a reconcile ended, in controller-runtime's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(
    non_camel_case_types,
    reason = "label values are spelled as controller-runtime spells them"
)]
pub enum ReconcileResult {
    /// Done; nothing is scheduled.
    success,
    /// Done; to be done again at once. Never here.
    requeue,
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
struct EventLabels {
    sink: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    namespace: String,
    name: String,
}

/// controller-runtime's.
const RECONCILE_SECONDS: [f64; 37] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9,
    1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0,
    30.0, 60.0,
];

type Times = Family<ControllerLabels, Histogram, fn() -> Histogram>;
type Durations = Family<ObjectLabels, Histogram, fn() -> Histogram>;

/// The controllers' metrics. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    reconciles: Family<ReconcileLabels, Counter>,
    errors: Family<ControllerLabels, Counter>,
    terminal_errors: Family<ControllerLabels, Counter>,
    active: Family<ControllerLabels, Gauge>,
    most: Family<ControllerLabels, Gauge>,
    times: Times,
    queues: Meters,
    durations: Durations,
    scans: Family<ScanLabels, Counter>,
    elections: Family<ElectionLabels, Counter>,
    events: Family<EventLabels, Counter>,
    lags: Family<PolicyLabels, Gauge>,
    mirrors: Mirrors,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            errors: Family::default(),
            terminal_errors: Family::default(),
            active: Family::default(),
            most: Family::default(),
            times: Times::new_with_constructor(|| Histogram::new(RECONCILE_SECONDS)),
            queues: Meters::default(),
            durations: Durations::new_with_constructor(|| {
                Histogram::new(exponential_buckets_range(0.01, 1800.0, 10))
            }),
            scans: Family::default(),
            elections: Family::default(),
            events: Family::default(),
            lags: Family::default(),
            mirrors: Mirrors::default(),
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
            "reconcile_errors",
            "Total number of reconciliation errors per controller",
            self.errors.clone(),
        );
        runtime.register(
            "terminal_reconcile_errors",
            "Total number of terminal reconciliation errors per controller",
            self.terminal_errors.clone(),
        );
        runtime.register_with_unit(
            "reconcile_time",
            "Length of time per reconciliation per controller",
            Unit::Seconds,
            self.times.clone(),
        );
        runtime.register(
            "max_concurrent_reconciles",
            "Maximum number of concurrent reconciles per controller",
            self.most.clone(),
        );
        runtime.register(
            "active_workers",
            "Number of reconciles that run now",
            self.active.clone(),
        );
        self.queues.register(registry);
        self.begin();
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
            "events",
            "Total number of Events, by where they went and what became of them",
            self.events.clone(),
        );
        own.register(
            "policy_lag_tags",
            "Number of matching tags that are newer than the elected one",
            self.lags.clone(),
        );
        self.mirrors.register(own);
    }

    /// Every series that has no object's name is there from the start, at zero.
    fn begin(&self) {
        use ReconcileResult::{error, requeue, requeue_after, success};
        for controller in Kind::ALL {
            let labels = ControllerLabels { controller };
            for result in [success, requeue, requeue_after, error] {
                let labels = ReconcileLabels { controller, result };
                drop(self.reconciles.get_or_create(&labels));
            }
            drop(self.errors.get_or_create(&labels));
            drop(self.terminal_errors.get_or_create(&labels));
            drop(self.active.get_or_create(&labels));
            drop(self.most.get_or_create(&labels));
            drop(self.times.get_or_create(&labels));
        }
    }

    /// The meter of one kind's queue, which runs this many reconciles at once.
    pub(super) fn queue(&self, controller: Kind, concurrent: usize) -> Meter {
        let most = self
            .most
            .get_or_create_owned(&ControllerLabels { controller });
        most.set(i64::try_from(concurrent).unwrap_or(i64::MAX));
        self.queues.of(controller)
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
        let labels = ControllerLabels { controller };
        if result == ReconcileResult::error {
            self.errors.get_or_create(&labels).inc();
        }
        self.times
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        self.durations
            .get_or_create(&object_labels(controller, key))
            .observe(took.as_secs_f64());
    }

    /// An object is gone, and its series with it.
    pub(super) fn forget(&self, controller: Kind, key: &Key) {
        self.durations.remove(&object_labels(controller, key));
        match controller {
            Kind::ImageRepository => {}
            Kind::ImagePolicy => self.lags(key, None),
            Kind::ImageMirror => self.mirrors.forget(key),
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

    /// A run of a mirror has ended after so long.
    pub(super) fn mirrored(&self, mirror: &Key, report: &Report, took: Duration) {
        self.mirrors.ran(mirror, report, took);
    }

    /// A mirror stands like this now.
    pub(super) fn mirror_stands(&self, mirror: &Key, stands: Stands) {
        self.mirrors.stands(mirror, stands);
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

impl Observer for Metrics {
    fn observe(&self, sink: Sink, fate: Fate) {
        let sink = match sink {
            Sink::Kubernetes => "kubernetes",
            Sink::Webhook => "webhook",
        };
        let result = match fate {
            Fate::Told => "told",
            Fate::Suppressed => "suppressed",
            Fate::Failed => "failed",
            Fate::Dropped => "dropped",
        };
        self.events
            .get_or_create(&EventLabels { sink, result })
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
        metrics.lags(&key, Some(3));
        let text = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        for expected in [
            r#"controller_runtime_reconcile_total{controller="imagerepository",result="requeue_after"} 1"#,
            r#"gotk_reconcile_duration_seconds_count{kind="ImageRepository",name="podinfo",namespace="apps"} 1"#,
            r#"tagscope_scans_total{result="changed",source="shared"} 1"#,
            r#"controller_runtime_reconcile_total{controller="imagepolicy",result="error"} 0"#,
            r#"controller_runtime_reconcile_errors_total{controller="imagerepository"} 0"#,
            r#"controller_runtime_terminal_reconcile_errors_total{controller="imagepolicy"} 0"#,
            r#"controller_runtime_reconcile_panics_total{controller="imagepolicy"} 0"#,
            r#"controller_runtime_reconcile_time_seconds_sum{controller="imagerepository"} 1.0"#,
            r#"controller_runtime_max_concurrent_reconciles{controller="imagerepository"} 0"#,
            r#"controller_runtime_active_workers{controller="imagerepository"} 0"#,
            // The ten buckets from 10 ms to half an hour, by Go's own rule.
            r#"gotk_reconcile_duration_seconds_bucket{le="0.01",kind="ImageRepository",name="podinfo",namespace="apps"} 0"#,
            r#"gotk_reconcile_duration_seconds_bucket{le="0.03836"#,
            r#"gotk_reconcile_duration_seconds_bucket{le="2.16609"#,
            r#"gotk_reconcile_duration_seconds_bucket{le="1799.99999"#,
            r#"tagscope_policy_lag_tags{namespace="apps",name="podinfo"} 3"#,
        ] {
            assert!(
                text().contains(expected),
                "{expected} is not in\n{}",
                text()
            );
        }
        metrics.forget(Kind::ImageRepository, &key);
        metrics.forget(Kind::ImagePolicy, &key);
        assert!(!text().contains("podinfo"));
    }
}
