//! The chain's own answers: `metav1.Status` as JSON, with the headers that every refusal carries.

use http::Response;
use http::header::{HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};

use super::AUDIT_ID;
use crate::apiserver::response::refuse;
use crate::apiserver::status::Status;
use crate::serve::Body;

/// What is longer would only be sent back and forth.
const AUDIT_ID_LENGTH: usize = 1024;

/// The response that carries `status`.
pub(super) fn render(status: &Status) -> Response<Body> {
    let mut response = refuse(status, false).map(Body::from);
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The request's audit id as it is (the front proxy passes its own on, so that both logs can be joined), a new one
/// when it has none (OPS-8).
pub(super) fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers
        .get(AUDIT_ID)
        .filter(|id| !id.is_empty() && id.len() <= AUDIT_ID_LENGTH);
    given.cloned().unwrap_or_else(|| {
        HeaderValue::try_from(uuid::Uuid::new_v4().to_string())
            .unwrap_or(HeaderValue::from_static("none"))
    })
}
