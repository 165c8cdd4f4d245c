//! The chain's own answers: `metav1.Status` as JSON, with the headers that every refusal carries.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use serde_json::json;

use super::AUDIT_ID;
use crate::apiserver::status::Status;
use crate::serve::Body;

const AUDIT_ID_LENGTH: usize = 64;

/// The response that carries `status`.
pub(super) fn render(status: &Status) -> Response<Body> {
    let mut body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": status.message,
        "reason": status.reason,
        "code": status.code,
    });
    if let (Some(details), Some(fields)) = (&status.details, body.as_object_mut()) {
        fields.insert("details".to_owned(), details.clone());
    }
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(seconds) = status.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The request's audit id when it has a sane one (the front proxy passes its own on, so that both logs can be joined),
/// a new one otherwise (OPS-8).
pub(super) fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(AUDIT_ID).filter(|id| {
        !id.is_empty()
            && id.len() <= AUDIT_ID_LENGTH
            && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        HeaderValue::try_from(uuid::Uuid::new_v4().to_string())
            .unwrap_or(HeaderValue::from_static("none"))
    })
}
