//! The whole chain over real TLS, with a fake reviewer and resources that say what they were given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};
use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tagscope::apiserver::authn::{Authenticator, Settings as AuthnSettings};
use tagscope::apiserver::authz::{Authorizer, Settings as AuthzSettings};
use tagscope::apiserver::chain::{Chain, Labels, Observer, Outcome, Resources, Settings};
use tagscope::apiserver::health::{Fact, Health, Readiness, Version};
use tagscope::apiserver::request_info::{RequestInfo, User};
use tagscope::apiserver::review::{Failure, Reviewer};
use tagscope::clock::HandClock;
use tagscope::cluster::delegated::{AllowedNames, AuthConfig};
use tagscope::secret::{ExposeSecret as _, SecretString};
use tagscope::serve::{Body, Limits};
use tokio::sync::{Notify, watch};

use crate::serve_kit::{self as kit, Ca, Client, Identity, Running, distant};

pub(crate) const LIST: &str = "/apis/tags.tagscope.dev/v1alpha1/namespaces/n/imagetags";
pub(crate) const H2: &[&str] = &["h2"];

/// Knows the token `good`; everybody but `system:anonymous` and `eve` may do everything.
#[derive(Default)]
pub(crate) struct Reviews {
    pub(crate) tokens: Mutex<Vec<String>>,
    pub(crate) questions: Mutex<Vec<Value>>,
    pub(crate) down: AtomicBool,
}

impl Reviews {
    fn check(&self) -> Result<(), Failure> {
        if self.down.load(Ordering::SeqCst) {
            Err(Failure::BrokenOff)
        } else {
            Ok(())
        }
    }
}

impl Reviewer for Reviews {
    fn token<'a>(
        &'a self,
        token: &'a SecretString,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>> {
        self.tokens.lock().push(token.expose_secret().to_owned());
        Box::pin(async move {
            self.check()?;
            let user = UserInfo {
                username: Some("system:serviceaccount:n:robot".into()),
                groups: Some(vec![
                    "system:serviceaccounts".into(),
                    "system:authenticated".into(),
                ]),
                ..UserInfo::default()
            };
            let authenticated = Some(token.expose_secret() == "good");
            Ok(TokenReviewStatus {
                authenticated,
                user: Some(user),
                ..TokenReviewStatus::default()
            })
        })
    }

    fn access(
        &self,
        spec: SubjectAccessReviewSpec,
    ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>> {
        self.questions
            .lock()
            .push(serde_json::to_value(&spec).unwrap());
        Box::pin(async move {
            self.check()?;
            let allowed = !matches!(
                spec.user.as_deref(),
                Some("system:anonymous" | "eve") | None
            );
            Ok(SubjectAccessReviewStatus {
                allowed,
                ..SubjectAccessReviewStatus::default()
            })
        })
    }
}

/// Answers with the user and the header names that arrive. `…/slow` waits for the gate, `…/panic` panics, `…/panics-late`
/// does so in its body, `…/endless` never comes to its end.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) gate: Notify,
    pub(crate) entered: std::sync::atomic::AtomicUsize,
}

impl Resources for Echo {
    fn handle(
        &self,
        request: Request<Incoming>,
        info: RequestInfo,
        user: User,
    ) -> BoxFuture<'_, Response<Body>> {
        let path = info.decoded_path();
        Box::pin(async move {
            self.entered.fetch_add(1, Ordering::SeqCst);
            assert!(!path.ends_with("/panic"), "on purpose");
            if path.ends_with("/slow") {
                self.gate.notified().await;
            }
            if path.ends_with("/panics-late") {
                let chunks = futures::stream::iter(0..2).map(|at| {
                    assert!(at == 0, "on purpose");
                    Ok::<_, std::io::Error>("begun".into())
                });
                return Response::new(Body::stream(chunks));
            }
            if path.ends_with("/endless") {
                let chunk = || Ok::<_, std::io::Error>(vec![0_u8; 64 << 10].into());
                return Response::new(Body::stream(futures::stream::repeat_with(chunk)));
            }
            let headers: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
            let said = json!({
                "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra, "headers": headers,
            });
            if matches!(&info, RequestInfo::Resource(request) if request.verb.as_str() == "watch") {
                let first = futures::stream::once(async move {
                    Ok::<_, std::io::Error>(said.to_string().into())
                });
                let stream = first.chain(futures::stream::pending());
                return Response::new(Body::stream(stream));
            }
            Response::new(Body::from(said.to_string()))
        })
    }
}

