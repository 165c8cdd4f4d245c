//! Registries as the controllers see them: tags by image, with faults, delays, and a log of what was asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tagscope::control::registry::{
    Listed, Listing, Platforms, Question, Refusal, Registry, Validator,
};
use tagscope::image::{Digest, Tag};
use tagscope::secret::Credential;

/// The registries. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct FakeImages {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    images: BTreeMap<String, Vec<String>>,
    fault: Option<Refusal>,
    incomplete: Option<String>,
    takes: Duration,
    /// Whether lists have names, and who knows a list's name is told no more than that.
    names_lists: bool,
    /// By host.
    slow: BTreeMap<String, Duration>,
    lists: Vec<Asked>,
    digests: usize,
}

/// One list request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The user name that was shown, if any.
    pub(super) user: Option<String>,
    /// Whether it got no list, because it knew it.
    pub(super) was_unchanged: bool,
}

impl FakeImages {
    pub(super) fn push(&self, image: &str, tags: &[&str]) {
        let mut state = self.state.lock();
        state
            .images
            .entry(image.to_owned())
            .or_default()
            .extend(tags.iter().map(ToString::to_string));
    }

    pub(super) fn remove(&self, image: &str, tag: &str) {
        if let Some(tags) = self.state.lock().images.get_mut(image) {
            tags.retain(|held| held != tag);
        }
    }

    pub(super) fn fail(&self, message: &str, retry_after: Option<Duration>) {
        self.state.lock().fault = Some(Refusal {
            message: message.to_owned(),
            retry_after,
            is_permanent: false,
            is_wait: false,
        });
    }

    /// Nothing is asked: come back after this time.
    pub(super) fn put_off(&self, retry_after: Duration) {
        self.state.lock().fault = Some(Refusal {
            message: "registry.test was not asked".to_owned(),
            retry_after: Some(retry_after),
            is_permanent: false,
            is_wait: true,
        });
    }

    /// Refuses in a way that nobody expects to change.
    pub(super) fn refuse(&self, message: &str) {
        self.state.lock().fault = Some(Refusal {
            message: message.to_owned(),
            retry_after: None,
            is_permanent: true,
            is_wait: false,
        });
    }

    /// Takes all tags away.
    pub(super) fn empty(&self, image: &str) {
        self.state.lock().images.insert(image.to_owned(), vec![]);
    }

    pub(super) fn names_lists(&self) {
        self.state.lock().names_lists = true;
    }

    pub(super) fn heal(&self) {
        self.state.lock().fault = None;
    }

    pub(super) fn lists_incompletely(&self, reason: &str) {
        self.state.lock().incomplete = Some(reason.to_owned());
    }

    pub(super) fn lists_completely(&self) {
        self.state.lock().incomplete = None;
    }

    pub(super) fn takes(&self, time: Duration) {
        self.state.lock().takes = time;
    }

    /// Every answer of `host` takes this long.
    pub(super) fn is_slow(&self, host: &str, time: Duration) {
        self.state.lock().slow.insert(host.to_owned(), time);
    }

    /// The list requests since the last call.
    pub(super) fn take_lists(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().lists)
    }

    pub(super) fn digests(&self) -> usize {
        self.state.lock().digests
    }
}

impl Registry for FakeImages {
    fn list_tags(&self, question: Question) -> BoxFuture<'static, Result<Listed, Refusal>> {
        let state = self.state.clone();
        async move {
            let image = question.image.to_string();
            let user = match &question.ways.access.credential {
                Some(Credential::Basic { username, .. }) => Some(username.clone()),
                Some(Credential::IdentityToken(_) | Credential::RegistryToken(_)) => {
                    Some(String::new())
                }
                None => None,
            };
            let takes = {
                let mut state = state.lock();
                state.lists.push(Asked {
                    user,
                    was_unchanged: false,
                });
                let host = question.image.registry().as_str();
                state.slow.get(host).copied().unwrap_or(state.takes)
            };
            // As the real one does, it keeps the time that it is allowed.
            tokio::time::sleep(takes.min(question.timeout)).await;
            if takes > question.timeout {
                return Err(Refusal {
                    message: format!("no answer within {:?}", question.timeout),
                    retry_after: None,
                    is_permanent: false,
                    is_wait: false,
                });
            }
            let mut state = state.lock();
            if let Some(fault) = &state.fault {
                return Err(fault.clone());
            }
            let unknown = || Refusal {
                message: format!("registry.test does not know {image}"),
                retry_after: None,
                is_permanent: true,
                is_wait: false,
            };
            let tags = state.images.get(&image).ok_or_else(unknown)?;
            let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().expect("a tag")).collect();
            let validator = state
                .names_lists
                .then(|| Validator(format!("{tags:?}").into()));
            if validator.is_some() && validator == question.known {
                if let Some(asked) = state.lists.last_mut() {
                    asked.was_unchanged = true;
                }
                return Ok(Listed::Unchanged);
            }
            Ok(Listed::Fresh(Listing {
                tags,
                duplicates: 0,
                incomplete: state.incomplete.clone(),
                invalid: None,
                validator,
            }))
        }
        .boxed()
    }

    fn digest(&self, _: Question, tag: Tag) -> BoxFuture<'static, Result<Digest, Refusal>> {
        let mut state = self.state.lock();
        state.digests += 1;
        let fault = state.fault.clone();
        let digest = format!("sha256:{:0>64}", tag.as_str().len())
            .parse()
            .expect("a digest");
        async move { fault.map_or(Ok(digest), Err) }.boxed()
    }

    fn platforms(
        &self,
        _: Question,
        digest: Digest,
    ) -> BoxFuture<'static, Result<Platforms, Refusal>> {
        let platforms = vec!["linux/amd64".to_owned()];
        async move { Ok(Platforms { digest, platforms }) }.boxed()
    }
}
