//! One request on behalf of a [`Remote`](super::Remote): window, pace, credential, token, redirects, tries.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use super::Remote;
use super::location::Spot;
pub(in crate::registry) use super::reply::Reply;
use super::reply::Stall;
use crate::image::Repository;
use crate::registry::budget::Turn;
use crate::registry::client::Inner;
use crate::registry::errand::{Content, Errand, Purpose, Watch, Watched};
use crate::registry::exchange::Ask;
use crate::registry::limits::Deadline;
use crate::registry::observe::Operation;
use crate::registry::proof::Proof;
use crate::registry::redact::Redactor;
use crate::registry::retry::{is_too_much, is_worth_another_try, retry_after};
use crate::registry::transport::Opened;
use crate::registry::window::{Class, Permit};
use crate::registry::{Access, Error};
use crate::secret::ExposeSecret as _;

/// The wait after a 429 of another host (behind a redirect) that names none.
const ELSEWHERE: Duration = Duration::from_secs(2);
/// A host that wants to be left alone is asked again so often at the most, however short its pauses are.
const PLEAS: u32 = 20;

/// What a request carries.
#[derive(Debug)]
pub(in crate::registry) enum Payload {
    /// Nothing (`Content-Length: 0` where the method wants one).
    Empty,
    /// These bytes; they can be sent again.
    Whole(Bytes),
    /// A stream of exactly so many bytes (`Content-Length`, never chunked); it can be sent once.
    Stream {
        /// The bytes.
        body: reqwest::Body,
        /// How many.
        length: u64,
    },
}

/// Where a request goes.
#[derive(Debug)]
pub(in crate::registry) enum To<'a> {
    /// A path and query on the registry itself, with the leading slash.
    Path(String),
    /// Where a `Location` of the registry led, already resolved by [`Remote::resolve`]: with the credential only on the
    /// registry's own origin, never nearer than the registry, never from https to http.
    Location(&'a Url),
}

/// One request.
#[derive(Debug)]
pub(in crate::registry) struct Request<'a> {
    pub(in crate::registry) method: Method,
    pub(in crate::registry) to: To<'a>,
    pub(in crate::registry) operation: Operation,
    /// Whose window it waits for; the permit is kept in the [`Reply`] until it is read or dropped.
    pub(in crate::registry) class: Class,
    /// Headers besides `Accept`, `Authorization`, `User-Agent` and `Content-Length`.
    pub(in crate::registry) headers: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::registry) accept: &'static str,
    pub(in crate::registry) payload: Payload,
    /// Repositories that are mounted from: `pull` on them goes into the same token.
    pub(in crate::registry) mount_from: Option<&'a Repository>,
    /// Whether it may be made again after a 5xx, a reset, a 429: false for streams, whatever is said here.
    pub(in crate::registry) may_repeat: bool,
    /// Until the head of the answer; of a stream, from its end on: on the way there is a limit on silence only.
    pub(in crate::registry) patience: Duration,
}

/// When a request is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Never.
    Never,
    /// When it was surely not carried out: after a 429, or a 503 that names a time.
    WhenPutOff,
    /// After passing trouble, too.
    Always,
}

/// How a request is made, for all its tries.
#[derive(Debug, Clone, Copy)]
struct Manner<'a> {
    spot: &'a Spot<'a>,
    class: Class,
    /// Whether it goes on where another broke off: then it does not wait for its window.
    is_resumed: bool,
    /// One that was waited for before.
    place: &'a parking_lot::Mutex<Option<Permit>>,
    repeat: Repeat,
    patience: Duration,
    watch: Option<&'a Watch>,
}

impl Remote {
    /// Makes the request. 401 is answered with a credential (once more with a fresh token; a stream only before it is begun: then
    /// the error is [`Error::Stale`], and the upload is begun anew).
    pub(in crate::registry) async fn send(&self, request: Request<'_>) -> Result<Reply, Error> {
        let repeat = if request.may_repeat {
            Repeat::Always
        } else {
            Repeat::Never
        };
        self.send_with(request, repeat, false).await
    }

    /// As [`Self::send`], by other rules for making it again.
    pub(super) async fn send_with(
        &self,
        request: Request<'_>,
        repeat: Repeat,
        is_resumed: bool,
    ) -> Result<Reply, Error> {
        self.send_from(request, repeat, is_resumed, None).await
    }

