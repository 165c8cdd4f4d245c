//! An answer read to its end, within its limit.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use url::Url;

use super::redact::Redactor;
use super::transport::innermost;

/// As much of an error document as is read; the rest is left.
const ERROR_BYTES: u64 = 64 << 10;
/// As many errors of one document as a message names.
const SHOWN_ERRORS: usize = 3;

/// Status, headers and the whole body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// What was asked of the registry itself, before any redirect.
    pub(super) asked: Url,
    /// The host that answered.
    pub(super) host: String,
    /// Whether that is another host than the registry.
    pub(super) left: bool,
}

/// Why a body is not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is longer than the limit.
    TooLong,
    /// It came to an end before its end.
    Broken(String),
    /// It came in an encoding that was not asked for.
    Encoded,
}

/// Reads the body of `response`: whole, or an error. Of an error status, at most the beginning.
pub(super) async fn read_body(
    response: &mut reqwest::Response,
    limit: u64,
) -> Result<Vec<u8>, BodyError> {
    let is_error = !response.status().is_success();
    let limit = if is_error { ERROR_BYTES } else { limit };
    if response
        .headers()
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return if is_error {
            Ok(Vec::new())
        } else {
            Err(BodyError::Encoded)
        };
    }
    if !is_error
        && response
            .content_length()
            .is_some_and(|length| length > limit)
    {
        return Err(BodyError::TooLong);
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) => {
                let room = limit.saturating_sub(u64::try_from(body.len()).unwrap_or(u64::MAX));
                if u64::try_from(chunk.len()).is_ok_and(|length| length <= room) {
                    body.extend_from_slice(&chunk);
                } else if is_error {
                    return Ok(body);
                } else {
                    return Err(BodyError::TooLong);
                }
            }
            // The status says enough.
            Err(_) if is_error => return Ok(body),
            Err(error) => return Err(BodyError::Broken(innermost(&error))),
        }
    }
}

/// Whether a document is a page for people.
pub(super) fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let declared = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let declared = declared.trim_start().to_ascii_lowercase();
    declared.starts_with("text/html")
        || declared.starts_with("application/xhtml")
        || body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
}

/// The registry's own account of an error (distribution specification, "error codes").
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The codes, in upper case.
    pub(super) codes: Vec<String>,
    /// `; CODE: message` for each, fit for a message; empty when there is none.
    pub(super) detail: String,
}

/// Reads the error document in `body`, if it is one.
pub(super) fn account(body: &[u8], redactor: &Redactor) -> Account {
    #[derive(Deserialize)]
    struct Document {
        #[serde(default)]
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: Option<serde_json::Value>,
        #[serde(default)]
        message: Option<serde_json::Value>,
    }
    let text = |value: Option<serde_json::Value>| match value {
        Some(serde_json::Value::String(text)) => text,
        Some(serde_json::Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let mut account = Account::default();
    let Ok(document) = serde_json::from_slice::<Document>(body) else {
        return account;
    };
    for entry in document.errors.into_iter().take(SHOWN_ERRORS) {
        let code = text(entry.code).to_ascii_uppercase();
        let message = text(entry.message);
        let words = [code.as_str(), message.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty());
        let words = words.collect::<Vec<_>>().join(": ");
        if !words.is_empty() {
            account.detail.push_str("; ");
            account.detail.push_str(&redactor.clean(&words));
        }
        account.codes.push(code);
    }
    account
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_document_is_told_in_short() {
        for (body, detail) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"requested access is denied","detail":{"x":1}}]}"#,
                "; DENIED: requested access is denied",
            ),
            (
                r#"{"errors":[{"code":"a"},{"message":"b"},{},{"code":"never shown"}]}"#,
                "; A; b",
            ),
            (r#"{"errors":[{"code":404,"message":["x"]}]}"#, "; 404"),
            (r#"{"errors":[]}"#, ""),
            (r#"{"message":"x"}"#, ""),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(
                account(body.as_bytes(), &Redactor::default()).detail,
                detail,
                "{body}"
            );
        }
    }

    #[test]
    fn html_is_known_by_its_type_or_its_first_byte() {
        let with_type = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(value));
            headers
        };
        assert!(is_html(&with_type("Text/HTML; charset=utf-8"), b"{}"));
        assert!(is_html(&HeaderMap::new(), b" \n<!doctype html>"));
        assert!(!is_html(&with_type("application/json"), b"{\"tags\":[]}"));
        assert!(!is_html(&HeaderMap::new(), b""));
    }
}
