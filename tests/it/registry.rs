//! The wire client against the fake registry: what it asks, how often, and what it makes of the answers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may be blunt, their helpers too"
)]

mod auth;
mod copy;
mod credentials;
mod faults;
mod limits;
mod manifests;
mod names;
mod pages;
mod patience;
mod platforms;
mod politeness;
mod proxies;
mod redirects;
mod remote;
mod schemes;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tagscope::image::Repository;
use tagscope::registry::{
    Access, Client, Deadline, Error, Exchange, Kind, Observer, Patience, Settings, TagList,
    TlsMaterial,
};
use tagscope::secret::Credential;

use crate::fake_registry::{Auth, FakeRegistry, Route};

/// Settings whose waits are short.
fn settings() -> Settings {
    let patience = Patience {
        first_wait: Duration::from_millis(5),
        ..Patience::default()
    };
    Settings {
        patience,
        stall_timeout: Duration::from_millis(1500),
        ..Settings::default()
    }
}

fn client() -> Client {
    Client::new(settings())
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn repository(image: &str) -> Repository {
    image.parse().unwrap()
}

fn basic(username: &str, password: &str) -> Access {
    let credential = Credential::Basic {
        username: username.into(),
        password: password.into(),
    };
    Access {
        credential: Some(credential),
        ..Access::default()
    }
}

/// `access`, trusting the certificates of `registry`.
fn trusting(registry: &FakeRegistry, access: Access) -> Access {
    let tls = TlsMaterial::from_pem(Some(registry.ca_pem().as_bytes()), None).unwrap();
    Access {
        tls: Some(Arc::new(tls)),
        ..access
    }
}

async fn list(client: &Client, image: &str, access: &Access) -> Result<TagList, Error> {
    client.list_tags(&repository(image), access, soon()).await
}

/// A registry with `team/app`, and the tags of `image` as `client` lists them, anonymously.
async fn with_tags(tags: &[&str]) -> FakeRegistry {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", tags.iter().copied());
    registry
}

fn texts(list: &TagList) -> Vec<&str> {
    list.tags.iter().map(tagscope::image::Tag::as_str).collect()
}

fn bearer() -> Auth {
    Auth::Bearer {
        username: "me".into(),
        password: "hunter2".into(),
        identity_token: None,
        anonymous: false,
    }
}

fn anonymous_bearer() -> Auth {
    Auth::Bearer {
        username: "me".into(),
        password: "hunter2".into(),
        identity_token: None,
        anonymous: true,
    }
}

#[tokio::test]
async fn one_page_costs_one_request_and_no_ping() {
    let registry = with_tags(&["1.1.0", "1.0.0", "latest"]).await;
    let client = client();
    for scans in 1..=3 {
        let found = list(&client, &registry.image("team/app"), &Access::default())
            .await
            .unwrap();
        assert_eq!(texts(&found), ["1.0.0", "1.1.0", "latest"]);
        assert!(found.is_complete() && found.pages == 1 && found.invalid.is_none());
        assert_eq!(registry.requests().len(), scans);
    }
    assert_eq!(registry.count(Route::List), 3);
    assert_eq!(registry.requests()[0].query, "n=1000");
}

#[tokio::test]
async fn every_request_is_observed_by_host_and_status() {
    #[derive(Debug, Default)]
    struct Log(Mutex<Vec<(String, &'static str, &'static str)>>);
    impl Observer for Log {
        fn observe(&self, exchange: Exchange<'_>) {
            self.0.lock().push((
                exchange.host.to_owned(),
                exchange.operation.as_str(),
                exchange.status_class(),
            ));
        }
    }
    let registry = with_tags(&["1"]).await;
    registry.set_auth(anonymous_bearer());
    let log = Arc::new(Log::default());
    let client = Client::new(Settings {
        observer: Arc::<Log>::clone(&log),
        ..settings()
    });
    list(&client, &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    let seen = log.0.lock().clone();
    let what: Vec<_> = seen
        .iter()
        .map(|(_, operation, class)| (*operation, *class))
        .collect();
    assert_eq!(
        what,
        // https is tried first, and fails; then the challenge, the token, and the list.
        [
            ("list", "error"),
            ("list", "4xx"),
            ("token", "2xx"),
            ("list", "2xx")
        ]
    );
    assert_eq!(seen[1].0, registry.plain_host());
    // A token is fetched on the registry's behalf.
    assert_eq!(seen[2].0, registry.plain_host());
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_named() {
    let registry = with_tags(&[]).await;
    let error = list(&client(), &registry.image("team/none"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.to_string(),
        format!(
            "{} does not know the repository team/none; NAME_UNKNOWN: repository name not known to registry",
            registry.plain_host()
        )
    );
}

#[tokio::test]
async fn an_empty_repository_has_no_tags() {
    let registry = with_tags(&[]).await;
    let found = list(&client(), &registry.image("team/app"), &Access::default())
        .await
        .unwrap();
    assert!(found.tags.is_empty() && found.is_complete());
}
