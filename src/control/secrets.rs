//! Which ImageRepositories wait for which Secrets: those that their specs name, and the pull secrets of the
//! ServiceAccounts that they name; and which mirrors, those that they read last. When one of them comes or changes, whoever
//! names it looks again at once.
//!
//! Kept are names and versions, of referenced Secrets only, never anything that is in one. What was read last is
//! compared with what is heard, so that neither a list that is told anew nor a watch that lags wakes anybody.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::queue::{Next, Trigger};
use super::{Context, Settings};
use crate::api::{ImageRepository, condition};
use crate::cluster::index::{Found, Touched};
use crate::cluster::secrets::{self, Heard, Version};
use crate::object::Key;

/// Who names what, and what was read and heard of it.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// Whether whatever comes or changes is heard of.
    is_followed: AtomicBool,
    /// Protects all maps, for the time of one lookup.
    state: Mutex<State>,
}

/// Who uses a Secret. An ImageRepository's is used by its mirrors, too: what one of them has read, another may have not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum User {
    Repository(Key),
    Mirror(Key),
}

#[derive(Debug, Default)]
struct State {
    objects: HashMap<User, References>,
    /// By Secret, the objects that name it.
    users: HashMap<Key, HashSet<User>>,
    /// By Secret that is named, its newest version as far as the watch told it.
    heard: HashMap<Key, Version>,
}

/// What one object refers to.
#[derive(Debug, Default)]
struct References {
    /// The Secrets that its spec names; of a mirror all that it read.
    named: BTreeSet<Key>,
    account: Option<String>,
    /// The pull secrets of the account, as they were when it was read last.
    pulled: BTreeSet<Key>,
    /// By Secret, what was found when it was read last; `None`: nothing that could be read.
    read: HashMap<Key, Option<Version>>,
}

impl Secrets {
    /// An object was heard of, or is gone.
    pub(crate) fn noted(&self, touched: &Touched<ImageRepository>) {
        let user = User::Repository(touched.key.clone());
        let mut state = self.state.lock();
        match &touched.after {
            Found::Object(object) => {
                let (named, account) = named(&touched.key, object);
                state.refer(&user, |references| {
                    if references.account != account {
                        references.pulled.clear();
                        references.account = account;
                    }
                    references.named = named;
                });
            }
            // Whatever it says now, it is not reconciled.
            Found::Unreadable | Found::Absent => state.forget(&user),
        }
    }

    /// The ServiceAccount of `namespace` that `user` names has these pull secrets.
    pub(crate) fn pulls(&self, user: &User, namespace: &Arc<str>, names: &[String]) {
        let keys = names
            .iter()
            .map(|name| Key::new(namespace.clone(), name.as_str()));
        let pulled = keys.collect();
        let mut state = self.state.lock();
        match user {
            // Gone meanwhile: then nobody has to be woken for it.
            User::Repository(_) if !state.objects.contains_key(user) => {}
            User::Repository(_) => state.refer(user, |references| references.pulled = pulled),
            // It may name several accounts.
            User::Mirror(_) => state.refer(user, |references| references.named.extend(pulled)),
        }
    }

    /// `user` is about to read `secret`. Of an ImageRepository that is known from its spec.
    pub(crate) fn uses(&self, user: &User, secret: &Key) {
        if let User::Mirror(_) = user {
            let mut state = self.state.lock();
            state.refer(user, |references| {
                references.named.insert(secret.clone());
            });
        }
    }

    /// A mirror uses these Secrets and no others.
    pub(crate) fn uses_only(&self, user: &User, secrets: BTreeSet<Key>) {
        if let User::Mirror(_) = user {
            let mut state = self.state.lock();
            state.refer(user, |references| references.named = secrets);
        }
    }

    /// `secret` was read for `user`, and this was found. False when something newer had been heard of before.
    pub(crate) fn was_read(&self, user: &User, secret: &Key, found: Option<Version>) -> bool {
        let mut state = self.state.lock();
        let is_current = match (state.heard.get(secret), &found) {
            (Some(heard), Some(found)) => !heard.is_after(found),
            (Some(_), None) => false,
            (None, _) => true,
        };
        if let Some(references) = state.objects.get_mut(user)
            && references.names(secret)
        {
            references.read.insert(secret.clone(), found);
        }
        is_current
    }

    /// When to look again for a Secret that is amiss: whoever waits for one is woken, where Secrets are followed.
    pub(super) fn retry(&self, settings: &Settings) -> Next {
        if self.is_followed.load(Ordering::Relaxed) {
            Next::RETRY
        } else {
            Next::retry_within(settings.requeue_dependency)
        }
    }

