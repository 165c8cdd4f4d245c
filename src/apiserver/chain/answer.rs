//! The chain's own answers: `metav1.Status` in the form that the client reads, with the headers that every refusal
//! carries.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};

use super::AUDIT_ID;
use crate::apiserver::negotiate::Negotiated;
use crate::apiserver::response::refuse;
use crate::apiserver::status::Status;
use crate::serve::Body;

/// What is longer would only be sent back and forth.
const AUDIT_ID_LENGTH: usize = 1024;

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

/// The request's audit id as it is (the front proxy passes its own on, so that both logs can be joined), a new one
/// when it has none (OPS-8).
pub(super) fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers
        .get(AUDIT_ID)
        .filter(|id| !id.is_empty() && id.len() <= AUDIT_ID_LENGTH);
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(
            new_id()
                .hyphenated()
                .encode_lower(&mut uuid::Uuid::encode_buffer()),
        )
        .unwrap_or(HeaderValue::from_static("none"))
    })
}

/// A random UUID. It need not be hard to guess, only unlike all others: the system's randomness keys a counter's hash,
/// instead of being asked for at every request.
fn new_id() -> uuid::Uuid {
    static KEYS: LazyLock<[RandomState; 2]> =
        LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [high, low] = KEYS.each_ref().map(|key| key.hash_one(count));
    let bits = (u128::from(high) << 64) | u128::from(low);
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_request_gets_an_id_of_its_own() {
        let ids: BTreeSet<_> = (0..10_000)
            .map(|_| audit_id(&HeaderMap::new()).to_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert_eq!(
                id.parse::<uuid::Uuid>().unwrap().get_version_num(),
                4,
                "{id}"
            );
        }
    }
}
