//! Deleting what this mirror once copied and nobody wants any more, by `mirror::prune`'s rules and the ledger in the cluster.

use super::World;
use super::gather::Facts;
use crate::api::image_mirror::PruneStatus;
use crate::control::Context;
use crate::mirror::outcome::Report;
use crate::object::Key;

/// Notes what a run created, and deletes what it may. `report` is the run's; `before` is what the status says. Called after every
/// run of a mirror, before its status is written; what it answers is the status's part. `None`: there is nothing to say.
pub(super) async fn prune(
    _context: &Context,
    _world: &World,
    _key: &Key,
    _facts: &Facts,
    _report: &Report,
    before: Option<&PruneStatus>,
) -> Option<PruneStatus> {
    before.cloned()
}
