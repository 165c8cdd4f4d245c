//! Which policies require which mirror.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use crate::api::ImagePolicy;
use crate::cluster::index::{Found, Touched};
use crate::object::Key;
use crate::policy::governance::Read;

/// The requirements, both ways. As large as there are policies that have one.
#[derive(Debug, Default)]
pub(super) struct Requirers(
    /// Protects both directions, for the time of one lookup.
    Mutex<Requirements>,
);

#[derive(Debug, Default)]
struct Requirements {
    mirror: HashMap<Key, Key>,
    policies: HashMap<Key, HashSet<Key>>,
}

impl Requirers {
    /// An object was heard of, or is gone. One that cannot be read keeps what it requires, and so does one whose annotation
    /// does not parse: its last good value stays in force.
    pub(super) fn noted(&self, touched: &Touched<ImagePolicy>) {
        let policy = &touched.key;
        let required = match &touched.after {
            Found::Object(object) => {
                let nothing = std::collections::BTreeMap::new();
                let annotations = object.metadata.annotations.as_ref();
                let read = Read::of(annotations.unwrap_or(&nothing));
                match read.mirror() {
                    Ok(mirror) => mirror.map(|mirror| mirror.key(&policy.namespace)),
                    Err(_) => return,
                }
            }
            Found::Unreadable => return,
            Found::Absent => None,
        };
        self.0.lock().put(policy, required);
    }

    /// The policies that require `mirror`.
    pub(super) fn of(&self, mirror: &Key) -> Vec<Key> {
        let requirements = self.0.lock();
        let policies = requirements.policies.get(mirror);
        policies.into_iter().flatten().cloned().collect()
    }

    /// All policies that require one.
    pub(super) fn all(&self) -> Vec<Key> {
        self.0.lock().mirror.keys().cloned().collect()
    }
}

impl Requirements {
    fn put(&mut self, policy: &Key, mirror: Option<Key>) {
        if let Some(before) = self.mirror.remove(policy)
            && let Some(policies) = self.policies.get_mut(&before)
        {
            policies.remove(policy);
            if policies.is_empty() {
                self.policies.remove(&before);
            }
        }
        if let Some(mirror) = mirror {
            self.policies
                .entry(mirror.clone())
                .or_default()
                .insert(policy.clone());
            self.mirror.insert(policy.clone(), mirror);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::ResourceExt as _;

    use super::*;
    use crate::api::{ImagePolicySpec, names};

    fn hear(requirers: &Requirers, name: &str, after: Found<ImagePolicy>) {
        requirers.noted(&Touched {
            key: Key::new("apps", name),
            before: Found::Absent,
            after,
        });
    }

    fn note(requirers: &Requirers, name: &str, mirror: Option<&str>) {
        let mut object = ImagePolicy::new(name, ImagePolicySpec::default());
        if let Some(mirror) = mirror {
            let required = (names::REQUIRE_MIRRORED.to_owned(), mirror.to_owned());
            object.annotations_mut().extend([required]);
        }
        hear(requirers, name, Found::Object(Arc::new(object)));
    }

    #[test]
    fn a_policy_requires_one_mirror_at_a_time() {
        let requirers = Requirers::default();
        let of = |namespace: &str, mirror: &str| {
            let mut names: Vec<String> = requirers
                .of(&Key::new(namespace, mirror))
                .iter()
                .map(|key| key.name.to_string())
                .collect();
            names.sort();
            names.join(" ")
        };
        note(&requirers, "a", Some("web"));
        note(&requirers, "b", Some("apps/web"));
        note(&requirers, "c", None);
        assert_eq!(of("apps", "web"), "a b");
        note(&requirers, "a", Some("other/web"));
        assert_eq!(
            (of("apps", "web"), of("other", "web")),
            ("b".into(), "a".into())
        );
        note(&requirers, "b", Some("a/b/c"));
        assert_eq!(of("apps", "web"), "b", "the last good value");
        note(&requirers, "a", None);
        hear(&requirers, "b", Found::Absent);
        assert_eq!(requirers.all(), []);
        assert!(
            requirers.0.lock().policies.is_empty(),
            "nothing is left behind"
        );
    }
}
