//! Leader election by Lease, by client-go's algorithm and in its format, so that the two can stand for the same office.
//!
//! In two things it is stricter: a leader that finds somebody else in its Lease stops at once, and one that cannot renew
//! stops `renew_deadline` after it last asked, not after it last slept.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::{Error, with_causes};
use super::record::{Record, Sighting};
use crate::clock::SharedClock;

/// How long giving up the Lease may take at the end.
const RELEASE_WITHIN: Duration = Duration::from_secs(5);

/// How to stand for election (`--leader-election-…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who we are.
    pub identity: String,
    /// How long the others wait before they take the Lease of a leader that is silent.
    pub lease_duration: Duration,
    /// After this time without a renewal the leader leads no more.
    pub renew_deadline: Duration,
    /// The time between two tries.
    pub retry_period: Duration,
    /// Whether the Lease is given up at the end, so that the next one need not wait.
    pub release_on_cancel: bool,
}

/// Whose the Lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// Nothing is known yet.
    Undecided,
    /// Somebody else's, or nobody's.
    Others,
    /// Ours, until this moment, unless it is renewed.
    Ours(Instant),
}

/// Stands for election, over and over, until `until`; whoever depends on leading must have stopped by then.
pub async fn run(
    client: Client,
    settings: Settings,
    clock: SharedClock,
    term: watch::Sender<Term>,
    until: impl Future<Output = ()>,
) {
    let mut candidate = Candidate {
        api: Api::namespaced(client, &settings.namespace),
        settings,
        clock,
        seen: None,
        told: String::new(),
    };
    let mut until = std::pin::pin!(until);
    loop {
        let since = tokio::select! {
            since = candidate.acquire(&term) => since,
            () = &mut until => return,
        };
        tracing::info!(lease = %candidate, identity = candidate.settings.identity, "Became leader");
        tokio::select! {
            () = candidate.keep(since, &term) => {}
            () = &mut until => {
                candidate.release().await;
                return;
            }
        }
        term.send_replace(Term::Others);
    }
}

/// What came of one try.
enum Attempt {
    /// The Lease is ours, as of this moment.
    Held(Instant),
    /// It is somebody else's.
    Taken(String),
    /// Nothing is known.
    Failed(Error),
}

struct Candidate {
    api: Api<Lease>,
    settings: Settings,
    clock: SharedClock,
    /// The Lease as it was answered last, and what is thought of it.
    seen: Option<(Lease, Sighting)>,
    /// What was logged last, which is not logged again.
    told: String,
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.settings.namespace, self.settings.name)
    }
}

impl Candidate {
    /// Tries until the Lease is ours.
    async fn acquire(&mut self, term: &watch::Sender<Term>) -> Instant {
        loop {
            match self.attempt(false).await {
                Attempt::Held(since) => {
                    self.told.clear();
                    return since;
                }
                Attempt::Taken(holder) => {
                    term.send_replace(Term::Others);
                    if self.told != holder {
                        tracing::info!(lease = %self, holder, "Standing by: another process leads");
                        self.told = holder;
                    }
                }
                Attempt::Failed(error) => {
                    let error = with_causes(&error);
                    if self.told != error {
                        tracing::error!(lease = %self, error, "Failed to acquire the lease, trying again");
                        self.told = error;
                    }
                }
            }
            sleep(self.jittered()).await;
        }
    }

    /// Renews until that has failed for too long, or somebody else has the Lease.
    async fn keep(&mut self, mut since: Instant, term: &watch::Sender<Term>) {
        loop {
            let deadline = since + self.settings.renew_deadline;
            term.send_replace(Term::Ours(deadline));
            sleep(self.settings.retry_period).await;
            since = loop {
                match timeout_at(deadline, self.attempt(true)).await {
                    Ok(Attempt::Held(since)) => break since,
                    Ok(Attempt::Taken(holder)) => {
                        tracing::error!(lease = %self, holder, "Lost the lease: another process took it");
                        return;
                    }
                    Ok(Attempt::Failed(error)) => {
                        tracing::warn!(lease = %self, error = with_causes(&error), "Failed to renew the lease, trying again");
                    }
                    Err(_) => {
                        tracing::error!(lease = %self, "Lost the lease: it could not be renewed in time");
                        return;
                    }
                }
                sleep(self.settings.retry_period.min(deadline - Instant::now())).await;
            };
        }
    }

