//! Requests to the aggregated API server, under kube-apiserver's own names, so that its dashboards read them.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::api::tags;
use crate::apiserver::chain::{Labels, Observer, Outcome};

const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    scope: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    scope: &'static str,
    code: Code,
}

/// An HTTP code; 0 when the client went away before there was one, as upstream counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Code(u16);

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }
}

type Durations = Family<Request, Histogram, fn() -> Histogram>;

/// Counts them.
#[derive(Debug)]
pub(super) struct ApiRequests {
    total: Family<Answered, Counter>,
    running: Family<Request, Gauge>,
    durations: Durations,
    watchers: Family<Watched, Gauge>,
    panics: Counter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    resource: &'static str,
}

impl Default for ApiRequests {
    fn default() -> Self {
        Self {
            total: Family::default(),
            running: Family::default(),
            durations: Durations::new_with_constructor(|| Histogram::new(BUCKETS)),
            watchers: Family::default(),
            panics: Counter::default(),
        }
    }
}

impl ApiRequests {
    pub(super) fn register(&self, registry: &mut Registry) {
        let api = registry.sub_registry_with_prefix("apiserver");
        api.register("request", "Requests answered", self.total.clone());
        api.register(
            "running_requests",
            "Requests that run now, watches included",
            self.running.clone(),
        );
        api.register_with_unit(
            "request_duration",
            "Time from the head of a request to the last byte of its answer, watches aside",
            Unit::Seconds,
            self.durations.clone(),
        );
        api.register(
            "request_panics",
            "Requests whose handler panicked",
            self.panics.clone(),
        );
        registry.register(
            "tagscope_watchers",
            "Clients that watch now",
            self.watchers.clone(),
        );
    }

    fn watchers(&self, request: Request) -> Option<Gauge> {
        let Request { verb, resource, .. } = request;
        (verb == "WATCH").then(|| self.watchers.get_or_create_owned(&Watched { resource }))
    }
}

impl Observer for ApiRequests {
    fn started(&self, labels: Labels) {
        let request = request(labels);
        self.running.get_or_create(&request).inc();
        if let Some(watchers) = self.watchers(request) {
            watchers.inc();
        }
    }

    fn finished(&self, labels: Labels, outcome: Outcome) {
        let request @ Request {
            verb,
            group,
            version,
            resource,
            scope,
        } = request(labels);
        self.running.get_or_create(&request).dec();
        if let Some(watchers) = self.watchers(request) {
            watchers.dec();
        }
        if verb != "WATCH" {
            self.durations
                .get_or_create(&request)
                .observe(outcome.duration.as_secs_f64());
        }
        let code = Code(outcome.code.unwrap_or_default());
        self.total
            .get_or_create(&Answered {
                verb,
                group,
                version,
                resource,
                scope,
                code,
            })
            .inc();
    }

    fn panicked(&self) {
        self.panics.inc();
    }
}

fn request(labels: Labels) -> Request {
    let Labels {
        verb,
        resource,
        scope,
    } = labels;
    let (group, version) = if resource.is_empty() {
        ("", "")
    } else {
        (tags::GROUP, tags::VERSION)
    };
    Request {
        verb,
        group,
        version,
        resource,
        scope,
    }
}
