//! Events to `--events-addr`: a real listener that answers as it is told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use parking_lot::Mutex;
use serde_json::Value;
use tagscope::clock::HandClock;
use tagscope::cluster::event::{
    self, About, Fate, Observer, Patience, Report, Settings, Severity, Sink,
};
use tagscope::task::{Outcome, Tasks};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// What the listener does with one request.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Answers(u16),
    /// Answers nothing for longer than anybody waits.
    IsSilent,
    /// Redirects to itself.
    Redirects,
    /// Answers with a body without end.
    NeverEnds,
}

/// A receiver of events. It answers as it was told, the last way for ever.
struct Receiver {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<(Method, Value)>>>,
    tasks: Tasks,
}

impl Receiver {
    async fn start(behaviours: &[Behaviour]) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tasks = Tasks::new();
        let (log, behaviours) = (heard.clone(), behaviours.to_vec());
        tasks.spawn("receiver", async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let (log, behaviours) = (log.clone(), behaviours.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        answer(address, log.clone(), behaviours.clone(), request)
                    });
                    let serving = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    // A client that goes away is in order.
                    drop(serving.await);
                });
            }
        });
        Self {
            address,
            heard,
            tasks,
        }
    }

    fn heard(&self) -> Vec<Value> {
        let heard = self.heard.lock();
        heard
            .iter()
            .map(|(method, event)| {
                assert_eq!(method, Method::POST);
                event.clone()
            })
            .collect()
    }
}

async fn answer(
    address: SocketAddr,
    log: Arc<Mutex<Vec<(Method, Value)>>>,
    behaviours: Vec<Behaviour>,
    request: Request<Incoming>,
) -> Result<Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return std::future::pending().await;
    };
    let event = serde_json::from_slice(&body.to_bytes()).unwrap();
    let nth = {
        let mut log = log.lock();
        log.push((parts.method, event));
        log.len() - 1
    };
    let behaviour = behaviours.get(nth).or_else(|| behaviours.last()).unwrap();
    let mut response = Response::new(Full::new(Bytes::new()).boxed_unsync());
    match behaviour {
        Behaviour::Answers(code) => *response.status_mut() = StatusCode::from_u16(*code).unwrap(),
        Behaviour::IsSilent => std::future::pending().await,
        Behaviour::Redirects => {
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            let location = format!("http://{address}/again").parse().unwrap();
            response.headers_mut().insert("location", location);
        }
        Behaviour::NeverEnds => {
            let chunks = futures::stream::repeat_with(|| {
                Ok::<_, Infallible>(hyper::body::Frame::data(Bytes::from_static(&[b'x'; 8192])))
            });
            *response.body_mut() = http_body_util::StreamBody::new(chunks).boxed_unsync();
        }
    }
    Ok(response)
}

/// Counts what became of what was posted.
#[derive(Debug, Default)]
struct Fates(Mutex<Vec<Fate>>);

impl Observer for Fates {
    fn observe(&self, sink: Sink, fate: Fate) {
        if sink == Sink::Webhook {
            self.0.lock().push(fate);
        }
    }
}

fn report(name: &str) -> Report {
    Report {
        about: About {
            object: ObjectReference {
                api_version: Some("image.toolkit.fluxcd.io/v1".into()),
                kind: Some("ImagePolicy".into()),
                namespace: Some("apps".into()),
                name: Some(name.into()),
                ..ObjectReference::default()
            },
            metadata: BTreeMap::from([("event.toolkit.fluxcd.io/team".into(), "a".into())]),
        },
        severity: Severity::Normal,
        reason: "Succeeded".into(),
        message: "Latest image tag for o/app resolved to 1.0.0".into(),
    }
}

