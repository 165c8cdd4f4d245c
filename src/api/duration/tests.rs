//! Go's spelling, row by row, and that reading undoes writing.

use proptest::prelude::*;

use super::*;

#[test]
fn durations_are_read_as_go_reads_them() {
    let rows: &[(&str, i64)] = &[
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("5s", 5_000_000_000),
        ("+5s", 5_000_000_000),
        ("-5s", -5_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1m1h", 3_660_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("250ms", 250_000_000),
        ("7us", 7_000),
        ("7\u{b5}s", 7_000),
        ("7\u{3bc}s", 7_000),
        ("9ns", 9),
        ("1s2s", 3_000_000_000),
        ("0.9999999999999999999999s", 1_000_000_000),
        ("0.3333333333333333333h", 1_200_000_000_000),
        ("2562047h47m16.854775807s", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
        ("-2562047h47m16.854775808s", i64::MIN),
    ];
    for (text, nanos) in rows {
        assert_eq!(text.parse(), Ok(GoDuration::from_nanos(*nanos)), "{text}");
    }
}

#[test]
fn what_is_no_duration_is_refused_in_go_s_words() {
    let rows = [
        ("", r#"time: invalid duration """#),
        ("3", r#"time: missing unit in duration "3""#),
        ("-", r#"time: invalid duration "-""#),
        ("s", r#"time: invalid duration "s""#),
        (".", r#"time: invalid duration ".""#),
        (".s", r#"time: invalid duration ".s""#),
        ("-.s", r#"time: invalid duration "-.s""#),
        ("1d", r#"time: unknown unit "d" in duration "1d""#),
        ("1h 30m", r#"time: unknown unit "h " in duration "1h 30m""#),
        ("five", r#"time: invalid duration "five""#),
        ("--1s", r#"time: invalid duration "--1s""#),
        (
            "9223372036854775808ns",
            r#"time: invalid duration "9223372036854775808ns""#,
        ),
        ("2562048h", r#"time: invalid duration "2562048h""#),
        (
            "99999999999999999999999s",
            r#"time: invalid duration "99999999999999999999999s""#,
        ),
        (
            "2562047h47m17s",
            r#"time: invalid duration "2562047h47m17s""#,
        ),
    ];
    for (text, message) in rows {
        assert_eq!(
            text.parse::<GoDuration>().unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
}

#[test]
fn durations_are_written_as_go_writes_them() {
    let rows = [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1\u{b5}s"),
        (2_200_000, "2.2ms"),
        (250_000_000, "250ms"),
        (3_300_000_000, "3.3s"),
        (30_000_000_000, "30s"),
        (60_000_000_000, "1m0s"),
        (245_000_000_000, "4m5s"),
        (245_001_000_000, "4m5.001s"),
        (3_600_000_000_000, "1h0m0s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (480_000_000_001, "8m0.000000001s"),
        (-1_500_000_000, "-1.5s"),
        (i64::MAX, "2562047h47m16.854775807s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ];
    for (nanos, text) in rows {
        assert_eq!(GoDuration::from_nanos(nanos).to_string(), text);
    }
}

#[test]
fn a_manifest_s_duration_that_is_too_long_becomes_the_longest() {
    let read = |json: &str| serde_json::from_str::<GoDuration>(json);
    assert_eq!(read(r#""99999999999h""#).unwrap(), GoDuration::MAX);
    assert_eq!(read(r#""10m""#).unwrap(), GoDuration::from_secs(600));
    assert!(
        read(r#""soon""#)
            .unwrap_err()
            .to_string()
            .contains(r#"time: invalid duration "soon""#)
    );
    assert!(read("10").is_err());
    assert_eq!(
        serde_json::to_string(&GoDuration::from_secs(600)).unwrap(),
        r#""10m0s""#
    );
}

#[test]
fn waiting_never_gets_a_negative_or_wrapped_time() {
    assert_eq!(GoDuration::from_nanos(-1).as_std(), Duration::ZERO);
    assert_eq!(GoDuration::from_secs(3).as_std(), Duration::from_secs(3));
    assert_eq!(GoDuration::from(Duration::MAX), GoDuration::MAX);
    assert_eq!(
        GoDuration::from_secs(u32::MAX).to_string(),
        "1193046h28m15s"
    );
}

proptest! {
    #[test]
    fn reading_undoes_writing(nanos: i64) {
        let duration = GoDuration::from_nanos(nanos);
        prop_assert_eq!(duration.to_string().parse(), Ok(duration));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        drop(text.parse::<GoDuration>());
    }

    #[test]
    fn no_text_that_looks_like_a_duration_makes_it_panic(text in "[-+]?([0-9]{0,22}(\\.[0-9]{0,22})?(ns|us|ms|s|m|h|x)?){0,4}") {
        drop(text.parse::<GoDuration>());
    }
}
