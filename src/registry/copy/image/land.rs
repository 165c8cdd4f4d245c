//! An image is written: what refers to it before it, itself last, and nothing over what is not to be replaced.

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::{AtSource, Image};
use crate::image::Digest;
use crate::mirror::outcome::{Outcome, TagReport};
use crate::mirror::overwrite::Overwrite;
use crate::registry::copy::failure::{Failure, Stop};
use crate::registry::copy::job::End;
use crate::registry::copy::lists::{self, LONG};
use crate::registry::copy::place::{Placing, Wishes, wish};
use crate::registry::copy::referrers::{self, Extra};
use crate::registry::copy::tree::{Room, Scope, Tree, expand};
use crate::registry::remote::Named;

/// Tags beside an image that a destination is asked for at once.
const ASKED_AT_ONCE: usize = 16;

impl Image<'_> {
    /// Copies what has come to refer to an image that has not changed: all of it where the destination was looked at anew, else
    /// what the tag list shows.
    pub(super) async fn catch_up(
        &self,
        end: &End,
        at_source: &AtSource,
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
        // A tag may be another one by now, or gone.
        extras.retain(|extra| {
            let is_tag = matches!(extra.named, Named::Tag(_));
            is_tag
                || !run
                    .known
                    .has_manifest(to.repository(), &extra.tree.root.digest)
        });
        self.land_extras(end, &extras).await
    }

    pub(super) async fn land(
        &self,
        end: &End,
        at_source: &AtSource,
        tree: &Tree,
        wishes: &Wishes,
        extras: impl Future<Output = Result<&[Extra], &Failure>> + Send,
        begun: Timestamp,
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
        };
        let (mut referrers, mut has_moved) = (0, false);
        let before = async {
            let extras = run.unless_cancelled(extras).await?.map_err(Clone::clone)?;
            referrers = self.land_extras(end, extras).await?;
            if run.settings.clock.now().duration_since(begun) > LONG {
                has_moved = self.has_moved(at_source).await?;
            }
            self.look_again(end, &tree.root.digest, begun).await?;
            Ok(())
        };
        let placed = placing.place(tree, wishes, before.boxed()).await;
        let placed = match placed {
            Err(Stop::Failed(failure)) => Err(self.blame(at_source, failure).await),
            placed => placed,
        };
        let destination = placed.is_ok().then_some(&tree.root.digest);
        if placed.is_ok() {
            self.note(end, at_source, &tree.root.digest);
        }
        let outcome = match placed {
            Ok(()) => Outcome::Copied,
            Err(stop) => self.outcome(stop),
        };
        TagReport {
            referrers,
            moved_meanwhile: has_moved,
            ..self.report(end, at_source, destination, outcome)
        }
    }

    /// Whether what the destination has by that name may be written over.
    pub(super) fn permits(&self) -> bool {
        let tag = self.wish.tag.as_ref();
        tag.is_none_or(|tag| self.course.job.overwrite.permits(tag))
    }

    /// Stops when somebody else has written the tag since the destination was asked, and it may not be written over.
    async fn look_again(&self, end: &End, ours: &Digest, begun: Timestamp) -> Result<(), Stop> {
        let Some(tag) = self.wish.tag.as_ref().filter(|_| !self.permits()) else {
            return Ok(());
        };
        let now = self.run.settings.clock.now();
        let is_fresh = match &end.listing {
            Ok(listing) if listing.has(tag).is_some() => listing.is_fresh(now),
            _ => now.duration_since(begun) <= LONG,
        };
        if is_fresh {
            return Ok(());
        }
        let named = Named::Tag(tag.clone());
        match self.run.unless_cancelled(self.head(end, &named)).await?? {
            Some(found) if found != *ours => Err(Stop::Drifted { found }),
            _ => Ok(()),
        }
    }

    /// Whether `extra` is to be written: what belongs to an image by its tag is written over where tags may move, else told of
    /// as other tags are.
    async fn is_due(&self, end: &End, extra: &Extra) -> Result<bool, Stop> {
        let Self { run, course, .. } = self;
        let Named::Tag(tag) = &extra.named else {
            return Ok(true);
        };
        let now = run.settings.clock.now();
        if let Ok(listing) = &end.listing
            && listing.is_fresh(now)
            && listing.has(tag) == Some(false)
        {
            return Ok(true);
        }
        let ours = &extra.tree.root.digest;
        match self.head(end, &extra.named).await? {
            Some(found) if found == *ours => Ok(false),
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
                        ..course.report(&self.wish, end, outcome)
                    };
                    self.drifted.lock().push(report);
                }
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    async fn land_extras(&self, end: &End, extras: &[Extra]) -> Result<u32, Stop> {
        let Self { run, course, .. } = self;
        let asked: Vec<BoxFuture<'_, _>> = extras
            .iter()
            .map(|extra| self.is_due(end, extra).boxed())
            .collect();
        let due: Vec<bool> = stream::iter(asked)
            .buffered(ASKED_AT_ONCE)
            .try_collect()
            .await?;
        let due = extras.iter().zip(due).filter(|(_, is_due)| *is_due);
        let extras: Vec<&Extra> = due.map(|(extra, _)| extra).collect();
        let wishes: Vec<_> = extras
            .iter()
            .map(|extra| wish(run, course.source, &end.spot, &extra.tree))
            .collect();
        let mut count = 0;
        for (extra, wishes) in extras.into_iter().zip(&wishes) {
            let placing = Placing {
                run,
                source: course.source,
                to: &end.remote,
                spot: &end.spot,
                scope: Scope::ALL,
                named: extra.named.clone(),
            };
            let nothing = async { Ok(()) };
            placing.place(&extra.tree, wishes, nothing.boxed()).await?;
            count += 1;
        }
        Ok(count)
    }
}
