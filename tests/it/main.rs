//! Hermetic integration tests: stateful fakes, no cluster.

mod store;
mod store_kill;
