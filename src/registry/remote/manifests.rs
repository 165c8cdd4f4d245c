//! Manifests and tags: read and verified, written and checked.
//!
//! What is read is what its digest says, or an error. What was written counts as written when the registry says so, or
//! when it has it after all: an answer that was lost is asked for again, not guessed.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::refusal::ERROR_BYTES;
use super::request::{Payload, Repeat, Reply, Request, To};
use super::{Head, Intent, Named, Put, RawManifest, Remote};
use crate::image::{Algorithm, Digest, Hasher};
use crate::registry::answer::{Account, account, is_html};
use crate::registry::errand::{Content, Errand, Purpose};
use crate::registry::limits::Deadline;
use crate::registry::list::{self, Found, TagList};
use crate::registry::observe::Operation;
use crate::registry::redact::shorten;
use crate::registry::window::Class;
use crate::registry::{Error, budget::Turn};

/// Index before manifest, and what is old or no image, too: all is copied as it is.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.artifact.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.5, \
    application/vnd.docker.distribution.manifest.v1+json;q=0.4";
/// Until the head of an answer about a manifest.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// For a whole list of tags, waits apart.
const LIST: Duration = Duration::from_mins(10);
/// Longer media types are none.
const MEDIA_TYPE_BYTES: usize = 255;
/// More digests are not read from an error.
const MISSING: usize = 256;

