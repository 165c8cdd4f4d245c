//! What tags run on, asked of the registry sparingly: a digest once for ever, a tag's digest once in a while, and never
//! more than [`MOST_CHECKS`] tags in one run.
//!
//! A tag is asked about again after a while because it may be pushed again: many a tag gets its other platforms minutes
//! after its first. That comes last: as long as there are tags of which nothing is known, older answers are good enough,
//! or a long list would never be walked to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use crate::api::ImageRepository;
use crate::control::registry::{Platforms, Question, Refusal, Ways};
use crate::control::{Context, access};
use crate::image::{Digest, Repository, Tag};
use crate::object::Key;
use crate::policy::governance::{Known, MOST_CHECKS};

/// How many digests and how many tags are remembered, over all repositories.
const MOST_DIGESTS: u64 = 20_000;
const MOST_TAGS: u64 = 20_000;

/// How often a tag is asked about again, at most and at least: with its repository's scans in between.
const SELDOM: Duration = Duration::from_hours(1);
const OFTEN: Duration = Duration::from_mins(1);

/// Why there is no answer.
enum Failure {
    /// There will be none.
    Refused(String),
    /// It may pass.
    Passing {
        why: String,
        retry_after: Option<Duration>,
    },
}

impl Failure {
    fn passing(why: String) -> Self {
        Self::Passing {
            why,
            retry_after: None,
        }
    }
}

impl Failure {
    /// What `registry` refused, in words that stay the same while nothing changes: they are a part of conditions.
    fn of(refusal: Refusal, registry: &str) -> Self {
        if refusal.is_permanent {
            return Self::Refused(refusal.message);
        }
        let why = match refusal.retry_after {
            Some(_) => format!("{registry} wants to be left alone for a while"),
            None => refusal.message,
        };
        Self::Passing {
            why,
            retry_after: refusal.retry_after,
        }
    }
}

/// The answers, of all repositories. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct PlatformCache {
    /// What a digest stands for never changes. Whoever asks was told the digest by the registry, so nothing leaks.
    digests: Cache<Digest, Arc<[String]>>,
    tags: Cache<Place, Answer>,
}

/// A tag as one ImageRepository sees it: another one may have other rights.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    repository: Key,
    image: Repository,
    tag: Box<str>,
}

#[derive(Debug, Clone)]
struct Answer {
    known: Known,
    at: Instant,
}

impl Default for PlatformCache {
    fn default() -> Self {
        Self {
            digests: Cache::new(MOST_DIGESTS),
            tags: Cache::new(MOST_TAGS),
        }
    }
}

impl PlatformCache {
    /// What was said last of a tag of `image`, as `repository` sees it, however long ago; `None` when nobody has asked.
    pub(super) fn recall(&self, repository: &Key, image: &Repository, tag: &str) -> Option<Known> {
        let place = Place {
            repository: repository.clone(),
            image: image.clone(),
            tag: tag.into(),
        };
        Some(self.tags.get(&place)?.known)
    }

    #[cfg(test)]
    pub(super) fn learn(&self, repository: &Key, image: &Repository, tag: &str, known: Known) {
        let place = Place {
            repository: repository.clone(),
            image: image.clone(),
            tag: tag.into(),
        };
        let at = Instant::now();
        self.tags.insert(place, Answer { known, at });
    }
}

/// The answers as one run of one policy sees them, with the questions that it still has.
#[derive(Debug)]
pub(super) struct View {
    cache: PlatformCache,
    repository: Key,
    image: Option<Repository>,
    /// Older answers are asked for again.
    fresh_for: Duration,
    /// What was asked for in this run.
    asked: HashMap<Tag, Known>,
    ways: Option<Result<Ways, String>>,
    /// How long the registry asked to be left alone, when it could not answer.
    failed: Option<Duration>,
    /// Whether older answers are asked for again by now.
    is_refreshing: bool,
    /// Whether an older answer was gone by.
    went_by_older: AtomicBool,
}

/// How long an answer about a tag of `repository` counts as fresh.
pub(super) fn fresh_for(repository: &ImageRepository) -> Duration {
    repository.spec.interval.as_std().clamp(OFTEN, SELDOM)
}

