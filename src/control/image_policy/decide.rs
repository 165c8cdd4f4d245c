//! What to do with an ImagePolicy: from facts to a decision, without looking at anything else.
//!
//! The order of the questions and all texts are upstream's; how a tag is chosen is
//! `crate::policy`'s to say.

use std::time::Duration;

use super::elect::{self, Governed};
use super::gather::{Facts, Referred, is_requested};
use super::mirrored::Gate;
use crate::api::access::Refusal;
use crate::api::condition::reason;
use crate::api::duration::GoDuration;
use crate::api::image_policy::ReflectionPolicy;
use crate::api::image_repository::Provider;
use crate::api::reference::ImageRef;
use crate::api::{ImagePolicy, ImagePolicySpec, ImageRepository, names};
use crate::control::Settings;
use crate::image::{Digest, Repository, Tag};
use crate::object::Key;
use crate::policy::governance::InForce;
use crate::policy::{Candidates, InvalidPolicy, NoTag, Policy, TagFilter};
use crate::store::RepositoryTags;

/// What to do.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// The object is being deleted: take back what it elected.
    Release,
    /// It is suspended: leave everything as it is.
    Rest,
    /// There are no tags yet, but may be in a moment: say nothing until then.
    Wait { after: Duration },
    /// The same, but somebody asked for this run: say that it was, and nothing else.
    Acknowledge { after: Duration },
    /// Its spec has to change first.
    Stall {
        reason: &'static str,
        message: String,
    },
    /// It elects nothing now; a retry may help.
    Fail {
        reason: &'static str,
        message: String,
        /// The repository's owner does not let it in.
        is_denied: bool,
        retry: Retry,
    },
    /// It elects a tag.
    Elect(Box<Plan>),
    /// It elects none, and what the status says stands.
    Stand(Box<Governed>),
    /// It has to be known first what this tag runs on.
    Ask(Tag),
}

/// When a policy that failed looks again, if nothing it depends on changes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// After growing delays.
    Growing,
    /// After growing delays, but not longer than this: what it depends on is not watched.
    Within(Duration),
    /// After exactly this time.
    After(Duration),
}

/// What is elected.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) repository: Key,
    pub(super) tag: Tag,
    /// The image as the repository's spec writes it: consumers match on this text.
    pub(super) name: String,
    pub(super) digest: DigestPlan,
    pub(super) governed: Governed,
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        let parts = |plan: &Self| {
            let Self {
                repository,
                tag,
                name,
                digest,
                governed,
            } = plan;
            let election = (repository.clone(), tag.clone(), name.clone());
            (election, digest.told(), governed.clone())
        };
        parts(self) == parts(other)
    }
}

/// Where the digest comes from.
#[derive(Debug)]
pub(super) enum DigestPlan {
    /// There is none.
    None,
    /// It is known already.
    Keep(Digest),
    /// The registry has to be asked.
    Fetch {
        object: std::sync::Arc<ImageRepository>,
        image: Repository,
        /// What the tag stood for when it was elected.
        before: Option<Digest>,
    },
    /// The mirror that is required has verified it.
    Verified {
        digest: Digest,
        /// What the tag stood for when it was elected.
        before: Option<Digest>,
    },
}

impl DigestPlan {
    /// The same, of what has to be mirrored first: who pins a digest finds it at the mirror, or has found it before. A tag that
    /// is held may be elsewhere.
    fn mirrored(self, gate: &Gate, tag: &Tag, is_held: bool) -> Self {
        let Self::Fetch { before, .. } = &self else {
            return self;
        };
        let copies = gate.as_ref().ok();
        match copies.and_then(|copies| copies.tags.get(tag)) {
            Some(verified) => Self::Verified {
                digest: verified.source.clone(),
                before: before.clone(),
            },
            None if is_held => self,
            None => before.clone().map_or(Self::None, Self::Keep),
        }
    }

    /// The one that is known, where there is one.
    fn frozen(self) -> Self {
        match self {
            Self::Fetch {
                before: Some(before),
                ..
            }
            | Self::Verified {
                before: Some(before),
                ..
            } => Self::Keep(before),
            Self::None
            | Self::Keep(_)
            | Self::Fetch { before: None, .. }
            | Self::Verified { before: None, .. } => self,
        }
    }

    fn told(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Keep(digest) => digest.to_string(),
            Self::Fetch { image, .. } => format!("fetch {image}"),
            Self::Verified { digest, .. } => format!("verified {digest}"),
        }
    }
}

/// How many waits come before anything is said.
const FIRST_WAITS: u32 = 3;

/// The waits for tags that are on their way, before anything is said: upstream's tries within one run.
const WAITS: [Duration; FIRST_WAITS as usize] = [
    Duration::from_secs(1),
    Duration::from_millis(1500),
    Duration::from_millis(2250),
];

/// How long a repository may be unheard of before it counts as missing: the two kinds are watched apart, and what was
/// created first may be heard of last. A status and an Event that are taken back at once are two writes too many.
const HEARSAY: Duration = Duration::from_millis(500);

