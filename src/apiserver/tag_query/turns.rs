//! Who keeps a processor busy next: a few queries at a time, one of each user, and one after the other of those who wait.
//!
//! However many queries one user sends, another user's waits for one of theirs at most, and not for all. The same holds of
//! the places for large bodies.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::apiserver::request_info::User;
use crate::apiserver::status::Status;

/// How many queries compute at a time.
pub(super) const AT_ONCE: usize = 2;
/// How many queries of one user are under way, that which computes among them: further ones are refused.
pub(super) const OF_ONE_USER: usize = 32;
/// How many large bodies are held at a time, and how many of them of one user.
const LARGE_BODIES: usize = 16;
const LARGE_OF_ONE_USER: usize = 4;
/// How soon a refused client may come again, in seconds.
const AGAIN: u32 = 1;

/// The turns of all users. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    large: Arc<Semaphore>,
    users: Arc<Mutex<HashMap<String, Line>>>,
}

/// The queries of one user.
#[derive(Debug)]
struct Line {
    /// One computes, the others wait.
    first: Arc<Semaphore>,
    /// A few have large bodies.
    large: Arc<Semaphore>,
    /// How many there are.
    length: usize,
}

/// A place in the line of one's user; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    turns: Turns,
    user: String,
    first: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// The permission to keep a processor busy, or to hold a large body, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(AT_ONCE)),
            large: Arc::new(Semaphore::new(LARGE_BODIES)),
            users: Arc::default(),
        }
    }

    /// A place for a query of `user`, where not too many are under way.
    pub(super) fn place(&self, user: &User) -> Result<Place, Status> {
        let mut users = self.users.lock();
        let line = users.entry(user.name.clone()).or_insert_with(|| Line {
            first: Arc::new(Semaphore::new(1)),
            large: Arc::new(Semaphore::new(LARGE_OF_ONE_USER)),
            length: 0,
        });
        if line.length >= OF_ONE_USER {
            return Err(Status::too_many_requests(AGAIN));
        }
        line.length += 1;
        Ok(Place {
            turns: self.clone(),
            user: user.name.clone(),
            first: line.first.clone(),
            large: line.large.clone(),
        })
    }
}

impl Place {
    /// Waits until no other query of its user computes, and then for a turn among those of all users.
    pub(super) async fn turn(&self) -> Result<Turn, Status> {
        // Behind it stands at most one query of each user.
        both(&self.first, &self.turns.all).await
    }

    /// Waits for the place of a large body, of which one user has few.
    pub(super) async fn large(&self) -> Result<Turn, Status> {
        both(&self.large, &self.turns.large).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = self.turns.users.lock();
        if let Some(line) = users.get_mut(&self.user) {
            line.length = line.length.saturating_sub(1);
            if line.length == 0 {
                users.remove(&self.user);
            }
        }
    }
}

async fn both(own: &Arc<Semaphore>, all: &Arc<Semaphore>) -> Result<Turn, Status> {
    let closed = |_| Status::unavailable("the server is shutting down", 1);
    let own = own.clone().acquire_owned().await.map_err(closed)?;
    let all = all.clone().acquire_owned().await.map_err(closed)?;
    Ok(Turn {
        _all: all,
        _own: own,
    })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn user(name: &str) -> User {
        User {
            name: name.to_owned(),
            ..User::default()
        }
    }

    #[tokio::test]
    async fn another_user_is_next_however_many_queries_one_has() {
        let turns = Turns::new();
        let (jane, joe, jim) = (user("jane"), user("joe"), user("jim"));
        let flood: Vec<Place> = (0..OF_ONE_USER)
            .map(|_| turns.place(&jane).unwrap())
            .collect();
        let computes = flood[0].turn().await.unwrap();
        let mut waits: Vec<_> = flood[1..]
            .iter()
            .map(|place| Box::pin(place.turn()))
            .collect();
        for wait in &mut waits {
            assert!(wait.now_or_never().is_none(), "one of each user");
        }
        // There is room for one more, of somebody else.
        let other = turns.place(&joe).unwrap();
        let theirs = other.turn().now_or_never().expect("at once").unwrap();
        let last = turns.place(&jim).unwrap();
        let mut third = Box::pin(last.turn());
        assert!((&mut third).now_or_never().is_none(), "two are all");
        // Jane's next stands behind jim, who was there first.
        drop(computes);
        assert!((&mut waits[0]).now_or_never().is_none());
        let third = (&mut third).now_or_never().expect("jim's turn").unwrap();
        drop(theirs);
        let next = (&mut waits[0])
            .now_or_never()
            .expect("and then jane's")
            .unwrap();
        assert!((&mut waits[1]).now_or_never().is_none());
        drop((next, third));
    }

    #[tokio::test]
    async fn one_users_large_bodies_leave_room_for_those_of_others() {
        let turns = Turns::new();
        let place = turns.place(&user("jane")).unwrap();
        let held: Vec<Turn> = (0..LARGE_OF_ONE_USER)
            .map(|_| place.large().now_or_never().expect("room").unwrap())
            .collect();
        assert!(place.large().now_or_never().is_none());
        let other = turns.place(&user("joe")).unwrap();
        assert!(other.large().now_or_never().is_some());
        drop(held);
        assert!(place.large().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_refused_and_forgotten_when_it_is_gone() {
        let turns = Turns::new();
        let jane = user("jane");
        let mut flood: Vec<Place> = (0..OF_ONE_USER)
            .map(|_| turns.place(&jane).unwrap())
            .collect();
        let refused = turns.place(&jane).unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (429, Some(1)));
        assert!(turns.place(&user("joe")).is_ok());
        flood.pop();
        flood.push(turns.place(&jane).unwrap());
        // Whoever gives up waiting leaves nothing behind.
        let turn = flood[0].turn().await.unwrap();
        assert!(flood[1].turn().now_or_never().is_none());
        drop(turn);
        drop(flood[2].turn().await.unwrap());
        drop(flood);
        assert!(turns.users.lock().is_empty());
        assert_eq!(turns.all.available_permits(), AT_ONCE);
    }
}
