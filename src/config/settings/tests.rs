//! The flags' table: what is meant by what is typed, and what is said about what is wrong.

use clap::Parser;

use super::checker::parse_listen_address;
use super::*;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn check(flags: &[&str]) -> Result<Settings, Problems> {
    let typed = Typed::try_parse_from(std::iter::once("run").chain(flags.iter().copied()))
        .expect("clap takes it");
    Settings::check(typed.args)
}

#[test]
fn the_defaults_are_sound() {
    let settings = check(&[]).unwrap();
    assert_eq!(settings.api_server.listen, "[::]:8443".parse().unwrap());
    assert_eq!(settings.metrics, Some("[::]:8080".parse().unwrap()));
    assert_eq!(settings.health, "[::]:9440".parse().unwrap());
    assert!(settings.controllers.image_repository && settings.controllers.image_policy);
    assert!(settings.controllers.cross_namespace_refs);
    assert_eq!(settings.controllers.namespace, None);
    assert_eq!(
        settings.controllers.min_retry_delay,
        Duration::from_millis(750)
    );
}

#[test]
fn every_problem_is_said_at_once() {
    let problems = check(&[
        "--secure-port=https",
        "--concurrent=0",
        "--max-retry-delay=soon",
        "--requeue-dependency=0s",
        "--log-level=warn",
        "--feature-gates=Nope=true,FluxStorage",
        "--tls-cert-file=a",
        "--imagetag-labels=team,argocd.argoproj.io/x",
        "--controllers=*,-mirrors",
    ])
    .unwrap_err();
    let said = problems.to_string();
    for part in [
        "--secure-port \"https\"",
        "--concurrent \"0\"",
        "--max-retry-delay \"soon\"",
        "--requeue-dependency must be at least 1s",
        "--log-level \"warn\"",
        "knows no \"Nope\"",
        "\"FluxStorage\" does not read Gate=true",
        "--tls-cert-file needs --tls-private-key-file",
        "tracking label \"argocd.argoproj.io/x\"",
        "knows no \"-mirrors\"",
    ] {
        assert!(said.contains(part), "{part} not in:\n{said}");
    }
}

#[test]
fn booleans_follow_pflag() {
    for (flags, expected) in [
        (&["--no-cross-namespace-refs"][..], false),
        (&["--no-cross-namespace-refs=true"], false),
        (&["--no-cross-namespace-refs=0"], true),
        (&["--no-cross-namespace-refs=f"], true),
        (&[], true),
    ] {
        assert_eq!(
            check(flags).unwrap().controllers.cross_namespace_refs,
            expected,
            "{flags:?}"
        );
    }
    assert!(check(&["--no-cross-namespace-refs=yes"]).is_err());
}

#[test]
fn gates_are_told_apart() {
    let gates = |flag: &str| check(&[flag]).unwrap().controllers.gates;
    assert_eq!(gates("--feature-gates="), Gates::default());
    let some =
        gates("--feature-gates=FluxStorage=true,ObjectLevelWorkloadIdentity=1,FluxStorage=f");
    assert!(!some.flux_storage && some.object_level_workload_identity);
}

#[test]
fn controllers_are_selected_by_name() {
    let one = |list: &str| {
        let c = check(&[&format!("--controllers={list}")])
            .unwrap()
            .controllers;
        (c.image_repository, c.image_policy, c.image_mirror)
    };
    assert_eq!(one("*"), (true, true, true));
    assert_eq!(one("*,-imagepolicy"), (true, false, true));
    assert_eq!(one("imagepolicy"), (false, true, false));
    assert_eq!(one("imagemirror"), (false, false, true));
}

#[test]
fn the_implicit_mirror_is_checked_before_anything_starts() {
    let one = |flags: &[&str]| {
        let all = [&["--destination-registry=r.example:5000/team"], flags].concat();
        check(&all).map_err(|problems| problems.to_string())
    };
    let implicit = one(&["--destination-secret=push"])
        .unwrap()
        .mirrors
        .implicit;
    let implicit = implicit.unwrap();
    assert_eq!(implicit.registry, "r.example:5000/team");
    let secret = |text: &str| {
        let flag = format!("--destination-secret={text}");
        one(&[&flag]).map(|settings| settings.mirrors.implicit.unwrap().secret)
    };
    let push = |namespace: &str| Ok(Some(crate::object::Key::new(namespace, "push.it")));
    assert_eq!(secret("push.it"), push("tagscope-system"));
    assert_eq!(secret("images/push.it"), push("images"));
    assert_eq!(secret(""), Ok(None));
    for wrong in ["/push", "a/b/c", "Push", "a/"] {
        assert!(secret(wrong).is_err(), "{wrong}");
    }
    for (flags, problem) in [
        (
            &["--destination-registry=https://r.example"][..],
            "--destination-registry: the registry \"https://r.example\" is neither a host nor host/prefix",
        ),
        (
            &["--destination-registry=team"],
            "would be taken for a part of a Docker Hub name",
        ),
        (
            &["--controllers=*,-imagemirror"],
            "--destination-registry needs the controller imagemirror",
        ),
        (
            &["--watch-label-selector=a=b"],
            "--destination-registry cannot go with --watch-label-selector",
        ),
        (
            &["--workers=0"],
            "--workers \"0\" is not a whole number of at least 1",
        ),
        (&["--tag-workers=x"], "--tag-workers \"x\""),
        (
            &["--mirror-bandwidth=fast"],
            "--mirror-bandwidth \"fast\" is not a bandwidth",
        ),
        (
            &["--destination-registry=", "--destination-secret=push"],
            "--destination-secret needs --destination-registry",
        ),
    ] {
        let said = one(flags).unwrap_err();
        assert!(
            said.contains(problem) && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[test]
fn addresses_are_gos() {
    for (text, expected) in [
        (":8080", Some("[::]:8080")),
        ("127.0.0.1:0", Some("127.0.0.1:0")),
        ("[::1]:9", Some("[::1]:9")),
        ("localhost:80", Some("127.0.0.1:80")),
        ("8080", None),
        ("example.org:80", None),
        (":99999", None),
    ] {
        assert_eq!(
            parse_listen_address(text),
            expected.map(|e| e.parse().unwrap()),
            "{text}"
        );
    }
    assert_eq!(check(&["--metrics-addr=0"]).unwrap().metrics, None);
}
