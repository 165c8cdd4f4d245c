//! The ImageRepository controller: scans an image's tags into the store.
//!
//! A status says Ready only after the tags are in the store and on disk. A scan that fails takes nothing away: the
//! tags of the last good one stay served.

mod act;
mod decide;
mod gather;
mod memory;
mod peers;
mod refusals;
mod status;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use self::act::Outcome;
use self::decide::Decision;
use self::gather::{Facts, Gathered};
use self::memory::{Memory, Unsaid};
use self::peers::Peers;
use super::kind::Kind;
use super::metrics::ReconcileResult;
use super::queue::Next;
use super::share::Shares;
use super::{Context, finish, intake, news};
use crate::api::{ImageRepository, names};
use crate::cluster::index::{Found, Touched};
use crate::cluster::{Error, patch, with_causes};
use crate::object::Key;

const KIND: Kind = Kind::ImageRepository;

/// The controller: what it keeps between reconciles.
#[derive(Debug)]
pub(crate) struct Controller {
    context: Arc<Context>,
    shares: Shares,
    peers: Peers,
    memory: Memory,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let shares = Shares::new(context.clock.clone());
        Self {
            context,
            shares,
            peers: Peers::default(),
            memory: Memory::default(),
        }
    }

    /// An object was heard of, or is gone.
    pub(crate) fn noted(&self, touched: &Touched<ImageRepository>) {
        self.peers.noted(touched);
        self.context.secrets.noted(touched);
    }

    /// Reconciles one object, and says when to look at it again.
    pub(crate) async fn reconcile(&self, key: Key) -> Next {
        async {
            let metrics = &self.context.metrics;
            let begin = Instant::now();
            let _active = metrics.active(KIND);
            match gather::gather(&self.context, &self.memory, &key).await {
                Gathered::Object(facts) => {
                    let next = self.run(&key, *facts).await;
                    metrics.reconciled(KIND, &key, ReconcileResult::of(next), begin.elapsed());
                    next
                }
                Gathered::Unreadable => Next::Await,
                Gathered::Gone => {
                    metrics.forget(KIND, &key);
                    self.release(&key).await
                }
            }
        }
        .instrument(KIND.span(&key))
        .await
    }

    /// Where the kind is not controlled here: lets go of the tags of an object that is gone, or about to be, or another
    /// one of that name, and does nothing else.
    pub(crate) async fn follow_deletion(&self, key: &Key) -> Next {
        let is_owner = match self.context.repositories.find(key) {
            Found::Unreadable => return Next::Await,
            Found::Absent => false,
            Found::Object(object) => {
                let held = self.context.store.snapshot().repository(key);
                object.metadata.deletion_timestamp.is_none()
                    && held
                        .is_none_or(|held| object.metadata.uid.as_ref() == Some(&held.owner().uid))
            }
        };
        if is_owner {
            return Next::Await;
        }
        self.release(key).await
    }

    async fn run(&self, key: &Key, mut facts: Facts) -> Next {
        if facts.is_of_a_namesake() {
            // Its deletion was missed: the tags of the one that is gone are not the tags of this one.
            if let retry @ Next::Retry { .. } = self.release(key).await {
                return retry;
            }
            facts.stored = None;
        }
        let mut decision = decide::decide(&facts, &self.context.settings);
        let object = facts.object.clone();
        if decision == Decision::Release {
            return self.let_go(key, &object).await;
        }
        tell_what_has_no_effect(&object);
        let (object, mut outcome) = match &decision {
            Decision::Scan(plan) => act::scan(self, key, object, plan).await,
            Decision::Release
            | Decision::Rest
            | Decision::Keep { .. }
            | Decision::Stall { .. }
            | Decision::Fail { .. } => {
                // Whatever keeps it from being scanned: the tags that are served carry its labels as they are now.
                if let Err(error) = intake::refresh_owner(&self.context, &object) {
                    tracing::error!(
                        error = with_causes(&error),
                        "Failed to store what changed about the object"
                    );
                    return Next::RETRY;
                }
                (object, Outcome::Nothing)
            }
        };
        if let Outcome::PutOff(wait) = outcome {
            tracing::debug!(?wait, "Put off a scan: the registry is not to be asked yet");
            let until = wait.max(Duration::from_secs(1));
            if decide::is_observed(&object) {
                return Next::After(until);
            }
            // Whoever changed the spec waits to hear that this was seen: until then the last scan will do.
            (decision, outcome) = (Decision::Keep { until }, Outcome::Nothing);
        }
        let before = object.status.clone().unwrap_or_default();
        let now = self.context.clock.now();
        let (after, next) =
            status::compute(&object, facts.image.as_ref().ok(), &decision, &outcome, now);
        let in_short = status::in_short(&object, &decision, &outcome, next);
        // What a suspended object says is old, and so is a refusal that was told when it ended the wait.
        let refused = decide::refused(&after);
        let is_told = refused.is_some() && refused == decide::refused(&before);
        let speaks = decision != Decision::Rest && !is_told;
        let report = speaks
            .then(|| {
                news::report(
                    news::reference(&*object),
                    &before.conditions,
                    &after.conditions,
                )
            })
            .flatten();
        let next = self.within(&decision, next);
        let done = finish::finish(
            &self.context,
            &self.context.repositories,
            (key, &*object),
            (&before, &after),
            (report, in_short.as_deref()),
            next,
        )
        .await;
        if let (Decision::Scan(plan), Outcome::Scanned(found)) = (&decision, outcome) {
            // What could not be said is said later, without asking again.
            let unsaid = (done != next).then(|| Unsaid {
                found,
                image: plan.question.image.clone(),
                exclusion: plan.exclusion.clone(),
                requested_at: facts.requested_at,
            });
            let uid = object.metadata.uid.as_deref().unwrap_or_default();
            self.memory.change(key, uid, |known| known.unsaid = unsaid);
        }
        done
    }

    /// A Secret may be mended at any moment: where nobody tells of it, whoever waits for one looks again soon.
    fn within(&self, decision: &Decision, next: Next) -> Next {
        match decision {
            Decision::Fail { .. } => self.context.secrets.retry(&self.context.settings),
            Decision::Release
            | Decision::Rest
            | Decision::Stall { .. }
            | Decision::Keep { .. }
            | Decision::Scan(_) => next,
        }
    }

    /// Takes off the finalizer that Flux's controller leaves on its objects; we need none. On deletion only: where
    /// that controller still runs, it would put it on again, and neither would ever come to an end.
    async fn take_off_finalizer(&self, key: &Key, object: &ImageRepository) -> Result<(), Error> {
        let Context {
            client,
            settings,
            repositories,
            ..
        } = &*self.context;
        let manager = &settings.controller_name;
        if let Some(written) =
            patch::remove_finalizer(&client.0, key, object, names::FINALIZER, manager).await?
        {
            repositories.learn(key, written);
        }
        Ok(())
    }

    /// The object is being deleted: first goes what we hold for it, then what holds it.
    async fn let_go(&self, key: &Key, object: &ImageRepository) -> Next {
        let next = self.release(key).await;
        if next != Next::Await {
            return next;
        }
        match self.take_off_finalizer(key, object).await {
            Ok(()) => Next::Await,
            Err(error) => finish::failed_to_write(&self.context, &error),
        }
    }

    /// The object is gone, or about to be: so are its tags.
    async fn release(&self, key: &Key) -> Next {
        self.memory.forget(key);
        self.context.doubted.forget(key);
        let released = match self.context.store.remove_repository(key) {
            Ok(_) => self.context.store.flush().await,
            Err(error) => Err(error),
        };
        match released {
            Ok(()) => Next::Await,
            Err(error) => {
                tracing::error!(
                    error = with_causes(&error),
                    "Failed to remove the tags of a deleted object"
                );
                Next::RETRY
            }
        }
    }
}

/// Says once per generation which accepted fields do nothing yet.
fn tell_what_has_no_effect(object: &ImageRepository) {
    let fields = decide::without_effect(object);
    let generation = object.metadata.generation;
    let said = object.status.as_ref().and_then(|status| {
        let ready = crate::api::condition::get(&status.conditions, crate::api::condition::READY)?;
        ready.observed_generation
    });
    if !fields.is_empty() && said != generation {
        tracing::warn!(
            fields = fields.join(", "),
            "These fields are accepted, but have no effect yet"
        );
    }
}
