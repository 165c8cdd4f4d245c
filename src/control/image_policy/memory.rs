//! What is remembered of a governed policy from run to run, as long as the program runs: its annotations' last good
//! values, and the spec that elected. Policies that nothing governs leave nothing here.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::api::image_policy::{PolicyChoice, TagFilter};
use crate::api::{ImagePolicy, names};
use crate::object::Key;
use crate::policy::governance::{Governance, InForce, Read};

/// The annotations that govern.
pub(super) const ANNOTATIONS: [&str; 5] = [
    names::HOLD,
    names::MINIMUM_AGE,
    names::DOWNGRADE,
    names::PLATFORMS,
    names::REQUIRE_MIRRORED,
];

/// As large as there are governed policies.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<Key, Remembered>>);

#[derive(Debug)]
struct Remembered {
    uid: Option<String>,
    good: Governance,
    basis: Option<Basis>,
    /// Since when the mirror that is required has said nothing.
    silent: Option<Instant>,
}

/// What of a spec decides which of two tags is the later one. Suspending does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Basis {
    reference: Key,
    policy: PolicyChoice,
    filter: Option<TagFilter>,
}

impl Basis {
    pub(super) fn of(object: &ImagePolicy, reference: &Key) -> Self {
        Self {
            reference: reference.clone(),
            policy: object.spec.policy.clone(),
            filter: object.spec.filter_tags.clone(),
        }
    }
}

/// What governs a policy now.
#[derive(Debug, Default)]
pub(super) struct Governing {
    pub(super) in_force: InForce,
    /// Whether the spec is another one than the one that elected.
    pub(super) is_rebased: bool,
}

impl Memory {
    /// What governs `object` now, and is remembered for the next time.
    pub(super) fn governing(&self, key: &Key, object: &ImagePolicy, reference: &Key) -> Governing {
        let mut memory = self.0.lock();
        let last = memory.remove(key);
        let Some((governing, remember)) = recall(last.as_ref(), object, reference) else {
            return Governing::default();
        };
        memory.insert(key.clone(), remember);
        governing
    }

    /// The same, and nothing is remembered: for whoever only looks.
    pub(super) fn peek(&self, key: &Key, object: &ImagePolicy, reference: &Key) -> Governing {
        let memory = self.0.lock();
        let recalled = recall(memory.get(key), object, reference);
        recalled.map(|(governing, _)| governing).unwrap_or_default()
    }

    /// How long the mirror that `key` requires may still say nothing before that is told: after a start it has to look
    /// first. `None` when it speaks, or was waited for at `most`.
    pub(super) fn patience(&self, key: &Key, is_silent: bool, most: Duration) -> Option<Duration> {
        let mut memory = self.0.lock();
        let remembered = memory.get_mut(key)?;
        if !is_silent {
            remembered.silent = None;
            return None;
        }
        let since = *remembered.silent.get_or_insert_with(Instant::now);
        let left = most.checked_sub(since.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    /// Everything is as after a start.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// This spec has elected.
    pub(super) fn elected(&self, key: &Key, object: &ImagePolicy, reference: &Key) {
        if let Some(remembered) = self.0.lock().get_mut(key) {
            remembered.basis = Some(Basis::of(object, reference));
        }
    }

    /// The object is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

/// What governs `object` when this was remembered of it, and what is to be remembered; `None` when nothing governs.
fn recall(
    last: Option<&Remembered>,
    object: &ImagePolicy,
    reference: &Key,
) -> Option<(Governing, Remembered)> {
    let annotations = object.metadata.annotations.as_ref();
    let annotations =
        annotations.filter(|all| ANNOTATIONS.iter().any(|one| all.contains_key(*one)))?;
    let last = last.filter(|last| last.uid == object.metadata.uid);
    let own = object.metadata.namespace.as_deref().unwrap_or_default();
    let read = Read::of(annotations).within(own);
    let in_force = read.after(last.map(|last| &last.good));
    let now = Basis::of(object, reference);
    let basis = last.and_then(|last| last.basis.clone());
    let is_rebased = if let Some(basis) = &basis {
        *basis != now
    } else {
        // After a start: suspending counts as a change then.
        let status = object.status.as_ref();
        status.and_then(|status| status.observed_generation) != object.metadata.generation
    };
    let remember = Remembered {
        uid: object.metadata.uid.clone(),
        good: in_force.governance.clone(),
        basis: basis.or_else(|| (!is_rebased).then_some(now)),
        silent: last.and_then(|last| last.silent),
    };
    let governing = Governing {
        in_force,
        is_rebased,
    };
    Some((governing, remember))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ImagePolicySpec;
    use crate::policy::governance::Downgrade;

    fn object(generation: i64, range: &str, annotations: &[(&str, &str)]) -> ImagePolicy {
        let mut object = ImagePolicy::new("app", ImagePolicySpec::default());
        object.metadata.uid = Some("uid".into());
        object.metadata.generation = Some(generation);
        object.metadata.annotations = Some(
            annotations
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        );
        object.spec.policy.semver = Some(crate::api::image_policy::SemVerPolicy {
            range: range.to_owned(),
        });
        object.status = Some(crate::api::ImagePolicyStatus {
            observed_generation: Some(1),
            ..Default::default()
        });
        object
    }

    #[test]
    fn a_broken_value_leaves_the_last_good_one_in_force() {
        let (memory, key) = (Memory::default(), Key::new("apps", "app"));
        let force = |annotations: &[(&str, &str)]| {
            memory
                .governing(&key, &object(1, "1.x", annotations), &key)
                .in_force
        };
        let bad = [(names::HOLD, "no tag"), (names::DOWNGRADE, "forbid")];
        assert!(force(&bad).is_frozen, "nothing is known yet");
        assert!(force(&bad).is_frozen, "and still is not");
        assert!(!force(&[(names::HOLD, "1.0.0")]).is_frozen);
        let known = force(&bad);
        assert_eq!(
            (
                known.governance.hold.map(|tag| tag.to_string()),
                known.governance.downgrade,
                known.broken.len(),
                known.is_frozen
            ),
            (Some("1.0.0".into()), Some(Downgrade::Forbid), 1, false)
        );
        assert!(force(&[]).is_nothing());
        assert!(force(&bad).is_frozen, "what was taken away is forgotten");
        assert_eq!(memory.0.lock().len(), 1);
        memory.forget(&key);
        assert!(memory.0.lock().is_empty());
    }

    #[test]
    fn only_another_spec_is_another_basis() {
        let (memory, key) = (Memory::default(), Key::new("apps", "app"));
        let forbid = [(names::DOWNGRADE, "forbid")];
        let is_rebased = |generation, range: &str| {
            let object = object(generation, range, &forbid);
            memory.governing(&key, &object, &key).is_rebased
        };
        assert!(is_rebased(2, "1.x"), "it is not known what elected");
        memory.elected(&key, &object(2, "1.x", &forbid), &key);
        assert!(!is_rebased(2, "1.x"));
        assert!(!is_rebased(4, "1.x"), "suspended and resumed");
        assert!(is_rebased(5, "2.x"));
        assert!(is_rebased(5, "2.x"), "until it has elected");
        memory.elected(&key, &object(5, "2.x", &forbid), &key);
        assert!(!is_rebased(5, "2.x"));
        memory.forget(&key);
        assert!(!is_rebased(1, "2.x"), "observed, and so it elected");
    }
}