impl View {
    pub(super) fn new(
        cache: PlatformCache,
        repository: Key,
        image: Option<Repository>,
        fresh_for: Duration,
    ) -> Self {
        Self {
            cache,
            repository,
            image,
            fresh_for,
            asked: HashMap::new(),
            ways: None,
            failed: None,
            is_refreshing: false,
            went_by_older: AtomicBool::new(false),
        }
    }

    /// What is known of `tag`.
    pub(super) fn known(&self, tag: &str) -> Known {
        if let Some(known) = self.asked.get(tag) {
            return known.clone();
        }
        let answer = self
            .place(tag)
            .and_then(|place| self.cache.tags.get(&place));
        match answer {
            Some(Answer { known, at }) if at.elapsed() < self.fresh_for => known,
            Some(Answer { known, .. }) if !self.is_refreshing => {
                self.went_by_older.store(true, Ordering::Relaxed);
                known
            }
            Some(_) | None if self.may_ask() => Known::Unasked,
            Some(Answer { known, .. }) => known,
            None => Known::OverBudget,
        }
    }

    fn may_ask(&self) -> bool {
        self.asked.len() < MOST_CHECKS && self.failed.is_none()
    }

    /// Once everything is known that an election needs: whether it has to be held again, because older answers were gone
    /// by, and there are questions left to ask for newer ones.
    pub(super) fn refreshes(&mut self) -> bool {
        let begins = !self.is_refreshing && *self.went_by_older.get_mut() && self.may_ask();
        self.is_refreshing |= begins;
        begins
    }

    /// When the registry could not answer: how long it asked to be left alone.
    pub(super) fn failed(&self) -> Option<Duration> {
        self.failed
    }

    /// Asks the registry what `tag` runs on.
    pub(super) async fn ask(&mut self, context: &Context, object: &ImageRepository, tag: Tag) {
        let known = match self.answer(context, object, &tag).await {
            Ok(offered) => Known::Offers(offered),
            Err(Failure::Refused(why)) => Known::Refused(why.into()),
            Err(Failure::Passing { why, retry_after }) => {
                self.failed = Some(retry_after.unwrap_or_default());
                Known::Failed(why.into())
            }
        };
        if !matches!(known, Known::Failed(_))
            && let Some(place) = self.place(tag.as_str())
        {
            let answer = Answer {
                known: known.clone(),
                at: Instant::now(),
            };
            self.cache.tags.insert(place, answer);
        }
        self.asked.insert(tag, known);
    }

    async fn answer(
        &mut self,
        context: &Context,
        object: &ImageRepository,
        tag: &Tag,
    ) -> Result<Arc<[String]>, Failure> {
        let Some(image) = self.image.clone() else {
            return Err(Failure::passing("the image has no name".to_owned()));
        };
        let ways = if let Some(ways) = &self.ways {
            ways.clone()
        } else {
            let ways = access::ways(context, &self.repository, object, &image).await;
            let ways = ways
                .map_err(|error| format!("failed to configure authentication options: {error}"));
            self.ways.insert(ways).clone()
        };
        let ways = ways.map_err(Failure::passing)?;
        let timeout = object.spec.scan_timeout();
        let question = Question {
            image,
            ways,
            timeout,
            known: None,
        };
        let host = question.image.registry().as_str().to_owned();
        let patience = 2 * question.patience();
        let registry = &context.registry;
        let asked = async {
            let digest = registry.digest(question.clone(), tag.clone()).await?;
            if let Some(offered) = self.cache.digests.get(&digest) {
                return Ok(offered);
            }
            let Platforms {
                digest: _,
                platforms,
            } = registry.platforms(question, digest.clone()).await?;
            let offered: Arc<[String]> = platforms.into();
            self.cache.digests.insert(digest, offered.clone());
            Ok::<_, Refusal>(offered)
        };
        let answer = tokio::time::timeout(patience, asked).await;
        let Ok(answer) = answer else {
            let timeout = crate::api::GoDuration::from(timeout);
            return Err(Failure::passing(format!("no answer within {timeout}")));
        };
        answer.map_err(|refusal| Failure::of(refusal, &host))
    }

    fn place(&self, tag: &str) -> Option<Place> {
        Some(Place {
            repository: self.repository.clone(),
            image: self.image.clone()?,
            tag: tag.into(),
        })
    }
}
