//! Hermetic integration tests: stateful fakes, no cluster.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may be blunt"
)]

mod control;
mod crds;
mod fake_registry;
mod manifests;
mod registry;
mod store;
mod store_kill;
