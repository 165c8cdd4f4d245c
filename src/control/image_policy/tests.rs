//! Tables: facts → decision, and decision with outcome → status.

mod governed;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::act::Outcome;
use super::decide::{self, Decision, DigestPlan, Retry};
use super::elect::Governed;
use super::gather::{Facts, Referred};
use super::memory::{Governing, Memory};
use super::platforms::{PlatformCache, View};
use super::status;
use crate::api::access::Refusal;
use crate::api::condition::Condition;
use crate::api::image_policy::{
    AlphabeticalPolicy, NumericalPolicy, PolicyChoice, ReflectionPolicy, SemVerPolicy, TagFilter,
};
use crate::api::image_repository::Provider;
use crate::api::reference::ImageRef;
use crate::api::{
    GoDuration, ImagePolicy, ImagePolicySpec, ImagePolicyStatus, ImageRepository, names,
};
use crate::control::Settings;
use crate::control::queue::Next;
use crate::image::Digest;
use crate::object::Key;
use crate::policy::Candidates;

const IMAGE: &str = "registry.test/o/app";
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const DENIED: &str = "fail AccessDenied denied: failed to get the referred ImageRepository: ";

fn semver(range: &str) -> PolicyChoice {
    PolicyChoice {
        semver: Some(SemVerPolicy {
            range: range.into(),
        }),
        ..PolicyChoice::default()
    }
}

fn found(tags: Option<&[&str]>, change: impl FnOnce(&mut ImageRepository)) -> Referred {
    let mut object = ImageRepository::new("app", crate::api::ImageRepositorySpec::default());
    object.spec.image = IMAGE.into();
    change(&mut object);
    Referred::Found {
        image: object.spec.image.parse(),
        object: Arc::new(object),
        tags: None,
        candidates: tags.map(|tags| Arc::new(tags.iter().collect::<Candidates>())),
    }
}

/// A policy for 1.x over three tags, in another namespace than its repository.
fn facts(change: impl FnOnce(&mut Facts, &mut ImagePolicy)) -> Facts {
    let mut object = ImagePolicy::new(
        "app",
        ImagePolicySpec {
            policy: semver("1.x"),
            ..ImagePolicySpec::default()
        },
    );
    object.metadata.namespace = Some("apps".into());
    object.metadata.generation = Some(1);
    let mut facts = Facts {
        object: Arc::new(object.clone()),
        reference: Key::new("images", "app"),
        repository: found(Some(&["2.0.0", "1.1.0", "1.0.0"]), |_| {}),
        waits: 0,
        governing: Governing::default(),
        platforms: View::new(
            PlatformCache::default(),
            Key::new("images", "app"),
            None,
            Duration::ZERO,
        ),
        gate: None,
        patience: None,
        now: Timestamp::UNIX_EPOCH,
    };
    change(&mut facts, &mut object);
    facts.governing =
        Memory::default().governing(&Key::new("apps", "app"), &object, &facts.reference);
    facts.object = Arc::new(object);
    facts
}

fn referred(repository: Referred) -> Facts {
    facts(|facts, _| facts.repository = repository)
}

/// A repository that was missing a moment ago already.
fn missing() -> Facts {
    facts(|facts, _| {
        facts.repository = Referred::Missing;
        facts.waits = 1;
    })
}

fn spec(change: impl FnOnce(&mut ImagePolicySpec)) -> Facts {
    facts(|_, object| change(&mut object.spec))
}

fn filter(pattern: &str, extract: &str) -> Facts {
    spec(|spec| {
        spec.filter_tags = Some(TagFilter {
            pattern: pattern.into(),
            extract: extract.into(),
        });
    })
}

