//! Names as go-containerregistry reads them, with the refusals in Flux's words.

use std::error::Error as _;

use proptest::prelude::*;

use super::*;

fn repository(text: &str) -> Repository {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn names_have_one_canonical_form() {
    for (text, canonical) in [
        ("alpine", "index.docker.io/library/alpine"),
        ("docker.io/alpine", "index.docker.io/library/alpine"),
        ("index.docker.io/alpine", "index.docker.io/library/alpine"),
        ("docker.io/library/alpine", "index.docker.io/library/alpine"),
        ("fluxcd/flux", "index.docker.io/fluxcd/flux"),
        ("docker.io/fluxcd/flux", "index.docker.io/fluxcd/flux"),
        // Not an alias in go-containerregistry, and no implicit `library` there.
        ("registry-1.docker.io/alpine", "registry-1.docker.io/alpine"),
        (
            "ghcr.io/stefanprodan/podinfo",
            "ghcr.io/stefanprodan/podinfo",
        ),
        ("localhost/app", "localhost/app"),
        ("localhost:5000/team/app", "localhost:5000/team/app"),
        ("registry:5000/app", "registry:5000/app"),
        ("10.0.0.1/app", "10.0.0.1/app"),
        ("[::1]:5000/app", "[::1]:5000/app"),
        ("[::1]/app", "[::1]/app"),
        // No dot, no colon: a path on Docker Hub.
        ("registry/app", "index.docker.io/registry/app"),
        ("GHCR.io/app", "GHCR.io/app"),
        ("a.b/c__d/e--f", "a.b/c__d/e--f"),
    ] {
        assert_eq!(repository(text).to_string(), canonical, "{text}");
    }
}

#[test]
fn a_repository_field_refuses_schemes_tags_and_digests_in_words_that_users_know() {
    let hex = "a".repeat(64);
    for (text, message) in [
        (
            "https://ghcr.io/app",
            "image 'https://ghcr.io/app' should not include URL scheme; remove 'https://'"
                .to_owned(),
        ),
        (
            "oci://x",
            "image 'oci://x' should not include URL scheme; remove 'oci://'".to_owned(),
        ),
        (
            "ghcr.io/app:1.0",
            "image 'ghcr.io/app:1.0' should not include a tag; remove ':1.0'".to_owned(),
        ),
        (
            "alpine:3",
            "image 'alpine:3' should not include a tag; remove ':3'".to_owned(),
        ),
        (
            "host:5000/app:1",
            "image 'host:5000/app:1' should not include a tag; remove ':1'".to_owned(),
        ),
        (
            "localhost:5000",
            "image 'localhost:5000' should not include a tag; remove ':5000'".to_owned(),
        ),
        (
            &format!("alpine@sha256:{hex}"),
            format!(
                "image 'alpine@sha256:{hex}' should not include a digest; remove '@sha256:{hex}'"
            ),
        ),
        (
            &format!("alpine:3@sha256:{hex}"),
            format!(
                "image 'alpine:3@sha256:{hex}' should not include a tag; remove ':3@sha256:{hex}'"
            ),
        ),
        ("", "could not parse reference: ".to_owned()),
        ("Alpine", "could not parse reference: Alpine".to_owned()),
        (
            "ghcr.io/app:",
            "could not parse reference: ghcr.io/app:".to_owned(),
        ),
        (
            "ghcr.io/app@sha256:12",
            "could not parse reference: ghcr.io/app@sha256:12".to_owned(),
        ),
        (
            "ghcr.io/a b",
            "could not parse reference: ghcr.io/a b".to_owned(),
        ),
    ] {
        let error = text.parse::<Repository>().unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn the_cause_says_which_rule_was_broken() {
    for (text, cause) in [
        ("ghcr.io/a", Error::RepositoryLength("a".into())),
        ("ghcr.io/App", Error::RepositoryCharacters("App".into())),
        ("ghcr.io//app", Error::RepositorySegments("/app".into())),
        ("ghcr.io/../app", Error::RepositorySegments("../app".into())),
        ("ghcr.io/app/.", Error::RepositorySegments("app/.".into())),
        ("user@ghcr.io/app", Error::Digest("ghcr.io/app".into())),
        ("a..b/app", Error::Registry("a..b".into())),
        (":5000/app", Error::Registry(":5000".into())),
        ("host:/app", Error::Registry("host:".into())),
        ("host:99999/app", Error::Registry("host:99999".into())),
        ("::1/app", Error::Registry("::1".into())),
        ("gh%63r.io/app", Error::Registry("gh%63r.io".into())),
        (
            "münchen.example/app",
            Error::Registry("münchen.example".into()),
        ),
        ("ghcr.io/app:-x", Error::Tag("-x".into())),
    ] {
        let error = text.parse::<Repository>().unwrap_err();
        let source = error.source().unwrap_or_else(|| panic!("{text}: {error}"));
        assert_eq!(source.to_string(), cause.to_string(), "{text}");
    }
}

#[test]
fn a_long_name_is_cut_in_messages() {
    let error = "x".repeat(100_000).parse::<Repository>().unwrap_err();
    assert!(error.to_string().len() < 400, "{error}");
}

#[test]
fn a_reference_picks_a_tag_or_a_digest() {
    let hex = "0".repeat(64);
    for (text, canonical) in [
        (
            "alpine".to_owned(),
            "index.docker.io/library/alpine:latest".to_owned(),
        ),
        (
            "alpine:3.22".to_owned(),
            "index.docker.io/library/alpine:3.22".to_owned(),
        ),
        (
            format!("alpine@sha256:{hex}"),
            format!("index.docker.io/library/alpine@sha256:{hex}"),
        ),
        (
            format!("h:1/alpine:3@sha256:{hex}"),
            format!("h:1/alpine@sha256:{hex}"),
        ),
    ] {
        assert_eq!(
            text.parse::<Reference>().unwrap().to_string(),
            canonical,
            "{text}"
        );
    }
}

#[test]
fn hosts_that_may_speak_plain_http_are_known_by_name() {
    for (host, plain, loopback) in [
        ("localhost:5000", true, true),
        // go-containerregistry asks for the port here.
        ("localhost", false, true),
        ("kind.localhost", true, true),
        ("kind.localhost:5001", true, true),
        ("127.0.0.1", true, true),
        ("127.0.0.1:5000", true, true),
        ("127.0.0.2:5000", false, true),
        ("[::1]", true, true),
        ("[::1]:5000", true, true),
        ("10.1.2.3", true, false),
        ("172.16.0.1:80", true, false),
        ("172.32.0.1:80", false, false),
        ("192.168.1.1:5000", true, false),
        ("169.254.169.254", false, false),
        ("ghcr.io", false, false),
        ("localhost.example:5000", false, false),
        ("10.0.0.1.example", false, false),
    ] {
        let registry: Registry = host.parse().unwrap();
        assert_eq!(
            (registry.is_plain_http_host(), registry.is_loopback()),
            (plain, loopback),
            "{host}"
        );
    }
}

#[test]
fn docker_hub_answers_at_its_api_host() {
    for host in ["", "docker.io", "index.docker.io", "registry-1.docker.io"] {
        let registry: Registry = host.parse().unwrap();
        assert_eq!(
            (registry.is_docker_hub(), registry.api_host()),
            (true, "registry-1.docker.io"),
            "{host}"
        );
    }
    let registry: Registry = "ghcr.io".parse().unwrap();
    assert_eq!(
        (registry.is_docker_hub(), registry.api_host()),
        (false, "ghcr.io")
    );
}

#[test]
fn a_registry_splits_into_host_and_port() {
    for (text, host, port) in [
        ("ghcr.io", "ghcr.io", None),
        ("h:1", "h", Some(1)),
        ("[::1]:5", "::1", Some(5)),
        ("[::1]", "::1", None),
    ] {
        let registry: Registry = text.parse().unwrap();
        assert_eq!((registry.host(), registry.port()), (host, port), "{text}");
    }
}

#[test]
fn tags_keep_to_the_specification() {
    for (text, ok) in [
        ("1.0", true),
        ("_x", true),
        ("v1.0.0-rc.1_build", true),
        (&*"a".repeat(128), true),
        (&*"a".repeat(129), false),
        (&*"a".repeat(300), false),
        ("", false),
        (".x", false),
        ("-x", false),
        ("a/b", false),
        ("a b", false),
        ("ü", false),
        ("a\n", false),
        ("1.0+build", false),
    ] {
        assert_eq!(text.parse::<Tag>().is_ok(), ok, "{text:?}");
    }
}

#[test]
fn digests_are_sha256_in_lower_case() {
    let empty = Digest::of(b"");
    assert_eq!(
        empty.as_str(),
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(empty.as_str().parse::<Digest>().unwrap(), empty);
    for text in [
        "sha256:",
        "sha512:00",
        &empty.as_str().to_uppercase(),
        empty.as_str().get(..70).unwrap(),
    ] {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn printing_and_parsing_again_changes_nothing(
        host in prop::option::of("[a-z]{1,5}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?|localhost(:5000)?|\\[::1\\]:80|docker\\.io"),
        path in "[a-z0-9]{2,6}([_-][a-z0-9]{1,4})?(/[a-z0-9]{1,5}(\\.[a-z0-9]{1,3})?){0,3}",
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
    ) {
        let name = host.map_or_else(|| path.clone(), |host| format!("{host}/{path}"));
        let parsed: Repository = name.parse().unwrap();
        prop_assert_eq!(parsed.to_string().parse::<Repository>().unwrap(), parsed.clone());

        let text = tag.as_ref().map_or_else(|| name.clone(), |tag| format!("{name}:{tag}"));
        let reference: Reference = text.parse().unwrap();
        prop_assert_eq!(reference.repository(), &parsed);
        prop_assert_eq!(reference.identifier(), tag.as_deref().unwrap_or("latest"));
        prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
    }

    #[test]
    fn no_text_panics_and_what_parses_is_safe_in_a_url(text in "\\PC{0,40}|[a-z.:/@\\[\\]%]{0,30}") {
        if let Ok(repository) = text.parse::<Repository>() {
            let url = format!("https://{}/v2/{}/tags/list", repository.registry().api_host(), repository.path());
            prop_assert_eq!(url::Url::parse(&url).map(|url| url.path().to_owned()), Ok(format!("/v2/{}/tags/list", repository.path())));
            prop_assert_eq!(repository.to_string().parse::<Repository>(), Ok(repository));
        }
        drop(text.parse::<Reference>());
    }
}
