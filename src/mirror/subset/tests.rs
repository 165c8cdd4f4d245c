//! A subset is what the whole was, to the byte.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::mirror::document::{OCI_INDEX, OCI_MANIFEST};

fn digest(number: u8) -> Digest {
    Digest::of(&[number])
}

fn image(number: u8, platform: Option<&str>) -> Value {
    let mut entry =
        json!({"mediaType": OCI_MANIFEST, "digest": digest(number).as_str(), "size": 7});
    if let Some(platform) = platform {
        let parts: Vec<_> = platform.split('/').collect();
        entry["platform"] =
            json!({"os": parts[0], "architecture": parts[1], "variant": parts.get(2)});
    }
    entry
}

fn attestation(number: u8, of: u8) -> Value {
    let mut entry = image(number, Some("unknown/unknown"));
    entry["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": digest(of).as_str(),
    });
    entry
}

fn children(entries: &[Value]) -> Vec<Child> {
    let index = json!({"mediaType": OCI_INDEX, "manifests": entries});
    match document::parse(index.to_string().as_bytes(), None)
        .unwrap()
        .content
    {
        Content::Index(children) => children,
        Content::Manifest { .. } => panic!("an index"),
    }
}

fn kept_of(entries: &[Value], platforms: &[&str]) -> Vec<u8> {
    let platforms: Vec<_> = platforms.iter().map(|text| text.parse().unwrap()).collect();
    let all = children(entries);
    let numbers = kept(&all, &platforms).into_iter().map(|child| {
        let is_it = |number: &u8| digest(*number) == child.descriptor.digest;
        (0..=255).find(is_it).unwrap()
    });
    numbers.collect()
}

#[test]
fn platforms_are_matched_as_containerd_spells_them() {
    let entries = [
        image(1, Some("linux/amd64")),
        image(2, Some("linux/arm64/v8")),
        image(3, Some("linux/arm/v7")),
        image(4, Some("linux/arm/v6")),
        image(5, Some("linux/amd64/v3")),
        image(6, Some("windows/amd64")),
        image(7, Some("windows/amd64")),
        image(8, Some("linux/s390x")),
    ];
    for (platforms, expected) in [
        (&["linux/amd64"][..], &[1][..]),
        (&["linux/x86_64", "linux/aarch64"], &[1, 2]),
        (&["linux/arm64/v8"], &[2]),
        (&["linux/arm"], &[3]),
        (&["linux/arm/v6", "linux/arm/v7"], &[3, 4]),
        (&["linux/amd64/v3"], &[5]),
        (&["windows/amd64"], &[6, 7]),
        (&["linux/riscv64"], &[]),
        (&[], &[1, 2, 3, 4, 5, 6, 7, 8]),
    ] {
        assert_eq!(kept_of(&entries, platforms), expected, "{platforms:?}");
    }
}

#[test]
fn attestations_go_with_what_they_attest() {
    let mut nested = image(6, None);
    nested["mediaType"] = OCI_INDEX.into();
    let entries = [
        attestation(3, 1),
        image(1, Some("linux/amd64")),
        image(2, Some("linux/arm64")),
        attestation(4, 2),
        attestation(5, 9),
        nested,
        image(7, None),
        image(8, Some("unknown/unknown")),
        attestation(9, 3),
    ];
    assert_eq!(kept_of(&entries, &["linux/amd64"]), [3, 1, 6, 7]);
    assert_eq!(kept_of(&entries, &["linux/arm64"]), [2, 4, 6, 7]);
}

#[test]
fn fault_27_what_is_left_of_an_index_is_what_it_was_to_the_byte() {
    let entry = |number: u8| {
        format!(
            "{{ \"digest\":\"{}\",\"size\" :7, \"x\": [\"]}}\\\"\"] }}",
            digest(number)
        )
    };
    let (a, b, c) = (entry(1), entry(2), entry(3));
    let start = format!(
        "{{\n\t\"x\": \"manifests\", \"y\": [1, {{\"manifests\": []}}],\"mediaType\":\"{OCI_INDEX}\",\n  \"m\\u0061nifests\" : [\n    "
    );
    let end = "\n  ] ,\"annotations\": {\"b\":\"1\",\"a\":1.50e1}\n}\n\n";
    let index = format!("{start}{a},\n    {b}\n    ,{c}{end}");
    for (keep, expected) in [
        (&[1, 2, 3][..], index.clone()),
        (&[1], format!("{start}{a}{end}")),
        (&[2], format!("{start}{b}{end}")),
        (&[3], format!("{start}{c}{end}")),
        (&[1, 2], format!("{start}{a},\n    {b}{end}")),
        (&[2, 3], format!("{start}{b}\n    ,{c}{end}")),
        (&[3, 1], format!("{start}{a}\n    ,{c}{end}")),
    ] {
        let keep: Vec<_> = keep.iter().map(|number| digest(*number)).collect();
        let rewritten = rewrite(index.as_bytes(), &keep).unwrap();
        assert_eq!(String::from_utf8(rewritten).unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_a_subset_is_refused() {
    let index = json!({"manifests": [image(1, None)]}).to_string();
    let empty = json!({"manifests": []}).to_string();
    let manifest = json!({"layers": []}).to_string();
    for (bytes, keep, message) in [
        (
            &index,
            &[][..],
            "nothing of the index would be kept".to_owned(),
        ),
        (&empty, &[], "nothing of the index would be kept".to_owned()),
        (
            &index,
            &[1, 2],
            format!("the index does not list {}", digest(2)),
        ),
        (
            &manifest,
            &[1],
            "the document is no index: there are no platforms to choose from".to_owned(),
        ),
    ] {
        let keep: Vec<_> = keep.iter().map(|number| digest(*number)).collect();
        assert_eq!(
            rewrite(bytes.as_bytes(), &keep).unwrap_err(),
            Error(message)
        );
    }
    assert!(rewrite(b"{", &[digest(1)]).is_err());
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(\\PC|[\\[\\]{}\",:\\\\\\n]){0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[a-z\"\\[]{1,3}", inner), 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_subset_says_what_the_whole_said(
        others in prop::collection::vec(("x[a-z\"\\[]{1,3}", any_value()), 0..5),
        extras in prop::collection::vec((any_value(), any::<bool>()), 1..8),
        is_pretty in any::<bool>(),
    ) {
        let entries: Vec<_> = extras.iter().zip(0..).map(|((extra, _), number)| {
            let mut entry = image(number, None);
            entry["extra"] = extra.clone();
            entry
        }).collect();
        let mut index = Value::Object(others.into_iter().collect());
        index["manifests"] = entries.clone().into();
        let text = if is_pretty { serde_json::to_string_pretty(&index).unwrap() } else { index.to_string() };
        let staying: Vec<_> = extras.iter().zip(0_u8..).filter(|((_, stays), _)| *stays).map(|(_, number)| number).collect();
        let keep: Vec<_> = staying.iter().map(|number| digest(*number)).collect();
        let rewritten = rewrite(text.as_bytes(), &keep);
        if keep.is_empty() {
            prop_assert!(rewritten.is_err());
        } else {
            index["manifests"] = staying.iter().map(|number| entries[usize::from(*number)].clone()).collect();
            let expected = if is_pretty { serde_json::to_string_pretty(&index).unwrap() } else { index.to_string() };
            prop_assert_eq!(String::from_utf8(rewritten.unwrap()).unwrap(), expected);
        }
    }

    #[test]
    fn scanning_never_panics(bytes in "(\\PC|[\\[\\]{}\",:\\\\\\n]|\"manifests\":|\\{){0,30}") {
        let _either = scan::entries(bytes.as_bytes());
    }
}
