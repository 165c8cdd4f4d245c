//! What is a document, what it names, and what is none.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const OTHER: &str = "application/json";

fn sha(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

fn entry(letter: char, media_type: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": sha(letter), "size": size})
}

fn read(document: &Value, content_type: Option<&str>) -> Result<Document, String> {
    parse(document.to_string().as_bytes(), content_type).map_err(|error| error.to_string())
}

fn refusal(document: &Value) -> String {
    read(document, None).unwrap_err()
}

fn digests(descriptors: &[Descriptor]) -> Vec<&str> {
    descriptors.iter().map(|it| it.digest.as_str()).collect()
}

fn manifest(layers: &Value) -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers,
        "config": entry('c', "application/vnd.oci.image.config.v1+json", 7)})
}

#[test]
fn an_image_is_its_configuration_and_its_layers_in_order() {
    let layers = json!([entry('1', "a/b", 10), entry('2', "a/b", 0)]);
    let document = read(&manifest(&layers), None).unwrap();
    assert_eq!(document.media_type, OCI_MANIFEST);
    let Content::Manifest { blobs, foreign } = document.content else {
        panic!("a manifest");
    };
    assert_eq!(digests(&blobs), [sha('c'), sha('1'), sha('2')]);
    assert_eq!(
        blobs.iter().map(|blob| blob.size).collect::<Vec<_>>(),
        [7, 10, 0]
    );
    assert!(foreign.is_empty());
    assert_eq!(document.subject, None);
}

#[test]
fn fault_9_duplicate_layers_count_once_and_embedded_data_is_a_layer_like_any_other() {
    let mut embedded = entry('3', "application/vnd.oci.empty.v1+json", 2);
    embedded["data"] = "e30=".into();
    let layers = json!([
        entry('1', "a/b", 10),
        entry('1', "a/c", 10),
        entry('c', "a/b", 7),
        embedded
    ]);
    let document = read(&manifest(&layers), None).unwrap();
    let Content::Manifest { blobs, .. } = document.content else {
        panic!("a manifest");
    };
    assert_eq!(digests(&blobs), [sha('c'), sha('1'), sha('3')]);
}

#[test]
fn fault_9_no_layers_are_fine() {
    for layers in [json!([]), Value::Null] {
        let document = read(&manifest(&layers), None).unwrap();
        let Content::Manifest { blobs, .. } = document.content else {
            panic!("a manifest");
        };
        assert_eq!(digests(&blobs), [sha('c')]);
    }
}

#[test]
fn fault_9_one_digest_has_one_size() {
    let layers = json!([entry('1', "a/b", 10), entry('1', "a/b", 11)]);
    let message = refusal(&manifest(&layers));
    assert_eq!(
        message,
        format!(
            "layers[1]: {} is named with two sizes, 10 and 11 bytes",
            sha('1')
        )
    );
}

#[test]
fn fault_38_layers_that_are_not_to_be_distributed_are_apart() {
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let nondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
    let layers = json!([
        entry('1', foreign, 10),
        entry('2', nondistributable, 10),
        entry('3', "a/b", 10),
        entry('4', foreign, 10),
        entry('4', "a/b", 10),
    ]);
    let document = read(&manifest(&layers), None).unwrap();
    let Content::Manifest { blobs, foreign } = document.content else {
        panic!("a manifest");
    };
    assert_eq!(digests(&foreign), [sha('1'), sha('2')]);
    assert_eq!(digests(&blobs), [sha('c'), sha('3'), sha('4')]);
}

