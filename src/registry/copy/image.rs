//! One image of a job, to all its destinations: what it is, where it is missing, and how it got there.

mod decide;
mod land;
mod sparse;

use std::sync::Arc;

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::Event;
use super::failure::{Failure, Stop};
use super::job::{Course, End, Wish};
use super::place::{Wishes, wish};
use super::referrers;
use super::run::Run;
use super::tree::{Node, Room, Scope, Tree, expand, rewritten};
use crate::image::Digest;
use crate::mirror::known::Copied;
use crate::mirror::outcome::{Outcome, TagReport};
use crate::mirror::subset;
use crate::registry::remote::{Named, RawManifest};
use land::Upon;

/// An image under way.
#[derive(Debug)]
pub(super) struct Image<'r> {
    pub(super) run: &'r Run<'r>,
    pub(super) course: &'r Course,
    pub(super) wish: Wish,
    /// Of tags that came with it.
    drifted: Mutex<Vec<TagReport>>,
}

/// What is known of a destination before it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stance {
    /// It has what it was given lately.
    Trusted(Copied),
    /// It has the tag, or may have it.
    Unsure {
        copied: Option<Copied>,
        /// Nothing speaks for it.
        is_doubtful: bool,
    },
    /// It does not have the tag.
    Absent,
    /// Its list could not be read.
    Failed(Failure),
}

/// What is to be done at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Unchanged {
        digest: Digest,
        is_verified: bool,
    },
    Drifted {
        found: Digest,
        /// What would be there, where that is known.
        expected: Option<Digest>,
    },
    Copy {
        /// What is there now, if anything.
        before: Option<Digest>,
    },
    Failed(Failure),
}

impl Decision {
    fn is_copy(&self) -> bool {
        matches!(self, Self::Copy { .. })
    }
}

/// What the source says.
#[derive(Debug)]
struct AtSource {
    digest: Digest,
    /// Empty where it is not known.
    media_type: String,
    raw: Option<RawManifest>,
}

impl<'r> Image<'r> {
    pub(super) fn new(run: &'r Run<'r>, course: &'r Course, wish: Wish) -> Self {
        Self {
            run,
            course,
            wish,
            drifted: Mutex::default(),
        }
    }

    /// Copies it where it is missing; one report for each destination.
    pub(super) async fn copy(self) -> Vec<TagReport> {
        let mut reports = match self.attempt().await {
            Ok(reports) => reports,
            Err(stop) => self.course.reports(&self.wish, &self.outcome(stop)),
        };
        reports.append(&mut self.drifted.lock());
        for report in &reports {
            self.run.tell(report);
        }
        reports
    }

