//! Questions to kube-apiserver about tokens and rights, and how often the memory of its answers spared one: upstream's
//! `apiserver_delegated_*` and `authentication_token_cache_*`.

use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use crate::apiserver::authn::TokenObserver;
use crate::apiserver::review::{Failure, Reviewer};
use crate::cluster::delegated;
use crate::secret::SecretString;

const BUCKETS: [f64; 8] = [0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    code: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

type Histograms<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// Requests of one kind of review.
#[derive(Debug, Clone)]
struct Requests {
    total: Family<Answer, Counter>,
    durations: Histograms<Answer>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            total: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

/// Counts them. Clones count together.
#[derive(Debug, Clone)]
pub struct ReviewCounts {
    tokens: Requests,
    access: Requests,
    lookups: Family<Status, Counter>,
    lookup_durations: Histograms<Status>,
    fetches: Family<Status, Counter>,
    fetching: Family<Status, Gauge>,
}

impl Default for ReviewCounts {
    fn default() -> Self {
        Self {
            tokens: Requests::default(),
            access: Requests::default(),
            lookups: Family::default(),
            lookup_durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            fetches: Family::default(),
            fetching: Family::default(),
        }
    }
}

impl ReviewCounts {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, what, requests) in [
            ("authn", "TokenReviews", &self.tokens),
            ("authz", "SubjectAccessReviews", &self.access),
        ] {
            let api = registry.sub_registry_with_prefix(format!("apiserver_delegated_{name}"));
            api.register(
                "request",
                format!("{what} asked for, by the answer's code"),
                requests.total.clone(),
            );
            api.register_with_unit(
                "request_duration",
                format!("Time to an answer to {what}"),
                Unit::Seconds,
                requests.durations.clone(),
            );
        }
        let cache = registry.sub_registry_with_prefix("authentication_token_cache");
        cache.register("request", "Tokens looked up", self.lookups.clone());
        cache.register_with_unit(
            "request_duration",
            "Time to look a token up",
            Unit::Seconds,
            self.lookup_durations.clone(),
        );
        cache.register("fetch", "Tokens asked about", self.fetches.clone());
        cache.register(
            "active_fetch_count",
            "Tokens being asked about",
            self.fetching.clone(),
        );
    }

    /// `reviewer`, counted.
    pub fn count<R: Reviewer>(&self, reviewer: R) -> Counted<R> {
        Counted {
            reviewer,
            counts: self.clone(),
        }
    }
}

impl TokenObserver for ReviewCounts {
    fn looked_up(&self, is_hit: bool, took: Duration) {
        let status = if is_hit { "hit" } else { "miss" };
        let status = Status { status };
        self.lookups.get_or_create(&status).inc();
        self.lookup_durations
            .get_or_create(&status)
            .observe(took.as_secs_f64());
    }
}

impl Requests {
    fn answered<T>(&self, outcome: &Result<T, Failure>, took: Duration) {
        let code = match outcome {
            Ok(_) => "201".to_owned(),
            // Nothing was asked.
            Err(Failure::Busy) => return,
            Err(Failure::BrokenOff) => "<error>".to_owned(),
            Err(Failure::Unanswered(error)) => code_of(error),
        };
        let answer = Answer { code };
        self.total.get_or_create(&answer).inc();
        self.durations
            .get_or_create(&answer)
            .observe(took.as_secs_f64());
    }
}

fn code_of(error: &delegated::Error) -> String {
    match error {
        delegated::Error::ReviewForbidden { .. } => "403".to_owned(),
        delegated::Error::Review { source, .. } => match &**source {
            kube::Error::Api(status) => status.code.to_string(),
            _ => "<error>".to_owned(),
        },
        _ => "<error>".to_owned(),
    }
}

/// A reviewer whose answers are counted.
pub struct Counted<R> {
    reviewer: R,
    counts: ReviewCounts,
}

/// Down again when the question is over, or given up.
struct Fetching(Gauge);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl<R: Reviewer> Reviewer for Counted<R> {
    fn token<'a>(
        &'a self,
        token: &'a SecretString,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>> {
        Box::pin(async move {
            let status = "in_flight";
            let fetching = self.counts.fetching.get_or_create_owned(&Status { status });
            fetching.inc();
            let _fetching = Fetching(fetching);
            let began = Instant::now();
            let outcome = self.reviewer.token(token, audiences).await;
            self.counts.tokens.answered(&outcome, began.elapsed());
            let status = if outcome.is_ok() { "ok" } else { "error" };
            self.counts.fetches.get_or_create(&Status { status }).inc();
            outcome
        })
    }

    fn access(
        &self,
        spec: SubjectAccessReviewSpec,
    ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>> {
        Box::pin(async move {
            let began = Instant::now();
            let outcome = self.reviewer.access(spec).await;
            self.counts.access.answered(&outcome, began.elapsed());
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    struct Fake;

    impl Reviewer for Fake {
        fn token<'a>(
            &'a self,
            _: &'a SecretString,
            _: &'a [String],
        ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>> {
            Box::pin(async { Ok(TokenReviewStatus::default()) })
        }

        fn access(
            &self,
            _: SubjectAccessReviewSpec,
        ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>> {
            let message = "no".to_owned();
            let kind = "SubjectAccessReview";
            let error = delegated::Error::ReviewForbidden { kind, message };
            Box::pin(async { Err(error.into()) })
        }
    }

    #[tokio::test]
    async fn questions_and_lookups_are_counted_under_upstreams_names() {
        let counts = ReviewCounts::default();
        let reviewer = counts.count(Fake);
        reviewer.token(&"t".into(), &[]).await.unwrap();
        reviewer
            .access(SubjectAccessReviewSpec::default())
            .await
            .unwrap_err();
        counts.looked_up(true, Duration::ZERO);
        let mut registry = Registry::default();
        counts.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            r#"apiserver_delegated_authn_request_total{code="201"} 1"#,
            r#"apiserver_delegated_authn_request_duration_seconds_count{code="201"} 1"#,
            r#"apiserver_delegated_authz_request_total{code="403"} 1"#,
            r#"apiserver_delegated_authz_request_duration_seconds_count{code="403"} 1"#,
            r#"authentication_token_cache_request_total{status="hit"} 1"#,
            r#"authentication_token_cache_request_duration_seconds_count{status="hit"} 1"#,
            r#"authentication_token_cache_fetch_total{status="ok"} 1"#,
            r#"authentication_token_cache_active_fetch_count{status="in_flight"} 0"#,
        ] {
            assert!(
                text.lines().any(|said| said == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
