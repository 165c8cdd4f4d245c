//! Who leads, under client-go's name, and whether another program is in the way.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    name: String,
}

/// Says it. Clones say the same.
#[derive(Debug, Clone, Default)]
pub struct Leadership {
    status: Family<Labels, Gauge>,
    another: Gauge,
}

impl Leadership {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "leader_election_master_status",
            "1 while this process acts under the lease of that name, 0 while it stands by",
            self.status.clone(),
        );
        registry.register(
            "tagscope_another_controller",
            "1 while another program holds Flux's lease, and nothing is scanned here",
            self.another.clone(),
        );
    }

    /// Whether this process acts.
    pub fn leads(&self, name: &str, leads: bool) {
        let name = name.to_owned();
        let gauge = self.status.get_or_create_owned(&Labels { name });
        gauge.set(i64::from(leads));
    }

    /// Whether another program works on the same objects.
    pub fn sees_another(&self, is_there: bool) {
        self.another.set(i64::from(is_there));
    }
}
