//! What a mirror waits for: Secrets, policies, other mirrors, and who wakes it.

use super::*;

#[tokio::test]
async fn secrets_that_are_amiss_are_told_by_their_field_and_waited_for() {
    let world = World::new();
    world.repository(
        "apps/app",
        json!({ "secretRef": { "name": "pull" } }),
        &["1.0.0"],
    );
    world.mirror("apps/m", json!({
        "sourceRef": { "name": "app" },
        "sourceSecretRef": { "name": "own" },
        "destinations": [
            { "name": "one", "registry": "mirror.test" },
            {
                "name": "two", "registry": "other.test",
                "secretRef": { "name": "push" }, "certSecretRef": { "name": "tls" }, "proxySecretRef": { "name": "proxy" },
            },
        ],
    }));
    let next = async |part: &str| {
        let trouble = world.trouble("apps/m").await;
        assert_eq!(
            (trouble.reason, trouble.cure),
            (reason::AUTHENTICATION_FAILED, Cure::Retry)
        );
        assert!(trouble.message.starts_with(part), "{trouble:?}");
    };
    let heard = |name: &str, version: u64| {
        let meta = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            uid: Some("u".into()),
            resource_version: Some(version.to_string()),
            ..Default::default()
        };
        let version = crate::cluster::secrets::Version::of(&meta);
        let heard = crate::cluster::secrets::Heard::Is(key(name), version);
        world.context.secrets.heard(heard)
    };
    let woken = [User::Mirror(key("apps/m"))];
    next("spec.destinations[1].secretRef: secrets \"push\" not found").await;
    assert_eq!(heard("apps/push", 7), woken, "it came");
    world.secret("apps/push", "Opaque", &[("token", HIDDEN)]);
    next("spec.destinations[1].secretRef: secret 'apps/push': the Secret is of type \"Opaque\"")
        .await;
    assert_eq!(heard("apps/push", 7), [], "it was read");
    let broken = format!("{{\"auths\": {{\"x\": {HIDDEN}");
    world.secret(
        "apps/push",
        "kubernetes.io/dockerconfigjson",
        &[(".dockerconfigjson", &broken)],
    );
    next("spec.destinations[1].secretRef: secret 'apps/push'").await;
    world.pull_secret("apps/push", "writer");
    next("spec.destinations[1].certSecretRef: secrets \"tls\" not found").await;
    world.secret("apps/tls", "Opaque", &[("ca.crt", HIDDEN)]);
    next("spec.destinations[1].certSecretRef: secret 'apps/tls': 'ca.crt' holds no PEM").await;
    let certificate = rcgen::CertificateParams::new(vec!["me".to_owned()]).unwrap();
    let certificate = certificate
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap();
    world.secret("apps/tls", "Opaque", &[("ca.crt", &certificate.pem())]);
    next("spec.destinations[1].proxySecretRef: secrets \"proxy\" not found").await;
    world.secret(
        "apps/proxy",
        "Opaque",
        &[("address", "http://proxy.test"), ("password", HIDDEN)],
    );
    next("spec.destinations[1].proxySecretRef: secret 'apps/proxy': it has 'password', but no 'username'").await;
    world.secret("apps/proxy", "Opaque", &[("address", "http://proxy.test")]);
    next("spec.sourceSecretRef: secrets \"own\" not found").await;
    world.pull_secret("apps/own", "own");
    let source = world.source("apps/m").await;
    assert!(source.to[1].access.proxy.is_some() && source.to[1].access.tls.is_some());
    // Rotated: its mirrors look again. The repository's own Secret is not used, and wakes none.
    for name in ["own", "push", "tls", "proxy"] {
        assert_eq!(heard(&format!("apps/{name}"), 9), woken, "{name}");
    }
    assert_eq!(heard("apps/pull", 9), []);
    world.mirror("apps/m", json!({ "sourceRef": { "name": "app" } }));
    let trouble = world.trouble("apps/m").await;
    assert!(
        trouble
            .message
            .starts_with("ImageRepository 'apps/app': spec.secretRef: secrets \"pull\""),
        "{trouble:?}"
    );
    assert_eq!(heard("apps/pull", 10), woken);
    assert_eq!(heard("apps/push", 10), [], "it is not used any more");
    let gone = Touched {
        key: key("apps/m"),
        before: Found::Absent,
        after: Found::Absent,
    };
    sources::noted(&world.context, &gone);
    assert_eq!(heard("apps/pull", 11), []);
}

