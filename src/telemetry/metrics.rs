//! The metrics registry and its text. A module that counts registers here under the names it is given; labels come from closed sets.
//!
//! Values that can be read off (the store, the process) are read when somebody scrapes, and kept nowhere.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::store::Store;

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry that knows the process and the store.
pub fn registry(store: Store) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(StoreCollector(store)));
    registry.register_collector(Box::new(ProcessCollector));
    registry
}

/// Everything registered, as Prometheus' text.
pub fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}

#[derive(Debug)]
struct StoreCollector(Store);

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.snapshot();
        gauge(
            &mut encoder,
            "tagscope_tags",
            "Tags held and served",
            None,
            snapshot.tag_count(),
        )?;
        gauge(
            &mut encoder,
            "tagscope_repositories",
            "ImageRepositories whose tags are held",
            None,
            snapshot.repositories().count(),
        )?;
        gauge(
            &mut encoder,
            "tagscope_store",
            "Memory held by tags",
            Some(&Unit::Bytes),
            self.0.bytes(),
        )
    }
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Where there is no /proc there are no such series.
        let Some(usage) = ProcessUsage::read() else {
            return Ok(());
        };
        gauge(
            &mut encoder,
            "process_resident_memory",
            "Resident memory size",
            Some(&Unit::Bytes),
            usage.resident_bytes,
        )?;
        let counter = ConstCounter::new(usage.cpu_seconds);
        let metric = encoder.encode_descriptor(
            "process_cpu",
            "Total user and system CPU time spent",
            Some(&Unit::Seconds),
            counter.metric_type(),
        )?;
        counter.encode(metric)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: usize,
) -> fmt::Result {
    let gauge = ConstGauge::new(u64::try_from(value).unwrap_or(u64::MAX));
    let metric = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
    gauge.encode(metric)
}

struct ProcessUsage {
    resident_bytes: usize,
    cpu_seconds: f64,
}

impl ProcessUsage {
    /// Linux's page is 4 KiB and its tick 10 ms on every machine that we run on.
    fn read() -> Option<Self> {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: usize = statm.split_whitespace().nth(1)?.parse().ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The command's name, in parentheses, may hold anything; fields are counted behind it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        Some(Self {
            resident_bytes: pages * 4096,
            cpu_seconds: (user + system) / 100.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_measured() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector));
        let text = text(&registry).unwrap();
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert!(text.contains("process_cpu_seconds_total "), "{text}");
    }
}
