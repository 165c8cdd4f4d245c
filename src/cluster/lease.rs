//! Leases as client-go's leader election keeps them: holding one ([`election`]), and noticing that another program
//! holds one that it would be wrong to work beside ([`guard`]). Where more than one has to be held, [`office`] holds them in order.
//!
//! Whether a Lease is live is judged by the local monotonic clock from the moment at which its renewal was seen, never by
//! comparing calendars, which may disagree. Nothing here knows what the leader does.

pub mod election;
pub mod guard;
pub mod office;

mod record;

use sha2::{Digest as _, Sha256};

use crate::api::names;

/// Where Flux is installed, unless somebody chose otherwise.
pub const FLUX_NAMESPACE: &str = "flux-system";

/// The Lease of imagerepo-mirror, in the namespace that it runs in.
pub const IMAGEREPO_MIRROR: &str = "imagerepo-mirror.oscar-romeu.io";

/// The name of the Lease of Flux's controller: one for each shard, told apart by the hash of the label selector as it was typed.
pub fn name(label_selector: Option<&str>) -> String {
    of_shard(
        format!("{}-leader-election", names::CONTROLLER_NAME),
        label_selector,
    )
}

/// The name of the Lease whose holder copies images beside Flux (`--companion`); one for each shard, likewise.
pub fn mirror_name(label_selector: Option<&str>) -> String {
    of_shard("tagscope-mirror".to_owned(), label_selector)
}

fn of_shard(base: String, label_selector: Option<&str>) -> String {
    match label_selector {
        None => base,
        Some(selector) => {
            let hash = Sha256::digest(selector.as_bytes());
            let first = hash.first_chunk::<4>().copied().unwrap_or_default();
            format!("{base}-{:08x}", u32::from_be_bytes(first))
        }
    }
}

/// Who we are in a Lease: the host's name, for people, and something that no other process has.
pub fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}", host.trim(), uuid::Uuid::new_v4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_is_fluxs() {
        assert_eq!(name(None), "image-reflector-controller-leader-election");
        // printf %s sharding.fluxcd.io/key=shard1 | sha256sum
        assert_eq!(
            name(Some("sharding.fluxcd.io/key=shard1")),
            "image-reflector-controller-leader-election-73fdc1be"
        );
        assert_eq!(mirror_name(None), "tagscope-mirror");
        let selector = Some("sharding.fluxcd.io/key=shard1");
        assert_eq!(mirror_name(selector), "tagscope-mirror-73fdc1be");
    }

    #[test]
    fn no_two_processes_are_the_same() {
        assert_ne!(identity(), identity());
        assert!(identity().contains('_'));
    }
}