fn notices(governed: &Governed) -> String {
    let texts: Vec<String> = governed.notices.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// One line per decision, with what matters of it.
fn told(decision: &Decision) -> String {
    match decision {
        Decision::Release => "release".into(),
        Decision::Rest => "rest".into(),
        Decision::Wait { after } => format!("wait {after:?}"),
        Decision::Acknowledge { after } => format!("acknowledge, wait {after:?}"),
        Decision::Stall { reason, message } => format!("stall {reason}: {message}"),
        Decision::Fail {
            reason,
            message,
            is_denied: true,
            ..
        } => format!("fail {reason} denied: {message}"),
        Decision::Fail {
            reason,
            message,
            is_denied: false,
            ..
        } => format!("fail {reason}: {message}"),
        Decision::Stand(governed) => format!("stand: {}", notices(governed)),
        Decision::Ask(tag) => format!("ask {tag}"),
        Decision::Elect(plan) => {
            let digest = match &plan.digest {
                DigestPlan::None => String::new(),
                DigestPlan::Keep(digest) => format!(" keeping {digest}"),
                DigestPlan::Fetch { .. } => " fetching".into(),
                DigestPlan::Verified { digest, .. } => format!(" verified {digest}"),
            };
            let told = format!(
                "elect {}:{} in {}{digest} {}",
                plan.name,
                plan.tag,
                plan.repository,
                notices(&plan.governed)
            );
            told.trim().to_owned()
        }
    }
}

#[test]
fn every_state_leads_to_its_decision() {
    let tags = Some(&["2.0.0", "1.1.0"][..]);
    let rows: Vec<(&str, Facts, String)> = vec![
        ("a tag fits", facts(|_, _| {}), format!("elect {IMAGE}:1.1.0 in images/app")),
        ("it is suspended", spec(|spec| spec.suspend = true), "rest".into()),
        (
            "a digest is wanted without an interval",
            spec(|spec| spec.digest_reflection_policy = ReflectionPolicy::Always),
            "stall IntervalNotConfigured: spec.interval must be set when spec.digestReflectionPolicy is set to 'Always'"
                .into(),
        ),
        (
            "no repository yet",
            referred(Referred::Missing),
            "wait 500ms".into(),
        ),
        (
            "no repository",
            missing(),
            "fail DependencyNotReady: failed to get the referred ImageRepository: referenced ImageRepository does not \
             exist: ImageRepository.image.toolkit.fluxcd.io \"app\" not found"
                .into(),
        ),
        (
            "references to other namespaces are blocked",
            referred(Referred::Denied(Refusal::Blocked)),
            format!("{DENIED}cannot access 'ImageRepository/images/app', cross-namespace references have been blocked"),
        ),
        (
            "the repository is not shared",
            referred(Referred::Denied(Refusal::NotShared)),
            format!("{DENIED}access denied: 'images/app' can't be accessed due to missing ACL labels on 'accessFrom'"),
        ),
        (
            "the repository is shared with others",
            referred(Referred::Denied(Refusal::NotForThisNamespace)),
            format!(
                "{DENIED}access denied: 'images/app' can't be accessed due to ACL labels mismatch on namespace 'apps'"
            ),
        ),
        (
            "the namespace cannot be read",
            referred(Referred::Unknown { error: "x".into() }),
            "fail AccessDenied: failed to get the referred ImageRepository: access denied: x".into(),
        ),
        (
            "the repository's image is none",
            referred(found(None, |object| object.spec.image = "https://registry.test/app".into())),
            "stall ImageURLInvalid: image 'https://registry.test/app' should not include URL scheme; remove 'https://'"
                .into(),
        ),
        (
            "an account with a cloud provider is behind a gate",
            referred(found(tags, |object| {
                object.spec.provider = Provider::Gcp;
                object.spec.service_account_name = Some("puller".into());
            })),
            "stall FeatureGateDisabled: to use spec.serviceAccountName in the ImageRepository for provider \
             authentication please enable the ObjectLevelWorkloadIdentity feature gate in the controller"
                .into(),
        ),
        (
            "the range does not parse",
            spec(|spec| spec.policy = semver("1.x.x.x")),
            "stall InvalidPolicy: invalid policy: improper constraint: \"1.x.x.x\"".into(),
        ),
        (
            "the order is none",
            spec(|spec| {
                spec.policy = PolicyChoice {
                    alphabetical: Some(AlphabeticalPolicy { order: "sideways".into() }),
                    ..PolicyChoice::default()
                };
            }),
            "stall InvalidPolicy: invalid policy: invalid order argument provided: 'SIDEWAYS', must be one of: ASC, DESC"
                .into(),
        ),
        (
            "nothing is chosen",
            spec(|spec| spec.policy = PolicyChoice::default()),
            "stall InvalidPolicy: invalid policy: given ImagePolicyChoice object is invalid".into(),
        ),
        (
            "a bad range is told before missing tags are",
            facts(|facts, object| {
                facts.repository = found(None, |_| {});
                object.spec.policy = semver("1.x.x.x");
            }),
            "stall InvalidPolicy: invalid policy: improper constraint: \"1.x.x.x\"".into(),
        ),
        (
            "a bad filter is not",
            facts(|facts, object| {
                facts.repository = found(None, |_| {});
                facts.waits = 4;
                object.spec.filter_tags = Some(TagFilter { pattern: "(".into(), extract: String::new() });
            }),
            "fail DependencyNotReady: retrying in 30s error: no tags in database".into(),
        ),
        (
            "the filter's pattern does not compile",
            filter("(", ""),
            "stall InvalidPolicy: failed to filter tags: invalid regular expression pattern '(': error parsing regexp: \
             missing closing ): `(`"
                .into(),
        ),
        ("the filter leaves nothing", filter("^x", ""), "fail Failure: version list argument cannot be empty".into()),
        (
            "nothing fits the range",
            spec(|spec| spec.policy = semver("3.x")),
            "fail Failure: unable to determine latest version from provided list".into(),
        ),
        (
            "a tag is no number",
            spec(|spec| {
                spec.policy =
                    PolicyChoice { numerical: Some(NumericalPolicy::default()), ..PolicyChoice::default() };
            }),
            "fail Failure: failed to parse invalid numeric value '2.0.0'".into(),
        ),
        ("there are no tags, for the first time", referred(found(None, |_| {})), "wait 1s".into()),
        (
            "there are no tags, for the third time",
            facts(|facts, _| {
                facts.repository = found(None, |_| {});
                facts.waits = 2;
            }),
            "wait 2.25s".into(),
        ),
        (
            "there are no tags, and the repository has said nothing yet",
            facts(|facts, _| {
                facts.repository = found(None, |_| {});
                facts.waits = 3;
            }),
            "wait 30s".into(),
        ),
        (
            "there are still no tags",
            facts(|facts, _| {
                facts.repository = found(None, |_| {});
                facts.waits = 9;
            }),
            "fail DependencyNotReady: retrying in 30s error: no tags in database".into(),
        ),
        (
            "a digest is wanted",
            spec(|spec| spec.digest_reflection_policy = ReflectionPolicy::IfNotPresent),
            format!("elect {IMAGE}:1.1.0 in images/app fetching"),
        ),
        (
            "the digest is known",
            facts(|_, object| {
                object.spec.digest_reflection_policy = ReflectionPolicy::IfNotPresent;
                object.status = Some(with_latest("1.1.0", Some(DIGEST)));
            }),
            format!("elect {IMAGE}:1.1.0 in images/app keeping {DIGEST}"),
        ),
        (
            "the digest of another tag is known",
            facts(|_, object| {
                object.spec.digest_reflection_policy = ReflectionPolicy::IfNotPresent;
                object.status = Some(with_latest("1.0.0", Some(DIGEST)));
            }),
            format!("elect {IMAGE}:1.1.0 in images/app fetching"),
        ),
        (
            "the digest is wanted always",
            facts(|_, object| {
                object.spec.digest_reflection_policy = ReflectionPolicy::Always;
                object.spec.interval = Some(GoDuration::from_secs(60));
                object.status = Some(with_latest("1.1.0", Some(DIGEST)));
            }),
            format!("elect {IMAGE}:1.1.0 in images/app fetching"),
        ),
        (
            "it is being deleted",
            facts(|_, object| {
                let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH);
                object.metadata.deletion_timestamp = Some(now);
            }),
            "release".into(),
        ),
    ];
    for (name, facts, expected) in rows {
        assert_eq!(
            told(&decide::decide(&facts, &Settings::default())),
            expected,
            "{name}"
        );
    }
}

