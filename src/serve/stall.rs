//! Answers that their client has stopped taking: one watch over all bodies of a connection, by one timer.
//!
//! The library does not ask a body for more while its client takes nothing, so that a body cannot notice by itself. What
//! has stalled lets go of all it holds; then its HTTP/2 stream is ended, or the connection where it has no streams.

use futures::future::AbortHandle;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::body::{Body, Look, Sent};

/// Up to so many bodies are watched without those being sought out that are over.
const FEW: usize = 32;

/// The bodies of one connection.
#[derive(Debug)]
pub(super) struct Watched {
    bodies: Mutex<Bodies>,
    /// Told when somebody has to be looked at before the timer rings.
    sooner: Notify,
}

#[derive(Debug)]
struct Bodies {
    list: Vec<Entry>,
    /// When they are looked at next; `None` while nobody waits for that.
    next: Option<Instant>,
    /// With so many, those that are over are left out.
    most: usize,
}

#[derive(Debug)]
struct Entry {
    sent: Sent,
    /// Ends the HTTP/2 stream.
    stream: Option<AbortHandle>,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            bodies: Mutex::new(Bodies {
                list: Vec::new(),
                next: None,
                most: FEW,
            }),
            sooner: Notify::new(),
        }
    }
}

impl Watched {
    /// Watches `body`, if it is one that can stall; `stream` ends the HTTP/2 stream that it goes over.
    pub(super) fn add(&self, body: &Body, stream: Option<AbortHandle>) {
        let Some((sent, at)) = body.to_be_watched() else {
            return;
        };
        let mut bodies = self.bodies.lock();
        if bodies.list.len() >= bodies.most {
            bodies.list.retain(|entry| !entry.sent.is_gone());
            bodies.most = FEW.max(2 * bodies.list.len());
        }
        bodies.list.push(Entry { sent, stream });
        if bodies.next.is_none_or(|next| at < next) {
            bodies.next = Some(at);
            drop(bodies);
            self.sooner.notify_one();
        }
    }

    /// Breaks off what stalls. Resolves when something did that has no stream of its own: its connection is to be closed.
    pub(super) async fn stalled(&self) {
        loop {
            let (next, has_ended) = self.look();
            if has_ended {
                return;
            }
            match next {
                None => self.sooner.notified().await,
                Some(next) => tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.sooner.notified() => {}
                },
            }
        }
    }

    /// Breaks off what has stalled by now. Says when to look again, and whether the connection is to be closed.
    fn look(&self) -> (Option<Instant>, bool) {
        // Whoever comes meanwhile tells when.
        let mut list = {
            let mut bodies = self.bodies.lock();
            bodies.next = None;
            std::mem::take(&mut bodies.list)
        };
        let now = Instant::now();
        let (mut next, mut has_ended) = (None::<Instant>, false);
        list.retain(|Entry { sent, stream }| match sent.look(now) {
            Look::Gone => false,
            Look::Again(at) => {
                next = Some(next.map_or(at, |next| next.min(at)));
                true
            }
            Look::Stalled => {
                match stream {
                    Some(stream) => stream.abort(),
                    None => has_ended = true,
                }
                false
            }
        });
        let mut bodies = self.bodies.lock();
        list.append(&mut bodies.list);
        bodies.list = list;
        bodies.next = [bodies.next, next].into_iter().flatten().min();
        (bodies.next, has_ended)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bodies.lock().list.len()
    }
}

#[cfg(test)]
mod tests;