#[tokio::test]
async fn policies_say_what_they_would_elect_of_the_sources() {
    let image = "registry.test/o/app";
    let tags_of = async |is_companion: bool| {
        let world = World::with(Settings {
            is_companion,
            ..Settings::default()
        });
        world.repository("apps/app", json!({}), &["1.0.0", "1.1.0", "2.0.0"]);
        world.repository("apps/else", json!({}), &["1.0.0"]);
        world.policy("apps/told", "apps/app", Some((image, "1.0.0")));
        world.candidate("apps/told", "apps/app", image, "2.0.0");
        world.policy("images/known", "apps/app", Some((image, "1.1.0")));
        world.policy(
            "apps/old",
            "apps/app",
            Some(("registry.test/o/before", "1.0.0")),
        );
        world.policy("apps/silent", "apps/app", None);
        world.policy(
            "apps/astray",
            "apps/else",
            Some(("registry.test/o/else", "1.0.0")),
        );
        let policies = json!([
            { "name": "told" }, { "name": "known", "namespace": "images" }, { "name": "old" },
            { "name": "silent" }, { "name": "astray" }, { "name": "missing" },
        ]);
        world.mirror(
            "apps/m",
            json!({
                "sourceRef": { "name": "app" }, "tags": { "imagePolicyRefs": policies },
            }),
        );
        let facts = world.gather("apps/m").await;
        let told = facts.troubles.iter().map(|trouble| trouble.message.clone());
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "spec.tags.imagePolicyRefs[4]: ImagePolicy 'apps/astray' elects from ImageRepository 'apps/else', \
                 which is no source of this mirror",
                "spec.tags.imagePolicyRefs[5]: ImagePolicy 'apps/missing' not found",
                "ImagePolicy 'apps/old' has elected no tag yet",
                "ImagePolicy 'apps/silent' has elected no tag yet",
            ]
        );
        assert_eq!(
            sources::mirrors_following(&world.context, &key("images/known")),
            [key("apps/m")]
        );
        tags(&facts.sources[0]).join(" ")
    };
    assert_eq!(tags_of(false).await, "2.0.0 1.1.0");
    assert_eq!(tags_of(true).await, "1.0.0 1.1.0");
}

#[tokio::test]
async fn one_destination_repository_has_one_source() {
    let world = World::new();
    let older = |name: &str, second: i64| {
        world.change(name, |object| {
            let time = Timestamp::from_second(second).unwrap();
            object.metadata.creation_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time));
        });
    };
    world.repository(
        "apps/a",
        json!({ "image": "registry.test/one/app" }),
        &["1.0.0"],
    );
    world.repository(
        "apps/b",
        json!({ "image": "registry.test/two/app" }),
        &["1.0.0"],
    );
    world.repository(
        "apps/c",
        json!({ "image": "Registry.test:443/two/app" }),
        &["1.0.0"],
    );
    for (name, second) in [("apps/b", 1), ("apps/c", 2), ("apps/a", 3)] {
        older(name, second);
    }
    let destinations = json!([
        { "name": "copy", "registry": "mirror.test", "repositoryTemplate": "{name}" },
    ]);
    world.mirror(
        "apps/m",
        json!({ "sourceRef": { "selector": {} }, "destinations": destinations }),
    );
    let facts = world.gather("apps/m").await;
    let found: Vec<_> = facts
        .sources
        .iter()
        .map(|it| it.repository.to_string())
        .collect();
    assert_eq!(
        found,
        ["apps/b", "apps/c"],
        "one image, under two spellings, is one source"
    );
    assert_eq!(facts.troubles.len(), 1);
    let trouble = &facts.troubles[0];
    assert_eq!(
        (trouble.reason, trouble.cure),
        (reason::DESTINATION_COLLISION, Cure::Change)
    );
    for part in ["'apps/a'", "'apps/b'", "mirror.test/app"] {
        assert!(trouble.message.contains(part), "{trouble:?}");
    }
    // Another mirror, of another namespace: the later one by its name, as neither has a date.
    world.repository("images/app", json!({}), &["1.0.0"]);
    world.mirror(
        "images/m",
        json!({ "sourceRef": { "name": "app" }, "destinations": destinations }),
    );
    let trouble = world.trouble("images/m").await;
    assert_eq!(
        (trouble.reason, trouble.cure),
        (reason::DESTINATION_COLLISION, Cure::Change)
    );
    assert!(trouble.message.contains("'apps/m'") && trouble.message.contains("mirror.test/app"));
    // It goes, and who gave way is told.
    world.mirrors.lock().remove(&key("apps/m"));
    world.context.mirrors.know(world.mirrors.lock().clone());
    let gone = Touched {
        key: key("apps/m"),
        before: Found::Absent,
        after: Found::Absent,
    };
    sources::noted(&world.context, &gone);
    assert!(matches!(
        gather(&world.context, &key("apps/m")).await,
        Gathered::Gone
    ));
    let woken = world.context.inbox.mirrors.take().await;
    assert_eq!(woken.into_iter().collect::<Vec<_>>(), [key("images/m")]);
    assert_eq!(
        world.source("images/m").await.to[0].repository.to_string(),
        "mirror.test/app"
    );
}

