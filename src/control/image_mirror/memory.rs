//! What is known of each mirror beyond its status, for as long as the program runs.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::object::Key;

/// By mirror.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<Key, Remembered>>);

/// What is known of one mirror.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered {}
