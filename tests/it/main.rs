//! Hermetic integration tests: stateful fakes, no cluster.

mod authn;
mod authn_cluster;
mod authn_fake_cluster;
mod authn_kit;
mod authz;
mod serve;
mod serve_kit;
