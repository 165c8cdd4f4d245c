//! Manifests as they are read: each once in a run, as long as there is room, and everything an image is made of.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::failure::Failure;
use super::run::{Origin, Run};
use crate::image::{Digest, Platform};
use crate::mirror::document::{self, Content, Descriptor, Document, UNKNOWN_SIZE};
use crate::mirror::subset;
use crate::registry::remote::{Named, RawManifest, Remote};

/// Bytes of manifests that are kept; what is beyond is read again when it is written.
const KEPT_BYTES: usize = 64 << 20;
/// What is made of a manifest takes about so many times its bytes.
const PARSED: usize = 3;
/// Manifests of one image.
const MOST_NODES: usize = 20_000;
/// Bytes of all manifests of one image.
const MOST_BYTES: u64 = 64 << 20;
/// Indexes within indexes.
const MOST_LEVELS: usize = 3;
/// Manifests of one image that are asked for at once; the windows are narrower.
const ASKED_AT_ONCE: usize = 64;

/// A manifest or index that was read and verified.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) digest: Digest,
    pub(super) document: Document,
    size: usize,
    bytes: Option<Bytes>,
    charge: usize,
    held: Arc<AtomicUsize>,
}

impl Node {
    /// The blobs to bring before it; foreign layers are not among them.
    pub(super) fn blobs(&self) -> &[Descriptor] {
        match &self.document.content {
            Content::Manifest { blobs, .. } => blobs,
            Content::Index(_) => &[],
        }
    }

    /// The layers that are not to be distributed.
    pub(super) fn foreign(&self) -> &[Descriptor] {
        match &self.document.content {
            Content::Manifest { foreign, .. } => foreign,
            Content::Index(_) => &[],
        }
    }

    pub(super) fn is_index(&self) -> bool {
        matches!(self.document.content, Content::Index(_))
    }

    /// Whether `digest` names it. Registries may name the same bytes by different algorithms.
    pub(super) async fn is_called(
        &self,
        run: &Run<'_>,
        source: usize,
        digest: &Digest,
    ) -> Result<bool, Failure> {
        if *digest == self.digest || digest.algorithm() == self.digest.algorithm() {
            return Ok(*digest == self.digest);
        }
        let raw = self.raw(run, source).await?;
        Ok(digest.is_of(&raw.bytes))
    }

