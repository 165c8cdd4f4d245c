//! HTTP clients, built when first needed and shared by everyone who may share a connection.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::access::{Access, Profile};
use super::errand::Purpose;
use super::proxy::Proxy;
use super::reach::{Names, Reach, Resolver};
use super::transport::innermost;

const CAPACITY: u64 = 256;
const IDLE: Duration = Duration::from_mins(10);
/// Connections to one host that are kept open between requests: as many as any window has places.
const IDLE_CONNECTIONS: usize = 64;

/// What tells clients apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Use {
    /// How near a name may lead.
    reach: Reach,
    /// Whether the client certificate is shown: never to a host that the object did not name.
    shows_identity: bool,
    /// The proxy on the way, the object's or the environment's.
    proxy: Option<[u8; 32]>,
    purpose: Purpose,
}

/// The clients and how to build one.
#[derive(Debug)]
pub(super) struct HttpClients {
    built: Cache<(Profile, Use), reqwest::Client>,
    user_agent: String,
    connect_timeout: Duration,
    stall_timeout: Duration,
    names: Arc<dyn Names>,
}

impl HttpClients {
    pub(super) fn new(
        user_agent: String,
        connect_timeout: Duration,
        stall_timeout: Duration,
        names: Arc<dyn Names>,
    ) -> Self {
        let built = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_idle(IDLE)
            .build();
        Self {
            built,
            user_agent,
            connect_timeout,
            stall_timeout,
            names,
        }
    }

    /// The client for `access` through `proxy`, or why there is none. Names lead no nearer than `reach`; on the way
    /// through a proxy only its own name is resolved here, and that may lead anywhere.
    pub(super) fn get(
        &self,
        access: &Access,
        reach: Reach,
        shows_identity: bool,
        proxy: Option<&Proxy>,
        purpose: Purpose,
    ) -> Result<reqwest::Client, String> {
        let usage = Use {
            reach: proxy.map_or(reach, |_| Reach::Anything),
            shows_identity,
            proxy: proxy.map(Proxy::id),
            purpose,
        };
        self.built
            .try_get_with((access.profile(), usage), || {
                self.build(access, usage, proxy)
            })
            .map_err(|cause: Arc<String>| (*cause).clone())
    }

    fn build(
        &self,
        access: &Access,
        usage: Use,
        proxy: Option<&Proxy>,
    ) -> Result<reqwest::Client, String> {
        let own = access
            .tls
            .as_ref()
            .map(|tls| tls.authorities.clone())
            .unwrap_or_default();
        let with_system = self
            .prepare(access, usage, proxy)
            .tls_certs_merge(own.clone());
        let error = match with_system.build() {
            Ok(client) => return Ok(client),
            Err(error) => innermost(&error),
        };
        // A machine without any certificate authority can still speak plain http, and to registries whose own is given.
        let client = self
            .prepare(access, usage, proxy)
            .tls_certs_only(own)
            .build()
            .map_err(|error| innermost(&error))?;
        tracing::warn!(
            error,
            "The system's certificate authorities are not available, https registries are not trusted unless their own is given"
        );
        Ok(client)
    }

    fn prepare(
        &self,
        access: &Access,
        usage: Use,
        proxy: Option<&Proxy>,
    ) -> reqwest::ClientBuilder {
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(Duration::from_mins(1))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .tcp_nodelay(true)
            // Redirects are followed by hand: each target is checked, and credentials stay behind.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .dns_resolver(Resolver::shared(usage.reach, Arc::clone(&self.names)));
        builder = match usage.purpose {
            Purpose::Documents => builder.read_timeout(self.stall_timeout),
            Purpose::Blobs => builder.http1_only(),
        };
        let identity = access.tls.as_ref().and_then(|tls| tls.identity.clone());
        if let Some(identity) = identity.filter(|_| usage.shows_identity) {
            builder = builder.identity(identity);
        }
        // What the environment says was weighed before: nothing is left to the library's own reading of it.
        builder = builder.no_proxy();
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy.inner.clone());
        }
        builder
    }
}
