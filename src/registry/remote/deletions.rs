//! Tags and manifests, deleted. Only these requests ask for the right to delete.
//!
//! Not every registry deletes a tag alone (distribution specification, "Deleting tags"): some delete by digest only, and with the
//! manifest go all of its tags. There a tag is moved first to a manifest that nobody else can have, the placeholder, and that is
//! deleted by its digest: the tag goes with it, and nothing else. Where that does not work out the tag is moved back.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::refusal::ERROR_BYTES;
use super::request::{Repeat, Request};
use super::{Head, Intent, Named, Put, RawManifest, Remote};
use crate::image::{Digest, Tag};
use crate::registry::Error;
use crate::registry::answer::{account, is_html};
use crate::registry::retry::is_worth_another_try;
use crate::registry::window::Class;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// What a placeholder says that it is (`artifactType`).
const PLACEHOLDER: &str = "application/vnd.tagscope.placeholder.v1";
/// The content of the blob that a placeholder names (image specification, "Guidance for an Empty Descriptor").
const EMPTY: &[u8] = b"{}";

/// What became of the wish to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted.
    Deleted,
    /// It was not there (404). An answer that was lost is asked for again: then it may have been there until now.
    Gone,
    /// The tag is something else than was to be deleted: it stays.
    Moved {
        /// What it is.
        found: Digest,
    },
    /// The registry does not delete such a thing: 405, 501, `UNSUPPORTED`, or 400 to a tag.
    Unsupported,
    /// It may not be deleted, by this account or by anybody (403, 409, 412 and the like): why, in words.
    Refused(Error),
}

impl Remote {
    /// Deletes the tag alone, if it is `expected`: the manifest stays, and so do its other tags. It is asked for right before,
    /// each time: an answer that was lost may have been to a deletion, and then the tag is whoever's made it anew.
    pub async fn delete_tag(&self, tag: &Tag, expected: &Digest) -> Result<Deletion, Error> {
        let named = Named::Tag(tag.clone());
        let mut tried = 1;
        loop {
            if let Some(other) = self.is_other(&named, expected).await? {
                return Ok(other);
            }
            let error = match self.delete(&named, Repeat::Never).await {
                Err(error) if is_passing(&error) => error,
                answer => return answer,
            };
            if !self.wait_after(&mut tried).await {
                return Err(error);
            }
        }
    }

