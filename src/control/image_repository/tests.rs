//! Tables: facts → decision. `statuses` has what follows from it.

mod memories;
mod statuses;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::act::Outcome;
use super::decide::{self, Decision, Plan};
use super::gather::{Facts, Stored};
use super::memory::Remembered;
use super::status;
use crate::api::condition::{Condition, reason};
use crate::api::image_repository::{Provider, ScanResult};
use crate::api::reference::LocalObjectReference;
use crate::api::{GoDuration, ImageRepository, ImageRepositorySpec, ImageRepositoryStatus, names};
use crate::control::Settings;
use crate::control::intake::Scanned;
use crate::control::queue::Next;
use crate::control::registry::Ways;
use crate::scan::Form;
use crate::store::ResourceVersion;

const IMAGE: &str = "registry.test/o/app";
const REVISION: &str = "1943865137";

fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// An object that was scanned a minute ago, every five minutes, and the store that holds the result.
fn scanned() -> Facts {
    let spec = ImageRepositorySpec {
        image: IMAGE.to_owned(),
        interval: GoDuration::from_secs(300),
        ..ImageRepositorySpec::default()
    };
    let mut object = ImageRepository::new("app", spec);
    object.metadata.namespace = Some("apps".into());
    object.metadata.uid = Some("uid-1".into());
    object.metadata.generation = Some(2);
    object.status = Some(ImageRepositoryStatus {
        observed_generation: Some(2),
        canonical_image_name: Some(IMAGE.into()),
        observed_exclusion_list: vec![r"^.*\.sig$".into()],
        last_handled_reconcile_at: Some("earlier".into()),
        last_scan_result: Some(ScanResult {
            revision: REVISION.into(),
            tag_count: 3,
            scan_time: Some(Time(ago(60))),
            latest_tags: vec!["v0.0.2".into()],
        }),
        ..ImageRepositoryStatus::default()
    });
    object
        .annotations_mut()
        .insert(names::RECONCILE_REQUESTED_AT.into(), "earlier".into());
    Facts {
        image: object.spec.image.parse(),
        object: Arc::new(object),
        ways: Ok(Ways::default()),
        stored: Some(Stored {
            image: IMAGE.parse().unwrap(),
            revision: REVISION.into(),
            version: ResourceVersion(7),
            is_complete: true,
            owner: "uid-1".into(),
        }),
        remembered: Remembered::default(),
        requested_at: Some("earlier".into()),
        now: now(),
    }
}

fn with(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = scanned();
    change(&mut facts);
    facts
}

fn spec(change: impl FnOnce(&mut ImageRepositorySpec)) -> Facts {
    with(|facts| {
        change(&mut Arc::make_mut(&mut facts.object).spec);
        facts.image = facts.object.spec.image.parse();
    })
}

fn status_of(facts: &mut Facts) -> &mut ImageRepositoryStatus {
    Arc::make_mut(&mut facts.object).status.as_mut().unwrap()
}

/// A status as a failed scan leaves it.
fn failed(facts: &mut Facts) {
    let failure = Outcome::Failed {
        message: "scan failed: x".into(),
        next: Next::RETRY,
    };
    let (after, _) = status::compute(
        &facts.object,
        None,
        &Decision::Scan(plan(|_| {})),
        &failure,
        now(),
    );
    Arc::make_mut(&mut facts.object).status = Some(after);
}

/// A status as the last of equal refusals leaves it.
fn refused(facts: &mut Facts) {
    let refusal = Outcome::Refused {
        message: "scan failed: denied".into(),
        next: Next::RETRY,
    };
    let (after, _) = status::compute(
        &facts.object,
        None,
        &Decision::Scan(plan(|_| {})),
        &refusal,
        now(),
    );
    Arc::make_mut(&mut facts.object).status = Some(after);
}

/// One line per decision, with what matters of it.
fn told(decision: &Decision) -> String {
    match decision {
        Decision::Release => "release".into(),
        Decision::Rest => "rest".into(),
        Decision::Stall { reason, message } => format!("stall {reason}: {message}"),
        Decision::Fail {
            reason,
            message,
            doing,
        } => format!("fail {reason}: {message} ({doing})"),
        Decision::Keep { until } => format!("keep {}s", until.as_secs()),
        Decision::Scan(plan) => format!("scan: {}", plan.doing),
    }
}

