//! Which proxy the environment names for which URL.

use super::*;

fn proxies(variables: &[(&str, &str)]) -> Proxies {
    Proxies::read(|name| {
        variables
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

fn chosen(proxies: &Proxies, url: &str) -> Option<String> {
    proxies
        .of(&Url::parse(url).unwrap())
        .unwrap()
        .map(|proxy| proxy.host.clone())
}

#[test]
fn the_scheme_of_what_is_asked_chooses_the_variable() {
    for (variables, url, expected) in [
        (&[][..], "https://ghcr.io/v2/", None),
        (
            &[
                ("HTTPS_PROXY", "http://s.test:3128"),
                ("HTTP_PROXY", "http://p.test:3128"),
            ],
            "https://ghcr.io/v2/",
            Some("s.test:3128"),
        ),
        (
            &[
                ("HTTPS_PROXY", "http://s.test:3128"),
                ("HTTP_PROXY", "http://p.test:3128"),
            ],
            "http://ghcr.io/v2/",
            Some("p.test:3128"),
        ),
        (
            &[("HTTP_PROXY", "http://p.test:3128")],
            "https://ghcr.io/v2/",
            None,
        ),
        (
            &[("https_proxy", "http://s.test:3128")],
            "https://ghcr.io/v2/",
            Some("s.test:3128"),
        ),
        (
            &[
                ("HTTPS_PROXY", "http://upper.test:1"),
                ("https_proxy", "http://lower.test:1"),
            ],
            "https://ghcr.io/v2/",
            Some("upper.test:1"),
        ),
        (
            &[("HTTPS_PROXY", ""), ("https_proxy", "http://lower.test:1")],
            "https://ghcr.io/v2/",
            Some("lower.test:1"),
        ),
        // Without a scheme, as Go takes it.
        (
            &[("HTTPS_PROXY", "s.test:3128")],
            "https://ghcr.io/v2/",
            Some("s.test:3128"),
        ),
        (
            &[("ALL_PROXY", "http://s.test:3128")],
            "https://ghcr.io/v2/",
            None,
        ),
    ] {
        assert_eq!(
            chosen(&proxies(variables), url).as_deref(),
            expected,
            "{variables:?} {url}"
        );
    }
}

#[test]
fn no_proxy_names_what_is_asked_directly() {
    for (rules, url, through) in [
        ("", "https://ghcr.io/", true),
        ("*", "https://ghcr.io/", false),
        ("example.com, *", "https://ghcr.io/", false),
        ("ghcr.io", "https://ghcr.io/", false),
        (" GHCR.io ", "https://ghcr.IO/", false),
        ("ghcr.io", "https://ghcr.io./", false),
        ("ghcr.io", "https://a.ghcr.io/", false),
        ("ghcr.io", "https://notghcr.io/", true),
        (".corp.example", "https://corp.example/", true),
        (".corp.example", "https://r.corp.example/", false),
        ("*.corp.example", "https://corp.example/", true),
        ("*.corp.example", "https://a.b.corp.example/", false),
        ("ghcr.io:443", "https://ghcr.io/", false),
        ("ghcr.io:443", "https://ghcr.io:8443/", true),
        ("ghcr.io:80", "http://ghcr.io/", false),
        ("10.0.0.0/8", "https://10.9.8.7:5000/", false),
        ("10.0.0.0/8", "https://11.0.0.1/", true),
        ("10.0.0.0/8", "https://ten.example/", true),
        ("0.0.0.0/0", "https://8.8.8.8/", false),
        ("10.0.0.1", "https://10.0.0.1:5000/", false),
        ("10.0.0.1:5000", "https://10.0.0.1:5000/", false),
        ("10.0.0.1:5000", "https://10.0.0.1/", true),
        ("fd00::/8", "https://[fd00::1]/", false),
        ("fd00::/8", "https://[2001:db8::1]/", true),
        ("::/0", "https://[2001:db8::1]/", false),
        ("fd00::1", "https://[fd00::1]/", false),
        ("[fd00::1]:5000", "https://[fd00::1]:5000/", false),
        ("[fd00::1]:5000", "https://[fd00::1]/", true),
        ("10.0.0.0/99", "https://10.0.0.1/", true),
        (",,:,", "https://ghcr.io/", true),
        // This machine, whatever is said.
        ("", "https://localhost:5000/", false),
        ("", "https://a.localhost:5000/", false),
        ("", "https://127.0.0.1:5000/", false),
        ("", "https://[::1]:5000/", false),
        ("", "https://[::ffff:127.0.0.1]:5000/", false),
    ] {
        let variables = [
            ("HTTPS_PROXY", "http://p.test:1"),
            ("HTTP_PROXY", "http://p.test:1"),
            ("NO_PROXY", rules),
        ];
        assert_eq!(
            chosen(&proxies(&variables), url).is_some(),
            through,
            "{rules:?} {url}"
        );
    }
}

#[test]
fn an_unusable_proxy_is_an_error_only_for_what_should_go_through_it() {
    let proxies = proxies(&[
        ("HTTPS_PROXY", "socks5://me:hunter2@p.test:1"),
        ("NO_PROXY", "quay.io"),
    ]);
    let of = |url: &str| proxies.of(&Url::parse(url).unwrap());
    assert_eq!(
        of("https://ghcr.io/").unwrap_err(),
        "the proxy in HTTPS_PROXY is not an http or https URL"
    );
    assert!(of("https://quay.io/").unwrap().is_none());
    assert!(of("http://ghcr.io/").unwrap().is_none());
    assert!(!format!("{proxies:?}").contains("hunter2"));
}
