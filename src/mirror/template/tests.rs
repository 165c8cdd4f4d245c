//! Names that are made, names that cannot be, and sources that meet.

use proptest::prelude::*;

use super::*;

fn applied(template: &str, registry: &str, source: &str) -> String {
    let template = Template::parse(template).unwrap();
    let made = template.apply(registry, &source.parse().unwrap());
    made.map_or_else(|error| error.to_string(), |made| made.to_string())
}

#[test]
fn names_are_made_of_the_sources() {
    for (template, registry, source, expected) in [
        (
            "{host}/{path}",
            "r.example",
            "alpine",
            "r.example/index.docker.io/library/alpine",
        ),
        (
            "{host}/{path}",
            "r.example",
            "docker.io/a/b",
            "r.example/index.docker.io/a/b",
        ),
        (
            "{host}/{path}",
            "r.example",
            "registry-1.docker.io/a/b",
            "r.example/index.docker.io/a/b",
        ),
        (
            "{host}/{path}",
            "r.example:5000",
            "localhost:5001/app",
            "r.example:5000/localhost-5001/app",
        ),
        (
            "{host}/{path}",
            "r.example/mirror/of",
            "GHCR.io/a/b",
            "r.example/mirror/of/ghcr.io/a/b",
        ),
        (
            "{host}/{path}",
            "localhost",
            "[::1]:5000/a/b",
            "localhost/1-5000/a/b",
        ),
        ("{name}", "r.example", "ghcr.io/a/b/app", "r.example/app"),
        (
            "{name}",
            "docker.io/acme",
            "ghcr.io/a/b",
            "index.docker.io/acme/b",
        ),
        (
            "x/{name}-{host}.y",
            "r.example",
            "ghcr.io/a/b",
            "r.example/x/b-ghcr.io.y",
        ),
        (
            "fixed/place",
            "r.example",
            "ghcr.io/a/b",
            "r.example/fixed/place",
        ),
        ("{path}", "r.example/p", "ghcr.io/a/b", "r.example/p/a/b"),
    ] {
        assert_eq!(
            applied(template, registry, source),
            expected,
            "{template} {registry} {source}"
        );
    }
    let source = "alpine".parse().unwrap();
    assert_eq!(
        Template::by_default().apply("r.example", &source),
        Template::parse("{host}/{path}")
            .unwrap()
            .apply("r.example", &source)
    );
    assert_eq!(Template::parse("{host}/{path}"), Ok(Template::by_default()));
}

#[test]
fn what_is_no_template_is_refused_with_the_reason() {
    let long = "a".repeat(256);
    for (template, cause) in [
        ("", "the template is empty"),
        (
            "{tag}",
            "unknown placeholder \"{tag}\"; there are {host}, {path} and {name}",
        ),
        ("{}", "unknown placeholder \"{}\""),
        ("{Name}", "unknown placeholder"),
        ("{host}/{{path}}", "unknown placeholder"),
        ("{host", "has a `{` without its `}`"),
        ("host}", "has a `}` without its `{`"),
        ("Team/{name}", "capital letters"),
        ("a b", "has \" \", which"),
        ("a\n", "has \"\\n\", which"),
        ("a:{name}", "has \":\", which"),
        ("é", "has \"é\", which"),
        ("/{path}", "begins or ends with a slash"),
        ("{path}/", "begins or ends with a slash"),
        ("a//{path}", "two in a row"),
        ("../{path}", "the segment `.` or `..`"),
        ("{host}/./{path}", "the segment `.` or `..`"),
        (&long, "more than 255 bytes"),
    ] {
        let message = Template::parse(template).unwrap_err().to_string();
        assert!(message.contains(cause), "{template:?}: {message}");
    }
}

