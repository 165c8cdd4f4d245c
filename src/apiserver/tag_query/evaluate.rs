//! The answer itself: who may see what, which facts there are, and the explanation of the election that they make.
//!
//! What is wrong with the question is said before; what is wrong with the world is said in the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::knowledge::{Knowledge, Referred, Seen, Standing};
use super::{TagQueries, answer};
use crate::api::condition::reason;
use crate::api::image_policy;
use crate::api::reference::ImageRef;
use crate::api::tag_query::{
    MOST_REJECTED, QueriedChoice, QueryError, TagQueryStatus,
};
use crate::api::{ImagePolicy, names, tags};
use crate::apiserver::authz::Decision;
use crate::apiserver::request_info::{RequestInfo, ResourceRequest, User, Verb};
use crate::apiserver::review::Failure;
use crate::apiserver::status::Status;
use crate::cluster::index::Found;
use crate::image::{Repository, Tag};
use crate::object::Key;
use crate::policy::explain::{self, Explained, Interrupted, Limits, Question};
use crate::policy::governance::{Facts, Governance, InForce, Known};
use crate::policy::{Candidates, Choice, NoTag, Policy, TagFilter};
use crate::scan::{Exclusion, Form};
use crate::store::RepositoryTags;
use crate::task;

/// How long what is asked of the cluster may take.
const LOOKUP: Duration = Duration::from_secs(5);
/// How long an explanation may keep a processor busy.
const COMPUTING: Duration = Duration::from_secs(10);
/// How often it looks at the time: at every so-many-th tag.
const LOOKS: u64 = 64;

/// What Flux says before everything about the ImageRepository of a policy.
const PREFIX: &str = "failed to get the referred ImageRepository: ";

/// A query that has an answer.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) target: Target,
    /// The pattern and the template.
    pub(super) filter: Option<(String, String)>,
    pub(super) policy: Option<QueriedChoice>,
    pub(super) governance: Option<Governance>,
    pub(super) limits: Limits,
}

/// What is elected from.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Inline {
        tags: Vec<Tag>,
        exclusion: Vec<String>,
    },
    Repository {
        name: String,
        namespace: Option<String>,
    },
    Policy {
        name: String,
    },
}

/// Everything that the election goes by, gathered.
struct Case {
    list: List,
    choice: QueriedChoice,
    filter: Option<(String, String)>,
    in_force: InForce,
    current: Option<String>,
    is_rebased: bool,
    is_awaited: bool,
    limits: Limits,
    now: Timestamp,
}

