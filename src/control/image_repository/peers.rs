//! Which ImageRepositories name the same image, so that an answer is kept only while somebody else may want it.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use crate::api::ImageRepository;
use crate::cluster::index::{Found, Touched};
use crate::image::Repository;
use crate::object::Key;

/// The objects by the image they name. Suspended ones do not scan, and do not count.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// Protects both maps, for the time of one lookup.
    maps: Mutex<Maps>,
}

#[derive(Debug, Default)]
struct Maps {
    images: HashMap<Key, Repository>,
    objects: HashMap<Repository, HashSet<Key>>,
}

impl Peers {
    /// An object was heard of, or is gone.
    pub(super) fn noted(&self, touched: &Touched<ImageRepository>) {
        let image = match &touched.after {
            Found::Object(object) if !object.spec.suspend => object.spec.image.parse().ok(),
            Found::Object(_) | Found::Unreadable | Found::Absent => None,
        };
        self.maps.lock().put(&touched.key, image);
    }

    /// Whether anybody but `key` names `image`.
    pub(super) fn has_others(&self, key: &Key, image: &Repository) -> bool {
        let maps = self.maps.lock();
        maps.objects
            .get(image)
            .is_some_and(|objects| objects.iter().any(|object| object != key))
    }
}

impl Maps {
    fn put(&mut self, key: &Key, image: Option<Repository>) {
        if let Some(before) = self.images.remove(key)
            && let Some(objects) = self.objects.get_mut(&before)
        {
            objects.remove(key);
            if objects.is_empty() {
                self.objects.remove(&before);
            }
        }
        if let Some(image) = image {
            self.objects
                .entry(image.clone())
                .or_default()
                .insert(key.clone());
            self.images.insert(key.clone(), image);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::ImageRepositorySpec;

    fn note(peers: &Peers, name: &str, image: Option<&str>) {
        let after = image.map_or(Found::Absent, |image| {
            let spec = ImageRepositorySpec {
                image: image.to_owned(),
                ..ImageRepositorySpec::default()
            };
            Found::Object(Arc::new(ImageRepository::new(name, spec)))
        });
        peers.noted(&Touched {
            key: Key::new("apps", name),
            before: Found::Absent,
            after,
        });
    }

    #[test]
    fn an_image_has_others_while_another_object_names_it() {
        let peers = Peers::default();
        let (a, image) = (
            Key::new("apps", "a"),
            "registry.test/o/app".parse().unwrap(),
        );
        note(&peers, "a", Some("registry.test/o/app"));
        assert!(!peers.has_others(&a, &image));
        note(&peers, "b", Some("registry.test/o/app"));
        assert!(peers.has_others(&a, &image));
        note(&peers, "b", Some("registry.test/o/other"));
        assert!(!peers.has_others(&a, &image));
        note(&peers, "b", Some("registry.test/o/app"));
        note(&peers, "b", None);
        assert!(!peers.has_others(&a, &image));
        assert_eq!(peers.maps.lock().objects.len(), 1, "nothing is left behind");
    }
}
