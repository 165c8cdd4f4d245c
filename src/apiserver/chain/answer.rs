//! The chain's own answers: `metav1.Status` in the form that the client reads, with the headers that every refusal
//! carries.

use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};

use super::AUDIT_ID;
use crate::apiserver::negotiate::Negotiated;
use crate::apiserver::response::refuse;
use crate::apiserver::status::Status;
use crate::serve::Body;

const AUDIT_ID_LENGTH: usize = 64;

/// What a refusal of the chain says, until [`told`] has told it.
#[derive(Clone)]
struct Refused(Status);

/// The response that carries `status`, as compact JSON: how the client wants it is for [`told`].
pub(super) fn render(status: &Status) -> Response<Body> {
    let mut response = refuse(status, Negotiated::default()).map(Body::from);
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.extensions_mut().insert(Refused(status.clone()));
    response
}

/// A refusal of the chain, told as the client reads it: indented for people, or as YAML. Other responses stay.
pub(super) fn told(mut response: Response<Body>, negotiated: Negotiated) -> Response<Body> {
    let Some(Refused(status)) = response.extensions_mut().remove() else {
        return response;
    };
    if negotiated == Negotiated::default() {
        return response;
    }
    let (told, body) = refuse(&status, negotiated).into_parts();
    if let Some(content_type) = told.headers.get(CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, content_type.clone());
    }
    response.map(|_| Body::from(body))
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
