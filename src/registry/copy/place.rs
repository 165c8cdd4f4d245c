//! One image at one destination: its blobs, what it names by digest, and then itself, once.
//!
//! A registry that misses what was known to be there is believed: that is forgotten and brought again, once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use http::StatusCode;

use super::blobs::{Waiter, forget, want};
use super::failure::{Failure, Stop};
use super::fallback;
use super::run::{Run, count};
use super::tree::{Node, Room, Scope, Tree, expand};
use crate::image::Digest;
use crate::mirror::canonical;
use crate::mirror::document::{Content, Descriptor};
use crate::mirror::outcome::Written;
use crate::mirror::plan::Spot;
use crate::registry::Error;
use crate::registry::remote::{Named, Put, Remote};

/// Manifests of one image that wait for their blobs, or are written, at once; the windows are narrower.
const PLACED_AT_ONCE: usize = 256;
/// Blobs of one image that a destination is asked for at once.
const ASKED_AT_ONCE: usize = 16;

/// One image on its way to one destination.
#[derive(Debug)]
pub(super) struct Placing<'r> {
    pub(super) run: &'r Run<'r>,
    pub(super) source: usize,
    pub(super) to: &'r Remote,
    /// What the plan calls that.
    pub(super) spot: &'r Spot,
    pub(super) scope: Scope<'r>,
    /// What the root is written as.
    pub(super) named: Named,
    /// The image that all of it belongs to, where it is none of its own.
    pub(super) with: Option<&'r Digest>,
}

/// Whether a root is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// It is there, or what is there is not to be written over.
    No,
    /// Over what is there, if anything.
    Over(Option<Digest>),
}

/// Finds out right before a root is written whether it still is to be.
pub(super) type Look<'a> = dyn Fn() -> BoxFuture<'a, Result<Due, Stop>> + Send + Sync + 'a;

/// What became of a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// It was written.
    Written,
    /// It was not: it is there, or something that is left alone.
    There,
}

/// Blobs that were wished for, by the manifest that names them; what is not in it is there.
pub(super) type Wishes = HashMap<Digest, Arc<Waiter>>;

/// Wishes for every blob of `tree` at `to`, but for those of manifests that are there.
pub(super) fn wish(run: &Run<'_>, source: usize, to: &Spot, tree: &Tree) -> Wishes {
    let is_new = |node: &&Arc<Node>| {
        Arc::ptr_eq(node, &tree.root) || !run.known.has_manifest(&to.repository, &node.digest)
    };
    tree.nodes()
        .filter(is_new)
        .map(|node| {
            run.estimated(|estimate| {
                estimate.destination_requests = estimate.destination_requests.saturating_add(1);
            });
            let waiter = want(run, source, to, node.blobs(), false);
            (node.digest.clone(), waiter)
        })
        .collect()
}

