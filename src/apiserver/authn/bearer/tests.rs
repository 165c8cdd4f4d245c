//! Tokens: whom they name, and how often that is asked.

use super::*;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use parking_lot::Mutex;

/// Knows one token, `good`, and counts.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
    down: AtomicBool,
}

impl Reviewer for Fake {
    fn token<'a>(
        &'a self,
        token: &'a SecretString,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>> {
        Box::pin(async move {
            self.asked.lock().push(token.expose_secret().to_owned());
            tokio::time::sleep(Duration::from_millis(10)).await;
            if self.down.load(Ordering::SeqCst) {
                return Err(Failure::BrokenOff);
            }
            let authenticated = token.expose_secret() == "good";
            let user = UserInfo {
                username: Some("robot".into()),
                ..UserInfo::default()
            };
            let audiences = Some(audiences.to_vec());
            Ok(TokenReviewStatus {
                authenticated: Some(authenticated),
                user: Some(user),
                audiences,
                error: None,
            })
        })
    }

    fn access(
        &self,
        _: SubjectAccessReviewSpec,
    ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>> {
        unreachable!("tokens are judged here")
    }
}

fn tokens(fake: &Arc<Fake>) -> Tokens {
    let reviewer: Arc<dyn Reviewer> = Arc::<Fake>::clone(fake);
    Tokens::new(
        reviewer,
        Vec::new(),
        Duration::from_secs(10),
        Duration::from_secs(5),
    )
}

async fn name(tokens: &Tokens, token: &str) -> Option<String> {
    match tokens.user(SecretString::from(token)).await {
        Ok(Attempt::Named(user)) => Some(user.name),
        Ok(Attempt::Failed(_)) => None,
        Ok(Attempt::NotApplicable) | Err(_) => panic!("a token is judged"),
    }
}

#[test]
fn a_token_stands_behind_one_space() {
    let cases = [
        ("Bearer abc", Some("abc"), false),
        ("bEaReR abc", Some("abc"), false),
        ("  Bearer abc ", Some("abc"), false),
        ("Bearer abc def", Some("abc"), false),
        ("Bearer  abc", None, true),
        ("Bearer", None, false),
        ("Bearer ", None, false),
        ("Basic abc", None, false),
        ("abc", None, false),
        ("", None, false),
    ];
    for (header, token, spaced) in cases {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, header.parse().unwrap());
        let (got, warned) = match extract(&headers) {
            Bearer::Token(token) => (Some(token.expose_secret().to_owned()), false),
            Bearer::Spaced => (None, true),
            Bearer::None => (None, false),
        };
        assert_eq!((got.as_deref(), warned), (token, spaced), "{header:?}");
    }
    assert!(matches!(extract(&HeaderMap::new()), Bearer::None));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_with_one_token_are_one_review() {
    let fake = Arc::new(Fake::default());
    let tokens = tokens(&fake);
    let names = futures::future::join_all((0..100).map(|_| name(&tokens, "good"))).await;
    assert!(names.iter().all(|name| name.as_deref() == Some("robot")));
    assert_eq!(fake.asked.lock().len(), 1);
    tokio::time::advance(Duration::from_secs(9)).await;
    name(&tokens, "good").await;
    assert_eq!(fake.asked.lock().len(), 1, "still believed");
    tokio::time::advance(Duration::from_secs(2)).await;
    name(&tokens, "good").await;
    assert_eq!(fake.asked.lock().len(), 2, "asked again");
}

#[tokio::test(start_paused = true)]
async fn a_false_token_is_remembered_for_its_own_time_and_an_outage_not_at_all() {
    let fake = Arc::new(Fake::default());
    let tokens = tokens(&fake);
    for (wait, reviews) in [(0, 1), (4, 1), (2, 2)] {
        tokio::time::advance(Duration::from_secs(wait)).await;
        assert_eq!(name(&tokens, "bad").await, None);
        assert_eq!(fake.asked.lock().len(), reviews);
    }
    fake.down.store(true, Ordering::SeqCst);
    assert_eq!(name(&tokens, "good").await, None);
    fake.down.store(false, Ordering::SeqCst);
    assert_eq!(name(&tokens, "good").await.as_deref(), Some("robot"));
}

#[test]
fn a_review_counts_only_when_it_says_yes_and_means_us() {
    let status = |authenticated, audiences: &[&str], username: Option<&str>| TokenReviewStatus {
        authenticated,
        audiences: Some(audiences.iter().map(|a| (*a).to_owned()).collect()),
        user: Some(UserInfo {
            username: username.map(str::to_owned),
            ..UserInfo::default()
        }),
        error: None,
    };
    let us = ["us".to_owned()];
    let cases = [
        (status(Some(true), &[], Some("a")), &[][..], true),
        (status(Some(true), &["them"], Some("a")), &[], true),
        (status(Some(true), &["them", "us"], Some("a")), &us, true),
        (status(Some(true), &[], Some("a")), &us, true),
        (status(Some(true), &["them"], Some("a")), &us, false),
        (status(Some(false), &[], Some("a")), &[], false),
        (status(None, &[], Some("a")), &[], false),
        (status(Some(true), &[], None), &[], false),
    ];
    for (status, audiences, named) in cases {
        assert_eq!(
            judge(status.clone(), audiences).is_some(),
            named,
            "{status:?} {audiences:?}"
        );
    }
}

#[test]
fn the_same_token_has_another_slot_in_another_process_and_for_another_audience() {
    let (one, other) = (Key::random(), Key::random());
    let us = ["us".to_owned()];
    assert_eq!(one.digest(&us, "t"), one.digest(&us, "t"));
    assert_ne!(one.digest(&us, "t"), other.digest(&us, "t"));
    assert_ne!(one.digest(&us, "t"), one.digest(&[], "t"));
    assert_ne!(one.digest(&[], "ust"), one.digest(&us, "t"));
}
