//! What the tag store holds, read off at each scrape: a repository's series ends with it.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::store::Store;

/// Reads the store.
#[derive(Debug)]
pub(super) struct Collector(pub(super) Store);

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let snapshot = self.0.snapshot();
        let (mut repositories, help) = (0, "Tags held and served, by ImageRepository");
        let mut tags = encoder.encode_descriptor("tagscope_tags", help, None, MetricType::Gauge)?;
        for repository in snapshot.repositories() {
            repositories += 1;
            let key = &repository.owner().key;
            let labels = [("namespace", &*key.namespace), ("name", &*key.name)];
            ConstGauge::new(number(repository.tag_count())).encode(tags.encode_family(&labels)?)?;
        }
        let mut gauge = |name, help, unit, value| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
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
            number(self.0.bytes()),
        )
    }
}
