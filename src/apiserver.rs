//! The aggregated API server: `tags.tagscope.dev/v1alpha1`, served from the tag store.
//!
//! A request runs down one chain (`chain`): limits → authentication (`authn`) → request info → authorization
//! (`authz`) → the resources (`resources`). Nothing here scans, elects or writes.

pub mod authn;
pub mod authz;
pub mod chain;
pub mod continue_token;
pub mod discovery;
mod documents;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod get;
pub mod health;
mod hex;
mod json;
pub mod kind;
mod list;
pub mod negotiate;
pub mod object;
pub mod openapi;
pub mod query;
mod recent;
pub mod request_info;
pub mod resources;
pub mod response;
pub mod review;
pub mod selector;
pub mod status;
mod table;
mod walk;
mod watch;
