//! What may be done without asking, what is asked, and what an answer is worth for how long.

use super::*;
use crate::apiserver::review::Failure;
use crate::secret::SecretString;
use futures::future::BoxFuture;
use http::Method;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Allows what `jane` does, and remembers every question.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<Value>>,
    down: std::sync::atomic::AtomicBool,
}

impl Reviewer for Fake {
    fn token<'a>(
        &'a self,
        _: &'a SecretString,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>> {
        unreachable!("rights are judged here")
    }

    fn access(
        &self,
        spec: SubjectAccessReviewSpec,
    ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>> {
        self.asked.lock().push(serde_json::to_value(&spec).unwrap());
        let down = self.down.load(std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move {
            if down {
                return Err(Failure::BrokenOff);
            }
            let allowed = spec.user.as_deref() == Some("jane");
            let reason = (!allowed).then(|| "nobody said so".to_owned());
            Ok(SubjectAccessReviewStatus {
                allowed,
                reason,
                ..SubjectAccessReviewStatus::default()
            })
        })
    }
}

fn authorizer(fake: &Arc<Fake>) -> Authorizer {
    let reviewer: Arc<dyn Reviewer> = Arc::<Fake>::clone(fake);
    Authorizer::new(
        Settings {
            deny_ttl: Duration::from_secs(5),
            ..Settings::default()
        },
        reviewer,
    )
}

