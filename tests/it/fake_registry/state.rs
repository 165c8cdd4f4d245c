//! What the registry holds.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::content::{Content, algorithm_of, digest_of};
use super::faults::{Fault, Script};
use super::log::{Book, Listener};
use super::options::{Auth, ETags, Options, Paging};
use super::uploads::Session;

pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The one blob that every generated manifest names, and every repository has.
pub(super) const EMPTY_BLOB: &[u8] = b"{}";

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) sessions: HashMap<String, Session>,
    pub(super) auth: Auth,
    pub(super) options: Options,
    pub(super) paging: Paging,
    pub(super) etags: ETags,
    /// Lists that were sent, and not only said to be unchanged.
    pub(super) list_bodies: usize,
    pub(super) faults: VecDeque<Fault>,
    pub(super) standing_fault: Option<Fault>,
    pub(super) token_faults: VecDeque<Fault>,
    pub(super) scripts: Vec<Script>,
    pub(super) book: Book,
    pub(super) connections: BTreeMap<Listener, usize>,
    /// Tokens, also those that are no longer good.
    pub(super) tokens: HashMap<String, Grant>,
    /// Every `Authorization` that came, in clear: for [`super::FakeRegistry::saw`] alone.
    pub(super) credentials: HashSet<String>,
    tokens_given: usize,
}

/// What a token is good for.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) scope: String,
    pub(super) ends: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) tags: Vec<String>,
    /// Where each tag is listed (first).
    positions: HashMap<String, usize>,
    /// Tags whose manifest was pushed; the others have a generated one.
    pointers: HashMap<String, String>,
    /// By digest.
    pub(super) blobs: HashMap<String, Content>,
    /// By digest.
    pub(super) manifests: HashMap<String, Stored>,
}

/// A manifest.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) media_type: String,
    pub(super) content: Bytes,
    /// Its place in the order in which manifests came.
    pub(super) place: usize,
}

impl State {
    pub(super) fn add_repository(&mut self, path: &str, tags: Vec<String>) {
        let mut repository = Repository {
            tags,
            ..Repository::default()
        };
        repository.index();
        self.repositories.insert(path.to_owned(), repository);
    }

    pub(super) fn repository(&mut self, path: &str) -> &mut Repository {
        self.repositories.entry(path.to_owned()).or_default()
    }

    pub(super) fn push(&mut self, path: &str, tag: &str) -> String {
        let repository = self.repository(path);
        repository.add_tag(tag);
        repository.manifest(path, tag).unwrap().0
    }

    pub(super) fn delete_tag(&mut self, path: &str, tag: &str) {
        if let Some(repository) = self.repositories.get_mut(path) {
            repository.delete_tag(tag);
        }
    }

    pub(super) fn set_auth(&mut self, auth: Auth) {
        self.auth = auth;
        self.revoke_tokens();
    }

    pub(super) fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn give_token(&mut self, scope: &str, lifetime: Duration) -> String {
        self.tokens_given += 1;
        let token = format!("token-number-{}", self.tokens_given);
        let grant = Grant {
            scope: scope.to_owned(),
            ends: Instant::now() + lifetime,
        };
        self.tokens.insert(token.clone(), grant);
        token
    }
}

