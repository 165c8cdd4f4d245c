//! Requests to registries, by host, what for, and class of status.
//!
//! Hosts come from users' objects, so their number is bounded: beyond it they are counted together.

use std::collections::HashSet;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::registry::{Exchange, Observer};

/// Hosts with series of their own.
const HOSTS: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    host: String,
    operation: &'static str,
    status: &'static str,
}

/// Counts them.
#[derive(Debug, Default)]
pub(super) struct RegistryRequests {
    counts: Family<Labels, Counter>,
    hosts: Mutex<HashSet<String>>,
}

impl RegistryRequests {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "tagscope_registry_requests",
            "Requests to registries and their token servers",
            self.counts.clone(),
        );
    }

    fn host(&self, host: &str) -> String {
        let mut hosts = self.hosts.lock();
        if !hosts.contains(host) {
            if hosts.len() >= HOSTS {
                return "other".to_owned();
            }
            hosts.insert(host.to_owned());
        }
        host.to_owned()
    }
}

impl Observer for RegistryRequests {
    fn observe(&self, exchange: Exchange<'_>) {
        let labels = Labels {
            host: self.host(exchange.host),
            operation: exchange.operation.as_str(),
            status: exchange.status_class(),
        };
        self.counts.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_beyond_the_bound_are_counted_together() {
        let requests = RegistryRequests::default();
        for n in 0..HOSTS {
            assert_eq!(requests.host(&format!("h{n}")), format!("h{n}"));
        }
        assert_eq!(requests.host("one-more"), "other");
        assert_eq!(requests.host("h7"), "h7");
    }
}
