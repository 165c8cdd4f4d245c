//! What a tag points at.

use http::{Method, StatusCode};

use super::access::Access;
use super::answer::{Answer, is_html};
use super::budget::Turn;
use super::client::Inner;
use super::error::Error;
use super::exchange::Ask;
use super::observe::Operation;
use super::redact::shorten;
use crate::image::{Algorithm, Digest, Reference};

/// Index before manifest, so that a multi-platform image is named by its index.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

pub(super) async fn head(
    inner: &Inner,
    reference: &Reference,
    access: &Access,
    turn: &Turn,
) -> Result<Digest, Error> {
    let head = ask(inner, Method::HEAD, reference, access, turn);
    let answer = inner.exchange(&head).await?;
    // HEAD is not everywhere supported; GET counts as a pull in places, so it comes second.
    let supports_head = !matches!(
        answer.status,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
    );
    if supports_head {
        if !answer.status.is_success() {
            return Err(Inner::refuse(
                &head,
                &answer,
                format!("the manifest {}", shown(reference)),
            ));
        }
        if let Some(digest) = stated_digest(&head, &answer, reference)? {
            return Ok(digest);
        }
    }
    let get = ask(inner, Method::GET, reference, access, turn);
    let answer = inner.exchange(&get).await?;
    if !answer.status.is_success() {
        return Err(Inner::refuse(
            &get,
            &answer,
            format!("the manifest {}", shown(reference)),
        ));
    }
    if is_html(&answer.headers, &answer.body) {
        return Err(Error::Html {
            host: answer.host,
            asked: get.asked(),
        });
    }
    let digest = Digest::of(&answer.body);
    match stated_digest(&get, &answer, reference)? {
        Some(stated) if stated != digest => Err(malformed(
            &get,
            &answer,
            format!("its digest is {digest}, not the {stated} that its header states"),
        )),
        _ => Ok(digest),
    }
}

fn ask<'a>(
    inner: &Inner,
    method: Method,
    reference: &'a Reference,
    access: &'a Access,
    turn: &'a Turn,
) -> Ask<'a> {
    let repository = reference.repository();
    Ask {
        method,
        operation: Operation::Manifest,
        repository,
        path_and_query: format!(
            "/v2/{}/manifests/{}",
            repository.path(),
            reference.identifier()
        ),
        accept: ACCEPT,
        access,
        turn,
        known: None,
        body_limit: inner.settings.limits.manifest_bytes,
        body_name: "a manifest",
        errand: None,
    }
}

/// The digest in the answer's header, if there is one; it must be one, and the one that was asked for.
fn stated_digest(
    ask: &Ask<'_>,
    answer: &Answer,
    reference: &Reference,
) -> Result<Option<Digest>, Error> {
    let Some(value) = answer.headers.get("docker-content-digest") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let parsed = text.parse::<Digest>().ok();
    let sha256 = parsed.filter(|digest| digest.algorithm() == Algorithm::Sha256);
    let digest = sha256.ok_or_else(|| {
        malformed(
            ask,
            answer,
            format!(
                "its Docker-Content-Digest is not a sha256 digest: {}",
                shorten(text, 100)
            ),
        )
    })?;
    match reference {
        Reference::Digest(_, asked) if *asked != digest => Err(malformed(
            ask,
            answer,
            format!("it states the digest {digest}, and another was asked for"),
        )),
        Reference::Digest(..) | Reference::Tag(..) => Ok(Some(digest)),
    }
}

fn malformed(ask: &Ask<'_>, answer: &Answer, cause: String) -> Error {
    Error::Malformed {
        host: answer.host.clone(),
        asked: ask.asked(),
        cause,
    }
}

/// `path:tag` or `path@digest`.
fn shown(reference: &Reference) -> String {
    match reference {
        Reference::Tag(repository, tag) => format!("{}:{tag}", repository.path()),
        Reference::Digest(repository, digest) => format!("{}@{digest}", repository.path()),
    }
}
