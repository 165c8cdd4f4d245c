//! All pages of a tag list, with a way out of every circle.
//!
//! A list of one page that is not full may have a validator (its ETag), by which the registry can say later that
//! nothing changed. Of longer lists, and of a page that is full, the ETag of the first page says too little: what
//! comes after it may have changed alone.

use std::collections::HashSet;
use std::sync::Arc;

use http::header::ETAG;
use http::{HeaderValue, Method, StatusCode};
use url::Url;
use url::form_urlencoded;

use super::access::Access;
use super::answer::{Answer, account, is_html};
use super::budget::Turn;
use super::client::Inner;
use super::errand::Errand;
use super::error::Error;
use super::exchange::Ask;
use super::link::{self, Next};
use super::observe::Operation;
use super::page::{Collected, Page, PageError};
use super::probes::Probe;
use super::redact::Redactor;
use crate::image::{Repository, Tag};

/// What a registry said when it was asked for every tag that is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This is the list.
    Fresh(TagList),
    /// The list that is known is the one.
    Unchanged,
}

/// What a registry said when it was asked for every tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagList {
    /// Ascending by bytes, each once.
    pub tags: Vec<Tag>,
    /// How many pages it took.
    pub pages: u32,
    /// How often a tag was listed again after the first time.
    pub duplicates: u64,
    /// Why there may be more tags than these; none: these are all.
    pub incomplete: Option<Incomplete>,
    /// Names that are no tags, and were left out: nothing can be pulled by them.
    pub invalid: Option<InvalidTags>,
    /// The ETag to ask with the next time, where the registry gave one that covers the whole list.
    pub validator: Option<Arc<str>>,
}

impl TagList {
    /// Whether these are all tags.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_none()
    }
}

/// Why a list may have more tags than were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// There is a next page, but its link leads to another host or path and holds nothing to go on with, or it cannot
    /// be read.
    #[error(
        "the link after page {page} leads away from the registry or cannot be read, and was not followed"
    )]
    LostLink {
        /// The last page that was read.
        page: u32,
    },
    /// A full page without a link, and the request for what comes after it was refused.
    #[error(
        "page {page} is full and names no next one, and the registry refuses to list what comes after it"
    )]
    ProbeRefused {
        /// The last page that was read.
        page: u32,
    },
}

/// Names in a list that are no tags (distribution specification: 1 to 128 of `A-Za-z0-9_.-`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{count} names are no tags and were left out, such as \"{first}\": a tag is 1 to 128 of the characters A-Za-z0-9_.- and does not begin with . or -"
)]
pub struct InvalidTags {
    /// How many.
    pub count: u64,
    /// The first one, shortened and escaped.
    pub first: String,
}

pub(super) async fn list_tags(
    inner: &Inner,
    repository: &Repository,
    access: &Access,
    known: Option<&str>,
    turn: &Turn,
    errand: Option<&Errand<'_>>,
) -> Result<Found, Error> {
    let limits = &inner.settings.limits;
    let mut reading = Reading {
        inner,
        repository,
        access,
        known: known.and_then(|known| HeaderValue::from_str(known).ok()),
        turn,
        errand,
        validator: None,
        probe: None,
        collected: Collected::with_limit(limits.tags),
        pages: 0,
        duplicates: 0,
        bytes_left: limits.total_bytes,
    };
    let Some(first) = reading.first_page().await? else {
        return Ok(Found::Unchanged);
    };
    let incomplete = reading.read_all(first).await?;
    let Reading {
        collected,
        pages,
        duplicates,
        validator,
        ..
    } = reading;
    let invalid = collected.first_invalid.map(|first| InvalidTags {
        count: collected.invalid,
        first,
    });
    let mut tags: Vec<Tag> = collected.tags.into_iter().collect();
    tags.sort_unstable();
    Ok(Found::Fresh(TagList {
        tags,
        pages,
        duplicates,
        incomplete,
        invalid,
        validator: validator.filter(|_| pages == 1 && incomplete.is_none()),
    }))
}

