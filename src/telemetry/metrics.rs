//! The metrics registry and its text. A module that counts registers here under the names it is given; labels come
//! from closed sets.
//!
//! Values that can be read off (the store, the process) are read when somebody scrapes, and kept nowhere.

mod api_requests;
mod authentication;
mod exposition;
mod kube_requests;
mod leadership;
mod process;
mod registry_requests;
mod reviews;
mod serving;
mod tag_store;
mod watches;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::api_requests::ApiRequests;
pub use self::kube_requests::KubeRequests;
pub use self::leadership::Leadership;
use self::registry_requests::RegistryRequests;
pub use self::reviews::{Counted, ReviewCounts};
pub use self::serving::Serving;
use self::watches::Watches;
use super::audit;
use crate::apiserver::chain::Observer as ApiObserver;
use crate::apiserver::watch::Observer as WatchObserver;
use crate::cluster::delegated::Gauges;
use crate::control;
use crate::registry::Observer as RegistryObserver;
use crate::store::Store;

/// Everything that is counted. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    controllers: control::Metrics,
    registry_requests: Arc<RegistryRequests>,
    api_requests: Arc<ApiRequests>,
    watches: Arc<Watches>,
    api_server_is_on: Gauge,
    authentication: Gauges,
    serving: Serving,
    reviews: ReviewCounts,
    audit: audit::Counts,
}

impl Metrics {
    /// All metrics of a program over `store`.
    pub fn new(store: Store, kube_requests: &KubeRequests, leadership: &Leadership) -> Self {
        let mut registry = Registry::default();
        kube_requests.register(&mut registry);
        leadership.register(&mut registry);
        registry.register_collector(Box::new(tag_store::Collector(store)));
        registry.register_collector(Box::new(process::Collector));
        let controllers = control::Metrics::default();
        controllers.register(&mut registry);
        let registry_requests = RegistryRequests::default();
        registry_requests.register(&mut registry);
        let api_requests = ApiRequests::default();
        api_requests.register(&mut registry);
        let watches = Watches::default();
        watches.register(&mut registry);
        let api_server_is_on = Gauge::default();
        registry.register(
            "tagscope_apiserver_on",
            "1 while the aggregated API is served, 0 while its rights or its certificate are missing",
            api_server_is_on.clone(),
        );
        let authentication = authentication::registered(&mut registry);
        let serving = Serving::default();
        registry.register_collector(Box::new(serving::Collector(serving.clone())));
        let reviews = ReviewCounts::default();
        reviews.register(&mut registry);
        let audit = audit::Counts::default();
        audit.register(&mut registry);
        Self {
            registry: Arc::new(registry),
            controllers,
            registry_requests: Arc::new(registry_requests),
            api_requests: Arc::new(api_requests),
            watches: Arc::new(watches),
            api_server_is_on,
            authentication,
            serving,
            reviews,
            audit,
        }
    }

    /// Everything, as OpenMetrics text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        self.registry_requests.forget_idle();
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// What the controllers count.
    pub fn controllers(&self) -> control::Metrics {
        self.controllers.clone()
    }

    /// Counts requests to registries.
    pub fn registry_observer(&self) -> Arc<dyn RegistryObserver> {
        self.registry_requests.clone()
    }

    /// Counts requests to the API server.
    pub fn api_observer(&self) -> Arc<dyn ApiObserver> {
        self.api_requests.clone()
    }

    /// Counts what its watches do.
    pub fn watch_observer(&self) -> Arc<dyn WatchObserver> {
        self.watches.clone()
    }

    /// Whether the API server serves.
    pub fn api_server_is_on(&self) -> Gauge {
        self.api_server_is_on.clone()
    }

    /// How its authentication settings stand.
    pub fn authentication(&self) -> Gauges {
        self.authentication.clone()
    }

    /// What is told of the API server's transport.
    pub fn serving(&self) -> Serving {
        self.serving.clone()
    }

    /// Counts questions to kube-apiserver about tokens and rights.
    pub fn reviews(&self) -> ReviewCounts {
        self.reviews.clone()
    }

    /// Counts audit events.
    pub fn audit(&self) -> audit::Counts {
        self.audit.clone()
    }
}