#[test]
fn the_delay_is_told_as_go_tells_it() {
    let waited = facts(|facts, _| {
        facts.repository = found(None, |_| {});
        facts.waits = 4;
    });
    let settings = Settings {
        requeue_dependency: Duration::from_millis(89_600),
        ..Settings::default()
    };
    let Decision::Fail { message, retry, .. } = decide::decide(&waited, &settings) else {
        panic!("no failure")
    };
    assert_eq!(message, "retrying in 1m30s error: no tags in database");
    assert_eq!(retry, Retry::After(Duration::from_millis(89_600)));
}

fn with_latest(tag: &str, digest: Option<&str>) -> ImagePolicyStatus {
    let latest = ImageRef {
        name: IMAGE.into(),
        tag: tag.into(),
        digest: digest.map(Into::into),
    };
    ImagePolicyStatus {
        latest_ref: Some(latest),
        observed_generation: Some(1),
        ..ImagePolicyStatus::default()
    }
}

fn after(object: &ImagePolicy, facts: &Facts, outcome: &Outcome) -> (ImagePolicyStatus, Next) {
    status::compute(
        object,
        &decide::decide(facts, &Settings::default()),
        outcome,
        Timestamp::UNIX_EPOCH,
    )
}

fn lines(conditions: &[Condition]) -> Vec<String> {
    conditions
        .iter()
        .map(|one| {
            format!(
                "{}={} {}: {}",
                one.type_, one.status, one.reason, one.message
            )
        })
        .collect()
}

fn elected() -> Outcome {
    Outcome::Elected {
        digest: None,
        waits: None,
        again: None,
    }
}

