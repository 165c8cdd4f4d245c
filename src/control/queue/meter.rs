//! What a queue is measured by, under client-go's names. Measures, and decides nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::Next;
use crate::control::kind::Kind;
use crate::object::Key;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    name: Kind,
    controller: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: Kind,
}

type Durations = Family<Labels, Histogram, fn() -> Histogram>;

/// The queues of both kinds. Clones measure together.
#[derive(Debug, Clone)]
pub(in crate::control) struct Meters {
    adds: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    panics: Family<ControllerLabels, Counter>,
    waited: Durations,
    worked: Durations,
    repositories: Arc<Mutex<State>>,
    policies: Arc<Mutex<State>>,
    mirrors: Arc<Mutex<State>>,
}

impl Default for Meters {
    fn default() -> Self {
        // client-go's: from ten nanoseconds in steps of ten.
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(1e-8, 10.0, 12));
        Self {
            adds: Family::default(),
            retries: Family::default(),
            panics: Family::default(),
            waited: Durations::new_with_constructor(buckets),
            worked: Durations::new_with_constructor(buckets),
            repositories: Arc::default(),
            policies: Arc::default(),
            mirrors: Arc::default(),
        }
    }
}

impl Meters {
    /// Puts everything into `registry`.
    pub(in crate::control) fn register(&self, registry: &mut Registry) {
        let queue = registry.sub_registry_with_prefix("workqueue");
        queue.register(
            "adds",
            "Total number of adds handled by workqueue",
            self.adds.clone(),
        );
        queue.register(
            "retries",
            "Total number of retries handled by workqueue",
            self.retries.clone(),
        );
        queue.register_with_unit(
            "queue_duration",
            "How long in seconds an item stays in workqueue before being requested",
            Unit::Seconds,
            self.waited.clone(),
        );
        queue.register_with_unit(
            "work_duration",
            "How long in seconds processing an item from workqueue takes",
            Unit::Seconds,
            self.worked.clone(),
        );
        for controller in Kind::ALL {
            // There from the start, so that its rate is known when it rises.
            drop(self.panics.get_or_create(&ControllerLabels { controller }));
        }
        registry.register(
            "controller_runtime_reconcile_panics",
            "Total number of reconciliation panics per controller",
            self.panics.clone(),
        );
        registry.register_collector(Box::new(Present(self.clone())));
    }

    /// The meter of one kind's queue.
    pub(in crate::control) fn of(&self, kind: Kind) -> Meter {
        Meter {
            kind,
            meters: self.clone(),
        }
    }

    fn state(&self, kind: Kind) -> &Mutex<State> {
        match kind {
            Kind::ImageRepository => &self.repositories,
            Kind::ImagePolicy => &self.policies,
            Kind::ImageMirror => &self.mirrors,
        }
    }
}

/// What is so now.
#[derive(Debug, Default)]
struct State {
    /// When each object that does not run is to be looked at.
    due: HashMap<Key, Instant>,
    /// Since when the others run.
    running: HashMap<Key, Instant>,
}

/// One queue's meter.
#[derive(Debug, Clone)]
pub(in crate::control) struct Meter {
    kind: Kind,
    meters: Meters,
}

impl Meter {
    fn labels(&self) -> Labels {
        Labels {
            name: self.kind,
            controller: self.kind,
        }
    }

    /// A queue begins, with nothing in it.
    pub(super) fn begin(&self) {
        *self.meters.state(self.kind).lock() = State::default();
    }

    /// An object is to be looked at now.
    pub(super) fn asked(&self, key: &Key) {
        let now = Instant::now();
        let mut state = self.meters.state(self.kind).lock();
        let before = state.due.get(key).copied();
        if before.is_some_and(|due| due <= now) {
            return;
        }
        state.due.insert(key.clone(), now);
        drop(state);
        self.meters.adds.get_or_create(&self.labels()).inc();
    }

    /// A reconcile begins.
    pub(super) fn started(&self, key: &Key) {
        let now = Instant::now();
        let mut state = self.meters.state(self.kind).lock();
        let due = state.due.remove(key);
        state.running.insert(key.clone(), now);
        drop(state);
        let waited = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        let waits = self.meters.waited.get_or_create_owned(&self.labels());
        waits.observe(waited.as_secs_f64());
    }

