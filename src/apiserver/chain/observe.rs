//! What the chain tells of requests, to whoever counts: words of closed sets and numbers, nothing of a user's.

use std::time::Duration;

use super::labels::Labels;

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP code; `None` when the client went away before there was one.
    pub code: Option<u16>,
    /// From the head's arrival to the last byte.
    pub duration: Duration,
    /// Bytes of the body handed over.
    pub bytes: u64,
    /// Whether the body came to its end.
    pub complete: bool,
    /// Whether it was the server that broke the body off.
    pub aborted: bool,
}

/// What came of asking who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognition {
    /// A user, of this class: names are told nobody.
    User(&'static str),
    /// What was presented does not hold, or could not be checked.
    Error,
}

/// What came of asking whether somebody may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// They may.
    Allowed,
    /// They may not.
    Denied,
    /// Nobody could be asked.
    Error,
}

/// Learns what requests there are and how they go: the metrics.
pub trait Observer: Send + Sync + 'static {
    /// A request has arrived.
    fn started(&self, labels: Labels);
    /// It is over.
    fn finished(&self, labels: Labels, outcome: Outcome);
    /// A handler panicked, or what made the body of its answer.
    fn panicked(&self);
    /// A request was turned away (no room, shutting down) or took too long, and was answered with `code`.
    fn terminated(&self, _labels: Labels, _code: u16) {}
    /// It was found out who asks, after so long.
    fn recognised(&self, _recognition: Recognition, _took: Duration) {}
    /// The certificate by which somebody was recognised ends in so long; zero when it has ended.
    fn certificate_ends_in(&self, _left: Duration) {}
    /// It was found out whether they may, after so long.
    fn judged(&self, _verdict: Verdict, _took: Duration) {}
}

/// Observes nothing.
impl Observer for () {
    fn started(&self, _labels: Labels) {}
    fn finished(&self, _labels: Labels, _outcome: Outcome) {}
    fn panicked(&self) {}
}

/// The class of a user by its name, as kube-apiserver's metric has them.
pub(super) fn class_of(user: &str) -> &'static str {
    const KNOWN: [&str; 5] = [
        "admin",
        "client",
        "kube_proxy",
        "kubelet",
        "system:serviceaccount:kube-system:default",
    ];
    match KNOWN.into_iter().find(|known| *known == user) {
        Some(known) => known,
        None if user.contains('@') => "email_id",
        None => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_by_class() {
        for (user, class) in [
            ("admin", "admin"),
            ("jane@example.com", "email_id"),
            ("jane", "other"),
            ("system:kube-aggregator", "other"),
        ] {
            assert_eq!(class_of(user), class);
        }
    }
}
