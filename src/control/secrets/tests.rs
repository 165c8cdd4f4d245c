//! Stories of references, reads and events: who is woken.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;
use crate::api::ImageRepositorySpec;
use crate::api::reference::LocalObjectReference;

fn key(name: &str) -> Key {
    Key::new("apps", name)
}

fn user(name: &str) -> User {
    User::Repository(key(name))
}

fn version(number: u64) -> Version {
    Version::of(&ObjectMeta {
        uid: Some("uid".into()),
        resource_version: Some(number.to_string()),
        ..ObjectMeta::default()
    })
}

fn note(secrets: &Secrets, name: &str, change: impl FnOnce(&mut ImageRepositorySpec)) {
    let mut spec = ImageRepositorySpec::default();
    change(&mut spec);
    secrets.noted(&Touched {
        key: key(name),
        before: Found::Absent,
        after: Found::Object(Arc::new(ImageRepository::new(name, spec))),
    });
}

fn pulls_with(name: &str) -> impl FnOnce(&mut ImageRepositorySpec) {
    let reference = Some(LocalObjectReference { name: name.into() });
    move |spec| spec.secret_ref = reference
}

fn forget(secrets: &Secrets, name: &str) {
    secrets.noted(&Touched {
        key: key(name),
        before: Found::Absent,
        after: Found::Absent,
    });
}

fn hears(secrets: &Secrets, secret: &str, number: u64) -> Vec<String> {
    let mut woken: Vec<String> = secrets
        .heard(Heard::Is(key(secret), version(number)))
        .into_iter()
        .map(|user| match user {
            User::Repository(key) => key.name.to_string(),
            User::Mirror(key) => format!("mirror {}", key.name),
        })
        .collect();
    woken.sort();
    woken
}

fn is_empty(secrets: &Secrets) -> bool {
    let state = secrets.state.lock();
    state.objects.is_empty() && state.users.is_empty() && state.heard.is_empty()
}

#[test]
fn a_secret_that_appears_wakes_those_who_missed_it() {
    let secrets = Secrets::default();
    note(&secrets, "a", pulls_with("pull"));
    note(&secrets, "b", pulls_with("pull"));
    note(&secrets, "c", pulls_with("other"));
    for object in ["a", "b"] {
        assert!(secrets.was_read(&user(object), &key("pull"), None));
    }
    secrets.was_read(&user("c"), &key("other"), None);
    assert_eq!(hears(&secrets, "unknown", 1), [""; 0]);
    assert_eq!(hears(&secrets, "pull", 2), ["a", "b"]);
}

#[test]
fn only_what_is_newer_than_what_was_read_wakes() {
    let secrets = Secrets::default();
    note(&secrets, "a", pulls_with("pull"));
    // Nobody has read it yet: whoever will, reads at least this.
    assert_eq!(hears(&secrets, "pull", 3), [""; 0]);
    assert!(secrets.was_read(&user("a"), &key("pull"), Some(version(3))));
    assert_eq!(hears(&secrets, "pull", 3), [""; 0], "told anew");
    assert_eq!(hears(&secrets, "pull", 2), [""; 0], "a watch that lags");
    assert_eq!(hears(&secrets, "pull", 4), ["a"]);
    assert!(secrets.was_read(&user("a"), &key("pull"), Some(version(5))));
    assert_eq!(hears(&secrets, "pull", 5), [""; 0]);
}

#[test]
fn what_changed_while_it_was_read_is_read_again() {
    let secrets = Secrets::default();
    note(&secrets, "a", pulls_with("pull"));
    hears(&secrets, "pull", 4);
    assert!(!secrets.was_read(&user("a"), &key("pull"), Some(version(3))));
    assert!(!secrets.was_read(&user("a"), &key("pull"), None));
    assert!(secrets.was_read(&user("a"), &key("pull"), Some(version(4))));
    // Gone, or a list without it: then nothing newer is known.
    secrets.heard(Heard::Gone(key("pull")));
    assert!(secrets.was_read(&user("a"), &key("pull"), None));
    hears(&secrets, "pull", 5);
    secrets.heard(Heard::Anew);
    assert!(secrets.was_read(&user("a"), &key("pull"), None));
}

#[test]
fn a_secret_put_in_its_place_anew_wakes() {
    let secrets = Secrets::default();
    note(&secrets, "a", pulls_with("pull"));
    secrets.was_read(&user("a"), &key("pull"), Some(version(3)));
    assert!(secrets.heard(Heard::Gone(key("pull"))).is_empty());
    assert_eq!(hears(&secrets, "pull", 7), ["a"]);
}

#[test]
fn every_kind_of_reference_counts() {
    let reference = |name: &str| Some(LocalObjectReference { name: name.into() });
    let secrets = Secrets::default();
    note(&secrets, "a", |spec| {
        spec.secret_ref = reference("pull");
        spec.cert_secret_ref = reference("ca");
        spec.proxy_secret_ref = reference("proxy");
        spec.service_account_name = Some("puller".into());
    });
    secrets.pulls(
        &user("a"),
        &"apps".into(),
        &["first".into(), "second".into()],
    );
    for (number, secret) in (10..).zip(["pull", "ca", "proxy", "first", "second"]) {
        secrets.was_read(&user("a"), &key(secret), None);
        assert_eq!(hears(&secrets, secret, number), ["a"], "{secret}");
    }
    secrets.pulls(&user("a"), &"apps".into(), &["second".into()]);
    secrets.was_read(&user("a"), &key("first"), None);
    assert_eq!(hears(&secrets, "first", 20), [""; 0]);
    assert_eq!(hears(&secrets, "second", 21), ["a"]);
    // Another account has other secrets.
    note(&secrets, "a", |spec| {
        spec.service_account_name = Some("other".into());
    });
    assert_eq!(hears(&secrets, "second", 22), [""; 0]);
}

#[test]
fn only_what_is_referenced_is_kept() {
    let secrets = Secrets::default();
    note(&secrets, "none", |_| {});
    for number in 0..1000 {
        hears(&secrets, &format!("secret-{number}"), number);
    }
    assert!(is_empty(&secrets));
    note(&secrets, "a", pulls_with("pull"));
    secrets.was_read(&user("a"), &key("pull"), None);
    secrets.was_read(&user("a"), &key("never-named"), None);
    hears(&secrets, "pull", 1);
    note(&secrets, "a", |_| {});
    assert!(is_empty(&secrets), "{secrets:?}");
    note(&secrets, "a", pulls_with("pull"));
    hears(&secrets, "pull", 1);
    forget(&secrets, "a");
    secrets.pulls(&user("a"), &"apps".into(), &["late".into()]);
    secrets.was_read(&user("a"), &key("pull"), None);
    assert!(is_empty(&secrets), "{secrets:?}");
}