    fn scope(&self) -> Scope<'r> {
        Scope {
            platforms: &self.course.job.platforms,
            mode: self.course.job.mode,
        }
    }

    /// Whether the destination's digest may be another one than the source's.
    fn is_rewritten(&self) -> bool {
        let job = &self.course.job;
        !job.platforms.is_empty() && job.mode == subset::Mode::Rewritten
    }

    async fn attempt(&self) -> Result<Vec<TagReport>, Stop> {
        let Self { run, course, .. } = self;
        if run.is_cancelled() {
            return Err(Stop::Interrupted);
        }
        let begun = run.settings.clock.now();
        let (at_source, decisions, tree) = run.unless_cancelled(self.look()).await??;
        let Some(tree) = tree else {
            let ends = course.ends.iter().zip(decisions);
            let reports = ends.map(|(end, decision)| self.settled(end, &at_source, decision));
            return Ok(join_all(reports).await);
        };
        for (end, decision) in course.ends.iter().zip(&decisions) {
            if let (Decision::Copy { .. }, Some(tag)) = (decision, &self.wish.tag) {
                run.progress.happened(Event::Differs {
                    from: course.from.repository(),
                    to: end.remote.repository(),
                    tag,
                });
            }
        }
        // All wishes at once, so that one reading serves all destinations.
        let wishes: Vec<_> = course
            .ends
            .iter()
            .zip(&decisions)
            .map(|(end, decision)| match decision {
                Decision::Copy { .. } => wish(run, course.source, &end.spot, &tree),
                _ => Wishes::new(),
            })
            .collect();
        let copies = decisions.iter().filter(|it| it.is_copy()).count();
        let copies = u64::try_from(copies).unwrap_or(u64::MAX);
        run.estimated(|estimate| estimate.images = estimate.images.saturating_add(copies));
        run.tell_estimate();
        let extras = OnceCell::new();
        let discovered =
            || extras.get_or_init(|| referrers::discover(run, course.source, &tree, self.scope()));
        let ends = course.ends.iter().zip(decisions).zip(&wishes);
        let landings = ends.map(|((end, decision), wishes)| {
            let (at_source, tree, discovered) = (&at_source, &tree, &discovered);
            async move {
                match decision {
                    Decision::Copy { before } => {
                        let extras = async {
                            if course.job.referrers {
                                discovered().await.as_ref().map(Vec::as_slice)
                            } else {
                                Ok(&[][..])
                            }
                        };
                        if run.settings.is_dry_run {
                            return self.would_land(end, at_source, tree, extras).await;
                        }
                        let upon = Upon { before, begun };
                        self.land(end, at_source, tree, wishes, extras, upon).await
                    }
                    decision => self.settled(end, at_source, decision).await,
                }
            }
        });
        let ahead = async {
            if course.job.referrers && !run.settings.is_dry_run {
                // An error is for whoever needs what was not found.
                if let Ok(Err(failure)) = run.unless_cancelled(discovered()).await {
                    tracing::debug!(%failure.cause, "Referrers not found out");
                }
            }
        };
        let (reports, ()) = tokio::join!(join_all(landings), ahead);
        Ok(reports)
    }

    /// Asks the source, and the destinations where that is needed; reads the image if it is to be copied.
    async fn look(&self) -> Result<(AtSource, Vec<Decision>, Option<Tree>), Stop> {
        let Self { run, course, .. } = self;
        let host = course.from.repository().registry().api_host();
        let readers = run.readers(host);
        let Ok(_reading) = readers.acquire().await else {
            return Err(Stop::Interrupted);
        };
        let stances: Vec<_> = course.ends.iter().map(|end| self.stance(end)).collect();
        if let Some(failure) = all_failed(&stances) {
            return Err(failure.into());
        }
        let reads_whole = stances.iter().any(|stance| match stance {
            Stance::Absent => true,
            Stance::Unsure {
                copied: None,
                is_doubtful,
            } => *is_doubtful || self.is_rewritten(),
            Stance::Unsure { .. } | Stance::Trusted(_) | Stance::Failed(_) => false,
        });
        let asked = course.ends.iter().zip(&stances);
        let asked = asked.map(|(end, stance)| self.ask(end, stance));
        let (at_source, found) = tokio::join!(self.source(reads_whole), join_all(asked));
        let mut at_source = at_source?;
        let mut decisions = Vec::new();
        for ((end, stance), found) in course.ends.iter().zip(stances).zip(found) {
            decisions.push(match found {
                Ok(found) => self.decide(end, stance, found, &mut at_source).await?,
                Err(failure) => Decision::Failed(failure),
            });
        }
        if !decisions.iter().any(Decision::is_copy) {
            return Ok((at_source, decisions, None));
        }
        let root = self.root(&mut at_source).await?;
        let lacks =
            |end: &&End, digest: &Digest| !run.known.has_manifest(end.remote.repository(), digest);
        let ends = course.ends.iter().zip(&decisions);
        let ends: Vec<_> = ends
            .filter(|(end, decision)| decision.is_copy() && lacks(end, &root.digest))
            .map(|(end, _)| end)
            .collect();
        let is_needed = |digest: &Digest| ends.iter().any(|end| lacks(end, digest));
        match expand(
            run,
            course.source,
            root,
            self.scope(),
            (&is_needed, &Room::default()),
        )
        .await
        {
            Ok(tree) => Ok((at_source, decisions, Some(tree))),
            Err(failure) => Err(self.blame(&at_source, failure).await),
        }
    }

    fn stance(&self, end: &End) -> Stance {
        let Self {
            run, course, wish, ..
        } = self;
        let listing = match &end.listing {
            Ok(listing) => listing,
            Err(failure) => return Stance::Failed(failure.clone()),
        };
        let copied = course.copied(run, wish, end);
        let listed = wish.tag.as_ref().and_then(|tag| listing.has(tag));
        let job = &course.job;
        let is_trusted = |copied: &Copied| {
            (listed.is_some() || job.follows_scan) && job.is_fresh(copied, run.settings.clock.now())
        };
        match (listed, copied) {
            (Some(false), _) => Stance::Absent,
            (_, Some(copied)) if is_trusted(&copied) => Stance::Trusted(copied),
            (listed, copied) => Stance::Unsure {
                is_doubtful: listed.is_none()
                    && copied.is_none()
                    && matches!(wish.named, Named::Tag(_)),
                copied,
            },
        }
    }

    /// What the destination has by that name, if that has to be asked.
    async fn ask(&self, end: &End, stance: &Stance) -> Result<Option<Digest>, Failure> {
        if !matches!(stance, Stance::Unsure { .. }) {
            return Ok(None);
        }
        let named = match &self.wish.tag {
            Some(tag) => Named::Tag(tag.clone()),
            None => self.wish.named.clone(),
        };
        self.head(end, &named).await
    }

    /// What the destination has by the name `named`.
    async fn head(&self, end: &End, named: &Named) -> Result<Option<Digest>, Failure> {
        self.run.estimated(|estimate| {
            estimate.destination_requests = estimate.destination_requests.saturating_add(1);
        });
        let found = Box::pin(end.remote.head(named)).await.map_err(|error| {
            let attempt = format!("failed to ask {} for {named}", end.remote.repository());
            Failure::of(&attempt, &error)
        })?;
        Ok(found.map(|head| head.digest))
    }

    async fn source(&self, reads_whole: bool) -> Result<AtSource, Stop> {
        let Self {
            run, course, wish, ..
        } = self;
        let named = &wish.named;
        if let (Named::Digest(digest), false) = (named, reads_whole) {
            return Ok(AtSource {
                digest: digest.clone(),
                media_type: String::new(),
                raw: None,
            });
        }
        run.estimated(|estimate| {
            estimate.source_requests = estimate.source_requests.saturating_add(1);
        });
        let failed = |error| {
            let attempt = format!("failed to read {} of {}", named, course.from.repository());
            Failure::of(&attempt, &error)
        };
        let found = if reads_whole {
            let raw = Box::pin(course.from.manifest(named))
                .await
                .map_err(failed)?;
            raw.map(|raw| AtSource {
                digest: raw.digest.clone(),
                media_type: raw.media_type.clone(),
                raw: Some(raw),
            })
        } else {
            let head = Box::pin(course.from.head(named)).await.map_err(failed)?;
            head.map(|head| AtSource {
                digest: head.digest,
                media_type: head.media_type,
                raw: None,
            })
        };
        found.ok_or(Stop::Gone)
    }

    /// The root as it is written, read now if it was not.
    async fn root(&self, at_source: &mut AtSource) -> Result<Arc<Node>, Stop> {
        let Self { run, course, .. } = self;
        let raw = if let Some(raw) = &at_source.raw {
            raw
        } else {
            run.estimated(|estimate| {
                estimate.source_requests = estimate.source_requests.saturating_add(1);
            });
            let named = Named::Digest(at_source.digest.clone());
            let found = Box::pin(course.from.manifest(&named)).await;
            let found = found.map_err(|error| {
                let attempt = format!("failed to read {}@{named}", course.from.repository());
                Failure::of(&attempt, &error)
            })?;
            let Some(found) = found else {
                return Err(self.vanished(at_source).await);
            };
            at_source.raw.insert(found)
        };
        Ok(rewritten(run, course.source, raw, self.scope())?)
    }

    /// What the destination has when it is there. Where platforms are left out the image is read for it.
    async fn expected(&self, at_source: &mut AtSource) -> Result<Digest, Stop> {
        if self.is_rewritten() {
            Ok(self.root(at_source).await?.digest.clone())
        } else {
            Ok(at_source.digest.clone())
        }
    }

    /// The report of a destination where nothing is written of the image itself.
    async fn settled(&self, end: &End, at_source: &AtSource, decision: Decision) -> TagReport {
        let (digest, outcome) = match decision {
            Decision::Unchanged {
                digest,
                is_verified,
            } => {
                let mut report = self.report(end, at_source, Some(&digest), Outcome::Unchanged);
                if self.course.job.referrers {
                    let catching_up = self.catch_up(end, at_source, &digest, is_verified);
                    let caught_up = self.run.unless_cancelled(catching_up).await;
                    match caught_up.and_then(|caught_up| caught_up) {
                        Ok(count) => report.referrers = count,
                        Err(stop) => {
                            report.outcome = self.outcome(stop);
                            return report;
                        }
                    }
                }
                // What belongs to it is there, too.
                let is_short = self.run.settings.is_dry_run && report.referrers > 0;
                if is_verified && !is_short {
                    self.note(end, at_source, &digest);
                }
                return report;
            }
            Decision::Drifted { found, expected } => {
                let outcome = Outcome::Drifted {
                    found: found.clone(),
                };
                return TagReport {
                    expected,
                    ..self.report(end, at_source, Some(&found), outcome)
                };
            }
            Decision::Failed(failure) => (None, self.outcome(failure.into())),
            Decision::Copy { .. } => (None, Outcome::Copied),
        };
        self.report(end, at_source, digest.as_ref(), outcome)
    }

    /// Whether the tag is another image now; an error when it is gone.
    async fn has_moved(&self, at_source: &AtSource) -> Result<bool, Stop> {
        let named = &self.wish.named;
        if matches!(named, Named::Digest(_)) {
            return Ok(false);
        }
        let head = Box::pin(self.course.from.head(named));
        match self.run.unless_cancelled(head).await? {
            Ok(None) => Err(Stop::Gone),
            Ok(Some(head)) => Ok(head.digest != at_source.digest),
            // What was read is whole: that is no reason not to write it.
            Err(_) => Ok(false),
        }
    }

    /// What it means that the image is not there, and the tag was a moment ago: perhaps it has another one by now.
    async fn vanished(&self, at_source: &AtSource) -> Stop {
        let named = &self.wish.named;
        if matches!(named, Named::Digest(_)) {
            return Stop::Gone;
        }
        let from = self.course.from.repository();
        let AtSource { digest, .. } = at_source;
        let cause = format!("{from}:{named} was {digest}, which is not there");
        self.blame(at_source, Failure::lost(cause)).await
    }

    /// Why it was not copied. When something was not at the source, perhaps the image is not either, or the tag is
    /// another one by now.
    async fn blame(&self, at_source: &AtSource, failure: Failure) -> Stop {
        if !failure.is_lost {
            return failure.into();
        }
        match self.has_moved(at_source).await {
            Ok(has_moved) => Stop::Failed(Failure {
                is_temporary: has_moved,
                ..failure
            }),
            Err(stop) => stop,
        }
    }

    fn outcome(&self, stop: Stop) -> Outcome {
        match stop {
            // Nobody saw it there: it is not gone but a mistake.
            Stop::Gone if !self.wish.is_listed => Outcome::Failed {
                cause: "there is no such image at the source".to_owned(),
                is_temporary: false,
            },
            stop => outcome(stop),
        }
    }

    fn note(&self, end: &End, at_source: &AtSource, digest: &Digest) {
        let copied = Copied {
            source: at_source.digest.clone(),
            destination: digest.clone(),
            verified: self.run.settings.clock.now(),
        };
        self.course.note(self.run, &self.wish, end, copied);
    }

    fn report(
        &self,
        end: &End,
        at_source: &AtSource,
        destination: Option<&Digest>,
        outcome: Outcome,
    ) -> TagReport {
        TagReport {
            source: Some(at_source.digest.clone()),
            destination: destination.cloned(),
            ..self.course.report(&self.wish, end, outcome)
        }
    }
}

