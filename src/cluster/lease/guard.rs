//! Notices that another program renews a Lease of Flux's, or one of those whose holder copies images, in whatever namespace:
//! then it works on the same objects, and we must not. Needs no election of ours, and writes nothing.
//!
//! The Leases are watched, so that a controller that is started beside us is noticed before its first reconcile. That one
//! has died is believed only after its Lease was read once more.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream, SelectAll, Stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::{Error, with_causes};
use super::record::{Record, Sighting};
use crate::clock::SharedClock;
use crate::object::Key;

/// How soon a Lease that could not be read once more is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a watch that the rights do not allow is done without, before it is tried again: doubles from one to the next,
/// because rights that are missing at the start may be on their way.
const WITHOUT_RIGHT: Duration = Duration::from_secs(10);
/// Where the doubling ends.
const LONGEST_WITHOUT_RIGHT: Duration = Duration::from_mins(10);

/// What to look out for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Leases' names. Whoever holds one of them, in any namespace, works on objects of ours.
    pub names: Vec<String>,
    /// The namespaces that are looked into where the rights do not reach further.
    pub namespaces: Vec<String>,
    /// The Lease that we stand for ourselves, when there is an election: it is judged there.
    pub own: Option<Key>,
    /// What their holders do.
    pub watched: Watched,
}

/// What the holder of a Lease does, and so what must not be done beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// It scans and elects: Flux's controller.
    Controllers,
    /// It copies images.
    Mirrors,
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing yet: not everything was looked at.
    Unknown,
    /// Nobody else is there.
    Clear,
    /// Somebody is.
    Held {
        /// The Lease.
        lease: Key,
        /// Who holds it.
        holder: String,
    },
}

type Heard = (usize, Result<Event<Lease>, watcher::Error>);

/// Looks out for ever, and says what it sees.
pub async fn run(
    client: Client,
    settings: Settings,
    clock: SharedClock,
    outlook: watch::Sender<Outlook>,
) {
    let mut lookout = Lookout {
        client,
        settings,
        clock,
        places: Vec::new(),
    };
    let mut heard = SelectAll::new();
    for name in lookout.settings.names.clone() {
        heard.push(lookout.look(Place::new(None, name)));
    }
    loop {
        let seen = lookout.outlook();
        if outlook.send_if_modified(|known| {
            *known != seen && {
                *known = seen.clone();
                true
            }
        }) {
            tell(lookout.settings.watched, &seen);
        }
        tokio::select! {
            Some(heard_now) = heard.next() => {
                if let Some(more) = lookout.hear(heard_now) {
                    heard.extend(more);
                }
            }
            () = next(lookout.expires()) => lookout.confirm().await,
        }
    }
}

fn tell(watched: Watched, outlook: &Outlook) {
    match (watched, outlook) {
        (_, Outlook::Unknown) => {}
        (Watched::Controllers, Outlook::Clear) => {
            tracing::info!("No other controller holds Flux's lease");
        }
        (Watched::Controllers, Outlook::Held { lease, holder }) => tracing::error!(
            %lease,
            holder,
            "Another controller works on these objects, nothing is scanned until it stops: scale it to zero, or run beside it with --companion"
        ),
        (Watched::Mirrors, Outlook::Clear) => {
            tracing::info!("No other program holds a lease for copying images");
        }
        (Watched::Mirrors, Outlook::Held { lease, holder }) => tracing::error!(
            %lease,
            holder,
            "Another program copies these images, nothing is copied until it stops: scale it to zero"
        ),
    }
}

