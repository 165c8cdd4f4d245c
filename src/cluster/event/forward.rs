//! News to the address of `--events-addr`, in the form that Flux's notification-controller takes: one POST each.
//!
//! Tried again for a while, as long as nobody answers or the receiver is in trouble. A receiver that has heard it
//! already says 429, which is as good as yes. Redirects are not followed, and the answer's body is of no interest.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use k8s_openapi::api::core::v1::ObjectReference;
use serde::Serialize;
use url::Url;

use super::deliver::Teller;
use super::{Fate, News, Sink};
use crate::cluster::with_causes;

/// The longest time for which a receiver can have us wait for the next try.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The longest message that a receiver's schema takes, in characters.
const LONGEST_MESSAGE: usize = 39_000;

/// How much of an answer is read, so that its connection can be used again.
const READ: usize = 4096;

/// Where events are posted to: an `http` or `https` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

/// How long it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long one try may take.
    pub attempt: Duration,
    /// The wait after the first try; each one after it is twice as long.
    pub wait: Duration,
    /// How often it is tried again.
    pub retries: u32,
}

impl Default for Patience {
    /// As long as Flux's controllers try.
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(5),
            wait: Duration::from_secs(1),
            retries: 4,
        }
    }
}

/// Why there is nowhere to post to.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("it is no URL, which is to begin with http:// or https://")]
    Parse {
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// Nothing that is spoken here.
    #[error("its scheme is {scheme}, and only http and https are posted to")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// No HTTP client could be built for it.
    #[error("failed to set up an HTTP client for events")]
    Client {
        /// What is in the way.
        source: reqwest::Error,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Url::parse(text)
            .map_err(|source| AddressError::Parse { source })?
            .try_into()
    }
}

impl TryFrom<Url> for Address {
    type Error = AddressError;

    fn try_from(url: Url) -> Result<Self, Self::Error> {
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            scheme => Err(AddressError::Scheme {
                scheme: scheme.to_owned(),
            }),
        }
    }
}

/// Scheme, host and port: paths, queries and user names may hold secrets.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

/// Posts events.
#[derive(Debug)]
pub(super) struct Forwarder {
    target: Arc<Target>,
}

#[derive(Debug)]
struct Target {
    address: Address,
    patience: Patience,
    client: reqwest::Client,
    component: String,
    /// The name of this machine or pod.
    instance: String,
}

/// One event, in notification-controller's words.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    involved_object: &'a ObjectReference,
    severity: &'static str,
    timestamp: String,
    message: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    reporting_controller: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reporting_instance: &'a str,
}

/// What came of one try.
#[derive(Debug, PartialEq, Eq)]
enum Tried {
    /// It was heard, now or before.
    Heard,
    /// It is not worth trying again.
    Refused(String),
    /// It may be heard a little later, but no sooner than this.
    NotNow(String, Duration),
}

impl Forwarder {
    pub(super) fn new(
        address: Address,
        patience: Patience,
        component: String,
    ) -> Result<Self, AddressError> {
        let client =
            client(&address, patience).map_err(|source| AddressError::Client { source })?;
        let target = Target {
            address,
            patience,
            client,
            component,
            instance: host_name(),
        };
        Ok(Self {
            target: Arc::new(target),
        })
    }
}

impl Teller for Forwarder {
    type Told = Result<(), String>;

    const SINK: Sink = Sink::Webhook;

    const AT_ONCE: usize = 4;

    fn tell(&mut self, news: Arc<News>) -> Option<BoxFuture<'static, Self::Told>> {
        let target = self.target.clone();
        Some(async move { target.post_in_the_end(&news).await }.boxed())
    }

    fn told(&mut self, news: &News, told: Self::Told) -> Fate {
        let Err(error) = told else {
            return Fate::Told;
        };
        let about = &news.report.about.object;
        tracing::error!(
            "reconciler kind" = about.kind,
            namespace = about.namespace,
            name = about.name,
            error,
            "unable to record event"
        );
        Fate::Failed
    }
}

