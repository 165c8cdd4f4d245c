//! What watches send, and why they end before their time; kube-apiserver's own names where it has one.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::api::tags;
use crate::apiserver::kind::Kind;
use crate::apiserver::watch::{Breadth, Observer};

/// Bytes of one event: a tag is about 600.
const SIZES: [f64; 8] = [
    1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 32_768.0, 65_536.0, 131_072.0,
];
const TIMES: [f64; 10] = [0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 10.0, 60.0];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    group: &'static str,
    version: &'static str,
    resource: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listed {
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    scope: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dropped {
    resource: &'static str,
    reason: &'static str,
}

/// Counts them.
#[derive(Debug)]
pub(super) struct Watches {
    events: Family<Watched, Counter>,
    sizes: Family<Watched, Histogram, fn() -> Histogram>,
    lists: Family<Listed, Histogram, fn() -> Histogram>,
    dropped: Family<Dropped, Counter>,
    /// Those of each kind, looked up once: they are told of every event.
    sent: [(Counter, Histogram); Kind::ALL.len()],
}

impl Default for Watches {
    fn default() -> Self {
        let events = Family::default();
        let sizes: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SIZES));
        let sent = Kind::ALL.map(|kind| {
            let labels = watched(kind);
            (
                events.get_or_create_owned(&labels),
                sizes.get_or_create_owned(&labels),
            )
        });
        Self {
            events,
            sizes,
            lists: Family::new_with_constructor(|| Histogram::new(TIMES)),
            dropped: Family::default(),
            sent,
        }
    }
}

impl Watches {
    pub(super) fn register(&self, registry: &mut Registry) {
        let api = registry.sub_registry_with_prefix("apiserver");
        api.register(
            "watch_events",
            "Events sent to watching clients, bookmarks and errors included",
            self.events.clone(),
        );
        api.register(
            "watch_events_sizes",
            "Bytes of one such event",
            self.sizes.clone(),
        );
        api.register_with_unit(
            "watch_list_duration",
            "Time until the initial events of a watch and the bookmark at their end had been handed over",
            Unit::Seconds,
            self.lists.clone(),
        );
        registry.register(
            "tagscope_watches_dropped",
            "Watches that ended before their time",
            self.dropped.clone(),
        );
    }

    fn dropped(&self, kind: Kind, reason: &'static str) {
        let resource = kind.plural();
        self.dropped
            .get_or_create(&Dropped { resource, reason })
            .inc();
    }
}

impl Observer for Watches {
    fn sent(&self, kind: Kind, bytes: usize) {
        let [tags, sets] = &self.sent;
        let (events, sizes) = match kind {
            Kind::ImageTag => tags,
            Kind::TagSet => sets,
        };
        events.inc();
        // Exact below 2^32, which no event reaches.
        sizes.observe(f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)));
    }

    fn listed(&self, kind: Kind, breadth: Breadth, time: std::time::Duration) {
        let Watched {
            group,
            version,
            resource,
        } = watched(kind);
        let scope = match breadth {
            Breadth::Namespace => "namespace",
            Breadth::Cluster => "cluster",
        };
        self.lists
            .get_or_create(&Listed {
                group,
                version,
                resource,
                scope,
            })
            .observe(time.as_secs_f64());
    }

    fn expired(&self, kind: Kind) {
        self.dropped(kind, "expired");
    }

    fn stalled(&self, kind: Kind) {
        self.dropped(kind, "stalled");
    }
}

fn watched(kind: Kind) -> Watched {
    Watched {
        group: tags::GROUP,
        version: tags::VERSION,
        resource: kind.plural(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn what_watches_do_is_counted_under_upstreams_names() {
        let watches = Watches::default();
        let mut registry = Registry::default();
        watches.register(&mut registry);
        watches.sent(Kind::ImageTag, 600);
        watches.sent(Kind::ImageTag, 60_000);
        watches.listed(Kind::TagSet, Breadth::Cluster, Duration::from_millis(30));
        watches.expired(Kind::ImageTag);
        watches.stalled(Kind::TagSet);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let of = r#"group="tags.tagscope.dev",version="v1alpha1",resource="imagetags""#;
        for line in [
            format!("apiserver_watch_events_total{{{of}}} 2"),
            format!("apiserver_watch_events_sizes_bucket{{le=\"1024.0\",{of}}} 1"),
            format!("apiserver_watch_events_sizes_count{{{of}}} 2"),
            r#"tagscope_watches_dropped_total{resource="imagetags",reason="expired"} 1"#.to_owned(),
            r#"tagscope_watches_dropped_total{resource="tagsets",reason="stalled"} 1"#.to_owned(),
            r#"resource="tagsets",scope="cluster"} 1"#.to_owned(),
        ] {
            assert!(text.contains(&line), "{line} in\n{text}");
        }
    }
}
