//! The facts of a query: what its author may see of them, and where they are. Nothing is decided here.

use std::sync::Arc;
use std::time::Duration;

use super::TagQueries;
use super::evaluate::{Case, List, NO_TAGS, choice};
use super::knowledge::{Referred, Seen, Standing};
use crate::api::condition::reason;
use crate::api::tag_query::{QueriedChoice, QueryError};
use crate::api::{ImagePolicy, image_policy, names, tags};
use crate::apiserver::authz::Decision;
use crate::apiserver::request_info::{RequestInfo, ResourceRequest, User, Verb};
use crate::apiserver::review::Failure;
use crate::apiserver::status::Status;
use crate::cluster::index::Found;
use crate::image::Tag;
use crate::object::Key;
use crate::policy::Choice;
use crate::policy::explain::Limits;
use crate::policy::governance::{Governance, InForce};

/// How long what is asked of the cluster may take.
const LOOKUP: Duration = Duration::from_secs(5);

/// What Flux says before everything about the ImageRepository of a policy.
const PREFIX: &str = "failed to get the referred ImageRepository: ";

const NOT_SYNCED: &str = "NotSynced";

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

/// Why there is no answer: somebody may not have one, or the world has none.
pub(super) enum Stop {
    Refused(Status),
    Told(QueryError),
}

impl From<Status> for Stop {
    fn from(refusal: Status) -> Self {
        Self::Refused(refusal)
    }
}

pub(super) fn told(reason: &str, message: impl Into<String>) -> Stop {
    Stop::Told(QueryError {
        reason: reason.to_owned(),
        message: message.into(),
    })
}

impl TagQueries {
    /// Everything that the election of `asked` goes by, for `user`, whose query is in `namespace`.
    pub(super) async fn gather(
        &self,
        namespace: &str,
        asked: Asked,
        user: &User,
    ) -> Result<Case, Stop> {
        let Asked {
            target,
            filter,
            policy,
            governance,
            limits,
        } = asked;
        let governance = governance.map(|governance| governance.within(namespace));
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
            namespace: namespace.to_owned(),
            is_reflected: false,
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
                self.may_ask_mirror(namespace, governance.as_ref(), user)
                    .await?;
                let (list, _) = self.list(user, namespace, reference).await?;
                Ok(drafted(list))
            }
            Target::Policy { name } => {
                let key = Key::new(namespace, name);
                self.may(user, get_policy(&key)).await?;
                let object = self.policy(&key)?;
                let reference = object.spec.image_repository_ref.key(namespace);
                self.may(user, list_tags(&reference)).await?;
                // What its own mirror has is said in its status.
                self.may_ask_mirror(namespace, governance.as_ref(), user)
                    .await?;
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
                    is_reflected: object.spec.digest_reflection_policy.reflects(),
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
                return Err(told(
                    reason::DEPENDENCY_NOT_READY,
                    format!("{PREFIX}{message}"),
                ));
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

    /// Whether `user` may ask about the mirror that a draft in `namespace` requires.
    async fn may_ask_mirror(
        &self,
        namespace: &str,
        draft: Option<&Governance>,
        user: &User,
    ) -> Result<(), Status> {
        match draft.and_then(|draft| draft.require_mirrored.as_ref()) {
            Some(mirror) => self.may(user, get_mirror(&mirror.key(namespace))).await,
            None => Ok(()),
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

fn get_mirror(key: &Key) -> ResourceRequest {
    ResourceRequest {
        verb: Verb::Get,
        group: names::MIRROR_GROUP.to_owned(),
        version: names::MIRROR_VERSION.to_owned(),
        resource: "imagemirrors".to_owned(),
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