impl Remote {
    /// Every tag; an empty list where the repository does not exist yet, if it is there to be written to.
    pub async fn tags(&self) -> Result<TagList, Error> {
        let inner = &*self.client.0;
        let host = self.repository.registry().api_host();
        let observer = &inner.settings.observer;
        let errand = Errand {
            actions: self.intent.actions(),
            mount_from: None,
            headers: &[],
            content: Content::Nothing,
            purpose: Purpose::Documents,
            tally: &self.tally,
            mandate: None,
        };
        let mut choice = inner
            .choices
            .of(&self.repository, self.intent.actions(), &self.access);
        loop {
            let permit = inner.windows.enter(host, Class::Read).await;
            let turn = Turn::aside(&inner.budgets, host, Deadline::after(LIST), observer);
            let access = choice.access();
            let asked =
                list::list_tags(inner, &self.repository, access, None, &turn, Some(&errand));
            let answer = turn.drive(asked).await;
            match &answer {
                Err(Error::Broken { .. } | Error::TimedOut { .. } | Error::RateLimited { .. }) => {
                    permit.congested();
                }
                _ => permit.went_well(),
            }
            match choice.weigh(answer) {
                None => {}
                Some(Ok(Found::Fresh(list))) => return Ok(list),
                Some(Err(Error::NotFound {
                    is_no_repository: true,
                    ..
                })) if self.intent != Intent::Read => {
                    return Ok(TagList {
                        tags: Vec::new(),
                        pages: 0,
                        duplicates: 0,
                        incomplete: None,
                        invalid: None,
                        validator: None,
                    });
                }
                // Nobody asked that: to be asked again would be no better.
                Some(Ok(Found::Unchanged)) => {
                    return Err(Error::Malformed {
                        host: host.to_owned(),
                        asked: format!("GET /v2/{}/tags/list", self.repository.path()),
                        cause: "it says that nothing changed, and was not asked that".to_owned(),
                    });
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// What `named` is; none: there is no such manifest (or no such repository).
    ///
    /// Where HEAD is not answered with a digest, or not taken from whom GET is, the manifest itself is read.
    pub async fn head(&self, named: &Named) -> Result<Option<Head>, Error> {
        let asked = self.asked(&Method::HEAD, named);
        let reply = match self.send(self.about(Method::HEAD, named)).await {
            Ok(reply) => reply,
            Err(error @ (Error::CredentialMissing { .. } | Error::CredentialRefused { .. })) => {
                return match self.read(named).await {
                    Ok(found) => Ok(found.map(RawManifest::into_head)),
                    Err(_) => Err(error),
                };
            }
            Err(error) => return Err(error),
        };
        match reply.status {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {}
            status if !status.is_success() => return Err(self.refuse(reply, &asked).await),
            _ if is_html(&reply.headers, &[]) => {
                let host = reply.host;
                return Err(Error::Html { host, asked });
            }
            _ => {
                if let Some(digest) = stated(&reply, &asked)? {
                    if let Named::Digest(wanted) = named
                        && digest.algorithm() == wanted.algorithm()
                        && digest != *wanted
                    {
                        return Err(self.integrity(&reply, named, &format!("it states {digest}")));
                    }
                    let digest = match named {
                        Named::Digest(wanted) => wanted.clone(),
                        Named::Tag(_) => digest,
                    };
                    let media_type = media_type(&reply);
                    return Ok(Some(Head { digest, media_type }));
                }
            }
        }
        drop(reply);
        Ok(self.read(named).await?.map(RawManifest::into_head))
    }

    /// The manifest itself, at most 4 MiB, its digest checked against the header and against `named`. None: not there.
    pub async fn manifest(&self, named: &Named) -> Result<Option<RawManifest>, Error> {
        self.read(named).await
    }

    async fn read(&self, named: &Named) -> Result<Option<RawManifest>, Error> {
        let asked = self.asked(&Method::GET, named);
        let limit = self.client.0.settings.limits.manifest_bytes;
        let about = || self.about(Method::GET, named);
        let (reply, body) = self.fetch(about, limit).await?;
        if reply.status == StatusCode::NOT_FOUND && !is_html(&reply.headers, &body) {
            return Ok(None);
        }
        if !reply.status.is_success() {
            return Err(self.refusal(&reply, &body, &asked));
        }
        let stated = stated(&reply, &asked)?;
        let digest = match (named, &stated) {
            (Named::Digest(wanted), _) => digest_by(wanted.algorithm(), &body),
            (Named::Tag(_), Some(stated)) => digest_by(stated.algorithm(), &body),
            (Named::Tag(_), None) => Digest::of(&body),
        };
        let is_asked_for = match named {
            Named::Digest(wanted) => *wanted == digest,
            Named::Tag(_) => true,
        };
        if is_html(&reply.headers, &body) {
            let host = reply.host;
            return Err(Error::Html { host, asked });
        }
        if !is_asked_for {
            let cause = format!("what it sent has the digest {digest}");
            return Err(self.integrity(&reply, named, &cause));
        }
        if let Some(stated) = stated.filter(|stated| !stated.is_of(&body)) {
            let cause = format!("its header states {stated}, and what it sent is {digest}");
            return Err(self.integrity(&reply, named, &cause));
        }
        Ok(Some(RawManifest {
            digest,
            media_type: media_type(&reply),
            bytes: body,
        }))
    }

    /// Asks and reads the whole answer, again where it breaks off.
    pub(super) async fn fetch<'a>(
        &'a self,
        request: impl Fn() -> Request<'a>,
        limit: u64,
    ) -> Result<(Reply, Bytes), Error> {
        let mut tried = 1;
        loop {
            let mut reply = self.send(request()).await?;
            match reply.body(limit).await {
                Ok(body) => return Ok((reply, body)),
                Err(error @ Error::Broken { .. }) => {
                    drop(reply);
                    if !self.wait_after(&mut tried).await {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes a manifest under `named`. After a lost answer the registry is asked whether it is there; whether it keeps
    /// the list of referrers is then not known, and counts as no.
    pub async fn put_manifest(&self, named: &Named, manifest: &RawManifest) -> Result<Put, Error> {
        let asked = self.asked(&Method::PUT, named);
        let mut tried = 1;
        loop {
            let content_type = HeaderValue::from_str(&manifest.media_type)
                .ok()
                .filter(|value| !value.is_empty())
                .unwrap_or(HeaderValue::from_static(
                    "application/vnd.oci.image.manifest.v1+json",
                ));
            let request = Request {
                payload: Payload::Whole(manifest.bytes.clone()),
                headers: vec![(CONTENT_TYPE, content_type)],
                class: Class::ManifestWrite,
                accept: "*/*",
                ..self.about(Method::PUT, named)
            };
            let lost = match self.send_with(request, Repeat::WhenPutOff, false).await {
                Ok(reply) if is_lost(reply.status) => self.refuse(reply, &asked).await,
                Ok(reply) => return self.written(named, manifest, reply, &asked).await,
                Err(error @ (Error::Broken { .. } | Error::TimedOut { .. })) => error,
                // Of several credentials none may, or the registry forbids to move the tag.
                Err(error @ Error::Forbidden { .. }) if matches!(named, Named::Tag(_)) => {
                    let is_one_of_several = !self.access().other_credentials.is_empty();
                    return match self.head(named).await {
                        Ok(Some(head)) if head.digest.is_of(&manifest.bytes) => Ok(there(true)),
                        Ok(Some(head)) if is_one_of_several => Ok(Put::Immutable {
                            found: head.digest,
                            detail: error.to_string(),
                        }),
                        _ => Err(error),
                    };
                }
                Err(error) => return Err(error),
            };
            if let Ok(Some(head)) = self.head(named).await
                && head.digest.is_of(&manifest.bytes)
            {
                return Ok(there(false));
            }
            if !self.wait_after(&mut tried).await {
                return Err(lost);
            }
        }
    }

    /// What an answer to a PUT means.
    async fn written(
        &self,
        named: &Named,
        manifest: &RawManifest,
        mut reply: Reply,
        asked: &str,
    ) -> Result<Put, Error> {
        if reply.status.is_success() {
            if is_html(&reply.headers, &[]) {
                let asked = asked.to_owned();
                let host = reply.host;
                return Err(Error::Html { host, asked });
            }
            let stated = stated(&reply, asked)?;
            if let Some(stated) = stated.filter(|stated| !stated.is_of(&manifest.bytes)) {
                let cause = format!("it says that it took {stated}");
                return Err(self.integrity(&reply, named, &cause));
            }
            return Ok(Put::Done {
                keeps_referrers: reply.headers.contains_key("oci-subject"),
                was_there: false,
            });
        }
        let body = reply.body(ERROR_BYTES).await.unwrap_or_default();
        let told = account(&body, &reply.redactor);
        let misses = told.codes.iter().any(|code| {
            matches!(
                code.as_str(),
                "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN"
            )
        });
        let misses = misses && reply.status.is_client_error();
        if misses || may_miss(&reply, &body, &told) {
            let mut digests = digests_in(&body);
            digests.retain(|digest| *digest != manifest.digest);
            let detail = if told.detail.is_empty() {
                reply.status.to_string()
            } else {
                without_separator(told.detail)
            };
            return Ok(Put::Missing {
                digests,
                is_vague: !misses,
                detail,
            });
        }
        let error = self.refusal(&reply, &body, asked);
        let may_be_immutable =
            reply.status.is_client_error() && !matches!(reply.status.as_u16(), 401 | 408 | 429);
        if !may_be_immutable || !matches!(named, Named::Tag(_)) {
            return Err(error);
        }
        let status = reply.status;
        drop(reply);
        match self.head(named).await {
            Ok(Some(head)) if head.digest.is_of(&manifest.bytes) => Ok(there(true)),
            Ok(Some(head)) => Ok(Put::Immutable {
                found: head.digest,
                detail: if told.detail.is_empty() {
                    status.to_string()
                } else {
                    without_separator(told.detail)
                },
            }),
            Ok(None) | Err(_) => Err(error),
        }
    }

    /// A request about a manifest.
    pub(super) fn about<'a>(&self, method: Method, named: &Named) -> Request<'a> {
        Request {
            method,
            to: To::Path(format!("/v2/{}/manifests/{named}", self.repository.path())),
            operation: Operation::Manifest,
            class: Class::Read,
            headers: vec![plain()],
            accept: ACCEPT,
            payload: Payload::Empty,
            mount_from: None,
            may_repeat: true,
            patience: PATIENCE,
        }
    }

    pub(super) fn asked(&self, method: &Method, named: &Named) -> String {
        format!("{method} /v2/{}/manifests/{named}", self.repository.path())
    }

    fn integrity(&self, reply: &Reply, named: &Named, cause: &str) -> Error {
        let mark = match named {
            Named::Tag(_) => ':',
            Named::Digest(_) => '@',
        };
        Error::Integrity {
            host: reply.host.clone(),
            what: format!("{}{mark}{named}", self.repository.path()),
            cause: cause.to_owned(),
        }
    }
}

impl RawManifest {
    fn into_head(self) -> Head {
        Head {
            digest: self.digest,
            media_type: self.media_type,
        }
    }
}

/// It is there; more is not known.
const fn there(was_there: bool) -> Put {
    Put::Done {
        keeps_referrers: false,
        was_there,
    }
}

/// Whether a refusal may mean that something is missing: some say so with `MANIFEST_INVALID`, or with the status alone.
fn may_miss(reply: &Reply, body: &[u8], told: &Account) -> bool {
    let is_vague = told.codes.iter().all(|code| code == "MANIFEST_INVALID");
    // Tags that may not be moved are refused in as many words.
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    let is_of_tags = ["immutab", "already exist", "overw"]
        .iter()
        .any(|word| text.contains(word));
    matches!(reply.status.as_u16(), 400 | 404)
        && is_vague
        && !is_of_tags
        && !is_html(&reply.headers, body)
}

/// No encoding is wanted: what comes is hashed as it comes.
pub(super) fn plain() -> (HeaderName, HeaderValue) {
    (ACCEPT_ENCODING, HeaderValue::from_static("identity"))
}

/// Whether a status leaves open if a write was carried out.
fn is_lost(status: StatusCode) -> bool {
    status == StatusCode::REQUEST_TIMEOUT || status.is_server_error()
}

/// The digest in an answer's header, if there is one.
fn stated(reply: &Reply, asked: &str) -> Result<Option<Digest>, Error> {
    let Some(value) = reply.headers.get("docker-content-digest") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let digest = text.parse().map_err(|_| Error::Malformed {
        host: reply.host.clone(),
        asked: asked.to_owned(),
        cause: format!(
            "its Docker-Content-Digest is no digest that is known: {}",
            shorten(text, 100)
        ),
    })?;
    Ok(Some(digest))
}

fn media_type(reply: &Reply) -> String {
    let text = reply
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let text = text.split(';').next().unwrap_or_default().trim();
    let is_sound = text.len() <= MEDIA_TYPE_BYTES && text.bytes().all(|b| b.is_ascii_graphic());
    if is_sound {
        text.to_owned()
    } else {
        String::new()
    }
}

fn digest_by(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// Every digest that an error document names, each once: registries differ in where they put them.
fn digests_in(body: &[u8]) -> Vec<Digest> {
    let text = String::from_utf8_lossy(body);
    let mut found: Vec<Digest> = Vec::new();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
    for digest in words.filter_map(|word| word.parse::<Digest>().ok()) {
        if !found.contains(&digest) && found.len() < MISSING {
            found.push(digest);
        }
    }
    found
}

/// A registry's own words, without what joins them to ours.
fn without_separator(detail: String) -> String {
    match detail.strip_prefix("; ") {
        Some(words) => words.to_owned(),
        None => detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_wherever_an_error_names_them() {
        let digest = Digest::of(b"x");
        for body in [
            format!(r#"{{"errors":[{{"detail":{{"digest":"{digest}"}}}}]}}"#),
            format!(r#"{{"errors":[{{"detail":"unknown blob {digest}, {digest}"}}]}}"#),
            format!(r#"{{"errors":[{{"message":"manifest invalid: {digest}."}}]}}"#),
        ] {
            assert_eq!(
                digests_in(body.as_bytes()),
                std::slice::from_ref(&digest),
                "{body}"
            );
        }
        assert_eq!(digests_in(b"sha256:abc \xff"), []);
    }
}
