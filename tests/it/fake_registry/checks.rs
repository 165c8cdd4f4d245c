//! What a test asks of the registry: what is in it, whether all of it is whole, and what passed.

use std::collections::HashSet;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::content::{Content, algorithm_of, digest_with};
use super::log::{Request, Route};
use super::manifests::{references, referrers_of};
use super::state::{Repository, State};
use super::{FakeRegistry, Listener};

impl FakeRegistry {
    /// Whether the repository `path` has the blob.
    pub(crate) fn has_blob(&self, path: &str, digest: &str) -> bool {
        let state = self.shared.state.lock();
        let repository = state.repositories.get(path);
        repository.is_some_and(|repository| repository.has_blob(digest))
    }

    /// The bytes of a blob, where they are kept.
    pub(crate) fn blob(&self, path: &str, digest: &str) -> Option<Bytes> {
        let state = self.shared.state.lock();
        let content = state.repositories.get(path)?.blobs.get(digest)?;
        content.held().cloned()
    }

    /// How many blobs `path` has.
    pub(crate) fn blobs(&self, path: &str) -> usize {
        let state = self.shared.state.lock();
        let repository = state.repositories.get(path);
        repository.map_or(0, |repository| repository.blobs.len())
    }

    /// The tags of `path`, in the order in which they came.
    pub(crate) fn tags(&self, path: &str) -> Vec<String> {
        let state = self.shared.state.lock();
        let repository = state.repositories.get(path);
        repository.map_or_else(Vec::new, |repository| repository.tags.clone())
    }

    /// The digest that a tag points at.
    pub(crate) fn tag_digest(&self, path: &str, tag: &str) -> Option<String> {
        let mut state = self.shared.state.lock();
        state.repositories.get_mut(path)?.tag_digest(path, tag)
    }

    /// Media type and bytes of a manifest, by tag or digest.
    pub(crate) fn manifest(&self, path: &str, reference: &str) -> Option<(String, Bytes)> {
        let mut state = self.shared.state.lock();
        let (_, stored) = state
            .repositories
            .get_mut(path)?
            .manifest(path, reference)?;
        Some((stored.media_type, stored.content))
    }

    /// Moves (or makes) a tag.
    pub(crate) fn set_tag(&self, path: &str, tag: &str, digest: &str) {
        self.shared.state.lock().repository(path).point(tag, digest);
    }

    /// Loses a blob, as a garbage collection does.
    pub(crate) fn lose_blob(&self, path: &str, digest: &str) {
        self.shared
            .state
            .lock()
            .repository(path)
            .blobs
            .remove(digest);
    }

    /// Loses a manifest and its tags.
    pub(crate) fn lose_manifest(&self, path: &str, digest: &str) {
        let mut state = self.shared.state.lock();
        state.repository(path).delete_manifest(path, digest);
    }

    /// Loses a repository.
    pub(crate) fn lose_repository(&self, path: &str) {
        self.shared.state.lock().repositories.remove(path);
    }

    /// Puts other bytes behind a digest: what the registry serves then is wrong.
    pub(crate) fn corrupt_blob(&self, path: &str, digest: &str, bytes: impl Into<Bytes>) {
        let content = Content::Held(bytes.into());
        let mut state = self.shared.state.lock();
        state
            .repository(path)
            .blobs
            .insert(digest.to_owned(), content);
    }

    /// Puts another manifest behind a digest.
    pub(crate) fn corrupt_manifest(&self, path: &str, digest: &str, bytes: impl Into<Bytes>) {
        let mut state = self.shared.state.lock();
        let repository = state.repository(path);
        let kind = repository.manifests[digest].media_type.clone();
        repository.put_manifest_as(digest, &kind, bytes.into());
    }

    /// Panics unless everything that the tags of `path` lead to (and what refers to that) is there with the right digest
    /// and size, and every blob and manifest has the digest that it goes by.
    pub(crate) fn check_whole(&self, path: &str) {
        let found = self.faults_of(path);
        assert!(
            found.is_empty(),
            "{path} is not whole:\n{}",
            found.join("\n")
        );
    }

