//! Patterns as Go takes and refuses them; laws that hold for any input.

use proptest::prelude::*;

use super::*;

/// The whole match; `None` when there is none, a panic when the pattern is refused.
fn found(pattern: &str, text: &str) -> Option<String> {
    let regexp = Regexp::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let found = regexp.find(text)?;
    assert!(regexp.is_match(text), "{pattern} {text}");
    found.group(0).map(str::to_owned)
}

fn refusal(pattern: &str) -> String {
    Regexp::new(pattern).map_or_else(|error| error.to_string(), |_| "none".to_owned())
}

/// Rows of a pattern, a text, and what the pattern matches of it.
fn execute(rows: &[(&str, &str, Option<&str>)]) {
    for (pattern, text, expected) in rows {
        assert_eq!(
            found(pattern, text).as_deref(),
            *expected,
            "{pattern} on {text:?}"
        );
    }
}

#[test]
fn what_rust_would_refuse_is_taken_as_go_means_it() {
    execute(&[
        (r"[\w-.]+", "a-b.c", Some("a-b.c")),
        (r"[\d-z]+", "1-z", Some("1-z")),
        (r"[\pN-z]+", "1-z", Some("1-z")),
        ("[[]", "[", Some("[")),
        ("[[a]+", "a[", Some("a[")),
        ("[a[b]+", "[ab", Some("[ab")),
        ("{", "{", Some("{")),
        ("a{", "a{", Some("a{")),
        ("a{}", "a{}", Some("a{}")),
        ("a{x}", "a{x}", Some("a{x}")),
        ("a{,5}", "a{,5}", Some("a{,5}")),
        ("a{1", "a{1", Some("a{1")),
        ("a{1,", "a{1,", Some("a{1,")),
        (r"\Qa.b\E+", "a.bb", Some("a.bb")),
        (r"\Qa.b", "axb", None),
        (r"a\Q\E*", "aa", Some("aa")),
        (r"\0", "\0", Some("\0")),
        (r"\08", "\u{0}8", Some("\u{0}8")),
        (r"\12", "\n", Some("\n")),
        (r"\123", "S", Some("S")),
        (r"[\101-\103]+", "ABCD", Some("ABC")),
        ("(?)a", "a", Some("a")),
        ("(?ii)a", "A", Some("A")),
        ("(?i-i)a", "A", None),
        ("(?P<1a>x)", "x", Some("x")),
        ("(?P<1>x)", "x", Some("x")),
        ("(?P<n>a)(?P<n>b)", "ab", Some("ab")),
        (r"\p{^Greek}", "aα", Some("a")),
        (r"\P{^Greek}", "aα", Some("α")),
        (r"\p{Cs}", "a", None),
        (r"\P{Cs}", "a", Some("a")),
        (r"[\p{Cs}b]", "ab", Some("b")),
        ("a(?i)*B", "aab", Some("aab")),
        (r"[\x{D7FF}-\x{E000}]", "\u{D7FF}", Some("\u{D7FF}")),
        (r"[\x{D800}-\x{DFFF}]|b", "ab", Some("b")),
        (r"[^\x{D800}]", "a", Some("a")),
    ]);
    let thousand = "a".repeat(1000);
    execute(&[
        (r"\w{1000}", &thousand, Some(&thousand)),
        (r"^\pL{1000}$", &thousand, Some(&thousand)),
    ]);
}

