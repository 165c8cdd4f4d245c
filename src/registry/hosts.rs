//! What is remembered of a host, so that nothing has to be asked twice.
//!
//! Facts age: a host is forgotten an hour after it was first met, and learnt anew.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex;

use super::access::Profile;
use super::reach::Reach;
use super::realm::Realm;

const CAPACITY: u64 = 10_000;
const MEMORY: Duration = Duration::from_hours(1);

/// Every host met, by API host and profile.
#[derive(Debug)]
pub(super) struct Hosts(Cache<(String, Profile), Arc<Host>>);

impl Hosts {
    pub(super) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(MEMORY)
                .build(),
        )
    }

    /// What is known of `api_host`; nothing, when it is met for the first time.
    pub(super) fn of(&self, api_host: &str, profile: Profile) -> Arc<Host> {
        self.0
            .get_with((api_host.to_ascii_lowercase(), profile), Arc::default)
    }
}

/// How a host wants to be authenticated to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Scheme {
    /// Not asked yet, or it answered without asking.
    #[default]
    Open,
    /// User name and password with every request.
    Basic,
    /// A token from a token server.
    Bearer(Issuer),
}

/// A token server, as a challenge named it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Issuer {
    pub(super) realm: Realm,
    pub(super) service: Option<String>,
    /// As near as the registry was when it named the server; nothing nearer is asked.
    pub(super) reach: Reach,
}

/// How many tags to ask for in a page. Registries refuse what is too many for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum PageSize {
    /// 1,000: the maximum of most.
    #[default]
    Large,
    /// 100: the maximum of the others.
    Small,
    /// Whatever the registry likes.
    Unstated,
}

impl PageSize {
    /// The value of `n`.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Large => Some(1000),
            Self::Small => Some(100),
            Self::Unstated => None,
        }
    }

    /// What to try after a refusal.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Large => Some(Self::Small),
            Self::Small => Some(Self::Unstated),
            Self::Unstated => None,
        }
    }
}

/// One host.
#[derive(Debug, Default)]
pub(super) struct Host(Mutex<Facts>);

#[derive(Debug, Default)]
struct Facts {
    plain_http: bool,
    scheme: Scheme,
    page_size: PageSize,
    was_heard: bool,
}

impl Host {
    /// Whether it answered over plain http, and https did not work.
    pub(super) fn speaks_plain_http(&self) -> bool {
        self.0.lock().plain_http
    }

    pub(super) fn set_plain_http(&self, plain_http: bool) {
        self.0.lock().plain_http = plain_http;
    }

    /// It does not answer over plain http (any more): the next request begins with https, and with nothing secret.
    pub(super) fn forget_plain_http(&self) {
        let mut facts = self.0.lock();
        if std::mem::take(&mut facts.plain_http) {
            facts.scheme = Scheme::Open;
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.0.lock().scheme.clone()
    }

    pub(super) fn set_scheme(&self, scheme: Scheme) {
        self.0.lock().scheme = scheme;
    }

    /// Whether it has answered before.
    pub(super) fn was_heard(&self) -> bool {
        self.0.lock().was_heard
    }

    pub(super) fn hear(&self) {
        self.0.lock().was_heard = true;
    }

    pub(super) fn page_size(&self) -> PageSize {
        self.0.lock().page_size
    }

    pub(super) fn set_page_size(&self, page_size: PageSize) {
        self.0.lock().page_size = page_size;
    }
}
