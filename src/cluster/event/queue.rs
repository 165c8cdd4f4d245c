//! A queue that never makes anybody wait to put something in: when it is full, what is oldest goes.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A queue's two ends. It closes when the sender is gone.
pub(super) fn queue<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: VecDeque::new(),
            is_dropping: false,
            is_closed: false,
        }),
        capacity: capacity.max(1),
        heard: Notify::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

#[derive(Debug)]
pub(super) struct Sender<T>(Arc<Shared<T>>);

#[derive(Debug)]
pub(super) struct Receiver<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    /// Protects what waits, for the time of one push or one look.
    state: Mutex<State<T>>,
    capacity: usize,
    heard: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    /// From the first one dropped until the queue is half empty again.
    is_dropping: bool,
    is_closed: bool,
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pushed {
    /// The oldest had to go.
    pub(super) dropped: bool,
    /// And it is the first of its series.
    pub(super) begins_to_drop: bool,
}

impl<T> Sender<T> {
    pub(super) fn push(&self, item: T) -> Pushed {
        let Shared {
            state,
            capacity,
            heard,
        } = &*self.0;
        let mut state = state.lock();
        let dropped = state.waiting.len() >= *capacity;
        if dropped {
            state.waiting.pop_front();
        }
        let begins_to_drop = dropped && !state.is_dropping;
        state.is_dropping |= dropped;
        state.waiting.push_back(item);
        drop(state);
        heard.notify_one();
        Pushed {
            dropped,
            begins_to_drop,
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state.lock().is_closed = true;
        self.0.heard.notify_one();
    }
}

impl<T> Receiver<T> {
    /// The oldest of those that are `free` now, as soon as there is one; `None` when the queue is closed and empty.
    pub(super) async fn next(&mut self, free: impl Fn(&T) -> bool) -> Option<T> {
        let Shared {
            state,
            capacity,
            heard,
        } = &*self.0;
        loop {
            {
                let mut state = state.lock();
                if state.waiting.is_empty() && state.is_closed {
                    return None;
                }
                let first = state.waiting.iter().position(&free);
                if let Some(item) = first.and_then(|at| state.waiting.remove(at)) {
                    if state.waiting.len() <= capacity / 2 {
                        state.is_dropping = false;
                    }
                    return Some(item);
                }
            }
            heard.notified().await;
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.state.lock().waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_drops_what_is_oldest_and_says_once_that_it_does() {
        let (sender, mut receiver) = queue(4);
        let told: Vec<Pushed> = (0..6).map(|item| sender.push(item)).collect();
        let said = |pushed: &Pushed| (pushed.dropped, pushed.begins_to_drop);
        assert_eq!(
            told.iter().map(said).collect::<Vec<_>>(),
            [
                (false, false),
                (false, false),
                (false, false),
                (false, false),
                (true, true),
                (true, false)
            ]
        );
        assert_eq!(receiver.len(), 4);
        for expected in [2, 3] {
            assert_eq!(receiver.next(|_| true).await, Some(expected));
        }
        // Half empty: the next time is another series.
        assert!(!sender.push(6).dropped && !sender.push(7).dropped);
        assert!(sender.push(8).begins_to_drop);
    }

    #[tokio::test]
    async fn what_is_not_free_waits_and_holds_up_nothing_else() {
        let (sender, mut receiver) = queue(8);
        for item in ["a1", "a2", "b1"] {
            sender.push(item);
        }
        let not_a = |item: &&str| !item.starts_with('a');
        assert_eq!(receiver.next(not_a).await, Some("b1"));
        assert_eq!(receiver.next(not_a).now_or_never(), None);
        assert_eq!(receiver.next(|_| true).await, Some("a1"));
    }

    #[tokio::test]
    async fn a_closed_queue_ends_when_it_is_empty() {
        let (sender, mut receiver) = queue(8);
        sender.push(1);
        drop(sender);
        assert_eq!(receiver.next(|_| true).await, Some(1));
        assert_eq!(receiver.next(|_| true).await, None);
    }
}
