//! The requests of an upload that has begun, one each; what to make of the answers is `transfer`'s affair.

use std::time::Duration;

use http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use super::{PATIENCE, Session, location};
use crate::image::Digest;
use crate::registry::Error;
use crate::registry::observe::Operation;
use crate::registry::remote::request::{Payload, Reply, Request, To};
use crate::registry::remote::{Refusal, Remote};
use crate::registry::window::Class;

pub(in crate::registry) const ACCEPT: &str = "application/json";
/// For the end of an upload: some registries copy the blob once more, and take their time for a large one.
const BYTES_COPIED_PER_SECOND: u64 = 8 << 20;

/// A status that is no success, read.
pub(in crate::registry) struct Told {
    pub(in crate::registry) status: StatusCode,
    /// The codes of the error document, in upper case.
    pub(in crate::registry) codes: Vec<String>,
    /// What it means where nothing else is made of it.
    pub(in crate::registry) error: Error,
}

impl Told {
    /// Reads what `reply` says.
    pub(in crate::registry) async fn of(remote: &Remote, reply: Reply, asked: &str) -> Self {
        let status = reply.status;
        let Refusal { codes, error } = remote.read_refusal(reply, asked).await;
        Self {
            status,
            codes,
            error,
        }
    }

    /// The registry's own words, to be shown.
    pub(in crate::registry) fn detail(&self) -> &str {
        match &self.error {
            Error::CredentialMissing { detail, .. }
            | Error::CredentialRefused { detail, .. }
            | Error::Forbidden { detail, .. }
            | Error::NotFound { detail, .. }
            | Error::InvalidName { detail, .. }
            | Error::Status { detail, .. } => detail,
            _ => "",
        }
    }
}

/// How long the end of an upload of so many bytes may take.
pub(in crate::registry) fn patience_for(size: u64) -> Duration {
    PATIENCE * 2 + Duration::from_secs(size / BYTES_COPIED_PER_SECOND)
}

fn size_of(payload: &Payload) -> u64 {
    match payload {
        Payload::Stream { length, .. } => *length,
        Payload::Empty | Payload::Whole(_) => 0,
    }
}

impl Session {
    /// PUT with the whole blob.
    pub(in crate::registry) async fn put(
        &self,
        remote: &Remote,
        blob: &Digest,
        payload: Payload,
    ) -> Result<Reply, Error> {
        let url = location::with_digest(&self.url, blob);
        let mut request = bytes(Method::PUT, &url, payload);
        request.patience = patience_for(size_of(&request.payload));
        // Nothing to send can be sent again.
        request.may_repeat = matches!(request.payload, Payload::Empty);
        remote.send(request).await
    }

    /// PATCH with some of it; `range`: the first and last byte's offsets.
    pub(in crate::registry) async fn patch(
        &self,
        remote: &Remote,
        range: Option<(u64, u64)>,
        payload: Payload,
    ) -> Result<Reply, Error> {
        let mut request = bytes(Method::PATCH, &self.url, payload);
        request.patience = patience_for(size_of(&request.payload));
        if let Some((first, last)) = range {
            let range = HeaderValue::try_from(format!("{first}-{last}"));
            request
                .headers
                .extend(range.ok().map(|range| (CONTENT_RANGE, range)));
        }
        remote.send(request).await
    }

    /// The empty PUT at the end.
    pub(in crate::registry) async fn end(
        &self,
        remote: &Remote,
        blob: &Digest,
        size: u64,
    ) -> Result<Reply, Error> {
        let url = location::with_digest(&self.url, blob);
        let mut request = bytes(Method::PUT, &url, Payload::Empty);
        request.may_repeat = true;
        request.patience = patience_for(size);
        remote.send(request).await
    }

    /// How many bytes arrived; none: it does not say, or there is no such session any more.
    pub(in crate::registry) async fn arrived(&mut self, remote: &Remote) -> Option<u64> {
        let mut request = bytes(Method::GET, &self.url, Payload::Empty);
        request.headers.clear();
        request.class = Class::UploadStart;
        request.may_repeat = true;
        let reply = remote.send(request).await.ok()?;
        if !reply.status.is_success() {
            return None;
        }
        let arrived = location::arrived(&reply.headers);
        self.moved(remote, &reply).await.ok()?;
        arrived
    }

    /// Goes on where `reply` says, if it says.
    pub(in crate::registry) async fn moved(
        &mut self,
        remote: &Remote,
        reply: &Reply,
    ) -> Result<(), Error> {
        if reply.headers.contains_key(LOCATION) {
            self.url = remote.resolve(reply).await?;
        }
        Ok(())
    }
}

fn bytes(method: Method, url: &Url, payload: Payload) -> Request<'_> {
    let content: (HeaderName, HeaderValue) = (
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Request {
        method,
        to: To::Location(url),
        operation: Operation::Upload,
        class: Class::UploadData,
        headers: vec![content],
        accept: ACCEPT,
        payload,
        mount_from: None,
        may_repeat: false,
        patience: PATIENCE,
    }
}
