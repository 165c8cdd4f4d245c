//! A mirror's ledger in ConfigMaps of the fake API server: whole or not at all, nobody else's, and only over what was read.

use http::{Method, StatusCode};
use serde_json::json;
use tagscope::cluster::ledger::{self, Held, Owner, read, write};
use tagscope::object::Key;

use super::fake_kube::FakeKube;

const MAPS: &str = "configmaps";

fn owner(uid: &str) -> Owner {
    Owner {
        key: Key::new("apps", "mirror"),
        uid: uid.to_owned(),
    }
}

/// Bytes that do not get shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn names(kube: &FakeKube, owner: &Owner) -> Vec<u64> {
    let is_there = |part: &u64| kube.get(MAPS, "apps", &owner.name(*part).name).is_some();
    (0..40).filter(is_there).collect()
}

#[tokio::test]
async fn a_ledger_is_read_as_it_was_written_and_goes_with_its_mirror() {
    let namesake = owner("uid-b");
    let (kube, owner) = (FakeKube::new(), owner("uid-a"));
    let client = kube.client();
    let (held, nothing) = read(&client, &owner).await;
    assert_eq!(nothing.unwrap(), None);
    let held = write(&client, &owner, &held, b"first").await.unwrap();
    let (_, found) = read(&client, &owner).await;
    assert_eq!(found.unwrap().as_deref(), Some(&b"first"[..]));
    let map = kube.get(MAPS, "apps", &owner.name(0).name).unwrap();
    let reference = &map["metadata"]["ownerReferences"][0];
    assert_eq!(
        (
            &reference["kind"],
            &reference["uid"],
            &reference["apiVersion"]
        ),
        (
            &json!("ImageMirror"),
            &json!("uid-a"),
            &json!("mirror.tagscope.dev/v1alpha1")
        )
    );
    // Another writing, over the one that was written.
    write(&client, &owner, &held, b"second").await.unwrap();
    let (_, found) = read(&client, &owner).await;
    assert_eq!(found.unwrap().as_deref(), Some(&b"second"[..]));
    // A namesake that comes later owns nothing.
    let (_, found) = read(&client, &namesake).await;
    assert_eq!(found.unwrap(), None);
}

#[tokio::test]
async fn what_does_not_fit_into_one_is_in_several_and_the_old_ones_go() {
    let (kube, owner) = (FakeKube::new(), owner("uid-a"));
    let client = kube.client();
    let mut held = Held::default();
    for (length, expected) in [
        (2_500_000, &[0, 1, 2][..]),
        (2_000_000, &[0, 3, 4]),
        (1_000, &[0]),
        (1_000_000, &[0, 1]),
    ] {
        let bytes = noise(length);
        write(&client, &owner, &held, &bytes).await.unwrap();
        assert_eq!(names(&kube, &owner), expected, "{length}");
        let (read_again, found) = read(&client, &owner).await;
        assert!(found.unwrap() == Some(bytes), "{length}");
        held = read_again;
    }
    for part in names(&kube, &owner) {
        let map = kube.get(MAPS, "apps", &owner.name(part).name).unwrap();
        let content = map["binaryData"]["ledger.gz"].as_str().unwrap();
        assert!(content.len() / 4 * 3 <= 900 << 10, "{part}");
    }
    // The numbers of a writing that was broken off are left alone.
    let left = owner.name(2).name;
    kube.create(MAPS, "apps", json!({"metadata": {"name": &*left}}));
    let bytes = noise(1_500_000);
    write(&client, &owner, &held, &bytes).await.unwrap();
    assert_eq!(names(&kube, &owner), [0, 2, 3]);
    let (_, found) = read(&client, &owner).await;
    assert!(found.unwrap() == Some(bytes));
}

#[tokio::test]
async fn what_somebody_else_wrote_in_between_is_not_written_over() {
    let (kube, owner) = (FakeKube::new(), owner("uid-a"));
    let client = kube.client();
    let before = write(&client, &owner, &Held::default(), b"first")
        .await
        .unwrap();
    // Nothing was there when it was read.
    let late = write(&client, &owner, &Held::default(), b"late").await;
    assert!(late.is_err());
    write(&client, &owner, &before, b"second").await.unwrap();
    let large = noise(2_000_000);
    let late = write(&client, &owner, &before, &large).await;
    assert!(matches!(
        late,
        Err(ledger::Error::Cluster {
            source: tagscope::cluster::Error::Conflict { .. },
            ..
        })
    ));
    let (_, found) = read(&client, &owner).await;
    assert_eq!(found.unwrap().as_deref(), Some(&b"second"[..]));
    assert_eq!(names(&kube, &owner), [0], "its parts are gone");
}

#[tokio::test]
async fn fault_31_a_ledger_that_is_damaged_or_not_there_is_none() {
    let (kube, owner) = (FakeKube::new(), owner("uid-a"));
    let client = kube.client();
    let held = write(&client, &owner, &Held::default(), &noise(2_000_000))
        .await
        .unwrap();
    let head = owner.name(0).name;
    let damages = [
        (json!({"data": {"sha256": "0"}}), "its checksum is wrong"),
        (json!({"data": {"parts": "1 x"}}), "a part has no number"),
        (json!({"data": {"parts": "1 2 9"}}), "it is not there"),
        (
            json!({"binaryData": {"ledger.gz": null}}),
            "it has no content",
        ),
        (
            json!({"metadata": {"ownerReferences": null}}),
            "the mirror does not own it",
        ),
    ];
    for (damage, why) in damages {
        kube.edit(MAPS, "apps", &head, damage);
        let (_, found) = read(&client, &owner).await;
        let error = found.unwrap_err();
        assert!(
            error.is_damage() && error.to_string().ends_with(why),
            "{error}"
        );
    }
    // It is made anew over what is there.
    let (held_now, _) = read(&client, &owner).await;
    assert!(write(&client, &owner, &held, b"late").await.is_err());
    write(&client, &owner, &held_now, b"anew").await.unwrap();
    let (_, found) = read(&client, &owner).await;
    assert_eq!(found.unwrap().as_deref(), Some(&b"anew"[..]));
    // Without the right to read it, nobody knows.
    kube.refuse(Method::GET, &head, StatusCode::FORBIDDEN);
    let (_, found) = read(&client, &owner).await;
    let error = found.unwrap_err();
    assert!(!error.is_damage());
    assert_eq!(
        tagscope::cluster::with_causes(&error),
        format!("failed to read the ConfigMap apps/{head}: refused by the test")
    );
}
