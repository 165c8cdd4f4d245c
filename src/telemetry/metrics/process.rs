//! What the process itself uses, read off `/proc`.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads at each scrape.
#[derive(Debug)]
pub(super) struct Collector;

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Where there is no /proc there are no such series.
        let Some(usage) = Usage::read() else {
            return Ok(());
        };
        let resident = ConstGauge::new(usage.resident_bytes);
        resident.encode(encoder.encode_descriptor(
            "process_resident_memory",
            "Resident memory size",
            Some(&Unit::Bytes),
            resident.metric_type(),
        )?)?;
        let cpu = ConstCounter::new(usage.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu",
            "Total user and system CPU time spent",
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?)
    }
}

struct Usage {
    resident_bytes: u64,
    cpu_seconds: f64,
}

impl Usage {
    /// A page is 4 KiB and a tick 10 ms on every machine that this runs on.
    fn read() -> Option<Self> {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
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
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn the_process_is_measured() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collector));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert!(text.contains("process_cpu_seconds_total "), "{text}");
    }
}
