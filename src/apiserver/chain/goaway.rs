//! Ends HTTP/2 connections now and then, so that clients that keep one for days spread over all servers (OPS-24).

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, Request};

use super::inflight::Kind;
use crate::serve::Peer;

/// A die that says goodbye by chance.
#[derive(Debug)]
pub(super) struct Goaway {
    /// Of 2^64 throws, so many say goodbye.
    below: u64,
    thrown: AtomicU64,
    random: RandomState,
}

impl Goaway {
    /// `chance` is between 0 and 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a chance is no exact number, and the cast saturates"
    )]
    pub(super) fn new(chance: f64) -> Self {
        Self {
            below: (chance * u64::MAX as f64) as u64,
            thrown: AtomicU64::new(0),
            random: RandomState::new(),
        }
    }

    /// Ends the connection in order, perhaps: neither for a watch, nor for a POST, whose body would cross the goodbye.
    pub(super) fn consider<B>(&self, request: &Request<B>, kind: Kind, peer: &Peer) {
        let may_end = self.below > 0
            && peer.is_http2()
            && kind != Kind::Watch
            && *request.method() != Method::POST;
        if may_end && self.throw() {
            peer.close_gracefully();
        }
    }

    fn throw(&self) -> bool {
        let thrown = self.thrown.fetch_add(1, Ordering::Relaxed);
        self.random.hash_one(thrown) < self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_what_it_says() {
        let goodbyes = |chance| {
            let goaway = Goaway::new(chance);
            (0..100_000).filter(|_| goaway.throw()).count()
        };
        assert_eq!(goodbyes(0.0), 0);
        assert_eq!(goodbyes(1.0), 100_000);
        // 2,000 are expected, with a deviation of 44.
        assert!((1_600..2_400).contains(&goodbyes(0.02)));
    }
}