    /// Takes in what was heard, and answers with the objects that have to look again.
    pub(crate) fn heard(&self, heard: Heard) -> Vec<User> {
        let mut state = self.state.lock();
        let (secret, version) = match heard {
            Heard::Anew => {
                self.is_followed.store(false, Ordering::Relaxed);
                state.heard.clear();
                return Vec::new();
            }
            Heard::All => {
                self.is_followed.store(true, Ordering::Relaxed);
                return Vec::new();
            }
            Heard::Nothing => {
                self.is_followed.store(false, Ordering::Relaxed);
                return Vec::new();
            }
            // What was read is used until it is read again: a Secret is often deleted to be put in its place anew.
            Heard::Gone(secret) => {
                state.heard.remove(&secret);
                return Vec::new();
            }
            Heard::Is(secret, version) => (secret, version),
        };
        let State {
            objects,
            users,
            heard,
        } = &mut *state;
        let Some(users) = users.get(&secret) else {
            return Vec::new();
        };
        let mut woken: Vec<User> = Vec::new();
        for user in users {
            if let Some(references) = objects.get(user)
                && let Some(read) = references.read.get(&secret)
                && read.as_ref().is_none_or(|read| version.is_after(read))
            {
                woken.push(user.clone());
            }
        }
        heard.insert(secret, version);
        woken
    }
}

/// The Secrets and the ServiceAccount that an object's spec names.
fn named(key: &Key, object: &ImageRepository) -> (BTreeSet<Key>, Option<String>) {
    let spec = &object.spec;
    let references = [
        &spec.secret_ref,
        &spec.cert_secret_ref,
        &spec.proxy_secret_ref,
    ];
    let named = references
        .into_iter()
        .flatten()
        .map(|reference| Key::new(key.namespace.clone(), reference.name.as_str()))
        .collect();
    let account = spec.service_account_name.clone();
    (named, account.filter(|name| !name.is_empty()))
}

impl References {
    fn names(&self, secret: &Key) -> bool {
        self.named.contains(secret) || self.pulled.contains(secret)
    }

    fn all(&self) -> BTreeSet<Key> {
        self.named.union(&self.pulled).cloned().collect()
    }
}

impl State {
    /// Changes what `object` refers to, and the way back with it.
    fn refer(&mut self, object: &User, change: impl FnOnce(&mut References)) {
        let references = self.objects.entry(object.clone()).or_default();
        let before = references.all();
        change(references);
        let after = references.all();
        references.read.retain(|secret, _| after.contains(secret));
        if after.is_empty() && references.account.is_none() {
            self.objects.remove(object);
        }
        self.turn(object, &before, &after);
    }

    fn forget(&mut self, object: &User) {
        if let Some(references) = self.objects.remove(object) {
            self.turn(object, &references.all(), &BTreeSet::new());
        }
    }

    fn turn(&mut self, object: &User, before: &BTreeSet<Key>, after: &BTreeSet<Key>) {
        for secret in before.difference(after) {
            if let Some(users) = self.users.get_mut(secret) {
                users.remove(object);
                if users.is_empty() {
                    self.users.remove(secret);
                    self.heard.remove(secret);
                }
            }
        }
        for secret in after.difference(before) {
            self.users
                .entry(secret.clone())
                .or_default()
                .insert(object.clone());
        }
    }
}

/// Asks for everybody who waits for a Secret, as soon as it is heard of; `referrers` are the policies of a repository.
pub(super) async fn follow(
    context: &Context,
    referrers: impl Fn(&Key) -> Vec<Key>,
    scan: &Trigger,
    elect: &Trigger,
) {
    let namespace = context.settings.scope.namespace.as_deref();
    secrets::follow(context.client.0.clone(), namespace, |heard| async {
        for user in context.secrets.heard(heard) {
            let repository = match user {
                User::Repository(repository) => repository,
                User::Mirror(mirror) => {
                    context.inbox.mirrors.put(mirror);
                    continue;
                }
            };
            for policy in referrers(&repository) {
                if is_failing(context, &policy) {
                    elect.request(policy).await;
                }
            }
            scan.request(repository).await;
        }
    })
    .await;
}

/// A policy that is Ready has its digest, and no use for a credential before the next is due.
fn is_failing(context: &Context, policy: &Key) -> bool {
    let object = context.policies.find(policy).object();
    let status = object.as_ref().and_then(|object| object.status.as_ref());
    status.is_some_and(|status| condition::is_false(&status.conditions, condition::READY))
}

#[cfg(test)]
mod tests;