/// The failure, when there is nothing but failures.
fn all_failed(stances: &[Stance]) -> Option<Failure> {
    let failures = stances.iter().map(|stance| match stance {
        Stance::Failed(failure) => Some(failure),
        Stance::Trusted(_) | Stance::Unsure { .. } | Stance::Absent => None,
    });
    let all: Option<Vec<_>> = failures.collect();
    match *all? {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// The reports of an image that did not come to its end.
pub(super) fn not_begun(run: &Run<'_>, course: &Course, wish: &Wish, stop: Stop) -> Vec<TagReport> {
    let reports = course.reports(wish, &outcome(stop));
    for report in &reports {
        run.tell(report);
    }
    reports
}

/// Why something was not begun.
pub(super) fn words(stop: &Stop) -> String {
    match outcome(stop.clone()) {
        Outcome::NotBegun { cause } | Outcome::Failed { cause, .. } => cause,
        _ => "it is gone".to_owned(),
    }
}

fn outcome(stop: Stop) -> Outcome {
    match stop {
        Stop::Failed(failure) => Outcome::Failed {
            cause: failure.cause.to_string(),
            is_temporary: failure.is_temporary,
        },
        Stop::Missing { words, is_vague: _ } => Outcome::Failed {
            cause: words,
            is_temporary: false,
        },
        Stop::Immutable { found, cause } => Outcome::Immutable {
            found: Some(found),
            cause,
        },
        Stop::Drifted { found } => Outcome::Drifted { found },
        Stop::Gone => Outcome::Gone,
        Stop::Interrupted => Outcome::NotBegun {
            cause: "interrupted".to_owned(),
        },
    }
}
