//! TagQuery, which can only be created: reads the query, checks what its author may see, has the election explained,
//! and answers. Nothing is stored, and no registry is asked.
//!
//! ```text
//! Accept (406) ► Content-Type (415) ► body (413) ► options (400, 422) ► decode (400) ► validate (422) ► access (403) ► 201
//! ```

mod answer;
mod body;
mod budget;
mod decode;
mod evaluate;
mod gather;
mod knowledge;
mod media;
mod node;
mod options;
mod turns;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{ALLOW, HeaderValue};
use http::request::Parts;

use self::decode::Decoded;
use self::gather::Asked;
pub use self::knowledge::{Knowledge, Referred, Required, Seen, Standing};
use self::options::Options;
use self::turns::Turns;
use crate::api::tag_query::{KIND, PLURAL, TagQuery};
use crate::api::tags::{API_VERSION, GROUP, VERSION};
use crate::apiserver::authz::Authorizer;
use crate::apiserver::negotiate::{Negotiated, Shape, negotiate};
use crate::apiserver::query::Query;
use crate::apiserver::request_info::{RequestInfo, ResourceRequest, User, Verb};
use crate::apiserver::response::{Payload, refuse};
use crate::apiserver::status::Status;
use crate::clock::SharedClock;
use crate::store::Store;
use crate::task;

/// How long an answer may take, whatever the client and the request's limit allow (CRT-9).
const LONGEST: Duration = Duration::from_secs(34);
/// How many bytes a body may have.
pub const MOST_BYTES: usize = 3 << 20;
/// Bodies up to this many bytes need no place among the large ones, and are read where they are.
const SMALL_BYTES: usize = 64 << 10;
/// Answers that tell no more rejected tags than these are written where they are.
const FEW: usize = 500;

/// Answers TagQueries.
#[derive(Debug)]
pub struct TagQueries {
    store: Store,
    clock: SharedClock,
    knowledge: Arc<dyn Knowledge>,
    authorizer: Authorizer,
    turns: Turns,
}

/// Whether a request is about tagqueries: of one namespace, and no subresource of one.
pub(super) fn is_meant(request: &ResourceRequest) -> bool {
    request.group == GROUP
        && request.version == VERSION
        && request.resource == PLURAL
        && request.namespace.is_some()
        && request.subresource.is_none()
}

/// The namespace, when `info` is the creation of a TagQuery.
pub(super) fn creates(info: &RequestInfo) -> Option<&str> {
    match info {
        RequestInfo::Resource(request)
            if request.verb == Verb::Create && request.name.is_none() && is_meant(request) =>
        {
            request.namespace.as_deref()
        }
        RequestInfo::Resource(_) | RequestInfo::NonResource { .. } => None,
    }
}

