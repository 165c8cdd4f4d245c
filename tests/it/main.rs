//! Hermetic integration tests: stateful fakes, no cluster.

mod floors;
mod sources;
mod tidy;