impl Repository {
    /// Adds `tag` at the end, unless it is there.
    pub(super) fn add_tag(&mut self, tag: &str) {
        if !self.positions.contains_key(tag) {
            self.positions.insert(tag.to_owned(), self.tags.len());
            self.tags.push(tag.to_owned());
        }
    }

    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.positions.contains_key(tag)
    }

    /// Whether there was such a tag.
    pub(super) fn delete_tag(&mut self, tag: &str) -> bool {
        let was_there = self.has_tag(tag);
        self.tags.retain(|known| known != tag);
        self.index();
        self.pointers.remove(tag);
        was_there
    }

    /// The place in the list after `last`; the beginning, when there is no such tag.
    pub(super) fn after(&self, last: &str) -> usize {
        self.positions.get(last).map_or(0, |at| at + 1)
    }

    fn index(&mut self) {
        self.positions.clear();
        for (at, tag) in self.tags.iter().enumerate() {
            self.positions.entry(tag.clone()).or_insert(at);
        }
    }

    /// Stores a pushed manifest, under `tag` when it was pushed by one.
    pub(super) fn put_manifest(
        &mut self,
        tag: Option<&str>,
        media_type: &str,
        content: impl Into<Bytes>,
    ) -> String {
        let content = content.into();
        let digest = digest_of(&content);
        self.put_manifest_as(&digest, media_type, content);
        if let Some(tag) = tag {
            self.point(tag, &digest);
        }
        digest
    }

    /// Stores a manifest whose digest is known to be `digest`.
    pub(super) fn put_manifest_as(&mut self, digest: &str, media_type: &str, content: Bytes) {
        let place = self.manifests.len();
        let stored = Stored {
            media_type: media_type.to_owned(),
            content,
            place,
        };
        let known = self.manifests.insert(digest.to_owned(), stored);
        if let (Some(known), Some(stored)) = (known, self.manifests.get_mut(digest)) {
            stored.place = known.place;
        }
    }

    pub(super) fn point(&mut self, tag: &str, digest: &str) {
        self.add_tag(tag);
        self.pointers.insert(tag.to_owned(), digest.to_owned());
    }

    /// Removes a manifest and every tag of it. Whether there was one.
    pub(super) fn delete_manifest(&mut self, path: &str, digest: &str) -> bool {
        let tags: Vec<String> = self
            .tags
            .clone()
            .into_iter()
            .filter(|tag| self.tag_digest(path, tag).as_deref() == Some(digest))
            .collect();
        for tag in tags {
            self.delete_tag(&tag);
        }
        self.manifests.remove(digest).is_some()
    }

    pub(super) fn tag_digest(&mut self, path: &str, tag: &str) -> Option<String> {
        if !self.has_tag(tag) {
            return None;
        }
        if let Some(digest) = self.pointers.get(tag) {
            return Some(digest.clone());
        }
        Some(self.put_manifest(None, MANIFEST_TYPE, generated(path, tag)))
    }

    /// Digest and manifest that `reference` points at.
    pub(super) fn manifest(&mut self, path: &str, reference: &str) -> Option<(String, Stored)> {
        let digest = match algorithm_of(reference) {
            Some(_) => reference.to_owned(),
            None => self.tag_digest(path, reference)?,
        };
        let stored = self.manifests.get(&digest)?.clone();
        Some((digest, stored))
    }

    /// The blob `digest`. A manifest can be read as one, as registries that keep both in one place have it.
    pub(super) fn blob(&self, digest: &str) -> Option<Content> {
        if let Some(content) = self.blobs.get(digest) {
            return Some(content.clone());
        }
        if digest == digest_of(EMPTY_BLOB) {
            return Some(Content::Held(Bytes::from_static(EMPTY_BLOB)));
        }
        let stored = self.manifests.get(digest)?;
        Some(Content::Held(stored.content.clone()))
    }

    /// Whether `digest` is here as a blob.
    pub(super) fn has_blob(&self, digest: &str) -> bool {
        self.blobs.contains_key(digest) || digest == digest_of(EMPTY_BLOB)
    }
}

/// A manifest of the empty blob, different for every tag.
fn generated(path: &str, tag: &str) -> Vec<u8> {
    let blob = |media_type: &str| serde_json::json!({"mediaType": media_type, "digest": digest_of(EMPTY_BLOB), "size": EMPTY_BLOB.len()});
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": "application/vnd.tests.fake",
        "config": blob(CONFIG_TYPE),
        "layers": [blob(CONFIG_TYPE)],
        "annotations": {"org.opencontainers.image.ref.name": format!("{path}:{tag}")},
    });
    manifest.to_string().into_bytes()
}