impl Placing<'_> {
    /// Brings all of `tree` and writes its root. `first` has to be done before that; `look` has the last word each time that it
    /// is about to be written.
    pub(super) async fn place(
        &self,
        tree: &Tree,
        wishes: &Wishes,
        first: BoxFuture<'_, Result<(), Stop>>,
        look: &Look<'_>,
    ) -> Result<Placed, Stop> {
        let mut first = Some(first);
        let words = match self.attempt(tree, wishes, &mut first, look).await {
            Err(Stop::Missing { words, is_vague: _ }) => words,
            other => return other,
        };
        let name = self.to.repository();
        tracing::debug!(repository = %name, digest = %tree.root.digest, words, "Registry misses what was there");
        let (tree, wishes) = self.run.unless_cancelled(self.heal(tree)).await??;
        match self.attempt(&tree, &wishes, &mut first, look).await {
            Err(Stop::Missing { words, .. }) if !tree.root.foreign().is_empty() => {
                Err(self.foreign(&tree.root, &words).into())
            }
            Err(Stop::Missing { words, .. }) if !tree.is_whole => Err(Failure::lasting(format!(
                "{name} does not take an index that names what is not there ({words}): leave platforms out by rewriting it instead"
            ))
            .into()),
            Err(Stop::Missing { words, is_vague }) => {
                if is_vague && let Some(found) = self.found().await {
                    return if tree.root.is_called(self.run, self.source, &found).await? {
                        Ok(Placed::There)
                    } else {
                        let cause = words;
                        Err(Stop::Immutable { found, cause })
                    };
                }
                Err(Failure::lasting(format!(
                    "{name} says that it misses what it was given before: {words}"
                ))
                .into())
            }
            other => other,
        }
    }

    /// What there is by the name of the root, as far as the registry says.
    async fn found(&self) -> Option<Digest> {
        let head = Box::pin(self.to.head(&self.named));
        let found = self.run.finish(head).await.ok()?.ok()?;
        found.map(|head| head.digest)
    }

    async fn attempt(
        &self,
        tree: &Tree,
        wishes: &Wishes,
        first: &mut Option<BoxFuture<'_, Result<(), Stop>>>,
        look: &Look<'_>,
    ) -> Result<Placed, Stop> {
        self.run
            .unless_cancelled(self.bring(tree, wishes))
            .await??;
        if let Some(first) = first.take() {
            first.await?;
        }
        let Due::Over(before) = look().await? else {
            return Ok(Placed::There);
        };
        if self.run.is_cancelled() {
            return Err(Stop::Interrupted);
        }
        let put = self.put(&tree.root, &self.named, before);
        let placed = self.run.finish(put).await??;
        if tree.is_whole {
            let repository = self.to.repository();
            self.run.known.note_manifest(repository, &tree.root.digest);
        }
        Ok(placed)
    }

    /// Everything but the root itself.
    async fn bring(&self, tree: &Tree, wishes: &Wishes) -> Result<(), Stop> {
        let manifests = tree.below.iter().filter(|node| !node.is_index());
        let manifests: Vec<BoxFuture<'_, _>> = manifests
            .map(|node| {
                let put = async move {
                    wait(wishes, node).await?;
                    self.put_by_digest(node, true).await
                };
                put.boxed()
            })
            .collect();
        let manifests = stream::iter(manifests)
            .buffer_unordered(PLACED_AT_ONCE)
            .try_collect::<()>();
        let root = async { wait(wishes, &tree.root).await };
        tokio::try_join!(manifests, root)?;
        self.put_indexes(tree).await
    }

    /// Indexes below the root, each after those that it names.
    async fn put_indexes(&self, tree: &Tree) -> Result<(), Stop> {
        let mut left: Vec<_> = tree.below.iter().filter(|node| node.is_index()).collect();
        while !left.is_empty() {
            let waiting: HashSet<_> = left.iter().map(|node| &node.digest).collect();
            let names_none_of = |node: &Node| match &node.document.content {
                Content::Index(children) => !children
                    .iter()
                    .any(|child| waiting.contains(&child.descriptor.digest)),
                Content::Manifest { .. } => true,
            };
            let (mut due, mut later) = (Vec::new(), Vec::new());
            for node in &left {
                let list = if names_none_of(node) {
                    &mut due
                } else {
                    &mut later
                };
                list.push(*node);
            }
            if due.is_empty() {
                // No two can name each other by their digests.
                return Err(Failure::lasting("indexes name each other in a circle").into());
            }
            for node in due {
                self.put_by_digest(node, tree.is_whole).await?;
            }
            left = later;
        }
        Ok(())
    }

    /// Writes `node` by its digest, unless it is there; once, however many images name it.
    async fn put_by_digest(&self, node: &Node, is_whole: bool) -> Result<(), Stop> {
        let Self { run, to, .. } = self;
        let repository = to.repository();
        if run.known.has_manifest(repository, &node.digest) {
            return Ok(());
        }
        let place = canonical::repository(repository).into_owned();
        let key = (place, node.digest.clone());
        let cell = Arc::clone(run.placing.lock().entry(key.clone()).or_default());
        let named = Named::Digest(node.digest.clone());
        let put = async || self.put(node, &named, None).await.map(drop);
        let put = cell.get_or_try_init(put).await;
        let put = put.copied();
        if put.is_ok() && is_whole {
            run.known.note_manifest(repository, &node.digest);
        }
        run.placing.lock().remove(&key);
        put
    }

    async fn put(
        &self,
        node: &Node,
        named: &Named,
        before: Option<Digest>,
    ) -> Result<Placed, Stop> {
        let Self { run, to, .. } = self;
        let raw = node.raw(run, self.source).await?;
        let put = Box::pin(to.put_manifest(named, &raw)).await;
        let put = put.map_err(|error| {
            // Such manifests are an error of theirs to some registries.
            if let (false, Error::Status { status, .. }) = (node.foreign().is_empty(), &error)
                && *status == StatusCode::INTERNAL_SERVER_ERROR
            {
                return self.foreign(node, &error.to_string());
            }
            let repository = to.repository();
            let attempt = match named {
                Named::Tag(tag) => format!("failed to write {repository}:{tag}"),
                Named::Digest(digest) => format!("failed to write {repository}@{digest}"),
            };
            Failure::of(&attempt, &error)
        })?;
        match put {
            Put::Done {
                keeps_referrers,
                was_there,
            } => {
                if !was_there {
                    count(&run.counts.manifests);
                }
                if let Named::Tag(tag) = named {
                    run.wrote(Written {
                        to: to.repository().clone(),
                        tag: tag.clone(),
                        digest: node.digest.clone(),
                        // Who wrote it may have been somebody else.
                        before: if was_there {
                            Some(node.digest.clone())
                        } else {
                            before
                        },
                        with: self.with.cloned(),
                    });
                }
                if let (Some(subject), false) = (&node.document.subject, keeps_referrers) {
                    let with = self.with.unwrap_or(&node.digest);
                    fallback::keep(run, to, &subject.digest, &raw, with).await?;
                }
                Ok(if was_there {
                    Placed::There
                } else {
                    Placed::Written
                })
            }
            Put::Immutable { found, detail } => Err(Stop::Immutable {
                found,
                cause: detail,
            }),
            Put::Missing {
                digests,
                is_vague,
                detail,
            } => {
                let is_foreign =
                    |digest: &Digest| node.foreign().iter().any(|layer| layer.digest == *digest);
                // Nothing that is brought would help.
                if !digests.is_empty() && digests.iter().all(is_foreign) {
                    return Err(self.foreign(node, &detail).into());
                }
                Err(Stop::Missing {
                    words: detail,
                    is_vague: is_vague && matches!(named, Named::Tag(_)),
                })
            }
        }
    }

    /// Why a registry does not take `node`, which names layers that are not brought to it.
    fn foreign(&self, node: &Node, words: &str) -> Failure {
        let repository = self.to.repository();
        let digest = &node.digest;
        let layers = node.foreign();
        let first = layers.first().map(|layer| layer.digest.as_str());
        let first = first.unwrap_or_default();
        Failure::lasting(format!(
            "{repository} does not take {digest}, which names {} foreign layers, such as {first}: they are not to be distributed, and this registry takes no image without its layers ({words}); leave the tag out, or let the registry take such manifests",
            layers.len()
        ))
    }

    /// Forgets what is not there, and wishes for it anew.
    async fn heal(&self, tree: &Tree) -> Result<(Tree, Wishes), Stop> {
        let Self { run, to, .. } = self;
        let repository = to.repository();
        let root = Arc::clone(&tree.root);
        let tree = expand(
            run,
            self.source,
            root,
            self.scope,
            (&|_| true, &Room::default()),
        )
        .await?;
        for node in tree.nodes() {
            run.known.forget_manifest(repository, &node.digest);
        }
        let blobs: HashMap<_, _> = tree
            .nodes()
            .flat_map(|node| node.blobs())
            .map(|blob| (&blob.digest, blob))
            .collect();
        let ask: Vec<BoxFuture<'_, _>> = blobs
            .into_values()
            .map(|blob| self.is_missing(blob).boxed())
            .collect();
        let missing: HashSet<_> = stream::iter(ask)
            .buffer_unordered(ASKED_AT_ONCE)
            .try_filter_map(|missing| async { Ok(missing) })
            .try_collect()
            .await?;
        let mut wishes = Wishes::new();
        for node in tree.nodes() {
            let blobs: Vec<Descriptor> = node
                .blobs()
                .iter()
                .filter(|blob| missing.contains(&blob.digest))
                .cloned()
                .collect();
            let waiter = want(run, self.source, self.spot, &blobs, true);
            wishes.insert(node.digest.clone(), waiter);
        }
        Ok((tree, wishes))
    }

    /// The digest of `blob`, which is forgotten, if it is not there.
    async fn is_missing(&self, blob: &Descriptor) -> Result<Option<Digest>, Failure> {
        let repository = self.to.repository();
        let is_there = Box::pin(self.to.has_blob(&blob.digest)).await;
        let is_there = is_there.map_err(|error| {
            let attempt = format!("failed to ask {repository} for the blob {}", blob.digest);
            Failure::of(&attempt, &error)
        })?;
        if !is_there {
            forget(self.run, repository, blob);
        }
        Ok((!is_there).then(|| blob.digest.clone()))
    }
}

async fn wait(wishes: &Wishes, node: &Node) -> Result<(), Stop> {
    match wishes.get(&node.digest) {
        Some(waiter) => Ok(waiter.wait().await?),
        None => Ok(()),
    }
}