fn user(name: &str, groups: &[&str]) -> User {
    User {
        name: name.into(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        ..User::default()
    }
}

async fn decide(
    authorizer: &Authorizer,
    user: &User,
    method: Method,
    uri: &str,
) -> Result<Decision, Failure> {
    let uri: http::Uri = uri.parse().unwrap();
    authorizer
        .authorize(user, &RequestInfo::parse(&method, &uri), uri.query())
        .await
}

const LIST: &str = "/apis/tags.tagscope.dev/v1alpha1/namespaces/n/imagetags";

#[tokio::test]
async fn masters_and_health_paths_need_no_review() {
    let fake = Arc::new(Fake::default());
    let authorizer = authorizer(&fake);
    fake.down.store(true, std::sync::atomic::Ordering::SeqCst);
    let (probe, nobody) = (
        user("system:kube-aggregator", &[MASTERS]),
        user("system:anonymous", &[]),
    );
    for path in ["/apis/tags.tagscope.dev/v1alpha1", LIST] {
        assert_eq!(
            decide(&authorizer, &probe, Method::GET, path)
                .await
                .unwrap(),
            Decision::Allow
        );
    }
    for path in ["/healthz", "/readyz?verbose", "/livez", "/liv%65z"] {
        assert_eq!(
            decide(&authorizer, &nobody, Method::GET, path)
                .await
                .unwrap(),
            Decision::Allow,
            "{path}"
        );
    }
    assert!(fake.asked.lock().is_empty());
    for path in ["/healthz/ping", "/healthz/", "/metrics", "/", LIST] {
        assert!(
            decide(&authorizer, &nobody, Method::GET, path)
                .await
                .is_err(),
            "{path}"
        );
    }
    assert_eq!(fake.asked.lock().len(), 5);
}

#[tokio::test]
async fn a_trailing_star_opens_a_prefix() {
    let settings = Settings {
        always_allow_paths: vec!["/open/*".into()],
        ..Settings::default()
    };
    let authorizer = Authorizer::new(settings, Arc::new(Fake::default()));
    let nobody = user("nobody", &[]);
    for (path, allowed) in [
        ("/open/a", true),
        ("/open/", true),
        ("/open", false),
        ("/healthz", false),
    ] {
        let decision = decide(&authorizer, &nobody, Method::GET, path)
            .await
            .unwrap();
        assert_eq!(decision == Decision::Allow, allowed, "{path}");
    }
}

#[tokio::test]
async fn the_question_is_the_whole_request() {
    let fake = Arc::new(Fake::default());
    let authorizer = authorizer(&fake);
    let jane = User {
        name: "jane".into(),
        uid: "7".into(),
        groups: vec!["dev,ops".into()],
        extra: [("scopes".to_owned(), vec!["a".to_owned()])].into(),
    };
    let who =
        json!({"user": "jane", "uid": "7", "groups": ["dev,ops"], "extra": {"scopes": ["a"]}});
    let cases = [
        (
            Method::GET,
            format!(
                "{LIST}?labelSelector=a%20in%20(c,b),!d,e,f!%3Dg,h%3E1&fieldSelector=tag!%3D1%2Cmetadata.name%3Dapp:1"
            ),
            json!({"resourceAttributes": {
                "namespace": "n", "verb": "list", "group": "tags.tagscope.dev", "version": "v1alpha1",
                "resource": "imagetags", "name": "app:1",
                "fieldSelector": {"requirements": [
                    {"key": "metadata.name", "operator": "In", "values": ["app:1"]},
                    {"key": "tag", "operator": "NotIn", "values": ["1"]},
                ]},
                "labelSelector": {"requirements": [
                    {"key": "a", "operator": "In", "values": ["b", "c"]},
                    {"key": "d", "operator": "DoesNotExist"},
                    {"key": "e", "operator": "Exists"},
                    {"key": "f", "operator": "NotIn", "values": ["g"]},
                ]},
            }}),
        ),
        // What does not parse, and what only compares by order, is asked for as if it were not there.
        (
            Method::GET,
            format!("{LIST}?watch=1&labelSelector=a%20in&fieldSelector=tag%3D%5Cx"),
            json!({"resourceAttributes": {
                "namespace": "n", "verb": "watch", "group": "tags.tagscope.dev", "version": "v1alpha1",
                "resource": "imagetags",
            }}),
        ),
        (
            Method::GET,
            format!("{LIST}?labelSelector=a%3E1&fieldSelector=,"),
            json!({"resourceAttributes": {
                "namespace": "n", "verb": "list", "group": "tags.tagscope.dev", "version": "v1alpha1",
                "resource": "imagetags",
            }}),
        ),
        (
            Method::GET,
            format!("{LIST}/app:1/status?labelSelector=a"),
            json!({"resourceAttributes": {
                "namespace": "n", "verb": "get", "group": "tags.tagscope.dev", "version": "v1alpha1",
                "resource": "imagetags", "subresource": "status", "name": "app:1",
            }}),
        ),
        (
            Method::POST,
            "/api/v1/things".to_owned(),
            json!({"resourceAttributes": {"verb": "create", "version": "v1", "resource": "things"}}),
        ),
        (
            Method::GET,
            "/openapi/v%33".to_owned(),
            json!({"nonResourceAttributes": {"path": "/openapi/v3", "verb": "get"}}),
        ),
    ];
    for (method, uri, what) in cases {
        assert_eq!(
            decide(&authorizer, &jane, method, &uri).await.unwrap(),
            Decision::Allow
        );
        let mut expected = who.clone();
        expected
            .as_object_mut()
            .unwrap()
            .extend(what.as_object().unwrap().clone());
        assert_eq!(fake.asked.lock().last(), Some(&expected), "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_hold_for_their_time_and_failures_for_none() {
    let fake = Arc::new(Fake::default());
    let authorizer = authorizer(&fake);
    let (jane, eve) = (user("jane", &[]), user("eve", &[]));
    let denied = Decision::Deny {
        reason: "nobody said so".into(),
    };
    for (wait, reviews) in [(0, 2), (4, 2), (2, 3), (5, 5)] {
        tokio::time::advance(Duration::from_secs(wait)).await;
        assert_eq!(
            decide(&authorizer, &jane, Method::GET, LIST).await.unwrap(),
            Decision::Allow
        );
        assert_eq!(
            decide(&authorizer, &eve, Method::GET, LIST).await.unwrap(),
            denied
        );
        assert_eq!(fake.asked.lock().len(), reviews, "after {wait}s more");
    }
    fake.down.store(true, std::sync::atomic::Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(
        decide(&authorizer, &jane, Method::GET, LIST).await.is_err(),
        "no answer is no permission"
    );
    fake.down.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        decide(&authorizer, &jane, Method::GET, LIST).await.unwrap(),
        Decision::Allow
    );
}

#[tokio::test]
async fn another_selector_is_another_question_and_a_huge_one_is_not_remembered() {
    let fake = Arc::new(Fake::default());
    let authorizer = authorizer(&fake);
    let jane = user("jane", &[]);
    for selector in ["a", "b", "a"] {
        decide(
            &authorizer,
            &jane,
            Method::GET,
            &format!("{LIST}?labelSelector={selector}"),
        )
        .await
        .unwrap();
    }
    assert_eq!(fake.asked.lock().len(), 2);
    let values: Vec<String> = (0..MEMORABLE_BYTES / 4).map(|n| n.to_string()).collect();
    let huge = format!("{LIST}?labelSelector=a+in+({})", values.join(","));
    for _ in 0..2 {
        decide(&authorizer, &jane, Method::GET, &huge)
            .await
            .unwrap();
    }
    assert_eq!(fake.asked.lock().len(), 4);
}

#[test]
fn a_denial_beats_a_permission() {
    let status = |allowed, denied| SubjectAccessReviewStatus {
        allowed,
        denied,
        ..Default::default()
    };
    let cases = [
        (status(true, None), true),
        (status(true, Some(false)), true),
        (status(true, Some(true)), false),
        (status(false, None), false),
        (status(false, Some(true)), false),
    ];
    for (status, allowed) in cases {
        assert_eq!(
            judge(status.clone()) == Decision::Allow,
            allowed,
            "{status:?}"
        );
    }
}
