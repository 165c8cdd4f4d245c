//! Tests against a real kube-apiserver, etcd and registry: what only aggregation, RBAC and kubectl can show.
//!
//! What they run against is built from source on first use and kept outside the checkout. They need Linux
//! (children are tied to the test process by the kernel) and Go.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests may be blunt"
)]

#[path = "../it"]
mod it {
    #[allow(
        dead_code,
        unused_imports,
        reason = "these tests need only a part of it"
    )]
    pub(crate) mod fake_registry;
}

mod access;
mod away;
mod bad_input;
mod bad_registry;
mod certificates;
mod clients;
mod companion;
mod control_plane;
mod counts;
mod crds;
mod events;
mod examples;
mod flux;
mod front;
mod governance;
mod harness;
mod hostile;
mod image_mirror;
mod imagerepo_mirror;
mod kube_clients;
mod kubectl;
mod leaders;
mod lists;
mod main_job;
mod make_run;
mod manifests;
mod mirror;
mod operations;
mod readiness;
mod restart;
mod rights;
mod rights_missing;
mod shards;
mod soak;
mod tag_query;
mod telemetry;
mod two_groups;
mod verbs;
mod websocket;
mod world;