    /// A reconcile panicked.
    pub(super) fn panicked(&self) {
        let labels = ControllerLabels {
            controller: self.kind,
        };
        self.meters.panics.get_or_create(&labels).inc();
    }

    /// It has ended, and `delay` from now it begins again.
    pub(super) fn ended(&self, key: &Key, next: Next, delay: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.meters.state(self.kind).lock();
        let since = state.running.remove(key);
        if let Some(delay) = delay {
            let due = now + delay;
            let known = state.due.entry(key.clone()).or_insert(due);
            *known = due.min(*known);
        }
        drop(state);
        let labels = self.labels();
        if let Some(since) = since {
            let worked = self.meters.worked.get_or_create_owned(&labels);
            worked.observe((now - since).as_secs_f64());
        }
        if matches!(next, Next::Retry { .. }) {
            self.meters.retries.get_or_create(&labels).inc();
        }
        if delay.is_some() {
            self.meters.adds.get_or_create(&labels).inc();
        }
    }
}

/// Reads off what is so at the moment of a scrape.
#[derive(Debug)]
struct Present(Meters);

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = Instant::now();
        let read = |measure: fn(&State, Instant) -> f64| {
            Kind::ALL.map(|kind| (kind, measure(&self.0.state(kind).lock(), now)))
        };
        let mut gauge = |name, help, unit, values: [(Kind, f64); 3]| {
            let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            for (kind, value) in values {
                let labels = Labels {
                    name: kind,
                    controller: kind,
                };
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        };
        gauge(
            "workqueue_depth",
            "Current depth of workqueue",
            None,
            read(|state, now| count(state.due.values().filter(|due| **due <= now).count())),
        )?;
        gauge(
            "workqueue_unfinished_work",
            "How many seconds of work has been done that is in progress",
            Some(&Unit::Seconds),
            read(|state, now| {
                let since = state.running.values();
                since.map(|since| (now - *since).as_secs_f64()).sum()
            }),
        )?;
        gauge(
            "workqueue_longest_running_processor",
            "How many seconds has the longest running processor for workqueue been running",
            Some(&Unit::Seconds),
            read(|state, now| {
                let since = state.running.values().min();
                since.map_or(0.0, |since| (now - *since).as_secs_f64())
            }),
        )
    }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_measured_in_client_gos_words() {
        let meters = Meters::default();
        let mut registry = Registry::default();
        meters.register(&mut registry);
        let meter = meters.of(Kind::ImagePolicy);
        let (one, two) = (Key::new("apps", "one"), Key::new("apps", "two"));
        let expect = |lines: &[&str]| {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            for line in lines {
                let (name, rest) = line.split_once(' ').unwrap();
                let line = format!(
                    "workqueue_{name}{{name=\"imagepolicy\",controller=\"imagepolicy\"}} {rest}"
                );
                assert!(
                    text.lines().any(|found| found == line),
                    "no {line} in\n{text}"
                );
            }
        };
        meter.asked(&one);
        meter.asked(&one);
        meter.asked(&two);
        expect(&["adds_total 2", "depth 2.0"]);
        tokio::time::advance(Duration::from_secs(2)).await;
        meter.started(&one);
        tokio::time::advance(Duration::from_secs(3)).await;
        meter.started(&two);
        expect(&[
            "depth 0.0",
            "queue_duration_seconds_sum 7.0",
            "unfinished_work_seconds 3.0",
            "longest_running_processor_seconds 3.0",
        ]);
        let delay = Some(Duration::from_secs(10));
        meter.ended(&one, Next::RETRY, delay);
        meter.ended(&two, Next::Await, None);
        expect(&[
            "retries_total 1",
            "adds_total 3",
            "work_duration_seconds_sum 3.0",
            "depth 0.0",
        ]);
        tokio::time::advance(Duration::from_secs(10)).await;
        expect(&["depth 1.0"]);
        meter.begin();
        expect(&["depth 0.0", "adds_total 3"]);
    }
}
