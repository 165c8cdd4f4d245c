//! The list of a manifest's referrers (distribution specification, "listing referrers"), all its pages.
//!
//! Only a registry's own 404 means that it does not have the API, and one that misses the repository does not say that, nor does
//! a page for people, as what stands before a registry has for a path that it does not know. Everything else that is no list, such
//! a page with another status included, is an error, so that no signature is lost unnoticed.
//! What is no index at all (a registry that takes the path for something else) counts as not having it.

use std::collections::HashSet;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use url::Url;

use super::Remote;
use super::manifests::{PATIENCE, plain};
use super::request::{Payload, Reply, Request, To};
use crate::image::Digest;
use crate::mirror::document::{self, Child, Content, MOST_DESCRIPTORS};
use crate::registry::Error;
use crate::registry::answer::{account, is_html};
use crate::registry::link::{self, Next};
use crate::registry::observe::Operation;
use crate::registry::redact::shorten;
use crate::registry::window::Class;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// More pages are not read.
const PAGES: usize = 100;

/// What a registry says of the referrers of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrers {
    /// These, each once.
    Listed(Vec<Child>),
    /// There is no such repository (404 with `NAME_UNKNOWN`): whether there is the API is not said.
    NoRepository,
    /// Somebody else has answered (404 with a page for people): the same.
    NoWord,
    /// It does not have the API (any other 404, or what is no index).
    NoApi,
}

impl Remote {
    /// The referrers of `subject`, all pages.
    pub async fn referrers(&self, subject: &Digest) -> Result<Referrers, Error> {
        let limit = self.client.0.settings.limits.manifest_bytes;
        let path = format!("/v2/{}/referrers/{subject}", self.repository.path());
        let asked = format!("GET {path}");
        let mut at = path;
        let mut found: Vec<Child> = Vec::new();
        let mut known: HashSet<Digest> = HashSet::new();
        let mut seen: HashSet<Url> = HashSet::new();
        loop {
            let (reply, body) = self.fetch(|| about(at.clone()), limit).await?;
            let is_first = seen.is_empty();
            let is_missing = reply.status == StatusCode::NOT_FOUND;
            let is_html = is_html(&reply.headers, &body);
            if is_first && is_missing {
                let codes = account(&body, &reply.redactor).codes;
                let misses_repository = codes.iter().any(|code| code == "NAME_UNKNOWN");
                return Ok(if is_html {
                    Referrers::NoWord
                } else if misses_repository {
                    Referrers::NoRepository
                } else {
                    Referrers::NoApi
                });
            }
            if is_html && (is_missing || reply.status.is_success()) {
                let host = reply.host;
                return Err(Error::Html { host, asked });
            }
            if !reply.status.is_success() {
                return Err(self.refusal(&reply, &body, &asked));
            }
            let malformed = |cause: String| Error::Malformed {
                host: reply.host.clone(),
                asked: asked.clone(),
                cause,
            };
            if !is_index(&reply) {
                return if is_first {
                    Ok(Referrers::NoApi)
                } else {
                    Err(malformed("a further page is no index".to_owned()))
                };
            }
            let page = document::parse(&body, Some(INDEX))
                .map_err(|error| malformed(shorten(&error.to_string(), 200)))?;
            let Content::Index(children) = page.content else {
                return Err(malformed("it is no index".to_owned()));
            };
            let new = children
                .into_iter()
                .filter(|child| known.insert(child.descriptor.digest.clone()));
            found.extend(new);
            if found.len() > MOST_DESCRIPTORS {
                return Err(self.too_many(&reply, MOST_DESCRIPTORS, "referrers"));
            }
            seen.insert(reply.asked.clone());
            let next = match link::next(&reply.headers, &reply.asked) {
                Next::End | Next::Last => return Ok(Referrers::Listed(found)),
                Next::Lost => {
                    return Err(malformed(
                        "the link to its next page leads away or cannot be read".to_owned(),
                    ));
                }
                Next::Page(next) => next,
            };
            if seen.contains(&next) {
                return Err(malformed("its pages run in a circle".to_owned()));
            }
            if seen.len() >= PAGES {
                return Err(self.too_many(&reply, PAGES, "pages"));
            }
            at = match next.query() {
                Some(query) => format!("{}?{query}", next.path()),
                None => next.path().to_owned(),
            };
        }
    }

    fn too_many(&self, reply: &Reply, most: usize, unit: &'static str) -> Error {
        Error::Limit {
            host: reply.host.clone(),
            repository: self.repository.path().to_owned(),
            what: "the list of referrers",
            limit: u64::try_from(most).unwrap_or(u64::MAX),
            unit,
        }
    }
}

fn about<'a>(path_and_query: String) -> Request<'a> {
    Request {
        method: Method::GET,
        to: To::Path(path_and_query),
        operation: Operation::Referrers,
        class: Class::Read,
        headers: vec![plain()],
        accept: INDEX,
        payload: Payload::Empty,
        mount_from: None,
        may_repeat: true,
        patience: PATIENCE,
    }
}

fn is_index(reply: &Reply) -> bool {
    let declared = reply.headers.get(CONTENT_TYPE);
    let declared = declared.and_then(|value| value.to_str().ok());
    declared
        .and_then(|text| text.split(';').next())
        .is_some_and(|text| text.trim().eq_ignore_ascii_case(INDEX))
}
