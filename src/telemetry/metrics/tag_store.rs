//! What the tag store holds, read off at each scrape.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::store::Store;

/// Reads the store.
#[derive(Debug)]
pub(super) struct Collector(pub(super) Store);

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.snapshot();
        let mut gauge = |name, help, unit, value: usize| {
            let gauge = ConstGauge::new(u64::try_from(value).unwrap_or(u64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        gauge(
            "tagscope_tags",
            "Tags held and served",
            None,
            snapshot.tag_count(),
        )?;
        let repositories = snapshot.repositories().count();
        gauge(
            "tagscope_repositories",
            "ImageRepositories whose tags are held",
            None,
            repositories,
        )?;
        gauge(
            "tagscope_store",
            "Memory held by tags",
            Some(&Unit::Bytes),
            self.0.bytes(),
        )
    }
}