#[test]
fn the_words_of_a_result_follow_the_references() {
    let rows = [
        (
            None,
            None,
            format!("Latest image tag for {IMAGE} resolved to 1.1.0"),
        ),
        (
            Some(("1.1.0", None)),
            None,
            format!("Latest image tag for {IMAGE} resolved to 1.1.0"),
        ),
        (
            Some(("1.0.0", None)),
            None,
            format!("Latest image tag for {IMAGE} resolved to 1.1.0 (previously {IMAGE}:1.0.0)"),
        ),
        (
            Some(("1.1.0", None)),
            Some(DIGEST),
            format!(
                "Latest image tag for {IMAGE} resolved to 1.1.0 with digest {DIGEST} (previously {IMAGE}:1.1.0)"
            ),
        ),
        (
            Some(("1.0.0", Some(DIGEST))),
            None,
            format!(
                "Latest image tag for {IMAGE} resolved to 1.1.0 (previously {IMAGE}:1.0.0@{DIGEST})"
            ),
        ),
    ];
    for (before, digest, expected) in rows {
        let facts =
            facts(|_, object| object.status = before.map(|(tag, digest)| with_latest(tag, digest)));
        let outcome = Outcome::Elected {
            digest: digest.map(|text| text.parse::<Digest>().unwrap()),
            waits: None,
            again: None,
        };
        let (status, next) = after(&facts.object, &facts, &outcome);
        assert_eq!(
            lines(&status.conditions),
            [format!("Ready=True Succeeded: {expected}")]
        );
        assert_eq!((status.observed_generation, next), (Some(1), Next::Await));
        // The words stay while the previous reference is recorded, and so does the status.
        let mut object = (*facts.object).clone();
        object.status = Some(status.clone());
        assert_eq!(after(&object, &facts, &outcome).0, status, "{expected}");
    }
}

#[test]
fn failures_keep_what_was_elected() {
    let known = with_latest("1.0.0", None);
    let rows = [
        (
            spec(|spec| spec.policy = semver("3.x")),
            elected(),
            "Failure",
            Next::RETRY,
        ),
        (
            referred(Referred::Denied(Refusal::NotShared)),
            elected(),
            "AccessDenied",
            Next::RETRY,
        ),
        (
            referred(Referred::Denied(Refusal::NotForThisNamespace)),
            elected(),
            "AccessDenied",
            Next::retry_within(Duration::from_secs(30)),
        ),
        (missing(), elected(), "DependencyNotReady", Next::RETRY),
        (
            spec(|spec| spec.policy = semver("1.x.x.x")),
            elected(),
            "InvalidPolicy",
            Next::Await,
        ),
        (
            facts(|_, _| {}),
            Outcome::NoDigest {
                message: "failed fetching digest of x".into(),
                retry_after: None,
                is_wait: false,
            },
            "Failed",
            Next::RETRY,
        ),
        (
            facts(|_, _| {}),
            Outcome::NotStored {
                message: "x".into(),
            },
            "Failure",
            Next::RETRY,
        ),
    ];
    for (facts, outcome, reason, expected) in rows {
        let mut object = (*facts.object).clone();
        object.status = Some(known.clone());
        object
            .annotations_mut()
            .insert(names::RECONCILE_REQUESTED_AT.into(), "token m=+1".into());
        let (status, next) = after(&object, &facts, &outcome);
        assert_eq!(status.latest_ref, known.latest_ref);
        assert_eq!(status.observed_previous_ref, None);
        assert_eq!(
            status.last_handled_reconcile_at.as_deref(),
            Some("token m=+1")
        );
        let ready = status
            .conditions
            .iter()
            .find(|one| one.type_ == "Ready")
            .unwrap();
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str(), next),
            ("False", reason, expected)
        );
    }
}

#[test]
fn a_suspended_policy_handles_no_request() {
    let facts = facts(|_, object| {
        object.spec.suspend = true;
        object
            .annotations_mut()
            .insert(names::RECONCILE_REQUESTED_AT.into(), "token".into());
    });
    let (status, next) = after(&facts.object, &facts, &Outcome::Nothing);
    assert_eq!(
        (status.last_handled_reconcile_at, next),
        (None, Next::Await)
    );
}

#[test]
fn a_digest_that_is_always_wanted_is_looked_at_again() {
    let facts = spec(|spec| {
        spec.digest_reflection_policy = ReflectionPolicy::Always;
        spec.interval = Some(GoDuration::from_secs(60));
    });
    let (_, next) = after(&facts.object, &facts, &elected());
    assert_eq!(next, Next::After(Duration::from_mins(1)));
}
