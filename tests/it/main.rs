//! Hermetic integration tests: stateful fakes, no cluster.

mod fake_registry;
mod registry;
