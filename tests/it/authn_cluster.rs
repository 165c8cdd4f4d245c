//! What is asked of kube-apiserver: the authentication ConfigMap, reviews, the authority's Secret, the APIService.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tagscope::clock::{Clock as _, HandClock};
use tagscope::cluster::delegated::{
    self, AllowedNames, Follower, Gauges, Pinned, Reviews, Right, missing_rights,
};
use tagscope::cluster::serving_cert::{self, Keeper, Settings, ensure_authority};
use tagscope::secret::SecretString;
use tagscope::task;
use tokio_util::sync::CancellationToken;

use crate::authn_fake_cluster::Cluster;
use crate::serve_kit::{Ca, SOON, eventually};

const CONFIG: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const SECRET: &str = "/api/v1/namespaces/ns/secrets/tagscope-ca";
const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.tags.tagscope.dev";
const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

fn config_map(ca: &Ca, names: &str) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "requestheader-client-ca-file": ca.pem(),
            "requestheader-allowed-names": names,
            "requestheader-username-headers": "[\"X-Remote-User\"]",
        },
    })
}

async fn follower(client: kube::Client) -> Result<Follower, delegated::Error> {
    Follower::start(client, Pinned::default(), Gauges::default()).await
}

#[tokio::test]
async fn the_config_map_is_followed_live_and_its_last_good_state_survives() {
    let cluster = Cluster::new();
    let (one, two) = (Ca::new("one"), Ca::new("two"));
    cluster.put(CONFIG, config_map(&one, "[\"proxy\"]"));
    cluster.put(
        &CONFIG.replace("extension-apiserver-authentication", "other"),
        json!({"metadata": {"name": "other"}}),
    );
    let (_server, client) = cluster.start().await;
    let follower = follower(client).await.unwrap();
    let mut current = follower.current();
    assert_eq!(
        current.borrow_and_update().front_proxy_ca.as_deref(),
        Some(&[one.der()][..])
    );
    let stop = CancellationToken::new();
    let (ended, end) = tokio::sync::oneshot::channel();
    let stopped = stop.clone();
    task::detach("follow", async move {
        follower.follow(stopped).await;
        ended.send(()).ok();
    });

    cluster.put(CONFIG, config_map(&two, "[]"));
    tokio::time::timeout(
        SOON,
        current.wait_for(|config| config.allowed_names == AllowedNames::Any),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(
        current.borrow().front_proxy_ca.as_deref(),
        Some(&[two.der()][..])
    );

    // Nothing usable: nothing changes. The change after it shows that this one has been seen.
    current.borrow_and_update();
    cluster.put(CONFIG, json!({"metadata": {"name": "extension-apiserver-authentication"}, "data": {"requestheader-client-ca-file": "?"}}));
    cluster.delete(CONFIG);
    cluster.put(CONFIG, config_map(&two, "[\"later\"]"));
    tokio::time::timeout(
        SOON,
        current
            .wait_for(|config| config.allowed_names == AllowedNames::These(vec!["later".into()])),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(
        current.borrow().front_proxy_ca.as_deref(),
        Some(&[two.der()][..])
    );

    let selected = "fieldSelector=metadata.name%3Dextension-apiserver-authentication";
    for asked in cluster
        .log()
        .iter()
        .filter(|line| !line.contains("/configmaps/"))
    {
        assert!(
            asked.contains(selected),
            "{asked}: the Role allows one name only"
        );
    }
    stop.cancel();
    tokio::time::timeout(SOON, end)
        .await
        .expect("it ends on the signal")
        .unwrap();
}

#[tokio::test]
async fn following_goes_on_after_a_refusal() {
    let cluster = Cluster::new();
    let (one, two) = (Ca::new("one"), Ca::new("two"));
    cluster.put(CONFIG, config_map(&one, "[]"));
    let (_server, client) = cluster.start().await;
    let follower = follower(client).await.unwrap();
    let mut current = follower.current();
    cluster.refuse(
        Method::GET,
        "/api/v1/namespaces/kube-system/configmaps",
        403,
    );
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    task::detach("follow", follower.follow(stop));
    cluster.put(CONFIG, config_map(&two, "[\"x\"]"));
    tokio::time::timeout(
        SOON,
        current.wait_for(|config| config.allowed_names == AllowedNames::These(vec!["x".into()])),
    )
    .await
    .unwrap()
    .unwrap();
}

#[tokio::test]
async fn a_config_map_that_cannot_be_read_names_what_is_missing() {
    let cluster = Cluster::new();
    let (_server, client) = cluster.start().await;
    let missing = follower(client.clone()).await.unwrap_err();
    assert!(
        matches!(missing, delegated::Error::ConfigMissing),
        "{missing}"
    );
    cluster.refuse(Method::GET, CONFIG, 403);
    let forbidden = follower(client).await.unwrap_err();
    assert_eq!(
        forbidden.to_string(),
        "failed to read ConfigMap kube-system/extension-apiserver-authentication: bind Role \
         extension-apiserver-authentication-reader in namespace kube-system to this program's account \
         (refused by the test)"
    );
}

fn reviews(client: kube::Client) -> Reviews {
    Reviews::new(client).with_first_pause(Duration::from_millis(1))
}

#[tokio::test]
async fn reviews_ask_and_answer() {
    let cluster = Cluster::new();
    let (_server, client) = cluster.start().await;
    let specs = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&specs);
    cluster.answer(move |kind, spec| {
        seen.lock().push(spec.clone());
        if kind == "tokenreviews" {
            json!({"authenticated": true, "user": {"username": "jane", "groups": ["a"]}})
        } else {
            json!({"allowed": true})
        }
    });
    let reviews = reviews(client);
    let token = SecretString::from("secret");
    let status = reviews.token_review(&token, &[]).await.unwrap();
    assert_eq!(
        (
            status.authenticated,
            status.user.unwrap().username.as_deref()
        ),
        (Some(true), Some("jane"))
    );
    reviews
        .token_review(&token, &["us".to_owned()])
        .await
        .unwrap();
    let spec = SubjectAccessReviewSpec {
        user: Some("jane".into()),
        ..SubjectAccessReviewSpec::default()
    };
    assert!(reviews.subject_access_review(spec).await.unwrap().allowed);
    let expected = [
        json!({"token": "secret"}),
        json!({"token": "secret", "audiences": ["us"]}),
        json!({"user": "jane"}),
    ];
    assert_eq!(*specs.lock(), expected);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let cluster = Cluster::new();
    let (_server, client) = cluster.start().await;
    cluster.answer(|_, _| json!({"authenticated": false}));
    let reviews = reviews(client);
    let token = SecretString::from("secret");
    for (codes, requests, outcome) in [
        (&[429, 500, 504][..], 4, None),
        (
            &[500, 500, 500, 500, 500],
            5,
            Some("failed to create a TokenReview"),
        ),
        (&[404], 1, Some("failed to create a TokenReview")),
        (
            &[403],
            1,
            Some(
                "failed to create a TokenReview: bind ClusterRole system:auth-delegator to this program's account \
                 (refused by the test)",
            ),
        ),
    ] {
        let before = cluster.log().len();
        for code in codes {
            cluster.refuse(Method::POST, TOKENS, *code);
        }
        let error = reviews
            .token_review(&token, &[])
            .await
            .err()
            .map(|error| error.to_string());
        assert_eq!(
            (cluster.log().len() - before, error.as_deref()),
            (requests, outcome),
            "{codes:?}"
        );
    }
}

#[tokio::test]
async fn missing_rights_are_named_with_the_role_that_gives_them() {
    let cluster = Cluster::new();
    let (_server, client) = cluster.start().await;
    cluster.answer(|_, spec| {
        let asked = &spec["resourceAttributes"];
        json!({"allowed": asked["resource"] == "tokenreviews"})
    });
    let missing = missing_rights(client.clone(), &Right::ALL).await.unwrap();
    assert_eq!(missing, [Right::ReadAuthConfig, Right::ReviewAccess]);
    let lines: Vec<_> = missing.iter().map(ToString::to_string).collect();
    assert!(
        lines[0].contains("extension-apiserver-authentication-reader"),
        "{lines:?}"
    );
    assert!(lines[1].contains("system:auth-delegator"), "{lines:?}");
    cluster.answer(|_, _| json!({"allowed": true}));
    assert_eq!(missing_rights(client, &Right::ALL).await.unwrap(), []);
}

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

#[tokio::test]
async fn processes_that_start_together_agree_on_one_authority() {
    let cluster = Cluster::new();
    let (_server, client) = cluster.start().await;
    let all =
        futures::future::join_all((0..8).map(|_| ensure_authority(&client, "ns", now()))).await;
    let certificates: Vec<_> = all
        .into_iter()
        .map(|one| one.unwrap().certificate().to_owned())
        .collect();
    assert!(certificates.iter().all(|one| *one == certificates[0]));
    let tries = cluster
        .log()
        .iter()
        .filter(|line| line.starts_with("POST"))
        .count();
    assert!(tries > 1, "they did start together");
    let secret = cluster.object(SECRET).unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let held = base64::engine::general_purpose::STANDARD
        .decode(secret["data"]["tls.crt"].as_str().unwrap())
        .unwrap();
    assert_eq!(held, certificates[0].as_bytes());

    let writes = |cluster: &Cluster| {
        cluster
            .log()
            .iter()
            .filter(|line| !line.starts_with("GET"))
            .count()
    };
    let before = writes(&cluster);
    let again = ensure_authority(&client, "ns", now() + days(1000))
        .await
        .unwrap();
    assert_eq!(
        (again.certificate(), writes(&cluster)),
        (&*certificates[0], before),
        "reused while it is valid"
    );

    let late = now() + days(3400);
    let all =
        futures::future::join_all((0..4).map(|_| ensure_authority(&client, "ns", late))).await;
    let replaced: Vec<_> = all.into_iter().map(|one| one.unwrap()).collect();
    assert!(
        replaced
            .iter()
            .all(|one| one.certificate() == replaced[0].certificate())
    );
    assert_ne!(replaced[0].certificate(), certificates[0]);
    assert!(
        replaced[0].bundle().contains(certificates[0].trim()),
        "the old one stays believed"
    );
}

#[tokio::test]
async fn a_secret_that_is_no_authority_is_replaced_and_a_missing_right_is_named() {
    let cluster = Cluster::new();
    let (_server, client) = cluster.start().await;
    cluster.put(SECRET, json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "tagscope-ca"}, "data": {"tls.crt": "AAAA"}}));
    let made = ensure_authority(&client, "ns", now()).await.unwrap();
    assert_eq!(
        ensure_authority(&client, "ns", now())
            .await
            .unwrap()
            .certificate(),
        made.certificate()
    );

    cluster.refuse(Method::GET, SECRET, 403);
    let error = ensure_authority(&client, "ns", now()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to read the authority's Secret: this program's account lacks the right to get secrets \
         \"tagscope-ca\" (refused by the test)"
    );
    cluster.delete(SECRET);
    cluster.refuse(Method::POST, "/api/v1/namespaces/ns/secrets", 403);
    let error = ensure_authority(&client, "ns", now()).await.unwrap_err();
    assert!(
        matches!(error, serving_cert::Error::Forbidden { verb: "create", .. }),
        "{error}"
    );
}