async fn next(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// One watch: Leases of this name, in one namespace or in all of them.
#[derive(Debug)]
struct Place {
    namespace: Option<String>,
    name: String,
    /// Whether it was listed, or may not be.
    is_known: bool,
    /// Whether the rights for it are missing, as was told.
    is_forbidden: bool,
    /// Whether its name is looked for in single namespaces too.
    is_spread: bool,
    /// What a list that is under way has brought.
    listed: Vec<Lease>,
    seen: BTreeMap<Key, Seen>,
}

/// A Lease, and whether it was found dead after its time was up.
#[derive(Debug)]
struct Seen {
    sighting: Sighting,
    is_dead: bool,
}

impl Seen {
    /// With a date, it may have stood there for long; without one, it was written this moment.
    fn first(record: Record, now: Instant, today: Option<jiff::Timestamp>) -> Self {
        let sighting = match today {
            Some(today) => Sighting::first_dated(record, now, today),
            None => Sighting::first(record, now),
        };
        let is_dead = sighting.expires <= now;
        Self { sighting, is_dead }
    }

    fn again(&mut self, record: Record, now: Instant) {
        self.is_dead &= self.sighting.record == record;
        self.sighting.again(record, now);
    }

    fn is_live(&self) -> bool {
        !self.is_dead && !self.sighting.record.holder.is_empty()
    }
}

impl Place {
    fn new(namespace: Option<String>, name: String) -> Self {
        Self {
            namespace,
            name,
            is_known: false,
            is_forbidden: false,
            is_spread: false,
            listed: Vec::new(),
            seen: BTreeMap::new(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => write!(f, "{} in all namespaces", self.name),
        }
    }
}

struct Lookout {
    client: Client,
    settings: Settings,
    clock: SharedClock,
    places: Vec<Place>,
}

impl Lookout {
    /// Begins to watch `place`.
    fn look(&mut self, place: Place) -> BoxStream<'static, Heard> {
        let api: Api<Lease> = match &place.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let config = watcher::Config::default().fields(&format!("metadata.name={}", place.name));
        let index = self.places.len();
        self.places.push(place);
        stream::iter(0..)
            .then(move |attempt| {
                let (api, config) = (api.clone(), config.clone());
                async move {
                    sleep(without_right(attempt)).await;
                    watch_once(api, config)
                }
            })
            .flatten()
            .map(move |heard| (index, heard))
            .boxed()
    }

    /// Takes in what a watch brought, and answers further watches that are then needed.
    fn hear(&mut self, (index, heard): Heard) -> Option<Vec<BoxStream<'static, Heard>>> {
        let (now, today) = (Instant::now(), self.clock.now());
        let own = self.settings.own.clone();
        let place = self.places.get_mut(index)?;
        let name = place.name.clone();
        let matters = |key: &Key| *key.name == *name && own.as_ref() != Some(key);
        match heard {
            Ok(Event::Init) => place.listed.clear(),
            Ok(Event::InitApply(lease)) => place.listed.push(lease),
            Ok(Event::InitDone) => {
                let mut before = std::mem::take(&mut place.seen);
                for lease in std::mem::take(&mut place.listed) {
                    let key = key(&lease);
                    if matters(&key) {
                        let known = before.remove(&key);
                        let seen = seen(known, Record::of(&lease), now, Some(today));
                        place.seen.insert(key, seen);
                    }
                }
                place.is_known = true;
                place.is_forbidden = false;
            }
            Ok(Event::Apply(lease)) => {
                let key = key(&lease);
                if matters(&key) {
                    let known = place.seen.remove(&key);
                    let seen = seen(known, Record::of(&lease), now, None);
                    place.seen.insert(key, seen);
                }
            }
            Ok(Event::Delete(lease)) => {
                place.seen.remove(&key(&lease));
            }
            Err(error) if forbids(&error) => {
                place.is_known = true;
                if !std::mem::replace(&mut place.is_forbidden, true) {
                    tracing::warn!(
                        lease = %place,
                        error = with_causes(&error),
                        "A lease cannot be looked at: make sure that no program which holds it runs beside this one"
                    );
                }
                if place.namespace.is_none() && !std::mem::replace(&mut place.is_spread, true) {
                    let namespaces = self.settings.namespaces.clone();
                    let places = namespaces
                        .into_iter()
                        .map(|namespace| Place::new(Some(namespace), name.clone()));
                    return Some(places.map(|place| self.look(place)).collect());
                }
            }
            Err(error) => {
                tracing::warn!(lease = %place, error = with_causes(&error), "Failed to watch a lease, retrying");
            }
        }
        None
    }

    fn outlook(&self) -> Outlook {
        if let Some((lease, seen)) = self.live().next() {
            return Outlook::Held {
                lease: lease.clone(),
                holder: seen.sighting.record.holder.clone(),
            };
        }
        if self.places.iter().all(|place| place.is_known) {
            Outlook::Clear
        } else {
            Outlook::Unknown
        }
    }

    /// When the time of the first live Lease is up, unless it is renewed.
    fn expires(&self) -> Option<Instant> {
        self.live().map(|(_, seen)| seen.sighting.expires).min()
    }

    fn live(&self) -> impl Iterator<Item = (&Key, &Seen)> {
        let seen = self.places.iter().flat_map(|place| &place.seen);
        seen.filter(|(_, seen)| seen.is_live())
    }

    /// Reads the Leases whose time is up once more: a watch may have gone silent.
    async fn confirm(&mut self) {
        let now = Instant::now();
        let seen = self.places.iter_mut().flat_map(|place| &mut place.seen);
        for (key, seen) in seen.filter(|(_, seen)| seen.is_live() && seen.sighting.expires <= now) {
            let api: Api<Lease> = Api::namespaced(self.client.clone(), &key.namespace);
            match api.get_opt(&key.name).await.map_err(Error::from) {
                Ok(Some(lease)) => {
                    let record = Record::of(&lease);
                    let is_renewed = record != seen.sighting.record;
                    seen.again(record, Instant::now());
                    seen.is_dead = !is_renewed;
                }
                // Whoever may watch but not read relies on the watch.
                Ok(None) | Err(Error::Forbidden { .. }) => seen.is_dead = true,
                Err(error) => {
                    seen.sighting.expires = Instant::now() + AGAIN;
                    tracing::warn!(lease = %key, error = with_causes(&error), "Failed to read a lease, trying again");
                }
            }
        }
    }
}

