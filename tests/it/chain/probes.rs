//! kube-apiserver's availability probes: five at once, the first answer counts, the others are cancelled (AVAIL-2).

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::authn_kit::World;
use crate::serve_kit::{eventually, get};

const GROUP: &str = "/apis/tags.tagscope.dev/v1alpha1";
const PROBE: [(&str, &str); 2] = [
    ("X-Remote-User", "system:kube-aggregator"),
    ("X-Remote-Group", "system:masters"),
];

/// Keeps what is logged at info or above on this thread.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Complaints {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().push(text.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_thousand_rounds_of_cancelled_probes_cost_neither_the_connection_nor_a_log_line() {
    let complaints = Complaints::default();
    let _logging = tracing::subscriber::set_default(complaints.clone());
    let world = World::new().await;
    let proxy = world.proxy();
    let mut client = world.client(Some(&proxy)).http2(world.server.address).await;
    for round in 0..1_000 {
        let probes: FuturesUnordered<_> = (0..5)
            .map(|_| {
                client
                    .sender
                    .send_request(get(&format!("https://a{GROUP}"), &PROBE))
            })
            .collect();
        let mut probes = std::pin::pin!(probes);
        let first = probes.next().await.unwrap();
        // The rest is cancelled here, and the body of the first is closed unread.
        let status = first
            .unwrap_or_else(|error| panic!("round {round}: {error:?}"))
            .status();
        assert_eq!(status, 200);
    }
    // Probes that are cancelled before there is any answer.
    for _ in 0..1_000 {
        let path = format!("https://a{GROUP}/slow");
        let probe = client.sender.send_request(get(&path, &PROBE));
        let mut probe = std::pin::pin!(probe);
        assert!(futures::poll!(probe.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(client.send(get(GROUP, &PROBE)).await.status, 200);
    assert_eq!(
        world.server.stats.accepted_connections(),
        1,
        "one connection carried all"
    );
    eventually("every request has been recorded", || {
        world.metrics.ended.lock().len() >= 5_000
    })
    .await;
    assert_eq!(*complaints.0.lock(), [""; 0]);
    assert_eq!(world.server.stats.panics(), 0);
}
