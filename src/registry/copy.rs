//! The engine: tags of many sources to many destinations, as one plan.
//!
//! List (each source and each destination repository once) → resolve (each tag to a digest; one HEAD where it was copied
//! before, one GET of the manifest where not) → expand (each manifest once) → plan (`mirror::plan`: each blob once for each
//! registry; mounts for all but the first repository) → execute (blobs, then children by digest, then referrers, then
//! the root, once, by tag). A tag is the last thing written of an image; whatever happens in between leaves only what
//! nobody refers to.
//!
//! Nothing waits for what it does not need: an image's blobs are planned as soon as its own manifests are read, and each manifest
//! is written as soon as its own blobs are there. All of a run is one task, so that wishes for several destinations
//! are made in one step; bytes move in the connections' tasks.
//!
//! What is known to be where (`mirror::known`) only saves requests: when a registry says that something is
//! missing, it is forgotten and planned once more.
//!
//! `meet` finds out what several jobs want alike; `job` reads lists and comes down to images; `image` decides and reports; `tree` reads manifests; `blobs` carries the plan
//! out; `place` writes an image at one destination; `referrers` and `fallback` are about what refers to it.

mod blobs;
mod failure;
mod fallback;
mod image;
mod job;
mod lists;
mod meet;
mod place;
mod referrers;
mod run;
mod tree;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::{self, Either, join_all};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::transfer::Limiter;
use super::{Access, Client, Mandate};
use crate::clock::SharedClock;
use crate::image::{Digest, Platform, Repository, Tag};
use crate::mirror::known::Known;
use crate::mirror::outcome::{Report, TagReport, Written};
use crate::mirror::overwrite::Overwrite;
use crate::mirror::select::Selection;
use crate::mirror::subset;
use failure::Stop;
use image::Image;
pub use job::variant;
use job::{Course, Wish};
use run::Run;

/// One repository, and how to reach it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The repository.
    pub repository: Repository,
    /// Credentials, certificates, proxy.
    pub access: Access,
}

/// What of a source is copied.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// These tags, without asking for a list.
    Tags(Vec<Tag>),
    /// One manifest by its digest; under `tag` at the destination, or by digest only.
    Digest(Digest, Option<Tag>),
    /// Of all tags those that are selected: the list is asked for.
    Selected(Selection),
}

/// One source and where it goes.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where from.
    pub source: Place,
    /// Where to; the same for all its tags.
    pub destinations: Vec<Place>,
    /// What of it.
    pub wanted: Wanted,
    /// Another name for the tag at the destination, where one tag is wanted.
    pub renamed: Option<Tag>,
    /// Platforms to keep; empty: all.
    pub platforms: Vec<Platform>,
    /// How the others are left out.
    pub mode: subset::Mode,
    /// Whether signatures and other referrers are copied, too.
    pub referrers: bool,
    /// When a tag that differs is overwritten.
    pub overwrite: Overwrite,
    /// Destinations are asked even for what is known to be there, when that is older than this.
    pub verify_after: std::time::Duration,
    /// Whether tags that are wanted by name come from a scan. Then a destination that is known to have them is not even asked
    /// for its list (nor the source, for what belongs to an image by its tag), and one that is gone by now is no mistake.
    pub follows_scan: bool,
    /// The most bytes per second of all jobs that share the limiter; besides that of the [`Settings`].
    pub bandwidth: Option<Arc<Limiter>>,
}

/// How it is done.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most requests of one class under way at one host.
    pub concurrency: NonZeroUsize,
    /// The most bytes per second, in all.
    pub bandwidth: Option<Arc<Limiter>>,
    /// Nothing is written: what would happen is found out as far as reading can.
    pub is_dry_run: bool,
    /// For what is noted as verified.
    pub clock: SharedClock,
    /// Whether this process may write, where only one of several may.
    pub mandate: Option<Arc<dyn Mandate>>,
    /// Ends everything soon: what is under way is broken off, nothing new is begun, sessions are given up.
    pub cancel: CancellationToken,
}

/// What is found out before anything is written: upper bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Requests to sources.
    pub source_requests: u64,
    /// Requests to destinations.
    pub destination_requests: u64,
    /// Bytes to be read.
    pub bytes_read: u64,
    /// Bytes to be written.
    pub bytes_written: u64,
    /// Blobs that have to be written, each destination repository counted.
    pub blobs: u64,
    /// Images (tags and destinations) to be written.
    pub images: u64,
}