/// A list under way.
struct Reading<'a> {
    inner: &'a Inner,
    repository: &'a Repository,
    access: &'a Access,
    known: Option<HeaderValue>,
    turn: &'a Turn,
    errand: Option<&'a Errand<'a>>,
    /// Of the first page, unless that is full.
    validator: Option<Arc<str>>,
    /// Of the first page, if that is full and has to be probed.
    probe: Option<Probe>,
    collected: Collected,
    pages: u32,
    duplicates: u64,
    bytes_left: u64,
}

impl Reading<'_> {
    async fn read_all(
        &mut self,
        (first, size): (Answer, Option<u64>),
    ) -> Result<Option<Incomplete>, Error> {
        let mut seen: HashSet<Url> = HashSet::from([first.asked.clone()]);
        let mut answer = first;
        let mut is_probe = false;
        let mut has_seen_links = false;
        loop {
            let page = self.add(&answer)?;
            if self.pages == 1 && size.is_none_or(|size| page.names < size) {
                self.validator = validator(&answer);
            }
            if let (true, Some(probe)) = (is_probe, self.probe) {
                let probes = &self.inner.probes;
                probes.probed(self.repository, probe, page.added > 0);
            }
            let next = link::next(&answer.headers, &answer.asked);
            if page.repeated > 0 && page.added == 0 && self.pages > 1 {
                // After a full page without a link, this is how a registry without paging answers.
                if is_probe {
                    return Ok(None);
                }
                return Err(self.circle("repeats tags of the pages before it"));
            }
            self.duplicates += page.repeated;
            let (url, probing) = match (next, probe(&answer.asked, &page, size)) {
                (Next::Page(url), _) => {
                    has_seen_links = true;
                    self.inner.probes.linked(self.repository);
                    (url, false)
                }
                (Next::Lost, _) => return Ok(Some(Incomplete::LostLink { page: self.pages })),
                (Next::End, Some(url)) if !has_seen_links && self.has_to_probe() => (url, true),
                (Next::End | Next::Last, _) => return Ok(None),
            };
            if !seen.insert(url.clone()) {
                return Err(self.circle("names a page as its next that was read before"));
            }
            is_probe = probing;
            let ask = self.ask(path_and_query(&url), None)?;
            answer = self.inner.exchange(&ask).await?;
            if is_probe && answer.status.is_client_error() {
                return Ok(Some(Incomplete::ProbeRefused { page: self.pages }));
            }
            self.accept(&ask, &answer)?;
        }
    }

    /// Whether there may be more after the full page that was just read.
    fn has_to_probe(&mut self) -> bool {
        // What comes after a page that a probe found is as unknown as that page was.
        if self.pages == 1 {
            let tags = self.collected.tags.iter().map(Tag::as_str);
            self.probe = self.inner.probes.probe(self.repository, tags);
        }
        self.probe.is_some()
    }

    /// The first page, in the size that the registry takes; `None`: nothing changed since the list that is known.
    async fn first_page(&self) -> Result<Option<(Answer, Option<u64>)>, Error> {
        let host = self
            .inner
            .hosts
            .of(self.repository.registry().api_host(), self.access.profile());
        let mut size = host.page_size();
        loop {
            let query = size.number().map(|n| format!("?n={n}")).unwrap_or_default();
            let path_and_query = format!("/v2/{}/tags/list{query}", self.repository.path());
            let ask = self.ask(path_and_query, self.known.as_ref())?;
            let answer = self.inner.exchange(&ask).await?;
            if answer.status == StatusCode::NOT_MODIFIED && self.known.is_some() {
                return Ok(None);
            }
            match size.next() {
                Some(smaller) if refuses_size(&answer) => size = smaller,
                _ => {
                    self.accept(&ask, &answer)?;
                    host.set_page_size(size);
                    return Ok(Some((answer, size.number())));
                }
            }
        }
    }

    fn ask<'b>(
        &'b self,
        path_and_query: String,
        known: Option<&'b HeaderValue>,
    ) -> Result<Ask<'b>, Error> {
        let limits = &self.inner.settings.limits;
        if self.pages >= limits.pages {
            return Err(self.limit("the tag list", limits.pages.into(), "pages"));
        }
        Ok(Ask {
            method: Method::GET,
            operation: Operation::List,
            repository: self.repository,
            path_and_query,
            accept: "application/json",
            access: self.access,
            turn: self.turn,
            known,
            body_limit: limits.page_bytes,
            body_name: "a page of the tag list",
            errand: self.errand,
        })
    }

    fn accept(&self, ask: &Ask<'_>, answer: &Answer) -> Result<(), Error> {
        if answer.status == StatusCode::NOT_MODIFIED {
            return Err(Error::Malformed {
                host: answer.host.clone(),
                asked: ask.asked(),
                cause: "it says that nothing changed, and was not asked that".to_owned(),
            });
        }
        if !answer.status.is_success() {
            return Err(Inner::refuse(
                ask,
                answer,
                format!("the repository {}", self.repository.path()),
            ));
        }
        if is_html(&answer.headers, &answer.body) {
            return Err(Error::Html {
                host: answer.host.clone(),
                asked: ask.asked(),
            });
        }
        Ok(())
    }

    fn add(&mut self, answer: &Answer) -> Result<Page, Error> {
        let limits = self.inner.settings.limits;
        self.pages += 1;
        let length = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
        self.bytes_left = self
            .bytes_left
            .checked_sub(length)
            .ok_or_else(|| self.limit("the tag list", limits.total_bytes, "bytes"))?;
        self.collected
            .add_page(&answer.body)
            .map_err(|error| match error {
                PageError::TooManyTags => self.limit("the tag list", limits.tags, "tags"),
                PageError::Malformed(cause) => Error::Malformed {
                    host: answer.host.clone(),
                    asked: format!("GET {}", answer.asked.path()),
                    cause,
                },
            })
    }

    fn limit(&self, what: &'static str, limit: u64, unit: &'static str) -> Error {
        Error::Limit {
            host: self.repository.registry().api_host().to_owned(),
            repository: self.repository.path().to_owned(),
            what,
            limit,
            unit,
        }
    }

    fn circle(&self, cause: &'static str) -> Error {
        Error::PageLoop {
            host: self.repository.registry().api_host().to_owned(),
            repository: self.repository.path().to_owned(),
            page: self.pages,
            cause,
        }
    }
}