    /// Deletes a manifest, and with it every tag of it.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<Deletion, Error> {
        self.delete(&Named::Digest(digest.clone()), Repeat::Always)
            .await
    }

    /// Deletes the tag alone, if it is `expected`, where [`Self::delete_tag`] is [`Deletion::Unsupported`]: moves it to a
    /// placeholder, and deletes that. When the registry does not delete that either, the tag is what it was, and the answer says
    /// why; of one that deletes nothing by a digest, nothing is touched.
    ///
    /// Whoever stops waiting for this may leave the tag with the placeholder ([`is_placeholder`]), which the next call
    /// deletes, or else takes back to `expected`; somebody else's write of the tag at the same moment may be lost.
    pub async fn delete_tag_by_placeholder(
        &self,
        tag: &Tag,
        expected: &Digest,
    ) -> Result<Deletion, Error> {
        let named = Named::Tag(tag.clone());
        let before = match self.manifest(&named).await? {
            None => return Ok(Deletion::Gone),
            Some(left) if is_placeholder(&left) => {
                return self.end(tag, &left.digest, expected, None).await;
            }
            Some(found) if found.digest != *expected => {
                let found = found.digest;
                return Ok(Deletion::Moved { found });
            }
            Some(before) => before,
        };
        // Of what nobody has: else placeholders would pile up where none can be deleted.
        let nobodys = Digest::of(uuid::Uuid::new_v4().as_bytes());
        match self.delete_manifest(&nobodys).await? {
            Deletion::Deleted | Deletion::Gone => {}
            other => return Ok(other),
        }
        let placeholder = match self.put_placeholder(tag, expected).await {
            Ok(Ok(placeholder)) => placeholder,
            Ok(Err(other)) => return Ok(other),
            Err(error) if is_refusal(&error) => return Ok(Deletion::Refused(error)),
            Err(error) => return Err(error),
        };
        self.end(tag, &placeholder, expected, Some(before)).await
    }

    /// Deletes the `placeholder` that `tag` names; where that does not work out, the tag is `expected` again.
    async fn end(
        &self,
        tag: &Tag,
        placeholder: &Digest,
        expected: &Digest,
        before: Option<RawManifest>,
    ) -> Result<Deletion, Error> {
        let named = Named::Tag(tag.clone());
        let deletion = self.delete_manifest(placeholder).await;
        if let Ok(Deletion::Deleted | Deletion::Gone) = deletion {
            return Ok(Deletion::Deleted);
        }
        // Unless it was deleted after all, or somebody else has moved the tag meanwhile.
        match self.head(&named).await?.map(|head| head.digest) {
            None => return Ok(Deletion::Deleted),
            Some(found) if found == *expected => return deletion,
            Some(found) if found != *placeholder => return Ok(Deletion::Moved { found }),
            Some(_) => {}
        }
        let stuck = |why: &str| {
            let cause = format!(
                "the tag names a placeholder now, and does not go back to {expected}: {why}"
            );
            self.not_deleted(tag, cause)
        };
        let before = if let Some(before) = before {
            before
        } else {
            let found = self.manifest(&Named::Digest(expected.clone())).await?;
            found.ok_or_else(|| stuck("that is not there any more"))?
        };
        match self.put_manifest(&named, &before).await? {
            Put::Done { .. } => deletion,
            Put::Missing { detail, .. } | Put::Immutable { detail, .. } => Err(stuck(&detail)),
        }
    }

    /// What to say instead of deleting what `named` is; none: it is `expected`.
    async fn is_other(&self, named: &Named, expected: &Digest) -> Result<Option<Deletion>, Error> {
        Ok(match self.head(named).await? {
            None => Some(Deletion::Gone),
            Some(Head { digest: found, .. }) => {
                (found != *expected).then_some(Deletion::Moved { found })
            }
        })
    }

    /// Writes a placeholder as `tag`, if that is `expected` still; its digest, or why not.
    async fn put_placeholder(
        &self,
        tag: &Tag,
        expected: &Digest,
    ) -> Result<Result<Digest, Deletion>, Error> {
        let blob = self.put_small_blob(&Bytes::from_static(EMPTY)).await?;
        let placeholder = placeholder(&blob);
        let named = Named::Tag(tag.clone());
        if let Some(other) = self.is_other(&named, expected).await? {
            return Ok(Err(other));
        }
        match self.put_manifest(&named, &placeholder).await? {
            Put::Done { .. } => Ok(Ok(placeholder.digest)),
            Put::Missing { detail, .. } | Put::Immutable { detail, .. } => {
                let cause = format!("nor may it be moved to what can be deleted: {detail}");
                Err(self.not_deleted(tag, cause))
            }
        }
    }

    fn not_deleted(&self, tag: &Tag, cause: String) -> Error {
        Error::NotDeleted {
            host: self.repository.registry().api_host().to_owned(),
            what: format!("{}:{tag} by its tag", self.repository.path()),
            cause,
        }
    }

    async fn delete(&self, named: &Named, repeat: Repeat) -> Result<Deletion, Error> {
        let asked = self.asked(&Method::DELETE, named);
        let request = Request {
            class: Class::ManifestWrite,
            accept: "*/*",
            ..self.about(Method::DELETE, named)
        };
        let deleting = Self {
            intent: Intent::Delete,
            ..self.clone()
        };
        let mut reply = match deleting.send_with(request, repeat, false).await {
            Ok(reply) => reply,
            Err(error) if is_refusal(&error) => return Ok(Deletion::Refused(error)),
            Err(error) => return Err(error),
        };
        let status = reply.status;
        if status.is_success() {
            if is_html(&reply.headers, &[]) {
                let host = reply.host;
                return Err(Error::Html { host, asked });
            }
            return Ok(Deletion::Deleted);
        }
        let body = reply.body(ERROR_BYTES).await.unwrap_or_default();
        let codes = account(&body, &reply.redactor).codes;
        let is_page = is_html(&reply.headers, &body);
        let error = deleting.refusal(&reply, &body, &asked);
        drop(reply);
        match judge(named, status, &codes) {
            // A page for people says nothing of what is there.
            _ if is_page => Err(error),
            // Those that look for the digest by the name of a tag say the same.
            Verdict::Gone => match self.head(named).await? {
                Some(_) => Ok(Deletion::Unsupported),
                None => Ok(Deletion::Gone),
            },
            Verdict::Unsupported => Ok(Deletion::Unsupported),
            Verdict::Refused => Ok(Deletion::Refused(error)),
            Verdict::Failed => Err(error),
        }
    }
}

/// What a status says that is no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Gone,
    Unsupported,
    Refused,
    Failed,
}

fn judge(named: &Named, status: StatusCode, codes: &[String]) -> Verdict {
    let is_unsupported = codes.iter().any(|code| code == "UNSUPPORTED");
    // Those that delete by digest only take a tag for a bad one, and say so in one way or another.
    let is_vague = codes.iter().all(|code| {
        matches!(
            code.as_str(),
            "DIGEST_INVALID" | "MANIFEST_INVALID" | "TAG_INVALID" | "UNKNOWN"
        )
    });
    match (status.as_u16(), named) {
        (405 | 501, _) => Verdict::Unsupported,
        (401 | 408 | 429, _) => Verdict::Failed,
        (400..=499, _) if is_unsupported => Verdict::Unsupported,
        (404, _) => Verdict::Gone,
        (400, Named::Tag(_)) if is_vague => Verdict::Unsupported,
        (400..=499, _) => Verdict::Refused,
        (_, _) => Verdict::Failed,
    }
}

