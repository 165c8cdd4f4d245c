//! Mirrors over the fake API server and fake registries with sockets: from a scan to the status, the Events and what others
//! may believe in, and exactly what it costs.

mod flow;
mod implicit;
mod kit;
mod known;
mod prune;
mod trouble;

use std::time::Duration;

use http::Method;
use serde_json::json;

use self::kit::{MIRRORS, Rig, counted, until};
use crate::fake_registry::{Fault, Image, Nth, Route};
