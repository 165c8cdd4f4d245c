//! Who learns what watches do: the metrics.

use std::time::Duration;

use crate::apiserver::kind::Kind;

/// How much a watch sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Breadth {
    /// One namespace.
    Namespace,
    /// All of them.
    Cluster,
}

/// Learns what watches send, and why they end before their time.
pub trait Observer: Send + Sync + 'static {
    /// An event of this many bytes was handed over; bookmarks and errors are events.
    fn sent(&self, kind: Kind, bytes: usize);
    /// The initial events and the bookmark at their end were handed over.
    fn listed(&self, kind: Kind, breadth: Breadth, time: Duration);
    /// The position that the client was at had left the history, or was none of ours: it was told so, and lists again.
    fn expired(&self, kind: Kind);
    /// A WebSocket was given up because its client took nothing for too long.
    fn stalled(&self, kind: Kind);
}

/// Observes nothing.
impl Observer for () {
    fn sent(&self, _kind: Kind, _bytes: usize) {}
    fn listed(&self, _kind: Kind, _breadth: Breadth, _time: Duration) {}
    fn expired(&self, _kind: Kind) {}
    fn stalled(&self, _kind: Kind) {}
}
