//! Bodies that nobody takes, watched by paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::Abortable;
use futures::{Stream, stream};
use http_body_util::BodyExt as _;

use super::super::body::{BoxError, Guard};
use std::time::Duration;

use super::*;
use crate::task::Group;

const LIMIT: Duration = Duration::from_mins(1);

/// Held by a body: how often it was broken off, and whether it is held still.
#[derive(Clone, Default)]
struct Tally {
    broken_off: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    held: Arc<()>,
}

impl Guard for Tally {
    fn wrote(&mut self, _: usize) {}
    fn ended(&mut self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
    fn broken_off(&mut self) {
        self.broken_off.fetch_add(1, Ordering::SeqCst);
    }
}

/// A connection without streams of its own; its watch runs in `group` and ends when something has stalled.
fn watched(group: &mut Group) -> Arc<Watched> {
    let watched = Arc::new(Watched::default());
    group.spawn("watch", {
        let watched = Arc::clone(&watched);
        async move { watched.stalled().await }
    });
    watched
}

fn endless() -> impl Stream<Item = Result<Bytes, BoxError>> {
    stream::repeat_with(|| Ok(Bytes::from("abc")))
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_takes_lets_go_of_what_it_holds() {
    for taken in [0, 1] {
        let (mut group, tally) = (Group::new(), Tally::default());
        let watched = watched(&mut group);
        let held = Arc::clone(&tally.held);
        let stream = stream::repeat_with(move || {
            assert!(Arc::strong_count(&held) > 1);
            Ok::<_, BoxError>(Bytes::from("abc"))
        });
        let mut body = Body::stream(stream)
            .guarded(tally.clone())
            .broken_off_after(LIMIT);
        watched.add(&body, None);
        for _ in 0..taken {
            body.frame().await.unwrap().unwrap();
        }
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(Arc::strong_count(&tally.held), 3);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(Arc::strong_count(&tally.held), 1, "without a poll");
        assert_eq!(tally.broken_off.load(Ordering::SeqCst), 1);
        assert_eq!(tally.ended.load(Ordering::SeqCst), 0);
        assert!(!hyper::body::Body::is_end_stream(&body));
        assert!(body.frame().await.unwrap().is_err());
        assert!(
            group.next_end().await.is_some(),
            "the connection hears of it"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_stalls_ends_its_own_stream_and_no_other() {
    let mut group = Group::new();
    let watched = watched(&mut group);
    let (stalls, stalls_too) = (AbortHandle::new_pair(), AbortHandle::new_pair());
    let bodies: Vec<_> = [stalls.0.clone(), stalls_too.0.clone()]
        .into_iter()
        .map(|stream| {
            let body = Body::stream(endless()).broken_off_after(LIMIT);
            watched.add(&body, Some(stream));
            body
        })
        .collect();
    let (handle, taken) = AbortHandle::new_pair();
    let mut body = Body::stream(endless()).broken_off_after(LIMIT);
    watched.add(&body, Some(handle.clone()));
    for _ in 0..10 {
        tokio::time::sleep(LIMIT / 2).await;
        body.frame().await.unwrap().unwrap();
    }
    for (handle, stream) in [stalls, stalls_too] {
        let ended = Abortable::new(std::future::pending::<()>(), stream).await;
        assert!(handle.is_aborted() && ended.is_err());
    }
    assert!(!handle.is_aborted() && !taken.handle().is_aborted());
    assert_eq!(watched.len(), 1);
    assert_eq!(group.len(), 1, "the connection goes on");
    drop(bodies);
}

#[tokio::test(start_paused = true)]
async fn neither_a_slow_client_nor_a_quiet_stream_is_a_stalled_one() {
    let mut group = Group::new();
    let watched = watched(&mut group);
    let (sender, chunks) = futures::channel::mpsc::unbounded::<Result<Bytes, BoxError>>();
    let mut body = Body::stream(chunks).broken_off_after(LIMIT);
    watched.add(&body, None);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(59)).await;
        sender.unbounded_send(Ok(Bytes::from("slowly"))).unwrap();
        body.frame().await.unwrap().unwrap();
    }
    let late = async {
        tokio::time::sleep(60 * LIMIT).await;
        sender.unbounded_send(Ok(Bytes::from("at last"))).unwrap();
    };
    assert!(tokio::join!(body.frame(), late).0.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_with_less_patience_is_looked_at_in_time() {
    let mut group = Group::new();
    let watched = watched(&mut group);
    let patient = Body::stream(endless()).broken_off_after(100 * LIMIT);
    watched.add(&patient, None);
    tokio::time::sleep(LIMIT).await;
    let hasty = Body::stream(endless()).broken_off_after(LIMIT);
    watched.add(&hasty, None);
    let begun = Instant::now();
    group.next_end().await.unwrap();
    assert!(begun.elapsed() >= LIMIT && begun.elapsed() < 2 * LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_taken_slowly_is_broken_off_in_the_end() {
    let mut group = Group::new();
    let watched = watched(&mut group);
    let mut body = Body::stream(endless())
        .lasting_at_most(LIMIT * 10)
        .broken_off_after(LIMIT);
    watched.add(&body, None);
    let begun = Instant::now();
    while body.frame().await.unwrap().is_ok() {
        tokio::time::sleep(LIMIT / 2).await;
    }
    assert!(begun.elapsed() >= LIMIT * 10 && begun.elapsed() < LIMIT * 11);
}

#[test]
fn bodies_that_are_over_are_not_kept() {
    let watched = Watched::default();
    let kept: Vec<_> = (0..10_000)
        .filter_map(|n| {
            let body = Body::stream(endless()).broken_off_after(LIMIT);
            watched.add(&body, None);
            (n % 100 == 0).then_some(body)
        })
        .collect();
    assert!(watched.len() <= 2 * kept.len() + FEW, "{}", watched.len());
    for whole in [Body::empty(), Body::full("abc")] {
        let before = watched.len();
        watched.add(&whole.broken_off_after(LIMIT), None);
        assert_eq!(watched.len(), before);
    }
}