    /// As [`Self::send_with`], from a `place` that was waited for before.
    pub(super) async fn send_from(
        &self,
        request: Request<'_>,
        repeat: Repeat,
        is_resumed: bool,
        place: Option<Permit>,
    ) -> Result<Reply, Error> {
        let place = parking_lot::Mutex::new(place);
        let inner = &*self.client.0;
        let Request {
            method,
            to,
            operation,
            class,
            headers,
            accept,
            payload,
            mount_from,
            may_repeat: _,
            patience,
        } = request;
        let watch = Watch::begin();
        let content = match payload {
            Payload::Empty => Content::Nothing,
            Payload::Whole(bytes) => Content::Whole(bytes),
            Payload::Stream { body, length } => Content::Stream(parking_lot::Mutex::new(Some(
                Watched::new(body, length, watch.clone(), self.mandate.clone()),
            ))),
        };
        let is_stream = content.is_stream();
        let errand = Errand {
            actions: self.intent.actions(),
            mount_from,
            headers: &headers,
            content,
            purpose: match class {
                Class::BlobRead | Class::UploadData => Purpose::Blobs,
                Class::Read | Class::UploadStart | Class::ManifestWrite => Purpose::Documents,
            },
            tally: &self.tally,
            mandate: self.mandate.as_ref(),
        };
        let spot = self.spot(&to)?;
        let path_and_query = match to {
            To::Path(path) => path,
            // For messages: what a `Location` names may be signed.
            To::Location(_) => format!("/v2/{}/blobs/uploads/…", self.repository.path()),
        };
        let api_host = self.repository.registry().api_host();
        let turn = Turn::aside(
            &inner.budgets,
            api_host,
            Deadline::after(patience),
            &inner.settings.observer,
        );
        let manner = Manner {
            spot: &spot,
            class,
            is_resumed,
            place: &place,
            repeat: if is_stream { Repeat::Never } else { repeat },
            patience,
            watch: is_stream.then_some(&*watch),
        };
        let mut choice = inner
            .choices
            .of(&self.repository, self.intent.actions(), &self.access);
        loop {
            let ask = Ask {
                method: method.clone(),
                operation,
                repository: &self.repository,
                path_and_query: path_and_query.clone(),
                accept,
                access: choice.access(),
                turn: &turn,
                known: None,
                body_limit: 0,
                body_name: "an answer",
                errand: Some(&errand),
            };
            let answer = match self.attempts(inner, &ask, manner).await {
                // Another credential may be allowed to.
                Ok(reply)
                    if reply.status == StatusCode::FORBIDDEN
                        && !reply.left
                        && choice.is_one_of_several()
                        && !is_stream =>
                {
                    Err(self.refuse(reply, &ask.asked()).await)
                }
                answer => answer,
            };
            if let Some(answer) = choice.weigh(answer) {
                return answer;
            }
        }
    }