    /// As bytes to be written; read again from the source where they were not kept.
    pub(super) async fn raw(&self, run: &Run<'_>, source: usize) -> Result<RawManifest, Failure> {
        let bytes = match &self.bytes {
            Some(bytes) => bytes.clone(),
            None => fetch(run, source, &self.digest).await?.bytes,
        };
        Ok(RawManifest {
            digest: self.digest.clone(),
            media_type: self.document.media_type.clone(),
            bytes,
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.held.fetch_sub(self.charge, Ordering::Relaxed);
    }
}

type Cell = Arc<OnceCell<Arc<Node>>>;

type Key = (Origin, Digest);

/// What was read, by digest.
#[derive(Debug, Default)]
pub(super) struct Manifests {
    cells: Mutex<Cells>,
    held: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Cells {
    by_digest: HashMap<Key, Cell>,
    /// The oldest first.
    order: VecDeque<Key>,
}

impl Manifests {
    fn cell(&self, origin: Origin, digest: &Digest) -> Cell {
        let key = (origin, digest.clone());
        let mut cells = self.cells.lock();
        let Cells { by_digest, order } = &mut *cells;
        let cell = by_digest.entry(key.clone()).or_insert_with(|| {
            order.push_back(key);
            Cell::default()
        });
        Arc::clone(cell)
    }

    fn node(&self, raw: &RawManifest, must_keep: bool) -> Result<Arc<Node>, document::Error> {
        let content_type = (!raw.media_type.is_empty()).then_some(raw.media_type.as_str());
        let document = document::parse(&raw.bytes, content_type)?;
        let size = raw.bytes.len();
        let parsed = size.saturating_mul(PARSED);
        let is_room = self.make_room(parsed.saturating_add(size));
        let bytes = (is_room || must_keep).then(|| raw.bytes.clone());
        let charge = parsed.saturating_add(bytes.as_ref().map_or(0, Bytes::len));
        self.held.fetch_add(charge, Ordering::Relaxed);
        Ok(Arc::new(Node {
            digest: raw.digest.clone(),
            document,
            size,
            bytes,
            charge,
            held: Arc::clone(&self.held),
        }))
    }

    /// Lets the oldest go until so many bytes fit in; whether they do.
    fn make_room(&self, bytes: usize) -> bool {
        let is_room = || self.held.load(Ordering::Relaxed).saturating_add(bytes) <= KEPT_BYTES;
        let mut cells = self.cells.lock();
        while !is_room() {
            let Some(oldest) = cells.order.pop_front() else {
                return false;
            };
            cells.by_digest.remove(&oldest);
        }
        true
    }
}

async fn fetch(run: &Run<'_>, source: usize, digest: &Digest) -> Result<RawManifest, Failure> {
    let remote = run.source(source);
    let repository = remote.repository();
    let named = Named::Digest(digest.clone());
    let found = Box::pin(remote.manifest(&named)).await;
    let found = found
        .map_err(|error| Failure::of(&format!("failed to read {repository}@{digest}"), &error))?;
    found.ok_or_else(|| {
        Failure::lost(format!(
            "{repository} does not have {digest}, which it names"
        ))
    })
}

/// Takes in what was read by a tag.
pub(super) fn take_in(
    run: &Run<'_>,
    source: usize,
    raw: &RawManifest,
) -> Result<Arc<Node>, Failure> {
    let cell = run.manifests.cell(run.origin(source), &raw.digest);
    if let Some(node) = cell.get() {
        return Ok(Arc::clone(node));
    }
    let node = parsed(run, source, raw, false)?;
    // Somebody else may have been quicker with the same.
    if cell.set(Arc::clone(&node)).is_err() {
        tracing::trace!(digest = %raw.digest, "Read twice");
    }
    Ok(node)
}

fn parsed(
    run: &Run<'_>,
    source: usize,
    raw: &RawManifest,
    must_keep: bool,
) -> Result<Arc<Node>, Failure> {
    let refused = |cause: &dyn std::fmt::Display| {
        let repository = run.source(source).repository().clone();
        let digest = &raw.digest;
        Failure::lasting(format!("{repository}@{digest} cannot be copied: {cause}"))
    };
    let node = run.manifests.node(raw, must_keep);
    let node = node.map_err(|error| refused(&error))?;
    if let Content::Manifest { blobs, .. } = &node.document.content
        && blobs.iter().any(|blob| blob.size == UNKNOWN_SIZE)
    {
        return Err(refused(
            &"it is of Docker's schema 1, which does not say how long its layers are: push it anew as schema 2",
        ));
    }
    Ok(node)
}

/// Reads what is named by its digest.
pub(super) async fn read(
    run: &Run<'_>,
    source: usize,
    named: &Descriptor,
) -> Result<Arc<Node>, Failure> {
    let cell = run.manifests.cell(run.origin(source), &named.digest);
    let node = cell
        .get_or_try_init(|| async {
            run.estimated(|estimate| {
                estimate.source_requests = estimate.source_requests.saturating_add(1);
            });
            let raw = fetch(run, source, &named.digest).await?;
            parsed(run, source, &raw, false)
        })
        .await?;
    let says = &named.media_type;
    let is = &node.document.media_type;
    let is_other = !says.is_empty() && says != is && is_index(says) != node.is_index();
    if is_other || u64::try_from(node.size) != Ok(named.size) {
        return Err(Failure::lasting(format!(
            "{}@{} is {is} of {} bytes, and the index that names it says {says} of {} bytes",
            run.source(source).repository(),
            named.digest,
            node.size,
            named.size
        )));
    }
    Ok(Arc::clone(node))
}

/// By its name alone.
pub(super) fn is_index(media_type: &str) -> bool {
    media_type.contains("image.index") || media_type.contains("manifest.list")
}

/// Everything of an image that has to be looked at.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) root: Arc<Node>,
    /// What the root names, and what that names, without what is at every destination already; each once, deepest last.
    pub(super) below: Vec<Arc<Node>>,
    /// Whether the destination has all that is named, once this is there.
    pub(super) is_whole: bool,
}

impl Tree {
    /// The root, and what is below it.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        std::iter::once(&self.root).chain(&self.below)
    }
}

/// Room for the manifests of one image, or of all that refers to it.
#[derive(Debug, Default)]
pub(super) struct Room(AtomicU64);

impl Room {
    /// Before so many bytes are read.
    pub(super) fn take(&self, remote: &Remote, root: &Digest, bytes: u64) -> Result<(), Failure> {
        let taken = self
            .0
            .fetch_add(bytes.min(MOST_BYTES + 1), Ordering::Relaxed);
        if taken.saturating_add(bytes) <= MOST_BYTES {
            return Ok(());
        }
        let repository = remote.repository();
        Err(Failure::lasting(format!(
            "{repository}@{root} is not copied: more than {MOST_BYTES} bytes of manifests"
        )))
    }
}

/// Which part of an image is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) platforms: &'a [Platform],
    pub(super) mode: subset::Mode,
}

impl Scope<'_> {
    /// All of it.
    pub(super) const ALL: Self = Self {
        platforms: &[],
        mode: subset::Mode::Rewritten,
    };
}

