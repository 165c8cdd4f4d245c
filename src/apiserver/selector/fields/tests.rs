//! The grammar, the words, and what a selector demands of names.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Selector, String> {
    Selector::parse(text, Kind::ImageTag).map_err(|error| error.to_string())
}

fn terms(text: &str) -> Vec<(Label, bool, String)> {
    let selector = parse(text).unwrap();
    selector
        .0
        .iter()
        .map(|term| (term.label, term.negated, term.value.clone()))
        .collect()
}

#[test]
fn the_three_operators_and_escapes_are_read() {
    let rows = [
        ("metadata.name=app:1", Label::Name, false, "app:1"),
        ("metadata.name==app:1", Label::Name, false, "app:1"),
        ("metadata.name!=app:1", Label::Name, true, "app:1"),
        ("tag=", Label::Tag, false, ""),
        (r"tag=a\,b\=c\\d", Label::Tag, false, r"a,b=c\d"),
    ];
    for (text, label, negated, value) in rows {
        assert_eq!(terms(text), [(label, negated, value.to_owned())], "{text}");
    }
    assert!(parse(",,").unwrap().is_everything());
    assert_eq!(terms("tag=1,,repository=a").len(), 2);
}

#[test]
fn wrong_selectors_are_refused_in_the_known_words() {
    let rows = [
        (
            "metadata.name",
            "invalid selector: 'metadata.name'; can't understand 'metadata.name'",
        ),
        (
            r"tag=a\b",
            r"invalid field selector: invalid escape sequence: \b",
        ),
        (
            r"tag=a\",
            r"invalid field selector: invalid escape sequence: \",
        ),
        (
            "tag=a=b",
            "invalid field selector: unescaped character in value: 61",
        ),
        (
            "spec.nope=1",
            "\"spec.nope\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\", \
             \"repository\", \"image\", \"tag\", \"digest\"",
        ),
    ];
    for (text, message) in rows {
        assert_eq!(parse(text).unwrap_err(), message, "{text}");
    }
    assert_eq!(
        Selector::parse("tag=1", Kind::TagSet)
            .unwrap_err()
            .to_string(),
        "\"tag\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\", \"repository\", \
         \"image\""
    );
}

#[test]
fn exact_terms_name_the_namespace_repository_and_tag_to_look_at() {
    let selector = parse("metadata.name=app:1.2,metadata.namespace=n").unwrap();
    assert_eq!(selector.required_namespace(), Some("n"));
    assert_eq!(selector.required_repository(Kind::ImageTag), Some("app"));
    assert_eq!(selector.required_tag(), Some("1.2"));
    let negative = parse("metadata.name!=app:1.2,tag!=x").unwrap();
    assert_eq!(negative.required_repository(Kind::ImageTag), None);
    assert_eq!(negative.required_tag(), None);
    let set = Selector::parse("metadata.name=app", Kind::TagSet).unwrap();
    assert_eq!(set.required_repository(Kind::TagSet), Some("app"));
    assert!(!set.admits_key(Kind::TagSet, &Key::new("n", "other")));
}

proptest! {
    #[test]
    fn an_escaped_value_reads_back(value in r"[a-z\\,=:]{0,12}") {
        let escaped = value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
        prop_assert_eq!(terms(&format!("tag={escaped}")), [(Label::Tag, false, value)]);
    }

    #[test]
    fn no_text_breaks_the_parser(text in any::<String>()) {
        drop(parse(&text));
    }
}
