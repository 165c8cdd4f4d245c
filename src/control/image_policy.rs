//! The ImagePolicy controller: elects one of a repository's tags, again whenever those tags change.
//!
//! An election is in the store, and served, before the status says it. Whatever fails, `latestRef` stays as it was.

mod act;
mod candidates;
mod decide;
mod digest;
mod elect;
mod gather;
mod memory;
pub(crate) mod mirrored;
mod platforms;
pub mod reader;
mod status;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trial;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::Instrument as _;

use self::act::Outcome;
use self::decide::Decision;
pub(crate) use self::gather::Kept;
use self::gather::{Facts, Gathered, Referred};
use super::kind::Kind;
use super::metrics::ReconcileResult;
use super::queue::Next;
use super::referrers::Referrers;
use super::requirers::Requirers;
use super::{Context, finish, news};
use crate::api::image_policy::ImagePolicySpec;
use crate::api::{ImagePolicy, names};
use crate::cluster::index::{Found, Touched};
use crate::cluster::{Error, patch};
use crate::object::Key;
use crate::task;

const KIND: Kind = Kind::ImagePolicy;

/// Up to so many bytes a range is held against a tag in no time.
const SIMPLE_RANGE: usize = 256;

/// The controller: what it keeps between reconciles.
#[derive(Debug)]
pub(crate) struct Controller {
    context: Arc<Context>,
    kept: Arc<Kept>,
    referrers: Referrers,
    requirers: Requirers,
    /// How often each policy has found no tags since it last found some.
    waits: Mutex<HashMap<Key, u32>>,
}

impl Controller {
    /// `kept` may be from an earlier time in office, when another process may have elected since.
    pub(crate) fn new(context: Arc<Context>, kept: Arc<Kept>) -> Self {
        kept.memory.clear();
        Self {
            context,
            kept,
            referrers: Referrers::default(),
            requirers: Requirers::default(),
            waits: Mutex::default(),
        }
    }

    /// An object was heard of, or is gone.
    pub(crate) fn noted(&self, touched: &Touched<ImagePolicy>) {
        self.referrers.noted(touched);
        self.requirers.noted(touched);
    }

    /// The policies that require `mirror`.
    pub(crate) fn requirers(&self, mirror: &Key) -> Vec<Key> {
        self.requirers.of(mirror)
    }

    /// The policies that require a mirror, whichever.
    pub(crate) fn all_requirers(&self) -> Vec<Key> {
        self.requirers.all()
    }

    /// The policies that elect from `repository`.
    pub(crate) fn referrers(&self, repository: &Key) -> Vec<Key> {
        self.referrers.of(repository)
    }

    /// Reconciles one object, and says when to look at it again.
    pub(crate) async fn reconcile(&self, key: Key) -> Next {
        async {
            let metrics = &self.context.metrics;
            let begin = Instant::now();
            let _active = metrics.active(KIND);
            let waits = self.waits.lock().get(&key).copied().unwrap_or(0);
            match gather::gather(&self.context, &self.kept, &key, waits).await {
                Gathered::Object(facts) => {
                    let next = self.run(&key, facts).await;
                    metrics.reconciled(KIND, &key, ReconcileResult::of(next), begin.elapsed());
                    next
                }
                Gathered::Unreadable => Next::Await,
                Gathered::Gone => {
                    metrics.forget(KIND, &key);
                    self.kept.memory.forget(&key);
                    self.waits.lock().remove(&key);
                    self.withdraw(&key, None).await
                }
            }
        }
        .instrument(KIND.span(&key))
        .await
    }

    /// Where the kind is not controlled here: takes back what an object elected that is gone, or about to be, and does
    /// nothing else.
    pub(crate) async fn follow_deletion(&self, key: &Key) -> Next {
        let is_there = match self.context.policies.find(key) {
            Found::Unreadable => true,
            Found::Absent => false,
            Found::Object(object) => object.metadata.deletion_timestamp.is_none(),
        };
        if is_there {
            return Next::Await;
        }
        self.withdraw(key, None).await
    }

    async fn run(&self, key: &Key, facts: Box<Facts>) -> Next {
        let object = &facts.object.clone();
        let reference = facts.reference.clone();
        let decision = self.decide(facts).await;
        self.count_wait(key, &decision);
        if decision == Decision::Release {
            return self.let_go(key, object).await;
        }
        let withdrawn = match Stay::after(&decision, &reference) {
            Stay::Everywhere => Next::Await,
            Stay::At(repository) => self.withdraw(key, Some(repository)).await,
            Stay::Nowhere => self.withdraw(key, None).await,
        };
        if let Next::Retry { .. } = withdrawn {
            return withdrawn;
        }
        self.publish(key, &decision);
        let outcome = match &decision {
            Decision::Wait { after } => return Next::After(*after),
            Decision::Elect(plan) => act::elect(&self.context, key, plan).await,
            Decision::Release
            | Decision::Rest
            | Decision::Stall { .. }
            | Decision::Fail { .. }
            | Decision::Stand(_)
            | Decision::Acknowledge { .. }
            | Decision::Ask(_) => Outcome::Nothing,
        };
        // The registry was not asked, which is no news of this policy; unless somebody waits for some.
        if let Outcome::NoDigest {
            is_wait: true,
            retry_after,
            ..
        } = outcome
            && !gather::is_requested(object)
            && let Some(status) = &object.status
            && status.latest_ref.is_some()
        {
            return Next::After(retry_after.unwrap_or(self.context.settings.requeue_dependency));
        }
        if let Outcome::Elected { .. } = outcome {
            self.kept.memory.elected(key, object, &reference);
        }
        act::count(&self.context, key, object, &decision, &outcome);
        let before = object.status.clone().unwrap_or_default();
        let now = self.context.clock.now();
        let (after, next) = status::compute(object, &decision, &outcome, now);
        // What a suspended object says is old.
        let speaks = decision != Decision::Rest;
        let report = speaks
            .then(|| {
                news::report(
                    news::reference(&**object),
                    &before.conditions,
                    &after.conditions,
                )
            })
            .flatten();
        finish::finish(
            &self.context,
            &self.context.policies,
            (key, &**object),
            (&before, &after),
            (report, None),
            next,
        )
        .await
    }

