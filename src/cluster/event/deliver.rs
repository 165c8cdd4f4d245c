//! Takes news out of a queue and tells it, a few at a time, and of each object one after the other.

use std::collections::HashSet;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::queue::Receiver;
use super::{Fate, News, Observer, Sink};

/// Somewhere to tell news to.
pub(super) trait Teller {
    /// What it has to be told of its own work.
    type Told: Send;

    const SINK: Sink;

    /// How many may be under way.
    const AT_ONCE: usize;

    /// The work of telling `news`; `None` when there is nothing to say.
    fn tell(&mut self, news: Arc<News>) -> Option<BoxFuture<'static, Self::Told>>;

    /// That work has ended.
    fn told(&mut self, news: &News, told: Self::Told) -> Fate;
}

/// Runs until the queue is closed, empty, and all was told.
pub(super) async fn deliver<T: Teller>(
    teller: &mut T,
    queue: &mut Receiver<Arc<News>>,
    observer: &dyn Observer,
) {
    let mut under_way = FuturesUnordered::new();
    let mut busy = HashSet::new();
    let mut is_open = true;
    while is_open || !under_way.is_empty() {
        let next = queue.next(|news| !busy.contains(&news.subject()));
        tokio::select! {
            biased;
            Some((news, told)) = under_way.next() => {
                let news: Arc<News> = news;
                busy.remove(&news.subject());
                observer.observe(T::SINK, teller.told(&news, told));
            }
            next = next, if is_open && under_way.len() < T::AT_ONCE => {
                let Some(news) = next else {
                    is_open = false;
                    continue;
                };
                let Some(telling) = teller.tell(news.clone()) else {
                    observer.observe(T::SINK, Fate::Suppressed);
                    continue;
                };
                busy.insert(news.subject());
                under_way.push(async move { (news, telling.await) });
            }
        }
    }
}
