//! Numbers, row by row as Go reads them; bits where rounding matters.

use proptest::prelude::*;

use super::*;

#[test]
fn numbers_are_read_as_in_go() {
    for (text, value) in [
        ("1", 1.0),
        ("-1", -1.0),
        ("+1", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e5", 1e5),
        ("1E+5", 1e5),
        ("00012", 12.0),
        ("inf", f64::INFINITY),
        ("+Inf", f64::INFINITY),
        ("-INFINITY", f64::NEG_INFINITY),
        ("1.7976931348623158e308", f64::MAX),
        ("1e-400", 0.0),
        ("2e-324", 0.0),
        ("1_000", 1000.0),
        ("2024_01_02", 20_240_102.0),
        ("1.5_5", 1.55),
        ("1e1_0", 1e10),
        ("0_1", 1.0),
        ("0x1p4", 16.0),
        ("-0X1.8P+1", -3.0),
        ("0x.8p1", 1.0),
        ("0x_1p4", 16.0),
        ("0x1p1_0", 1024.0),
        ("20240115123456789", 20_240_115_123_456_788.0),
    ] {
        assert_eq!(parse(text), Some(value), "{text:?}");
    }
    assert!(
        ["nan", "NaN", "NAN"]
            .iter()
            .all(|text| parse(text).is_some_and(f64::is_nan))
    );
    assert!(parse("-0").is_some_and(|zero| zero == 0.0 && zero.is_sign_negative()));
}

#[test]
fn other_texts_are_no_numbers() {
    for text in [
        "+nan",
        "-nan",
        "1e309",
        "12e3456",
        "123e456",
        "5e99999999999",
        "1.7976931348623159e308",
        "_1",
        "1_",
        "1__0",
        "1_.5",
        "1._5",
        "1e_1",
        "0_x1p1",
        "0x10",
        "0x1.8",
        "0x1p",
        "0xp1",
        "0x1e5",
        "0b1",
        "0o7",
        "",
        ".",
        "+",
        "e5",
        "1e",
        "1e+",
        "1..5",
        "1.2.3",
        "1-2",
        " 1",
        "1 ",
        "1f",
        "٣",
        "latest",
        "0x",
        "0x_p1",
        "0x1_p1",
        "0x1p1024",
        "infin",
        "_",
        "--1",
        "1e5e5",
        "1e5.0",
    ] {
        assert_eq!(parse(text), None, "{text:?}");
    }
}

#[test]
fn hexadecimal_numbers_round_half_to_even() {
    for (text, bits) in [
        // The 53rd bit and what lies behind it.
        ("0x1.00000000000008p0", 0x3ff0_0000_0000_0000),
        ("0x1.000000000000080000000000001p0", 0x3ff0_0000_0000_0001),
        ("0x1.00000000000018p0", 0x3ff0_0000_0000_0002),
        ("0xffffffffffffffffffffp-80", 0x3ff0_0000_0000_0000),
        // The smallest subnormal, its half, and a little more than its half.
        ("0x1p-1074", 1),
        ("0x1p-1075", 0),
        ("0x1.0000000000000000000001p-1075", 1),
        ("0x1.8p-1074", 2),
        ("0x1p-99999999", 0),
        ("0x1p-1022", 0x0010_0000_0000_0000),
        // The largest number, and what still rounds down to it.
        ("0x1.fffffffffffffp1023", 0x7fef_ffff_ffff_ffff),
        ("0x1.fffffffffffff7p1023", 0x7fef_ffff_ffff_ffff),
        ("0x0p99999", 0),
    ] {
        assert_eq!(parse(text).map(f64::to_bits), Some(bits), "{text}");
    }
    assert_eq!(parse("0x1.fffffffffffff8p1023"), None);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*", number_like in "[+-]?(0x)?[0-9a-f_.]{0,40}[pe]?[+-]?[0-9_]{0,7}") {
        let values = [parse(&text), parse(&number_like)];
        let is_named = |text: &str| text.to_ascii_lowercase().contains("inf");
        prop_assert!(values.iter().flatten().all(|value| !value.is_infinite()) || is_named(&text));
    }

    #[test]
    fn what_rust_writes_is_read_back(value in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO) {
        prop_assert_eq!(parse(&format!("{value}")), Some(value));
        prop_assert_eq!(parse(&format!("{value:e}")), Some(value));
    }

    #[test]
    fn bits_written_in_hexadecimal_are_read_back(mantissa in 0_u64..1 << 53, exponent in -1074_i64..971) {
        #[expect(clippy::cast_precision_loss, reason = "fits 53 bits")]
        let value = mantissa as f64 * power_of_two(exponent);
        prop_assert_eq!(parse(&format!("0x{mantissa:x}p{exponent}")), Some(value));
    }
}