/// The answer to everything else that somebody tries with tagqueries.
pub(super) fn refuse_all_else(request: &Parts) -> Response<Payload> {
    let negotiated = Negotiated::of_status(&request.headers, request.uri.query());
    let mut response = refuse(&Status::only_created(), negotiated);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

impl TagQueries {
    /// Answers from `store` and `knowledge`; `authorizer` says what else than to ask somebody may.
    pub fn new(
        store: Store,
        clock: SharedClock,
        knowledge: Arc<dyn Knowledge>,
        authorizer: Authorizer,
    ) -> Self {
        Self {
            store,
            clock,
            knowledge,
            authorizer,
            turns: Turns::new(),
        }
    }

    /// Answers the creation of a TagQuery in `namespace` by `user`, who may create some there.
    pub async fn create<B>(
        &self,
        request: &Parts,
        namespace: &str,
        body: B,
        user: &User,
    ) -> Response<Payload>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
    {
        let query = Query::parse(request.uri.query());
        let answered =
            tokio::time::timeout(LONGEST, self.answer(request, &query, namespace, body, user));
        let refusal = match answered.await {
            Ok(Ok(response)) => return response,
            Ok(Err(refusal)) => refusal,
            Err(_) => Status::request_timeout(),
        };
        let negotiated = Negotiated::of_status(&request.headers, request.uri.query());
        refuse(&refusal, negotiated)
    }

    async fn answer<B>(
        &self,
        request: &Parts,
        query: &Query,
        namespace: &str,
        body: B,
        user: &User,
    ) -> Result<Response<Payload>, Status>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
    {
        let negotiated = negotiate(&request.headers, query, Shape::One)?;
        let media = media::of_body(&request.headers)?;
        let line = self.turns.place(user)?;
        let read = body::read(body, MOST_BYTES, SMALL_BYTES, line.large()).await?;
        let options = Options::read(query)?;
        let include = answer::include(negotiated, query)?;
        let body::Read { bytes, place } = read;
        let wanted = namespace.to_owned();
        let read = move || -> Result<(TagQuery, Asked, Vec<String>), Status> {
            let Decoded {
                object: mut review,
                warnings,
            } = decode::decode(&bytes, media, options.validation)?;
            claim(&mut review, &wanted)?;
            let name = review.metadata.name.clone().unwrap_or_default();
            let asked = validate::validate(&review.spec)
                .map_err(|errors| Status::invalid_tag_query(&name, &errors))?;
            Ok((review, asked, warnings))
        };
        let is_large = place.is_some();
        let (mut review, asked, warnings) = if is_large {
            let turn = line.turn().await?;
            task::blocking("read a query", move || {
                let read = read();
                drop(turn);
                read
            })
            .await?
        } else {
            read()?
        };
        let status = self.evaluate(namespace, asked, user, &line).await?;
        let is_brief = !is_large && status.rejected.len() <= FEW;
        review.status = Some(status);
        let written = move || {
            let answer = answer::created(&review, negotiated, include, &warnings);
            // What was large is so until here.
            drop((review, place));
            answer
        };
        Ok(task::brief_or_blocking("write a query's answer", is_brief, written).await)
    }
}

/// What the server says about the object itself, not its author: the kind, the namespace, and nothing else.
fn claim(review: &mut TagQuery, namespace: &str) -> Result<(), Status> {
    review.kind = Some(KIND.to_owned());
    review.api_version = Some(API_VERSION.to_owned());
    let metadata = &mut review.metadata;
    match metadata.namespace.as_deref() {
        None | Some("") => metadata.namespace = Some(namespace.to_owned()),
        Some(own) if own == namespace => {}
        Some(_) => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    metadata.managed_fields = None;
    metadata.self_link = None;
    metadata.deletion_timestamp = None;
    metadata.deletion_grace_period_seconds = None;
    Ok(())
}

/// Reads a body as JSON and as YAML, for fuzzing: whatever it is, it is read or refused, and what is read says the same
/// when it is written and read again.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(data: &[u8]) {
    for media in [media::Media::Json, media::Media::Yaml] {
        let Ok(Decoded { object, warnings }) =
            decode::decode(data, media, options::Validation::Warn)
        else {
            continue;
        };
        assert!(warnings.len() <= decode::MOST_PROBLEMS);
        drop(validate::validate(&object.spec));
        let Ok(text) = serde_json::to_vec(&object) else {
            continue;
        };
        let again = decode::decode(&text, media::Media::Json, options::Validation::Strict);
        let again = again.map(|again| serde_json::to_vec(&again.object).unwrap_or_default());
        assert_eq!(again.as_ref(), Ok(&text), "{media:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fuzz;

    /// What is in every corner of a query.
    const WHOLE: &str = r#"{"apiVersion":"tags.tagscope.dev/v1alpha1","kind":"TagQuery","metadata":{"name":"a",
        "creationTimestamp":null,"labels":{"a":"b"}},"spec":{"imageRepositoryRef":{"name":"a","namespace":"b"},
        "imagePolicyRef":{"name":"c"},"tags":["1.0.0",null],"exclusionList":["x"],"filterTags":{"pattern":"(.*)",
        "extract":"$1"},"policy":{"semver":{"range":"*"},"alphabetical":{"order":"asc"},"numerical":{}},"governance":
        {"hold":"1","minimumAge":"1h","downgrade":"forbid","platforms":["linux/amd64"],"requireMirrored":"a/b"},"limit":3,"explain":true}}"#;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[{}\\[\\]\":,&*a-z0-9\\\\ \n.-]{0,80}") {
            fuzz(text.as_bytes());
        }

        #[test]
        fn a_query_with_anything_changed_is_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            end in any::<prop::sample::Index>(),
            is_cut in prop::bool::weighted(0.2),
        ) {
            let mut bytes = WHOLE.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if is_cut {
                bytes.truncate(end.index(bytes.len()));
            }
            fuzz(&bytes);
        }
    }
}
