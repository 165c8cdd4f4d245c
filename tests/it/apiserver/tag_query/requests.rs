//! What is read and what is not (CRT-1 to CRT-8), in kube-apiserver's words.

use bytes::Bytes;
use futures::stream;
use http::{Method, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::kit::{Kit, inline, semver};
use crate::apiserver::support::{PARTIAL, PARTIAL_LIST, TABLE};

const ALL: &str = "namespaces/apps/tagqueries";
const GROUP: &str = "tags.tagscope.dev/v1alpha1";

fn good() -> Value {
    json!({"spec": inline(&["1.0.0"], semver("1.x"))})
}

async fn code(kit: &Kit, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let answer = kit.post_to(path, headers, body).await;
    let message = answer.json()["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (answer.status.as_u16(), message)
}

#[tokio::test]
async fn refusals_come_in_upstreams_order() {
    let kit = Kit::new();
    let large = " ".repeat((3 << 20) + 1);
    let accept = ("accept", "application/vnd.kubernetes.protobuf");
    let content = ("content-type", "text/plain");
    let wrong = format!("{ALL}?dryRun=x");
    let both = json!({"spec": {"tags": [], "x": 1}}).to_string();
    let strict = format!("{ALL}?fieldValidation=Strict");
    for (path, headers, body, expected) in [
        (&wrong, &[accept, content][..], large.as_str(), 406),
        (&wrong, &[content], &large, 415),
        (&wrong, &[], &large, 413),
        (&wrong, &[], "{", 422),
        (&strict, &[], "{", 400),
        (&strict, &[], &both, 400),
    ] {
        let (code, message) = code(&kit, path, headers, body).await;
        assert_eq!(code, expected, "{message}");
    }
    assert_eq!(code(&kit, ALL, &[], &both).await.0, 422);
}

#[tokio::test]
async fn a_body_says_what_it_is_or_is_taken_for_a_query() {
    let kit = Kit::new();
    let with = |change: &[(&str, Value)]| {
        let mut body = good();
        for (name, value) in change {
            body[*name] = value.clone();
        }
        body.to_string()
    };
    for body in [
        good().to_string(),
        with(&[("apiVersion", json!(GROUP)), ("kind", json!("TagQuery"))]),
        with(&[("apiVersion", json!("")), ("kind", Value::Null)]),
        with(&[("metadata", json!({"namespace": "apps"}))]),
        with(&[("metadata", Value::Null), ("status", json!({"x": 1}))]),
    ] {
        let answer = kit.post(&body).await;
        assert_eq!(
            answer.status,
            StatusCode::CREATED,
            "{body}: {}",
            answer.text
        );
    }
    let unfit = "TagQuery in version \"v1alpha1\" cannot be handled as a TagQuery: ";
    for (body, expected) in [
        (
            with(&[("apiVersion", json!("tags.tagscope.dev/v1"))]),
            "the API version in the data (tags.tagscope.dev/v1) does not match the expected API version \
             (tags.tagscope.dev/v1alpha1)"
                .to_owned(),
        ),
        (
            with(&[("kind", json!("ImageTag"))]),
            "ImageTag in version \"v1alpha1\" cannot be handled as a TagQuery: the kind in the data (ImageTag) does not \
             match the expected kind (TagQuery)"
                .to_owned(),
        ),
        (
            with(&[("metadata", json!({"namespace": "other"}))]),
            "the namespace of the provided object does not match the namespace sent on the request".to_owned(),
        ),
        (
            with(&[("spec", json!([]))]),
            format!("{unfit}json: cannot unmarshal array into Go struct field TagQuery.spec of type struct"),
        ),
        (
            with(&[("spec", json!({"limit": "5"}))]),
            format!("{unfit}json: cannot unmarshal string into Go struct field TagQuery.spec.limit of type int64"),
        ),
        (
            with(&[("spec", json!({"tags": [1.1]}))]),
            format!("{unfit}json: cannot unmarshal number into Go struct field TagQuery.spec.tags of type string"),
        ),
    ] {
        assert_eq!(code(&kit, ALL, &[], &body).await, (400, expected));
    }
    for (body, expected) in [
        ("", "(<empty>)"),
        ("{", "({)"),
        ("[]", "(5b5d)"),
        ("null", "(6e756c6c)"),
        ("{} x", "({} x)"),
        ("{}{}", "({}{})"),
        ("{\"apiVersion\": 1}", "({\"apiVersion\": 1})"),
    ] {
        let (code, message) = code(&kit, ALL, &[], body).await;
        assert_eq!(code, 400, "{message}");
        assert!(
            message.starts_with("the object provided is unrecognized (must be of type TagQuery): ")
                && message.ends_with(expected),
            "{message}"
        );
    }
    // Names are case-sensitive.
    let (code, message) = code(&kit, ALL, &[], &good().to_string().replace("spec", "Spec")).await;
    assert_eq!(
        (code, message.contains("spec: Required value")),
        (422, true),
        "{message}"
    );
}

#[tokio::test]
async fn json_and_yaml_are_read_and_nothing_else() {
    let kit = Kit::new();
    let json = good().to_string();
    let yaml = "spec:\n  tags: ['1.0.0']\n  policy: {semver: {range: 1.x}}\n";
    for (content, body) in [
        ("application/json", json.as_str()),
        ("application/json;charset=utf-8", &json),
        ("application/yaml", yaml),
        ("application/yaml", &json),
    ] {
        let answer = kit.post_to(ALL, &[("content-type", content)], body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        assert_eq!(answer.json()["status"]["latest"]["tag"], "1.0.0");
    }
    for content in [
        "text/plain",
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "application/x-www-form-urlencoded",
    ] {
        let answer = kit.post_to(ALL, &[("content-type", content)], &json).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let status = answer.json();
        assert_eq!(status["reason"], "UnsupportedMediaType");
        assert_eq!(
            status["message"],
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml"
        );
    }
    let broken = [("content-type", "application/yaml")];
    let (code, message) = code(&kit, ALL, &broken, "a: [\n").await;
    assert!(
        code == 400 && message.contains("yaml parse error"),
        "{message}"
    );
}

#[tokio::test]
async fn a_body_without_a_length_is_read_and_a_long_one_is_not() {
    let kit = Kit::new();
    let text = Bytes::from(good().to_string());
    let (first, second) = (text.slice(..10), text.slice(10..));
    let pieces = [first, second].map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(piece)));
    let body = StreamBody::new(stream::iter(pieces));
    let answer = kit.send(Method::POST, ALL, &[], body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);

    // It never ends: an answer comes all the same.
    let endless = stream::repeat_with(|| {
        Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(&[b' '; 4096])))
    });
    let answer = kit
        .send(Method::POST, ALL, &[], StreamBody::new(endless))
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let status = answer.json();
    assert_eq!(status["reason"], "RequestEntityTooLarge");
    assert_eq!(
        status["message"],
        "Request entity too large: limit is 3145728"
    );

    // Exactly as long as it may be.
    let padded = format!(
        "{}{}",
        good(),
        " ".repeat((3 << 20) - good().to_string().len())
    );
    assert_eq!(kit.post(&padded).await.status, StatusCode::CREATED);

    let breaks = stream::iter([Ok(Frame::data(Bytes::from_static(b"{"))), Err("cut")]);
    let answer = kit
        .send(Method::POST, ALL, &[], StreamBody::new(breaks))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn unknown_and_repeated_fields_are_warned_of_or_refused() {
    let kit = Kit::new();
    let json = r#"{"x": 1, "metadata": {"labels": {"a": "1", "a": "2"}, "colour": "red"},
        "spec": {"tags": ["9"], "tags": ["1.0.0"], "Limit": 3,
                 "policy": {"semver": {"range": "*", "rang": "1"}, "numeric": {}}}}"#;
    let yaml = "x: 1\nmetadata: {labels: {a: '1', a: '2'}, colour: red}\nspec:\n  tags: ['9']\n  tags: ['1.0.0']\n  Limit: 3\n  \
                policy: {semver: {range: '*', rang: '1'}, numeric: {}}\n";
    let problems = [
        r#"duplicate field "spec.tags""#,
        r#"duplicate field "metadata.labels.a""#,
        r#"unknown field "metadata.colour""#,
        r#"unknown field "spec.Limit""#,
        r#"unknown field "spec.policy.numeric""#,
        r#"unknown field "spec.policy.semver.rang""#,
        r#"unknown field "x""#,
    ];
    for (content, body) in [("application/json", json), ("application/yaml", yaml)] {
        let headers = [("content-type", content)];
        for (query, warned) in [
            ("", true),
            ("?fieldValidation=Warn", true),
            ("?fieldValidation=Ignore", false),
        ] {
            let answer = kit.post_to(&format!("{ALL}{query}"), &headers, body).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
            // Of what is there twice the last counts.
            assert_eq!(answer.json()["status"]["latest"]["tag"], "1.0.0");
            let warnings = answer.headers.get_all("warning").iter();
            let mut warnings: Vec<&str> = warnings.map(|value| value.to_str().unwrap()).collect();
            warnings.sort_unstable();
            let mut expected: Vec<String> = problems
                .iter()
                .map(|problem| format!("299 - \"{}\"", problem.replace('"', "\\\"")))
                .collect();
            expected.sort_unstable();
            if warned {
                assert_eq!(warnings, expected);
            } else {
                assert_eq!(warnings, Vec::<&str>::new());
            }
        }
        let path = format!("{ALL}?fieldValidation=Strict");
        let (code, message) = code(&kit, &path, &headers, body).await;
        assert_eq!(code, 400);
        let start = "TagQuery in version \"v1alpha1\" cannot be handled as a TagQuery: strict decoding error: ";
        assert!(message.starts_with(start), "{message}");
        for problem in problems {
            assert!(message.contains(problem), "{problem}: {message}");
        }
    }
    let fine = format!("{ALL}?fieldValidation=Strict");
    assert_eq!(
        kit.post_to(&fine, &[], &good().to_string()).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn options_are_those_of_a_create() {
    let kit = Kit::new();
    let long = "m".repeat(129);
    for (query, field) in [
        ("fieldValidation=X".to_owned(), "fieldValidation"),
        ("dryRun=x".to_owned(), "dryRun"),
        ("dryRun=All&dryRun=".to_owned(), "dryRun"),
        (format!("fieldManager={long}"), "fieldManager"),
        ("fieldManager=%00".to_owned(), "fieldManager"),
    ] {
        let answer = kit
            .post_to(&format!("{ALL}?{query}"), &[], &good().to_string())
            .await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let status = answer.json();
        assert_eq!(status["reason"], "Invalid");
        assert_eq!(status["details"]["kind"], "CreateOptions");
        assert_eq!(status["details"]["causes"][0]["field"], field);
    }
    for query in [
        "dryRun=All",
        "dryRun=All&dryRun=All",
        "fieldManager=kubectl-create",
        "pretty=true",
    ] {
        let answer = kit
            .post_to(&format!("{ALL}?{query}"), &[], &good().to_string())
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{query}");
        assert_eq!(
            answer.json()["status"]["latest"]["tag"],
            "1.0.0",
            "a dry run is a run"
        );
    }
}

#[tokio::test]
async fn a_wrong_spec_is_told_field_by_field() {
    let kit = Kit::new();
    let long = "$1".repeat(4096);
    let rows: Vec<(Value, &[(&str, &str)])> = vec![
        (json!({}), &[("spec", "FieldValueRequired")]),
        (
            json!({"tags": [], "imagePolicyRef": {"name": "a"}, "imageRepositoryRef": {"name": "a"}}),
            &[
                ("spec.imagePolicyRef", "FieldValueForbidden"),
                ("spec.tags", "FieldValueForbidden"),
            ],
        ),
        (
            json!({"tags": ["1"]}),
            &[("spec.policy", "FieldValueRequired")],
        ),
        (
            json!({"imageRepositoryRef": {"name": "a"}}),
            &[("spec.policy", "FieldValueRequired")],
        ),
        (
            json!({"imagePolicyRef": {}}),
            &[("spec.imagePolicyRef.name", "FieldValueRequired")],
        ),
        (
            json!({"imageRepositoryRef": {"name": "A/b", "namespace": "a.b"}, "policy": {}}),
            &[
                ("spec.imageRepositoryRef.name", "FieldValueInvalid"),
                ("spec.imageRepositoryRef.namespace", "FieldValueInvalid"),
            ],
        ),
        (
            json!({"imagePolicyRef": {"name": "a"}, "exclusionList": ["x"]}),
            &[("spec.exclusionList", "FieldValueForbidden")],
        ),
        (
            json!({"tags": ["ok", "a b", ""], "policy": {}}),
            &[
                ("spec.tags[1]", "FieldValueInvalid"),
                ("spec.tags[2]", "FieldValueInvalid"),
            ],
        ),
        (
            json!({"tags": vec!["a"; 100_001], "policy": {}}),
            &[("spec.tags", "FieldValueTooMany")],
        ),
        (
            json!({"tags": [], "policy": {}, "exclusionList": vec!["a"; 26]}),
            &[("spec.exclusionList", "FieldValueTooMany")],
        ),
        (
            json!({"tags": [], "policy": {}, "filterTags": {"extract": long}}),
            &[("spec.filterTags.extract", "FieldValueTooLong")],
        ),
        (
            json!({"tags": [], "policy": {}, "limit": -1}),
            &[("spec.limit", "FieldValueInvalid")],
        ),
        (
            json!({"tags": [], "policy": {}, "limit": 1001}),
            &[("spec.limit", "FieldValueInvalid")],
        ),
        (
            json!({"tags": [], "policy": {}, "governance": {
                "hold": "a b", "minimumAge": "soon", "downgrade": "never", "platforms": ["linux/amd64", "arm"],
                "requireMirrored": "a/b/c",
            }}),
            &[
                ("spec.governance.hold", "FieldValueInvalid"),
                ("spec.governance.minimumAge", "FieldValueInvalid"),
                ("spec.governance.downgrade", "FieldValueNotSupported"),
                ("spec.governance.platforms[1]", "FieldValueInvalid"),
                ("spec.governance.requireMirrored", "FieldValueInvalid"),
            ],
        ),
        (
            json!({"tags": [], "policy": {}, "governance": {"platforms": vec!["linux/amd64"; 33]}}),
            &[("spec.governance.platforms", "FieldValueTooMany")],
        ),
    ];
    for (spec, expected) in rows {
        let body = json!({"metadata": {"name": "mine"}, "spec": spec}).to_string();
        let answer = kit.post(&body).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            answer.text
        );
        let status = answer.json();
        assert_eq!(status["reason"], "Invalid");
        let details = &status["details"];
        assert_eq!(
            (
                details["name"].as_str(),
                details["group"].as_str(),
                details["kind"].as_str()
            ),
            (Some("mine"), Some("tags.tagscope.dev"), Some("TagQuery"))
        );
        let causes: Vec<(&str, &str)> = details["causes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cause| {
                (
                    cause["field"].as_str().unwrap(),
                    cause["reason"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(causes, expected, "{status}");
        let message = status["message"].as_str().unwrap();
        assert!(
            message.starts_with("TagQuery.tags.tagscope.dev \"mine\" is invalid: "),
            "{message}"
        );
    }
    assert_eq!(
        kit.refused(json!({"tags": ["1"], "policy": {}, "limit": 2000})).await,
        (
            422,
            "TagQuery.tags.tagscope.dev \"\" is invalid: spec.limit: Invalid value: 2000: must be less than or equal to 1000"
                .to_owned()
        )
    );
    // However many are wrong, the answer is short.
    let (_, message) = kit
        .refused(json!({"tags": vec!["a b"; 5000], "policy": {}}))
        .await;
    assert!(message.len() < 4096, "{}", message.len());
}

#[tokio::test]
async fn the_answer_comes_in_the_form_that_is_asked_for() {
    let kit = Kit::new();
    let body = json!({"metadata": {"name": "mine"}, "spec": inline(&["1.0.0"], semver("1.x"))})
        .to_string();
    let ask = async |accept: &str, query: &str| {
        kit.post_to(&format!("{ALL}{query}"), &[("accept", accept)], &body)
            .await
    };
    let table = ask(TABLE, "").await;
    assert_eq!(table.status, StatusCode::CREATED);
    let table = table.json();
    assert_eq!(table["kind"], "Table");
    assert_eq!(
        table["rows"][0]["cells"],
        json!(["mine", "1.0.0", "<none>"])
    );
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let whole = ask(TABLE, "?includeObject=Object").await.json();
    assert_eq!(whole["rows"][0]["object"]["kind"], "TagQuery");
    assert_eq!(
        ask(TABLE, "?includeObject=Foo").await.status,
        StatusCode::BAD_REQUEST
    );
    let partial = ask(PARTIAL, "").await.json();
    assert_eq!(partial["kind"], "PartialObjectMetadata");
    assert_eq!(partial["metadata"]["name"], "mine");
    assert_eq!(
        ask(PARTIAL_LIST, "").await.status,
        StatusCode::NOT_ACCEPTABLE
    );
    assert!(
        ask("", "?pretty=true")
            .await
            .text
            .starts_with("{\n  \"kind\": \"TagQuery\"")
    );
    let protobuf_first = "application/vnd.kubernetes.protobuf,application/json";
    assert_eq!(ask(protobuf_first, "").await.json()["kind"], "TagQuery");
}
