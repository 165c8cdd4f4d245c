//! Whether a repository is scanned now, and why, or how long it can wait.
//!
//! Source: image-reflector-controller `internal/controller/imagerepository_controller.go`, `shouldScan`.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::image::Repository;

#[cfg(test)]
mod tests;

/// A scan that would come within this time comes at once.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);

/// What is known when the question comes up.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The present moment.
    pub now: Timestamp,
    /// `spec.interval`
    pub interval: SignedDuration,
    /// `spec.image`, parsed.
    pub image: &'a Repository,
    /// The exclusion list in effect.
    pub exclusion: &'a [String],
    /// The value of the annotation `reconcile.fluxcd.io/requestedAt`, if there is one.
    pub requested: Option<&'a str>,
    /// `status.lastHandledReconcileAt`; empty when there is none.
    pub handled_request: &'a str,
    /// `status.canonicalImageName`
    pub observed_image: &'a str,
    /// `status.observedExclusionList`
    pub observed_exclusion: &'a [String],
    /// `status.lastScanResult`
    pub last_scan: Option<LastScan<'a>>,
    /// The revision of what the tag store holds for this repository, if it holds anything.
    pub stored_revision: Option<&'a str>,
}

/// `status.lastScanResult`, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastScan<'a> {
    /// When it was.
    pub time: Timestamp,
    /// What it found.
    pub revision: &'a str,
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Scan, and come back after the interval.
    Now(Reason),
    /// Nothing to do before this much time has passed.
    In(SignedDuration),
}

/// Why a scan is due. Displayed as it stands in the Reconciling condition, behind `scanning: `.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There was no scan before.
    FirstScan,
    /// Somebody asked for it by annotation.
    ReconcileRequested,
    /// The object names another image than the one that was scanned.
    NewImageName,
    /// The exclusion list is not the one that was applied.
    UpdatedExclusionList,
    /// The tag store does not hold what the status speaks of.
    NoTagsInDatabase,
    /// It is time.
    Interval,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstScan => "first scan",
            Self::ReconcileRequested => "reconcile requested",
            Self::NewImageName => "new image name",
            Self::UpdatedExclusionList => "updated exclusion list",
            Self::NoTagsInDatabase => "no tags in database",
            Self::Interval => "triggered by interval",
        })
    }
}

/// Decides; the first reason that holds, in the order of [`Reason`], is the one given.
///
/// Flux scans a repository without tags at every turn. Here the store knows the revision of an empty list too, so
/// that such a repository waits for its interval like any other.
pub fn is_due(facts: &Facts<'_>) -> Due {
    let Some(last_scan) = facts.last_scan else {
        return Due::Now(Reason::FirstScan);
    };
    if facts
        .requested
        .is_some_and(|request| request != facts.handled_request)
    {
        return Due::Now(Reason::ReconcileRequested);
    }
    if facts.image.to_string() != facts.observed_image {
        return Due::Now(Reason::NewImageName);
    }
    if !holds_the_same(facts.exclusion, facts.observed_exclusion) {
        return Due::Now(Reason::UpdatedExclusionList);
    }
    if facts.stored_revision != Some(last_scan.revision) {
        return Due::Now(Reason::NoTagsInDatabase);
    }
    let elapsed = facts.now.duration_since(last_scan.time);
    // A scan that seems to lie in the future, because clocks differ a little, puts off the next one no further. One that
    // lies beyond the next turn is of a clock that was set back: nobody knows when it was, and a scan dates it anew.
    let wait = facts.interval.saturating_sub(elapsed).min(facts.interval);
    let is_beyond = elapsed.saturating_add(facts.interval).is_negative();
    if wait < SHORTEST || is_beyond {
        Due::Now(Reason::Interval)
    } else {
        Due::In(wait)
    }
}

/// Whether two exclusion lists are the same one; their order does not matter.
pub fn holds_the_same(effective: &[String], observed: &[String]) -> bool {
    effective.len() == observed.len() && effective.iter().all(|pattern| observed.contains(pattern))
}