#[test]
fn what_rust_would_take_otherwise_is_taken_as_go_means_it() {
    execute(&[
        ("[a[b]]", "a", None),
        ("[a[b]]", "[]", Some("[]")),
        ("[a&&b]+", "a&b", Some("a&b")),
        ("[a-z&&[^b]]", "b]", Some("b]")),
        ("[a~~b]+", "~a", Some("~a")),
        ("[*--]+", "+,-", Some("+,-")),
        (r"\<a\>", "<a>", Some("<a>")),
        (r"\b{start}", "a{start}", Some("{start}")),
        ("a{ 1 }", "a{ 1 }", Some("a{ 1 }")),
        ("a{1, 2}", "a{1, 2}", Some("a{1, 2}")),
        ("a{01}", "a{01}", Some("a{01}")),
        (r"\d", "٣", None),
        (r"\s", "\u{b}\u{a0}", None),
        (r"\w", "é", None),
        (r"\bé", "é", None),
        (r"a\b", "aé", Some("a")),
        (r"é\B", "éé", Some("é")),
        ("(x){0}a", "xa", Some("a")),
        (".", "\n", None),
        ("(?s).", "\n", Some("\n")),
        (r"a$", "a\n", None),
        ("(?m)^b$", "a\nb\nc", Some("b")),
        ("(?U)a+", "aaa", Some("a")),
        ("(?U)a+?", "aaa", Some("aaa")),
    ]);
}

#[test]
fn what_both_take_alike_is_taken_alike() {
    execute(&[
        ("(?<n>a)", "a", Some("a")),
        ("[[:alpha:]]+", "aé1", Some("a")),
        ("[[:^alpha:]]", "a1", Some("1")),
        ("[[:word:]]+", "a_1-", Some("a_1")),
        ("a||b", "b", Some("")),
        ("()", "b", Some("")),
        ("(|a)*", "aa", Some("")),
        ("[]a]+", "]a", Some("]a")),
        ("a]}", "a]}", Some("a]}")),
        (
            r"\x41\x{41}\a\f\n\r\t\v",
            "AA\x07\x0c\n\r\t\x0b",
            Some("AA\x07\x0c\n\r\t\x0b"),
        ),
        (r"\_\-\.", "_-.", Some("_-.")),
        ("(?i)k", "\u{212a}", Some("\u{212a}")),
        ("(?i)[j-l]", "K", Some("K")),
        ("(?i:a)b", "Ab", Some("Ab")),
        ("(?i:a)b", "AB", None),
        ("((?i)a)b", "AB", None),
        ("(?i)a(?-i)b", "AB", None),
        ("(?i)a|b", "B", Some("B")),
        ("rc", "src", Some("rc")),
        ("b|ab", "ab", Some("ab")),
        ("a|ab", "ab", Some("a")),
        ("a{100}", "aaaaaaaaa", None),
        ("^a{2,3}?$", "aaa", Some("aaa")),
    ]);
}

