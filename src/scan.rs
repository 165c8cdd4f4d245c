//! What a scan makes of a registry's tag list, and when the next scan is due.
//!
//! Pure, synchronous and total: facts in, decisions out. Reaching the registry, storing tags and writing statuses
//! are others' work. The rules are those of Flux's image-reflector-controller v1.2.

mod due;
mod exclusion;
mod jitter;
mod revision;
mod sift;
mod trust;

pub use due::{Due, Facts, LastScan, Reason, holds_the_same, is_due};
pub use exclusion::{Error, Exclusion};
pub use jitter::jitter;
pub use revision::Form;
pub use sift::{LATEST_TAGS, Sifted, is_companion, latest, sift};
pub use trust::{Doubts, Held, Suspicion, Trust, WORTH_DOUBTING, judge};
