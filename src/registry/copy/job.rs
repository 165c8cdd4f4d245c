//! A job's lists, and the images that it comes down to.

use std::sync::Arc;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::failure::{Failure, Stop};
use super::lists::{self, Listing};
use super::run::Run;
use super::{Job, Wanted};
use crate::image::{Platform, Tag};
use crate::mirror::known::Copied;
use crate::mirror::outcome::{Look, Outcome, TagReport};
use crate::mirror::plan::Spot;
use crate::mirror::subset;
use crate::registry::remote::{Named, Remote};

/// A job under way.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) job: Job,
    pub(super) source: usize,
    pub(super) from: Remote,
    pub(super) ends: Vec<End>,
}

/// A destination of a job.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) remote: Remote,
    /// What the plan calls it.
    pub(super) spot: Spot,
    /// Its tags, as far as they were asked for.
    pub(super) listing: Result<Arc<Listing>, Failure>,
}

/// One image of a job.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// At the source.
    pub(super) named: Named,
    /// At the destinations; none: by digest only.
    pub(super) tag: Option<Tag>,
    /// Whether the source's list named it, so that it was there a moment ago.
    pub(super) is_listed: bool,
}

impl Job {
    /// By what its copies are remembered.
    fn variant(&self) -> String {
        variant(&self.platforms, self.mode, self.referrers)
    }

    /// Whether it was seen at its destination lately enough.
    pub(super) fn is_fresh(&self, copied: &Copied, now: Timestamp) -> bool {
        let age = now.duration_since(copied.verified);
        let most = SignedDuration::try_from(self.verify_after);
        !age.is_negative() && most.is_ok_and(|most| age < most)
    }
}

/// What tells copies of some platforms, and those with referrers, apart from others of the same tags to the same places: by it
/// they are remembered (`mirror::known`).
pub fn variant(platforms: &[Platform], mode: subset::Mode, referrers: bool) -> String {
    let mut variant = String::new();
    if referrers {
        variant.push_str("referrers;");
    }
    if !platforms.is_empty() {
        let mut platforms: Vec<_> = platforms.iter().map(ToString::to_string).collect();
        platforms.sort_unstable();
        variant.push_str(&platforms.join(","));
        variant.push_str(match mode {
            subset::Mode::Rewritten => ";rewritten",
            subset::Mode::Sparse => ";sparse",
        });
    }
    variant
}

impl Course {
    /// What is known of `wish` at `end`.
    pub(super) fn copied(&self, run: &Run<'_>, wish: &Wish, end: &End) -> Option<Copied> {
        let (tag, variant) = self.key(wish)?;
        let from = self.from.repository();
        run.known.tag(from, &tag, end.remote.repository(), &variant)
    }

    pub(super) fn note(&self, run: &Run<'_>, wish: &Wish, end: &End, copied: Copied) {
        if let Some((tag, variant)) = self.key(wish) {
            let (from, to) = (self.from.repository(), end.remote.repository());
            run.known.note_tag(from, &tag, to, &variant, copied);
        }
    }

    /// By what a copy is remembered.
    fn key(&self, wish: &Wish) -> Option<(Tag, String)> {
        let tag = wish.tag.clone()?;
        let mut variant = self.job.variant();
        match &wish.named {
            Named::Tag(source) if *source == tag => {}
            named => {
                variant.push_str(";from ");
                variant.push_str(&named.to_string());
            }
        }
        Some((tag, variant))
    }

    /// The same outcome of `wish` everywhere.
    pub(super) fn reports(&self, wish: &Wish, outcome: &Outcome) -> Vec<TagReport> {
        let report = |end: &End| self.report(wish, end, outcome.clone());
        self.ends.iter().map(report).collect()
    }

    pub(super) fn report(&self, wish: &Wish, end: &End, outcome: Outcome) -> TagReport {
        TagReport {
            from: self.from.repository().clone(),
            to: end.remote.repository().clone(),
            tag: wish.tag.clone(),
            source: None,
            destination: None,
            expected: None,
            outcome,
            referrers: 0,
            moved_meanwhile: false,
        }
    }
}