    async fn attempt(&mut self, leads: bool) -> Attempt {
        let asked = Instant::now();
        if leads && let Some((lease, _)) = self.seen.clone() {
            // Nobody writes a Lease that is held: usually there is no need to look first.
            match self.write(lease).await {
                Ok(()) => return Attempt::Held(asked),
                Err(Error::Conflict { .. } | Error::NotFound { .. }) => {}
                Err(error) => return Attempt::Failed(error),
            }
        }
        let found = match self.api.get_opt(&self.settings.name).await {
            Ok(found) => found,
            Err(error) => return Attempt::Failed(error.into()),
        };
        let Some(lease) = found else {
            return match self.create().await {
                Ok(()) => Attempt::Held(asked),
                Err(error) => Attempt::Failed(error),
            };
        };
        self.observe(lease.clone());
        if let Some((_, sighting)) = &self.seen {
            let record = &sighting.record;
            let is_ours = record.holder == self.settings.identity;
            if !is_ours && (leads || sighting.is_live(Instant::now())) {
                return Attempt::Taken(record.holder.clone());
            }
        }
        match self.write(lease).await {
            Ok(()) => Attempt::Held(asked),
            Err(error) => Attempt::Failed(error),
        }
    }

    fn observe(&mut self, lease: Lease) {
        let record = Record::of(&lease);
        let now = Instant::now();
        let sighting = match self.seen.take() {
            Some((_, mut sighting)) => {
                sighting.again(record, now);
                sighting
            }
            None => Sighting::first(record, now),
        };
        self.seen = Some((lease, sighting));
    }

    /// Puts us into `lease`, provided that nobody wrote it since.
    async fn write(&mut self, mut lease: Lease) -> Result<(), Error> {
        let before = Record::of(&lease);
        let now = self.clock.now();
        let is_ours = before.holder == self.settings.identity;
        let record = Record {
            holder: self.settings.identity.clone(),
            acquired: if is_ours { before.acquired } else { Some(now) },
            renewed: Some(now),
            transitions: before.transitions.saturating_add(i32::from(!is_ours)),
            duration: self.settings.lease_duration,
        };
        record.write_to(&mut lease);
        let params = PostParams::default();
        let written = self
            .api
            .replace(&self.settings.name, &params, &lease)
            .await?;
        self.observe(written);
        Ok(())
    }

    async fn create(&mut self) -> Result<(), Error> {
        let mut lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.settings.name.clone()),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        };
        let now = self.clock.now();
        let record = Record {
            holder: self.settings.identity.clone(),
            acquired: Some(now),
            renewed: Some(now),
            transitions: 0,
            duration: self.settings.lease_duration,
        };
        record.write_to(&mut lease);
        let created = self.api.create(&PostParams::default(), &lease).await?;
        self.observe(created);
        Ok(())
    }

    /// Gives the Lease up.
    async fn release(&mut self) {
        let Some((mut lease, _)) = self.seen.take().filter(|_| self.settings.release_on_cancel)
        else {
            return;
        };
        let held = Record::of(&lease);
        if held.holder != self.settings.identity {
            return;
        }
        let now = self.clock.now();
        let record = Record {
            holder: String::new(),
            acquired: Some(now),
            renewed: Some(now),
            transitions: held.transitions,
            duration: Duration::from_secs(1),
        };
        record.write_to(&mut lease);
        let params = PostParams::default();
        let released = self.api.replace(&self.settings.name, &params, &lease);
        match tokio::time::timeout(RELEASE_WITHIN, released).await {
            Ok(Ok(_)) => tracing::info!(lease = %self, "Released the lease"),
            Ok(Err(error)) => {
                tracing::warn!(lease = %self, error = with_causes(&Error::from(error)), "Failed to release the lease, it will expire");
            }
            Err(_) => {
                tracing::warn!(lease = %self, "Failed to release the lease in time, it will expire");
            }
        }
    }

    /// Those who wait must not all ask at once: up to 1.2 periods longer.
    fn jittered(&self) -> Duration {
        let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
        let thousandths = u32::try_from(low % 1200).unwrap_or_default();
        self.settings.retry_period + self.settings.retry_period * thousandths / 1000
    }
}
