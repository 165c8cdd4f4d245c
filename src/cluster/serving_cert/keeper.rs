//! Keeps a process in a believed certificate for as long as it runs: issues anew in time, follows the Secret when another
//! process replaced the authority, and writes the bundle into the APIService whenever that appears or loses it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::api_service::{self, Published};
use super::{Authority, Error, Issued, Settings, ensure_authority};
use crate::clock::SharedClock;

/// How often the Secret is looked at.
const PERIOD: Duration = Duration::from_mins(10);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Takes a new certificate into use.
type Install =
    Arc<dyn Fn(&Issued) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// Keeps a certificate.
pub struct Keeper {
    client: Client,
    settings: Settings,
    clock: SharedClock,
    install: Install,
    authority: Authority,
    issued: Issued,
    /// The certificate of the authority that issued it.
    issued_under: String,
    period: Duration,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// Makes sure of the authority, issues a first certificate, and gives it to `install`.
    ///
    /// # Errors
    /// Whatever keeps this process from having a certificate; [`Error::Forbidden`] is worth one log line and no crash.
    pub async fn start(
        client: Client,
        settings: Settings,
        clock: SharedClock,
        install: impl Fn(&Issued) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Self, Error> {
        let now = clock.now();
        let authority = ensure_authority(&client, &settings.namespace, now).await?;
        let issued = authority.issue(&settings, now)?;
        install(&issued).map_err(Error::Install)?;
        let issued_under = authority.certificate().to_owned();
        let install = Arc::new(install);
        Ok(Self {
            client,
            settings,
            clock,
            install,
            authority,
            issued,
            issued_under,
            period: PERIOD,
        })
    }

    /// Another time between two looks at the Secret than ten minutes.
    #[must_use]
    pub fn with_period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// What clients must believe at this moment, PEM.
    pub fn bundle(&self) -> &str {
        self.authority.bundle()
    }

    /// Keeps it until `stop`. Failures are logged once each and tried again; the certificate in use stays.
    pub async fn keep(mut self, stop: CancellationToken) {
        let api: Api<APIService> = Api::all(self.client.clone());
        let selection = watcher::Config::default()
            .fields(&format!("metadata.name={}", self.settings.api_service));
        let mut events = pin!(watcher(api.clone(), selection));
        let mut ticks = tokio::time::interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut found: Option<APIService> = None;
        let mut pause = FIRST_PAUSE;
        let (mut renewing, mut publishing) = (Complaint::default(), Complaint::default());
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => Step::Renew,
                event = events.try_next() => Step::Event(Box::new(event)),
            };
            let event = match next {
                Step::Renew => {
                    let renewed = self.renew(&api, found.as_ref()).await;
                    renewing.note(
                        renewed,
                        "Serving certificate not renewed, the last one stays",
                    );
                    continue;
                }
                Step::Event(event) => *event,
            };
            match event {
                Ok(Some(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) => {
                    pause = FIRST_PAUSE;
                    let published = self.publish(&api, &object).await;
                    let settled = published.and_then(|published| self.take_up(published));
                    publishing.note(settled, "Certificate bundle not published");
                    found = Some(object);
                }
                Ok(Some(watcher::Event::Delete(_) | watcher::Event::Init)) => found = None,
                Ok(Some(watcher::Event::InitDone) | None) => {}
                Err(error) => {
                    publishing.note(
                        Err(self.watch_error(error)),
                        "Certificate bundle not published",
                    );
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Looks at the Secret, publishes what it says, and changes over to it.
    async fn renew(
        &mut self,
        api: &Api<APIService>,
        found: Option<&APIService>,
    ) -> Result<(), Error> {
        self.authority =
            ensure_authority(&self.client, &self.settings.namespace, self.clock.now()).await?;
        let published = match found {
            Some(found) => self.publish(api, found).await,
            None => Ok(Published::Settled),
        };
        self.change_over(published)
    }

    /// A certificate of an authority that has been waiting for its bundle to be published. Whether the one in use is
    /// due is asked only after a look at the Secret, which may hold another authority by then.
    fn take_up(&mut self, published: Published) -> Result<(), Error> {
        match published {
            Published::Written | Published::Settled if self.is_replaced() => self.issue(),
            Published::Written | Published::Settled | Published::Outdated => Ok(()),
        }
    }

    /// Another certificate if one is needed, as far as what became of the bundle allows.
    fn change_over(&mut self, published: Result<Published, Error>) -> Result<(), Error> {
        match published {
            Ok(Published::Written | Published::Settled) => self.reissue(true),
            // The event that is about to come asks again.
            Ok(Published::Outdated) => Ok(()),
            Err(error) => {
                self.reissue(false)?;
                Err(error)
            }
        }
    }

    async fn publish(&self, api: &Api<APIService>, found: &APIService) -> Result<Published, Error> {
        let published =
            api_service::publish(api, found, &self.settings, self.authority.bundle()).await?;
        if published == Published::Written {
            tracing::info!(
                api_service = self.settings.api_service,
                "Certificate bundle published"
            );
        }
        Ok(published)
    }

    /// Another certificate, when this one is two thirds through, or when its authority has been replaced and the new one
    /// `is_believed` already: what is served should be believed at every moment.
    fn reissue(&mut self, is_believed: bool) -> Result<(), Error> {
        if self.issued.is_due(self.clock.now()) || (self.is_replaced() && is_believed) {
            self.issue()
        } else {
            Ok(())
        }
    }

    fn is_replaced(&self) -> bool {
        self.authority.certificate() != self.issued_under
    }

    fn issue(&mut self) -> Result<(), Error> {
        let issued = self.authority.issue(&self.settings, self.clock.now())?;
        (self.install)(&issued).map_err(Error::Install)?;
        tracing::info!(not_after = %issued.not_after, "Serving certificate issued");
        self.issued = issued;
        self.authority
            .certificate()
            .clone_into(&mut self.issued_under);
        Ok(())
    }

    fn watch_error(&self, error: watcher::Error) -> Error {
        let error = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => error,
            watcher::Error::WatchError(status) => kube::Error::Api(status),
            watcher::Error::NoResourceVersion => {
                kube::Error::Service("the answer has no resourceVersion".into())
            }
        };
        Error::of(
            "watch the APIService",
            "list and watch",
            "apiservices",
            &self.settings.api_service,
            error,
        )
    }
}

enum Step {
    Renew,
    Event(Box<Result<Option<watcher::Event<APIService>>, watcher::Error>>),
}

/// Says the same thing once.
#[derive(Default)]
struct Complaint(Option<String>);

impl Complaint {
    fn note(&mut self, outcome: Result<(), Error>, message: &'static str) {
        match outcome {
            Ok(()) => self.0 = None,
            Err(error) => {
                let text = error.to_string();
                if self.0.as_ref() != Some(&text) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "{message}");
                    self.0 = Some(text);
                }
            }
        }
    }
}