/// A cluster that takes no Event, so that it is seen that nobody waits for it.
fn no_cluster() -> kube::Client {
    let service = tower::service_fn(|_: Request<kube::client::Body>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    kube::Client::new(service, "default")
}

/// Posts these reports to `address`, and answers what became of them.
async fn post(address: &str, names: &[&str]) -> Vec<Fate> {
    let fates = Arc::new(Fates::default());
    let settings = Settings {
        component: "image-reflector-controller".into(),
        address: Some(address.parse().unwrap()),
        patience: Patience {
            attempt: Duration::from_millis(300),
            wait: Duration::from_millis(20),
            retries: 4,
        },
        clock: Arc::new(HandClock::at(Timestamp::UNIX_EPOCH)),
        observer: fates.clone(),
    };
    let (events, recorder) = event::recorder(no_cluster(), settings);
    let tasks = Tasks::new();
    let until = tasks.shutdown().clone();
    tasks.spawn(
        "events",
        recorder.run(async move { until.cancelled().await }, Duration::ZERO),
    );
    for name in names {
        events.publish(report(name));
    }
    let waiting = async {
        while fates.0.lock().len() < names.len() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .expect("every event to end somehow");
    tasks.shutdown().cancel();
    assert_eq!(tasks.next_end().await.unwrap().outcome, Outcome::Returned);
    let fates = fates.0.lock();
    fates.clone()
}

#[tokio::test]
async fn an_event_is_posted_in_fluxs_words() {
    let receiver = Receiver::start(&[Behaviour::Answers(202)]).await;
    let fates = post(&format!("http://{}/", receiver.address), &["app"]).await;
    assert_eq!(fates, [Fate::Told]);
    let [event] = &receiver.heard()[..] else {
        panic!("{:?}", receiver.heard())
    };
    assert_eq!(event["involvedObject"]["kind"], "ImagePolicy");
    assert_eq!(event["severity"], "info");
    assert_eq!(event["metadata"]["event.toolkit.fluxcd.io/team"], "a");
    assert_eq!(event["reportingController"], "image-reflector-controller");
    assert!(!event["reportingInstance"].as_str().unwrap().is_empty());
    assert_eq!(event["timestamp"], "1970-01-01T00:00:00Z");
    drop(receiver.tasks);
}

#[tokio::test]
async fn what_is_worth_another_try_gets_one_and_the_rest_does_not() {
    use Behaviour::{Answers, IsSilent, NeverEnds, Redirects};
    let rows: [(&str, &[Behaviour], Fate, usize); 9] = [
        ("heard before", &[Answers(429)], Fate::Told, 1),
        (
            "in trouble, and then not",
            &[Answers(500), Answers(200)],
            Fate::Told,
            2,
        ),
        ("in trouble for good", &[Answers(503)], Fate::Failed, 5),
        (
            "in trouble, and heard",
            &[Answers(500), Answers(429)],
            Fate::Told,
            2,
        ),
        ("not understood", &[Answers(400)], Fate::Failed, 1),
        ("not there", &[Answers(404)], Fate::Failed, 1),
        (
            "slow, and then not",
            &[IsSilent, Answers(200)],
            Fate::Told,
            2,
        ),
        ("elsewhere", &[Redirects], Fate::Failed, 1),
        ("a body without end", &[NeverEnds], Fate::Told, 1),
    ];
    for (name, behaviours, fate, requests) in rows {
        let receiver = Receiver::start(behaviours).await;
        let fates = post(&format!("http://{}/", receiver.address), &["app"]).await;
        assert_eq!(fates, [fate], "{name}");
        assert_eq!(receiver.heard().len(), requests, "{name}");
    }
}

#[tokio::test]
async fn nobody_there_is_tried_again_and_then_given_up() {
    let nobody = {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    let begin = Instant::now();
    let fates = post(&format!("http://{nobody}/"), &["app"]).await;
    assert_eq!(fates, [Fate::Failed]);
    // 20, 40, 80 and 160 ms.
    assert!(
        begin.elapsed() >= Duration::from_millis(300),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_receiver_that_is_silent_for_one_object_is_heard_for_others() {
    let receiver = Receiver::start(&[Behaviour::IsSilent, Behaviour::Answers(200)]).await;
    let fates = post(&format!("http://{}/", receiver.address), &["a", "b", "c"]).await;
    assert_eq!(fates, [Fate::Told; 3]);
    assert_eq!(receiver.heard().len(), 4, "one of them twice");
}
