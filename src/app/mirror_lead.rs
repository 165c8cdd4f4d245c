//! Who may copy images, and with what: the leases and the lookout of mirrors put together, and a client whose writes pass a gate
//! of their own.
//!
//! Whoever acts copies. Beside Flux, where nobody asks who acts, it is who holds a Lease of our own. With imagerepo-mirror's
//! flags its Lease is held last, and nobody may renew one of that name elsewhere. The gate is shut before mirrors hear that
//! they have to stop, and opened before they hear that they may begin.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt as _};
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lead::Leading;
use crate::clock::SharedClock;
use crate::cluster::connect::{self, Connection, Gate, Opening};
use crate::cluster::crds;
use crate::cluster::lease::guard::{self, Outlook, Watched};
use crate::cluster::lease::{self, election, office};
use crate::config::settings;
use crate::control::{Lead, image_mirror};
use crate::object::Key;
use crate::registry::Mandate;
use crate::task::Tasks;
use crate::telemetry::metrics::Leadership;

/// How often it is looked whether there can be mirrors at all.
const LOOK: Duration = Duration::from_secs(10);

/// What is stood for.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) election: settings::Election,
    pub(super) implicit: Option<settings::Implicit>,
    pub(super) label_selector: Option<String>,
    pub(super) is_companion: bool,
    pub(super) runtime_namespace: String,
}

/// What mirrors are given.
pub(super) struct Office {
    pub(super) client: Client,
    pub(super) lead: Lead,
    pub(super) mandate: Arc<dyn Mandate>,
}

/// Holds while what is written passes the gate, too.
#[derive(Debug)]
struct Open(watch::Receiver<Opening>);

impl Mandate for Open {
    fn holds(&self) -> bool {
        self.0.borrow().is_open()
    }

    fn returns(&self) -> BoxFuture<'_, ()> {
        let mut opening = self.0.clone();
        async move {
            // Nobody is left who could say so.
            if opening.wait_for(|opening| opening.is_open()).await.is_err() {
                future::pending::<()>().await;
            }
        }
        .boxed()
    }
}

/// Starts to find out. `ended` is cancelled when the controllers write no more: then the Leases are given up.
pub(super) fn start(
    connection: &Connection,
    settings: &Settings,
    clock: &SharedClock,
    leading: &Leading,
    counted: Leadership,
    ended: &CancellationToken,
    tasks: &Tasks,
) -> Result<Office, connect::Error> {
    let gate = Gate::of_mirrors();
    let client = connection.through(gate.clone())?;
    let (leads, lead) = watch::channel(false);
    let first = leading.opening.clone();
    let offices = Offices {
        client: client.clone(),
        clock: clock.clone(),
        counted,
        ended: ended.clone(),
    };
    let (until, stop) = (tasks.shutdown().clone(), ended.clone());
    let (opening, working) = offices.all(settings, first);
    let mandate = Arc::new(Open(opening.clone()));
    tasks.spawn("mirror-lead", async move {
        let tell = tell(opening, |opening| {
            gate.set(opening);
            let acts = opening != Opening::Shut;
            leads.send_if_modified(|leads| std::mem::replace(leads, acts) != acts);
        });
        // The Leases are given up after the end, while nobody is told that they are.
        let told = stop.run_until_cancelled(tell);
        future::join(told, future::join_all(working)).await;
        gate.set(Opening::Shut);
        // What mirrors hear now is not that somebody else took over.
        until.cancelled().await;
        drop(leads);
    });
    Ok(Office {
        client,
        lead: Lead::of(lead),
        mandate,
    })
}

/// What has to go on for an opening to be told.
type Working = Vec<BoxFuture<'static, ()>>;

struct Offices {
    client: Client,
    clock: SharedClock,
    counted: Leadership,
    ended: CancellationToken,
}

