//! What tags run on, asked of the registry sparingly: a digest once for ever, a tag's digest once in a while, and never
//! more than [`MOST_CHECKS`] tags in one run.
//!
//! A tag is asked about again after a while because it may be pushed again: many a tag gets its other platforms minutes
//! after its first. Who has no question left goes by the older answer.

use std::collections::HashMap;
use std::sync::Arc;
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

/// How much longer than two answers may take a registry is waited for: others may be asking the same host.
const PATIENCE: Duration = Duration::from_mins(5);

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

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        if refusal.is_permanent {
            Self::Refused(refusal.message)
        } else {
            Self::Passing {
                why: refusal.message,
                retry_after: refusal.retry_after,
            }
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
            Some(_) | None if self.asked.len() < MOST_CHECKS && self.failed.is_none() => {
                Known::Unasked
            }
            Some(Answer { known, .. }) => known,
            None => Known::OverBudget,
        }
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
        // Not before the client's own time is over: it knows better what was amiss.
        let answer = tokio::time::timeout(2 * timeout + PATIENCE, asked).await;
        let Ok(answer) = answer else {
            let timeout = crate::api::GoDuration::from(timeout);
            return Err(Failure::passing(format!("no answer within {timeout}")));
        };
        answer.map_err(Failure::from)
    }

    fn place(&self, tag: &str) -> Option<Place> {
        Some(Place {
            repository: self.repository.clone(),
            image: self.image.clone()?,
            tag: tag.into(),
        })
    }
}
