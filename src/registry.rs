//! The client side of the distribution API: it lists tags and looks up digests.
//!
//! Everything that a registry says is hostile input: challenges, realms, `Link`, `Location`, sizes, names.
//! A credential goes only to the host it belongs to, every read has a limit, and no ping is ever sent:
//! what a host asked for once (scheme, authentication, page size, patience) is remembered instead. All who ask one
//! host share one budget.
//! Nothing here knows Kubernetes, the tag store, or what the tags are for.
//!
//! One call runs down through: [`Client`] → `budget` (its turn) → `list`/`manifest` (what to ask) → `exchange`
//! (authentication and patience) → `transport` (schemes and redirects) → one request.

mod access;
mod answer;
mod budget;
mod challenge;
mod choice;
mod client;
pub mod copy;
pub mod docker_config;
mod errand;
mod error;
mod exchange;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod hosts;
mod http_clients;
pub mod keychain;
mod limits;
mod link;
mod list;
mod manifest;
mod observe;
mod page;
mod platforms;
mod probes;
mod proof;
mod proxy;
mod reach;
mod realm;
mod redact;
pub mod remote;
mod retry;
pub mod sweep;
mod tls_material;
mod token;
pub mod transfer;
mod transport;
pub mod upload;
mod window;

pub use access::Access;
pub use budget::Rate;
pub use client::{Client, Copying, Settings};
pub use docker_config::DockerConfig;
pub use errand::Mandate;
pub use error::{Error, Kind};
pub use keychain::Keychain;
pub use limits::{Deadline, Limits};
pub use list::{Found, Incomplete, InvalidTags, TagList};
pub use observe::{Exchange, Observer, Operation, Scan, Wait};
pub use proxy::{Proxies, Proxy};
pub use reach::{Names, SystemNames};
pub use retry::Patience;
pub use tls_material::{Pem, TlsMaterial};
