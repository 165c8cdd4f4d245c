//! An image is written: what refers to it before it, itself last, and nothing over what is not to be replaced.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::{AtSource, Image};
use crate::image::Digest;
use crate::mirror::outcome::{Outcome, TagReport, Written};
use crate::mirror::overwrite::Overwrite;
use crate::registry::copy::failure::{Failure, Stop};
use crate::registry::copy::job::End;
use crate::registry::copy::lists::{self, LONG};
use crate::registry::copy::place::{Due, Placed, Placing, Wishes, wish};
use crate::registry::copy::referrers::{self, Extra};
use crate::registry::copy::tree::{Node, Room, Scope, Tree, expand};
use crate::registry::remote::Named;

/// What it takes at most to keep the list of referrers where the registry does not: it is read, written, and read again.
const LIST_REQUESTS: u64 = 3;

/// What an image is written upon.
#[derive(Debug)]
pub(super) struct Upon {
    /// What the tag is there, if anything.
    pub(super) before: Option<Digest>,
    /// When that was asked for.
    pub(super) begun: Timestamp,
}

/// Tags beside an image that a destination is asked for at once.
const ASKED_AT_ONCE: usize = 16;

impl Image<'_> {
    /// Copies what has come to refer to an image that has not changed: all of it where the destination was looked at anew, else
    /// what the tag list shows.
    pub(super) async fn catch_up(
        &self,
        end: &End,
        at_source: &AtSource,
        digest: &Digest,
        is_verified: bool,
    ) -> Result<u32, Stop> {
        let Self { run, course, .. } = self;
        let (source, to) = (course.source, &end.remote);
        let mut extras = Vec::new();
        if is_verified {
            let mut seen = AtSource {
                digest: at_source.digest.clone(),
                media_type: at_source.media_type.clone(),
                raw: at_source.raw.clone(),
            };
            let root = self.root(&mut seen).await?;
            let tree = expand(
                run,
                source,
                root,
                self.scope(),
                (&|_| false, &Room::default()),
            )
            .await?;
            extras = referrers::discover(run, source, &tree, self.scope()).await?;
        } else if let Ok(there) = &end.listing
            && (there.is_known() || !course.job.follows_scan)
        {
            let here = lists::list(run, &course.from, false).await?;
            let room = Room::default();
            for tag in referrers::new_companions(&here, there, &at_source.digest) {
                extras.extend(referrers::of_tag(run, source, tag, &room).await?);
            }
        }
        let is_new = |extra: &Extra| !self.is_known(end, extra);
        let known = referrers::there(run, to, extras.iter().filter(|extra| is_new(extra)));
        let known = known.await;
        extras.retain(|extra| !known.contains(&extra.tree.root.digest));
        self.land_extras(end, &extras, digest).await
    }

    /// Whether the destination is known to have it. A tag may be another one by now, or gone.
    fn is_known(&self, end: &End, extra: &Extra) -> bool {
        let to = end.remote.repository();
        let is_tag = matches!(extra.named, Named::Tag(_));
        !is_tag && self.run.known.has_manifest(to, &extra.tree.root.digest)
    }

    /// What a dry run finds out of an image that is to be copied: what belongs to it, too, as far as it is to be written.
    pub(super) async fn would_land(
        &self,
        end: &End,
        at_source: &AtSource,
        tree: &Tree,
        extras: impl Future<Output = Result<&[Extra], &Failure>> + Send,
    ) -> TagReport {
        let estimated = async {
            let extras = extras.await.map_err(Clone::clone)?;
            self.land_extras(end, extras, &tree.root.digest).await
        };
        let estimated = self.run.unless_cancelled(estimated).await;
        let (referrers, outcome) = match estimated.and_then(|estimated| estimated) {
            Ok(count) => (count, Outcome::Copied),
            Err(stop) => (0, self.outcome(stop)),
        };
        TagReport {
            referrers,
            ..self.report(end, at_source, Some(&tree.root.digest), outcome)
        }
    }

    pub(super) async fn land(
        &self,
        end: &End,
        at_source: &AtSource,
        tree: &Tree,
        wishes: &Wishes,
        extras: impl Future<Output = Result<&[Extra], &Failure>> + Send,
        upon: Upon,
    ) -> TagReport {
        let Self {
            run, course, wish, ..
        } = self;
        let placing = Placing {
            run,
            source: course.source,
            to: &end.remote,
            spot: &end.spot,
            scope: self.scope(),
            named: match &wish.tag {
                Some(tag) => Named::Tag(tag.clone()),
                None => Named::Digest(tree.root.digest.clone()),
            },
            with: None,
        };
        let mut referrers = 0;
        let first = async {
            let extras = run.unless_cancelled(extras).await?.map_err(Clone::clone)?;
            referrers = self.land_extras(end, extras, &tree.root.digest).await?;
            Ok(())
        };
        let has_moved = AtomicBool::new(false);
        let look = || {
            let looking = async {
                let is_late = run.settings.clock.now().duration_since(upon.begun) > LONG;
                if is_late && !has_moved.load(Ordering::Relaxed) {
                    has_moved.store(self.has_moved(at_source).await?, Ordering::Relaxed);
                }
                self.look_again(end, &tree.root, &upon).await
            };
            looking.boxed()
        };
        let placed = placing.place(tree, wishes, first.boxed(), &look);
        let placed = Box::pin(placed).await;
        let placed = match placed {
            Err(Stop::Failed(failure)) => Err(self.blame(at_source, failure).await),
            placed => placed,
        };
        let destination = placed.is_ok().then_some(&tree.root.digest);
        if placed.is_ok() {
            self.note(end, at_source, &tree.root.digest);
        }
        let expected = placed.is_err().then(|| tree.root.digest.clone());
        let outcome = match placed {
            // Where the tag was there before, something that it names was not.
            Ok(Placed::There) if upon.before.as_ref() != Some(&tree.root.digest) => {
                Outcome::Unchanged
            }
            Ok(Placed::Written | Placed::There) => Outcome::Copied,
            Err(stop) => self.outcome(stop),
        };
        TagReport {
            expected,
            referrers,
            moved_meanwhile: has_moved.into_inner(),
            ..self.report(end, at_source, destination, outcome)
        }
    }

    /// Whether what the destination has by that name may be written over.
    pub(super) fn permits(&self) -> bool {
        let tag = self.wish.tag.as_ref();
        tag.is_none_or(|tag| self.course.job.overwrite.permits(tag))
    }

    /// What the tag is by now, where the destination was asked too long ago. Stops when somebody else has written it, and it may
    /// not be written over.
    async fn look_again(&self, end: &End, ours: &Node, upon: &Upon) -> Result<Due, Stop> {
        let as_before = || Ok(Due::Over(upon.before.clone()));
        let Some(tag) = &self.wish.tag else {
            return as_before();
        };
        let now = self.run.settings.clock.now();
        let is_fresh = match &end.listing {
            Ok(listing) if listing.has(tag).is_some() => listing.is_fresh(now),
            _ => now.duration_since(upon.begun) <= LONG,
        };
        if is_fresh {
            return as_before();
        }
        let named = Named::Tag(tag.clone());
        let found = match self.run.unless_cancelled(self.head(end, &named)).await? {
            Ok(found) => found,
            Err(_) if self.permits() => return as_before(),
            Err(failure) => return Err(failure.into()),
        };
        match found {
            Some(found) if ours.is_called(self.run, self.course.source, &found).await? => {
                Ok(Due::No)
            }
            Some(found) if !self.permits() => Err(Stop::Drifted { found }),
            found => Ok(Due::Over(found)),
        }
    }

    /// Whether `extra` is to be written: what belongs to an image by its tag is written over where tags may move, else told of
    /// as other tags are.
    async fn is_due(&self, end: &End, extra: &Extra, image: &Digest) -> Result<Due, Stop> {
        let Self { run, course, .. } = self;
        let Named::Tag(tag) = &extra.named else {
            return Ok(if self.is_known(end, extra) {
                Due::No
            } else {
                Due::Over(None)
            });
        };
        let now = run.settings.clock.now();
        if let Ok(listing) = &end.listing
            && listing.is_fresh(now)
            && listing.has(tag) == Some(false)
        {
            return Ok(Due::Over(None));
        }
        let root = &extra.tree.root;
        let ours = &root.digest;
        match self.head(end, &extra.named).await? {
            Some(found) if root.is_called(run, course.source, &found).await? => {
                run.wrote(Written {
                    to: end.remote.repository().clone(),
                    tag: tag.clone(),
                    digest: ours.clone(),
                    before: Some(found),
                    with: Some(image.clone()),
                });
                Ok(Due::No)
            }
            Some(found) if matches!(course.job.overwrite, Overwrite::Never) => {
                let to = end.remote.repository().clone();
                // Several tags may be of one image.
                if run.told.lock().insert((to, tag.clone())) {
                    let outcome = Outcome::Drifted {
                        found: found.clone(),
                    };
                    let report = TagReport {
                        tag: Some(tag.clone()),
                        source: Some(ours.clone()),
                        destination: Some(found),
                        expected: Some(ours.clone()),
                        ..course.report(&self.wish, end, outcome)
                    };
                    self.drifted.lock().push(report);
                }
                Ok(Due::No)
            }
            found => Ok(Due::Over(found)),
        }
    }

    /// Writes what belongs to `image`.
    async fn land_extras(&self, end: &End, extras: &[Extra], image: &Digest) -> Result<u32, Stop> {
        let Self { run, course, .. } = self;
        let begun = run.settings.clock.now();
        let asked: Vec<BoxFuture<'_, _>> = extras
            .iter()
            .map(|extra| self.is_due(end, extra, image).boxed())
            .collect();
        let due: Vec<Due> = stream::iter(asked)
            .buffered(ASKED_AT_ONCE)
            .try_collect()
            .await?;
        let due = extras.iter().zip(due).filter(|(_, due)| *due != Due::No);
        let extras: Vec<(&Extra, Due)> = due.collect();
        let wishes: Vec<_> = extras
            .iter()
            .map(|(extra, _)| wish(run, course.source, &end.spot, &extra.tree))
            .collect();
        let mut count = 0;
        if run.settings.is_dry_run {
            run.estimated(|estimate| {
                let lists = extras.iter().map(|_| LIST_REQUESTS);
                let requests = &mut estimate.destination_requests;
                *requests = lists.fold(*requests, u64::saturating_add);
            });
            return Ok(u32::try_from(extras.len()).unwrap_or(u32::MAX));
        }
        for ((extra, due), wishes) in extras.iter().zip(&wishes) {
            let placing = Placing {
                run,
                source: course.source,
                to: &end.remote,
                spot: &end.spot,
                scope: Scope::ALL,
                named: extra.named.clone(),
                with: Some(image),
            };
            let nothing = async { Ok(()) };
            let look = || {
                let looking = async {
                    if run.settings.clock.now().duration_since(begun) <= LONG {
                        return Ok(due.clone());
                    }
                    let due = self.is_due(end, extra, image);
                    run.unless_cancelled(due).await?
                };
                looking.boxed()
            };
            let placed = placing.place(&extra.tree, wishes, nothing.boxed(), &look);
            if Box::pin(placed).await? == Placed::Written {
                count += 1;
            }
        }
        Ok(count)
    }
}