enum List {
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

/// Why there is no answer: somebody may not have one, or the world has none.
enum Stop {
    Refused(Status),
    Told(TagQueryStatus),
}

impl From<Status> for Stop {
    fn from(refusal: Status) -> Self {
        Self::Refused(refusal)
    }
}

fn told(reason: &str, message: impl Into<String>) -> Stop {
    Stop::Told(TagQueryStatus {
        error: Some(QueryError {
            reason: reason.to_owned(),
            message: message.into(),
        }),
        ..TagQueryStatus::default()
    })
}

impl TagQueries {
    /// The answer for `user`, whose query is in `namespace`.
    pub(super) async fn evaluate(
        &self,
        namespace: &str,
        asked: Asked,
        user: &User,
    ) -> Result<TagQueryStatus, Status> {
        let case = match self.gather(namespace, asked, user).await {
            Ok(case) => case,
            Err(Stop::Refused(refusal)) => return Err(refusal),
            Err(Stop::Told(status)) => return Ok(status),
        };
        let turn = self.turn().await?;
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

    async fn gather(&self, namespace: &str, asked: Asked, user: &User) -> Result<Case, Stop> {
        let Asked {
            target,
            filter,
            policy,
            governance,
            limits,
        } = asked;
        let in_force = governance.clone().map(|governance| InForce {
            governance,
            ..InForce::default()
        });
        let drafted = |list| Case {
            list,
            choice: policy.clone().unwrap_or_default(),
            filter: filter.clone(),
            in_force: in_force.clone().unwrap_or_default(),
            current: None,
            is_rebased: false,
            is_awaited: false,
            limits,
            now: self.clock.now(),
        };
        match target {
            Target::Inline { tags, exclusion } => Ok(drafted(List::Inline { tags, exclusion })),
            Target::Repository {
                name,
                namespace: other,
            } => {
                let reference = Key::new(other.as_deref().unwrap_or(namespace), name);
                self.may(user, list_tags(&reference)).await?;
                let (list, _) = self.list(user, namespace, reference).await?;
                Ok(drafted(list))
            }
            Target::Policy { name } => {
                let key = Key::new(namespace, name);
                self.may(user, get_policy(&key)).await?;
                let object = self.policy(&key)?;
                let reference = object.spec.image_repository_ref.key(namespace);
                self.may(user, list_tags(&reference)).await?;
                let (list, image) = self.list(user, namespace, reference.clone()).await?;
                let Standing {
                    in_force: standing,
                    is_rebased,
                } = self.knowledge.standing(&key, &object, &reference);
                let is_overridden = is_overridden(&object, policy.as_ref(), filter.as_ref());
                let case = drafted(list);
                let case = Case {
                    choice: policy.unwrap_or_else(|| QueriedChoice::from(&object.spec.policy)),
                    filter: filter.or_else(|| {
                        let filter = object.spec.filter_tags.clone()?;
                        Some((filter.pattern, filter.extract))
                    }),
                    in_force: in_force.unwrap_or(standing),
                    is_rebased: is_rebased || is_overridden,
                    ..case
                };
                let current = image_policy::current(&object, &image);
                Ok(case.standing(&*self.knowledge, &object, current, is_overridden))
            }
        }
    }

    /// The tags of `reference` for a query in `namespace`, and the image as its spec writes it.
    async fn list(
        &self,
        user: &User,
        namespace: &str,
        reference: Key,
    ) -> Result<(List, String), Stop> {
        if !self.knowledge.is_synced() {
            return self.unseen(namespace, reference);
        }
        let referred = self.knowledge.refer(namespace, &reference);
        let referred = match tokio::time::timeout(LOOKUP, referred).await {
            Ok(referred) => referred,
            Err(_) => Referred::Unknown(format!("no answer within {}s", LOOKUP.as_secs())),
        };
        let Seen {
            object,
            image,
            tags,
        } = match referred {
            Referred::Found(seen) => seen,
            Referred::Missing(message) => {
                return Err(told(reason::DEPENDENCY_NOT_READY, format!("{PREFIX}{message}")));
            }
            Referred::Unreadable => {
                let message = format!("{PREFIX}ImageRepository '{reference}' cannot be decoded");
                return Err(told(reason::FAILURE, message));
            }
            Referred::Denied(refusal) => {
                return Err(Status::not_let_in(user, &reference, namespace, refusal).into());
            }
            Referred::Unknown(error) => {
                let message = format!("{PREFIX}access denied: {error}");
                return Err(told(reason::ACCESS_DENIED, message));
            }
        };
        let image = image.map_err(|error| told(reason::IMAGE_URL_INVALID, error.to_string()))?;
        let Some(tags) = tags else {
            return Err(told(reason::DEPENDENCY_NOT_READY, NO_TAGS));
        };
        let written = object.spec.image.clone();
        let list = List::Stored {
            reference,
            image,
            tags,
        };
        Ok((list, written))
    }

    /// Before the objects are known, what is stored is served all the same, to its own namespace.
    fn unseen(&self, namespace: &str, reference: Key) -> Result<(List, String), Stop> {
        let tags = self.store.snapshot().repository(&reference);
        match tags.filter(|_| *reference.namespace == *namespace) {
            Some(tags) => {
                let image = tags.image().clone();
                let written = image.to_string();
                let list = List::Stored {
                    reference,
                    image,
                    tags,
                };
                Ok((list, written))
            }
            None => Err(told(NOT_SYNCED, "the ImageRepositories are not known yet")),
        }
    }

    fn policy(&self, key: &Key) -> Result<Arc<ImagePolicy>, Stop> {
        let (name, group) = (&key.name, names::IMAGE_GROUP);
        match self.knowledge.policy(key) {
            Found::Object(object) => Ok(object),
            Found::Unreadable => {
                let message = format!("ImagePolicy '{key}' cannot be decoded");
                Err(told(reason::FAILURE, message))
            }
            Found::Absent if !self.knowledge.is_synced() => {
                Err(told(NOT_SYNCED, "the ImagePolicies are not known yet"))
            }
            Found::Absent => Err(told(
                "PolicyNotFound",
                format!("imagepolicies.{group} \"{name}\" not found"),
            )),
        }
    }

    /// Whether `user` may do this besides.
    async fn may(&self, user: &User, request: ResourceRequest) -> Result<(), Status> {
        let info = RequestInfo::Resource(request);
        match self.authorizer.authorize(user, &info, None).await {
            Ok(Decision::Allow) => Ok(()),
            Ok(Decision::Deny { reason }) => Err(Status::forbidden(user, &info, &reason)),
            Err(Failure::Busy) => Err(Status::too_many_requests(1)),
            Err(failure @ (Failure::Unanswered(_) | Failure::BrokenOff)) => {
                tracing::warn!(
                    error = &failure as &dyn std::error::Error,
                    "Query not authorized for want of an answer"
                );
                Err(Status::internal(
                    "the authorization of this request could not be checked",
                ))
            }
        }
    }
}

const NOT_SYNCED: &str = "NotSynced";
const NO_TAGS: &str = "no tags in database";

fn list_tags(reference: &Key) -> ResourceRequest {
    ResourceRequest {
        verb: Verb::List,
        group: tags::GROUP.to_owned(),
        version: tags::VERSION.to_owned(),
        resource: "imagetags".to_owned(),
        subresource: None,
        namespace: Some(reference.namespace.to_string()),
        name: None,
        path: String::new(),
    }
}

fn get_policy(key: &Key) -> ResourceRequest {
    ResourceRequest {
        verb: Verb::Get,
        group: names::IMAGE_GROUP.to_owned(),
        version: names::IMAGE_VERSION.to_owned(),
        resource: "imagepolicies".to_owned(),
        subresource: None,
        namespace: Some(key.namespace.to_string()),
        name: Some(key.name.to_string()),
        path: String::new(),
    }
}

/// Whether the query's own rules are others than the policy's: as if its spec were changed to them.
fn is_overridden(
    object: &ImagePolicy,
    policy: Option<&QueriedChoice>,
    filter: Option<&(String, String)>,
) -> bool {
    let own = Choice::from(&object.spec.policy);
    let (pattern, extract) = match &object.spec.filter_tags {
        Some(filter) => (filter.pattern.as_str(), filter.extract.as_str()),
        None => ("", ""),
    };
    policy.is_some_and(|policy| choice(policy) != own)
        || filter.is_some_and(|other| (other.0.as_str(), other.1.as_str()) != (pattern, extract))
}

fn choice(policy: &QueriedChoice) -> Choice<'_> {
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
    fn standing(
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
        let told = match self.try_explain(knowledge, budget, &mut status) {
            Ok(()) => return status,
            Err(Stop::Told(told)) => told,
            // Nothing is refused once the election has begun.
            Err(Stop::Refused(refusal)) => TagQueryStatus {
                error: Some(QueryError {
                    reason: refusal.reason.to_owned(),
                    message: refusal.message,
                }),
                ..TagQueryStatus::default()
            },
        };
        status.error = told.error;
        status
    }