#[test]
fn what_is_no_registry_is_refused_with_the_reason() {
    let long = format!("r.example/{}", "a/".repeat(140));
    let path = "a".repeat(250);
    for (registry, cause) in [
        ("", "the host is missing"),
        ("/a", "the host is missing"),
        ("registry", "neither a dot nor a port"),
        ("https://r.example", "it has a scheme"),
        ("r.example/", "a prefix is made of"),
        ("r.example/A", "a prefix is made of"),
        ("r.example/a:1", "a prefix is made of"),
        ("r.example/../a", "a prefix is made of"),
        ("r.example:99999", "is neither a host nor host/prefix"),
        ("r .example", "is neither a host nor host/prefix"),
        (long.trim_end_matches('/'), "between 2 and 255 characters"),
    ] {
        let message = applied("{path}", registry, "ghcr.io/a/b");
        assert!(message.contains(cause), "{registry:?}: {message}");
    }
    let message = applied("{host}/{path}", "r.example", &format!("ghcr.io/{path}"));
    assert!(message.contains("which is no repository"), "{message}");
}

#[test]
fn fault_41_what_is_shown_of_a_template_is_escaped() {
    for text in ["a\u{1b}[31m", "{\n}", "{\u{202e}}", "\u{0}"] {
        let message = Template::parse(text).unwrap_err().to_string();
        assert!(!message.contains(char::is_control), "{message:?}");
        let message = Template::by_default().apply(text, &"alpine".parse().unwrap());
        let message = message.unwrap_err().to_string();
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

fn wish(whose: &str, source: &str, destination: &str) -> (String, Repository, Repository) {
    (
        whose.to_owned(),
        source.parse().unwrap(),
        destination.parse().unwrap(),
    )
}

#[test]
fn sources_that_meet_are_named_with_whose_wish_they_are() {
    let wishes = [
        wish("b", "ghcr.io/b/app", "r.example/app"),
        wish("a", "ghcr.io/a/app", "r.example/app"),
        wish("a", "ghcr.io/a/app", "r.example/app"),
        wish("a", "ghcr.io/a/other", "r.example/other"),
        wish("b", "ghcr.io/a/other", "r.example/other"),
    ];
    let found = collisions(&wishes);
    let expected = Collision {
        destination: "r.example/app".parse().unwrap(),
        sources: vec![
            ("a".to_owned(), "ghcr.io/a/app".parse().unwrap()),
            ("b".to_owned(), "ghcr.io/b/app".parse().unwrap()),
        ],
    };
    assert_eq!(found, [expected]);
    assert_eq!(
        found[0].to_string(),
        "several sources lead to r.example/app: ghcr.io/a/app (a), ghcr.io/b/app (b)"
    );
}

#[test]
fn sources_meet_however_a_registry_is_written() {
    let wishes = [
        wish("a", "ghcr.io/a/app", "r.example/app"),
        wish("b", "ghcr.io/b/app", "R.example:443/app"),
        wish("c", "docker.io/library/cc", "r.example/cc"),
        wish("d", "registry-1.docker.io/library/cc", "R.EXAMPLE/cc"),
    ];
    let found = collisions(&wishes);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].sources.len(), 2);
}

proptest! {
    #[test]
    fn what_parses_makes_repositories(
        text in "([a-z]|/|\\.|-|\\{host\\}|\\{path\\}|\\{name\\}){1,8}",
        source in "(ghcr\\.io|localhost:5000|docker\\.io|\\[::1\\])/[a-z]{1,4}(/[a-z.]{2,5}x){0,3}",
    ) {
        if let (Ok(template), Ok(source)) = (Template::parse(&text), source.parse::<Repository>()) {
            let made = template.apply("r.example/p", &source);
            prop_assert!(made.is_ok(), "{text} {source} {made:?}");
            let made = made.unwrap();
            prop_assert_eq!(made.to_string().parse::<Repository>(), Ok(made.clone()));
            prop_assert!(made.path().starts_with("p/"));
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,20}", registry in "\\PC{0,20}") {
        let source = "alpine".parse().unwrap();
        let template = Template::parse(&text).unwrap_or_else(|_| Template::by_default());
        let _either = template.apply(&registry, &source);
    }
}
