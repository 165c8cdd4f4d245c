//! Which of several credentials a registry takes: each that matches is tried, as kubelet does it, and the one that
//! worked is the first the next time.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use moka::sync::Cache;

use super::access::{Access, Profile};
use super::error::Error;
use crate::image::Repository;
use crate::secret::{Credential, Fingerprint};

const CAPACITY: u64 = 10_000;
const MEMORY: Duration = Duration::from_hours(1);

/// Which credential worked where.
#[derive(Debug)]
pub(super) struct Choices(Cache<Key, Fingerprint>);

/// A repository, what is wanted there (who may read may not write), and all who we may be there.
type Key = (Repository, &'static str, Profile, Vec<Fingerprint>);

impl Choices {
    pub(super) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(MEMORY)
                .build(),
        )
    }

    /// The order in which `access` is tried at `repository` for `actions`.
    pub(super) fn of<'a>(
        &'a self,
        repository: &Repository,
        actions: &'static str,
        access: &'a Access,
    ) -> Choice<'a> {
        if access.other_credentials.is_empty() {
            return Choice {
                choices: self,
                key: None,
                current: Cow::Borrowed(access),
                left: VecDeque::new(),
                refusals: 0,
                first: None,
            };
        }
        let fingerprints: Vec<_> = access.credentials().map(Credential::fingerprint).collect();
        let key = (repository.clone(), actions, access.profile(), fingerprints);
        let known = self.0.get(&key);
        let mut left: VecDeque<Credential> = access.credentials().cloned().collect();
        if let Some(known) = known
            && let Some(index) = left.iter().position(|one| one.fingerprint() == known)
            && let Some(worked) = left.remove(index)
        {
            left.push_front(worked);
        }
        let current = Access {
            credential: left.pop_front(),
            other_credentials: Vec::new(),
            ..access.clone()
        };
        Choice {
            choices: self,
            key: Some(key),
            current: Cow::Owned(current),
            left,
            refusals: 0,
            first: None,
        }
    }
}

/// One question, as one after the other.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    choices: &'a Choices,
    /// `None` where there is nothing to choose.
    key: Option<Key>,
    current: Cow<'a, Access>,
    left: VecDeque<Credential>,
    refusals: usize,
    /// What was said to the first: the one that the object means most.
    first: Option<Error>,
}

impl Choice<'_> {
    /// As whom to ask now.
    pub(super) fn access(&self) -> &Access {
        &self.current
    }

    /// Whether there was more than one to choose from.
    pub(super) fn is_one_of_several(&self) -> bool {
        self.key.is_some()
    }

    /// Takes an answer; `None`: ask again, as the next.
    pub(super) fn weigh<T>(&mut self, answer: Result<T, Error>) -> Option<Result<T, Error>> {
        let Some(key) = &self.key else {
            return Some(answer);
        };
        match answer {
            Ok(answer) => {
                if let Some(credential) = &self.current.credential {
                    self.choices.0.insert(key.clone(), credential.fingerprint());
                }
                Some(Ok(answer))
            }
            Err(error) if is_refusal(&error) => {
                self.refusals += 1;
                self.first.get_or_insert(error);
                match self.left.pop_front() {
                    Some(next) => {
                        self.current.to_mut().credential = Some(next);
                        None
                    }
                    None => self
                        .first
                        .take()
                        .map(|first| Err(counted(first, self.refusals))),
                }
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// Whether another credential may fare better.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::CredentialRefused { .. }
            | Error::CredentialUnfit { .. }
            | Error::Forbidden { .. }
            | Error::TokenServer {
                is_refusal: true,
                ..
            }
    )
}

fn counted(mut error: Error, tried: usize) -> Error {
    if let Error::CredentialRefused { detail, .. } | Error::Forbidden { detail, .. } = &mut error {
        *detail = format!("{detail}; {tried} credentials match it, and none was accepted");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_server_that_refuses_one_credential_is_asked_with_the_next() {
        let failed = |is_refusal| Error::TokenServer {
            host: "a.test".into(),
            realm: "auth.a.test".into(),
            cause: "answered 400 Bad Request".into(),
            is_refusal,
        };
        let credentials = ["one", "two"].map(|token| Credential::RegistryToken(token.into()));
        let access = Access::default().with_credentials(credentials);
        let choices = Choices::new();
        let repository: Repository = "a.test/team/app".parse().unwrap();
        let mut choice = choices.of(&repository, "pull", &access);
        assert_eq!(choice.weigh::<()>(Err(failed(true))), None);
        assert_eq!(choice.weigh(Ok(())), Some(Ok(())));
        let mut choice = choices.of(&repository, "pull", &access);
        assert_eq!(
            choice.weigh::<()>(Err(failed(false))),
            Some(Err(failed(false))),
            "it is ill, whoever asks"
        );
    }

    #[test]
    fn who_may_read_is_not_the_first_to_write() {
        let credentials = ["one", "two"].map(|token| Credential::RegistryToken(token.into()));
        let access = Access::default().with_credentials(credentials.clone());
        let choices = Choices::new();
        let repository: Repository = "a.test/team/app".parse().unwrap();
        let first = |actions| {
            let choice = choices.of(&repository, actions, &access);
            let credential = choice.access().credential.as_ref();
            credential.map(Credential::fingerprint)
        };
        let [one, two] = credentials.map(|credential| Some(credential.fingerprint()));
        let refused = || {
            Err(Error::Forbidden {
                host: "a.test".into(),
                repository: "team/app".into(),
                right: "push",
                detail: String::new(),
            })
        };
        let mut choice = choices.of(&repository, "pull,push", &access);
        assert_eq!(choice.weigh::<()>(refused()), None);
        assert_eq!(choice.weigh(Ok(())), Some(Ok(())));
        assert_eq!((first("pull"), first("pull,push")), (one, two));
    }
}
