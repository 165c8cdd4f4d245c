//! The rules of a list, asked as a client asks: which state, which refusal, what the metadata says.

use http::StatusCode;
use serde_json::Value;
use tagscope::store::ResourceVersion;

use super::support::{PARTIAL_LIST, TABLE, World};

/// One row of upstream's table: the query, the code, the reason.
type Row = (String, u16, &'static str);

fn row(query: impl Into<String>, code: u16, reason: &'static str) -> Row {
    (query.into(), code, reason)
}

#[tokio::test(start_paused = true)]
async fn every_row_of_the_table_is_answered_as_upstream_does() {
    let world = World::filled();
    let now = world.version().0;
    let token = world.get("imagetags?limit=3").await.json()["metadata"]["continue"]
        .as_str()
        .unwrap()
        .to_owned();
    let send = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let rows = [
        row("", 200, ""),
        row("limit=2", 200, ""),
        row(format!("limit=2&continue={token}"), 200, ""),
        row("resourceVersion=0", 200, ""),
        row("resourceVersion=0&limit=2", 200, ""),
        row(
            format!("resourceVersion=0&limit=2&continue={token}"),
            200,
            "",
        ),
        row(
            "resourceVersion=0&resourceVersionMatch=NotOlderThan",
            200,
            "",
        ),
        row(
            "resourceVersion=0&resourceVersionMatch=Exact",
            422,
            "Invalid",
        ),
        row(format!("resourceVersion={now}"), 200, ""),
        row(format!("resourceVersion={now}&limit=2"), 200, ""),
        row(
            format!("resourceVersion={now}&resourceVersionMatch=NotOlderThan"),
            200,
            "",
        ),
        row(
            format!("resourceVersion={now}&resourceVersionMatch=Exact"),
            200,
            "",
        ),
        row(
            "resourceVersion=1&resourceVersionMatch=Exact",
            410,
            "Expired",
        ),
        row("resourceVersion=1&limit=2", 410, "Expired"),
        row(format!("resourceVersion={}", now + 1), 504, "Timeout"),
        row(
            format!("resourceVersion={}&resourceVersionMatch=Exact", now + 1),
            504,
            "Timeout",
        ),
        row("resourceVersionMatch=Exact", 422, "Invalid"),
        row("resourceVersionMatch=NotOlderThan", 422, "Invalid"),
        row(
            format!("resourceVersionMatch=Exact&continue={token}"),
            422,
            "Invalid",
        ),
        row(
            format!("resourceVersion={now}&resourceVersionMatch=Exact&continue={token}"),
            422,
            "Invalid",
        ),
        row(
            format!("resourceVersion=5&continue={token}"),
            400,
            "BadRequest",
        ),
        row("resourceVersion=1&resourceVersionMatch=Foo", 422, "Invalid"),
        row("sendInitialEvents=true", 422, "Invalid"),
        row("sendInitialEvents=false", 422, "Invalid"),
        row(format!("{send}&resourceVersion=0"), 422, "Invalid"),
        row("resourceVersion=abc", 400, "BadRequest"),
        row("resourceVersion=-1", 400, "BadRequest"),
        row("limit=x", 400, "BadRequest"),
        row("limit=-5", 200, ""),
        row("limit=0", 200, ""),
        row("timeoutSeconds=x", 400, "BadRequest"),
        row("continue=garbage", 400, "BadRequest"),
        row("unknownParam=1", 200, ""),
    ];
    for (query, code, reason) in rows {
        let answer = world.get(&format!("imagetags?{query}")).await;
        assert_eq!(answer.status.as_u16(), code, "{query}: {}", answer.text);
        let json = answer.json();
        if code == 200 {
            assert_eq!(json["kind"], "ImageTagList", "{query}");
            assert_eq!(answer.list_version(), now, "{query}");
            continue;
        }
        assert_eq!(
            (&json["kind"], &json["reason"]),
            (&"Status".into(), &reason.into()),
            "{query}"
        );
        if code == 422 {
            let details = &json["details"];
            assert_eq!(
                (&details["group"], &details["kind"]),
                (&"meta.k8s.io".into(), &"ListOptions".into())
            );
            for cause in details["causes"].as_array().unwrap() {
                let reason = cause["reason"].as_str().unwrap();
                assert!(
                    matches!(reason, "FieldValueForbidden" | "FieldValueNotSupported"),
                    "{query}"
                );
                assert!(
                    cause["message"].is_string() && cause["field"].is_string(),
                    "{query}"
                );
            }
        }
    }
}

#[tokio::test]
async fn any_state_that_the_history_knows_can_be_asked_for_exactly() {
    let world = World::new();
    let mut states = Vec::new();
    let image = "ghcr.io/a/b";
    for step in 0..6 {
        match step {
            0 => world.scan("n", "a", image, &["1", "2"], true),
            1 => world.scan("m", "b", image, &["1", "2", "3"], true),
            2 => world.elect("n/a", "n/p", Some("2"), true),
            3 => world.scan("n", "a", image, &["2", "9"], false),
            4 => drop(
                world
                    .store
                    .remove_repository(&super::support::key("m/b"))
                    .unwrap(),
            ),
            _ => world.scan("n", "a-b", image, &["7"], true),
        }
        let sets = world.get("tagsets").await.text;
        states.push((world.version().0, world.get("imagetags").await.text, sets));
    }
    for (version, tags, sets) in &states {
        let query = format!("resourceVersion={version}&resourceVersionMatch=Exact");
        assert_eq!(&world.get(&format!("imagetags?{query}")).await.text, tags);
        assert_eq!(&world.get(&format!("tagsets?{query}")).await.text, sets);
        let page = world
            .get(&format!("imagetags?resourceVersion={version}&limit=1"))
            .await;
        assert_eq!(page.list_version(), *version);
    }
    // Within a commit there never was a state.
    let between = states[0].0 - 1;
    let refused = world
        .get(&format!(
            "imagetags?resourceVersion={between}&resourceVersionMatch=Exact"
        ))
        .await;
    assert_eq!(refused.status, StatusCode::GONE);
    assert_eq!(
        refused.json()["message"],
        "The resourceVersion for the provided list is too old."
    );
    assert!(world.store.snapshot_at(ResourceVersion(between)).is_none());
    assert!(
        world
            .store
            .snapshot_at(ResourceVersion(states[5].0 + 1))
            .is_none()
    );
}

#[tokio::test]
async fn metadata_is_complete_and_every_object_has_an_identity_of_its_own() {
    let world = World::filled();
    let mut uids = std::collections::BTreeSet::new();
    for path in ["imagetags", "tagsets"] {
        let list = world.get(path).await.json();
        let fields: Vec<&str> = list["metadata"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(fields, ["resourceVersion"]);
        for item in list["items"].as_array().unwrap() {
            let metadata = item["metadata"].as_object().unwrap();
            let text = |name: &str| metadata[name].as_str().unwrap();
            assert!(!text("name").is_empty() && !text("namespace").is_empty());
            assert!(
                text("uid").parse::<uuid::Uuid>().is_ok() && uids.insert(text("uid").to_owned())
            );
            let version = text("resourceVersion");
            assert_eq!(version, version.parse::<u64>().unwrap().to_string());
            let created = text("creationTimestamp");
            assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
            for absent in ["selfLink", "managedFields", "ownerReferences"] {
                assert!(!metadata.contains_key(absent), "{absent}");
            }
        }
    }
}

#[tokio::test]
async fn two_servers_of_one_state_give_the_same_bytes_and_take_each_others_tokens() {
    let (one, two) = (World::filled(), World::filled());
    for path in [
        "imagetags",
        "tagsets",
        "namespaces/apps/imagetags",
        "imagetags?limit=3",
    ] {
        for accept in ["application/json", PARTIAL_LIST, TABLE] {
            assert_eq!(
                one.get_as(path, accept).await.text,
                two.get_as(path, accept).await.text
            );
        }
    }
    let token = |list: Value| list["metadata"]["continue"].as_str().unwrap().to_owned();
    let next = token(one.get("imagetags?limit=3").await.json());
    let path = format!("imagetags?limit=3&continue={next}");
    assert_eq!(one.get(&path).await.text, two.get(&path).await.text);
    // A server that never had that state says so, and never shows another one under its version.
    let other = World::new();
    other.scan("n", "a", "ghcr.io/a/b", &["1"], true);
    let refused = other.get(&path).await;
    assert_eq!(
        (refused.status, refused.json()["reason"].as_str()),
        (StatusCode::GONE, Some("Expired"))
    );
}

#[tokio::test]
async fn a_shard_selector_is_ignored_and_never_claimed_to_be_heard() {
    let world = World::filled();
    let list = world.get("imagetags?shardSelector=shard+%3D%3D+1").await;
    assert_eq!(list.text, world.get("imagetags").await.text);
    assert!(list.json()["metadata"].get("shardInfo").is_none());
}

#[tokio::test]
async fn kube_controller_managers_metadata_informers_get_json() {
    let world = World::filled();
    let metadata = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let accept = format!(
        "application/vnd.kubernetes.protobuf;{metadata},application/json;{metadata},application/json"
    );
    let list = world.get_as("imagetags", &accept).await;
    let json = list.json();
    assert_eq!(
        (&json["kind"], &json["apiVersion"]),
        (
            &"PartialObjectMetadataList".into(),
            &"meta.k8s.io/v1".into()
        )
    );
    assert_eq!(
        (list.list_version(), list.names().len()),
        (world.version().0, 8)
    );
    assert_eq!(list.header("content-type"), Some("application/json"));
    for (accept, code) in [
        ("application/vnd.kubernetes.protobuf", 406),
        ("application/json;as=Unknown;g=x;v=y", 406),
        ("application/json;as=Unknown;g=x;v=y,application/json", 200),
    ] {
        assert_eq!(
            world.get_as("imagetags", accept).await.status.as_u16(),
            code,
            "{accept}"
        );
    }
}

#[tokio::test]
async fn label_selectors_are_upstreams_whole_grammar() {
    let world = World::new();
    let labels = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    for (name, pairs) in [
        ("none", &[][..]),
        ("b", &[("a", "b")]),
        ("c", &[("a", "c")]),
        ("empty", &[("a", "")]),
        ("five", &[("a", "5")]),
        ("in", &[("in", "in")]),
    ] {
        let mut owner = super::support::owner("n", name);
        owner.labels = labels(pairs);
        world.scan_of(owner, "ghcr.io/a/b", &["1"], true);
    }
    for (selector, expected) in [
        ("a", "b c empty five"),
        ("!a", "in none"),
        ("a=b", "b"),
        ("a==b", "b"),
        ("a!=b", "c empty five in none"),
        ("a+in+(b,c)", "b c"),
        ("a+notin+(b)", "c empty five in none"),
        ("a>1", "five"),
        ("a<6", "five"),
        ("a=", "empty"),
        ("a+in+(,b)", "b empty"),
        ("in+in+(in)", "in"),
        ("a,a!=b,+a+notin+(c)", "empty five"),
    ] {
        let path = format!(
            "imagetags?labelSelector={}",
            selector.replace('<', "%3C").replace('>', "%3E")
        );
        let names = world.get(&path).await.names();
        let names: Vec<&str> = names
            .iter()
            .map(|name| name.trim_end_matches(":1"))
            .collect();
        assert_eq!(names.join(" "), expected, "{selector}");
        // A page of one at a time finds the same.
        let (mut paged, mut token) = (Vec::new(), String::new());
        loop {
            let page = world.get(&format!("{path}&limit=1&continue={token}")).await;
            paged.extend(page.names());
            match page.json()["metadata"].get("continue") {
                Some(next) => token = next.as_str().unwrap().to_owned(),
                None => break,
            }
        }
        let paged: Vec<&str> = paged
            .iter()
            .map(|name| name.trim_end_matches(":1"))
            .collect();
        assert_eq!(paged, names, "{selector}");
    }
    for wrong in ["a+in+(", "a===b", "-x", "a>b"] {
        let refused = world
            .get(&format!(
                "imagetags?labelSelector={}",
                wrong.replace('>', "%3E")
            ))
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert_eq!(refused.json()["reason"], "BadRequest");
    }
}

#[tokio::test]
async fn names_that_are_no_path_segments_are_never_looked_up() {
    let world = World::filled();
    for (name, code, message) in [
        (".", 400, "Name parameter invalid: \".\": may not be '.'"),
        (
            "%2e%2e",
            400,
            "Name parameter invalid: \"..\": may not be '..'",
        ),
        ("podinfo%2F6.3.0", 404, "the server could not find"),
        (
            "podinfo:%2e%2e",
            404,
            "imagetags.tags.tagscope.dev \"podinfo:..\" not found",
        ),
        ("podinfo:6.3.0%2Fx", 404, "the server could not find"),
        (
            "podinfo%25:6.3.0",
            400,
            "Name parameter invalid: \"podinfo%:6.3.0\": may not contain '%'",
        ),
    ] {
        let answer = world
            .get(&format!("namespaces/flux-system/imagetags/{name}"))
            .await;
        assert_eq!(answer.status.as_u16(), code, "{name}");
        let status = answer.json();
        assert_eq!(status["kind"], "Status");
        let said = status["message"].as_str().unwrap();
        assert!(said.starts_with(message), "{said}");
    }
}
