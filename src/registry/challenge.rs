//! Reads `WWW-Authenticate` (RFC 9110 11.6.1): several challenges in a header, several headers.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Longer headers are not looked at.
const HEADER_BYTES: usize = 8 << 10;
/// More challenges, or parameters in one, are not looked at.
const ITEMS: usize = 32;

/// One challenge: a scheme and its parameters, all names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    pub(super) parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter of that name, which is in lower case.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Every challenge in `headers`, in order. What cannot be read is left out.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut all = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        if let Ok(text) = value.to_str()
            && text.len() <= HEADER_BYTES
        {
            parse(text, &mut all);
        }
    }
    all.truncate(ITEMS);
    all
}

fn parse(text: &str, all: &mut Vec<Challenge>) {
    let mut rest = text;
    let mut current: Option<Challenge> = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (token, after) = take_token(rest);
        if token.is_empty() {
            // The end, or something that is no list of challenges.
            break;
        }
        let spaced = after.trim_start_matches([' ', '\t']);
        match (spaced.strip_prefix('='), &mut current) {
            // `name = value` belongs to the challenge before it, but `token==` is a token68.
            (Some(value), Some(challenge)) if !value.starts_with('=') => {
                let Some((value, after)) = take_value(value.trim_start_matches([' ', '\t'])) else {
                    break;
                };
                if challenge.parameters.len() < ITEMS {
                    challenge
                        .parameters
                        .push((token.to_ascii_lowercase(), value));
                }
                rest = after;
            }
            (Some(_), Some(_)) => rest = spaced.trim_start_matches('='),
            (Some(_), None) => break,
            (None, _) => {
                all.extend(current.take());
                if all.len() >= ITEMS {
                    return;
                }
                current = Some(Challenge {
                    scheme: token.to_ascii_lowercase(),
                    parameters: Vec::new(),
                });
                rest = after;
            }
        }
    }
    all.extend(current);
}

/// A token (RFC 9110 5.6.2), with the characters of a token68 added.
fn take_token(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c)))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// A token or a quoted string, and what follows. `None`: the quote does not end.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Some servers leave URLs unquoted, with `?` and `=` in them.
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return text
            .split_at_checked(end)
            .map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return quoted.get(at + 1..).map(|rest| (value, rest)),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        challenges(&headers)
    }

    fn shown(values: &[&str]) -> String {
        let one = |c: &Challenge| {
            let parameters: Vec<_> = c
                .parameters
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            format!("{}({})", c.scheme, parameters.join(";"))
        };
        read(values).iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull""#,
                "bearer(realm=https://a/t;service=s;scope=repository:x:pull)",
            ),
            (
                r#"bearer Realm = "https://a/t" , SERVICE=s"#,
                "bearer(realm=https://a/t;service=s)",
            ),
            (r#"Basic realm="a, b""#, "basic(realm=a, b)"),
            (
                r#"Basic realm="a \"quoted\" b\\c""#,
                r#"basic(realm=a "quoted" b\c)"#,
            ),
            (
                r#"Negotiate, Basic realm="r", Bearer realm="https://t",error="invalid_token""#,
                "negotiate() basic(realm=r) bearer(realm=https://t;error=invalid_token)",
            ),
            ("Negotiate YWJjZA==, Basic", "negotiate() basic()"),
            (
                "Bearer realm=https://a/t?x=y,service=s",
                "bearer(realm=https://a/t?x=y;service=s)",
            ),
            ("Basic", "basic()"),
            ("", ""),
            (",,,", ""),
            (r#"realm="no scheme""#, ""),
            (r#"Bearer realm="never ends"#, "bearer()"),
            ("Bearer realm=", "bearer(realm=)"),
            ("<html>", ""),
        ] {
            assert_eq!(shown(&[header]), expected, "{header}");
        }
    }

    #[test]
    fn several_headers_are_one_list() {
        assert_eq!(
            shown(&["Basic realm=a", "Bearer realm=b"]),
            "basic(realm=a) bearer(realm=b)"
        );
    }

    #[test]
    fn a_flood_is_cut() {
        assert_eq!(read(&[&"Basic ".repeat(1000)]).len(), ITEMS);
        assert_eq!(
            read(&[&format!("Bearer {}", "a=b,".repeat(1000))])[0]
                .parameters
                .len(),
            ITEMS
        );
        assert_eq!(read(&[&"x".repeat(HEADER_BYTES + 1)]), []);
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[ -~\\t]{0,80}") {
            drop(read(&[&text]));
        }

        #[test]
        fn what_is_written_is_read(realm in "[ -~]{0,30}", service in "[a-z.]{1,10}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let all = read(&[&format!("Bearer realm=\"{quoted}\",service={service}")]);
            prop_assert_eq!(all.len(), 1);
            prop_assert_eq!(all[0].parameter("realm"), Some(realm.as_str()));
            prop_assert_eq!(all[0].parameter("service"), Some(service.as_str()));
        }
    }
}