/// The root as it is written: without the platforms that are not wanted, where it is rewritten.
pub(super) fn rewritten(
    run: &Run<'_>,
    source: usize,
    raw: &RawManifest,
    scope: Scope<'_>,
) -> Result<Arc<Node>, Failure> {
    let node = take_in(run, source, raw)?;
    let Content::Index(children) = &node.document.content else {
        return Ok(node);
    };
    if scope.platforms.is_empty() {
        return Ok(node);
    }
    let kept = subset::kept(children, scope.platforms);
    let name = format!("{}@{}", run.source(source).repository(), raw.digest);
    if kept.is_empty() {
        let cause = format!("{name} has none of the platforms that are wanted");
        return Err(Failure::lasting(cause));
    }
    if kept.len() == children.len() || scope.mode == subset::Mode::Sparse {
        return Ok(node);
    }
    let keep: Vec<_> = kept
        .into_iter()
        .map(|child| child.descriptor.digest.clone())
        .collect();
    let bytes = subset::rewrite(&raw.bytes, &keep).map_err(|error| {
        Failure::lasting(format!("{name} cannot be cut to its platforms: {error}"))
    })?;
    let raw = RawManifest {
        digest: Digest::of(&bytes),
        media_type: raw.media_type.clone(),
        bytes: bytes.into(),
    };
    // Nobody else has these bytes: they are kept.
    parsed(run, source, &raw, true)
}

/// Reads all that `root` is made of, but for what nobody needs.
pub(super) async fn expand(
    run: &Run<'_>,
    source: usize,
    root: Arc<Node>,
    scope: Scope<'_>,
    (is_needed, allowance): (&(dyn Fn(&Digest) -> bool + Sync), &Room),
) -> Result<Tree, Failure> {
    let mut seen = HashSet::from([root.digest.clone()]);
    let mut level = vec![Arc::clone(&root)];
    let mut below: Vec<Arc<Node>> = Vec::new();
    let mut is_whole = true;
    for depth in 0.. {
        let mut wanted = Vec::new();
        for node in &level {
            let Content::Index(children) = &node.document.content else {
                continue;
            };
            let kept = if depth == 0 && !scope.platforms.is_empty() {
                subset::kept(children, scope.platforms)
            } else {
                children.iter().collect()
            };
            is_whole &= kept.len() == children.len();
            let new = kept.into_iter().map(|child| child.descriptor.clone());
            wanted.extend(new.filter(|child| seen.insert(child.digest.clone())));
        }
        wanted.retain(|child| is_needed(&child.digest));
        if wanted.is_empty() {
            break;
        }
        let too_much = |what: String| {
            let repository = run.source(source).repository().clone();
            Failure::lasting(format!(
                "{repository}@{} is not copied: {what}",
                root.digest
            ))
        };
        if depth >= MOST_LEVELS {
            return Err(too_much(format!(
                "more than {MOST_LEVELS} levels of indexes"
            )));
        }
        if below.len() + wanted.len() > MOST_NODES {
            return Err(too_much(format!("more than {MOST_NODES} manifests")));
        }
        // What is read is as long as is said, or an error.
        let stated = wanted.iter().map(|child| child.size);
        let stated = stated.fold(0, u64::saturating_add);
        allowance.take(&run.source(source), &root.digest, stated)?;
        let read = wanted.into_iter().map(|child| async move {
            match read(run, source, &child).await {
                Ok(node) => Ok(Some(node)),
                Err(failure) if failure.is_lost && scope.mode == subset::Mode::Sparse => Ok(None),
                Err(failure) => Err(failure),
            }
        });
        let found: Vec<_> = stream::iter(read)
            .buffered(ASKED_AT_ONCE)
            .try_collect()
            .await?;
        is_whole &= found.iter().all(Option::is_some);
        level = found.into_iter().flatten().collect();
        below.extend(level.iter().cloned());
    }
    Ok(Tree {
        root,
        below,
        is_whole,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_manifests_make_room_for_new_ones() {
        let manifests = Manifests::default();
        let padding = "x".repeat(1 << 20);
        let mut digests = Vec::new();
        for number in 0..40 {
            let bytes = format!(
                r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"{number}":"{padding}"}}}}"#
            );
            let raw = RawManifest {
                digest: Digest::of(bytes.as_bytes()),
                media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
                bytes: bytes.into(),
            };
            let cell = manifests.cell(0, &raw.digest);
            let node = manifests.node(&raw, false).unwrap();
            assert!(node.bytes.is_some(), "{number}");
            cell.set(node).unwrap();
            assert!(manifests.held.load(Ordering::Relaxed) <= KEPT_BYTES);
            digests.push(raw.digest);
        }
        let is_kept = |digest: &Digest| manifests.cell(0, digest).get().is_some();
        assert!(is_kept(&digests[39]) && !is_kept(&digests[0]));
    }
}
