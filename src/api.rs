//! To be written.

pub mod tags;