impl Offices {
    /// Everything that has to hold at once, one behind the other.
    fn all(
        &self,
        settings: &Settings,
        first: watch::Receiver<Opening>,
    ) -> (watch::Receiver<Opening>, Working) {
        let Settings {
            election,
            implicit,
            label_selector,
            is_companion,
            runtime_namespace,
        } = settings;
        let mut working = Working::new();
        let mut opening = first;
        let imagerepo = Key::new(runtime_namespace.as_str(), lease::IMAGEREPO_MIRROR);
        let holds_imagerepo = implicit.as_ref().is_some_and(|flags| flags.holds_lease);
        if implicit.is_some() {
            let guard = guard::Settings {
                names: vec![lease::IMAGEREPO_MIRROR.to_owned()],
                namespaces: vec![runtime_namespace.clone()],
                own: holds_imagerepo.then(|| imagerepo.clone()),
                watched: Watched::Mirrors,
            };
            opening = self.look_out(guard, opening, &mut working);
        }
        if *is_companion {
            let name = lease::mirror_name(label_selector.as_deref());
            let own = Key::new(election.namespace.as_str(), name);
            opening = self.hold(own, election, opening, implicit.is_none(), &mut working);
        }
        if holds_imagerepo {
            opening = self.hold(imagerepo, election, opening, false, &mut working);
        }
        (opening, working)
    }

    fn look_out(
        &self,
        settings: guard::Settings,
        first: watch::Receiver<Opening>,
        working: &mut Working,
    ) -> watch::Receiver<Opening> {
        let (saw, outlook) = watch::channel(Outlook::Unknown);
        let (says, both) = watch::channel(Opening::Shut);
        let look = guard::run(self.client.clone(), settings, self.clock.clone(), saw);
        let ended = self.ended.clone();
        working.push(
            async move {
                let meet = meet(first, outlook, says);
                let both = future::join(look, meet);
                ended.run_until_cancelled(both).await;
            }
            .boxed(),
        );
        both
    }

    /// Holds a Lease while `first` holds; with `is_lazy` once there can be mirrors at all.
    fn hold(
        &self,
        lease: Key,
        election: &settings::Election,
        first: watch::Receiver<Opening>,
        is_lazy: bool,
        working: &mut Working,
    ) -> watch::Receiver<Opening> {
        let settings = election::Settings {
            namespace: lease.namespace.to_string(),
            name: lease.name.to_string(),
            identity: lease::identity(),
            lease_duration: election.lease_duration,
            renew_deadline: election.renew_deadline,
            retry_period: election.retry_period,
            release_on_cancel: election.release_on_cancel,
        };
        let (says, held) = watch::channel(Opening::Shut);
        let (client, ended) = (self.client.clone(), self.ended.clone());
        let holding = office::hold(
            client.clone(),
            settings,
            self.clock.clone(),
            first,
            says,
            ended.clone(),
        );
        working.push(
            async move {
                let served = crds::poll_until_served(&client, &image_mirror::NEEDED, LOOK);
                if !is_lazy || ended.run_until_cancelled(served).await.is_some() {
                    holding.await;
                }
            }
            .boxed(),
        );
        let (counted, ended, name) = (self.counted.clone(), self.ended.clone(), lease.name);
        let mut told = held.clone();
        working.push(
            async move {
                let count = async {
                    loop {
                        let is_held = *told.borrow_and_update() != Opening::Shut;
                        counted.leads(&name, is_held);
                        office::changed(&mut told).await;
                    }
                };
                ended.run_until_cancelled(count).await;
                counted.leads(&name, false);
            }
            .boxed(),
        );
        held
    }
}

/// Says what follows from both, whenever one of them changes.
async fn meet(
    mut first: watch::Receiver<Opening>,
    mut outlook: watch::Receiver<Outlook>,
    says: watch::Sender<Opening>,
) {
    loop {
        let rest = *first.borrow_and_update();
        let seen = match &*outlook.borrow_and_update() {
            Outlook::Clear => Opening::Wide,
            Outlook::Unknown | Outlook::Held { .. } => Opening::Shut,
        };
        let both = rest.and(seen);
        says.send_if_modified(|known| std::mem::replace(known, both) != both);
        tokio::select! {
            () = office::changed(&mut first) => {}
            () = office::changed(&mut outlook) => {}
        }
    }
}

/// Hands every opening on.
async fn tell(mut opening: watch::Receiver<Opening>, mut say: impl FnMut(Opening)) {
    loop {
        say(*opening.borrow_and_update());
        office::changed(&mut opening).await;
    }
}
