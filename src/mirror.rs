//! What is copied where, decided without touching anything: documents are read, tags selected, names made, and what
//! is already there is weighed.
//!
//! Pure, synchronous and total. `registry::copy` asks and moves bytes; here is no registry, no file, no clock.

pub(crate) mod canonical;
pub mod clash;
pub mod document;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod known;
pub mod ledger;
pub mod outcome;
pub mod overwrite;
pub mod plan;
pub mod prune;
pub mod referrers;
mod sealed;
pub mod select;
pub mod spec;
pub mod subset;
pub mod template;
mod text;