#[test]
fn an_index_lists_its_children_with_what_they_say_of_themselves() {
    let mut image = entry('1', OCI_MANIFEST, 10);
    image["platform"] = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    let mut attestation = entry('2', OCI_MANIFEST, 10);
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.digest": sha('1'), "other": 1});
    let mut nested = entry('3', OCI_INDEX, 10);
    nested["platform"] = json!("none");
    nested["annotations"] = json!({"vnd.docker.reference.digest": 3});
    nested["artifactType"] = "a/b".into();
    let index = json!({"mediaType": OCI_INDEX, "manifests": [image, attestation, nested],
        "subject": entry('4', OCI_MANIFEST, 5)});
    let document = read(&index, None).unwrap();
    assert_eq!(document.subject.unwrap().digest.as_str(), sha('4'));
    let Content::Index(children) = document.content else {
        panic!("an index");
    };
    let platforms: Vec<_> = children
        .iter()
        .map(|child| child.platform.clone())
        .collect();
    assert_eq!(platforms[0], Some("linux/arm64".parse().unwrap()));
    assert!(platforms[1].as_ref().unwrap().is_unknown());
    assert_eq!(platforms[2], None);
    let attests: Vec<_> = children.iter().map(|child| child.attests.clone()).collect();
    assert_eq!(attests, [None, Some(sha('1').parse().unwrap()), None]);
    assert_eq!(
        children.iter().map(Child::is_index).collect::<Vec<_>>(),
        [false, false, true]
    );
    assert_eq!(children[2].artifact_type.as_deref(), Some("a/b"));
}

#[test]
fn schema_1_names_layers_without_sizes() {
    let layers = json!([{"blobSum": sha('1')}, {"blobSum": sha('2')}, {"blobSum": sha('1')}]);
    let mut document =
        json!({"schemaVersion": 1, "name": "app", "fsLayers": layers, "history": []});
    let parsed = read(&document, Some(OTHER)).unwrap();
    assert_eq!(parsed.media_type, SCHEMA_1);
    let Content::Manifest { blobs, .. } = parsed.content else {
        panic!("a manifest");
    };
    assert_eq!(digests(&blobs), [sha('1'), sha('2')]);
    assert!(blobs.iter().all(|blob| blob.size == UNKNOWN_SIZE));
    document["signatures"] = json!([{"signature": "x"}]);
    assert_eq!(read(&document, None).unwrap().media_type, SCHEMA_1_SIGNED);
    let sent = read(&document, Some(SCHEMA_1)).unwrap();
    assert_eq!(sent.media_type, SCHEMA_1);
}

#[test]
fn artifact_manifests_have_blobs() {
    let document = json!({"mediaType": OCI_ARTIFACT, "artifactType": "a/b",
        "blobs": [entry('1', "a/b", 3)], "subject": entry('2', OCI_MANIFEST, 3)});
    let parsed = read(&document, None).unwrap();
    let Content::Manifest { blobs, .. } = parsed.content else {
        panic!("a manifest");
    };
    assert_eq!(digests(&blobs), [sha('1')]);
    assert!(parsed.subject.is_some());
}

#[test]
fn the_document_names_its_type_before_its_sender_does() {
    let image = |media_type: Value, config: &str| json!({"mediaType": media_type, "config": entry('c', config, 1), "layers": []});
    let index = json!({"manifests": []});
    let own = "application/vnd.example.thing+json";
    for (document, sent, expected) in [
        (
            image(OCI_MANIFEST.into(), "a/b"),
            Some(DOCKER_LIST),
            OCI_MANIFEST,
        ),
        (image(OCI_MANIFEST.into(), "a/b"), None, OCI_MANIFEST),
        (
            image(Value::Null, "a/b"),
            Some(DOCKER_MANIFEST),
            DOCKER_MANIFEST,
        ),
        (
            image("".into(), "a/b"),
            Some("Application/vnd.docker.distribution.manifest.v2+JSON; charset=utf-8"),
            DOCKER_MANIFEST,
        ),
        (image(Value::Null, "a/b"), Some(OTHER), OCI_MANIFEST),
        (image(Value::Null, DOCKER_CONFIG), None, DOCKER_MANIFEST),
        (image(own.into(), "a/b"), None, own),
        (image(own.into(), "a/b"), Some(OCI_MANIFEST), OCI_MANIFEST),
        (index.clone(), None, OCI_INDEX),
        (index, Some(DOCKER_LIST), DOCKER_LIST),
        (json!({"mediaType": OCI_INDEX}), None, OCI_INDEX),
    ] {
        let parsed = read(&document, sent).unwrap();
        assert_eq!(parsed.media_type, expected, "{document} {sent:?}");
    }
}

