//! A Lease that is worth something together with something else only: another Lease, a free outlook, the right to act.
//!
//! It is stood for while the rest holds, and given up when that is lost. So whoever needs several Leases takes them in one
//! order, and two processes never hold one each and wait for the other's.

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::connect::Opening;
use super::election::{self, Settings, Term};
use crate::clock::SharedClock;

/// Says for how long both hold, `first` and the Lease, over and over, until `ended`; whoever depends on it must have stopped by
/// then.
pub async fn hold(
    client: Client,
    settings: Settings,
    clock: SharedClock,
    mut first: watch::Receiver<Opening>,
    held: watch::Sender<Opening>,
    ended: CancellationToken,
) {
    loop {
        let open = async {
            while *first.borrow_and_update() == Opening::Shut {
                changed(&mut first).await;
            }
        };
        if ended.run_until_cancelled(open).await.is_none() {
            return;
        }
        let (elected, term) = watch::channel(Term::Undecided);
        let mut rest = first.clone();
        let until = async {
            tokio::select! {
                () = lost(&mut rest) => {}
                () = ended.cancelled() => {}
            }
        };
        let stand = election::run(
            client.clone(),
            settings.clone(),
            clock.clone(),
            elected,
            until,
        );
        tokio::select! {
            () = stand => {}
            () = tell(&mut first, term, &held) => {}
        }
        shut(&held);
        if ended.is_cancelled() {
            return;
        }
    }
}

/// Says what both say. Once the first is lost, that stays so: the Lease is on its way to somebody else.
async fn tell(
    first: &mut watch::Receiver<Opening>,
    mut term: watch::Receiver<Term>,
    held: &watch::Sender<Opening>,
) {
    loop {
        let rest = *first.borrow_and_update();
        let lease = match *term.borrow_and_update() {
            Term::Undecided | Term::Others => Opening::Shut,
            Term::Ours(until) => Opening::Until(until),
        };
        let both = rest.and(lease);
        held.send_if_modified(|known| std::mem::replace(known, both) != both);
        if rest == Opening::Shut {
            return std::future::pending().await;
        }
        tokio::select! {
            () = changed(first) => {}
            () = changed(&mut term) => {}
        }
    }
}

async fn lost(first: &mut watch::Receiver<Opening>) {
    while *first.borrow_and_update() != Opening::Shut {
        changed(first).await;
    }
}

/// Resolves when the value is another one. One that nobody can change any more stays.
pub async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn shut(held: &watch::Sender<Opening>) {
    held.send_if_modified(|known| std::mem::replace(known, Opening::Shut) != Opening::Shut);
}