    /// Asks as one account until there is an answer that is no challenge, no plea for patience, and no passing trouble.
    async fn attempts(
        &self,
        inner: &Inner,
        ask: &Ask<'_>,
        manner: Manner<'_>,
    ) -> Result<Reply, Error> {
        let host = inner.hosts.of(ask.host(), ask.access.profile());
        let account = ask.access.account();
        let is_own = manner.spot.is_own();
        let mut redactor = Redactor::for_credential(ask.access.credential.as_ref());
        let mut scope = None;
        let (mut tried, mut rounds, mut pleas) = (1, 1, 1);
        loop {
            let permit = self.enter(inner, ask, manner).await;
            let proof = if is_own {
                ask.turn.admit(account).await?;
                match inner.proof(ask, &host, scope.as_deref()).await {
                    Ok(proof) => proof,
                    Err(error) => {
                        // A token server wants to be left alone for a while, like a registry.
                        let wait = error.retry_after().unwrap_or_default();
                        drop(permit);
                        if wait.is_zero() || pleas >= PLEAS || !ask.turn.spend(wait) {
                            return Err(error);
                        }
                        tokio::time::sleep(wait).await;
                        pleas += 1;
                        continue;
                    }
                }
            } else {
                Proof::Nothing
            };
            if let Proof::Token { token, .. } = &proof {
                redactor.hide(token.secret.expose_secret());
            }
            let opened = match self.open(inner, ask, manner, &proof).await {
                Ok(opened) => opened,
                Err(error) => {
                    let is_passing = match &error {
                        Error::Broken { .. } | Error::TimedOut { .. } => true,
                        Error::Connect { .. } => host.was_heard(),
                        _ => false,
                    };
                    if is_passing {
                        permit.congested();
                    }
                    let may_repeat = is_passing && manner.repeat == Repeat::Always;
                    if !may_repeat || !self.wait_after(&mut tried).await {
                        return Err(error);
                    }
                    continue;
                }
            };
            let status = opened.response.status();
            let headers = opened.response.headers();
            let now = inner.settings.clock.now();
            host.hear();
            if !opened.left {
                ask.turn.answered(account, status, headers, now);
                self.tally.warned(&opened.host, headers, &redactor);
            }
            if status == StatusCode::UNAUTHORIZED && !opened.left {
                let learning = inner.learn(ask, &host, opened, proof, scope, rounds, &redactor);
                // It reads what comes with the challenge, and that may never end.
                scope = tokio::time::timeout(manner.patience, learning)
                    .await
                    .unwrap_or_else(|_| Err(timed_out(ask, manner.patience)))?;
                rounds += 1;
                self.if_replayable(manner)?;
                continue;
            }
            if status == StatusCode::FORBIDDEN
                && !opened.left
                && scope.is_none()
                && let Some(named) = Inner::scope_instead(headers, &proof)
            {
                scope = Some(named);
                self.if_replayable(manner)?;
                continue;
            }
            let asked = retry_after(headers, now);
            if is_too_much(status, asked) {
                permit.congested();
                let wait = if opened.left {
                    asked.unwrap_or(ELSEWHERE)
                } else {
                    ask.turn.too_much(asked)
                };
                if manner.repeat == Repeat::Never {
                    return Ok(self.reply(inner, ask, opened, None, redactor));
                }
                // The registry's own pause is waited for when it is asked for admission.
                let has_patience = if opened.left {
                    ask.turn.spend(wait)
                } else {
                    wait <= ask.turn.patience()
                };
                if pleas >= PLEAS || !has_patience {
                    return Err(Error::RateLimited {
                        host: opened.host,
                        retry_after: Some(wait),
                    });
                }
                if opened.left {
                    tokio::time::sleep(wait).await;
                }
                pleas += 1;
                self.tally.retried();
                continue;
            }
            if is_worth_another_try(status) && manner.repeat == Repeat::Always {
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    permit.congested();
                } else {
                    drop(permit);
                }
                if self.wait_after(&mut tried).await {
                    continue;
                }
                return Ok(self.reply(inner, ask, opened, None, redactor));
            }
            return Ok(self.reply(inner, ask, opened, Some(permit), redactor));
        }
    }

    async fn enter(&self, inner: &Inner, ask: &Ask<'_>, manner: Manner<'_>) -> Permit {
        if let Some(place) = manner.place.lock().take() {
            return place;
        }
        if manner.is_resumed {
            inner.windows.enter_at_once(ask.host(), manner.class)
        } else {
            inner.windows.enter(ask.host(), manner.class).await
        }
    }

    /// One request, until the head of its answer.
    async fn open(
        &self,
        inner: &Inner,
        ask: &Ask<'_>,
        manner: Manner<'_>,
        proof: &Proof,
    ) -> Result<Opened, Error> {
        let transport = &inner.transport;
        let opening = async {
            match manner.spot {
                Spot::Path => {
                    let host = inner.hosts.of(ask.host(), ask.access.profile());
                    transport.open(ask, &host, proof.authorization()).await
                }
                Spot::Own(url) => {
                    let authorization = proof.authorization();
                    if url.scheme() == "http"
                        && authorization.is_some_and(|sent| sent.is_secret)
                        && !ask
                            .access
                            .allows_plain_http_credential(ask.repository.registry())
                    {
                        return Err(Error::PlainHttpCredential {
                            host: ask.host().to_owned(),
                        });
                    }
                    transport.open_at(ask, url, None, authorization).await
                }
                Spot::Foreign(url, reach) => transport.open_at(ask, url, Some(*reach), None).await,
            }
        };
        match manner.watch {
            None => tokio::time::timeout(manner.patience, opening)
                .await
                .unwrap_or_else(|_| Err(timed_out(ask, manner.patience))),
            Some(watch) => {
                watch.go();
                let stall = inner.settings.copying.stall;
                tokio::select! {
                    opened = opening => opened,
                    allowed = watch.out_of_patience(stall, manner.patience) => Err(timed_out(ask, allowed)),
                }
            }
        }
    }

    /// A stream cannot be sent again after a challenge.
    fn if_replayable(&self, manner: Manner<'_>) -> Result<(), Error> {
        if manner.watch.is_none() {
            return Ok(());
        }
        Err(Error::Stale {
            host: self.repository.registry().api_host().to_owned(),
            repository: self.repository.path().to_owned(),
        })
    }

    /// Waits before the next try; false: there was the last one.
    pub(super) async fn wait_after(&self, tried: &mut u32) -> bool {
        let patience = self.client.0.settings.copying.patience;
        if *tried >= patience.tries {
            return false;
        }
        tokio::time::sleep(patience.wait_after(*tried)).await;
        *tried += 1;
        self.tally.retried();
        true
    }

    fn reply(
        &self,
        inner: &Inner,
        ask: &Ask<'_>,
        opened: Opened,
        permit: Option<Permit>,
        redactor: Redactor,
    ) -> Reply {
        let stall = match ask.errand.map(|errand| errand.purpose) {
            Some(Purpose::Blobs) => inner.settings.copying.stall,
            Some(Purpose::Documents) | None => inner.settings.stall_timeout,
        };
        Reply::new(
            opened,
            permit,
            redactor,
            self.repository.path(),
            ask.right(),
            Stall::new(stall),
        )
    }

    /// Who we are there, for messages and keys.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }
}

fn timed_out(ask: &Ask<'_>, allowed: Duration) -> Error {
    Error::TimedOut {
        host: ask.host().to_owned(),
        allowed,
    }
}
