//! How many requests are under way (OPS-12). A place is held until the answer's body is sent, so that slow readers count.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Settings;

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Watch,
}

/// A place that a request holds.
pub(super) type Place = OwnedSemaphorePermit;

/// The places.
#[derive(Debug)]
pub(super) struct InFlight {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    watches: Arc<Semaphore>,
}

impl InFlight {
    pub(super) fn new(settings: &Settings) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            reads: places(settings.reads),
            writes: places(settings.writes),
            watches: places(settings.watches),
        }
    }

    /// A place, when there is one. Nobody queues: clients come back by themselves.
    pub(super) fn enter(&self, kind: Kind) -> Option<Place> {
        let places = match kind {
            Kind::Read => &self.reads,
            Kind::Write => &self.writes,
            Kind::Watch => &self.watches,
        };
        Arc::clone(places).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_places_and_they_come_back() {
        let inflight = InFlight::new(&Settings {
            reads: 1,
            writes: 1,
            watches: 2,
            ..Settings::default()
        });
        let read = inflight.enter(Kind::Read);
        assert!(read.is_some() && inflight.enter(Kind::Read).is_none());
        assert!(inflight.enter(Kind::Write).is_some());
        let watches = [inflight.enter(Kind::Watch), inflight.enter(Kind::Watch)];
        assert!(watches.iter().all(Option::is_some) && inflight.enter(Kind::Watch).is_none());
        drop(read);
        assert!(inflight.enter(Kind::Read).is_some());
    }
}