/// Reads the lists that the job needs, all at once, and says which images it is made of.
pub(super) async fn prepare(
    run: &Run<'_>,
    number: usize,
    job: Job,
) -> Result<(Course, Vec<Wish>), Stop> {
    let source = run.add_source(&job.source, job.bandwidth.clone());
    let from = run.source(source);
    let remotes: Vec<_> = job
        .destinations
        .iter()
        .map(|place| run.destination(place))
        .collect();
    let listings = join_all(remotes.iter().map(|(remote, _)| async {
        if is_list_needed(run, &job, remote) {
            run.estimated(|estimate| {
                estimate.destination_requests = estimate.destination_requests.saturating_add(1);
            });
            lists::list(run, remote, false).await
        } else {
            Ok(Listing::unknown())
        }
    }));
    let wanted = wanted(run, number, &job, &from);
    let lists = async { tokio::join!(listings, wanted) };
    let (listings, wishes) = match run.unless_cancelled(lists).await {
        Ok(lists) => lists,
        // What needs no list of its source is told of tag by tag all the same.
        Err(stop) => {
            let wishes = by_name(&job).ok_or(stop)?;
            let unknown = remotes.iter().map(|_| Ok(Listing::unknown()));
            (unknown.collect(), Ok(wishes))
        }
    };
    let ends = remotes
        .into_iter()
        .zip(listings)
        .map(|((remote, spot), listing)| End {
            remote,
            spot,
            listing,
        });
    let course = Course {
        ends: ends.collect(),
        job,
        source,
        from,
    };
    let wishes = wishes?;
    Ok((course, wishes))
}

/// Whether to ask `to` for its list. One tag is asked for by itself: a list may be long.
fn is_list_needed(run: &Run<'_>, job: &Job, to: &Remote) -> bool {
    match &job.wanted {
        Wanted::Tags(tags) if job.follows_scan => {
            let from = &job.source.repository;
            let known = run.known.copies(from, to.repository(), &job.variant());
            let now = run.settings.clock.now();
            let is_known = |tag: &&Tag| {
                let copied = known.get(*tag);
                copied.is_some_and(|copied| job.is_fresh(copied, now))
            };
            tags.iter().filter(|tag| !is_known(tag)).nth(1).is_some()
        }
        Wanted::Tags(tags) => tags.len() > 1,
        Wanted::Digest(..) => false,
        Wanted::Selected(_) => true,
    }
}

async fn wanted(
    run: &Run<'_>,
    number: usize,
    job: &Job,
    from: &Remote,
) -> Result<Vec<Wish>, Failure> {
    if let Some(wishes) = by_name(job) {
        return Ok(wishes);
    }
    let Wanted::Selected(selection) = &job.wanted else {
        return Ok(Vec::new());
    };
    run.estimated(|estimate| estimate.source_requests = estimate.source_requests.saturating_add(1));
    let listing = lists::list(run, from, true).await?;
    let repository = from.repository();
    let selected = selection.select(&listing.tags).map_err(|error| {
        Failure::lasting(format!("no tags of {repository} were selected: {error}"))
    })?;
    if selected.tags.is_empty() {
        run.unmatched(number, listing.tags.len());
    }
    let wishes = selected.tags.iter().map(|tag| of_tag(job, tag, true));
    let wishes = wishes.collect();
    let to = job.destinations.iter();
    run.looked(Look {
        job: number,
        from: repository.clone(),
        to: to.map(|place| place.repository.clone()).collect(),
        listed: listing.tags.len(),
        is_complete: listing.is_complete(),
        selected: selected.tags,
    });
    Ok(wishes)
}

/// What is asked for by its name; none: the source's list says what there is.
fn by_name(job: &Job) -> Option<Vec<Wish>> {
    match &job.wanted {
        Wanted::Tags(tags) => {
            let wish = |tag| of_tag(job, tag, job.follows_scan);
            Some(tags.iter().map(wish).collect())
        }
        Wanted::Digest(digest, tag) => Some(vec![Wish {
            named: Named::Digest(digest.clone()),
            tag: tag.clone(),
            is_listed: false,
        }]),
        Wanted::Selected(_) => None,
    }
}

fn of_tag(job: &Job, tag: &Tag, is_listed: bool) -> Wish {
    Wish {
        tag: Some(job.renamed.clone().unwrap_or_else(|| tag.clone())),
        named: Named::Tag(tag.clone()),
        is_listed,
    }
}
