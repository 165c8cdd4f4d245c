//! Ranges against Masterminds' own vectors and ours, error texts, and laws that hold for any input.

use proptest::prelude::*;

use super::*;

mod vectors;

/// Executes rows; returns how many pairs of a range and a version there were.
fn execute(rows: &[vectors::Row]) -> usize {
    let mut pairs = 0;
    for (text, inside, outside) in rows {
        let range = Range::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for (versions, expected) in [(inside, true), (outside, false)] {
            for version in versions.split_whitespace() {
                let parsed = Version::parse_loose(version).unwrap();
                assert_eq!(range.matches(&parsed), expected, "{version} in {text}");
                assert_eq!(
                    range.check(&parsed).is_ok(),
                    expected,
                    "{version} in {text}"
                );
                pairs += 1;
            }
        }
    }
    pairs
}

fn error(text: &str) -> String {
    match Range::parse(text) {
        Ok(_) => "none".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn upstreams_own_vectors_hold() {
    assert_eq!(execute(vectors::UPSTREAM), 132);
}

#[test]
fn the_edges_upstream_leaves_open_hold() {
    assert_eq!(execute(vectors::EDGES), 118);
}

#[test]
fn an_executed_row_can_fail() {
    assert!(std::panic::catch_unwind(|| execute(&[("^1", "2.0.0", "")])).is_err());
    assert!(std::panic::catch_unwind(|| execute(&[("^1", "", "1.0.0")])).is_err());
}

#[test]
fn errors_quote_the_failing_segment() {
    for (text, message) in [
        ("1.2.3 || foo", r#"improper constraint: " foo""#),
        ("1||", r#"improper constraint: """#),
        ("", r#"improper constraint: """#),
        (" ", r#"improper constraint: " ""#),
        ("*-*", r#"improper constraint: "*-*""#),
        ("1 - 2 - 3", r#"improper constraint: ">= 1, <= 2 - 3""#),
        ("1.2.3-01 || foo", "constraint parser error"),
        ("foo || 1.2.3-01", r#"improper constraint: "foo ""#),
        (
            "1\u{a0}\"\\\u{1b}",
            r#"improper constraint: "1\u00a0\"\\\x1b""#,
        ),
        ("1\u{b}", r#"improper constraint: "1\v""#),
    ] {
        assert_eq!(error(text), message, "{text:?}");
    }
}

#[test]
fn what_the_grammar_refuses_is_improper() {
    for text in [
        "-1",
        "a",
        "latest",
        "1.0.0p",
        "*-*",
        "V1.2",
        "(1)",
        "1.2.3-a_b",
        "1.2 .3",
        "1. 2",
        "1..2",
        ",1",
        "1,",
        "1,,2",
        "> = 1",
        "==1",
        "<>1",
        "~=1",
        "^^1",
        ">=1.2.3<2",
        "12.3.34~ 1.2.3",
        "1.2.3.4",
        "1.x.",
        "1 -2",
        "1- 2",
        ">=1.0 - 2.0",
        "1.0 - <2",
        "|| 1",
    ] {
        assert!(
            matches!(Range::parse(text), Err(Error::Improper(_))),
            "{text:?}: {}",
            error(text)
        );
    }
}

#[test]
fn operands_that_are_no_versions_are_parser_errors() {
    for text in [
        "1x",
        "x1",
        "xx",
        "1.x1",
        "1.2.3x",
        "1|2",
        "1|||2",
        "|1",
        "1.2.3-beta.01",
        "1.2-01",
        "*.2-01",
        "18446744073709551616",
    ] {
        assert_eq!(error(text), "constraint parser error", "{text:?}");
    }
}

#[test]
fn alternatives_without_blanks_do_not_mix_with_hyphens() {
    for (text, message) in [
        ("1 - 2.1||3.1.4", r#"improper constraint: "3.1 .4""#),
        ("1 - 2||3 - 4", r#"improper constraint: "3 - 4""#),
        ("1.0.0-rc||2 - 3", r#"improper constraint: "1.0.0-rc>= ""#),
        ("1 - 2.1 || 3.1.4", "none"),
        ("1 - 2 || 3 - 4", "none"),
        ("1.0.0-rc || 2 - 3", "none"),
    ] {
        assert_eq!(error(text), message, "{text:?}");
    }
}

#[test]
fn what_looks_odd_may_be_a_range() {
    for text in [
        "x",
        "X",
        "x.x.x",
        "v*",
        "*.1.2",
        "1.*.3",
        "x-alpha",
        "1.2.x-alpha",
        "1-alpha",
        "1.2+b",
        "01.02.03",
        "1 - 2, 3 - 4",
        "v1.0 - v2.0",
        "1.2.3 - 4 5",
        ">= 1.2.3, < 2.0 || => 3.0 < 4",
        "^ 1.2",
        ">=1.2.3,<2",
        "1 ,2",
        " 1\n",
        "^v1.2",
        "!=v1.2",
        "1 2",
        "1.x.1x",
        "1 - 2||3.1.4",
        "1 - 2 3 - 4",
        "1.0,2.0 - 3",
    ] {
        assert_eq!(error(text), "none", "{text:?}");
    }
}

#[test]
fn a_range_is_bounded_in_length() {
    assert_eq!(error(&format!("{}1", "1||".repeat(1365))), "none");
    assert_eq!(
        error(&format!("{} 1", "1||".repeat(1365))),
        "improper constraint: the range has more than 4096 bytes"
    );
}

#[test]
fn a_mismatch_says_whether_only_the_gate_stood_in_the_way() {
    for (text, version, mismatch) in [
        (">=1", "1.5.0-a", Mismatch::Prerelease),
        (">=1 || >=2.0.0-0", "1.5.0-a", Mismatch::Prerelease),
        (">=1", "0.9.0-a", Mismatch::OutOfRange),
        (">=1", "0.9.0", Mismatch::OutOfRange),
        (">=1.0.0-b", "1.0.0-a", Mismatch::OutOfRange),
    ] {
        let version = Version::parse_loose(version).unwrap();
        assert_eq!(
            Range::parse(text).unwrap().check(&version),
            Err(mismatch),
            "{version:?} in {text}"
        );
    }
}

/// Texts made of what ranges are made of, so that many of them parse.
fn range_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "0", "1", "2", "x", "*", ".", ".", "-", "-a", "+b", " ", " - ", ",", "||", " || ", "|",
        "<", ">", "=", "~", "^", "!=", ">=", "v",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        drop(Range::parse(&text));
    }

    #[test]
    fn no_range_panics_on_any_version(text in range_like(), core in any::<[u64; 3]>(), prerelease in "[0-9a-z.-]{0,8}") {
        let [major, minor, patch] = core;
        let version = Version { major, minor, patch, prerelease: &prerelease, metadata: "" };
        if let Ok(range) = Range::parse(&text) {
            prop_assert_eq!(range.check(&version).is_ok(), range.matches(&version));
        }
    }

    #[test]
    fn alternatives_hold_what_either_side_holds(
        left in "[<>=~^!]?[0-2](\\.[0-2x]){0,2}(-a)?", right in "[<>=~^]?[0-2](\\.[0-2x]){0,2}(-a)?",
        version in "[0-2]\\.[0-2]\\.[0-2](-[ab])?",
    ) {
        let version = Version::parse_loose(&version).unwrap();
        if let (Ok(a), Ok(b)) = (Range::parse(&left), Range::parse(&right)) {
            let either = Range::parse(&format!("{left} || {right}")).unwrap();
            prop_assert_eq!(either.matches(&version), a.matches(&version) || b.matches(&version));
        }
    }
}
