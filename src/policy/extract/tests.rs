//! Templates, row by row as Go expands them.

use proptest::prelude::*;

use super::*;

fn expand(pattern: &str, subject: &str, template: &str) -> Option<String> {
    let regexp = Regexp::new(pattern).unwrap();
    let found = regexp.find(subject)?;
    Some(Template::new(template, &regexp).expand(&found))
}

#[test]
fn templates_expand_as_in_go() {
    for (template, expanded) in [
        ("$y.$m", "2024.07"),
        ("${1}_${2}", "2024_07"),
        ("$0", "2024-07"),
        ("$$1", "$1"),
        ("$-", "$-"),
        ("$(1)", "$(1)"),
        ("a$", "a$"),
        ("$opt", ""),
        ("$9", ""),
        ("$1x", ""),
        ("$1_", ""),
        ("$nope", ""),
        ("$01", ""),
        ("${01}", ""),
        ("$00", ""),
        ("${}", "${}"),
        ("${1 }", "${1 }"),
        ("${ 1}", "${ 1}"),
        ("${y-m}", "${y-m}"),
        ("${1", "${1"),
        ("${", "${"),
        ("$é", ""),
        ("$1é", ""),
        ("$٣", ""),
        ("$", "$"),
        ("$$", "$"),
        ("$$$y", "$2024"),
        ("v$1+$2", "v2024+07"),
        ("$1_$2", "07"),
        (r"\1", r"\1"),
        ("$10", ""),
        ("$18446744073709551616", ""),
        ("literal", "literal"),
        ("", ""),
    ] {
        let pattern = "(?P<y>[0-9]+)-(?P<m>[0-9]+)(?P<opt>x)?";
        assert_eq!(
            expand(pattern, "2024-07", template).as_deref(),
            Some(expanded),
            "{template:?}"
        );
    }
}

#[test]
fn names_are_looked_up_as_in_go() {
    for (pattern, subject, template, expanded) in [
        ("^test-(.*)$", "test-0.1.1", "$1", "0.1.1"),
        (r"ver(\d+)", "xver12y", "$1", "12"),
        (r"^(?P<tag>\d+-[0-9]+[^-debug])", "1-23x", "$tag", "1-23x"),
        ("(?P<n>a)?(?P<n>b)", "b", "[$n]", "[b]"),
        ("(?P<n>a)(?P<n>b)", "ab", "[$n]", "[a]"),
        ("(?P<1>a)(b)", "ab", "[$1]", "[a]"),
        ("(?P<2>a)(b)", "ab", "[$2]", "[b]"),
        ("(?P<01>a)(b)", "ab", "[$01]", "[a]"),
        ("(?P<1234567890>a)", "a", "[$1234567890]", "[a]"),
        ("(?P<123456789>a)", "a", "[$123456789]", "[]"),
        ("(a)|(b)", "b", "[$1][$2]", "[][b]"),
        (r"(\d+)-(\d+)", "1-2", "$1_$2", "2"),
        ("(|a)*", "aa", "[$0][$1]", "[][]"),
        (r"[\w-.]+", "a-b.c", "$0", "a-b.c"),
        ("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)", "abcdefghij", "$10", "j"),
    ] {
        assert_eq!(
            expand(pattern, subject, template).as_deref(),
            Some(expanded),
            "{pattern} {template}"
        );
    }
}

proptest! {
    #[test]
    fn no_template_panics(template in "\\PC*", template_like in "[${}a1_ é-]{0,12}") {
        for template in [template, template_like] {
            prop_assert!(expand("(?P<a>.)(.)?", "x", &template).is_some());
        }
    }

    #[test]
    fn doubling_every_dollar_keeps_a_text(text in "[${}a1_-]{0,12}") {
        prop_assert_eq!(expand("(?P<a>.)", "x", &text.replace('$', "$$")), Some(text));
    }
}