/// Remembers every outcome.
#[derive(Default)]
pub(crate) struct Metrics {
    pub(crate) ended: Mutex<Vec<(Labels, Outcome)>>,
    pub(crate) panics: std::sync::atomic::AtomicUsize,
}

impl Observer for Metrics {
    fn started(&self, _: Labels) {}
    fn finished(&self, labels: Labels, outcome: Outcome) {
        self.ended.lock().push((labels, outcome));
    }
    fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::SeqCst);
    }
}

/// Everything of one test.
pub(crate) struct World {
    pub(crate) server_ca: Ca,
    pub(crate) users: Ca,
    pub(crate) proxies: Ca,
    pub(crate) config: watch::Sender<Arc<AuthConfig>>,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) reviews: Arc<Reviews>,
    pub(crate) resources: Arc<Echo>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Fact,
    pub(crate) server: Running,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Settings {
            served: &["imagetags"],
            ..Settings::default()
        })
        .await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::finished(settings, None, |chain| chain).await
    }

    /// With a chain that is finished off by the test, and told to another observer than [`Metrics`].
    pub(crate) async fn finished(
        settings: Settings,
        observer: Option<Arc<dyn Observer>>,
        finish: impl FnOnce(Chain) -> Chain,
    ) -> Self {
        let (server_ca, users, proxies) = (Ca::new("server"), Ca::new("users"), Ca::new("proxies"));
        let config = watch::Sender::new(Arc::new(config(&users, &proxies)));
        let clock = Arc::new(HandClock::at("2030-01-01T00:00:00Z".parse().unwrap()));
        let reviews = Arc::new(Reviews::default());
        let reviewer: Arc<dyn Reviewer> = Arc::<Reviews>::clone(&reviews);
        let (resources, metrics) = (Arc::new(Echo::default()), Arc::new(Metrics::default()));
        let readiness = Readiness::new();
        let store = readiness.fact("store");
        store.set(true);
        let chain = Chain::new(
            settings,
            Authenticator::new(
                AuthnSettings::default(),
                config.subscribe(),
                Arc::clone(&reviewer),
                Arc::<HandClock>::clone(&clock),
            ),
            Authorizer::new(AuthzSettings::default(), reviewer),
            Health::new(readiness, Version::current()),
            Arc::<Echo>::clone(&resources),
            observer.unwrap_or_else(|| Arc::<Metrics>::clone(&metrics)),
        );
        let chain = finish(chain);
        let server = kit::https(&server_ca, Limits::default(), Duration::from_mins(1), chain).await;
        Self {
            server_ca,
            users,
            proxies,
            config,
            clock,
            reviews,
            resources,
            metrics,
            store,
            server,
        }
    }

    /// The front proxy's certificate.
    pub(crate) fn proxy(&self) -> Identity {
        self.proxies.client("front-proxy", &[], distant())
    }

    /// A client that shows `identity`, or nothing.
    pub(crate) fn client(&self, identity: Option<&Identity>) -> Client {
        match identity {
            None => Client::new(&self.server_ca, H2),
            Some(identity) => Client::showing(&self.server_ca, H2, identity),
        }
    }

    /// Changes the configuration as a change of the ConfigMap would.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut AuthConfig)) {
        self.config.send_modify(|config| {
            let mut changed = AuthConfig::clone(config);
            change(&mut changed);
            *config = Arc::new(changed);
        });
    }
}

fn config(users: &Ca, proxies: &Ca) -> AuthConfig {
    AuthConfig {
        client_ca: Some(vec![users.der()].into()),
        front_proxy_ca: Some(vec![proxies.der()].into()),
        allowed_names: AllowedNames::These(vec!["front-proxy".into()]),
        username_headers: vec!["x-remote-user".into()],
        uid_headers: Vec::new(),
        group_headers: vec!["x-remote-group".into()],
        extra_prefixes: vec!["x-remote-extra-".into()],
    }
}