/// Watches until the rights are missing, which is the last that is heard.
fn watch_once(
    api: Api<Lease>,
    config: watcher::Config,
) -> impl Stream<Item = Result<Event<Lease>, watcher::Error>> {
    let mut is_forbidden = false;
    watcher(api, config)
        .default_backoff()
        .take_while(move |heard| {
            let goes_on = !is_forbidden;
            is_forbidden = heard.as_ref().is_err_and(forbids);
            futures::future::ready(goes_on)
        })
}

/// How long to do without before this attempt.
fn without_right(attempt: u32) -> Duration {
    let Some(before) = attempt.checked_sub(1) else {
        return Duration::ZERO;
    };
    let wait = WITHOUT_RIGHT.saturating_mul(1 << before.min(16));
    wait.min(LONGEST_WITHOUT_RIGHT)
}

fn seen(known: Option<Seen>, record: Record, now: Instant, today: Option<jiff::Timestamp>) -> Seen {
    match known {
        Some(mut seen) => {
            seen.again(record, now);
            seen
        }
        None => Seen::first(record, now, today),
    }
}

fn key(lease: &Lease) -> Key {
    Key::new(lease.namespace().unwrap_or_default(), lease.name_any())
}

fn forbids(error: &watcher::Error) -> bool {
    let refusal = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => status,
            _ => return false,
        },
        watcher::Error::WatchError(status) => status,
        watcher::Error::NoResourceVersion => return false,
    };
    refusal.code == 403
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use kube::client::Body;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rights_that_come_later_are_noticed() {
        let may_look = Arc::new(AtomicBool::new(false));
        let allowed = may_look.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let status = if allowed.load(Ordering::Relaxed) {
                200
            } else {
                403
            };
            let answer = if status == 403 {
                r#"{"kind":"Status","apiVersion":"v1","status":"Failure","code":403}"#
            } else if request
                .uri()
                .query()
                .unwrap_or_default()
                .contains("watch=true")
            {
                ""
            } else {
                r#"{"kind":"LeaseList","apiVersion":"coordination.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[
                    {"metadata":{"namespace":"flux-system","name":"flux","resourceVersion":"1"},
                     "spec":{"holderIdentity":"flux-1","leaseDurationSeconds":100000}}]}"#
            };
            let answer = http::Response::builder()
                .status(status)
                .body(Body::from(answer.as_bytes().to_vec()));
            std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
        });
        let settings = Settings {
            names: vec!["flux".to_owned()],
            namespaces: vec!["flux-system".to_owned()],
            own: None,
            watched: Watched::Controllers,
        };
        let (outlook, mut heard) = watch::channel(Outlook::Unknown);
        let client = Client::new(service, "default");
        let looking = run(
            client,
            settings,
            Arc::new(crate::clock::SystemClock),
            outlook,
        );
        let hearing = async {
            heard.wait_for(|now| *now == Outlook::Clear).await.unwrap();
            may_look.store(true, Ordering::Relaxed);
            let begin = Instant::now();
            let held =
                |now: &Outlook| matches!(now, Outlook::Held { holder, .. } if holder == "flux-1");
            heard.wait_for(held).await.unwrap();
            assert!(begin.elapsed() < WITHOUT_RIGHT * 2, "{:?}", begin.elapsed());
        };
        tokio::select! {
            () = looking => panic!("it ended"),
            () = hearing => {}
        }
    }

    #[test]
    fn missing_rights_are_asked_for_ever_less_often() {
        let waits: Vec<u64> = (0..9)
            .map(|attempt| without_right(attempt).as_secs())
            .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(without_right(u32::MAX), LONGEST_WITHOUT_RIGHT);
    }
}
