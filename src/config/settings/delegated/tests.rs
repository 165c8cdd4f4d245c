//! What the flags of authentication and authorization mean.

use clap::Parser;

use super::*;
use crate::config::args::Args;
use crate::config::settings::Settings;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn check(flags: &[&str]) -> Result<Delegated, String> {
    let typed = Typed::try_parse_from([&["run"], flags].concat()).expect("clap takes it");
    let settings = Settings::check(typed.args).map_err(|problems| problems.to_string())?;
    Ok(settings.api_server.delegated)
}

#[test]
fn by_default_the_config_map_says_everything() {
    let delegated = check(&[]).unwrap();
    assert_eq!(delegated.pins, Pins::default());
    assert_eq!(delegated.audiences, Vec::<String>::new());
    assert_eq!(
        delegated.always_allow_paths,
        ["/healthz", "/readyz", "/livez"]
    );
    let ten = Duration::from_secs(10);
    let Delegated {
        token_ttl,
        allow_ttl,
        deny_ttl,
        ..
    } = delegated;
    assert_eq!([token_ttl, allow_ttl, deny_ttl], [ten; 3]);
}

#[test]
fn lists_grow_and_an_empty_one_is_not_none() {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    let delegated = check(&[
        "--client-ca-file=/ca.pem",
        "--requestheader-client-ca-file",
        "/proxy.pem",
        "--requestheader-allowed-names=",
        "--requestheader-username-headers=X-Who, X-Other-Who",
        "--requestheader-group-headers=X-Groups",
        "--requestheader-group-headers=X-More",
        "--requestheader-uid-headers=X-Remote-Uid",
        "--requestheader-extra-headers-prefix=X-Extra-",
        "--api-audiences=here,there",
        "--authentication-skip-lookup",
        "--authentication-tolerate-lookup-failure=true",
        "--authentication-kubeconfig=/authn",
        "--authorization-kubeconfig=/authz",
        "--authentication-token-webhook-cache-ttl=0s",
        "--authorization-webhook-cache-authorized-ttl=5m",
        "--authorization-webhook-cache-unauthorized-ttl=1h",
        "--authorization-always-allow-paths=healthz,/open/*",
    ])
    .unwrap();
    let expected = Delegated {
        pins: Pins {
            lookup: Lookup::Skipped,
            client_ca: Some("/ca.pem".into()),
            front_proxy_ca: Some("/proxy.pem".into()),
            allowed_names: words(&[]),
            username_headers: words(&["x-who", "x-other-who"]),
            uid_headers: words(&["x-remote-uid"]),
            group_headers: words(&["x-groups", "x-more"]),
            extra_prefixes: words(&["x-extra-"]),
        },
        audiences: vec!["here".into(), "there".into()],
        token_ttl: Duration::ZERO,
        authentication_kubeconfig: Some("/authn".into()),
        authorization_kubeconfig: Some("/authz".into()),
        allow_ttl: Duration::from_mins(5),
        deny_ttl: Duration::from_hours(1),
        always_allow_paths: vec!["/healthz".into(), "/open/*".into()],
    };
    assert_eq!(delegated, expected);
    let tolerant = check(&["--authentication-tolerate-lookup-failure"]).unwrap();
    assert_eq!(tolerant.pins.lookup, Lookup::Tolerated);
}

#[test]
fn what_makes_no_sense_is_said() {
    let flags = [
        (
            "--requestheader-username-headers=X Who",
            "--requestheader-username-headers \"X Who\" is not a header's name",
        ),
        (
            "--requestheader-extra-headers-prefix=X-Extra:",
            "--requestheader-extra-headers-prefix \"X-Extra:\" is not a header's name",
        ),
        (
            "--authentication-skip-lookup=perhaps",
            "--authentication-skip-lookup \"perhaps\" is neither true nor false",
        ),
        (
            "--authentication-token-webhook-cache-ttl=61m",
            "--authentication-token-webhook-cache-ttl \"61m\" is more than 1h",
        ),
        (
            "--authorization-webhook-cache-authorized-ttl=long",
            "--authorization-webhook-cache-authorized-ttl \"long\" is not a duration",
        ),
        (
            "--authorization-always-allow-paths=/a*b",
            "--authorization-always-allow-paths \"/a*b\" has a * elsewhere than at its end",
        ),
    ];
    let said = check(&flags.map(|(flag, _)| flag)).unwrap_err();
    for (flag, expected) in flags {
        assert!(said.contains(expected), "{flag} in:\n{said}");
    }
    assert_eq!(said.lines().count(), flags.len(), "{said}");
}
