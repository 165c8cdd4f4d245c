//! The decision tables of list and watch options.

use super::*;

fn list(query: &str) -> Result<ListOptions, Status> {
    Query::parse(Some(query)).list_options(Kind::ImageTag)
}

fn watch(query: &str) -> Result<WatchOptions, Status> {
    Query::parse(Some(query)).watch_options(Kind::ImageTag)
}

#[test]
fn list_states_follow_the_table() {
    use Match::{Exact, NotOlderThan};
    let rows = [
        ("", None),
        ("resourceVersion=", None),
        ("resourceVersion=0", None),
        ("resourceVersion=0&resourceVersionMatch=NotOlderThan", None),
        ("resourceVersion=0&limit=5", None),
        ("resourceVersion=7", Some((7, NotOlderThan))),
        ("resourceVersion=7&limit=5", Some((7, Exact))),
        (
            "resourceVersion=7&limit=5&resourceVersionMatch=NotOlderThan",
            Some((7, NotOlderThan)),
        ),
        (
            "resourceVersion=7&resourceVersionMatch=Exact",
            Some((7, Exact)),
        ),
    ];
    for (query, expected) in rows {
        let at = list(query)
            .unwrap()
            .at
            .map(|(version, how)| (version.0, how));
        assert_eq!(at, expected, "{query}");
    }
}

#[test]
fn limits_of_zero_or_less_are_none() {
    for (query, expected) in [
        ("limit=0", None),
        ("limit=-3", None),
        ("limit=3", Some(3)),
        ("limit=+3", None),
    ] {
        let options = list(query);
        if query == "limit=+3" {
            // The plus sign of a query is a blank.
            assert_eq!(
                options.unwrap_err().message,
                "strconv.ParseInt: parsing \" 3\": invalid syntax"
            );
            continue;
        }
        assert_eq!(options.unwrap().limit, expected, "{query}");
    }
}

#[test]
fn wrong_list_options_are_refused_in_the_known_words() {
    let rows = [
        (
            "limit=abc",
            400,
            "strconv.ParseInt: parsing \"abc\": invalid syntax",
        ),
        (
            "limit=",
            400,
            "strconv.ParseInt: parsing \"\": invalid syntax",
        ),
        (
            "timeoutSeconds=99999999999999999999",
            400,
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
        ),
        (
            "resourceVersion=abc",
            400,
            "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": \
             invalid syntax",
        ),
        (
            "resourceVersion=-1",
            400,
            "invalid resource version: resourceVersion: Invalid value: \"-1\": strconv.ParseUint: parsing \"-1\": \
             invalid syntax",
        ),
        (
            "continue=x&resourceVersion=5",
            400,
            "specifying resource version is not allowed when using continue",
        ),
        (
            "resourceVersionMatch=Exact",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden unless resourceVersion is provided",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \
             \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        (
            "resourceVersionMatch=Foo&resourceVersion=1",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: \"Foo\": supported \
             values: \"Exact\", \"NotOlderThan\", \"\"",
        ),
        (
            "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=x",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden when continue is provided",
        ),
        (
            "sendInitialEvents=false",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden \
             for list",
        ),
    ];
    for (query, code, message) in rows {
        let status = list(query).unwrap_err();
        assert_eq!(
            (status.code, status.message.as_str()),
            (code, message),
            "{query}"
        );
    }
}

#[test]
fn watches_start_by_the_table() {
    let rows = [
        ("", Start::State(None), true),
        ("resourceVersion=0", Start::State(None), true),
        ("resourceVersion=7", Start::After(ResourceVersion(7)), false),
        (
            "resourceVersion=7&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
            Start::State(Some(ResourceVersion(7))),
            true,
        ),
        (
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
            Start::State(None),
            true,
        ),
        (
            "sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
            Start::Now,
            false,
        ),
        (
            "resourceVersion=0&sendInitialEvents=0&resourceVersionMatch=NotOlderThan",
            Start::Now,
            false,
        ),
        (
            "resourceVersion=7&sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
            Start::After(ResourceVersion(7)),
            false,
        ),
    ];
    for (query, start, marks_initial_end) in rows {
        let options = watch(query).unwrap();
        assert_eq!(
            (options.start, options.marks_initial_end),
            (start, marks_initial_end),
            "{query}"
        );
    }
}

#[test]
fn wrong_watch_options_are_refused_in_the_known_words() {
    let rows = [
        (
            "sendInitialEvents=true",
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires \
             setting resourceVersionMatch to NotOlderThan",
        ),
        (
            "resourceVersionMatch=NotOlderThan",
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden for watch unless sendInitialEvents is provided",
        ),
        (
            "sendInitialEvents=true&resourceVersionMatch=Exact",
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires \
             setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": \
             supported values: \"NotOlderThan\"]",
        ),
        (
            "continue=x",
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden when continue is provided",
        ),
        (
            "resourceVersion=abc",
            "imagetags.tags.tagscope.dev \"\" is invalid: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: \
             parsing \"abc\": invalid syntax",
        ),
    ];
    for (query, message) in rows {
        let status = watch(query).unwrap_err();
        assert_eq!(
            (status.code, status.message.as_str()),
            (422, message),
            "{query}"
        );
    }
}

#[test]
fn flags_are_true_unless_absent_zero_or_false() {
    for (query, expected) in [
        ("", None),
        ("w", Some(true)),
        ("w=", Some(true)),
        ("w=0", Some(false)),
        ("w=FALSE", Some(false)),
        ("w=no", Some(true)),
    ] {
        assert_eq!(Query::parse(Some(query)).flag("w"), expected, "{query}");
    }
}

#[test]
fn the_first_of_a_repeated_parameter_counts() {
    assert_eq!(list("limit=2&limit=x").unwrap().limit, Some(2));
}

#[test]
fn an_unknown_include_object_is_a_bad_request() {
    let status = Query::parse(Some("includeObject=Foo"))
        .include_object()
        .unwrap_err();
    assert_eq!(
        status.message,
        "Unable to convert to Table as requested: includeObject: Invalid value: \"Foo\": must be 'Metadata', 'Object', \
         'None', or empty"
    );
}
