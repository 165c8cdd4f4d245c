//! The ledger of one mirror, as it is in the cluster, and what was written since it was saved there: that stays in memory until it is.

use super::super::World;
use super::super::memory::Shared;
use crate::api::ImageMirror;
use crate::cluster::ledger::{self, Held, Owner};
use crate::cluster::{self, with_causes};
use crate::mirror::ledger::Ledger;
use crate::mirror::outcome::Report;
use crate::object::Key;

/// A ledger, and where it is kept.
pub(super) struct Book<'a> {
    owner: Owner,
    held: Held,
    pub(super) ledger: Ledger,
    /// As it is in the cluster; `None`: it is not.
    written: Option<Vec<u8>>,
    memory: &'a Shared,
    /// So much of what memory keeps for it is in it.
    noted: usize,
}

impl<'a> Book<'a> {
    /// With what was written since it was saved. Why nothing can be deleted without it is for the status.
    pub(super) async fn open(
        world: &World,
        owner: Owner,
        memory: &'a Shared,
    ) -> Result<Self, String> {
        let (held, bytes) = ledger::read(&world.client.0, &owner).await;
        let ledger = match &bytes {
            Ok(Some(bytes)) => Ledger::decode(bytes).map_err(|error| error.to_string()),
            Ok(None) => Ok(Ledger::default()),
            Err(error) if error.is_damage() => Err(error.to_string()),
            Err(error) => return Err(unavailable(&owner, error)),
        };
        let mut ledger = ledger.unwrap_or_else(|why| {
            tracing::warn!(mirror = %owner.key, why, "Ledger is begun anew: what was copied before stays for ever");
            Ledger::default()
        });
        let unsaved = Report {
            written: memory.lock().unsaved.clone(),
            ..Report::default()
        };
        ledger.note(&unsaved);
        Ok(Self {
            owner,
            held,
            ledger,
            written: bytes.ok().flatten(),
            memory,
            noted: unsaved.written.len(),
        })
    }

    /// Writes it down, unless that is done and need not be made sure of.
    pub(super) async fn save(&mut self, world: &World, is_sure: bool) -> Result<(), String> {
        let bytes = self.ledger.encode();
        let is_nothing = self.written.is_none() && self.ledger.is_empty();
        if is_sure || !(is_nothing || self.written.as_ref() == Some(&bytes)) {
            let written = ledger::write(&world.client.0, &self.owner, &self.held, &bytes).await;
            self.held = written.map_err(|error| unavailable(&self.owner, &error))?;
            self.written = Some(bytes);
        }
        let noted = std::mem::take(&mut self.noted);
        self.memory.lock().unsaved.drain(..noted);
        Ok(())
    }
}

/// Whose ledger it is; `None`: it keeps none.
pub(super) fn owner(key: &Key, object: &ImageMirror) -> Option<Owner> {
    let prune = object.spec.prune.as_ref();
    prune.filter(|prune| prune.enabled)?;
    Some(Owner {
        key: key.clone(),
        uid: object.metadata.uid.clone()?,
    })
}

/// Writes down what a run has created so far: should the program be killed, it is known whose that is.
pub(in super::super) async fn keep(
    world: &World,
    key: &Key,
    object: &ImageMirror,
    memory: &Shared,
) {
    let Some(owner) = owner(key, object).filter(|_| world.lead.is_held()) else {
        return;
    };
    if memory.lock().unsaved.is_empty() {
        return;
    }
    let kept = async {
        Book::open(world, owner, memory)
            .await?
            .save(world, false)
            .await
    };
    if let Err(why) = kept.await {
        // It is told by the status when the run is over, if it is still so then.
        tracing::debug!(mirror = %key, why, "Not written down what was created so far");
    }
}

/// What is wrong with the ledger, and which rights it takes.
fn unavailable(owner: &Owner, error: &ledger::Error) -> String {
    let what = with_causes(error);
    let namespace = &owner.key.namespace;
    match error {
        ledger::Error::Cluster {
            source: cluster::Error::Forbidden { .. },
            ..
        } => format!(
            "nothing is deleted: {what}; grant get, create, update and delete on configmaps in namespace {namespace}"
        ),
        ledger::Error::Cluster { .. }
        | ledger::Error::Damaged { .. }
        | ledger::Error::TooLong { .. } => format!("nothing is deleted: {what}"),
    }
}