fn api_service(service: &str) -> Value {
    json!({
        "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": "v1alpha1.tags.tagscope.dev"},
        "spec": {
            "group": "tags.tagscope.dev", "version": "v1alpha1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "ns", "name": service},
        },
    })
}

#[tokio::test]
async fn the_bundle_reaches_the_api_service_and_certificates_are_renewed_in_time() {
    let cluster = Cluster::new();
    let (_server, client) = cluster.start().await;
    let clock = Arc::new(HandClock::at(now()));
    let installed = Arc::new(Mutex::new(Vec::new()));
    let settings = Settings {
        namespace: "ns".into(),
        service: "tagscope".into(),
        api_service: "v1alpha1.tags.tagscope.dev".into(),
        lives: serving_cert::Lives::default(),
    };
    let install = {
        let (installed, cluster) = (Arc::clone(&installed), cluster.clone());
        move |issued: &serving_cert::Issued| {
            installed.lock().push((issued.not_after, bundle(&cluster)));
            Ok(())
        }
    };
    let keeper = Keeper::start(client, settings, Arc::<HandClock>::clone(&clock), install)
        .await
        .unwrap();
    let first = keeper.bundle().to_owned();
    assert_eq!(
        installed.lock().len(),
        1,
        "there is a certificate before anything else happens"
    );
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    task::detach(
        "keep",
        keeper.with_period(Duration::from_millis(20)).keep(stop),
    );

    cluster.put(API_SERVICE, api_service("tagscope"));
    eventually("an APIService that appears gets the bundle", || {
        bundle(&cluster).as_deref() == Some(&*first)
    })
    .await;
    cluster.put(API_SERVICE, api_service("tagscope"));
    eventually("one that loses it gets it again", || {
        bundle(&cluster).as_deref() == Some(&*first)
    })
    .await;

    clock.advance(days(61));
    eventually(
        "a certificate is renewed with a third of its life left",
        || installed.lock().len() == 2,
    )
    .await;
    assert_eq!(installed.lock()[1].0, now() + days(151));
    assert_eq!(bundle(&cluster).as_deref(), Some(&*first));

    // In steps, as one that has ended is replaced at once, believed or not.
    let is_new = || bundle(&cluster).is_some_and(|published| published != first);
    let mut issued = 2;
    while !is_new() {
        assert!(clock.now() < now() + days(3650), "so is the authority");
        clock.advance(days(61));
        eventually("it goes on", || is_new() || installed.lock().len() > issued).await;
        issued = installed.lock().len();
    }
    clock.advance(SignedDuration::from_hours(1));
    eventually("the new authority is used", || {
        installed.lock().len() > issued
    })
    .await;
    let (not_after, published) = installed.lock().last().cloned().unwrap();
    let published = published.unwrap();
    assert!(
        published != first && published.contains(first.trim()),
        "both are believed before the new one is used"
    );
    assert!(clock.now() < not_after);

    cluster.put(API_SERVICE, api_service("somebody-elses"));
    let before = cluster.log().len();
    eventually("some more looks", || cluster.log().len() > before + 3).await;
    assert_eq!(
        bundle(&cluster),
        None,
        "another Service's APIService is left alone"
    );
}

fn bundle(cluster: &Cluster) -> Option<String> {
    let held = cluster.object(API_SERVICE)?["spec"]["caBundle"]
        .as_str()?
        .to_owned();
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(held)
        .unwrap();
    Some(String::from_utf8(decoded).unwrap())
}
