//! How the program speaks of itself: log lines in the shape that `flux logs` reads ([`log`]), metrics in
//! Prometheus' text ([`metrics`]).

pub mod audit;
pub mod log;
pub mod metrics;