#[test]
fn refusals_carry_gos_words() {
    for (pattern, code, excerpt) in [
        ("^test-(.*", "missing closing )", "^test-(.*"),
        ("(", "missing closing )", "("),
        ("a)", "unexpected )", "a)"),
        ("[=", "missing closing ]", "[="),
        ("x[", "missing closing ]", "["),
        ("[]", "missing closing ]", "[]"),
        ("[z-a]", "invalid character class range", "z-a"),
        (r"[a-\d]", "invalid escape sequence", r"\d"),
        ("[a--b]", "invalid character class range", "a--"),
        ("[[:foo:]]", "invalid character class range", "[:foo:]"),
        (
            r"\p{Script=Greek}",
            "invalid character class range",
            r"\p{Script=Greek}",
        ),
        (r"\p{gc=L}", "invalid character class range", r"\p{gc=L}"),
        (
            r"\p{Alphabetic}",
            "invalid character class range",
            r"\p{Alphabetic}",
        ),
        (
            r"\p{White_Space}",
            "invalid character class range",
            r"\p{White_Space}",
        ),
        (r"\p{Grek}", "invalid character class range", r"\p{Grek}"),
        (
            r"\p{isGreek}",
            "invalid character class range",
            r"\p{isGreek}",
        ),
        (r"\p{Greek", "invalid character class range", r"\p{Greek"),
        (r"\p", "invalid character class range", r"\p"),
        (r"\pé.", "invalid character class range", r"\pé"),
        (r"\8", "invalid escape sequence", r"\8"),
        (r"\1", "invalid escape sequence", r"\1"),
        (r"\x{110000}", "invalid escape sequence", r"\x{110000"),
        (r"\x{}", "invalid escape sequence", r"\x{}"),
        (r"\x{4", "invalid escape sequence", r"\x{4"),
        (r"\x4g.", "invalid escape sequence", r"\x4g"),
        (r"\u0041", "invalid escape sequence", r"\u"),
        (r"\U00000041", "invalid escape sequence", r"\U"),
        (r"[\b]", "invalid escape sequence", r"\b"),
        (r"\C", "invalid escape sequence", r"\C"),
        (r"\Z", "invalid escape sequence", r"\Z"),
        (r"\G", "invalid escape sequence", r"\G"),
        (r"\K", "invalid escape sequence", r"\K"),
        (r"\h", "invalid escape sequence", r"\h"),
        (r"\e", "invalid escape sequence", r"\e"),
        (r"\c", "invalid escape sequence", r"\c"),
        (r"\é", "invalid escape sequence", r"\é"),
        ("a\\", "trailing backslash at end of expression", ""),
        ("*", "missing argument to repetition operator", "*"),
        ("*a", "missing argument to repetition operator", "*"),
        ("a|*", "missing argument to repetition operator", "*"),
        ("(+?)", "missing argument to repetition operator", "+?"),
        ("{2}", "missing argument to repetition operator", "{2}"),
        ("a**", "invalid nested repetition operator", "**"),
        ("a++", "invalid nested repetition operator", "++"),
        ("a*+", "invalid nested repetition operator", "*+"),
        ("a?*", "invalid nested repetition operator", "?*"),
        ("a*??", "invalid nested repetition operator", "*??"),
        ("a{2}{3}", "invalid nested repetition operator", "{2}{3}"),
        ("a{2}*", "invalid nested repetition operator", "{2}*"),
        ("a{2}??", "invalid nested repetition operator", "{2}??"),
        ("a{1001}", "invalid repeat count", "{1001}"),
        ("a{1001}?", "invalid repeat count", "{1001}"),
        ("a{0,1001}", "invalid repeat count", "{0,1001}"),
        ("a{2,1}", "invalid repeat count", "{2,1}"),
        ("a{99999999999}", "invalid repeat count", "{99999999999}"),
        ("(a{100}){11}", "invalid repeat count", "{11}"),
        ("(a{100}){11}?", "invalid repeat count", "{11}?"),
        ("((a{0}){1000}){2}", "invalid repeat count", "{2}"),
        ("(?P<a-b>x)", "invalid named capture", "(?P<a-b>"),
        ("(?P<a.b>x)", "invalid named capture", "(?P<a.b>"),
        ("(?P<é>x)", "invalid named capture", "(?P<é>"),
        ("(?P<>x)", "invalid named capture", "(?P<>"),
        ("(?P<x", "invalid named capture", "(?P<x"),
        ("a(?<=a)", "invalid named capture", "(?<=a)"),
        ("(?=a)", "invalid or unsupported Perl syntax", "(?="),
        ("(?<", "invalid or unsupported Perl syntax", "(?<"),
        ("(?x)", "invalid or unsupported Perl syntax", "(?x"),
        ("(?u)", "invalid or unsupported Perl syntax", "(?u"),
        ("(?-u)", "invalid or unsupported Perl syntax", "(?-u"),
        ("(?R)", "invalid or unsupported Perl syntax", "(?R"),
        ("(?#c)", "invalid or unsupported Perl syntax", "(?#"),
        ("(?>a)", "invalid or unsupported Perl syntax", "(?>"),
        ("(?'n'a)", "invalid or unsupported Perl syntax", "(?'"),
        ("(?-)", "invalid or unsupported Perl syntax", "(?-)"),
        ("(?i-)", "invalid or unsupported Perl syntax", "(?i-)"),
        ("(?i", "invalid or unsupported Perl syntax", "(?i"),
        ("(a**", "invalid nested repetition operator", "**"),
    ] {
        assert_eq!(
            refusal(pattern),
            format!("error parsing regexp: {code}: `{excerpt}`"),
            "{pattern}"
        );
    }
}

