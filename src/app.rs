//! To be written.
use std::sync::Arc;
use crate::{clock::SystemClock, config::settings::Settings};
/// Runs the program.
pub async fn run(_: Settings, _: Arc<SystemClock>) -> anyhow::Result<()> { Ok(()) }