impl Target {
    async fn post_in_the_end(&self, news: &News) -> Result<(), String> {
        let Patience {
            mut wait, retries, ..
        } = self.patience;
        let body = self.body(news)?;
        let mut tries = 0_u32;
        loop {
            let (error, at_least) = match self.post(body.clone()).await {
                Tried::Heard => return Ok(()),
                Tried::Refused(error) => return Err(error),
                Tried::NotNow(error, at_least) => (error, at_least),
            };
            tries = tries.saturating_add(1);
            if tries > retries {
                return Err(format!("giving up after {tries} tries: {error}"));
            }
            tokio::time::sleep(wait.max(at_least)).await;
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    fn body(&self, news: &News) -> Result<bytes::Bytes, String> {
        let report = &news.report;
        let longest = report.message.char_indices().nth(LONGEST_MESSAGE);
        let message = longest.and_then(|(end, _)| report.message.get(..end));
        let event = Event {
            involved_object: &report.about.object,
            severity: report.severity.as_severity(),
            timestamp: format!("{:.0}", news.at),
            message: message.unwrap_or(&report.message),
            reason: &report.reason,
            metadata: &report.about.metadata,
            reporting_controller: &self.component,
            reporting_instance: &self.instance,
        };
        serde_json::to_vec(&event)
            .map(Into::into)
            .map_err(|error| error.to_string())
    }

    async fn post(&self, body: bytes::Bytes) -> Tried {
        let request = self
            .client
            .post(self.address.0.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .timeout(self.patience.attempt)
            .body(body);
        match request.send().await {
            Ok(mut response) => {
                let tried = judge(response.status(), response.headers());
                let mut left = READ;
                while let Ok(Some(chunk)) = response.chunk().await
                    && left > 0
                {
                    left = left.saturating_sub(chunk.len());
                }
                tried
            }
            // Without the URL, which may hold a secret.
            Err(error) => Tried::NotNow(with_causes(&error.without_url()), Duration::ZERO),
        }
    }
}

fn judge(status: StatusCode, headers: &HeaderMap) -> Tried {
    if status.is_success() || status == StatusCode::TOO_MANY_REQUESTS {
        return Tried::Heard;
    }
    let error = format!("the receiver answered {status}");
    if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        let asked = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map_or(Duration::ZERO, Duration::from_secs);
        return Tried::NotNow(error, asked.min(LONGEST_WAIT));
    }
    Tried::Refused(error)
}

fn client(address: &Address, patience: Patience) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("tagscope/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.attempt)
        .pool_idle_timeout(Duration::from_mins(1))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false);
    if address.0.scheme() == "http" {
        // So that a machine without any certificate authority can post as well.
        builder = builder.tls_certs_only([]);
    }
    let is_loopback = match address.0.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if is_loopback {
        // No proxy of the environment stands before this machine.
        builder = builder.no_proxy();
    }
    builder.build()
}

/// The pod's name where there is one; empty when it cannot be told.
fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = kernel.ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{About, Report, Severity};
    use super::*;

    #[test]
    fn only_web_addresses_are_taken() {
        for text in [
            "http://notification-controller.flux-system.svc.cluster.local./",
            "https://events.test/hook?x=1",
        ] {
            assert!(text.parse::<Address>().is_ok(), "{text}");
        }
        for (text, expected) in [
            ("", "it is no URL"),
            ("notification-controller", "it is no URL"),
            ("ftp://host/", "its scheme is ftp"),
            (
                "notification-controller:80",
                "its scheme is notification-controller",
            ),
            ("http://", "it is no URL"),
        ] {
            let told = text.parse::<Address>().unwrap_err().to_string();
            assert!(told.starts_with(expected), "{text}: {told}");
        }
        let address: Address = "http://me:hunter2@events.test/secret".parse().unwrap();
        assert_eq!(format!("{address:?}"), "http://events.test");
    }

    #[test]
    fn answers_are_judged() {
        let judged = |code: u16, after: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(after) = after {
                headers.insert(RETRY_AFTER, after.parse().unwrap());
            }
            match judge(StatusCode::from_u16(code).unwrap(), &headers) {
                Tried::Heard => "heard".to_owned(),
                Tried::Refused(_) => "refused".to_owned(),
                Tried::NotNow(_, wait) => format!("in {}", wait.as_secs()),
            }
        };
        for (code, after, expected) in [
            (200, None, "heard"),
            (202, None, "heard"),
            (429, Some("9"), "heard"),
            (302, None, "refused"),
            (400, None, "refused"),
            (404, None, "refused"),
            (501, None, "refused"),
            (500, None, "in 0"),
            (503, Some("7"), "in 7"),
            (503, Some("86400"), "in 30"),
            (503, Some("Wed, 21 Oct 2026 07:28:00 GMT"), "in 0"),
        ] {
            assert_eq!(judged(code, after), expected, "{code} {after:?}");
        }
    }

    #[test]
    fn an_event_reads_as_notification_controller_reads_it() {
        let about = ObjectReference {
            api_version: Some("image.toolkit.fluxcd.io/v1".into()),
            kind: Some("ImagePolicy".into()),
            name: Some("app".into()),
            namespace: Some("apps".into()),
            uid: Some("1".into()),
            ..ObjectReference::default()
        };
        let metadata = [("event.toolkit.fluxcd.io/team", "a")];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let report = Report {
            about: About {
                object: about,
                metadata: metadata.into(),
            },
            severity: Severity::Warning,
            reason: "Failure".into(),
            message: "é".repeat(LONGEST_MESSAGE + 1),
        };
        let target = Target {
            address: "http://events.test/".parse().unwrap(),
            patience: Patience::default(),
            client: reqwest::Client::new(),
            component: "image-reflector-controller".into(),
            instance: "pod-1".into(),
        };
        let at = "2026-05-01T12:00:00.25Z".parse().unwrap();
        let body = target.body(&News { report, at }).unwrap();
        let mut event: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let message = event["message"].take();
        assert_eq!(message.as_str().unwrap().chars().count(), LONGEST_MESSAGE);
        assert_eq!(
            event,
            serde_json::json!({
                "involvedObject": {
                    "apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImagePolicy",
                    "name": "app", "namespace": "apps", "uid": "1",
                },
                "severity": "error", "timestamp": "2026-05-01T12:00:00Z", "message": null, "reason": "Failure",
                "metadata": { "event.toolkit.fluxcd.io/team": "a" },
                "reportingController": "image-reflector-controller", "reportingInstance": "pod-1",
            })
        );
    }
}