    /// Decides, and asks the registry in between for what is missing.
    async fn decide(&self, mut facts: Box<Facts>) -> Decision {
        loop {
            let context = self.context.clone();
            // It elects: patterns and lists are as large as others made them.
            let is_brief = is_simple(&facts.object.spec) && facts.repository.is_short();
            let decide = move || (decide::decide(&facts, &context.settings), facts);
            let (decision, given_back) = task::brief_or_blocking("elect", is_brief, decide).await;
            facts = given_back;
            match (&decision, &facts.repository) {
                // Each answer is one question less; they end with the budget.
                (Decision::Ask(tag), Referred::Found { object, .. }) => {
                    let (object, tag) = (object.clone(), tag.clone());
                    facts.platforms.ask(&self.context, &object, tag).await;
                }
                _ if facts.platforms.refreshes() => {}
                _ => return decision,
            }
        }
    }

    fn count_wait(&self, key: &Key, decision: &Decision) {
        let mut waits = self.waits.lock();
        match decision {
            Decision::Wait { .. } => *waits.entry(key.clone()).or_insert(0) += 1,
            // It has waited long enough: from now on it waits at leisure.
            Decision::Fail { .. } | Decision::Acknowledge { .. } => {}
            Decision::Release
            | Decision::Rest
            | Decision::Stall { .. }
            | Decision::Elect(_)
            | Decision::Stand(_)
            | Decision::Ask(_) => {
                waits.remove(key);
            }
        }
    }

    /// Takes off the finalizer that Flux's controller leaves on its objects; we need none. On deletion only: where
    /// that controller still runs, it would put it on again, and neither would ever come to an end.
    async fn take_off_finalizer(&self, key: &Key, object: &ImagePolicy) -> Result<(), Error> {
        let Context {
            client,
            settings,
            policies,
            ..
        } = &*self.context;
        let manager = &settings.controller_name;
        if let Some(written) =
            patch::remove_finalizer(&client.0, key, object, names::FINALIZER, manager).await?
        {
            policies.learn(key, written);
        }
        Ok(())
    }

    /// The object is being deleted: first goes what we hold for it, then what holds it.
    async fn let_go(&self, key: &Key, object: &ImagePolicy) -> Next {
        let next = self.withdraw(key, None).await;
        if next != Next::Await {
            return next;
        }
        match self.take_off_finalizer(key, object).await {
            Ok(()) => Next::Await,
            Err(error) => finish::failed_to_write(&self.context, &error),
        }
    }

    /// Says what would be elected if no mirror were required: a mirror may wait for it, as this policy may for the mirror.
    fn publish(&self, key: &Key, decision: &Decision) {
        let governed = match decision {
            Decision::Elect(plan) => &plan.governed,
            Decision::Stand(governed) => governed,
            // Whatever fails, it stays as it was.
            Decision::Release
            | Decision::Rest
            | Decision::Wait { .. }
            | Decision::Acknowledge { .. }
            | Decision::Stall { .. }
            | Decision::Fail { .. }
            | Decision::Ask(_) => return,
        };
        let board = self.context.store.board();
        board.put_candidate(key, governed.candidate.clone());
    }

    /// Takes back what the policy elected, and would, everywhere but in `except`.
    async fn withdraw(&self, key: &Key, except: Option<&Key>) -> Next {
        let store = &self.context.store;
        let told = store.board().candidate(key);
        if told.is_some_and(|told| Some(&told.repository) != except) {
            store.board().put_candidate(key, None);
        }
        self.referrers.withdraw(store, key, except).await
    }
}

/// Where what a policy elected earlier may stay elected.
enum Stay<'a> {
    Everywhere,
    At(&'a Key),
    Nowhere,
}

impl<'a> Stay<'a> {
    fn after(decision: &Decision, reference: &'a Key) -> Self {
        match decision {
            Decision::Release | Decision::Rest => Self::Everywhere,
            // Not in a repository that is not referred to any more.
            Decision::Elect(_)
            | Decision::Stand(_)
            | Decision::Ask(_)
            | Decision::Wait { .. }
            | Decision::Acknowledge { .. }
            | Decision::Stall { .. }
            | Decision::Fail {
                is_denied: false, ..
            } => Self::At(reference),
            // The tags' owner does not (or no longer) let this policy in: it has no mark to leave there.
            Decision::Fail {
                is_denied: true, ..
            } => Self::Nowhere,
        }
    }
}

/// Whether its rules are of a size that costs next to nothing for each tag.
fn is_simple(spec: &ImagePolicySpec) -> bool {
    let range = spec.policy.semver.as_ref().map_or("", |it| &it.range);
    spec.filter_tags.is_none() && range.len() <= SIMPLE_RANGE
}
