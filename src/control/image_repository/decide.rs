//! What to do with an ImageRepository: from facts to a decision, without looking at anything else.
//!
//! The order of the questions is upstream's, because the
//! first answer is the one that users read. When a scan is due is `crate::scan`'s to say.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::gather::{Facts, Stored};
use super::memory::Remembered;
use crate::api::condition::{self, Status, reason};
use crate::api::image_repository::Provider;
use crate::api::{ImageRepository, ImageRepositorySpec, ImageRepositoryStatus};
use crate::control::Settings;
use crate::control::intake::Scanned;
use crate::control::registry::{Question, Validator};
use crate::control::{access, settle, share};
use crate::image::Repository;
use crate::scan::{self, Due, Form, Reason};

/// What to do.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// The object is being deleted: let its tags go.
    Release,
    /// It is suspended: leave everything as it is.
    Rest,
    /// Its spec has to change first.
    Stall {
        reason: &'static str,
        message: String,
    },
    /// It cannot be scanned now; a retry may help.
    Fail {
        reason: &'static str,
        message: String,
        doing: String,
    },
    /// The last scan will do until the time given.
    Keep { until: Duration },
    /// Scan.
    Scan(Box<Plan>),
}

/// How to scan.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) question: Question,
    pub(super) exclusion: Vec<String>,
    pub(super) form: Form,
    pub(super) timeout: Duration,
    pub(super) interval: Duration,
    /// How old an answer may be that somebody else was given.
    pub(super) slack: Duration,
    /// The message of Reconciling while the scan is under way.
    pub(super) doing: String,
    /// Nobody waits for it: what the status says may stand until the registry can be asked.
    pub(super) can_wait: bool,
    pub(super) generation: i64,
    /// What the last scan found, where that is stored and was not said yet: then nobody has to be asked.
    pub(super) unsaid: Option<Scanned>,
}

/// For tests: two plans are equal when they ask the same in the same way.
impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        let parts = |plan: &Self| {
            let Self {
                question,
                exclusion,
                form,
                timeout,
                interval,
                slack,
                doing,
                can_wait,
                generation,
                unsaid,
            } = plan;
            let times = (*timeout, *interval, *slack);
            (
                question.identity(),
                exclusion.clone(),
                *form,
                times,
                doing.clone(),
                *can_wait,
                *generation,
                unsaid.clone(),
            )
        };
        parts(self) == parts(other)
    }
}

/// The longest time by which another object's answer may be older than one's own would be, for somebody who is not
/// merely due.
const BRIEF_SLACK: Duration = Duration::from_secs(5);

