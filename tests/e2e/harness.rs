//! The workbench of the end-to-end tests: a control plane, a registry, kubectl, and the program under test.
//!
//! Nothing in here knows what the program should do. Nothing sleeps but [`eventually`]. Whatever is
//! started ends with the test process, also when that is killed.
#![allow(
    dead_code,
    unused_imports,
    reason = "a workbench holds tools that no test uses yet"
)]

mod cluster;
mod counters;
mod kubectl;
mod process;
mod program;
mod registry;
mod wait;

pub(crate) use cluster::ControlPlane;
pub(crate) use counters::Writes;
pub(crate) use process::{Process, processes_naming, signal};
pub(crate) use program::{Tagscope, free_ports};
pub(crate) use wait::eventually;