/// Longer ETags are not kept.
const VALIDATOR_BYTES: usize = 256;

/// The answer's ETag, weak or strong (RFC 9110 8.8.3).
fn validator(answer: &Answer) -> Option<Arc<str>> {
    let text = answer.headers.get(ETAG)?.to_str().ok()?;
    let opaque = text.strip_prefix("W/").unwrap_or(text);
    let quoted = opaque.strip_prefix('"')?.strip_suffix('"')?;
    let is_sound = quoted
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    (is_sound && text.len() <= VALIDATOR_BYTES).then(|| text.into())
}

/// Whether an answer says that too many tags were asked for.
fn refuses_size(answer: &Answer) -> bool {
    let codes = account(&answer.body, &Redactor::default()).codes;
    let about_size = codes.iter().any(|code| {
        matches!(
            code.as_str(),
            "UNSUPPORTED" | "TOO_MANY_TAGS_REQUESTED" | "PAGINATION_NUMBER_INVALID"
        )
    });
    let about_name = codes
        .iter()
        .any(|code| matches!(code.as_str(), "NAME_INVALID" | "NAME_UNKNOWN"));
    (about_size && answer.status.is_client_error())
        || (answer.status == StatusCode::BAD_REQUEST && !about_name)
}

/// Where the rest would be after a page as full as was asked for, when the registry does not say.
fn probe(asked: &Url, page: &Page, size: Option<u64>) -> Option<Url> {
    let size = size.filter(|size| page.names == *size)?;
    let last = page.last.as_ref()?;
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("n", &size.to_string())
        .append_pair("last", last.as_str())
        .finish();
    let mut url = asked.clone();
    url.set_query(Some(&query));
    Some(url)
}

fn path_and_query(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}
