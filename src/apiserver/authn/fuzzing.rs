//! What must hold of whoever a request's headers name, for the fuzz targets. Built for tests and fuzzing only.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::bearer::{self, Bearer};
use super::{front_proxy, impersonation};
use crate::cluster::delegated::AuthConfig;
use crate::secret::ExposeSecret as _;

/// What the front proxy says is said in its headers, word for word; and nothing of it is left once they are stripped.
pub(in crate::apiserver) fn front_proxy(headers: &HeaderMap) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let config = AuthConfig {
        username_headers: names(&["x-remote-user", "x-other-user"]),
        uid_headers: names(&["x-remote-uid"]),
        group_headers: names(&["x-remote-group", "x-other-group"]),
        extra_prefixes: names(&["x-remote-extra-", "x-other-"]),
        ..AuthConfig::default()
    };
    let is_said = |text: &str| {
        headers
            .values()
            .any(|value| value.as_bytes() == text.as_bytes())
    };
    if let Ok(Some(user)) = front_proxy::user(headers, &config) {
        assert!(!user.name.is_empty() && is_said(&user.name), "{user:?}");
        assert!(user.uid.is_empty() || is_said(&user.uid), "{user:?}");
        assert!(user.groups.len() <= headers.len(), "{user:?}");
        for group in &user.groups {
            assert!(!group.is_empty() && is_said(group), "{user:?}");
        }
        let values: Vec<_> = user.extra.values().flatten().collect();
        // A header may go by two prefixes.
        assert!(values.len() <= config.extra_prefixes.len() * headers.len());
        assert!(values.iter().all(|value| is_said(value)), "{user:?}");
        let is_named = |key: &String| headers.keys().any(|name| name.as_str().len() > key.len());
        assert!(user.extra.keys().all(is_named), "{user:?}");
    }
    let mut stripped = headers.clone();
    front_proxy::strip(&mut stripped, &config);
    assert_eq!(front_proxy::user(&stripped, &config), Ok(None));
    assert!(matches!(bearer::extract(&stripped), Bearer::None));
    for name in stripped.keys() {
        let mut prefixes = config.extra_prefixes.iter();
        assert!(!prefixes.any(|prefix| name.as_str().starts_with(prefix)));
    }
}

/// A token is one word of the header, whole.
pub(in crate::apiserver) fn authorization(value: &HeaderValue) {
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value.clone())]);
    if let Bearer::Token(token) = bearer::extract(&headers) {
        let token = token.expose_secret();
        assert!(!token.is_empty() && !token.contains(' '));
        let text = String::from_utf8_lossy(value.as_bytes());
        assert!(text.split(' ').any(|word| word.trim() == token.trim()));
        let again = HeaderValue::from_str(&format!("bEARER {token}"));
        let again = again.map(|value| HeaderMap::from_iter([(AUTHORIZATION, value)]));
        // What is trimmed is trimmed once.
        if let Ok(Bearer::Token(again)) = again.as_ref().map(bearer::extract) {
            assert_eq!(again.expose_secret(), token.trim_end());
        }
    }
}

/// Whoever asks to act as somebody else is noticed, however the name is written and whatever stands beside it.
pub(in crate::apiserver) fn impersonate(headers: &HeaderMap) {
    let asks = |name: &str| {
        let name = name.strip_prefix("impersonate-");
        name.is_some_and(|name| {
            matches!(name, "user" | "uid" | "group") || name.starts_with("extra-")
        })
    };
    let expected = headers.keys().any(|name| asks(name.as_str()));
    assert_eq!(impersonation::is_asked(headers), expected);
    let mut others = headers.clone();
    for name in headers.keys().filter(|name| asks(name.as_str())) {
        others.remove(name);
    }
    assert!(!impersonation::is_asked(&others));
}