#[test]
fn fault_9_what_could_be_two_things_is_refused() {
    let entries = json!([entry('1', OCI_MANIFEST, 1)]);
    for (document, sent, text) in [
        (
            json!({"manifests": entries, "layers": []}),
            None,
            "the document is ambiguous: by manifests it is an index, by layers a manifest",
        ),
        (
            json!({"manifests": [], "config": entry('c', "a/b", 1)}),
            None,
            "the document is ambiguous: by manifests it is an index, by config a manifest",
        ),
        (
            json!({"layers": [], "fsLayers": []}),
            None,
            "the document is ambiguous: by layers it is a manifest, by fsLayers a manifest of schema 1",
        ),
        (
            json!({"mediaType": DOCKER_LIST, "layers": []}),
            Some(DOCKER_MANIFEST),
            "the document is ambiguous: by its media type application/vnd.docker.distribution.manifest.list.v2+json it \
             is an index, by its fields a manifest",
        ),
        (
            json!({"manifests": entries}),
            Some(OCI_MANIFEST),
            "the document is ambiguous: by its media type application/vnd.oci.image.manifest.v1+json it is a manifest, \
             by its fields an index",
        ),
    ] {
        assert_eq!(read(&document, sent).unwrap_err(), text, "{document}");
    }
    let twice = br#"{"layers":[],"layers":[]}"#;
    let message = parse(twice, None).unwrap_err().to_string();
    assert!(message.contains("duplicate field `layers`"), "{message}");
}

#[test]
fn fault_8_digests_that_are_none_are_refused_where_they_stand() {
    let refused = |digest: Value| {
        let mut bad = entry('1', "a/b", 1);
        bad["digest"] = digest;
        refusal(&manifest(&json!([entry('2', "a/b", 1), bad])))
    };
    let malformed = "layers[1]: its digest is malformed; it has to be `sha256:` and 64, or `sha512:` and 128, \
                     lower-case hexadecimal digits: ";
    let unsupported =
        "layers[1]: its digest is of an algorithm that is not supported; sha256 and sha512 are: ";
    for (digest, start) in [
        (sha('A').into(), malformed),
        (sha('1').to_uppercase().into(), malformed),
        ("sha256:../../../etc/passwd".into(), malformed),
        ("sha256:".into(), malformed),
        ("".into(), malformed),
        ("..".into(), malformed),
        (7.into(), malformed),
        (format!("sha512:{}", "1".repeat(64)).into(), malformed),
        (format!("sha384:{}", "1".repeat(96)).into(), unsupported),
        ("md5:d41d8cd98f00b204e9800998ecf8427e".into(), unsupported),
        (Value::Null, "layers[1]: it has no digest"),
    ] {
        let message = refused(digest);
        assert!(message.starts_with(start), "{message}");
    }
    let sha512 = format!("sha512:{}", "1".repeat(128));
    let mut good = entry('1', "a/b", 1);
    good["digest"] = sha512.into();
    assert!(read(&manifest(&json!([good])), None).is_ok());
}

