//! The answer itself: the explanation of the election that the gathered facts make.
//!
//! What is wrong with the question is said before; what is wrong with the world is said in the answer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::budget::Budget;
use super::gather::{Asked, Stop, told};
use super::knowledge::{Knowledge, Required};
use super::turns::Place;
use super::{TagQueries, answer};
use crate::api::ImagePolicy;
use crate::api::condition::reason;
use crate::api::reference::ImageRef;
use crate::api::tag_query::{QueriedChoice, QueryError, RankedTag, TagQueryStatus};
use crate::apiserver::request_info::User;
use crate::apiserver::status::Status;
use crate::image::{Repository, Tag};
use crate::object::Key;
use crate::policy::explain::{self, Explained, Interrupted, Limits, Question};
use crate::policy::governance::{Facts, Gap, InForce, Known, Mirrored};
use crate::policy::{Candidates, Choice, NoTag, Policy, TagFilter};
use crate::scan::{Exclusion, Form};
use crate::store::{Copies, RepositoryTags};
use crate::task;

/// How long an explanation may keep a processor busy.
const COMPUTING: Duration = Duration::from_secs(10);
/// What Flux says, too, where it has no tags.
pub(super) const NO_TAGS: &str = "no tags in database";

/// Everything that the election goes by, gathered.
pub(super) struct Case {
    pub(super) list: List,
    pub(super) choice: QueriedChoice,
    pub(super) filter: Option<(String, String)>,
    pub(super) in_force: InForce,
    pub(super) current: Option<String>,
    pub(super) is_rebased: bool,
    pub(super) is_awaited: bool,
    /// The namespace of whoever elects, and whether that reflects digests.
    pub(super) namespace: String,
    pub(super) is_reflected: bool,
    pub(super) limits: Limits,
    pub(super) now: Timestamp,
}

pub(super) enum List {
    Inline {
        tags: Vec<Tag>,
        exclusion: Vec<String>,
    },
    Stored {
        reference: Key,
        image: Repository,
        tags: Arc<RepositoryTags>,
    },
}

impl TagQueries {
    /// The answer for `user`, whose query is in `namespace` and stands in `line`.
    pub(super) async fn evaluate(
        &self,
        namespace: &str,
        asked: Asked,
        user: &User,
        line: &Place,
    ) -> Result<TagQueryStatus, Status> {
        let case = match self.gather(namespace, asked, user).await {
            Ok(case) => case,
            Err(Stop::Refused(refusal)) => return Err(refusal),
            Err(Stop::Told(error)) => {
                return Ok(TagQueryStatus {
                    error: Some(error),
                    ..TagQueryStatus::default()
                });
            }
        };
        let turn = line.turn().await?;
        let knowledge = self.knowledge.clone();
        let budget = Budget::new(COMPUTING);
        // Nobody computes for a client that is gone.
        let _given_up = budget.ends_with_this();
        let explained = move || {
            let status = case.explain(&*knowledge, &budget);
            drop(turn);
            status
        };
        Ok(task::blocking("explain", explained).await)
    }
}

pub(super) fn choice(policy: &QueriedChoice) -> Choice<'_> {
    Choice {
        semver: policy.semver.as_ref().map(|semver| semver.range.as_str()),
        alphabetical: policy
            .alphabetical
            .as_ref()
            .map(|it| it.order.as_deref().unwrap_or_default()),
        numerical: policy
            .numerical
            .as_ref()
            .map(|it| it.order.as_deref().unwrap_or_default()),
    }
}

impl Case {
    /// With what `object` has elected before.
    pub(super) fn standing(
        mut self,
        knowledge: &dyn Knowledge,
        object: &ImagePolicy,
        current: Option<&ImageRef>,
        is_overridden: bool,
    ) -> Self {
        if let (List::Stored { tags, .. }, Some(current)) = (&self.list, current) {
            self.is_awaited =
                !is_overridden && knowledge.is_awaited(object, &self.in_force, tags, current);
        }
        self.current = current.map(|current| current.tag.clone());
        self
    }

    /// Holds the election and explains it.
    fn explain(self, knowledge: &dyn Knowledge, budget: &Budget) -> TagQueryStatus {
        let mut status = TagQueryStatus::default();
        status.error = match self.try_explain(knowledge, budget, &mut status) {
            Ok(error) => error,
            Err(Stop::Told(error)) => Some(error),
            // Nothing is refused once the election has begun.
            Err(Stop::Refused(refusal)) => Some(QueryError {
                reason: refusal.reason.to_owned(),
                message: refusal.message,
            }),
        };
        status
    }

