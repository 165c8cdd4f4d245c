//! Tables: what Flux's status says → what is done.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::image_policy::{self, Elected};
use super::image_repository::{self, Decision, Facts, Stored, decide};
use super::is_governed;
use crate::api::image_repository::ScanResult;
use crate::api::reference::ImageRef;
use crate::api::{
    ImagePolicy, ImagePolicySpec, ImagePolicyStatus, ImageRepository, ImageRepositorySpec,
    ImageRepositoryStatus, names,
};
use crate::cluster::index::{Found, Touched};
use crate::object::Key;

const IMAGE: &str = "registry.test/o/app";

fn repository(
    revision: Option<&str>,
    change: impl FnOnce(&mut ImageRepository),
) -> ImageRepository {
    let spec = ImageRepositorySpec {
        image: IMAGE.into(),
        ..ImageRepositorySpec::default()
    };
    let mut object = ImageRepository::new("app", spec);
    object.metadata.generation = Some(1);
    object.status = Some(ImageRepositoryStatus {
        last_scan_result: revision.map(|revision| ScanResult {
            revision: revision.into(),
            ..ScanResult::default()
        }),
        ..ImageRepositoryStatus::default()
    });
    change(&mut object);
    object
}

fn facts(object: ImageRepository, stored: Option<&str>) -> Facts {
    Facts {
        image: object.spec.image.parse().ok(),
        stored: stored.map(|revision| Stored {
            image: IMAGE.parse().unwrap(),
            revision: revision.into(),
            owner: "uid".into(),
        }),
        followed: None,
        is_doubted: false,
        object: Arc::new(object),
    }
}

#[test]
fn flux_says_when_to_scan() {
    let scan = || Decision::Scan(IMAGE.parse().unwrap());
    let told = |revision| repository(revision, |_| {});
    let suspended = |revision| repository(revision, |object| object.spec.suspend = true);
    let deleted = repository(Some("1"), |object| {
        object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    });
    let of = |image: &str| repository(Some("1"), |object| object.spec.image = image.into());
    let rows = [
        ("first sight", facts(told(None), None), scan()),
        (
            "first sight, Flux was there before",
            facts(told(Some("1")), None),
            scan(),
        ),
        (
            "nothing told yet",
            facts(told(None), Some("1")),
            Decision::Follow,
        ),
        (
            "the same",
            facts(told(Some("1")), Some("1")),
            Decision::Follow,
        ),
        ("another one", facts(told(Some("2")), Some("1")), scan()),
        (
            "another one, scanned after it already",
            Facts {
                followed: Some("2".into()),
                ..facts(told(Some("2")), Some("1"))
            },
            Decision::Follow,
        ),
        (
            "and now yet another",
            Facts {
                followed: Some("2".into()),
                ..facts(told(Some("3")), Some("1"))
            },
            scan(),
        ),
        (
            "a list that is not believed yet",
            Facts {
                is_doubted: true,
                ..facts(told(Some("1")), Some("1"))
            },
            scan(),
        ),
        (
            "suspended",
            facts(suspended(Some("2")), Some("1")),
            Decision::Follow,
        ),
        (
            "suspended at first sight",
            facts(suspended(None), None),
            Decision::Follow,
        ),
        ("deleted", facts(deleted, Some("1")), Decision::Release),
        (
            "another image",
            facts(of("registry.test/o/other"), Some("1")),
            Decision::Scan("registry.test/o/other".parse().unwrap()),
        ),
        (
            "no image at all",
            facts(of("https://x"), Some("1")),
            Decision::Follow,
        ),
    ];
    for (name, facts, expected) in rows {
        assert_eq!(decide(&facts), expected, "{name}");
    }
}

fn touched<K>(before: Option<K>, after: Option<K>) -> Touched<K> {
    let found =
        |object: Option<K>| object.map_or(Found::Absent, |one| Found::Object(Arc::new(one)));
    Touched {
        key: Key::new("apps", "app"),
        before: found(before),
        after: found(after),
    }
}

