//! `tagscope crds`.
