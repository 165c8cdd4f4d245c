//! How the chain is operated: audit and access log, metrics, limits at their real size, GOAWAY, and its end under load.

mod audit;
mod closing;
mod metrics;
mod probes;
mod sizes;
