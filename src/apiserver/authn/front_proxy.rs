//! The front proxy's headers: who it says the user is (AUTHN-10, AUTHN-11), and their removal (AUTHN-12).
//!
//! Nothing here looks at certificates: only a caller that has verified the proxy's may ask.

use std::collections::BTreeMap;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::apiserver::request_info::{User, decode};
use crate::cluster::delegated::AuthConfig;

/// A header that names a user, a group or more, but not in UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotText {
    pub(super) header: String,
}

/// The user that `headers` name; `None` when they name none.
pub(super) fn user(headers: &HeaderMap, config: &AuthConfig) -> Result<Option<User>, NotText> {
    let Some(name) = first(headers, &config.username_headers)? else {
        return Ok(None);
    };
    let uid = first(headers, &config.uid_headers)?.unwrap_or_default();
    let mut groups = Vec::new();
    for header in &config.group_headers {
        for value in headers.get_all(header) {
            let group = text(header, value)?;
            if !group.is_empty() {
                groups.push(group);
            }
        }
    }
    Ok(Some(User {
        name,
        uid,
        groups,
        extra: extra(headers, config)?,
    }))
}

/// Takes out everything that is, or could be taken for, a credential.
pub(super) fn strip(headers: &mut HeaderMap, config: &AuthConfig) {
    let configured = [
        &config.username_headers,
        &config.uid_headers,
        &config.group_headers,
    ];
    for name in configured.into_iter().flatten() {
        headers.remove(name);
    }
    for name in ["x-remote-user", "x-remote-uid", "x-remote-group"] {
        headers.remove(name);
    }
    headers.remove(AUTHORIZATION);
    let prefixes = || {
        config
            .extra_prefixes
            .iter()
            .map(String::as_str)
            .chain(["x-remote-extra-"])
    };
    let extras: Vec<_> = headers
        .keys()
        .filter(|name| prefixes().any(|prefix| name.as_str().starts_with(prefix)))
        .cloned()
        .collect();
    for name in extras {
        headers.remove(name);
    }
}

/// The first value that is not empty, over the names in their order. Of one name, only the first line counts.
fn first(headers: &HeaderMap, names: &[String]) -> Result<Option<String>, NotText> {
    for name in names {
        if let Some(value) = headers.get(name).filter(|value| !value.is_empty()) {
            return text(name, value).map(Some);
        }
    }
    Ok(None)
}

/// Keys are what follows the prefix, lower case (as header names are here), then percent-decoded; one that does not
/// decode is kept as it is.
fn extra(
    headers: &HeaderMap,
    config: &AuthConfig,
) -> Result<BTreeMap<String, Vec<String>>, NotText> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for prefix in &config.extra_prefixes {
        for (name, value) in headers {
            let Some(key) = name.as_str().strip_prefix(prefix.as_str()) else {
                continue;
            };
            let key = decode::strict(key).unwrap_or_else(|| key.to_owned());
            extra
                .entry(key)
                .or_default()
                .push(text(name.as_str(), value)?);
        }
    }
    Ok(extra)
}

