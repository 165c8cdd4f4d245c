//! The aggregated API server: `tags.tagscope.dev/v1alpha1`, served from the tag store.
//!
//! A request runs down one chain (`chain`): limits → authentication (`authn`) → request info → authorization
//! (`authz`) → the resources (`resources`). Nothing here scans, elects or writes.

pub mod authn;
pub mod authz;
pub mod chain;
pub mod health;
pub mod request_info;
pub mod review;
pub mod status;
