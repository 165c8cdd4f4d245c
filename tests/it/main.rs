//! Hermetic integration tests: stateful fakes, no cluster.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may be blunt"
)]

mod apiserver;
mod control;
mod crds;
mod floors;
mod manifests;
mod sources;
mod tidy;
