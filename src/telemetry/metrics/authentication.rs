//! How the API server's authentication settings stand.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::cluster::delegated::Gauges;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    of: &'static str,
}

/// The gauges, under their names.
pub(super) fn registered(registry: &mut Registry) -> Gauges {
    let problems = Gauge::default();
    registry.register(
        "tagscope_authentication_problems",
        "Authentication settings that cannot be read or used now, so that their last good values stay",
        problems.clone(),
    );
    let authorities: Family<Labels, Gauge> = Family::default();
    registry.register(
        "tagscope_authentication_authorities",
        "Certificate authorities that are accepted, 0 where none is known yet",
        authorities.clone(),
    );
    let [client_authorities, front_proxy_authorities] =
        ["client", "front_proxy"].map(|of| authorities.get_or_create_owned(&Labels { of }));
    Gauges {
        problems,
        client_authorities,
        front_proxy_authorities,
    }
}