    /// Fills `status`, and answers what the policy would say of it.
    fn try_explain(
        self,
        knowledge: &dyn Knowledge,
        budget: &Budget,
        status: &mut TagQueryStatus,
    ) -> Result<Option<QueryError>, Stop> {
        let Sorted {
            candidates,
            excluded,
        } = self.sorted(knowledge, budget, status)?;
        let invalid =
            |error: &dyn std::fmt::Display| told(reason::INVALID_POLICY, error.to_string());
        let policy = Policy::from_choice(choice(&self.choice)).map_err(|error| invalid(&error))?;
        let filter = match &self.filter {
            None => None,
            Some((pattern, extract)) => match TagFilter::new(pattern, extract) {
                Ok(filter) => Some(filter),
                Err(error) => {
                    // As the controller does, which looks at the list first.
                    let stands = self.current.clone().filter(|_| self.is_awaited);
                    status.latest = stands.map(|tag| RankedTag { tag, key: None });
                    return Err(invalid(&error));
                }
            },
        };
        let stored = match &self.list {
            List::Inline { .. } => None,
            List::Stored {
                reference,
                image,
                tags,
            } => Some((reference, image, tags)),
        };
        let seen = |tag: &str| stored.and_then(|(_, _, tags)| tags.seen(tag));
        let platforms = |tag: &str| match stored {
            None => Known::Failed("an inline list has no registry to ask".into()),
            Some((reference, image, _)) => {
                let known = knowledge.platforms(reference, image, tag);
                known.unwrap_or_else(|| Known::Failed("no policy has asked the registry".into()))
            }
        };
        let copies = self.copies(knowledge);
        let mirrored = |tag: &str| {
            let copies = copies.as_ref().map_err(|gap| *gap);
            Mirrored::of(copies.and_then(|copies| copies.has(tag).ok_or(Gap::Unfinished)))
        };
        let current = self.current.as_deref();
        let facts = Facts {
            now: self.now,
            current,
            is_listed: current.is_some_and(|current| candidates.get(current).is_some()),
            is_rebased: self.is_rebased,
            seen: &seen,
            refound: stored.and_then(|(_, _, tags)| tags.refound()),
            platforms: &platforms,
            mirrored: &mirrored,
        };
        let question = Question {
            policy: &policy,
            filter: filter.as_ref(),
            candidates: &candidates,
            excluded: &excluded,
            in_force: &self.in_force,
            facts: &facts,
            is_awaited: self.is_awaited,
            limits: self.limits,
            go_on: &|| budget.goes_on(),
        };
        let explained = explain::explain(&question).map_err(interrupted)?;
        let is_explained = self.limits.rejected > 0;
        let error = self.error(&explained, &candidates, stored.is_some());
        answer::fill(status, explained, is_explained);
        Ok(error)
    }

    /// What the mirror has that is required.
    fn copies(&self, knowledge: &dyn Knowledge) -> Result<Arc<Copies>, Gap> {
        let mirror = self.in_force.governance.require_mirrored.as_ref();
        match (mirror, &self.list) {
            // Nobody asks, or of no ImageRepository.
            (None, _) | (Some(_), List::Inline { .. }) => Err(Gap::Elsewhere),
            (
                Some(mirror),
                List::Stored {
                    reference, image, ..
                },
            ) => {
                let asked = Required {
                    namespace: &self.namespace,
                    repository: reference,
                    image,
                    is_reflected: self.is_reflected,
                };
                knowledge.mirrored(&mirror.key(&self.namespace), asked)
            }
        }
    }

    /// The tags as they are elected from, and those that an inline list's patterns leave out.
    fn sorted(
        &self,
        knowledge: &dyn Knowledge,
        budget: &Budget,
        status: &mut TagQueryStatus,
    ) -> Result<Sorted, Stop> {
        match &self.list {
            List::Stored { tags, .. } => {
                status.revision = Some(tags.revision().to_owned());
                status.complete = Some(tags.is_complete());
                Ok(Sorted {
                    candidates: knowledge.candidates(tags),
                    excluded: Vec::new(),
                })
            }
            List::Inline { tags, exclusion } => {
                let mut tags = tags.clone();
                tags.sort_by(|a, b| b.cmp(a));
                tags.dedup();
                let mut excluded = Vec::new();
                // One by one: a pattern may be large once it is compiled.
                for pattern in exclusion {
                    let compiled = Exclusion::compile(std::slice::from_ref(pattern))
                        .map_err(|error| told("InvalidExclusionList", error.to_string()))?;
                    let mut left = Vec::with_capacity(tags.len());
                    for tag in tags {
                        if !budget.goes_on() {
                            return Err(interrupted(Interrupted));
                        }
                        if compiled.excludes(tag.as_str()) {
                            excluded.push((tag.to_string(), pattern.clone()));
                        } else {
                            left.push(tag);
                        }
                    }
                    tags = left;
                }
                excluded.sort_by(|(a, _), (b, _)| b.cmp(a));
                status.revision = Some(Form::default().revision(&tags));
                status.complete = Some(true);
                Ok(Sorted {
                    candidates: Arc::new(tags.iter().map(Tag::as_str).collect()),
                    excluded,
                })
            }
        }
    }

    /// What the policy would say of it.
    fn error(
        &self,
        explained: &Explained,
        candidates: &Candidates,
        is_stored: bool,
    ) -> Option<QueryError> {
        let (reason, message) = match &explained.none {
            Some(NoTag::Empty) if is_stored && candidates.is_empty() => {
                (reason::DEPENDENCY_NOT_READY, NO_TAGS.to_owned())
            }
            Some(none) => (reason::FAILURE, none.to_string()),
            None if self.in_force.is_frozen => {
                let broken = self.in_force.broken.iter().map(ToString::to_string);
                let broken: Vec<String> = broken.collect();
                ("InvalidAnnotation", broken.join("; "))
            }
            None => return None,
        };
        Some(QueryError {
            reason: reason.to_owned(),
            message,
        })
    }
}

struct Sorted {
    candidates: Arc<Candidates>,
    excluded: Vec<(String, String)>,
}

fn interrupted(_: Interrupted) -> Stop {
    let seconds = COMPUTING.as_secs();
    told(
        "DeadlineExceeded",
        format!(
            "the election was not explained within {seconds}s: ask about fewer tags, or with a simpler pattern"
        ),
    )
}
