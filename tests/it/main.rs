//! Hermetic integration tests: stateful fakes, no cluster.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::similar_names,
    clippy::single_match_else,
    reason = "tests may be blunt"
)]

mod apiserver;
mod authn;
mod authn_cluster;
mod authn_fake_cluster;
mod authn_kit;
mod authn_legacy;
mod authn_pins;
mod authz;
mod certificates;
mod chain;
mod conformance;
mod control;
mod crds;
mod events;
mod fake_proxy;
#[allow(dead_code, unused_imports, reason = "a kit: no test needs all of it")]
mod fake_registry;
mod flags;
mod floors;
mod front;
mod manifests;
mod mirror_cli;
mod mirror_faults;
mod registry;
mod serve;
mod serve_kit;
mod sources;
mod store;
mod store_kill;
mod tidy;
mod wire_rules;
