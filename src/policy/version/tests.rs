//! Which tags are versions, and the laws of their order.

use proptest::prelude::*;

use super::*;

fn shown(tag: &str) -> Option<String> {
    let Version {
        major,
        minor,
        patch,
        prerelease,
        metadata,
    } = Version::parse_tag(tag)?;
    Some(format!("{major} {minor} {patch} {prerelease} {metadata}"))
}

#[test]
fn versions_are_read_from_tags() {
    let zeros = format!("{}1.0.0", "0".repeat(32));
    let long = format!("1.2.3-{}", "a".repeat(300));
    let long_parts = format!("1 2 3 {} ", "a".repeat(300));
    for (tag, parts) in [
        ("1.2.3", "1 2 3  "),
        ("v1.2.3", "1 2 3  "),
        ("01.02.03", "1 2 3  "),
        ("v2025.07.03", "2025 7 3  "),
        ("2024.01.15-rc.1", "2024 1 15 rc.1 "),
        ("1.2-beta.5", "1 2 0 beta.5 "),
        ("1.2-rc.1", "1 2 0 rc.1 "),
        ("15-alpine3.18.1", "15 0 0 alpine3.18.1 "),
        ("1.2-a.b.c", "1 2 0 a.b.c "),
        ("1-2.3.4", "1 0 0 2.3.4 "),
        ("1.2+a.b", "1 2 0  a.b"),
        ("1.2.3-0", "1 2 3 0 "),
        ("1.2.3-0a", "1 2 3 0a "),
        ("1.2.3--", "1 2 3 - "),
        ("1.2.3---.-", "1 2 3 --.- "),
        ("1.2.3+001", "1 2 3  001"),
        ("1.2.3-rc+b.1", "1 2 3 rc b.1"),
        ("1.2.3+b-rc", "1 2 3  b-rc"),
        ("18446744073709551615.0.0", "18446744073709551615 0 0  "),
        (&zeros, "1 0 0  "),
        ("1.2.3-18446744073709551616", "1 2 3 18446744073709551616 "),
        (&long, &long_parts),
    ] {
        assert_eq!(shown(tag).as_deref(), Some(parts), "{tag:?}");
    }
}

#[test]
fn other_tags_are_no_versions() {
    for tag in [
        "V1.2.3",
        "vv1.2.3",
        "v.1.2.3",
        " 1.2.3",
        "1.2.3 ",
        "1.2.3\n",
        "1",
        "1.2",
        "v1.2",
        "v1.2-5",
        "1.2-beta5",
        "1.2.3.4",
        "1.2.3.",
        ".1.2",
        "1..3",
        "1.2.x",
        "1.x.3",
        "*",
        "1.2.3-alpha.01",
        "1.2.3-01",
        "1.2.3-00",
        "1.2.3-",
        "1.2.3+",
        "1.2.3-a..b",
        "1.2.3-a.",
        "1.2.3-.a",
        "1.2.3-a_b",
        "1.2.3_a",
        "1.2.3+a+b",
        "18446744073709551616.0.0",
        "-1.2.3",
        "+1.2.3",
        "1.0.0p",
        "release-1.2.3",
        "latest",
        "",
        "1.2.٣",
        "1.2.3-é",
        "1.+2.3",
        "1.2.+3",
    ] {
        assert_eq!(shown(tag), None, "{tag:?}");
    }
}

#[test]
fn fewer_parts_do_outside_of_tags() {
    for (text, core) in [("1", (1, 0, 0)), ("v1.4", (1, 4, 0)), ("0", (0, 0, 0))] {
        let version = Version::parse_loose(text).unwrap();
        assert_eq!(
            (version.major, version.minor, version.patch),
            core,
            "{text:?}"
        );
    }
}

#[test]
fn precedence_ascends_through_the_list() {
    let ascending = [
        "0.0.0-0",
        "0.0.0",
        "1.0.0--1",
        "1.0.0-alpha",
        "1.0.0",
        "1.0.1-0",
        "1.0.1-5",
        "1.0.1-18446744073709551615",
        "1.0.1--",
        "1.0.1-1-",
        "1.0.1-100000000000000000000",
        "1.0.1-99999999999999999999",
        "1.0.1-A",
        "1.0.1-a",
        "1.0.1-a.0",
        "1.0.1-a.1",
        "1.0.1-a.b",
        "1.0.1-aa",
        "1.0.1-b",
        "1.0.1",
        "1.1.0",
        "1.10.0",
        "2.0.0-a",
        "18446744073709551615.0.0",
    ];
    for (i, low) in ascending.iter().enumerate() {
        for (j, high) in ascending.iter().enumerate() {
            let (a, b) = (
                Version::parse_loose(low).unwrap(),
                Version::parse_loose(high).unwrap(),
            );
            assert_eq!(a.precedence(&b), i.cmp(&j), "{low} {high}");
        }
    }
}

#[test]
fn spelling_and_metadata_have_no_rank() {
    for text in ["1.0.0", "v1.0.0", "01.0.0+x", "1", "1.0", "1.0.0+y.1"] {
        let version = Version::parse_loose(text).unwrap();
        assert!(
            version
                .precedence(&Version::parse_loose("1.0.0").unwrap())
                .is_eq(),
            "{text:?}"
        );
    }
}

/// Versions from a small world, so that ties and near misses are common.
fn version_like() -> impl Strategy<Value = String> {
    "v?[0-2]\\.0?[0-2]\\.[0-2](-(0|1|10|a|A|b|-|1a|99999999999999999999)(\\.(0|2|a|b)){0,2})?(\\+m)?"
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        prop_assert!(Version::parse_tag(&text).is_none() || Version::parse_loose(&text).is_some());
    }

    #[test]
    fn what_is_shown_of_a_version_reads_as_the_same_version(text in version_like()) {
        let version = Version::parse_tag(&text).unwrap();
        let Version { major, minor, patch, prerelease, metadata } = version;
        let mut again = format!("{major}.{minor}.{patch}");
        for (mark, part) in [('-', prerelease), ('+', metadata)] {
            if !part.is_empty() {
                again.push(mark);
                again.push_str(part);
            }
        }
        prop_assert_eq!(Version::parse_tag(&again), Some(version));
    }

    #[test]
    fn precedence_is_antisymmetric(a in version_like(), b in version_like()) {
        let (a, b) = (Version::parse_tag(&a).unwrap(), Version::parse_tag(&b).unwrap());
        prop_assert_eq!(a.precedence(&b), b.precedence(&a).reverse());
        prop_assert!(a.precedence(&a).is_eq());
    }

    #[test]
    fn precedence_is_transitive(texts in prop::array::uniform3(version_like())) {
        let [a, b, c] = texts.each_ref().map(|text| Version::parse_tag(text).unwrap());
        if a.precedence(&b).is_le() && b.precedence(&c).is_le() {
            prop_assert!(a.precedence(&c).is_le());
        }
        if a.precedence(&b).is_eq() {
            prop_assert_eq!(a.precedence(&c), b.precedence(&c));
        }
    }
}