/// Whether another try may go better.
fn is_passing(error: &Error) -> bool {
    matches!(
        error,
        Error::Broken { .. }
            | Error::TimedOut { .. }
            | Error::Connect { .. }
            | Error::RateLimited { .. }
    ) || matches!(error, Error::Status { status, .. } if is_worth_another_try(*status))
}

/// Whether who asked may not do that, now or later.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Forbidden { .. }
            | Error::NotDeleted { .. }
            | Error::CredentialMissing { .. }
            | Error::CredentialRefused { .. }
            | Error::CredentialUnfit { .. }
            | Error::TokenServer {
                is_refusal: true,
                ..
            }
    )
}

/// A manifest that nobody else has, which names nothing but the empty blob, twice: some take none without a layer.
fn placeholder(blob: &Digest) -> RawManifest {
    let empty = json!({
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": blob.as_str(),
        "size": EMPTY.len(),
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": PLACEHOLDER,
        "config": empty,
        "layers": [empty],
        "annotations": {"dev.tagscope.placeholder": uuid::Uuid::new_v4().to_string()},
    });
    let bytes = Bytes::from(manifest.to_string());
    RawManifest {
        digest: Digest::of(&bytes),
        media_type: MANIFEST.to_owned(),
        bytes,
    }
}

/// Whether `manifest` is one that only stands for a tag that is being deleted.
pub fn is_placeholder(manifest: &RawManifest) -> bool {
    let document: Result<Value, _> = serde_json::from_slice(&manifest.bytes);
    let kind = document.ok().and_then(|mut document| {
        let kind = document.get_mut("artifactType")?;
        Some(kind.take())
    });
    kind.is_some_and(|kind| kind == PLACEHOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart_by_code_and_by_what_was_to_be_deleted() {
        let tag = Named::Tag("1".parse().unwrap());
        let digest = Named::Digest(Digest::of(b"x"));
        for (status, code, of_tag, of_digest) in [
            (405, "", Verdict::Unsupported, Verdict::Unsupported),
            (501, "", Verdict::Unsupported, Verdict::Unsupported),
            (
                400,
                "UNSUPPORTED",
                Verdict::Unsupported,
                Verdict::Unsupported,
            ),
            (
                403,
                "UNSUPPORTED",
                Verdict::Unsupported,
                Verdict::Unsupported,
            ),
            (
                400,
                "DIGEST_INVALID",
                Verdict::Unsupported,
                Verdict::Refused,
            ),
            (400, "", Verdict::Unsupported, Verdict::Refused),
            (
                400,
                "GOOGLE_MANIFEST_DANGLING_TAG",
                Verdict::Refused,
                Verdict::Refused,
            ),
            (403, "DENIED", Verdict::Refused, Verdict::Refused),
            (409, "", Verdict::Refused, Verdict::Refused),
            (412, "PRECONDITION", Verdict::Refused, Verdict::Refused),
            (404, "MANIFEST_UNKNOWN", Verdict::Gone, Verdict::Gone),
            (
                404,
                "UNSUPPORTED",
                Verdict::Unsupported,
                Verdict::Unsupported,
            ),
            (401, "", Verdict::Failed, Verdict::Failed),
            (429, "", Verdict::Failed, Verdict::Failed),
            (302, "", Verdict::Failed, Verdict::Failed),
            (500, "UNKNOWN", Verdict::Failed, Verdict::Failed),
        ] {
            let codes: Vec<_> = Some(code)
                .filter(|it| !it.is_empty())
                .into_iter()
                .map(str::to_owned)
                .collect();
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(judge(&tag, status, &codes), of_tag, "{status} {code}");
            assert_eq!(judge(&digest, status, &codes), of_digest, "{status} {code}");
        }
    }

    #[test]
    fn no_two_placeholders_are_one_and_each_is_known() {
        let [one, two] = [(); 2].map(|()| placeholder(&Digest::of(EMPTY)));
        assert_ne!(one.digest, two.digest);
        assert!(is_placeholder(&one) && is_placeholder(&two));
        for other in ["", "{}", "[]", r#"{"artifactType":"x"}"#] {
            let bytes = Bytes::from_static(other.as_bytes());
            assert!(
                !is_placeholder(&RawManifest {
                    bytes,
                    ..one.clone()
                }),
                "{other}"
            );
        }
    }
}
