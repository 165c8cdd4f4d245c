//! Hermetic integration tests: stateful fakes, no cluster.

mod apiserver;
