//! Requests to the aggregated API server, under kube-apiserver's own names and labels and in its buckets (OPS-7), so that its
//! dashboards and alerts read them.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{
    EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder, MetricEncoder,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};

use crate::apiserver::chain::{Labels, Observer, Outcome, Recognition, Verdict};

/// Whose requests these are, in kube-apiserver's word for every server that is built like it.
const COMPONENT: &str = "apiserver";

const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];
const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
const ACCESS_DURATIONS: [f64; 15] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384,
];
/// From nothing left to a year.
const CERTIFICATE_ENDS: [f64; 14] = [
    0.0,
    1_800.0,
    3_600.0,
    7_200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Target {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    #[prometheus(flatten)]
    target: Target,
    component: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Run {
    #[prometheus(flatten)]
    request: Request,
    dry_run: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    #[prometheus(flatten)]
    run: Run,
    code: Code,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Terminated {
    #[prometheus(flatten)]
    request: Request,
    code: Code,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InFlight {
    request_kind: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Late {
    source: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    resource: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    username: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Found {
    result: &'static str,
}

/// An HTTP code; 0 when the client went away before there was one, as upstream counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Code(u16);

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }
}

/// A counter whose name upstream does not end in `_total`.
#[derive(Debug, Clone, Default)]
struct Unsuffixed(Counter);

impl TypedMetric for Unsuffixed {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for Unsuffixed {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self.0.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

type Histograms<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// Counts them.
#[derive(Debug)]
pub(super) struct ApiRequests {
    total: Family<Answered, Counter>,
    durations: Histograms<Run>,
    sli_durations: Histograms<Request>,
    sizes: Histograms<Request>,
    long_running: Family<Request, Gauge>,
    in_flight: Family<InFlight, Gauge>,
    terminations: Family<Terminated, Counter>,
    aborts: Family<Target, Counter>,
    watchers: Family<Watched, Gauge>,
    panics: Counter,
    certificates: Histogram,
    users: Family<Named, Unsuffixed>,
    attempts: Family<Found, Unsuffixed>,
    recognised: Histograms<Found>,
    judgements: Family<Found, Counter>,
    judged: Histograms<Found>,
}

impl Default for ApiRequests {
    fn default() -> Self {
        let access = || Histogram::new(ACCESS_DURATIONS);
        Self {
            total: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            sli_durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            sizes: Family::new_with_constructor(|| Histogram::new(SIZES)),
            long_running: Family::default(),
            in_flight: Family::default(),
            terminations: Family::default(),
            aborts: Family::default(),
            watchers: Family::default(),
            panics: Counter::default(),
            certificates: Histogram::new(CERTIFICATE_ENDS),
            users: Family::default(),
            attempts: Family::default(),
            recognised: Family::new_with_constructor(access),
            judgements: Family::default(),
            judged: Family::new_with_constructor(access),
        }
    }
}

impl ApiRequests {
    pub(super) fn register(&self, registry: &mut Registry) {
        let seconds = || Unit::Seconds;
        let api = registry.sub_registry_with_prefix("apiserver");
        api.register("request", "Requests answered", self.total.clone());
        api.register_with_unit(
            "request_duration",
            "Time from the head of a request to the last byte of its answer, watches aside",
            seconds(),
            self.durations.clone(),
        );
        api.register_with_unit(
            "request_sli_duration",
            "The same, as service level indicators ask for it",
            seconds(),
            self.sli_durations.clone(),
        );
        api.register(
            "response_sizes",
            "Bytes of answers to GET and LIST",
            self.sizes.clone(),
        );
        api.register(
            "longrunning_requests",
            "Watches that are open",
            self.long_running.clone(),
        );
        api.register(
            "current_inflight_requests",
            "Requests that run now, watches aside",
            self.in_flight.clone(),
        );
        api.register(
            "request_terminations",
            "Requests that were turned away (429, 503) or took too long (504)",
            self.terminations.clone(),
        );
        api.register(
            "request_aborts",
            "Answers that were broken off by the server after they had begun",
            self.aborts.clone(),
        );
        // A handler ends with its request: nothing can happen after a timeout, and the series says so.
        let late = Family::<Late, Counter>::default();
        drop(late.get_or_create(&Late {
            source: "timeout-handler",
            status: "pending",
        }));
        api.register(
            "request_post_timeout",
            "Handlers that went on after their request had timed out",
            late,
        );
        api.register(
            "request_panics",
            "Requests whose handler panicked, or what made their answer's body",
            self.panics.clone(),
        );
        api.register_with_unit(
            "client_certificate_expiration",
            "Time that is left of the certificates by which clients were recognised",
            seconds(),
            self.certificates.clone(),
        );
        registry.register(
            "tagscope_watchers",
            "Clients that watch now",
            self.watchers.clone(),
        );
        registry.register(
            "authenticated_user_requests",
            "Requests of recognised users, by class of name",
            self.users.clone(),
        );
        registry.register(
            "authentication_attempts",
            "Requests with a credential, by what came of it",
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "authentication_duration",
            "Time to find out who asks",
            seconds(),
            self.recognised.clone(),
        );
        registry.register(
            "authorization_attempts",
            "Requests that were judged, by what came of it",
            self.judgements.clone(),
        );
        registry.register_with_unit(
            "authorization_duration",
            "Time to find out whether they may",
            seconds(),
            self.judged.clone(),
        );
    }

    /// The gauges that a running request is in.
    fn running(&self, labels: Labels) -> [Option<Gauge>; 3] {
        let request = request(labels);
        if labels.verb == "WATCH" {
            let Labels { resource, .. } = labels;
            let watchers = self.watchers.get_or_create_owned(&Watched { resource });
            let open = self.long_running.get_or_create_owned(&request);
            return [Some(watchers), Some(open), None];
        }
        let request_kind = if labels.is_read_only() {
            "readOnly"
        } else {
            "mutating"
        };
        let kind = InFlight { request_kind };
        [None, None, Some(self.in_flight.get_or_create_owned(&kind))]
    }
}

impl Observer for ApiRequests {
    fn started(&self, labels: Labels) {
        for gauge in self.running(labels).into_iter().flatten() {
            gauge.inc();
        }
    }

    fn finished(&self, labels: Labels, outcome: Outcome) {
        for gauge in self.running(labels).into_iter().flatten() {
            gauge.dec();
        }
        let Outcome {
            code,
            duration,
            bytes,
            complete: _,
            aborted,
        } = outcome;
        let request = request(labels);
        let run = Run {
            request,
            dry_run: labels.dry_run,
        };
        if labels.verb != "WATCH" {
            let seconds = duration.as_secs_f64();
            self.durations.get_or_create(&run).observe(seconds);
            self.sli_durations.get_or_create(&request).observe(seconds);
        }
        if matches!(labels.verb, "GET" | "LIST") && code.is_some() {
            #[expect(clippy::cast_precision_loss, reason = "for buckets of powers of ten")]
            self.sizes.get_or_create(&request).observe(bytes as f64);
        }
        if aborted {
            self.aborts.get_or_create(&request.target).inc();
        }
        let code = Code(code.unwrap_or_default());
        self.total.get_or_create(&Answered { run, code }).inc();
    }

    fn panicked(&self) {
        self.panics.inc();
    }

    fn terminated(&self, labels: Labels, code: u16) {
        let (request, code) = (request(labels), Code(code));
        self.terminations
            .get_or_create(&Terminated { request, code })
            .inc();
    }

    fn recognised(&self, recognition: Recognition, took: Duration) {
        let result = match recognition {
            Recognition::User(username) => {
                self.users.get_or_create(&Named { username }).0.inc();
                "success"
            }
            Recognition::Error => "error",
        };
        let found = Found { result };
        self.attempts.get_or_create(&found).0.inc();
        self.recognised
            .get_or_create(&found)
            .observe(took.as_secs_f64());
    }

    fn certificate_ends_in(&self, left: Duration) {
        self.certificates.observe(left.as_secs_f64());
    }

    fn judged(&self, verdict: Verdict, took: Duration) {
        let result = match verdict {
            Verdict::Allowed => "allowed",
            Verdict::Denied => "denied",
            Verdict::Error => "error",
        };
        let found = Found { result };
        self.judgements.get_or_create(&found).inc();
        self.judged
            .get_or_create(&found)
            .observe(took.as_secs_f64());
    }
}

fn request(labels: Labels) -> Request {
    let Labels {
        verb,
        group,
        version,
        resource,
        subresource,
        scope,
        dry_run: _,
    } = labels;
    Request {
        target: Target {
            verb,
            group,
            version,
            resource,
            subresource,
            scope,
        },
        component: COMPONENT,
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn names_and_labels_are_kube_apiservers() {
        let requests = ApiRequests::default();
        let mut registry = Registry::default();
        requests.register(&mut registry);
        let of = |verb| Labels {
            verb,
            group: "tags.tagscope.dev",
            version: "v1alpha1",
            resource: "imagetags",
            subresource: "",
            scope: "namespace",
            dry_run: "",
        };
        requests.started(of("LIST"));
        requests.started(of("WATCH"));
        requests.started(of("POST"));
        let outcome = Outcome {
            code: Some(200),
            duration: Duration::from_millis(30),
            bytes: 5_000,
            complete: false,
            aborted: true,
        };
        requests.finished(of("LIST"), outcome);
        requests.terminated(of("LIST"), 429);
        requests.recognised(Recognition::User("email_id"), Duration::ZERO);
        requests.recognised(Recognition::Error, Duration::ZERO);
        requests.judged(Verdict::Denied, Duration::ZERO);
        requests.certificate_ends_in(Duration::from_hours(1));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let target = r#"verb="LIST",group="tags.tagscope.dev",version="v1alpha1",resource="imagetags",subresource="",scope="namespace""#;
        let watch = target.replace("LIST", "WATCH");
        for line in [
            format!(
                r#"apiserver_request_total{{{target},component="apiserver",dry_run="",code="200"}} 1"#
            ),
            format!(
                r#"apiserver_request_duration_seconds_bucket{{le="0.05",{target},component="apiserver",dry_run=""}} 1"#
            ),
            format!(
                r#"apiserver_request_sli_duration_seconds_count{{{target},component="apiserver"}} 1"#
            ),
            format!(
                r#"apiserver_response_sizes_bucket{{le="10000.0",{target},component="apiserver"}} 1"#
            ),
            format!(r#"apiserver_longrunning_requests{{{watch},component="apiserver"}} 1"#),
            r#"apiserver_current_inflight_requests{request_kind="mutating"} 1"#.to_owned(),
            r#"apiserver_current_inflight_requests{request_kind="readOnly"} 0"#.to_owned(),
            format!(
                r#"apiserver_request_terminations_total{{{target},component="apiserver",code="429"}} 1"#
            ),
            format!("apiserver_request_aborts_total{{{target}}} 1"),
            r#"apiserver_request_post_timeout_total{source="timeout-handler",status="pending"} 0"#
                .to_owned(),
            r#"apiserver_client_certificate_expiration_seconds_bucket{le="3600.0"} 1"#.to_owned(),
            r#"authenticated_user_requests{username="email_id"} 1"#.to_owned(),
            r#"authentication_attempts{result="error"} 1"#.to_owned(),
            r#"authentication_duration_seconds_count{result="success"} 1"#.to_owned(),
            r#"authorization_attempts_total{result="denied"} 1"#.to_owned(),
            r#"authorization_duration_seconds_count{result="denied"} 1"#.to_owned(),
            r#"tagscope_watchers{resource="imagetags"} 1"#.to_owned(),
        ] {
            assert!(
                text.lines().any(|said| said == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
