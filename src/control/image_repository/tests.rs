//! Tables: facts → decision, and decision with outcome → status.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::act::{Outcome, Scanned};
use super::decide::{self, Decision, Plan};
use super::gather::{Facts, Stored};
use super::status;
use crate::api::condition::{Condition, reason};
use crate::api::image_repository::{Provider, ScanResult};
use crate::api::{GoDuration, ImageRepository, ImageRepositorySpec, ImageRepositoryStatus, names};
use crate::control::Settings;
use crate::control::queue::Next;
use crate::control::registry::Ways;
use crate::scan::Form;

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
            owner: "uid-1".into(),
        }),
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
        retry_after: None,
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
        ("nothing is due", scanned(), "keep 240s"),
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
            "keep 240s",
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
            "keep 240s",
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
                    .scan_time = Some(Time(ago(300)));
            }),
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
    assert_eq!(told(&decide::decide(&facts, &settings)), "keep 240s");
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
    assert!(plan.first, "nothing is stored for that image");
    assert!(!plan.drifted);
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
    assert_eq!(
        decide::without_effect(&object),
        ["spec.serviceAccountName", "spec.provider"]
    );
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

#[test]
fn a_good_scan_is_told_in_full() {
    let object = fresh();
    let image = IMAGE.parse().unwrap();
    let (status, next) = status::compute(
        &object,
        Some(&image),
        &Decision::Scan(plan(|_| {})),
        &scan_of("728958008"),
        now(),
    );
    assert_eq!(
        lines(&status.conditions),
        ["Ready=True Succeeded: successful scan: found 2 tags with checksum 728958008"]
    );
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.canonical_image_name.as_deref(), Some(IMAGE));
    assert_eq!(status.observed_exclusion_list, [r"^.*\.sig$"]);
    assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("earlier"));
    let last = status.last_scan_result.unwrap();
    assert_eq!(
        (last.tag_count, last.revision.as_str(), last.latest_tags),
        (2, "728958008", vec!["b".into(), "a".into()])
    );
    assert_eq!(next, Next::After(Duration::from_mins(5)));
}

#[test]
fn what_is_no_news_is_told_in_upstream_s_words() {
    let five = Next::After(Duration::from_mins(5));
    let keep = Decision::Keep {
        until: Duration::from_secs(200),
    };
    let failure = Outcome::Failed {
        message: "x".into(),
        retry_after: None,
    };
    let scan = || Decision::Scan(plan(|_| {}));
    let rows = [
        (
            scan(),
            scan_of(REVISION),
            five,
            Some("tags did not change, next scan in 5m0s"),
        ),
        (
            scan(),
            scan_of("1"),
            five,
            Some("successful scan, next scan in 5m0s"),
        ),
        (
            keep,
            Outcome::Nothing,
            Next::After(Duration::from_secs(200)),
            Some("no change in repository configuration since last scan, next scan in 3m20s"),
        ),
        (scan(), failure, Next::RETRY, None),
        (Decision::Rest, Outcome::Nothing, Next::Await, None),
    ];
    for (decision, outcome, next, expected) in rows {
        let told = status::in_short(&scanned().object, &decision, &outcome, next);
        assert_eq!(told.as_deref(), expected, "{decision:?}");
    }
}

#[test]
fn a_failed_scan_keeps_what_is_known_and_tries_again() {
    let mut object = (*scanned().object).clone();
    object.metadata.generation = Some(3);
    let failure = Outcome::Failed {
        message: "scan failed: x".into(),
        retry_after: Some(Duration::from_secs(7)),
    };
    let (status, next) = status::compute(
        &object,
        None,
        &Decision::Scan(plan(|_| {})),
        &failure,
        now(),
    );
    assert_eq!(
        lines(&status.conditions),
        [
            "Reconciling=True ProgressingWithRetry: scanning: first scan",
            "Ready=False ReadOperationFailed: scan failed: x"
        ]
    );
    assert_eq!(
        status.observed_generation,
        Some(2),
        "it moves with Ready=True and Stalled=True only"
    );
    assert_eq!(
        status.last_scan_result,
        object.status.as_ref().unwrap().last_scan_result
    );
    assert_eq!(status.canonical_image_name.as_deref(), Some(IMAGE));
    assert_eq!(
        next,
        Next::Retry {
            at_least: Duration::from_secs(7),
            at_most: Duration::MAX
        }
    );
}

#[test]
fn a_run_without_scan_changes_nothing_of_a_settled_status() {
    let mut object = (*scanned().object).clone();
    let keep = Decision::Keep {
        until: Duration::from_mins(4),
    };
    let image = IMAGE.parse().unwrap();
    let (settled, _) = status::compute(&object, Some(&image), &keep, &Outcome::Nothing, ago(60));
    object.status = Some(settled.clone());
    let (status, next) = status::compute(&object, Some(&image), &keep, &Outcome::Nothing, now());
    assert_eq!(status, settled);
    assert_eq!(next, Next::After(Duration::from_mins(4)));
}

#[test]
fn a_stalled_object_waits_for_its_spec() {
    let stall = Decision::Stall {
        reason: reason::IMAGE_URL_INVALID,
        message: "bad".into(),
    };
    let (status, next) = status::compute(&fresh(), None, &stall, &Outcome::Nothing, now());
    assert_eq!(
        lines(&status.conditions),
        [
            "Stalled=True ImageURLInvalid: bad",
            "Ready=False ImageURLInvalid: bad"
        ]
    );
    assert_eq!((status.observed_generation, next), (Some(1), Next::Await));
}

#[test]
fn an_object_that_is_born_suspended_gets_a_status() {
    let (status, next) = status::compute(&fresh(), None, &Decision::Rest, &Outcome::Nothing, now());
    assert_eq!(
        (status.observed_generation, status.conditions.len(), next),
        (Some(1), 0, Next::Await)
    );
    assert_eq!(
        status.last_handled_reconcile_at, None,
        "its request is handled when it goes on"
    );
}

#[test]
fn a_long_scan_says_unknown_only_where_ready_is_no_longer_true() {
    let mut object = (*scanned().object).clone();
    let keep = Decision::Keep {
        until: Duration::from_mins(4),
    };
    let image = IMAGE.parse().unwrap();
    object.status = Some(status::compute(&object, Some(&image), &keep, &Outcome::Nothing, now()).0);
    let drifted = plan(|plan| {
        plan.drifted = true;
        plan.doing = "scanning: no tags in database".into();
    });
    assert_eq!(
        lines(&status::in_progress(&object, &drifted, now()).conditions),
        [
            "Reconciling=True Progressing: scanning: no tags in database",
            "Ready=Unknown Progressing: scanning: no tags in database"
        ]
    );
    let first = status::in_progress(&fresh(), &plan(|_| {}), now());
    assert_eq!(
        lines(&first.conditions).last().unwrap(),
        "Ready=Unknown Progressing: scanning: first scan"
    );
}

#[test]
fn the_interval_counts_from_the_answer() {
    let shared = Outcome::Scanned(Scanned {
        revision: "1".into(),
        count: 0,
        latest: vec![],
        at: ago(4),
    });
    let (status, next) = status::compute(
        &fresh(),
        None,
        &Decision::Scan(plan(|_| {})),
        &shared,
        now(),
    );
    assert_eq!(next, Next::After(Duration::from_secs(296)));
    assert!(
        serde_json::to_value(&status).unwrap()["lastScanResult"]
            .get("latestTags")
            .is_none()
    );
}
