//! tagscope: container image tags as a Kubernetes API.
//!
//! The modules stand on floors and import downward only; `docs/architecture.md` draws the map and
//! `tests/it/floors.rs` holds the code to it.

// Floor 0: words.
pub mod clock;
pub mod image;
pub mod object;
pub mod quote;
pub mod regexp;
pub mod secret;

// Floor 1: contracts.
pub mod api;

// Floor 2: decisions, pure and total.
pub mod mirror;
pub mod policy;
pub mod scan;

// Floor 3: adapters, one outside world each. `task` is what they and everything above spawn with.
pub mod cluster;
pub mod registry;
pub mod state;
pub mod store;
pub mod task;

// Floor 4: behaviour.
pub mod apiserver;
pub mod control;
pub mod serve;

// Floor 5: assembly.
pub mod app;
pub mod cli;
pub mod config;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod telemetry;