pub(super) fn decide(facts: &Facts, settings: &Settings) -> Decision {
    let Facts {
        object,
        image,
        ways,
        stored,
        remembered,
        requested_at,
        now,
    } = facts;
    let spec = &object.spec;
    if object.metadata.deletion_timestamp.is_some() {
        return Decision::Release;
    }
    if spec.suspend {
        return Decision::Rest;
    }
    if is_gated(object, settings) {
        return Decision::Stall {
            reason: reason::FEATURE_GATE_DISABLED,
            message:
                "to use spec.serviceAccountName for provider authentication please enable the \
                      ObjectLevelWorkloadIdentity feature gate in the controller"
                    .to_owned(),
        };
    }
    let image = match image {
        Ok(image) => image,
        Err(error) => {
            return Decision::Stall {
                reason: reason::IMAGE_URL_INVALID,
                message: error.to_string(),
            };
        }
    };
    if let Some(message) = access::unsupported_provider(spec) {
        return Decision::Stall {
            reason: reason::AUTHENTICATION_FAILED,
            message,
        };
    }
    let nothing = ImageRepositoryStatus::default();
    let status = object.status.as_ref().unwrap_or(&nothing);
    let ways = match ways {
        Ok(ways) => ways.clone(),
        Err(error) => {
            return Decision::Fail {
                reason: reason::AUTHENTICATION_FAILED,
                message: format!("failed to configure authentication options: {error}"),
                doing: settle::doing(
                    status.observed_generation,
                    object.metadata.generation.unwrap_or(0),
                ),
            };
        }
    };
    let generation = object.metadata.generation.unwrap_or(0);
    let due = due(
        &Held {
            status,
            image,
            stored: stored.as_ref(),
            uid: object.metadata.uid.as_deref().unwrap_or_default(),
        },
        spec,
        requested_at.as_deref(),
        *now,
    );
    let (why, first_words) = match due {
        Due::In(until) if !is_failing(status) => {
            return Decision::Keep {
                until: Duration::try_from(until).unwrap_or_default(),
            };
        }
        // The last try failed: this is the retry, for whatever reason the failed one was made.
        Due::In(_) => (reason_of_last_try(status), words_of_last_try(status)),
        Due::Now(why) => (why, None),
    };
    let interval = spec.interval.as_std().max(SHORTEST_INTERVAL);
    let mut question = Question {
        image: image.clone(),
        ways,
        timeout: spec.scan_timeout(),
        known: None,
    };
    let exclusion = spec.effective_exclusion_list();
    let (stored, last) = (stored.as_ref(), status.last_scan_result.as_ref());
    let told = last.map(|last| last.revision.as_str());
    question.known = known(remembered, &question, &exclusion, stored, told);
    let unsaid = remembered.unsaid.as_ref().filter(|unsaid| {
        unsaid.image == *image
            && unsaid.exclusion == exclusion
            && unsaid.requested_at == *requested_at
            && stored.is_some_and(|stored| stored.revision == unsaid.found.revision)
            && last
                .and_then(|last| last.scan_time.as_ref())
                .is_none_or(|time| time.0 < unsaid.found.at)
            && Duration::try_from(now.duration_since(unsaid.found.at))
                .is_ok_and(|age| age < interval)
    });
    // A new spec is not to wait, unless all there is to say of it is that it was seen.
    let can_wait = match why {
        Reason::Interval if condition::is_true(&status.conditions, condition::READY) => true,
        Reason::Interval | Reason::NoTagsInDatabase => {
            is_observed(object)
                && (condition::is_true(&status.conditions, condition::READY)
                    || refused(status).is_some())
        }
        Reason::FirstScan
        | Reason::NewImageName
        | Reason::UpdatedExclusionList
        | Reason::ReconcileRequested => false,
    };
    Decision::Scan(Box::new(Plan {
        question,
        exclusion,
        form: revision_form(status, settings),
        timeout: spec.scan_timeout(),
        interval,
        slack: slack(why, is_failing(status), interval),
        doing: first_words.unwrap_or_else(|| format!("scanning: {why}")),
        can_wait,
        generation,
        unsaid: unsaid.map(|unsaid| unsaid.found.clone()),
    }))
}

/// What the registry called the list, where that is the one that is stored, and that the status tells of.
fn known(
    remembered: &Remembered,
    question: &Question,
    exclusion: &[String],
    stored: Option<&Stored>,
    told: Option<&str>,
) -> Option<Validator> {
    let (known, stored) = (remembered.known.as_ref()?, stored?);
    let is_same = known.identity == question.identity()
        && known.exclusion == exclusion
        && known.version == stored.version
        && stored.is_complete
        && told == Some(stored.revision.as_str());
    is_same.then(|| known.validator.clone())
}

/// The shortest time between two scans, whatever the spec says.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What status and store hold on the object's last scan.
struct Held<'a> {
    status: &'a ImageRepositoryStatus,
    image: &'a Repository,
    stored: Option<&'a Stored>,
    uid: &'a str,
}