#[test]
fn every_state_leads_to_its_decision() {
    let rows: Vec<(&str, Facts, &str)> = vec![
        ("nothing is due", scanned(), "keep 241s"),
        (
            "it is being deleted",
            with(|facts| {
                Arc::make_mut(&mut facts.object).metadata.deletion_timestamp = Some(Time(now()));
            }),
            "release",
        ),
        ("it is suspended", spec(|spec| spec.suspend = true), "rest"),
        (
            "it is suspended, and wrong",
            spec(|spec| {
                spec.suspend = true;
                spec.image = "https://registry.test/app".into();
            }),
            "rest",
        ),
        (
            "its image has a scheme",
            spec(|spec| spec.image = "https://registry.test/app".into()),
            "stall ImageURLInvalid: image 'https://registry.test/app' should not include URL scheme; remove 'https://'",
        ),
        (
            "its image has a tag",
            spec(|spec| spec.image = "registry.test/o/app:1.0".into()),
            "stall ImageURLInvalid: image 'registry.test/o/app:1.0' should not include a tag; remove ':1.0'",
        ),
        (
            "an account with a cloud provider is behind a gate",
            spec(|spec| {
                spec.provider = Provider::Aws;
                spec.service_account_name = Some("puller".into());
            }),
            "stall FeatureGateDisabled: to use spec.serviceAccountName for provider authentication please enable the \
             ObjectLevelWorkloadIdentity feature gate in the controller",
        ),
        (
            "its provider is not supported, and no Secret stands in",
            spec(|spec| spec.provider = Provider::Azure),
            "stall AuthenticationFailed: provider 'azure' is not supported yet: name a pull secret for the registry in \
             spec.secretRef, or set spec.provider to 'generic'",
        ),
        (
            "its provider is not supported, and a Secret stands in",
            spec(|spec| {
                spec.provider = Provider::Azure;
                spec.secret_ref = Some(LocalObjectReference {
                    name: "regcred".into(),
                });
            }),
            "keep 241s",
        ),
        (
            "its Secret is missing",
            with(|facts| facts.ways = Err(r#"secrets "regcred" not found"#.into())),
            "fail AuthenticationFailed: failed to configure authentication options: secrets \"regcred\" not found \
             (reconciliation in progress)",
        ),
        (
            "its Secret is missing, and its spec is new",
            with(|facts| {
                facts.ways = Err("x".into());
                Arc::make_mut(&mut facts.object).metadata.generation = Some(3);
            }),
            "fail AuthenticationFailed: failed to configure authentication options: x \
             (processing object: new generation 2 -> 3)",
        ),
        (
            "it was never scanned",
            with(|facts| status_of(facts).last_scan_result = None),
            "scan: scanning: first scan",
        ),
        (
            "it was asked for",
            with(|facts| facts.requested_at = Some("now".into())),
            "scan: scanning: reconcile requested",
        ),
        (
            "the request was taken back",
            with(|facts| facts.requested_at = None),
            "keep 241s",
        ),
        (
            "it names another image",
            spec(|spec| spec.image = "registry.test/o/other".into()),
            "scan: scanning: new image name",
        ),
        (
            "it spells its image in another way",
            with(|facts| {
                Arc::make_mut(&mut facts.object).spec.image = "docker.io/alpine".into();
                facts.image = "docker.io/alpine".parse();
                status_of(facts).canonical_image_name =
                    Some("index.docker.io/library/alpine".into());
                facts.stored.as_mut().unwrap().image = "alpine".parse().unwrap();
            }),
            "keep 241s",
        ),
        (
            "it excludes something else",
            spec(|spec| spec.exclusion_list = vec!["^dev-".into()]),
            "scan: scanning: updated exclusion list",
        ),
        (
            "the store lost its tags",
            with(|facts| facts.stored = None),
            "scan: scanning: no tags in database",
        ),
        (
            "the store holds other tags than the status says",
            with(|facts| facts.stored.as_mut().unwrap().revision = "1".into()),
            "scan: scanning: no tags in database",
        ),
        (
            "its time has come",
            with(|facts| {
                status_of(facts)
                    .last_scan_result
                    .as_mut()
                    .unwrap()
                    .scan_time = Some(Time(ago(302)));
            }),
            "scan: scanning: triggered by interval",
        ),
        (
            "a refusal ended the wait",
            with(refused),
            "scan: scanning: triggered by interval",
        ),
        (
            "a refusal ended the wait, and its spec is new",
            with(|facts| {
                refused(facts);
                Arc::make_mut(&mut facts.object).metadata.generation = Some(3);
            }),
            "scan: scanning: triggered by interval",
        ),
        (
            "its image was wrong, and is the scanned one again",
            with(|facts| {
                let wrong = Decision::Stall {
                    reason: reason::IMAGE_URL_INVALID,
                    message: "bad".into(),
                };
                let (after, _) =
                    status::compute(&facts.object, None, &wrong, &Outcome::Nothing, now());
                Arc::make_mut(&mut facts.object).status = Some(after);
            }),
            "keep 241s",
        ),
        (
            "the clock was set back an hour",
            with(|facts| facts.now = ago(3600)),
            "scan: scanning: triggered by interval",
        ),
        (
            "the last try, asked for, failed",
            with(|facts| {
                failed(facts);
                let conditions = &mut status_of(facts).conditions;
                for one in conditions.iter_mut() {
                    if one.type_ == "Reconciling" {
                        one.message = "scanning: reconcile requested".into();
                    }
                }
            }),
            "scan: scanning: reconcile requested",
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
fn a_gate_that_is_open_lets_the_account_pass() {
    let facts = spec(|spec| {
        spec.provider = Provider::Aws;
        spec.service_account_name = Some("puller".into());
    });
    let settings = Settings {
        object_level_workload_identity: true,
        ..Settings::default()
    };
    assert_eq!(
        told(&decide::decide(&facts, &settings)),
        "stall AuthenticationFailed: provider 'aws' is not supported yet: name a pull secret for the registry in \
         spec.secretRef, or set spec.provider to 'generic'"
    );
}

fn planned(facts: &Facts, settings: &Settings) -> Plan {
    match decide::decide(facts, settings) {
        Decision::Scan(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_holds_what_the_spec_says() {
    let facts = spec(|spec| {
        spec.image = "registry.test/o/other".into();
        spec.timeout = Some(GoDuration::from_secs(20));
        spec.exclusion_list = vec!["^dev-".into()];
    });
    let plan = planned(&facts, &Settings::default());
    assert_eq!(plan.question.image.to_string(), "registry.test/o/other");
    assert_eq!(plan.exclusion.len(), 1);
    assert_eq!(
        (plan.timeout, plan.interval),
        (Duration::from_secs(20), Duration::from_mins(5))
    );
    assert_eq!(plan.exclusion, ["^dev-"]);
}

#[test]
fn only_those_who_do_not_ask_for_news_take_an_older_answer() {
    let asked = planned(
        &with(|facts| facts.requested_at = Some("now".into())),
        &Settings::default(),
    );
    assert_eq!(asked.slack, Duration::ZERO);
    let first = planned(
        &with(|facts| status_of(facts).last_scan_result = None),
        &Settings::default(),
    );
    assert_eq!(first.slack, Duration::from_secs(5));
    let due = |interval: u32, change: fn(&mut Facts)| {
        let facts = with(|facts| {
            Arc::make_mut(&mut facts.object).spec.interval = GoDuration::from_secs(interval);
            change(facts);
        });
        planned(&facts, &Settings::default()).slack
    };
    assert_eq!(due(30, |_| {}), Duration::from_secs(15), "half an interval");
    assert_eq!(due(30, failed), Duration::from_secs(3), "a retry");
    let failed_request = |facts: &mut Facts| {
        failed(facts);
        for one in &mut status_of(facts).conditions {
            if one.type_ == "Reconciling" {
                one.message = "scanning: reconcile requested".into();
            }
        }
    };
    assert_eq!(due(300, failed_request), Duration::ZERO);
}

#[test]
fn a_status_keeps_the_form_of_its_revision() {
    let sha = Settings {
        flux_storage: true,
        ..Settings::default()
    };
    let asked = |revision: Option<&str>| {
        with(|facts| {
            facts.requested_at = Some("now".into());
            match revision {
                Some(revision) => {
                    status_of(facts).last_scan_result.as_mut().unwrap().revision = revision.into();
                }
                None => status_of(facts).last_scan_result = None,
            }
        })
    };
    let rows = [
        (asked(Some(REVISION)), &sha, Form::Adler32),
        (
            asked(Some("sha256:e3b0")),
            &Settings::default(),
            Form::Sha256,
        ),
        (asked(None), &sha, Form::Sha256),
        (asked(None), &Settings::default(), Form::Adler32),
    ];
    for (facts, settings, expected) in rows {
        assert_eq!(planned(&facts, settings).form, expected);
    }
}

#[test]
fn fields_that_do_nothing_yet_are_named() {
    let mut object = (*scanned().object).clone();
    assert!(decide::without_effect(&object).is_empty());
    object.spec.service_account_name = Some("puller".into());
    object.spec.provider = Provider::Gcp;
    assert_eq!(decide::without_effect(&object), ["spec.provider"]);
}

fn plan(change: impl FnOnce(&mut Plan)) -> Box<Plan> {
    let facts = with(|facts| status_of(facts).last_scan_result = None);
    let mut plan = planned(&facts, &Settings::default());
    change(&mut plan);
    Box::new(plan)
}

fn scan_of(revision: &str) -> Outcome {
    Outcome::Scanned(Scanned {
        revision: revision.into(),
        count: 2,
        latest: vec!["b".into(), "a".into()],
        at: now(),
    })
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

fn fresh() -> ImageRepository {
    let mut object = (*scanned().object).clone();
    object.metadata.generation = Some(1);
    object.status = Some(ImageRepositoryStatus {
        observed_generation: Some(-1),
        ..ImageRepositoryStatus::default()
    });
    object
}
