//! What goes to registries, by host: requests, waits, and the reading of tag lists.
//!
//! A host is that of an ImageRepository's image, whatever token servers and redirects are behind it. Users choose
//! them, so their number is bounded: beyond it hosts are counted together. The series of a host that nothing was asked
//! of for an hour end.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets_range};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use crate::registry::{Exchange, Observer, Operation, Scan, Wait};

/// Hosts with series of their own.
const HOSTS: usize = 100;
/// What the others are counted as.
const OTHER: &str = "other";
/// A host's series end after so much time without requests.
const IDLE: Duration = Duration::from_hours(1);

const OPERATIONS: [Operation; 4] = [
    Operation::List,
    Operation::Manifest,
    Operation::Blob,
    Operation::Token,
];
const SCANS: [Scan; 4] = [Scan::Listed, Scan::Unchanged, Scan::Failed, Scan::PutOff];
const STATUSES: [&str; 6] = ["2xx", "3xx", "4xx", "5xx", "other", "error"];
const WAITS: [&str; 2] = ["waited", "put_off"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    host: String,
    operation: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    host: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostLabels {
    host: String,
}

/// Counts them.
#[derive(Debug)]
pub(super) struct RegistryRequests {
    requests: Family<RequestLabels, Counter>,
    waits: Family<ResultLabels, Counter>,
    waited: Family<HostLabels, Counter<f64, AtomicU64>>,
    scans: Family<ResultLabels, Counter>,
    durations: Family<HostLabels, Histogram, fn() -> Histogram>,
    /// When each was last asked. Held for the time of one lookup.
    hosts: Mutex<HashMap<String, Instant>>,
}

impl Default for RegistryRequests {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            waits: Family::default(),
            waited: Family::default(),
            scans: Family::default(),
            durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets_range(0.005, 300.0, 12))
            }),
            hosts: Mutex::default(),
        }
    }
}

impl RegistryRequests {
    pub(super) fn register(&self, registry: &mut Registry) {
        let own = registry.sub_registry_with_prefix("tagscope");
        own.register(
            "registry_requests",
            "Requests to registries and their token servers",
            self.requests.clone(),
        );
        own.register(
            "registry_waits",
            "Requests that the budget of their registry host held back, by what became of them",
            self.waits.clone(),
        );
        own.register(
            "registry_wait_seconds",
            "Time for which requests waited for the budget of their registry host",
            self.waited.clone(),
        );
        own.register(
            "registry_scans",
            "Tag lists asked for, by registry host and how it ended",
            self.scans.clone(),
        );
        own.register_with_unit(
            "scan_duration",
            "Time for which registries were read from for one tag list, without waiting for their budget",
            Unit::Seconds,
            self.durations.clone(),
        );
    }

    /// The label's value for `host`, which is asked now.
    fn host(&self, host: &str) -> String {
        let now = Instant::now();
        let mut hosts = self.hosts.lock();
        if let Some(last) = hosts.get_mut(host) {
            *last = now;
            return host.to_owned();
        }
        if hosts.len() >= HOSTS {
            return OTHER.to_owned();
        }
        hosts.insert(host.to_owned(), now);
        host.to_owned()
    }

    /// Ends the series of hosts that are not asked any more.
    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        let mut hosts = self.hosts.lock();
        let idle = hosts
            .extract_if(|_, last| now.saturating_duration_since(*last) >= IDLE)
            .map(|(host, _)| host)
            .collect::<Vec<_>>();
        for host in idle {
            self.forget(&host);
        }
    }

    fn forget(&self, host: &str) {
        let result = |result| ResultLabels {
            host: host.to_owned(),
            result,
        };
        for operation in OPERATIONS {
            for status in STATUSES {
                self.requests.remove(&RequestLabels {
                    host: host.to_owned(),
                    operation: operation.as_str(),
                    status,
                });
            }
        }
        for scan in SCANS {
            self.scans.remove(&result(scan.as_str()));
        }
        for wait in WAITS {
            self.waits.remove(&result(wait));
        }
        let labels = HostLabels {
            host: host.to_owned(),
        };
        self.waited.remove(&labels);
        self.durations.remove(&labels);
    }
}

