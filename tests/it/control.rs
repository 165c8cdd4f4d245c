//! The controllers over fakes: every flow from an object to its status, its Events and what the store serves.
#![allow(
    clippy::needless_pass_by_value,
    reason = "objects are written where they are used"
)]

mod access;
mod bench;
mod companion;
mod contract;
mod economy;
mod elect;
mod fake_images;
mod fake_kube;
mod govern;
mod lead;
mod leases;
mod ledger;
mod lifecycle;
mod many;
mod mirror;
mod mirror_floor;
mod polite;
mod recorder;
mod refusals;
mod scan;
mod takeover;
mod trust;
mod wire;
