//! One of several processes may write: the others read, and wait.

use futures::future::{BoxFuture, FutureExt as _};
use tagscope::registry::Mandate;
use tokio::sync::watch;

use super::*;
use crate::fake_registry::{Image, Nth};

#[derive(Debug)]
struct Told(watch::Receiver<bool>);

impl Mandate for Told {
    fn holds(&self) -> bool {
        *self.0.borrow()
    }

    fn returns(&self) -> BoxFuture<'_, ()> {
        let mut told = self.0.clone();
        async move { drop(told.wait_for(|may| *may).await) }.boxed()
    }
}

/// What came to the destination that is no question.
fn writes(world: &World) -> Vec<String> {
    let requests = world.destination.requests().into_iter();
    let writes = requests.filter(|request| !matches!(request.method, Method::GET | Method::HEAD));
    writes
        .map(|request| format!("{} {}", request.method, request.path))
        .collect()
}

/// Copies one image; `meanwhile` goes on beside it.
async fn copying(world: &World, may: &watch::Sender<bool>, meanwhile: impl Future<Output = ()>) {
    world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[300, 700]));
    let job = world.job("team/app", Wanted::Tags(["1.0".parse().unwrap()].into()));
    let settings = Settings {
        concurrency: NonZeroUsize::new(16).unwrap(),
        bandwidth: None,
        is_dry_run: false,
        clock: Arc::clone(&world.clock),
        mandate: Some(Arc::new(Told(may.subscribe()))),
        cancel: world.cancel.clone(),
    };
    let client = client();
    let run = copy::run(&client, vec![job], &world.known, &settings, &Quiet);
    let both = async { tokio::join!(run, meanwhile).0 };
    let done = tokio::time::timeout(Duration::from_mins(1), both)
        .await
        .expect("a run ends");
    assert_all(&done, &Outcome::Copied);
    world.destination.check_whole("team/app");
}

/// Until the destination was asked for something, and a while longer.
async fn asked(world: &World) {
    while world.destination.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn nothing_is_written_before_it_may_be() {
    let world = World::new().await;
    let may = watch::Sender::new(false);
    copying(&world, &may, async {
        asked(&world).await;
        assert_eq!(writes(&world), [""; 0]);
        may.send_replace(true);
    })
    .await;
}

#[tokio::test]
async fn nothing_more_is_written_after_it_might_be() {
    let world = World::new().await;
    let may = watch::Sender::new(true);
    // The answer to what begins an upload comes late.
    let late = crate::fake_registry::Fault::Slow(Duration::from_millis(400));
    world.destination.on(Method::POST, "", Nth::Every, late);
    copying(&world, &may, async {
        asked(&world).await;
        may.send_replace(false);
        let begun = writes(&world);
        assert!(!begun.is_empty(), "nothing was written at all");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(writes(&world), begun);
        may.send_replace(true);
    })
    .await;
}
