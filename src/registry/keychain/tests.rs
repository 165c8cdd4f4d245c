//! Docker configurations, and which entry is for which repository.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;
use crate::secret::ExposeSecret as _;

/// A keychain whose passwords are its keys.
fn keychain(keys: &[&str]) -> Keychain {
    let auths: serde_json::Map<_, _> = keys
        .iter()
        .map(|key| {
            (
                (*key).to_owned(),
                serde_json::json!({"username": "u", "password": key}),
            )
        })
        .collect();
    Keychain::from_docker_config(serde_json::json!({ "auths": auths }).to_string().as_bytes())
        .unwrap()
}

fn found(keychain: &Keychain, image: &str) -> Vec<String> {
    keychain
        .lookup_all(&image.parse().unwrap())
        .map(shown)
        .collect()
}

fn shown(credential: &Credential) -> String {
    match credential {
        Credential::Basic { username, password } if username == "u" => {
            password.expose_secret().to_owned()
        }
        Credential::Basic { username, password } => {
            format!("{username}:{}", password.expose_secret())
        }
        Credential::IdentityToken(token) => format!("identity {}", token.expose_secret()),
        Credential::RegistryToken(token) => format!("registry {}", token.expose_secret()),
    }
}

#[test]
fn keys_match_images_as_kubelet_has_it() {
    for (key, image, matches) in [
        ("ghcr.io", "ghcr.io/team/app", true),
        ("https://ghcr.io", "ghcr.io/team/app", true),
        ("http://ghcr.io/", "ghcr.io/team/app", true),
        ("https://ghcr.io/v1/", "ghcr.io/team/app", true),
        ("ghcr.io/v2/", "ghcr.io/team/app", true),
        ("ghcr.io/v2/team", "ghcr.io/team/app", true),
        ("ghcr.io/v2", "ghcr.io/team/app", false),
        ("ghcr.io/team", "ghcr.io/team/app", true),
        // A prefix of the text, not of segments.
        ("ghcr.io/te", "ghcr.io/team/app", true),
        ("ghcr.io/team/app", "ghcr.io/team/app", true),
        ("ghcr.io/other", "ghcr.io/team/app", false),
        ("*.ghcr.io", "ghcr.io/team/app", false),
        ("*.example.com", "r.example.com/app", true),
        ("*.example.com", "a.b.example.com/app", false),
        ("*.*.example.com", "a.b.example.com/app", true),
        ("r?.example.com", "r1.example.com/app", true),
        ("[a-c].example.com", "b.example.com/app", true),
        ("[bad.example.com", "b.example.com/app", false),
        ("localhost:5000", "localhost:5000/app", true),
        ("localhost", "localhost:5000/app", false),
        ("localhost:5000", "localhost/app", false),
        ("[::1]:5000", "[::1]:5000/app", true),
        ("user@ghcr.io", "ghcr.io/team/app", true),
        ("", "ghcr.io/team/app", false),
        // Docker Hub, in all its spellings.
        ("https://index.docker.io/v1/", "alpine", true),
        ("index.docker.io", "docker.io/library/alpine", true),
        ("docker.io", "alpine", true),
        ("registry-1.docker.io", "fluxcd/flux", true),
        ("docker.io", "registry-1.docker.io/fluxcd/flux", true),
        ("docker.io/fluxcd", "fluxcd/flux", true),
        ("docker.io/fluxcd", "alpine", false),
        ("docker.io/library", "alpine", true),
        ("*.docker.io", "alpine", true),
        ("ghcr.io", "alpine", false),
    ] {
        assert_eq!(
            !found(&keychain(&[key]), image).is_empty(),
            matches,
            "{key} for {image}"
        );
    }
}

#[test]
fn the_longest_key_comes_first() {
    let keychain = keychain(&[
        "quay.io",
        "quay.io/coreos",
        "*.io",
        "quay.io/coreos/etcd",
        "ghcr.io",
    ]);
    assert_eq!(
        found(&keychain, "quay.io/coreos/etcd"),
        ["quay.io/coreos/etcd", "quay.io/coreos", "quay.io", "*.io"]
    );
    assert_eq!(
        shown(
            &keychain
                .lookup(&"quay.io/other/x".parse().unwrap())
                .unwrap()
        ),
        "quay.io"
    );
    assert!(
        keychain
            .lookup(&"example.com/app".parse().unwrap())
            .is_none()
    );
}

