//! Hermetic integration tests: stateful fakes, no cluster.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    reason = "what helps a test may be as blunt as the test"
)]

mod authn;
mod authn_cluster;
mod authn_fake_cluster;
mod authn_kit;
mod authz;
mod serve;
mod serve_kit;
