//! What is answered: the winner, the runners-up, a reason for each of the others, and numbers that add up.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::kit::{Kit, inline, rejected, semver};
use crate::apiserver::support::TABLE;

#[tokio::test]
async fn an_inline_list_is_explained_tag_by_tag() {
    let kit = Kit::new();
    let mut spec = inline(
        &[
            "1.0.0",
            "1.1.0",
            "1.1.0",
            "1.2.0-rc.1",
            "2.0.0",
            "latest",
            "1.9.9-skip",
        ],
        semver("1.x"),
    );
    spec["exclusionList"] = json!(["-skip$"]);
    let status = kit.ask(spec).await;
    assert_eq!(status["latest"], json!({"tag": "1.1.0", "key": "1.1.0"}));
    assert_eq!(
        status["ranked"],
        json!([{"tag": "1.1.0", "key": "1.1.0"}, {"tag": "1.0.0", "key": "1.0.0"}])
    );
    assert_eq!(
        rejected(&status),
        [
            "1.0.0 LowerRank",
            "latest NotSemver",
            "2.0.0 OutOfRange",
            "1.2.0-rc.1 Prerelease",
            "1.9.9-skip Excluded",
        ]
    );
    assert_eq!(
        status["counts"],
        json!({"total": 6, "eligible": 2, "rejected": {
            "Excluded": 1, "LowerRank": 1, "NotSemver": 1, "OutOfRange": 1, "Prerelease": 1,
        }})
    );
    assert_eq!(status["complete"], true);
    assert!(
        status["revision"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert_eq!(status["error"], Value::Null);
}

#[tokio::test]
async fn without_explain_there_are_numbers_only_and_a_limit_is_kept() {
    let kit = Kit::new();
    let tags: Vec<String> = (0..30).map(|n| format!("1.0.{n}")).collect();
    let ask = async |limit: Value| {
        kit.ask(json!({"tags": tags, "policy": semver("*"), "limit": limit}))
            .await
    };
    let status = ask(Value::Null).await;
    assert_eq!(status["rejected"], Value::Null);
    assert_eq!(status["counts"]["rejected"], json!({"LowerRank": 29}));
    for (limit, ranked) in [(json!(0), 10), (json!(3), 3), (json!(1000), 30)] {
        assert_eq!(ask(limit).await["ranked"].as_array().unwrap().len(), ranked);
    }
}

#[tokio::test]
async fn what_a_filter_extracts_is_the_key() {
    let kit = Kit::new();
    let spec = json!({
        "tags": ["main-a1-100", "main-b2-200", "main-c3-200", "dev-d4-300"],
        "filterTags": {"pattern": "^main-[a-f0-9]+-(?P<ts>[0-9]+)$", "extract": "$ts"},
        "policy": {"numerical": {"order": "asc"}},
        "explain": true,
    });
    let status = kit.ask(spec).await;
    assert_eq!(
        status["latest"],
        json!({"tag": "main-b2-200", "key": "200"})
    );
    assert_eq!(
        rejected(&status),
        [
            "main-a1-100 LowerRank",
            "main-c3-200 ExtractCollision",
            "dev-d4-300 FilteredByPattern"
        ]
    );
    // A long key is cut.
    let long = json!({
        "tags": ["a".repeat(128)],
        "filterTags": {"pattern": "^(.*)$", "extract": "$1".repeat(20)},
        "policy": {"alphabetical": {}},
    });
    let status = kit.ask(long).await;
    assert_eq!(status["latest"]["key"].as_str().unwrap().len(), 1024);
}

#[tokio::test]
async fn what_is_invalid_is_an_answer_in_fluxs_words() {
    let kit = Kit::new();
    for (spec, reason, message) in [
        (
            inline(&["1.0.0"], semver("1.x.x.x")),
            "InvalidPolicy",
            "invalid policy: improper constraint: \"1.x.x.x\"",
        ),
        (
            inline(&["1.0.0"], json!({})),
            "InvalidPolicy",
            "invalid policy: given ImagePolicyChoice object is invalid",
        ),
        (
            inline(&["1.0.0"], json!({"alphabetical": {"order": "up"}})),
            "InvalidPolicy",
            "invalid policy: invalid order argument provided: 'UP', must be one of: ASC, DESC",
        ),
        (
            json!({"tags": ["1"], "policy": semver("*"), "filterTags": {"pattern": "a("}}),
            "InvalidPolicy",
            "failed to filter tags: invalid regular expression pattern 'a(': error parsing regexp: missing closing ): `a(`",
        ),
        (
            json!({"tags": ["1"], "policy": semver("*"), "exclusionList": ["a("]}),
            "InvalidExclusionList",
            "failed to compile regex a(: error parsing regexp: missing closing ): `a(`",
        ),
        (
            inline(&["latest"], semver("*")),
            "Failure",
            "unable to determine latest version from provided list",
        ),
        (
            inline(&[], semver("*")),
            "Failure",
            "version list argument cannot be empty",
        ),
        (
            inline(&["1", "x"], json!({"numerical": {}})),
            "Failure",
            "failed to parse invalid numeric value 'x'",
        ),
    ] {
        let status = kit.ask(spec).await;
        assert_eq!(
            status["error"],
            json!({"reason": reason, "message": message})
        );
        assert_eq!(status["latest"], Value::Null);
    }
}

#[tokio::test]
async fn stored_tags_are_governed_by_what_is_known_of_them() {
    let kit = Kit::with_app(&["1.0.0", "1.1.0"]);
    kit.world.clock.advance(SignedDuration::from_hours(1));
    kit.world.scan(
        "apps",
        "app",
        "registry.test/o/app",
        &["1.0.0", "1.1.0", "1.2.0"],
        false,
    );
    kit.refer("apps/app");
    kit.runs_on("1.0.0", "linux/arm64");
    kit.runs_on("1.1.0", "linux/amd64");
    let ask = async |governance: Value| {
        kit.ask(json!({
            "imageRepositoryRef": {"name": "app"}, "policy": semver("*"), "governance": governance, "explain": true,
        }))
        .await
    };
    let plain = ask(Value::Null).await;
    assert_eq!(plain["latest"]["tag"], "1.2.0");
    assert_eq!(
        (plain["revision"].as_str(), plain["complete"].as_bool()),
        (Some("3"), Some(true))
    );
    let aged = ask(json!({"minimumAge": "72h"})).await;
    assert_eq!(aged["latest"]["tag"], "1.1.0");
    assert_eq!(rejected(&aged)[0], "1.2.0 TooYoung");
    let held = ask(json!({"hold": "1.0.0"})).await;
    assert_eq!(held["latest"]["tag"], "1.0.0");
    assert_eq!(rejected(&held), ["1.2.0 NotHeld", "1.1.0 NotHeld"]);
    // What nobody has asked the registry is not known, and nothing lower is elected meanwhile.
    let platforms = ask(json!({"platforms": ["linux/arm64"]})).await;
    assert_eq!(platforms["latest"], Value::Null);
    assert_eq!(
        rejected(&platforms),
        [
            "1.2.0 PlatformUnknown",
            "1.1.0 WrongPlatform",
            "1.0.0 LowerRank"
        ]
    );
    kit.allow("get imagemirrors.mirror.tagscope.dev/v1alpha1 in apps named web");
    let mirrored = ask(json!({"requireMirrored": "web"})).await;
    assert_eq!(mirrored["latest"], Value::Null);
    assert_eq!(
        mirrored["rejected"][0],
        json!({"tag": "1.2.0", "reason": "NotMirrored", "message": "there is no ImageMirror apps/web"})
    );
    kit.mirrors("apps/web", &["1.1.0"]);
    let mirrored = ask(json!({"requireMirrored": "web"})).await;
    assert_eq!(mirrored["latest"]["tag"], "1.1.0");
    assert_eq!(
        mirrored["rejected"][0],
        json!({
            "tag": "1.2.0", "reason": "NotMirrored",
            "message": "it is not yet at all destinations of ImageMirror apps/web",
        })
    );
    kit.runs_on("1.2.0", "linux/amd64");
    let known = ask(json!({"platforms": ["linux/arm64"]})).await;
    assert_eq!(known["latest"]["tag"], "1.0.0");
}

#[tokio::test]
async fn a_policy_is_explained_as_it_stands_and_with_changes() {
    let kit = Kit::with_app(&["1.0.0", "1.1.0", "2.0.0"]);
    kit.policy(semver("1.x"), Some("1.5.0"));
    let ask = async |more: Value| {
        let mut spec = json!({"imagePolicyRef": {"name": "stable"}, "explain": true});
        for (name, value) in more.as_object().unwrap() {
            spec[name] = value.clone();
        }
        kit.ask(spec).await
    };
    let stands = ask(json!({})).await;
    assert_eq!(stands["latest"]["tag"], "1.1.0");
    assert_eq!(rejected(&stands), ["1.0.0 LowerRank", "2.0.0 OutOfRange"]);
    assert_eq!(
        ask(json!({"policy": semver("*")})).await["latest"]["tag"],
        "2.0.0"
    );
    assert_eq!(
        ask(json!({"filterTags": {"pattern": "0$"}})).await["latest"]["tag"],
        "1.1.0"
    );
    // What stands elected and vanished stays, unless the spec is another one.
    let forbid = json!({"governance": {"downgrade": "forbid"}});
    let kept = ask(forbid.clone()).await;
    assert_eq!(kept["latest"]["tag"], "1.5.0");
    assert_eq!(rejected(&kept)[0], "1.1.0 DowngradeForbidden");
    let mut changed = forbid;
    changed["policy"] = semver("<2.0.0");
    assert_eq!(ask(changed).await["latest"]["tag"], "1.1.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_is_counted_than_told() {
    let kit = Kit::new();
    let tags: Vec<String> = (0..12_000).map(|n| format!("v1-{n}")).collect();
    let spec = json!({"tags": tags, "policy": semver("*"), "explain": true});
    let status = kit.ask(spec).await;
    assert_eq!(status["rejected"].as_array().unwrap().len(), 10_000);
    assert_eq!(status["rejectedOmitted"], 2000);
    assert_eq!(status["counts"]["rejected"], json!({"NotSemver": 12_000}));
    assert_eq!(status["counts"]["total"], 12_000);
}

/// A hundred thousand tags, with everything told that can be: on one thread, which is free while a query is read,
/// computed and written. Work that is done on it would leave a turn or two. No time passes, however busy the machine is.
#[tokio::test(start_paused = true)]
async fn a_long_query_does_not_hold_the_server_up() {
    const TAGS: u32 = 100_000;
    let kit = Kit::new();
    let tags: Vec<String> = (0..TAGS).map(|n| format!("1.{n}.0")).collect();
    let spec = json!({
        "tags": tags, "policy": semver(">=1.10.0"), "filterTags": {"pattern": "^([0-9]+\\.){2}[0-9]+$"},
        "explain": true, "limit": 1000,
    });
    let body = json!({"spec": spec}).to_string();
    // Two of one user, who has one turn at a time.
    let mut long = Box::pin(futures::future::join_all((0..2).map(|_| kit.post(&body))));
    let mut turns = 0_u32;
    let answers = loop {
        tokio::select! {
            biased;
            answers = &mut long => break answers,
            () = tokio::task::yield_now() => turns += 1,
        }
    };
    assert!(turns >= TAGS / 100, "{turns}");
    for answer in answers {
        let status = &answer.json()["status"];
        assert_eq!(status["latest"]["tag"], "1.99999.0", "{}", status["error"]);
        assert_eq!(status["counts"]["total"], TAGS);
        assert_eq!(status["ranked"].as_array().unwrap().len(), 1000);
        assert_eq!(status["rejected"].as_array().unwrap().len(), 10_000);
        assert_eq!(status["rejectedOmitted"], TAGS - 1 - 10_000);
    }
}

/// The same of an ImageRepository: what is stored is not sent, and so the question is small.
#[tokio::test(start_paused = true)]
async fn all_tags_of_a_large_repository_are_explained_and_others_run_meanwhile() {
    const TAGS: u32 = 100_000;
    let tags: Vec<String> = (0..TAGS).map(|n| format!("1.{n}.0")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let kit = Kit::with_app(&tags);
    let spec = json!({
        "imageRepositoryRef": {"name": "app"}, "policy": semver("*"), "explain": true,
        "governance": {"platforms": ["linux/arm64"]},
    });
    let mut long = Box::pin(kit.ask(spec));
    let mut turns = 0_u32;
    let status = loop {
        tokio::select! {
            biased;
            status = &mut long => break status,
            () = tokio::task::yield_now() => turns += 1,
        }
    };
    assert!(turns >= TAGS / 100, "{turns}");
    assert_eq!(status["latest"], Value::Null);
    let rejected = json!({"PlatformUnknown": 20, "BudgetExhausted": TAGS - 20});
    assert_eq!(status["counts"]["rejected"], rejected);
}

/// One user's flood, of queries that wait for the cluster: what is too much is refused with a time to come again.
#[tokio::test(start_paused = true)]
async fn who_asks_too_much_at_once_is_told_to_wait() {
    let kit = Kit::with_app(&["1.0.0"]);
    kit.never_answers();
    let spec = json!({"imageRepositoryRef": {"name": "app"}, "policy": semver("*")});
    let body = json!({"spec": spec}).to_string();
    let flood = futures::future::join_all((0..40).map(|_| kit.post(&body))).await;
    let refused: Vec<_> = flood.iter().filter(|answer| answer.status != 201).collect();
    assert_eq!(refused.len(), 8, "32 are under way");
    for answer in refused {
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.json()["reason"], "TooManyRequests");
    }
    assert_eq!(kit.post(&body).await.status, 201, "it has passed");
}

#[tokio::test]
async fn the_answers_are_those_on_file() {
    use crate::apiserver::golden::check;

    let kit = Kit::with_app(&["1.0.0", "1.1.0", "2.0.0", "latest"]);
    kit.policy(semver("1.x"), Some("1.0.0"));
    let ask = async |path: &str, accept: &str, spec: Value| {
        let body = json!({"metadata": {"name": "mine"}, "spec": spec}).to_string();
        let answer = kit.post_to(path, &[("accept", accept)], &body).await;
        answer.text
    };
    let all = "namespaces/apps/tagqueries";
    let why = json!({"imagePolicyRef": {"name": "stable"}, "explain": true});
    check("create-tagquery.json", &ask(all, "", why.clone()).await);
    check("create-tagquery-table.json", &ask(all, TABLE, why).await);
    let invalid = inline(&["1.0.0"], semver("no range"));
    check("create-tagquery-error.json", &ask(all, "", invalid).await);
    check(
        "status-422-tagquery.json",
        &ask(all, "", json!({"limit": -1})).await,
    );
    let strict = format!("{all}?fieldValidation=Strict");
    let unknown = json!({"tags": [], "policy": {}, "x": 1});
    check("status-400-strict.json", &ask(&strict, "", unknown).await);
}
