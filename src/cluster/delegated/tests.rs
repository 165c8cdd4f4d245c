//! What becomes of a ConfigMap that is partly or wholly unusable.

use super::*;
use std::collections::BTreeMap;

fn authority(name: &str) -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap()
        .pem()
}

fn data(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn full() -> BTreeMap<String, String> {
    data(&[
        ("client-ca-file", &authority("users")),
        (
            "requestheader-client-ca-file",
            &(authority("proxy") + &authority("proxy next")),
        ),
        ("requestheader-allowed-names", r#"["front-proxy-client"]"#),
        (
            "requestheader-username-headers",
            r#"["X-Remote-User", " "]"#,
        ),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
        (
            "requestheader-extra-headers-prefix",
            r#"["X-Remote-Extra-"]"#,
        ),
    ])
}

#[test]
fn every_key_is_read() {
    let (config, problems) = AuthConfig::default().updated(&full());
    assert_eq!(problems, []);
    assert_eq!(
        config.client_ca.as_ref().map(|bundle| bundle.len()),
        Some(1)
    );
    assert_eq!(
        config.front_proxy_ca.as_ref().map(|bundle| bundle.len()),
        Some(2)
    );
    assert_eq!(
        config.allowed_names,
        AllowedNames::These(vec!["front-proxy-client".into()])
    );
    assert_eq!(config.username_headers, ["x-remote-user"]);
    assert_eq!(config.group_headers, ["x-remote-group"]);
    assert_eq!(config.extra_prefixes, ["x-remote-extra-"]);
    assert!(
        config.uid_headers.is_empty(),
        "never assumed: the proxy would not strip what it does not set"
    );
    assert!(!config.lets_users_pose_as_proxy());
}

#[test]
fn a_key_that_breaks_keeps_its_last_value_and_says_so() {
    let (good, _) = AuthConfig::default().updated(&full());
    let cases = [
        ("client-ca-file", None, "is missing"),
        (
            "client-ca-file",
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"),
            "is not PEM",
        ),
        ("client-ca-file", Some(""), "holds no certificate"),
        (
            "requestheader-client-ca-file",
            Some("hello"),
            "holds no certificate",
        ),
        ("requestheader-allowed-names", None, "is missing"),
        (
            "requestheader-allowed-names",
            Some("[1]"),
            "is not a JSON list of texts",
        ),
        (
            "requestheader-username-headers",
            Some("X-Remote-User"),
            "is not a JSON list of texts",
        ),
    ];
    for (key, value, defect) in cases {
        let mut broken = full();
        broken.insert("client-ca-file".into(), good_pem(&good));
        broken.insert("requestheader-client-ca-file".into(), good_proxy_pem(&good));
        match value {
            None => broken.remove(key),
            Some(value) => broken.insert(key.to_owned(), value.to_owned()),
        };
        let (config, problems) = good.updated(&broken);
        assert_eq!(
            problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [format!("key {key} {defect}")]
        );
        assert_eq!(config, good, "{key}");
    }
}

fn good_pem(config: &AuthConfig) -> String {
    pem(config.client_ca.as_ref().unwrap())
}

fn good_proxy_pem(config: &AuthConfig) -> String {
    pem(config.front_proxy_ca.as_ref().unwrap())
}

fn pem(bundle: &Bundle) -> String {
    use base64::Engine as _;
    let mut text = String::new();
    for der in bundle.iter() {
        text += "-----BEGIN CERTIFICATE-----\n";
        text += &base64::engine::general_purpose::STANDARD.encode(der);
        text += "\n-----END CERTIFICATE-----\n";
    }
    text
}

#[test]
fn emptied_lists_are_empty_and_a_missing_map_changes_nothing() {
    let (good, _) = AuthConfig::default().updated(&full());
    let mut open = full();
    open.insert("requestheader-allowed-names".into(), String::new());
    assert_eq!(good.updated(&open).0.allowed_names, AllowedNames::Any);
    let (kept, problems) = good.updated(&BTreeMap::new());
    assert_eq!(kept, good);
    assert_eq!(problems.len(), 6);
    let (nothing, problems) = AuthConfig::default().updated(&BTreeMap::new());
    assert_eq!(
        (nothing, problems.len()),
        (AuthConfig::default(), 0),
        "never seen is no complaint"
    );
}

#[test]
fn names_that_were_never_readable_allow_nobody_until_they_are() {
    let key = "requestheader-allowed-names";
    let mut map = full();
    map.insert(key.into(), "front-proxy-client".into());
    let (config, problems) = AuthConfig::default().updated(&map);
    assert!(!config.allowed_names.permit("front-proxy-client"));
    assert_eq!(
        problems,
        [Problem {
            key,
            defect: "is not a JSON list of texts"
        }]
    );
    map.remove(key);
    let (config, problems) = config.updated(&map);
    assert!(!config.allowed_names.permit("front-proxy-client"));
    assert_eq!(problems.len(), 1, "a missing key takes nothing back");
    map.insert(key.into(), "[]".into());
    let (config, problems) = config.updated(&map);
    assert!(config.allowed_names.permit("front-proxy-client"));
    assert_eq!(problems, []);
}

#[test]
fn one_authority_for_users_and_proxy_is_dangerous_only_without_names() {
    let shared = authority("one for all");
    let open = data(&[
        ("client-ca-file", &shared),
        ("requestheader-client-ca-file", &shared),
        ("requestheader-allowed-names", "[]"),
    ]);
    let (config, _) = AuthConfig::default().updated(&open);
    assert!(config.lets_users_pose_as_proxy());
    let (config, _) = config.updated(&data(&[(
        "requestheader-allowed-names",
        r#"["front-proxy"]"#,
    )]));
    assert!(!config.lets_users_pose_as_proxy());
}
