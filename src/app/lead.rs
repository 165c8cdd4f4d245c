//! Who may act: the election, the lookout for another holder of Flux's Lease, and the gate that writes pass, put together.
//!
//! Before anything is known nobody acts. The gate is shut before the controllers hear that they have to stop, and opened
//! before they hear that they may begin.

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::cluster::connect::{Gate, Opening};
use crate::cluster::lease::election::{self, Term};
use crate::cluster::lease::guard::{self, Outlook, Watched};
use crate::cluster::lease::{self, FLUX_NAMESPACE};
use crate::config::settings;
use crate::control::Lead;
use crate::object::Key;
use crate::task::Tasks;
use crate::telemetry::metrics::Leadership;

/// What is stood for.
pub(super) struct Settings {
    pub(super) election: settings::Election,
    pub(super) label_selector: Option<String>,
    pub(super) is_companion: bool,
    pub(super) runtime_namespace: String,
}

/// Whether this process acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not known yet.
    Undecided,
    /// Somebody else does.
    By,
    /// It does.
    Acting,
}

/// What the rest of the program hears.
pub(super) struct Leading {
    pub(super) lead: Lead,
    pub(super) standing: watch::Receiver<Standing>,
    /// For how long it acts; beside Flux, where nobody asks who does: always.
    pub(super) opening: watch::Receiver<Opening>,
}

/// Starts to find out. `ended` is cancelled when the controllers write no more: then the Lease is given up.
pub(super) fn start(
    client: &Client,
    settings: Settings,
    clock: &SharedClock,
    gate: Gate,
    counted: Leadership,
    ended: &CancellationToken,
    tasks: &Tasks,
) -> Leading {
    let Settings {
        election,
        label_selector,
        is_companion,
        runtime_namespace,
    } = settings;
    if is_companion {
        // Flux's controller acts, and this one only looks: the gate stays shut.
        return Leading {
            lead: Lead::always(),
            standing: watch::channel(Standing::Acting).1,
            opening: watch::channel(Opening::Wide).1,
        };
    }
    let name = lease::name(label_selector.as_deref());
    let own = election
        .is_on
        .then(|| Key::new(election.namespace.as_str(), name.as_str()));
    let mut names = vec![name.clone()];
    if label_selector.is_some() {
        // A Flux without shards works on the objects of this one, too.
        names.push(lease::name(None));
    }
    let mut namespaces = vec![
        election.namespace.clone(),
        runtime_namespace,
        FLUX_NAMESPACE.to_owned(),
    ];
    namespaces.sort_unstable();
    namespaces.dedup();

    let (saw, outlook) = watch::channel(Outlook::Unknown);
    let lookout = guard::run(
        client.clone(),
        guard::Settings {
            names,
            namespaces,
            own,
            watched: Watched::Controllers,
        },
        clock.clone(),
        saw,
    );
    let stop = ended.clone();
    let until = tasks.shutdown().clone();
    tasks.spawn("lookout", async move {
        stop.run_until_cancelled(lookout).await;
        until.cancelled().await;
    });

    let term = election.is_on.then(|| {
        let (elected, term) = watch::channel(Term::Undecided);
        let settings = election::Settings {
            namespace: election.namespace,
            name: name.clone(),
            identity: lease::identity(),
            lease_duration: election.lease_duration,
            renew_deadline: election.renew_deadline,
            retry_period: election.retry_period,
            release_on_cancel: election.release_on_cancel,
        };
        let until = ended.clone().cancelled_owned();
        let stand = election::run(client.clone(), settings, clock.clone(), elected, until);
        tasks.spawn("election", stand);
        term
    });

    let (decided, standing) = watch::channel(Standing::Undecided);
    let (leads, lead) = watch::channel(false);
    let (opened, opened_for) = watch::channel(Opening::Shut);
    let stop = ended.clone();
    let until = tasks.shutdown().clone();
    tasks.spawn("lead", async move {
        let decide = decide(term, outlook, |opening, now, outlook| {
            gate.set(opening);
            opened.send_replace(opening);
            counted.leads(&name, opening != Opening::Shut);
            counted.sees_another(matches!(outlook, Outlook::Held { .. }));
            decided.send_replace(now);
            let acts = now == Standing::Acting;
            leads.send_if_modified(|leads| std::mem::replace(leads, acts) != acts);
        });
        stop.run_until_cancelled(decide).await;
        // What the controllers hear now is not that somebody else took over.
        until.cancelled().await;
        drop((decided, leads, opened));
    });
    Leading {
        lead: Lead::of(lead),
        standing,
        opening: opened_for,
    }
}

/// Says what follows from both, again whenever one of them changes.
async fn decide(
    mut term: Option<watch::Receiver<Term>>,
    mut outlook: watch::Receiver<Outlook>,
    mut say: impl FnMut(Opening, Standing, &Outlook),
) {
    loop {
        let seen = outlook.borrow_and_update().clone();
        let office = term.as_mut().map(|term| *term.borrow_and_update());
        let (opening, standing) = follows(office, &seen);
        say(opening, standing, &seen);
        let elected = async {
            match &mut term {
                Some(term) => term.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let goes_on = tokio::select! {
            goes_on = elected => goes_on,
            changed = outlook.changed() => changed.is_ok(),
        };
        if !goes_on {
            // Who could say more is gone, which is how the program ends.
            std::future::pending::<()>().await;
        }
    }
}

/// Without an election everybody holds the office.
fn follows(office: Option<Term>, outlook: &Outlook) -> (Opening, Standing) {
    match (office, outlook) {
        (Some(Term::Others), _) | (_, Outlook::Held { .. }) => (Opening::Shut, Standing::By),
        (Some(Term::Undecided), _) | (_, Outlook::Unknown) => (Opening::Shut, Standing::Undecided),
        (Some(Term::Ours(until)), Outlook::Clear) => (Opening::Until(until), Standing::Acting),
        (None, Outlook::Clear) => (Opening::Wide, Standing::Acting),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn it_acts_only_in_office_and_alone() {
        let until = Instant::now();
        let held = Outlook::Held {
            lease: Key::new("flux-system", "lease"),
            holder: "flux".into(),
        };
        let ours = Some(Term::Ours(until));
        let rows = [
            (None, Outlook::Unknown, Opening::Shut, Standing::Undecided),
            (None, held.clone(), Opening::Shut, Standing::By),
            (None, Outlook::Clear, Opening::Wide, Standing::Acting),
            (
                Some(Term::Undecided),
                Outlook::Clear,
                Opening::Shut,
                Standing::Undecided,
            ),
            (
                Some(Term::Others),
                Outlook::Clear,
                Opening::Shut,
                Standing::By,
            ),
            (
                Some(Term::Others),
                Outlook::Unknown,
                Opening::Shut,
                Standing::By,
            ),
            (ours, Outlook::Unknown, Opening::Shut, Standing::Undecided),
            (ours, held, Opening::Shut, Standing::By),
            (
                ours,
                Outlook::Clear,
                Opening::Until(until),
                Standing::Acting,
            ),
        ];
        for (office, outlook, opening, standing) in rows {
            assert_eq!(
                follows(office, &outlook),
                (opening, standing),
                "{office:?} {outlook:?}"
            );
        }
    }
}