impl Observer for RegistryRequests {
    fn observe(&self, exchange: Exchange<'_>) {
        let labels = RequestLabels {
            host: self.host(exchange.host),
            operation: exchange.operation.as_str(),
            status: exchange.status_class(),
        };
        self.requests.get_or_create(&labels).inc();
    }

    fn waited(&self, host: &str, wait: Wait) {
        let host = self.host(host);
        let result = match wait {
            Wait::For(time) => {
                let labels = HostLabels { host: host.clone() };
                let seconds = time.as_secs_f64();
                self.waited.get_or_create(&labels).inc_by(seconds);
                "waited"
            }
            Wait::PutOff => "put_off",
        };
        self.waits
            .get_or_create(&ResultLabels { host, result })
            .inc();
    }

    fn scanned(&self, host: &str, scan: Scan, took: Duration) {
        let host = self.host(host);
        if scan != Scan::PutOff {
            let labels = HostLabels { host: host.clone() };
            let seconds = took.as_secs_f64();
            self.durations.get_or_create(&labels).observe(seconds);
        }
        let result = scan.as_str();
        self.scans
            .get_or_create(&ResultLabels { host, result })
            .inc();
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn text(requests: &RegistryRequests) -> String {
        let mut registry = Registry::default();
        requests.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    fn ask(requests: &RegistryRequests, host: &str) {
        requests.observe(Exchange {
            host,
            operation: Operation::List,
            status: Some(StatusCode::OK),
            elapsed: Duration::ZERO,
        });
        requests.waited(host, Wait::For(Duration::from_millis(1500)));
        requests.waited(host, Wait::PutOff);
        requests.scanned(host, Scan::Listed, Duration::from_secs(2));
        requests.scanned(host, Scan::PutOff, Duration::ZERO);
    }

    #[test]
    fn names_and_labels_are_as_documented() {
        let requests = RegistryRequests::default();
        ask(&requests, "r.test");
        let text = text(&requests);
        for line in [
            r#"tagscope_registry_requests_total{host="r.test",operation="list",status="2xx"} 1"#,
            r#"tagscope_registry_waits_total{host="r.test",result="waited"} 1"#,
            r#"tagscope_registry_waits_total{host="r.test",result="put_off"} 1"#,
            r#"tagscope_registry_wait_seconds_total{host="r.test"} 1.5"#,
            r#"tagscope_registry_scans_total{host="r.test",result="listed"} 1"#,
            r#"tagscope_registry_scans_total{host="r.test",result="put_off"} 1"#,
            r#"tagscope_scan_duration_seconds_count{host="r.test"} 1"#,
            r#"tagscope_scan_duration_seconds_sum{host="r.test"} 2.0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let docs = include_str!("../../../docs/metrics.md");
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = name.split(' ').next().unwrap();
            assert!(docs.contains(name), "{name} is not documented");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_beyond_the_bound_are_counted_together_until_others_end() {
        let requests = RegistryRequests::default();
        for n in 0..HOSTS {
            assert_eq!(requests.host(&format!("h{n}")), format!("h{n}"));
        }
        ask(&requests, "one-more.test");
        assert!(!text(&requests).contains("one-more.test"));
        assert!(text(&requests).contains(r#"host="other""#));
        tokio::time::advance(IDLE / 2).await;
        ask(&requests, "h7");
        tokio::time::advance(IDLE / 2).await;
        requests.forget_idle();
        assert_eq!(requests.hosts.lock().len(), 1);
        ask(&requests, "one-more.test");
        assert!(text(&requests).contains("one-more.test"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_series_of_a_host_that_is_not_asked_any_more_end() {
        let requests = RegistryRequests::default();
        for operation in OPERATIONS {
            for status in [200, 304, 404, 500, 100] {
                requests.observe(Exchange {
                    host: "r.test",
                    operation,
                    status: StatusCode::from_u16(status).ok(),
                    elapsed: Duration::ZERO,
                });
            }
        }
        ask(&requests, "r.test");
        tokio::time::advance(IDLE).await;
        requests.forget_idle();
        assert!(!text(&requests).contains("r.test"), "{}", text(&requests));
    }
}
