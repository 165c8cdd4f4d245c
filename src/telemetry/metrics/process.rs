//! What the process itself uses, read off `/proc`.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::runtime::Handle;

/// Reads at each scrape.
#[derive(Debug)]
pub(super) struct Collector;

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Where there is no /proc there are no such series.
        let Some(usage) = Usage::read() else {
            return Ok(());
        };
        let Usage {
            resident_bytes,
            virtual_bytes,
            cpu_seconds,
            started,
            open_files,
            most_files,
        } = usage;
        let cpu = ConstCounter::new(cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu",
            "Total user and system CPU time spent",
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?)?;
        let mut gauge = |name, help, unit, value: Option<f64>| {
            let Some(value) = value else {
                return Ok(());
            };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        let bytes = Some(&Unit::Bytes);
        gauge(
            "process_resident_memory",
            "Resident memory size",
            bytes,
            Some(resident_bytes),
        )?;
        gauge(
            "process_virtual_memory",
            "Virtual memory size",
            bytes,
            Some(virtual_bytes),
        )?;
        gauge(
            "process_start_time",
            "Start time of the process since unix epoch",
            Some(&Unit::Seconds),
            started,
        )?;
        gauge(
            "process_open_fds",
            "Number of open file descriptors",
            None,
            open_files,
        )?;
        gauge(
            "process_max_fds",
            "Maximum number of open file descriptors",
            None,
            most_files,
        )?;
        let tasks = Handle::try_current().ok();
        gauge(
            "tagscope_tasks",
            "Number of asynchronous tasks that have not ended",
            None,
            tasks.and_then(|runtime| count(runtime.metrics().num_alive_tasks())),
        )
    }
}

struct Usage {
    resident_bytes: f64,
    virtual_bytes: f64,
    cpu_seconds: f64,
    started: Option<f64>,
    open_files: Option<f64>,
    most_files: Option<f64>,
}

impl Usage {
    /// A page is 4 KiB and a tick 10 ms on every machine that this runs on.
    fn read() -> Option<Self> {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        let mut pages = statm.split_whitespace().map(str::parse::<f64>);
        let virtual_pages = pages.next()?.ok()?;
        let resident_pages = pages.next()?.ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The command's name, in parentheses, may hold anything; fields are counted behind it.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let ticks: Option<f64> = fields.nth(6).and_then(|ticks| ticks.parse().ok());
        Some(Self {
            resident_bytes: resident_pages * 4096.0,
            virtual_bytes: virtual_pages * 4096.0,
            cpu_seconds: (user + system) / 100.0,
            started: ticks.and_then(|ticks| Some(boot_time()? + ticks / 100.0)),
            open_files: open_files(),
            most_files: most_files(),
        })
    }
}

fn boot_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

fn open_files() -> Option<f64> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // Reading the directory opens it.
    count(open.saturating_sub(1))
}

fn count(of: usize) -> Option<f64> {
    u32::try_from(of).ok().map(f64::from)
}

fn most_files() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[tokio::test]
    async fn the_process_is_measured() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collector));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for name in [
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_open_fds",
            "process_max_fds",
            "tagscope_tasks",
        ] {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} ")));
            let value: f64 = line
                .unwrap_or_else(|| panic!("no {name} in {text}"))
                .parse()
                .unwrap();
            assert!(value >= 0.0, "{name} {value}");
        }
    }
}