    fn try_explain(
        self,
        knowledge: &dyn Knowledge,
        budget: &Budget,
        status: &mut TagQueryStatus,
    ) -> Result<(), Stop> {
        let Sorted {
            candidates,
            excluded,
        } = self.sorted(knowledge, budget, status)?;
        let invalid = |error: &dyn std::fmt::Display| told(reason::INVALID_POLICY, error.to_string());
        let policy = Policy::from_choice(choice(&self.choice)).map_err(|error| invalid(&error))?;
        let filter = match &self.filter {
            None => None,
            Some((pattern, extract)) => {
                Some(TagFilter::new(pattern, extract).map_err(|error| invalid(&error))?)
            }
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
        let current = self.current.as_deref();
        let facts = Facts {
            now: self.now,
            current,
            is_listed: current.is_some_and(|current| candidates.get(current).is_some()),
            is_rebased: self.is_rebased,
            seen: &seen,
            refound: stored.and_then(|(_, _, tags)| tags.refound()),
            platforms: &platforms,
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
        let is_explained = self.limits.rejected == MOST_REJECTED;
        let error = self.error(&explained, &candidates, stored.is_some());
        answer::fill(status, explained, is_explained);
        status.error = error;
        Ok(())
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
        format!("the election was not explained within {seconds}s: ask about fewer tags, or with a simpler pattern"),
    )
}

/// The time for one explanation, which ends early when nobody waits for it any more.
#[derive(Debug)]
struct Budget {
    until: Instant,
    is_over: Arc<AtomicBool>,
    asked: AtomicU64,
}

/// Ends a budget when it is dropped.
#[derive(Debug)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Budget {
    fn new(time: Duration) -> Self {
        let now = Instant::now();
        Self {
            until: now.checked_add(time).unwrap_or(now),
            is_over: Arc::default(),
            asked: AtomicU64::new(0),
        }
    }

    fn ends_with_this(&self) -> GivenUp {
        GivenUp(self.is_over.clone())
    }

    fn goes_on(&self) -> bool {
        if self.is_over.load(Ordering::Relaxed) {
            return false;
        }
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked.is_multiple_of(LOOKS) && Instant::now() >= self.until {
            self.is_over.store(true, Ordering::Relaxed);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_with_its_time_and_with_whoever_waits() {
        let budget = Budget::new(Duration::from_hours(1));
        assert!(budget.goes_on());
        drop(budget.ends_with_this());
        assert!(!budget.goes_on());
        assert!(!Budget::new(Duration::ZERO).goes_on());
    }
}