/// Is told how it goes. Quick: called on the way.
pub trait Progress: std::fmt::Debug + Send + Sync {
    /// Something happened.
    fn happened(&self, event: Event<'_>);
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// More is to be done than was known until now.
    Planned(Estimate),
    /// A blob begins to be written to a destination.
    BlobBegan {
        /// Tells it from the others.
        id: u64,
        /// Which.
        digest: &'a Digest,
        /// How long it is.
        size: u64,
        /// Where to.
        to: &'a Repository,
    },
    /// More of it was written.
    BlobBytes {
        /// Which.
        id: u64,
        /// How many more.
        bytes: u64,
    },
    /// It begins anew.
    BlobAgain {
        /// Which.
        id: u64,
    },
    /// It is there, or not.
    BlobEnded {
        /// Which.
        id: u64,
        /// Whether it is there.
        is_there: bool,
    },
    /// A destination turned out to lack a tag, or to have something else by it that may be written over: it is copied now.
    Differs {
        /// Where from.
        from: &'a Repository,
        /// Where to.
        to: &'a Repository,
        /// Which.
        tag: &'a Tag,
    },
    /// A tag was written, or belongs to one more image and was there already.
    Written(&'a Written),
    /// A tag is done with, however.
    Tag(&'a TagReport),
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn happened(&self, _: Event<'_>) {}
}

/// A report, and of a dry run what it would take.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// What happened; of a dry run: what would.
    pub report: Report,
    /// What was planned.
    pub estimate: Estimate,
    /// Jobs whose selection left nothing of the list, in their order.
    pub unmatched: Vec<Unmatched>,
}

/// A job that selects none of the tags that there are. It is no failure: there may be some tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unmatched {
    /// Which of the jobs; the first is 0.
    pub job: usize,
    /// How many tags the source's list has.
    pub listed: usize,
}

/// Images that are looked at, or wait for their blobs, at once; so that what was read of a slow source is written
/// before all of it is.
const MOST_IMAGES: usize = 1000;

/// Copies. Never fails as a whole: what went wrong is in the report, by tag.
pub async fn run(
    client: &Client,
    jobs: Vec<Job>,
    known: &Known,
    settings: &Settings,
    progress: &dyn Progress,
) -> Done {
    let run = Run::new(client, known, settings, progress);
    let tags = {
        let copied = copy_all(&run, jobs);
        let blobs = blobs::carry_out(&run);
        futures::pin_mut!(copied, blobs);
        match future::select(copied, blobs).await {
            Either::Left((tags, blobs)) => {
                // Uploads that nobody waits for any more are given up: the registry need not keep what came of them.
                run.over.cancel();
                drop(tokio::time::timeout(run::GRACE, blobs).await);
                tags
            }
            Either::Right(((), copied)) => copied.await,
        }
    };
    let mut done = run.sum();
    done.report.tags = tags;
    done.report.sort();
    done
}

/// All jobs at once: their lists, and their images as they become known.
async fn copy_all(run: &Run<'_>, jobs: Vec<Job>) -> Vec<TagReport> {
    let prepare = |(number, job): (usize, Job)| async move {
        let name = job.source.repository.clone();
        let prepared = run.at_last(job::prepare(run, number, job)).await;
        let prepared = prepared.and_then(|prepared| prepared);
        prepared.map_err(|stop| (name, stop))
    };
    // Those that meet wait for each other: what two of them want is known when both have their lists.
    let mut preparing: FuturesUnordered<_> = meet::groups(jobs)
        .into_iter()
        .map(|jobs| join_all(jobs.into_iter().map(prepare)))
        .collect();
    let mut due: VecDeque<(Arc<Course>, Wish)> = VecDeque::new();
    let mut copying = FuturesUnordered::new();
    let mut reports = Vec::new();
    loop {
        while copying.len() < MOST_IMAGES
            && let Some((course, wish)) = due.pop_front()
        {
            copying.push(async move {
                let copied = Image::new(run, &course, wish.clone()).copy();
                match run.at_last(copied).await {
                    Ok(reports) => reports,
                    Err(stop) => image::not_begun(run, &course, &wish, stop),
                }
            });
        }
        tokio::select! {
            Some(prepared) = preparing.next(), if !preparing.is_empty() => {
                let mut jobs = Vec::new();
                for job in prepared {
                    match job {
                        Ok(job) => jobs.push(job),
                        Err((_, Stop::Failed(failure))) => run.problem(failure.cause.to_string()),
                        Err((name, stop)) => {
                            let words = image::words(&stop);
                            run.problem(format!("{name} was not looked at: {words}"));
                        }
                    }
                }
                due.extend(meet::once(run, jobs));
            }
            Some(reported) = copying.next(), if !copying.is_empty() => reports.extend(reported),
            else => return reports,
        }
    }
}