#[tokio::test]
async fn whoever_is_heard_of_wakes_its_mirrors() {
    use futures::FutureExt as _;

    let world = World::new();
    world.repository("apps/app", json!({}), &["1.0.0"]);
    let before = world.context.repositories.find(&key("apps/app"));
    let touch = |change: &dyn Fn(&mut ImageRepository)| {
        world.change("apps/app", change);
        let touched = Touched {
            key: key("apps/app"),
            before: before.clone(),
            after: world.context.repositories.find(&key("apps/app")),
        };
        sources::heard_repository(&world.context, &touched);
        world
            .context
            .inbox
            .repositories
            .take()
            .now_or_never()
            .is_some()
    };
    let labels = |object: &mut ImageRepository| {
        object.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    };
    assert!(!touch(&labels), "nobody copies from it");
    world.mirror("apps/m", json!({ "sourceRef": { "name": "app" } }));
    world.gather("apps/m").await;
    let before_it = before.clone().object().unwrap();
    let same = |object: &mut ImageRepository| *object = (*before_it).clone();
    assert!(!touch(&same), "nothing has changed");
    assert!(touch(&labels));
    assert!(touch(&|object| {
        same(object);
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.insert(names::MIRROR_ALLOW_FROM.to_owned(), "*".to_owned());
    }));
    assert!(touch(&|object| {
        same(object);
        object.metadata.generation = Some(2);
    }));
    assert!(!touch(&|object| {
        same(object);
        object.metadata.resource_version = Some("9".into());
    }));
}

#[tokio::test]
async fn what_is_not_there_yet_is_waited_for() {
    let world = World::new();
    world.mirror("apps/m", json!({ "sourceRef": { "name": "app" } }));
    let told = |trouble: Trouble, part: &str, cure: Cure| {
        assert_eq!(
            (trouble.reason, trouble.cure),
            (reason::DEPENDENCY_NOT_READY, cure)
        );
        assert!(trouble.message.contains(part), "{trouble:?}");
    };
    told(
        world.trouble("apps/m").await,
        "ImageRepository 'apps/app' not found",
        Cure::Retry,
    );
    world.repository("apps/app", json!({}), &[]);
    told(
        world.trouble("apps/m").await,
        "'apps/app' has not been scanned yet",
        Cure::Wait,
    );
    world.scan("apps/app", &["1.0.0"]);
    assert_eq!(tags(&world.source("apps/m").await), ["1.0.0"]);
    // The tags of another object of that name are none of this one's, nor are those of another image.
    world.change("apps/app", |object| {
        object.metadata.uid = Some("other".into());
    });
    told(
        world.trouble("apps/m").await,
        "has not been scanned yet",
        Cure::Wait,
    );
    world.change("apps/app", |object| {
        object.metadata.uid = Some("uid".into());
        object.spec.image = "registry.test/o/else".into();
    });
    told(
        world.trouble("apps/m").await,
        "has not been scanned yet",
        Cure::Wait,
    );
    world.change("apps/app", |object| object.spec.suspend = true);
    told(
        world.trouble("apps/m").await,
        "has no scanned tags, and is suspended",
        Cure::Retry,
    );
    world.change("apps/app", |object| {
        object.spec.image = "registry.test/o/app".into();
        object.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
        );
    });
    told(
        world.trouble("apps/m").await,
        "is being deleted",
        Cure::Retry,
    );
    world.mirror("apps/m", json!({ "sourceRef": { "selector": {} } }));
    told(
        world.trouble("apps/m").await,
        "selects no ImageRepository",
        Cure::Retry,
    );
}
