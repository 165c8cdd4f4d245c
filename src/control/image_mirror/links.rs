//! Which mirrors look at which ImageRepositories and ImagePolicies, the way back from their specs.
//!
//! Kept up to date object by object: whoever asks for the mirrors of one repository does not look at all of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::api::ImageMirrorSpec;
use crate::object::Key;

/// As large as there are mirrors, and policies that they name.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Protects all maps, for the time of one lookup.
    maps: Mutex<Maps>,
}

#[derive(Debug, Default)]
struct Maps {
    links: HashMap<Key, BTreeSet<End>>,
    mirrors: HashMap<End, BTreeSet<Key>>,
}

/// Where a reference leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum End {
    Repository(Key),
    /// Any ImageRepository of this namespace, by its labels.
    Namespace(Arc<str>),
    Policy(Key),
}

impl Links {
    /// This is what `mirror` asks for; `None`: it is gone.
    pub(super) fn put(&self, mirror: &Key, spec: Option<&ImageMirrorSpec>) {
        let ends = spec.map(|spec| ends(mirror, spec)).unwrap_or_default();
        let mut maps = self.maps.lock();
        let Maps { links, mirrors } = &mut *maps;
        for end in links.remove(mirror).unwrap_or_default() {
            if !ends.contains(&end)
                && let Some(users) = mirrors.get_mut(&end)
            {
                users.remove(mirror);
                if users.is_empty() {
                    mirrors.remove(&end);
                }
            }
        }
        for end in &ends {
            let users = mirrors.entry(end.clone()).or_default();
            users.insert(mirror.clone());
        }
        if !ends.is_empty() {
            links.insert(mirror.clone(), ends);
        }
    }

    /// The mirrors that name `repository`.
    pub(super) fn naming(&self, repository: &Key) -> BTreeSet<Key> {
        self.of(&End::Repository(repository.clone()))
    }

    /// The mirrors that select ImageRepositories of `namespace`.
    pub(super) fn selecting_in(&self, namespace: &Arc<str>) -> BTreeSet<Key> {
        self.of(&End::Namespace(namespace.clone()))
    }

    /// The mirrors that copy what `policy` would elect.
    pub(super) fn following(&self, policy: &Key) -> BTreeSet<Key> {
        self.of(&End::Policy(policy.clone()))
    }

    pub(super) fn clear(&self) {
        *self.maps.lock() = Maps::default();
    }

    fn of(&self, end: &End) -> BTreeSet<Key> {
        self.maps
            .lock()
            .mirrors
            .get(end)
            .cloned()
            .unwrap_or_default()
    }
}

/// The namespace of a mirror's sources.
pub(super) fn namespace(mirror: &Key, spec: &ImageMirrorSpec) -> Arc<str> {
    let named = spec.source_ref.namespace.as_deref();
    match named.filter(|namespace| !namespace.is_empty()) {
        Some(namespace) if *namespace != *mirror.namespace => namespace.into(),
        Some(_) | None => mirror.namespace.clone(),
    }
}

fn ends(mirror: &Key, spec: &ImageMirrorSpec) -> BTreeSet<End> {
    let namespace = namespace(mirror, spec);
    let source = match &spec.source_ref.name {
        Some(name) => End::Repository(Key::new(namespace, name.as_str())),
        None => End::Namespace(namespace),
    };
    let policies = spec.tags.iter().flat_map(|tags| &tags.image_policy_refs);
    let policies = policies.map(|reference| End::Policy(reference.key(&mirror.namespace)));
    policies.chain([source]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mirror_leads_where_its_spec_says_and_nowhere_else() {
        let links = Links::default();
        let key = |name: &str| Key::new("apps", name);
        let put = |name: &str, source: serde_json::Value, policies: &[&str]| {
            let policies: Vec<_> = policies
                .iter()
                .map(|name| json!({ "name": name }))
                .collect();
            let spec = json!({
                "sourceRef": source, "tags": { "imagePolicyRefs": policies }, "destinations": [],
            });
            let spec: ImageMirrorSpec = serde_json::from_value(spec).unwrap();
            links.put(&key(name), Some(&spec));
        };
        let names = |keys: BTreeSet<Key>| -> Vec<String> {
            keys.iter().map(|key| key.name.to_string()).collect()
        };
        put("a", json!({ "name": "app" }), &["stable"]);
        put("b", json!({ "name": "app", "namespace": "apps" }), &[]);
        put("c", json!({ "name": "app", "namespace": "images" }), &[]);
        put(
            "d",
            json!({ "selector": {}, "namespace": "images" }),
            &["stable"],
        );
        assert_eq!(names(links.naming(&key("app"))), ["a", "b"]);
        assert_eq!(names(links.naming(&Key::new("images", "app"))), ["c"]);
        assert_eq!(names(links.selecting_in(&"images".into())), ["d"]);
        assert_eq!(names(links.selecting_in(&"apps".into())), [""; 0]);
        assert_eq!(names(links.following(&key("stable"))), ["a", "d"]);
        put("a", json!({ "selector": {} }), &[]);
        assert_eq!(names(links.naming(&key("app"))), ["b"]);
        assert_eq!(names(links.selecting_in(&"apps".into())), ["a"]);
        assert_eq!(names(links.following(&key("stable"))), ["d"]);
        for name in ["a", "b", "c", "d"] {
            links.put(&key(name), None);
        }
        let maps = links.maps.lock();
        assert!(
            maps.links.is_empty() && maps.mirrors.is_empty(),
            "nothing is left behind"
        );
    }
}