    /// What is missing from `path`, or wrong in it.
    pub(crate) fn faults_of(&self, path: &str) -> Vec<String> {
        let mut state = self.shared.state.lock();
        let sparse = state.options.takes_sparse_indexes;
        let State { repositories, .. } = &mut *state;
        let Some(repository) = repositories.get_mut(path) else {
            return vec!["no such repository".to_owned()];
        };
        let mut found = wrong_digests(repository);
        let mut rest: Vec<(String, String)> = Vec::new();
        for tag in repository.tags.clone() {
            match repository.tag_digest(path, &tag) {
                Some(digest) => rest.push((digest, format!("tag {tag}"))),
                None => found.push(format!("tag {tag} points nowhere")),
            }
        }
        let mut seen = HashSet::new();
        while let Some((digest, whose)) = rest.pop() {
            if !seen.insert(digest.clone()) {
                continue;
            }
            let Some(stored) = repository.manifests.get(&digest) else {
                found.push(format!("manifest {digest} of {whose} is missing"));
                continue;
            };
            let Ok(document) = serde_json::from_slice::<Value>(&stored.content) else {
                found.push(format!("manifest {digest} of {whose} is no JSON"));
                continue;
            };
            let (blobs, children) = references(&document);
            for blob in blobs {
                found.extend(fault_of_blob(repository, blob, &whose));
            }
            for child in children {
                let digest = child["digest"].as_str().unwrap_or_default();
                match repository.manifests.get(digest) {
                    None if sparse => {}
                    Some(stored) if child["size"] != stored.content.len() => {
                        found.push(format!("manifest {digest} of {whose} has another size"));
                    }
                    _ => rest.push((digest.to_owned(), whose.clone())),
                }
            }
            for referrer in referrers_of(repository, &digest) {
                let referrer = referrer["digest"].as_str().unwrap_or_default().to_owned();
                rest.push((referrer, format!("a referrer of {digest}")));
            }
        }
        found
    }

    /// Upload sessions that are open.
    pub(crate) fn sessions(&self) -> usize {
        self.shared.state.lock().sessions.len()
    }

    /// Bytes that the open sessions hold.
    pub(crate) fn session_bytes(&self) -> u64 {
        let state = self.shared.state.lock();
        state.sessions.values().map(|session| session.length).sum()
    }

    /// Forgets every open session.
    pub(crate) fn lose_sessions(&self) {
        self.shared.state.lock().sessions.clear();
    }

    /// Bytes of requests' bodies that were read.
    pub(crate) fn bytes_in(&self) -> u64 {
        self.shared.state.lock().book.bytes_in
    }

    /// Bytes of answers' bodies that were sent.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.shared.state.lock().book.bytes_out
    }

    /// The most requests to `route` that were under way together (until their answer's last byte).
    pub(crate) fn most_at_once(&self, route: Route) -> usize {
        self.shared.state.lock().book.most_at_once(route)
    }

    /// Requests to `route` that are under way.
    pub(crate) fn under_way(&self, route: Route) -> usize {
        self.shared.state.lock().book.under_way(route)
    }

    /// How many requests of `method` went to `route`.
    pub(crate) fn count_of(&self, method: &Method, route: Route) -> usize {
        self.count_where(|request| request.method == *method && request.route == route)
    }

    /// How many requests are such.
    pub(crate) fn count_where(&self, is_such: impl Fn(&Request) -> bool) -> usize {
        let state = self.shared.state.lock();
        let requests = state.book.requests().iter();
        requests.filter(|request| is_such(request)).count()
    }

    /// The requests, a line each: `GET /v2/a/manifests/1 200`. For messages and for whole conversations.
    pub(crate) fn conversation(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        let lines = state.book.requests().iter();
        lines
            .map(|one| format!("{} {} {}", one.method, one.place(), one.status))
            .collect()
    }

    /// Whether `secret` came in an `Authorization` to any of the listeners, in clear or in base64.
    pub(crate) fn saw(&self, secret: &str) -> bool {
        let state = self.shared.state.lock();
        state.credentials.iter().any(|known| known.contains(secret))
    }

    /// `127.0.0.1:port` of the store.
    pub(crate) fn store_host(&self, listener: Listener) -> String {
        match listener {
            Listener::StoreTls => self.shared.store_tls.to_string(),
            _ => self.shared.store_plain.to_string(),
        }
    }
}

fn fault_of_blob(repository: &Repository, blob: &Value, whose: &str) -> Option<String> {
    let digest = blob["digest"].as_str().unwrap_or_default();
    if !repository.has_blob(digest) {
        return Some(format!("blob {digest} of {whose} is missing"));
    }
    let length = repository.blob(digest)?.len();
    (blob["size"] != length).then(|| format!("blob {digest} of {whose} has {length} bytes"))
}

fn wrong_digests(repository: &Repository) -> Vec<String> {
    let manifests = repository
        .manifests
        .iter()
        .map(|(digest, stored)| (digest, Content::Held(stored.content.clone())));
    let blobs = repository.blobs.iter();
    blobs
        .map(|(digest, content)| (digest, content.clone()))
        .chain(manifests)
        .filter_map(|(digest, content)| {
            let held = content.held()?;
            let found = digest_with(algorithm_of(digest)?, held)?;
            (found != *digest).then(|| format!("{digest} has the digest {found}"))
        })
        .collect()
}