#[test]
fn classes_are_known_by_the_names_go_knows() {
    for name in [
        "L",
        "Lu",
        "LC",
        "letter",
        "Decimal_Number",
        "decimal number",
        "uppercase-letter",
        "digit",
        "punct",
        "Greek",
        "GREEK",
        "Thai",
        "Han",
        "Yi",
        "Miao",
        "Any",
        "ASCII",
        "Assigned",
        "Cn",
        "Surrogate",
        "Other",
    ] {
        assert_eq!(refusal(&format!(r"\p{{{name}}}")), "none", "{name}");
    }
    execute(&[
        (r"\p{ASCII}+", "aé", Some("a")),
        (r"\p{LC}+", "aA中", Some("aA")),
        (r"(?i)\p{Lu}+", "aA", Some("aA")),
        (r"\p{Surrogate}", "a", None),
    ]);
}

#[test]
fn patterns_are_bounded_in_length_depth_and_size() {
    let nested = |depth: usize| format!("{}a{}", "(b|".repeat(depth), "c)*".repeat(depth));
    assert_eq!(refusal(&nested(31)), "none");
    let too_deep = nested(33);
    assert_eq!(
        refusal(&too_deep),
        format!("error parsing regexp: expression nests too deeply: `{too_deep}`")
    );
    let too_high = format!("a*{}", r"\Q\E*".repeat(64));
    assert_eq!(
        refusal(&too_high),
        format!("error parsing regexp: expression nests too deeply: `{too_high}`")
    );
    assert_eq!(refusal(&"a".repeat(MAX_PATTERN_BYTES)), "none");
    let too_long = "a".repeat(MAX_PATTERN_BYTES + 1);
    assert_eq!(
        refusal(&too_long),
        format!("error parsing regexp: expression too large: `{too_long}`")
    );
    let too_large = r"(\pL{1000}){1}".repeat(3);
    assert_eq!(
        refusal(&too_large),
        format!("error parsing regexp: expression too large: `{too_large}`")
    );
}

/// Texts made of what patterns are made of.
fn pattern_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "é",
        ".",
        "^",
        "$",
        "*",
        "+",
        "?",
        "{2}",
        "{1,}",
        "{",
        "}",
        "(",
        "(",
        ")",
        ")",
        "|",
        "[",
        "[^",
        "]",
        "]",
        "-",
        "[:alpha:]",
        "&&",
        r"\",
        r"\d",
        r"\b",
        r"\Q",
        r"\E",
        r"\x{41}",
        r"\x{D800}",
        r"\012",
        r"\pL",
        r"\p{^Lu}",
        "(?i)",
        "(?U)",
        "(?s:",
        "(?P<n>",
        "(?-",
        "~",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*", subject in "\\PC{0,8}") {
        if let Ok(regexp) = Regexp::new(&text) {
            prop_assert_eq!(regexp.is_match(&subject), regexp.find(&subject).is_some());
        }
    }

    /// A translation that Rust does not take would show as a size that none of these has.
    #[test]
    fn what_is_translated_compiles(pattern in pattern_like()) {
        let code = Regexp::new(&pattern).err().map(|error| error.code);
        prop_assert_ne!(code, Some(Code::Large), "{}", pattern);
    }

    #[test]
    fn quoted_text_matches_itself(text in "[^\\\\]{0,12}") {
        let regexp = Regexp::new(&format!(r"^\Q{text}\E$")).unwrap();
        prop_assert!(regexp.is_match(&text));
    }
}
