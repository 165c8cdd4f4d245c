//! Hermetic integration tests: stateful fakes, no cluster.

mod crds;
mod manifests;
