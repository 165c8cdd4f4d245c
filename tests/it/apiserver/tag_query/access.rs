//! What else than to create a query its author has to be allowed, and what becomes of a query when others do not answer.

use serde_json::json;
use tagscope::api::access::Refusal;
use tagscope::apiserver::review::Failure;
use tagscope::apiserver::tag_query::Referred;

use super::kit::{GET_POLICY, Kit, LIST_IN_APPS, inline, semver};

#[tokio::test]
async fn an_inline_list_needs_no_other_right() {
    let kit = Kit::new();
    kit.ask(inline(&["1.0.0"], semver("*"))).await;
    assert_eq!(kit.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn tags_are_told_to_those_only_who_may_list_them() {
    let kit = Kit::new();
    kit.world
        .scan("team", "app", "registry.test/o/app", &["1.0.0"], true);
    kit.refer("team/app");
    let there =
        json!({"imageRepositoryRef": {"name": "app", "namespace": "team"}, "policy": semver("*")});
    assert_eq!(
        kit.refused(there.clone()).await,
        (
            403,
            "imagetags.tags.tagscope.dev is forbidden: User \"jane\" cannot list resource \"imagetags\" in API group \
             \"tags.tagscope.dev\" in the namespace \"team\""
                .to_owned()
        )
    );
    // The right counts where the repository is, not where the query is.
    kit.allow(LIST_IN_APPS);
    assert_eq!(
        kit.asked(),
        ["jane list imagetags.tags.tagscope.dev/v1alpha1 in team"]
    );
    let kit = Kit::new();
    kit.world
        .scan("team", "app", "registry.test/o/app", &["1.0.0"], true);
    kit.refer("team/app");
    kit.allow("list imagetags.tags.tagscope.dev/v1alpha1 in team");
    assert_eq!(kit.ask(there).await["latest"]["tag"], "1.0.0");
}

#[tokio::test]
async fn what_a_mirror_has_is_told_to_those_only_who_may_get_it() {
    let kit = Kit::with_app(&["1.0.0"]);
    kit.mirrors("team/web", &["1.0.0"]);
    let asked = json!({
        "imageRepositoryRef": {"name": "app"}, "policy": semver("*"),
        "governance": {"requireMirrored": "team/web"},
    });
    assert_eq!(
        kit.refused(asked.clone()).await,
        (
            403,
            "imagemirrors.mirror.tagscope.dev \"web\" is forbidden: User \"jane\" cannot get resource \
             \"imagemirrors\" in API group \"mirror.tagscope.dev\" in the namespace \"team\""
                .to_owned()
        )
    );
    let kit = Kit::with_app(&["1.0.0"]);
    kit.mirrors("team/web", &["1.0.0"]);
    kit.allow("get imagemirrors.mirror.tagscope.dev/v1alpha1 in team named web");
    assert_eq!(kit.ask(asked).await["latest"]["tag"], "1.0.0");
    // A list of tags is at no mirror.
    let mut inline = inline(&["1.0.0"], semver("*"));
    inline["governance"] = json!({"requireMirrored": "team/other"});
    assert_eq!(kit.ask(inline).await["latest"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_policy_is_told_to_those_only_who_may_get_it_and_list_its_tags() {
    let asked = json!({"imagePolicyRef": {"name": "stable"}});
    let kit = Kit::new();
    assert_eq!(
        kit.refused(asked.clone()).await,
        (
            403,
            "imagepolicies.image.toolkit.fluxcd.io \"stable\" is forbidden: User \"jane\" cannot get resource \
             \"imagepolicies\" in API group \"image.toolkit.fluxcd.io\" in the namespace \"apps\""
                .to_owned()
        )
    );
    let kit = Kit::new();
    kit.policy(semver("*"), None);
    let (code, message) = kit.refused(asked.clone()).await;
    assert!(
        code == 403 && message.starts_with("imagetags.tags.tagscope.dev is forbidden"),
        "{message}"
    );
    assert_eq!(
        kit.asked(),
        [format!("jane {GET_POLICY}"), format!("jane {LIST_IN_APPS}")]
    );
    let kit = Kit::with_app(&["1.0.0"]);
    kit.policy(semver("*"), None);
    assert_eq!(kit.ask(asked).await["latest"]["tag"], "1.0.0");
}

#[tokio::test]
async fn a_repository_that_is_not_shared_is_not_told_about() {
    for (refusal, words) in [
        (
            Refusal::Blocked,
            "cannot access 'ImageRepository/apps/app', cross-namespace references have been blocked",
        ),
        (
            Refusal::NotShared,
            "access denied: 'apps/app' can't be accessed due to missing ACL labels on 'accessFrom'",
        ),
        (
            Refusal::NotForThisNamespace,
            "access denied: 'apps/app' can't be accessed due to ACL labels mismatch on namespace 'apps'",
        ),
    ] {
        let kit = Kit::with_app(&["1.0.0"]);
        kit.policy(semver("*"), None);
        kit.referred("apps/app", Referred::Denied(refusal));
        for spec in [
            json!({"imageRepositoryRef": {"name": "app"}, "policy": semver("*")}),
            json!({"imagePolicyRef": {"name": "stable"}}),
        ] {
            let (code, message) = kit.refused(spec).await;
            assert_eq!(code, 403);
            assert!(
                message.starts_with(
                    "imagerepositories.image.toolkit.fluxcd.io \"app\" is forbidden: User \"jane\" "
                ) && message.ends_with(words),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_missing_is_told_in_the_answer() {
    let by_repository = json!({"imageRepositoryRef": {"name": "app"}, "policy": semver("*")});
    let by_policy = json!({"imagePolicyRef": {"name": "stable"}});
    let error = async |kit: &Kit, spec: &serde_json::Value| {
        let status = kit.ask(spec.clone()).await;
        assert_eq!(status["latest"], serde_json::Value::Null);
        (
            status["error"]["reason"].as_str().unwrap().to_owned(),
            status["error"]["message"].as_str().unwrap().to_owned(),
        )
    };
    let kit = Kit::new();
    kit.allow(LIST_IN_APPS);
    kit.allow(GET_POLICY);
    assert_eq!(
        error(&kit, &by_policy).await,
        (
            "PolicyNotFound".to_owned(),
            "imagepolicies.image.toolkit.fluxcd.io \"stable\" not found".to_owned()
        )
    );
    assert_eq!(
        error(&kit, &by_repository).await,
        (
            "DependencyNotReady".to_owned(),
            "failed to get the referred ImageRepository: apps/app is not there".to_owned()
        )
    );
    kit.policy(semver("*"), None);
    assert_eq!(error(&kit, &by_policy).await.0, "DependencyNotReady");
    kit.refer("apps/app");
    assert_eq!(
        error(&kit, &by_policy).await,
        (
            "DependencyNotReady".to_owned(),
            "no tags in database".to_owned()
        )
    );
    kit.referred("apps/app", Referred::Unreadable);
    assert_eq!(error(&kit, &by_policy).await.0, "Failure");
    kit.referred("apps/app", Referred::Unknown("who knows".to_owned()));
    assert_eq!(
        error(&kit, &by_policy).await,
        (
            "AccessDenied".to_owned(),
            "failed to get the referred ImageRepository: access denied: who knows".to_owned()
        )
    );
}

#[tokio::test]
async fn before_the_objects_are_known_what_is_stored_is_told_to_its_own_namespace() {
    let kit = Kit::with_app(&["1.0.0"]);
    kit.world
        .scan("team", "app", "registry.test/o/app", &["1.0.0"], true);
    kit.allow("list imagetags.tags.tagscope.dev/v1alpha1 in team");
    kit.allow(GET_POLICY);
    kit.is_not_synced();
    let own = json!({"imageRepositoryRef": {"name": "app"}, "policy": semver("*")});
    assert_eq!(kit.ask(own).await["latest"]["tag"], "1.0.0");
    for spec in [
        json!({"imageRepositoryRef": {"name": "app", "namespace": "team"}, "policy": semver("*")}),
        json!({"imageRepositoryRef": {"name": "other"}, "policy": semver("*")}),
        json!({"imagePolicyRef": {"name": "stable"}}),
    ] {
        assert_eq!(kit.ask(spec).await["error"]["reason"], "NotSynced");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_never_answers_holds_up_no_query() {
    let kit = Kit::with_app(&["1.0.0"]);
    kit.never_answers();
    let begin = tokio::time::Instant::now();
    let spec = json!({"imageRepositoryRef": {"name": "app"}, "policy": semver("*")});
    let error = kit.ask(spec).await["error"].clone();
    assert_eq!(error["reason"], "AccessDenied");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("no answer within 5s"),
        "{error}"
    );
    assert!(begin.elapsed() < std::time::Duration::from_secs(34));

    // A body that never comes.
    let silent = http_body_util::StreamBody::new(futures::stream::pending::<
        Result<hyper::body::Frame<bytes::Bytes>, std::convert::Infallible>,
    >());
    let begin = tokio::time::Instant::now();
    let path = "namespaces/apps/tagqueries";
    let answer = kit.send(http::Method::POST, path, &[], silent).await;
    assert_eq!(answer.status, http::StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.json()["reason"], "Timeout");
    assert_eq!(begin.elapsed(), std::time::Duration::from_secs(34));
}

#[tokio::test]
async fn no_answer_about_a_right_is_no_right() {
    let spec = json!({"imageRepositoryRef": {"name": "app"}, "policy": semver("*")});
    for (failure, code) in [(Failure::Busy, 429), (Failure::BrokenOff, 500)] {
        let kit = Kit::with_app(&["1.0.0"]);
        kit.access_fails(failure);
        assert_eq!(kit.refused(spec.clone()).await.0, code);
    }
}
