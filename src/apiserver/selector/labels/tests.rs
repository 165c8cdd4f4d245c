//! The grammar, the words, and matching against an oracle.

use proptest::prelude::*;

use super::*;

fn set(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn each_form_selects_what_it_says() {
    let none = set(&[]);
    let b = set(&[("a", "b")]);
    let c = set(&[("a", "c")]);
    let five = set(&[("a", "5")]);
    let empty = set(&[("a", "")]);
    // The columns: none, b, c, five, empty.
    let rows: [(&str, [bool; 5]); 17] = [
        ("", [true, true, true, true, true]),
        ("a", [false, true, true, true, true]),
        ("!a", [true, false, false, false, false]),
        ("a=b", [false, true, false, false, false]),
        ("a == b", [false, true, false, false, false]),
        ("a!=b", [true, false, true, true, true]),
        ("a in (b,c)", [false, true, true, false, false]),
        ("a notin (b)", [true, false, true, true, true]),
        ("a>4", [false, false, false, true, false]),
        ("a > 5", [false, false, false, false, false]),
        ("a<6", [false, false, false, true, false]),
        ("a=", [false, false, false, false, true]),
        ("a in (,b)", [false, true, false, false, true]),
        ("a in ()", [false, false, false, false, true]),
        ("a,a!=b,!x", [false, false, true, true, true]),
        (
            " a in ( b , c ) , a != c ",
            [false, true, false, false, false],
        ),
        ("in in (in)", [false, false, false, false, false]),
    ];
    for (text, expected) in rows {
        let selector = Selector::parse(text).unwrap();
        let got = [&none, &b, &c, &five, &empty].map(|labels| selector.matches(labels));
        assert_eq!(got, expected, "{text}");
    }
    assert!(
        Selector::parse("in in (in)")
            .unwrap()
            .matches(&set(&[("in", "in")]))
    );
    assert!(
        Selector::parse("notin=in")
            .unwrap()
            .matches(&set(&[("notin", "in")]))
    );
    assert!(
        Selector::parse("example.com/A_b.c=v")
            .unwrap()
            .matches(&set(&[("example.com/A_b.c", "v")]))
    );
}

#[test]
fn wrong_selectors_are_refused_in_the_known_words() {
    let rows = [
        (
            "a in (",
            "unable to parse requirement: found '', expected: ',', ')' or identifier",
        ),
        (
            "a in b",
            "unable to parse requirement: found 'b' expected: '('",
        ),
        (
            "a in (b c)",
            "unable to parse requirement: found 'c', expected: ',' or ')'",
        ),
        (
            "a in (b,",
            "unable to parse requirement: found '', expected: ',', or identifier",
        ),
        (
            "a===b",
            "unable to parse requirement: found '=', expected: identifier",
        ),
        (
            "a b",
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        ),
        (
            "=b",
            "found '=', expected: !, identifier, or 'end of string'",
        ),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must \
             be an integer",
        ),
        (
            "-x",
            "unable to parse requirement: <nil>: Invalid value: \"-x\": name part must consist of alphanumeric \
             characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or \
             'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
        (
            "a=-b",
            "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be an empty string \
             or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
             character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ];
    for (text, message) in rows {
        assert_eq!(
            Selector::parse(text).unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn sets_select_what_set_membership_says(
        values in proptest::collection::vec("[a-z]{0,2}", 1..4),
        label in proptest::option::of("[a-z]{0,2}"),
    ) {
        let list = values.join(",");
        let labels: BTreeMap<String, String> =
            label.iter().map(|value| ("k".to_owned(), value.clone())).collect();
        let member = label.as_ref().is_some_and(|value| values.contains(value));
        let inside = Selector::parse(&format!("k in ({list})")).unwrap();
        let outside = Selector::parse(&format!("k notin ({list})")).unwrap();
        prop_assert_eq!(inside.matches(&labels), member);
        prop_assert_eq!(outside.matches(&labels), !member);
    }

    #[test]
    fn no_text_breaks_the_parser(text in "[a-c=!(),<> /\\-]{0,16}|\\PC{0,16}") {
        drop(Selector::parse(&text));
    }
}