#[test]
fn only_what_flux_found_wakes_a_scan() {
    let told = |revision| Some(repository(revision, |_| {}));
    let later = repository(Some("1"), |object| {
        let last = object
            .status
            .as_mut()
            .unwrap()
            .last_scan_result
            .as_mut()
            .unwrap();
        last.scan_time = Some(Time(Timestamp::UNIX_EPOCH));
        last.tag_count = 3;
        object.metadata.resource_version = Some("2".into());
    });
    let edited = repository(Some("1"), |object| object.metadata.generation = Some(2));
    let labelled = repository(Some("1"), |object| {
        object.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    });
    let rows = [
        ("it came", None, told(None), true),
        ("it went", told(None), None, true),
        (
            "a scan that found the same",
            told(Some("1")),
            Some(later),
            false,
        ),
        (
            "a scan that found something else",
            told(Some("1")),
            told(Some("2")),
            true,
        ),
        ("its first scan", told(None), told(Some("1")), true),
        ("its spec", told(Some("1")), Some(edited), true),
        ("its labels", told(Some("1")), Some(labelled), true),
    ];
    for (name, before, after, expected) in rows {
        let touched = touched(before, after);
        assert_eq!(image_repository::asks(&touched), expected, "{name}");
    }
}

fn policy(latest: Option<(&str, &str, Option<&str>)>) -> ImagePolicy {
    let mut object = ImagePolicy::new("app", ImagePolicySpec::default());
    object.status = Some(ImagePolicyStatus {
        latest_ref: latest.map(|(name, tag, digest)| ImageRef {
            name: name.into(),
            tag: tag.into(),
            digest: digest.map(Into::into),
        }),
        ..ImagePolicyStatus::default()
    });
    object
}

#[test]
fn an_election_is_what_the_status_says() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let is = |tag: &str, digest: Option<&str>| Elected {
        image: IMAGE.parse().unwrap(),
        tag: tag.parse().unwrap(),
        digest: digest.map(|digest| digest.parse().unwrap()),
    };
    for (latest, expected) in [
        (None, None),
        (Some((IMAGE, "1.0.0", None)), Some(is("1.0.0", None))),
        (Some((IMAGE, "1.0.0", Some(""))), Some(is("1.0.0", None))),
        (
            Some((IMAGE, "1.0.0", Some(digest.as_str()))),
            Some(is("1.0.0", Some(&digest))),
        ),
        (Some((IMAGE, "no tag", None)), None),
        (Some(("", "1.0.0", None)), None),
    ] {
        assert_eq!(
            image_policy::elected(&policy(latest)),
            expected,
            "{latest:?}"
        );
    }
}

#[test]
fn only_what_flux_elected_wakes_a_mark() {
    let one = || Some(policy(Some((IMAGE, "1.0.0", None))));
    let mut other_status = policy(Some((IMAGE, "1.0.0", None)));
    other_status
        .status
        .as_mut()
        .unwrap()
        .last_handled_reconcile_at = Some("x".into());
    let rows = [
        ("it came", None, one(), true),
        ("it went", one(), None, true),
        ("the rest of its status", one(), Some(other_status), false),
        (
            "another tag",
            one(),
            Some(policy(Some((IMAGE, "1.1.0", None)))),
            true,
        ),
        ("none any more", one(), Some(policy(None)), true),
    ];
    for (name, before, after, expected) in rows {
        let touched = touched(before, after);
        assert_eq!(image_policy::asks(&touched), expected, "{name}");
    }
}

#[test]
fn governing_annotations_are_counted() {
    for name in [
        names::HOLD,
        names::MINIMUM_AGE,
        names::DOWNGRADE,
        names::PLATFORMS,
    ] {
        let mut object = policy(None);
        assert!(!is_governed(&object));
        object.metadata.annotations = Some([(name.to_owned(), "x".to_owned())].into());
        assert!(is_governed(&object), "{name}");
    }
}
