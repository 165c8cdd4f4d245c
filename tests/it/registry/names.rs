//! Names that lead inside: a registry may send nobody to one, however harmless it reads, whatever it resolves to. The
//! resolver is this test's, everything else is as it is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tagscope::registry::{Names, SystemNames};

use super::proxies::{NAME, insecure, proxied, through};
use super::*;
use crate::fake_proxy::Mood;
use crate::fake_registry::Fault;

/// Names and their addresses. What is not in it only the system knows.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<(&'static str, Vec<IpAddr>)>,
    asked: Mutex<Vec<String>>,
}

impl Table {
    fn of(rows: &[(&'static str, &[&str])]) -> Arc<Self> {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let rows = rows.iter().map(|(name, texts)| (*name, addresses(texts)));
        Arc::new(Self {
            rows: rows.collect(),
            asked: Mutex::default(),
        })
    }

    /// A client that asks this table, and what it has asked so far.
    fn client(self: &Arc<Self>) -> Client {
        Client::new(Settings {
            names: self.clone(),
            ..settings()
        })
    }
}

impl Names for Table {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        self.asked.lock().push(name.to_owned());
        match self.rows.iter().find(|(known, _)| *known == name) {
            Some((_, addresses)) => {
                let addresses = addresses.iter().map(|ip| SocketAddr::new(*ip, 0));
                let found: Vec<SocketAddr> = addresses.collect();
                Box::pin(async { Ok(found) })
            }
            None => SystemNames.lookup(name),
        }
    }
}

const NEARER: &str = "nearer to this network than";

#[tokio::test]
async fn a_name_that_means_the_metadata_service_is_not_asked_for_a_token() {
    let names = Table::of(&[
        ("auth.shop.example", &["169.254.169.254"]),
        ("six.shop.example", &["fe80::a9fe:a9fe", "169.254.170.2"]),
    ]);
    let registry = with_tags(&["1"]).await;
    for name in ["auth.shop.example", "six.shop.example"] {
        for target in [name.to_owned(), format!("{name}:8080")] {
            let challenge = format!("Bearer realm=\"http://{target}/token\"");
            registry.fail_next(Fault::Challenge(Some(challenge)));
            let image = registry.image("team/app");
            let error = list(&names.client(), &image, &Access::default()).await;
            let error = error.unwrap_err();
            assert_eq!(error.kind(), Kind::Unsafe, "{target}: {error}");
            assert!(error.to_string().contains(NEARER), "{target}: {error}");
            assert!(error.to_string().contains(&target), "{target}: {error}");
        }
    }
    assert_eq!(names.asked.lock().len(), 4, "each was looked up, once");
}

#[tokio::test]
async fn nor_is_a_redirect_followed_to_one() {
    let names = Table::of(&[
        ("cdn.shop.example", &["169.254.169.254"]),
        ("mixed.shop.example", &["169.254.169.254", "127.0.0.1"]),
    ]);
    let registry = with_tags(&["1"]).await;
    let image = registry.image("team/app");
    let elsewhere = with_tags(&["2"]).await;
    let target = "http://cdn.shop.example/v2/team/app/tags/list";
    registry.fail_next(Fault::Redirect(target.to_owned()));
    let error = list(&names.client(), &image, &Access::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsafe, "{error}");
    assert!(error.to_string().contains(NEARER), "{error}");
    // Of several addresses the others are good, when they are no nearer than the registry.
    let port = elsewhere.plain_host();
    let (_, port) = port.rsplit_once(':').unwrap();
    let target = format!("http://mixed.shop.example:{port}/v2/team/app/tags/list");
    registry.fail_next(Fault::Redirect(target));
    let found = list(&names.client(), &image, &Access::default()).await;
    assert_eq!(texts(&found.unwrap()), ["2"]);
}

#[tokio::test]
async fn a_public_registry_behind_a_proxy_may_not_name_what_is_private_here() {
    let names = Table::of(&[
        (NAME, &["192.0.2.7"]),
        ("lo.shop.example", &["127.0.0.1"]),
        ("ten.shop.example", &["10.0.0.1"]),
        ("both.shop.example", &["192.0.2.8", "10.0.0.1"]),
        ("six.shop.example", &["::1"]),
        ("mapped.shop.example", &["::ffff:169.254.169.254"]),
    ]);
    let (registry, proxy) = proxied(Mood::Open).await;
    let image = format!("{NAME}/team/app");
    let access = through(&proxy, None, insecure(Access::default()));
    for (target, _) in names.rows.iter().skip(1) {
        let realm = format!("Bearer realm=\"http://{target}/token\"");
        registry.fail_next(Fault::Challenge(Some(realm)));
        let error = list(&names.client(), &image, &access).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsafe, "{target}: {error}");
        assert!(error.to_string().contains(NEARER), "{target}: {error}");
        registry.fail_next(Fault::Redirect(format!("http://{target}/v2/")));
        let error = list(&names.client(), &image, &access).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsafe, "{target}: {error}");
        assert!(error.to_string().contains(NEARER), "{target}: {error}");
        assert!(!proxy.asked().iter().any(|line| line.contains(target)));
    }
    list(&names.client(), &image, &access).await.unwrap();
}

/// One name, which means something else each time, and at last what it meant before.
#[derive(Debug)]
struct Rebound {
    turns: Mutex<std::collections::VecDeque<IpAddr>>,
    lookups: Mutex<usize>,
}

impl Names for Rebound {
    fn lookup(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        *self.lookups.lock() += 1;
        let mut turns = self.turns.lock();
        let turn = turns[0];
        if turns.len() > 1 {
            turns.pop_front();
        }
        Box::pin(async move { Ok(vec![SocketAddr::new(turn, 0)]) })
    }
}

#[tokio::test]
async fn fault_37_a_name_that_means_something_inside_the_second_time_is_refused_then() {
    const INSIDE: &str = "169.254.169.254";
    const HERE: &str = "127.0.0.1";
    let registry = with_tags(&["1"]).await;
    let image = registry.image("team/app");
    for (turns, expected) in [
        (&[HERE, INSIDE][..], [true, false, false]),
        (&[INSIDE, HERE], [false, true, true]),
        (&[HERE, INSIDE, HERE], [true, false, true]),
    ] {
        let names = Arc::new(Rebound {
            turns: Mutex::new(turns.iter().map(|ip| ip.parse().unwrap()).collect()),
            lookups: Mutex::default(),
        });
        let client = Client::new(Settings {
            names: Arc::<Rebound>::clone(&names),
            ..settings()
        });
        for is_followed in expected {
            // Each a connection of its own.
            let elsewhere = with_tags(&["2"]).await;
            let host = elsewhere.plain_host();
            let (_, port) = host.rsplit_once(':').unwrap();
            let target = format!("http://cdn.shop.example:{port}/v2/team/app/tags/list");
            registry.fail_next(Fault::Redirect(target));
            let found = list(&client, &image, &Access::default()).await;
            match found {
                Ok(found) => assert!(is_followed && texts(&found) == ["2"], "{turns:?}"),
                Err(error) => {
                    assert_eq!(
                        (error.kind(), is_followed),
                        (Kind::Unsafe, false),
                        "{error}"
                    );
                    assert!(error.to_string().contains(NEARER), "{error}");
                }
            }
            assert_eq!(elsewhere.requests().len(), usize::from(is_followed));
        }
        // What is weighed is what is used: there is no second look between the two.
        assert_eq!(*names.lookups.lock(), 3, "{turns:?}");
    }
}