pub(super) fn decide(facts: &Facts, settings: &Settings) -> Decision {
    let Facts {
        object,
        reference,
        repository,
        waits,
        governing,
        platforms: _,
        gate,
        patience: _,
        now: _,
    } = facts;
    let spec = &object.spec;
    if object.metadata.deletion_timestamp.is_some() {
        return Decision::Release;
    }
    if spec.suspend {
        return Decision::Rest;
    }
    if matches!(repository, Referred::Missing) && *waits == 0 {
        return Decision::Wait { after: HEARSAY };
    }
    if spec.digest_reflection_policy == ReflectionPolicy::Always && spec.interval.is_none() {
        return stall(
            reason::INTERVAL_NOT_CONFIGURED,
            "spec.interval must be set when spec.digestReflectionPolicy is set to 'Always'",
        );
    }
    let (repository, image, tags, candidates) = match repository {
        Referred::Found {
            object,
            image,
            tags,
            candidates,
        } => (object, image, tags, candidates),
        Referred::Missing
        | Referred::Unreadable
        | Referred::Denied(_)
        | Referred::Unknown { .. } => {
            return refused(
                repository,
                reference,
                object.metadata.namespace.as_deref(),
                settings,
            );
        }
    };
    let image = match image {
        Ok(image) => image,
        Err(error) => return stall(reason::IMAGE_URL_INVALID, &error.to_string()),
    };
    if is_gated(repository, settings) {
        return stall(
            reason::FEATURE_GATE_DISABLED,
            "to use spec.serviceAccountName in the ImageRepository for provider authentication please enable the \
             ObjectLevelWorkloadIdentity feature gate in the controller",
        );
    }
    let policy = match Policy::from_choice((&spec.policy).into()) {
        Ok(policy) => policy,
        Err(invalid) => return invalid_policy(&invalid),
    };
    let known = object
        .status
        .as_ref()
        .and_then(|status| status.latest_ref.as_ref());
    let current = known.filter(|known| known.name == repository.spec.image);
    let nothing = Candidates::default();
    if let (Some(tags), Some(current)) = (tags, current)
        && is_awaited(object, &governing.in_force, tags, current)
    {
        return in_silence(object, settings);
    }
    let candidates = match (candidates, tags) {
        (Some(candidates), _) => candidates.as_ref(),
        // The scan that has been brings the tags back: until then there is nothing to say.
        (None, None)
            if current.is_some()
                && was_scanned(repository)
                && is_observed(object)
                && !repository.spec.suspend =>
        {
            return in_silence(object, settings);
        }
        // What is governed may stand, though every tag has gone.
        (None, Some(_)) if !governing.in_force.is_nothing() => &nothing,
        // Among thousands that are new, a first scan may wait for its turn.
        (None, _) if *waits == FIRST_WAITS && is_in_line(repository) => {
            let after = settings.requeue_dependency;
            return Decision::Wait { after };
        }
        (None, _) => return no_tags(*waits, settings),
    };
    let filter = match &spec.filter_tags {
        None => None,
        Some(filter) => match TagFilter::new(&filter.pattern, &filter.extract) {
            Ok(filter) => Some(filter),
            Err(invalid) => return invalid_policy(&invalid),
        },
    };
    let election = elect::Election {
        facts,
        settings,
        policy: &policy,
        filter: filter.as_ref(),
        candidates,
        image,
        tags: tags.as_deref(),
        current: current.map(|current| current.tag.as_str()),
        fresh_for: super::platforms::fresh_for(repository),
    };
    match election.hold() {
        Ok(elect::Elected::Tag(tag, governed)) => {
            let mut digest = digest(spec, current, repository, image, &tag);
            if let Some(gate) = gate {
                let is_held = governing.in_force.governance.hold.is_some();
                digest = digest.mirrored(gate, &tag, is_held);
            }
            if governing.in_force.is_frozen {
                digest = digest.frozen();
            }
            Decision::Elect(Box::new(Plan {
                repository: reference.clone(),
                tag,
                name: repository.spec.image.clone(),
                digest,
                governed,
            }))
        }
        Ok(elect::Elected::Stands(mut governed)) => {
            let is_other = known.is_some() && current.is_none();
            governed.instead_of = is_other.then(|| repository.spec.image.clone());
            Decision::Stand(Box::new(governed))
        }
        Ok(elect::Elected::Ask(tag)) => Decision::Ask(tag),
        Err(NoTag::Empty) if candidates.is_empty() => no_tags(*waits, settings),
        Err(none) => fail(reason::FAILURE, none.to_string(), Retry::Growing),
    }
}

/// Whether what stands elected is not in a list that may not be all there is (a store that was lost, filled from a list
/// that is not believed yet): no reason to elect less, as long as nothing else was asked for.
///
/// Who holds a tag, or says what cannot be understood, goes by no list.
pub(super) fn is_awaited(
    object: &ImagePolicy,
    in_force: &InForce,
    tags: &RepositoryTags,
    current: &ImageRef,
) -> bool {
    !in_force.is_frozen
        && in_force.governance.hold.is_none()
        && is_observed(object)
        && !tags.is_complete()
        && tags.tag(&current.tag).is_none()
}

