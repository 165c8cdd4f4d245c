//! Flags as typed ([`args`]) and as meant ([`settings`]): everything that is wrong is said at once, before anything starts.

pub mod args;
pub mod settings;
