//! To be written.

pub mod delegated;
pub mod serving_cert;