fn due(
    held: &Held<'_>,
    spec: &ImageRepositorySpec,
    requested_at: Option<&str>,
    now: Timestamp,
) -> Due {
    let Held {
        status,
        image,
        stored,
        uid,
    } = held;
    let last = status.last_scan_result.as_ref();
    scan::is_due(&scan::Facts {
        now,
        interval: SignedDuration::try_from(scan::jitter(uid, spec.interval.as_std()))
            .unwrap_or(SignedDuration::MAX),
        image,
        exclusion: &spec.effective_exclusion_list(),
        requested: requested_at,
        handled_request: status
            .last_handled_reconcile_at
            .as_deref()
            .unwrap_or_default(),
        observed_image: status.canonical_image_name.as_deref().unwrap_or_default(),
        observed_exclusion: &status.observed_exclusion_list,
        last_scan: last.and_then(|last| {
            Some(scan::LastScan {
                time: last.scan_time.as_ref()?.0,
                revision: &last.revision,
            })
        }),
        stored_revision: stored
            .filter(|stored| stored.image == **image)
            .map(|stored| stored.revision.as_str()),
    })
}

/// How old an answer may be that somebody else was given: it may be as old as half an interval for whoever is due, so
/// that peers fall into step and none waits for news longer than its interval; brief for others; and no older than the
/// question for whoever asks for news.
fn slack(why: Reason, is_failing: bool, interval: Duration) -> Duration {
    match why {
        Reason::ReconcileRequested => Duration::ZERO,
        Reason::Interval if !is_failing => (interval / 2).min(share::KEPT),
        Reason::Interval
        | Reason::FirstScan
        | Reason::NewImageName
        | Reason::UpdatedExclusionList
        | Reason::NoTagsInDatabase => (interval / 10).min(BRIEF_SLACK),
    }
}

/// An existing status keeps its form, whatever the feature gate says today.
fn revision_form(status: &ImageRepositoryStatus, settings: &Settings) -> Form {
    let known = status
        .last_scan_result
        .as_ref()
        .map(|last| last.revision.as_str());
    Form::choose(known, settings.flux_storage)
}

/// Whether the status speaks of the spec as it is now.
pub(super) fn is_observed(object: &ImageRepository) -> bool {
    let status = object.status.as_ref();
    status.and_then(|status| status.observed_generation) == object.metadata.generation
}

/// Whether the last reconcile failed, so that this one is its retry.
fn is_failing(status: &ImageRepositoryStatus) -> bool {
    condition::is_false(&status.conditions, condition::READY)
        && (condition::is_true(&status.conditions, condition::RECONCILING)
            || refused(status).is_some())
}

/// What Stalled says, where it is a registry's refusal that is said.
pub(super) fn refused(status: &ImageRepositoryStatus) -> Option<&str> {
    let stalled = condition::get(&status.conditions, condition::STALLED)?;
    (stalled.status == Status::True.as_str() && stalled.reason == reason::READ_OPERATION_FAILED)
        .then_some(stalled.message.as_str())
}

/// Why the failed try was made, as far as it matters: whoever asked for news still waits for it.
fn reason_of_last_try(status: &ImageRepositoryStatus) -> Reason {
    let requested = format!("scanning: {}", Reason::ReconcileRequested);
    if words_of_last_try(status).is_some_and(|words| words == requested) {
        Reason::ReconcileRequested
    } else {
        Reason::Interval
    }
}

fn words_of_last_try(status: &ImageRepositoryStatus) -> Option<String> {
    let known = condition::get(&status.conditions, condition::RECONCILING)?;
    known
        .message
        .starts_with("scanning: ")
        .then(|| known.message.clone())
}

/// `spec.serviceAccountName` with a cloud provider is behind a gate.
fn is_gated(object: &ImageRepository, settings: &Settings) -> bool {
    has_account(object)
        && object.spec.provider != Provider::Generic
        && !settings.object_level_workload_identity
}

fn has_account(object: &ImageRepository) -> bool {
    object
        .spec
        .service_account_name
        .as_deref()
        .is_some_and(|name| !name.is_empty())
}

/// The fields that are set, accepted, and do nothing yet.
pub(super) fn without_effect(object: &ImageRepository) -> Vec<&'static str> {
    let spec = &object.spec;
    let fields = [(spec.provider != Provider::Generic, "spec.provider")];
    fields
        .into_iter()
        .filter_map(|(is_set, field)| is_set.then_some(field))
        .collect()
}
