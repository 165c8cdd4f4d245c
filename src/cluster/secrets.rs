//! Hears which Secrets come, change and go: their names and versions, never what is in them.
//!
//! Only metadata is asked for, page by page, and nothing of it is kept here: a cluster may hold any number of Secrets.
//! Where the right for it is missing, nothing is heard, and whoever waits for a Secret has to look again by itself.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};

use super::with_causes;
use crate::object::Key;

/// How long to do without, where the right is missing, before it is tried again.
const WITHOUT_RIGHT: Duration = Duration::from_mins(10);

/// One state of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    uid: String,
    resource_version: String,
}

impl Version {
    /// That of an object with this metadata.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
        }
    }

    /// Whether this state came, or may have come, after `known`. Versions that are no numbers may have.
    pub fn is_after(&self, known: &Self) -> bool {
        let number = |version: &Self| version.resource_version.parse::<u64>().ok();
        match (number(self), number(known)) {
            (Some(this), Some(known)) => this > known,
            (Some(_), None) | (None, Some(_) | None) => self != known,
        }
    }
}

/// Something that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// All Secrets are told anew; what is not told again may be gone.
    Anew,
    /// A Secret is in this state.
    Is(Key, Version),
    /// A Secret is gone.
    Gone(Key),
    /// All were told: from now on whatever comes or changes is heard of.
    All,
    /// The right is missing: nothing is heard for a while.
    Nothing,
}

/// Tells `listener` of the Secrets in `namespace` (`None`: in all), in order, until dropped.
pub async fn follow<L, F>(client: Client, namespace: Option<&str>, mut listener: L)
where
    L: FnMut(Heard) -> F,
    F: Future<Output = ()>,
{
    let api: Api<PartialObjectMeta<Secret>> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut was_told = false;
    loop {
        let forbidden = hear(api.clone(), &mut listener).await;
        listener(Heard::Nothing).await;
        if !was_told {
            tracing::warn!(
                error = with_causes(&forbidden),
                "No right to list and watch Secrets: objects that wait for a Secret look again at their own pace"
            );
            was_told = true;
        }
        tokio::time::sleep(WITHOUT_RIGHT).await;
    }
}

/// Ends only with the error that the right is missing.
async fn hear<L, F>(api: Api<PartialObjectMeta<Secret>>, listener: &mut L) -> watcher::Error
where
    L: FnMut(Heard) -> F,
    F: Future<Output = ()>,
{
    loop {
        let mut events = pin!(watcher(api.clone(), watcher::Config::default()).default_backoff());
        let mut is_anew = false;
        while let Some(event) = events.next().await {
            // Not before the list is there: of one that fails nothing follows.
            let is_listed = matches!(event, Ok(Event::InitApply(_) | Event::InitDone));
            if is_listed && std::mem::take(&mut is_anew) {
                listener(Heard::Anew).await;
            }
            let heard = match event {
                Ok(Event::Init) => {
                    is_anew = true;
                    continue;
                }
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    Heard::Is(key(&object.metadata), Version::of(&object.metadata))
                }
                Ok(Event::InitDone) => Heard::All,
                Ok(Event::Delete(object)) => Heard::Gone(key(&object.metadata)),
                Err(error) if is_forbidden(&error) => return error,
                Err(error) => {
                    tracing::warn!(
                        kind = "Secret",
                        error = with_causes(&error),
                        "Failed to watch, retrying"
                    );
                    continue;
                }
            };
            listener(heard).await;
        }
    }
}

fn key(meta: &ObjectMeta) -> Key {
    Key::new(
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    )
}

fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            matches!(error, kube::Error::Api(status) if status.code == 403)
        }
        watcher::Error::WatchError(status) => status.code == 403,
        watcher::Error::NoResourceVersion => false,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use kube::client::Body;
    use parking_lot::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_metadata_is_asked_for_in_pages_and_a_missing_right_not_again_and_again() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let accept = request.headers()[http::header::ACCEPT].to_str().unwrap();
            log.lock().push(format!("{} {accept}", request.uri()));
            let status = br#"{"kind":"Status","apiVersion":"v1","status":"Failure","code":403}"#;
            let answer = http::Response::builder().status(403);
            let answer = answer.body(Body::from(status.to_vec())).unwrap();
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let client = Client::new(service, "default");
        let following = follow(client, Some("apps"), |heard| async move {
            assert!(
                matches!(heard, Heard::Anew | Heard::Nothing),
                "heard {heard:?}"
            );
        });
        let following = tokio::time::timeout(Duration::from_mins(9), following).await;
        assert!(following.is_err(), "it goes on");
        let asked = asked.lock().clone();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(
            asked[0].starts_with("/api/v1/namespaces/apps/secrets?")
                && asked[0].contains("limit=500")
                && asked[0].contains("as=PartialObjectMetadataList"),
            "{asked:?}"
        );
    }

    #[test]
    fn versions_follow_one_another() {
        let version = |uid: &str, number: &str| Version {
            uid: uid.into(),
            resource_version: number.into(),
        };
        for (this, known, expected) in [
            (version("a", "2"), version("a", "1"), true),
            (version("a", "10"), version("a", "9"), true),
            (version("a", "1"), version("a", "1"), false),
            (version("a", "1"), version("a", "2"), false),
            (version("b", "3"), version("a", "2"), true),
            (version("a", "x"), version("a", "y"), true),
            (version("a", "x"), version("a", "x"), false),
        ] {
            assert_eq!(this.is_after(&known), expected, "{this:?} after {known:?}");
        }
    }
}
