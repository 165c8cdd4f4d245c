//! What the registry holds.

use std::collections::{BTreeMap, HashMap, VecDeque};

use sha2::{Digest as _, Sha256};

use super::faults::Fault;
use super::log::{Listener, Request};

pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The one blob that every generated manifest names.
pub(super) const EMPTY_BLOB: &[u8] = b"{}";

/// Who may read.
#[derive(Debug, Clone, Default)]
pub(crate) enum Auth {
    /// Everybody.
    #[default]
    Open,
    /// This user.
    Basic { username: String, password: String },
    /// Who has a token, which this user is given, and anybody if `anonymous`.
    Bearer {
        username: String,
        password: String,
        identity_token: Option<String>,
        anonymous: bool,
    },
}

/// How lists are cut into pages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paging {
    /// Tags in a page when `n` is not given; none: all.
    pub(crate) default_size: Option<usize>,
    /// The largest `n`; a larger one is refused with `refusal`, or cut down.
    pub(crate) max_size: Option<usize>,
    /// Status and code of the refusal.
    pub(crate) refusal: Option<(u16, &'static str)>,
    /// Whether `n` is refused altogether.
    pub(crate) refuses_any_size: bool,
    /// How the next page is named.
    pub(crate) links: Links,
    /// Whether `last` is ignored, so that every page is the first.
    pub(crate) ignores_last: bool,
}

/// How the next page is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Links {
    /// `</v2/…?n=…&last=…>; rel="next"`.
    #[default]
    Relative,
    /// With scheme and host.
    Absolute,
    /// With a host that is not there.
    WrongHost,
    /// Not at all.
    Missing,
}

/// Whether lists have ETags, and of which kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ETags {
    /// None.
    #[default]
    None,
    /// `"…"`.
    Strong,
    /// `W/"…"`.
    Weak,
    /// What is no ETag by the grammar.
    Unquoted,
    /// A kilobyte of it.
    Long,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) auth: Auth,
    pub(super) paging: Paging,
    pub(super) etags: ETags,
    /// Lists that were sent, and not only said to be unchanged.
    pub(super) list_bodies: usize,
    pub(super) faults: VecDeque<Fault>,
    pub(super) standing_fault: Option<Fault>,
    pub(super) token_faults: VecDeque<Fault>,
    pub(super) log: Vec<Request>,
    pub(super) connections: BTreeMap<Listener, usize>,
    /// Valid tokens and their scopes.
    pub(super) tokens: HashMap<String, String>,
    tokens_given: usize,
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) tags: Vec<String>,
    /// Where each tag is listed (first).
    positions: HashMap<String, usize>,
    /// Tags whose manifest was pushed; the others have a generated one.
    pointers: HashMap<String, String>,
    /// Manifests and blobs by digest.
    pub(super) contents: HashMap<String, (String, Vec<u8>)>,
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

    pub(super) fn push(&mut self, path: &str, tag: &str) -> String {
        let repository = self.repositories.entry(path.to_owned()).or_default();
        repository.add_tag(tag);
        repository.manifest(path, tag).unwrap().0
    }

    pub(super) fn delete_tag(&mut self, path: &str, tag: &str) {
        if let Some(repository) = self.repositories.get_mut(path) {
            repository.tags.retain(|known| known != tag);
            repository.index();
            repository.pointers.remove(tag);
        }
    }

    pub(super) fn set_auth(&mut self, auth: Auth) {
        self.auth = auth;
        self.revoke_tokens();
    }

    pub(super) fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn give_token(&mut self, scope: &str) -> String {
        self.tokens_given += 1;
        let token = format!("token-number-{}", self.tokens_given);
        self.tokens.insert(token.clone(), scope.to_owned());
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
        content: Vec<u8>,
    ) -> String {
        let digest = digest_of(&content);
        self.contents
            .insert(digest.clone(), (media_type.to_owned(), content));
        if let Some(tag) = tag {
            self.add_tag(tag);
            self.pointers.insert(tag.to_owned(), digest.clone());
        }
        digest
    }

    /// Digest, media type and bytes of what `reference` points at.
    pub(super) fn manifest(
        &mut self,
        path: &str,
        reference: &str,
    ) -> Option<(String, String, Vec<u8>)> {
        if reference.starts_with("sha256:") {
            let (media_type, content) = self.contents.get(reference)?.clone();
            return Some((reference.to_owned(), media_type, content));
        }
        if !self.positions.contains_key(reference) {
            return None;
        }
        if let Some(digest) = self.pointers.get(reference).cloned() {
            return self.manifest(path, &digest);
        }
        let content = generated(path, reference);
        let digest = self.put_manifest(None, MANIFEST_TYPE, content.clone());
        Some((digest, MANIFEST_TYPE.to_owned(), content))
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

pub(super) fn digest_of(content: &[u8]) -> String {
    let nibbles = Sha256::digest(content)
        .into_iter()
        .flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = nibbles
        .map(|nibble| char::from_digit(nibble.into(), 16).unwrap())
        .collect();
    format!("sha256:{hex}")
}
