//! How many requests of a class are under way at one host: found out, not configured (additive increase, multiplicative
//! decrease). Scans have places of their own (`budget`), so that copying never keeps them waiting.
//!
//! A window begins at [`FIRST`], grows by one for each window of successes, and halves when the host shows that it is too
//! much. Those who wait are let in in their order.
//!
//! A transfer holds a place for reading while it waits for one to write, so nobody who holds one to write may wait
//! for one to read: who reads on where a read broke off goes in at once ([`Windows::enter_at_once`]).

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Where a window begins.
const FIRST: usize = 8;
/// A window halves no more often than this.
const EPOCH: Duration = Duration::from_millis(100);
/// Windows remembered; one out of use is forgotten after a while.
const CAPACITY: u64 = 10_000;
const MEMORY: Duration = Duration::from_hours(1);

/// Classes do not hold each other up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// Manifests and lists, read.
    Read,
    /// Blobs, read: held for as long as the bytes flow.
    BlobRead,
    /// The beginning of an upload, a mount, a HEAD of a blob.
    UploadStart,
    /// The bytes of an upload.
    UploadData,
    /// Manifests, written.
    ManifestWrite,
}

/// The windows of all hosts.
#[derive(Debug)]
pub(super) struct Windows {
    known: Cache<(String, Class), Arc<Window>>,
    most: usize,
}

/// The window of one class at one host.
#[derive(Debug)]
struct Window {
    places: Arc<Semaphore>,
    most: usize,
    /// Held for the time of one calculation.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    size: usize,
    /// Since it grew or halved.
    successes: usize,
    /// So many places are taken away as soon as they are given back.
    debt: usize,
    halved: Option<Instant>,
}

/// The right to have one request under way. How it went is told by [`Permit::went_well`] or [`Permit::congested`]; dropped
/// without either, it says nothing.
#[derive(Debug)]
pub(super) struct Permit {
    window: Arc<Window>,
    /// None: it went in at once, beyond the window.
    place: Option<OwnedSemaphorePermit>,
    entered: Instant,
}

impl Windows {
    /// None is ever larger than `most`; that for reading blobs not than three eighths of it.
    pub(super) fn new(most: usize) -> Self {
        Self {
            known: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_idle(MEMORY)
                .build(),
            most: most.clamp(1, Semaphore::MAX_PERMITS >> 4),
        }
    }

    fn window(&self, host: &str, class: Class) -> Arc<Window> {
        let most = match class {
            Class::BlobRead => (self.most * 3 / 8).max(1),
            Class::Read | Class::UploadStart | Class::UploadData | Class::ManifestWrite => {
                self.most
            }
        };
        self.known.get_with((host.to_ascii_lowercase(), class), || {
            Arc::new(Window::new(most))
        })
    }

    /// Waits for a place.
    pub(super) async fn enter(self: &Arc<Self>, host: &str, class: Class) -> Permit {
        let window = self.window(host, class);
        // It is never closed.
        let place = Arc::clone(&window.places).acquire_owned().await.ok();
        Permit {
            window,
            place,
            entered: Instant::now(),
        }
    }

    /// Goes in at once, beyond the window if it is full.
    pub(super) fn enter_at_once(self: &Arc<Self>, host: &str, class: Class) -> Permit {
        let window = self.window(host, class);
        let place = Arc::clone(&window.places).try_acquire_owned().ok();
        Permit {
            window,
            place,
            entered: Instant::now(),
        }
    }
}

impl Window {
    fn new(most: usize) -> Self {
        let size = FIRST.min(most);
        Self {
            places: Arc::new(Semaphore::new(size)),
            most,
            state: Mutex::new(State {
                size,
                successes: 0,
                debt: 0,
                halved: None,
            }),
        }
    }
}

impl Permit {
    /// It was answered.
    pub(super) fn went_well(self) {
        let window = &self.window;
        let mut state = window.state.lock();
        state.successes += 1;
        if state.successes < state.size {
            return;
        }
        state.successes = 0;
        if state.size >= window.most {
            return;
        }
        state.size += 1;
        if state.debt > 0 {
            state.debt -= 1;
        } else {
            window.places.add_permits(1);
        }
    }

    /// 429, 503, a reset, a time-out: the window halves, once for all that were under way then.
    pub(super) fn congested(self) {
        let window = &self.window;
        let mut state = window.state.lock();
        let is_news = state
            .halved
            .is_none_or(|halved| self.entered > halved && halved.elapsed() >= EPOCH);
        if !is_news {
            return;
        }
        let size = (state.size / 2).max(1);
        let fewer = state.size - size;
        // Those that nobody holds go at once, the others when they are given back.
        let gone = window.places.forget_permits(fewer);
        state.debt += fewer - gone;
        state.size = size;
        state.successes = 0;
        state.halved = Some(Instant::now());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        let mut state = self.window.state.lock();
        if state.debt > 0 {
            state.debt -= 1;
            place.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(most: usize) -> Arc<Windows> {
        Arc::new(Windows::new(most))
    }

    /// How many go in at once.
    async fn room(windows: &Arc<Windows>, class: Class) -> usize {
        let mut held = Vec::new();
        while let Ok(permit) =
            tokio::time::timeout(Duration::from_millis(1), windows.enter("a.test", class)).await
        {
            held.push(permit);
        }
        held.len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_grows_by_one_for_each_window_of_successes_up_to_its_cap() {
        let windows = windows(10);
        let mut rooms = vec![];
        for successes in [0, 7, 1, 9, 100] {
            for _ in 0..successes {
                windows.enter("a.test", Class::Read).await.went_well();
            }
            rooms.push(room(&windows, Class::Read).await);
        }
        assert_eq!(rooms, [8, 8, 9, 10, 10]);
        assert_eq!(room(&windows, Class::BlobRead).await, 3, "of another class");
    }

    #[tokio::test(start_paused = true)]
    async fn it_halves_once_for_all_that_were_under_way_and_never_below_one() {
        let windows = windows(32);
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(windows.enter("A.test", Class::Read).await);
        }
        let waiting = windows.enter("a.test", Class::Read);
        tokio::time::advance(Duration::from_millis(150)).await;
        for permit in held {
            permit.congested();
        }
        waiting.await.went_well();
        assert_eq!(room(&windows, Class::Read).await, 4);
        for expected in [2, 1, 1] {
            tokio::time::advance(Duration::from_millis(150)).await;
            windows.enter("a.test", Class::Read).await.congested();
            // Within the same epoch.
            assert_eq!(room(&windows, Class::Read).await, 4.min(expected));
        }
        windows.enter("a.test", Class::Read).await.went_well();
        assert_eq!(room(&windows, Class::Read).await, 2, "and grows again");
    }

    #[tokio::test(start_paused = true)]
    async fn within_an_epoch_it_halves_once() {
        let windows = windows(32);
        for _ in 0..3 {
            let permit = windows.enter("a.test", Class::Read).await;
            tokio::time::advance(Duration::from_millis(10)).await;
            permit.congested();
        }
        assert_eq!(room(&windows, Class::Read).await, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_on_does_not_wait_and_leaves_no_place_behind() {
        let windows = windows(32);
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(windows.enter("a.test", Class::BlobRead).await);
        }
        let more = windows.enter_at_once("a.test", Class::BlobRead);
        drop(more);
        assert_eq!(room(&windows, Class::BlobRead).await, 0);
        held.clear();
        assert_eq!(room(&windows, Class::BlobRead).await, 8);
    }
}