fn text(header: &str, value: &HeaderValue) -> Result<String, NotText> {
    String::from_utf8(value.as_bytes().to_vec()).map_err(|_| NotText {
        header: header.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn config() -> AuthConfig {
        AuthConfig {
            username_headers: vec!["x-remote-user".into(), "x-other-user".into()],
            group_headers: vec!["x-remote-group".into(), "x-other-group".into()],
            extra_prefixes: vec!["x-remote-extra-".into()],
            ..AuthConfig::default()
        }
    }

    fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn the_user_is_read_line_by_line() {
        type Lines = &'static [(&'static str, &'static [u8])];
        type Extra = &'static [(&'static str, &'static [&'static str])];
        let cases: &[(&str, Lines, &str, &[&str], Extra)] = &[
            (
                "a name alone",
                &[("X-Remote-User", b"bob")],
                "bob",
                &[],
                &[],
            ),
            (
                "an empty name is passed over",
                &[("X-Remote-User", b""), ("X-Other-User", b"eve")],
                "eve",
                &[],
                &[],
            ),
            (
                "groups in order, never cut at commas, never merged",
                &[
                    ("X-Remote-User", b"bob"),
                    ("X-Other-Group", b"last"),
                    ("X-Remote-Group", b"a,b"),
                    ("X-Remote-Group", b""),
                    ("X-Remote-Group", b"last"),
                ],
                "bob",
                &["a,b", "last", "last"],
                &[],
            ),
            (
                "extra keys are lower case and decoded",
                &[
                    ("X-Remote-User", b"bob"),
                    ("X-Remote-Extra-Example.com%2FScope", b"a"),
                    ("X-Remote-Extra-example.COM%2fscope", b"a"),
                    ("X-Remote-Extra-100%", b"odd"),
                    ("X-Remote-Extra-a+b", b""),
                ],
                "bob",
                &[],
                &[
                    ("100%", &["odd"]),
                    ("a+b", &[""]),
                    ("example.com/scope", &["a", "a"]),
                ],
            ),
            (
                "names beyond ASCII",
                &[("X-Remote-User", b"j\xc3\xb6rg")],
                "j\u{f6}rg",
                &[],
                &[],
            ),
            (
                "a uid that nobody promised to strip does not count",
                &[("X-Remote-User", b"bob"), ("X-Remote-Uid", b"1")],
                "bob",
                &[],
                &[],
            ),
        ];
        for (what, lines, name, groups, extra) in cases {
            let user = user(&headers(lines), &config()).unwrap().unwrap();
            assert_eq!((&*user.name, &*user.uid), (*name, ""), "{what}");
            assert_eq!(user.groups, *groups, "{what}");
            let expected: BTreeMap<String, Vec<String>> = extra
                .iter()
                .map(|(key, values)| {
                    (
                        (*key).to_owned(),
                        values.iter().map(|v| (*v).to_owned()).collect(),
                    )
                })
                .collect();
            assert_eq!(user.extra, expected, "{what}");
        }
    }

    #[test]
    fn a_uid_counts_once_its_header_is_configured() {
        let config = AuthConfig {
            uid_headers: vec!["x-remote-uid".into()],
            ..config()
        };
        let user = user(
            &headers(&[("X-Remote-User", b"bob"), ("X-Remote-Uid", b"7")]),
            &config,
        )
        .unwrap()
        .unwrap();
        assert_eq!(user.uid, "7");
    }

    #[test]
    fn without_a_name_there_is_no_user_and_bytes_that_are_no_text_are_refused() {
        assert_eq!(
            user(
                &headers(&[("X-Remote-Group", b"system:masters")]),
                &config()
            ),
            Ok(None)
        );
        assert_eq!(
            user(
                &headers(&[("X-Remote-User", b"bob")]),
                &AuthConfig::default()
            ),
            Ok(None)
        );
        let refused = |header: &str| {
            Err(NotText {
                header: header.to_owned(),
            })
        };
        assert_eq!(
            user(&headers(&[("X-Remote-User", b"\xff")]), &config()),
            refused("x-remote-user")
        );
        let lines: &[(&str, &[u8])] = &[("X-Remote-User", b"bob"), ("X-Remote-Group", b"\xff")];
        assert_eq!(user(&headers(lines), &config()), refused("x-remote-group"));
    }

    #[test]
    fn credentials_do_not_pass() {
        let config = AuthConfig {
            username_headers: vec!["x-who".into()],
            extra_prefixes: vec!["x-more-".into()],
            ..AuthConfig::default()
        };
        let mut headers = headers(&[
            ("Authorization", b"Bearer secret"),
            ("X-Who", b"bob"),
            ("X-More-Scope", b"a"),
            ("X-Remote-User", b"eve"),
            ("X-Remote-Group", b"g"),
            ("X-Remote-Group", b"h"),
            ("X-Remote-Uid", b"1"),
            ("X-Remote-Extra-Scope", b"a"),
            ("Accept", b"application/json"),
        ]);
        strip(&mut headers, &config);
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["accept"]
        );
    }
}