#[test]
fn an_entry_is_read_in_every_form() {
    let auth = |text: &str| BASE64_STANDARD.encode(text);
    for (entry, expected) in [
        (serde_json::json!({"auth": auth("me:pw")}), Some("me:pw")),
        (
            serde_json::json!({"auth": auth("me:pw").trim_end_matches('=')}),
            Some("me:pw"),
        ),
        (
            serde_json::json!({"auth": format!(" {} ", auth("me:pw"))}),
            Some("me:pw"),
        ),
        (
            serde_json::json!({"auth": auth("me:p:w\0\0")}),
            Some("me:p:w"),
        ),
        // `auth` wins over the fields, as kubelet has it.
        (
            serde_json::json!({"auth": auth("me:pw"), "username": "x", "password": "y"}),
            Some("me:pw"),
        ),
        (
            serde_json::json!({"username": "x", "password": "y", "email": "z@z"}),
            Some("x:y"),
        ),
        (
            serde_json::json!({"auth": auth("me:pw"), "identitytoken": "t"}),
            Some("identity t"),
        ),
        (
            serde_json::json!({"username": "<token>", "password": "t"}),
            Some("identity t"),
        ),
        (
            serde_json::json!({"registrytoken": "t", "identitytoken": "i"}),
            Some("registry t"),
        ),
        (serde_json::json!({}), None),
        (serde_json::Value::Null, None),
        (serde_json::json!({"auth": ""}), None),
    ] {
        let config =
            serde_json::json!({"auths": {"ghcr.io": entry}, "credsStore": "desktop"}).to_string();
        let keychain = Keychain::from_docker_config(config.as_bytes()).unwrap();
        let credential = keychain.lookup(&"ghcr.io/app".parse().unwrap());
        assert_eq!(
            credential.as_ref().map(shown).as_deref(),
            expected,
            "{config}"
        );
    }
}

#[test]
fn the_old_form_is_read_too() {
    let read = |kind, key: &str, json: &str| {
        Keychain::from_secret(kind, |asked| (asked == key).then_some(json.as_bytes()))
            .map(|keychain| keychain.len())
    };
    assert_eq!(
        read(
            DOCKER_CFG_TYPE,
            ".dockercfg",
            r#"{"ghcr.io":{"username":"a","password":"b"}}"#
        ),
        Ok(1)
    );
    assert_eq!(
        read(
            DOCKER_CONFIG_JSON_TYPE,
            ".dockerconfigjson",
            r#"{"auths":{"ghcr.io":{"username":"a","password":"b"}}}"#
        ),
        Ok(1)
    );
}

#[test]
fn a_wrong_secret_is_named_in_words_that_help_and_hold_no_secret() {
    let read = |kind: &str, json: Option<&str>| {
        Keychain::from_secret(kind, |_| json.map(str::as_bytes))
            .unwrap_err()
            .to_string()
    };
    let json = |json| read(DOCKER_CONFIG_JSON_TYPE, Some(json));
    assert_eq!(
        read("Opaque", None),
        r#"the Secret is of type "Opaque"; pull secrets are of type "kubernetes.io/dockerconfigjson""#
    );
    assert_eq!(
        read(DOCKER_CONFIG_JSON_TYPE, None),
        r#"the Secret has no key ".dockerconfigjson""#
    );
    assert_eq!(
        json("hunter2"),
        r#"".dockerconfigjson" is not a Docker configuration: it is not JSON at line 1 column 1"#
    );
    assert_eq!(
        json("{}"),
        r#"".dockerconfigjson" is not a Docker configuration: it has no `auths`"#
    );
    assert_eq!(
        json(r#"{"auths":{"r.io":"hunter2"}}"#),
        r#"".dockerconfigjson" is not a Docker configuration: a value is not of the type it should be at line 1 column 26"#
    );
    assert_eq!(
        json(r#"{"auths":{"r.io":{"auth":"%hunter2"}}}"#),
        r#"the entry of "r.io" in ".dockerconfigjson" is unusable: `auth` is not base64"#
    );
    assert_eq!(
        json(r#"{"auths":{"r.io":{"auth":"aHVudGVyMg=="}}}"#),
        r#"the entry of "r.io" in ".dockerconfigjson" is unusable: `auth` is not base64 of user:password"#
    );
    let long = format!("{{\"auths\":{{}}}}{}", " ".repeat(MAX_BYTES));
    assert_eq!(
        json(&long),
        r#"".dockerconfigjson" is longer than 1048576 bytes, the limit"#
    );
}

#[test]
fn a_keychain_does_not_print_what_it_holds() {
    let shown = format!("{:?}", keychain(&["ghcr.io"]));
    assert_eq!(shown, "Keychain { entries: 1, .. }");
}

proptest! {
    #[test]
    fn no_document_panics(json in prop::collection::vec(any::<u8>(), 0..80), auth in "\\PC{0,20}", key in "\\PC{0,20}") {
        drop(Keychain::from_docker_config(&json));
        let config = serde_json::json!({"auths": {key: {"auth": auth}}}).to_string();
        if let Ok(keychain) = Keychain::from_docker_config(config.as_bytes()) {
            drop(keychain.lookup(&"ghcr.io/app".parse().unwrap()));
        }
    }

    #[test]
    fn what_docker_writes_is_read(username in "[!-9;-~]{1,12}", password in "[ -~]{1,20}") {
        let auth = BASE64_STANDARD.encode(format!("{username}:{password}"));
        let config = serde_json::json!({"auths": {"ghcr.io": {"auth": auth}}}).to_string();
        let keychain = Keychain::from_docker_config(config.as_bytes()).unwrap();
        match keychain.lookup(&"ghcr.io/app".parse().unwrap()) {
            Some(Credential::Basic { username: u, password: p }) => {
                prop_assert_eq!((u.as_str(), p.expose_secret()), (username.as_str(), password.as_str()));
            }
            other => prop_assert!(username == "<token>", "{other:?}"),
        }
    }
}
