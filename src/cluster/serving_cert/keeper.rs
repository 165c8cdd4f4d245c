//! Keeps a process in a believed certificate for as long as it runs: issues anew in time, follows the Secret when another
//! process replaced the authority, and writes the bundle into the APIService whenever that appears or loses it.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::api_service::{self, Published};
use super::{Authority, Error, Issued, Settings, secret};
use crate::clock::SharedClock;

/// How often the Secret is looked at.
const PERIOD: Duration = Duration::from_mins(10);
/// How soon it is looked again while a new authority waits to be used.
const WAITING_PERIOD: Duration = Duration::from_secs(15);
/// A certificate that has not been renewed by then is worth a warning.
const WARN_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);
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
    /// Since when the authority is published.
    published_since: Option<Timestamp>,
    warned_of: Option<Timestamp>,
    period: Duration,
    failures: Arc<AtomicU64>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// Makes sure of the authority, publishes its bundle where there is an APIService to hold it, issues a first certificate,
    /// and gives it to `install`.
    ///
    /// What the APIService says to believe at this moment stays believed beside an authority that has to be made, so that
    /// processes which serve under an earlier one go on. This one cannot: where the Secret is gone the earlier key is gone,
    /// and it serves under the new authority from the start, once that is published. What is left is the moment until each
    /// kube-apiserver has heard of it.
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
        let api: Api<APIService> = Api::all(client.clone());
        let found = match api_service::find(&api, &settings.api_service).await {
            Ok(found) => found,
            // Whoever may not look may not watch either, and keeping it says so.
            Err(Error::Forbidden { .. }) => None,
            Err(error) => return Err(error),
        };
        let believed = found.as_ref();
        let believed = believed.map(|found| api_service::believed(found, &settings));
        let believed = believed.unwrap_or_default();
        let Settings {
            namespace, lives, ..
        } = &settings;
        let authority = secret::ensure(&client, namespace, lives, now, &believed).await?;
        if let Some(found) = &found {
            let published = api_service::publish(&api, found, &settings, authority.bundle()).await;
            if let Err(error) = published {
                // Keeping it tries again, and says so.
                let error = &error as &dyn std::error::Error;
                tracing::debug!(
                    error,
                    "Certificate bundle not published before the first use"
                );
            }
        }
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
            published_since: None,
            warned_of: None,
            period: PERIOD,
            failures: Arc::default(),
        })
    }

    /// Another time between two looks at the Secret than ten minutes.
    #[must_use]
    pub fn with_period(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// Counts into `failures` how often it could not be renewed; for a metric.
    #[must_use]
    pub fn counting(mut self, failures: Arc<AtomicU64>) -> Self {
        self.failures = failures;
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
        let mut look_at = Instant::now();
        let mut found: Option<APIService> = None;
        let mut pause = FIRST_PAUSE;
        let (mut renewing, mut publishing) = (Complaint::default(), Complaint::default());
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(look_at) => Step::Look,
                event = events.try_next() => Step::Event(Box::new(event)),
            };
            match next {
                Step::Look => {
                    let renewed = self.look(&api, found.as_ref()).await;
                    self.count(renewed.is_err());
                    renewing.note(
                        renewed,
                        "Serving certificate not renewed, the last one stays",
                    );
                    look_at = Instant::now() + self.pause();
                }
                Step::Event(event) => match *event {
                    Ok(Some(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) => {
                        pause = FIRST_PAUSE;
                        // Another process may have replaced the authority: then its bundle is the newer one, and
                        // the Secret says so.
                        let noted = if api_service::holds(&object, self.authority.bundle()) {
                            let published = self.publish(&api, &object).await;
                            published.and_then(|published| self.settle(published))
                        } else {
                            self.look(&api, Some(&object)).await
                        };
                        publishing.note(noted, "Certificate bundle not published");
                        look_at = look_at.min(Instant::now() + self.pause());
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
                },
            }
        }
    }

    /// Looks at the Secret, publishes what it says, and changes over to it in time.
    async fn look(
        &mut self,
        api: &Api<APIService>,
        found: Option<&APIService>,
    ) -> Result<(), Error> {
        let Settings {
            namespace, lives, ..
        } = &self.settings;
        let (now, believed) = (self.clock.now(), self.authority.bundle());
        let authority = secret::ensure(&self.client, namespace, lives, now, believed).await?;
        if authority.certificate() != self.authority.certificate() {
            self.published_since = None;
        }
        self.authority = authority;
        let published = if let Some(found) = found {
            self.publish(api, found).await.map(Some)
        } else {
            self.published_since = None;
            Ok(None)
        };
        // Better one that is not believed yet than one that has ended.
        let cannot_wait = if self.is_replaced() {
            self.issued.is_over(now)
        } else {
            self.issued.is_due(now)
        };
        let settled = match published {
            Ok(Some(published)) => self.settle(published),
            Ok(None) if cannot_wait => self.issue(),
            Ok(None) => Ok(()),
            Err(error) if cannot_wait => self.issue().and(Err(error)),
            Err(error) => Err(error),
        };
        self.warn();
        settled
    }

    /// Changes over as far as what became of the bundle allows: what is served should be believed at every moment.
    fn settle(&mut self, published: Published) -> Result<(), Error> {
        let now = self.clock.now();
        match published {
            // The event that is about to come asks again.
            Published::Outdated => return Ok(()),
            Published::Written | Published::Settled => {}
        }
        let is_due = if self.is_replaced() {
            let since = *self.published_since.get_or_insert(now);
            since.duration_until(now) >= self.settings.lives.publication
                || self.issued.is_over(now)
                || !self.authority.vouches_for(&self.issued_under)
        } else {
            self.issued.is_due(now)
        };
        if is_due { self.issue() } else { Ok(()) }
    }

    async fn publish(
        &mut self,
        api: &Api<APIService>,
        found: &APIService,
    ) -> Result<Published, Error> {
        let published =
            api_service::publish(api, found, &self.settings, self.authority.bundle()).await;
        if published.is_err() {
            // What is not published does not begin to be believed.
            self.published_since = None;
        }
        let published = published?;
        if published == Published::Written {
            tracing::info!(
                api_service = self.settings.api_service,
                "Certificate bundle published"
            );
        }
        Ok(published)
    }

    fn is_replaced(&self) -> bool {
        self.authority.certificate() != self.issued_under
    }

    /// Until the next look at the Secret.
    fn pause(&self) -> Duration {
        if self.is_replaced() {
            self.period.min(WAITING_PERIOD)
        } else {
            self.period
        }
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

    fn count(&self, has_failed: bool) {
        if has_failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Once for each certificate that should have been renewed long ago.
    fn warn(&mut self) {
        let not_after = self.issued.not_after;
        let left = self.clock.now().duration_until(not_after);
        // Lives may be shorter than the warning.
        let is_late = left < WARN_BEFORE && self.issued.is_due(self.clock.now());
        if is_late && self.warned_of != Some(not_after) {
            tracing::warn!(%not_after, "Serving certificate ends soon");
            self.warned_of = Some(not_after);
        }
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
    Look,
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
