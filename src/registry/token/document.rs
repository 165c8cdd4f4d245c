//! What a token server's answer says, and the headers that come of it.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use tokio::time::Instant;

use super::Token;
use crate::registry::transport::Authorization;
use crate::secret::{Credential, ExposeSecret as _};

/// What a token without `expires_in` is good for, and the least that is believed.
const SHORTEST: Duration = Duration::from_mins(1);
/// The most that is believed.
const LONGEST: Duration = Duration::from_hours(24);

/// The `Authorization` header of a user name and password.
pub(in crate::registry) fn basic_header(credential: &Credential) -> Option<HeaderValue> {
    let Credential::Basic { username, password } = credential else {
        return None;
    };
    let encoded = BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()));
    sensitive(&format!("Basic {encoded}"))
}

/// The `Authorization` header of a bearer token; `None`: it is no token that a header can carry.
pub(in crate::registry) fn bearer_header(token: &str) -> Option<HeaderValue> {
    let fits =
        !token.is_empty() && token.len() <= 32 << 10 && token.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        sensitive(&format!("Bearer {token}"))
    } else {
        None
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads a token server's document: `token` or `access_token`, and `expires_in`.
pub(super) fn parse(
    body: &[u8],
    is_secret: bool,
    asked_at: Instant,
) -> Result<Token, &'static str> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        access_token: Option<String>,
        #[serde(default)]
        expires_in: Option<serde_json::Value>,
    }
    // The parser's own words could quote the token.
    let document: Document =
        serde_json::from_slice(body).map_err(|_| "the answer is not a token document")?;
    let text = [document.token, document.access_token]
        .into_iter()
        .flatten()
        .find(|text| !text.is_empty())
        .ok_or("`token` and `access_token` are missing or empty")?;
    let value = bearer_header(&text)
        .ok_or("the token has characters or a length that no header can carry")?;
    let expires_in = document
        .expires_in
        .as_ref()
        .and_then(serde_json::Value::as_f64);
    Ok(Token {
        authorization: Authorization { value, is_secret },
        secret: text.into(),
        lifetime: lifetime(expires_in).saturating_sub(asked_at.elapsed()),
        doubtful_from: asked_at + sure(expires_in),
    })
}

/// How long a token is used: its time, less a margin in which it could end under way.
///
/// The time counts from our own clock; less than a minute is not believed (token specification).
fn lifetime(expires_in: Option<f64>) -> Duration {
    let stated = expires_in
        .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
        .unwrap_or_default();
    let stated = Duration::try_from_secs_f64(stated)
        .unwrap_or(LONGEST)
        .clamp(SHORTEST, LONGEST);
    let margin = (stated / 10).max(Duration::from_secs(30).min(stated / 2));
    stated.saturating_sub(margin)
}

/// How long a token is surely good for: its stated time less the same margin, without the least that is believed.
fn sure(expires_in: Option<f64>) -> Duration {
    let stated = expires_in
        .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match stated {
        Some(stated) if stated < SHORTEST => stated / 2,
        // The lifetime is shorter.
        _ => LONGEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        for (expires_in, seconds) in [
            (None, 30),
            (Some(0.0), 30),
            (Some(-5.0), 30),
            (Some(5.0), 30),
            (Some(f64::NAN), 30),
            (Some(60.0), 30),
            (Some(300.0), 270),
            (Some(3600.0), 3240),
            (Some(1e300), 24 * 3240),
        ] {
            assert_eq!(
                lifetime(expires_in),
                Duration::from_secs(seconds),
                "{expires_in:?}"
            );
        }
    }

    #[test]
    fn token_documents_are_read_in_both_spellings() {
        for (body, expected) in [
            (r#"{"token":"a"}"#, Ok("Bearer a")),
            (
                r#"{"access_token":"b","expires_in":"soon"}"#,
                Ok("Bearer b"),
            ),
            (r#"{"token":"","access_token":"b"}"#, Ok("Bearer b")),
            (r#"{"token":"a","access_token":"b"}"#, Ok("Bearer a")),
            (
                r#"{"token":null}"#,
                Err("`token` and `access_token` are missing or empty"),
            ),
            (r#"{"token":7}"#, Err("the answer is not a token document")),
            (
                r#"{"token":"a b"}"#,
                Err("the token has characters or a length that no header can carry"),
            ),
            (
                "{\"token\":\"a\\r\\nX: y\"}",
                Err("the token has characters or a length that no header can carry"),
            ),
            ("[1]", Err("the answer is not a token document")),
        ] {
            let read = parse(body.as_bytes(), true, Instant::now());
            let shown = read
                .as_ref()
                .map(|token| token.authorization.value.to_str().unwrap())
                .map_err(|e| *e);
            assert_eq!(shown, expected, "{body}");
        }
    }

    #[test]
    fn headers_with_secrets_do_not_print_them() {
        let credential = Credential::Basic {
            username: "me".into(),
            password: "pw".into(),
        };
        assert_eq!(
            format!("{:?}", basic_header(&credential).unwrap()),
            "Sensitive"
        );
        assert_eq!(format!("{:?}", bearer_header("abc").unwrap()), "Sensitive");
    }
}