/// Whether what stands was elected by this spec.
pub(super) fn is_observed(object: &ImagePolicy) -> bool {
    let status = object.status.as_ref();
    status.and_then(|status| status.observed_generation) == object.metadata.generation
}

/// What stands stays, and a scan is to come.
fn in_silence(object: &ImagePolicy, settings: &Settings) -> Decision {
    let after = settings.requeue_dependency;
    if is_requested(object) {
        Decision::Acknowledge { after }
    } else {
        Decision::Wait { after }
    }
}

/// Whether the repository has said nothing yet, and will.
fn is_in_line(repository: &ImageRepository) -> bool {
    let status = repository.status.as_ref();
    !repository.spec.suspend && status.is_none_or(|status| status.conditions.is_empty())
}

fn was_scanned(repository: &ImageRepository) -> bool {
    repository
        .status
        .as_ref()
        .is_some_and(|status| status.last_scan_result.is_some())
}

/// `current` is what stands elected of this image.
fn digest(
    spec: &ImagePolicySpec,
    current: Option<&ImageRef>,
    repository: &std::sync::Arc<ImageRepository>,
    image: &Repository,
    tag: &Tag,
) -> DigestPlan {
    let same = current.filter(|current| current.tag == tag.as_str());
    let before: Option<Digest> = same.and_then(|current| current.digest.as_ref()?.parse().ok());
    match (spec.digest_reflection_policy, before) {
        (ReflectionPolicy::Never | ReflectionPolicy::Unknown, _) => DigestPlan::None,
        (ReflectionPolicy::IfNotPresent, Some(before)) => DigestPlan::Keep(before),
        (ReflectionPolicy::IfNotPresent | ReflectionPolicy::Always, before) => DigestPlan::Fetch {
            object: repository.clone(),
            image: image.clone(),
            before,
        },
    }
}

/// There is no ImageRepository `reference`.
pub(super) fn missing(reference: &Key) -> String {
    format!(
        "referenced ImageRepository does not exist: ImageRepository.{} \"{}\" not found",
        names::IMAGE_GROUP,
        reference.name
    )
}

fn refused(
    referred: &Referred,
    reference: &Key,
    own: Option<&str>,
    settings: &Settings,
) -> Decision {
    const PREFIX: &str = "failed to get the referred ImageRepository: ";
    // A namespace's labels are not watched. A repository is: its policies look again when it comes or changes.
    let soon = Retry::Within(settings.requeue_dependency);
    let denied = |message: String, retry| Decision::Fail {
        reason: reason::ACCESS_DENIED,
        message: format!("{PREFIX}{message}"),
        is_denied: true,
        retry,
    };
    match referred {
        Referred::Missing => fail(
            reason::DEPENDENCY_NOT_READY,
            format!("{PREFIX}{}", missing(reference)),
            Retry::Growing,
        ),
        Referred::Unreadable | Referred::Found { .. } => fail(
            reason::FAILURE,
            format!("{PREFIX}ImageRepository '{reference}' cannot be decoded"),
            Retry::Growing,
        ),
        Referred::Denied(refusal) => denied(
            refusal.message(reference, own.unwrap_or_default()),
            match refusal {
                Refusal::Blocked | Refusal::NotShared => Retry::Growing,
                Refusal::NotForThisNamespace => soon,
            },
        ),
        // Not knowing is no reason to take anything back.
        Referred::Unknown { error } => Decision::Fail {
            reason: reason::ACCESS_DENIED,
            message: format!("{PREFIX}access denied: {error}"),
            is_denied: false,
            retry: soon,
        },
    }
}

fn no_tags(waits: u32, settings: &Settings) -> Decision {
    if let Some(after) = WAITS.get(usize::try_from(waits).unwrap_or(usize::MAX)) {
        return Decision::Wait { after: *after };
    }
    let after = settings.requeue_dependency;
    let rounded = GoDuration::from(Duration::from_secs_f64(after.as_secs_f64().round()));
    let message = format!("retrying in {rounded} error: no tags in database");
    fail(reason::DEPENDENCY_NOT_READY, message, Retry::After(after))
}

fn is_gated(repository: &ImageRepository, settings: &Settings) -> bool {
    let spec = &repository.spec;
    spec.provider != Provider::Generic
        && spec
            .service_account_name
            .as_deref()
            .is_some_and(|name| !name.is_empty())
        && !settings.object_level_workload_identity
}

fn invalid_policy(invalid: &InvalidPolicy) -> Decision {
    stall(reason::INVALID_POLICY, &invalid.to_string())
}

fn stall(reason: &'static str, message: &str) -> Decision {
    Decision::Stall {
        reason,
        message: message.to_owned(),
    }
}

fn fail(reason: &'static str, message: String, retry: Retry) -> Decision {
    Decision::Fail {
        reason,
        message,
        is_denied: false,
        retry,
    }
}