#[test]
fn fault_41_what_a_document_says_is_escaped_and_cut() {
    let mut bad = entry('1', "a/b", 1);
    bad["digest"] = format!("sha256:\n\u{1b}[31m{}", "x".repeat(100_000)).into();
    let long = "\n".repeat(10_000);
    for document in [
        manifest(&json!([bad])),
        manifest(&json!("\n".repeat(10_000))),
        json!({"mediaType": long, "layers": []}),
        json!({"mediaType": long}),
        manifest(&json!([{"mediaType": long, "digest": sha('1'), "size": 1}])),
        manifest(&json!([{"digest": sha('1'), "size": long}])),
    ] {
        let message = refusal(&document);
        assert!(message.len() < 1000, "{} bytes", message.len());
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

#[test]
fn fault_9_sizes_are_whole_numbers() {
    let refused = |size: Value| {
        let mut bad = entry('1', "a/b", 1);
        bad["size"] = size;
        refusal(&json!({"mediaType": OCI_INDEX, "manifests": [bad]}))
    };
    for (size, shown) in [
        (json!(-1), "\"-1\""),
        (json!(1.5), "\"1.5e0\""),
        (json!(1e300), "\"1e300\""),
        (json!(u64::MAX), "\"18446744073709551615\""),
        (json!("12"), "\"12\""),
        (json!([1]), "\"a list\""),
        (json!({}), "\"an object\""),
        (json!(true), "\"true\""),
    ] {
        let message = refused(size);
        if shown == "\"12\"" {
            assert!(message.ends_with(shown), "{message}");
        }
        assert_eq!(
            message,
            format!(
                "manifests[0]: its size is no whole number from 0 to 9223372036854775807: {shown}"
            )
        );
    }
    assert_eq!(refused(Value::Null), "manifests[0]: it has no size");
}

#[test]
fn fault_9_the_number_of_entries_is_bounded_while_they_are_read() {
    let list = |name: &str, count: usize| {
        let one = format!("{{\"digest\":\"{}\",\"size\":1}}", sha('1'));
        format!("{{\"{name}\":[{}]}}", vec![one; count].join(","))
    };
    for name in ["manifests", "layers"] {
        assert!(parse(list(name, MOST_DESCRIPTORS).as_bytes(), None).is_ok());
        let message = parse(list(name, MOST_DESCRIPTORS + 1).as_bytes(), None).unwrap_err();
        assert!(
            message
                .to_string()
                .contains("a list has more than 20000 entries"),
            "{message}"
        );
    }
    // What stands behind the last one is not looked at: the rest is no JSON.
    let unread = list("layers", MOST_DESCRIPTORS + 1).replace("]}", ",\u{1}");
    let message = parse(unread.as_bytes(), None).unwrap_err().to_string();
    assert!(message.contains("more than 20000"), "{message}");
}

#[test]
fn fault_9_other_shapes_and_depth_bombs_are_refused() {
    let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let within = format!("{{\"layers\":[{{\"digest\":{deep}}}]}}");
    let beside = format!("{{\"x\":{deep},\"layers\":[]}}");
    for text in [
        "",
        "[]",
        "null",
        "1",
        "{",
        "{}",
        "{\"layers\":[[]]}",
        "{\"layers\":{}}",
        "{\"layers\":[]}x",
        "[\"a/b\",null,null,[],null,null,null,null]",
        "{\"layers\":[1]}",
        "{\"mediaType\":1,\"layers\":[]}",
        "{\"layers\":[[\"a/b\",\"sha256:00\",1]]}",
        "\u{feff}{\"layers\":[]}",
        &deep,
        &within,
    ] {
        assert!(parse(text.as_bytes(), None).is_err(), "{text:.60}");
    }
    assert!(parse(b"{\"layers\":[],\"x\":\"\xff\"}", None).is_err());
    // Whatever it holds that nobody asked for: an answer, and no overflow of the stack.
    let _either = parse(beside.as_bytes(), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "[a-f0-9]{64}".prop_map(|hex| format!("sha256:{hex}").into()),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let name = prop_oneof![
            Just("manifests"),
            Just("layers"),
            Just("config"),
            Just("digest"),
            Just("size"),
            Just("mediaType"),
            Just("platform"),
            Just("annotations"),
            Just("subject"),
            Just("fsLayers"),
            Just("os"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn reading_never_panics(document in any_json(), sent in prop::option::of("\\PC{0,20}")) {
        let _either = read(&document, sent.as_deref());
    }

    #[test]
    fn each_blob_is_named_once(letters in prop::collection::vec("[0-9a-f]", 0..40)) {
        let layers: Vec<_> = letters.iter().map(|it| entry(it.chars().next().unwrap(), "a/b", 1)).collect();
        let document = json!({"layers": layers});
        let Content::Manifest { blobs, .. } = read(&document, None).unwrap().content else {
            panic!("a manifest");
        };
        let mut expected: Vec<String> = Vec::new();
        for letter in letters {
            let digest = sha(letter.chars().next().unwrap());
            if !expected.contains(&digest) {
                expected.push(digest);
            }
        }
        prop_assert_eq!(digests(&blobs), expected);
    }
}
