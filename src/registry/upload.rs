//! Uploads: how one is begun (or a blob mounted in its place), and on which rung of the ladder a host takes the bytes.
//!
//! The ladder (distribution specification, "pushing blobs"): POST and one PUT with the length; else POST, one PATCH without
//! a Content-Range, and an empty PUT; else chunks with Content-Range, of at least `OCI-Chunk-Min-Length`. Which rung a host
//! takes is remembered for a day. `Location` is hostile: resolved against the request, its query kept and `digest`
//! added, and followed to another host only without a credential and never nearer than the registry.

pub(super) mod ladder;
pub(super) mod location;
mod memory;
mod small;
pub(super) mod steps;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::LOCATION;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use url::Url;
use url::form_urlencoded::Serializer;

use super::observe::Operation;
use super::remote::Remote;
use super::remote::request::{Payload, Reply, Request, To};
use super::window::Class;
use super::{Error, Kind};
use crate::image::{Digest, Repository};
use crate::mirror::canonical;

pub(super) use memory::{Cause, Memory};
use steps::{ACCEPT, Told};

/// Until the head of an answer that no bytes of a blob are needed for.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// For giving a session up: nothing depends on it.
const LITTLE_PATIENCE: Duration = Duration::from_secs(5);

/// An upload that has begun.
#[derive(Clone)]
pub struct Session {
    /// Where the bytes go. May be signed: never printed.
    pub(super) url: Url,
    /// The shortest chunk the registry takes, if it said so.
    pub(super) least_chunk: Option<u64>,
    open: Open,
}

/// Where the session of one upload is open now, for whoever has to give it up while somebody else uses it: it moves, and
/// another one may have taken its place.
#[derive(Clone, Default)]
pub struct Open(Arc<Mutex<Opening>>);

#[derive(Default)]
struct Opening {
    url: Option<Url>,
    /// Asked for, and not known yet.
    is_asked_for: bool,
}

/// For as long as a session is being asked for.
pub(super) struct Asking<'a>(&'a Open);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.0.lock().is_asked_for = false;
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.0.lock().url.is_some();
        f.debug_tuple("Open").field(&is_open).finish()
    }
}

impl Open {
    fn at(&self, url: &Url) {
        self.0.lock().url = Some(url.clone());
    }

    /// A session is asked for from now on: whoever breaks that off may leave one behind that nobody knows.
    pub(super) fn asking(&self) -> Asking<'_> {
        self.0.lock().is_asked_for = true;
        Asking(self)
    }

    /// Whether one is being asked for.
    pub(super) fn is_asked_for(&self) -> bool {
        self.0.lock().is_asked_for
    }

    /// It has come to an end.
    pub(super) fn close(&self) {
        self.0.lock().url.take();
    }
}

impl Session {
    /// Where it is open.
    pub(super) fn open(&self) -> &Open {
        &self.open
    }

    /// Takes the place of the session that `open` was about.
    pub(super) fn replacing(mut self, open: &Open) -> Self {
        open.at(&self.url);
        self.open = open.clone();
        self
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// What became of the wish to begin.
#[derive(Debug)]
pub enum Begun {
    /// The blob was mounted: nothing is to be sent.
    Mounted,
    /// Send it.
    Session(Session),
}

impl Remote {
    /// Begins an upload of `blob`; with `mount_from`, asks in the same request to take it from that repository of the same
    /// registry instead (a refusal to mount begins an ordinary upload, with one more request only where the registry
    /// answered with an error).
    pub async fn begin_upload(
        &self,
        blob: &Digest,
        mount_from: Option<&Repository>,
    ) -> Result<Begun, Error> {
        let memory = &self.inner().uploads;
        let here = self.repository();
        let candidate = mount_from
            .filter(|from| {
                // What is known goes by a registry's one name.
                let is_same =
                    canonical::registry(from.registry()) == canonical::registry(here.registry());
                is_same && from.path() != here.path()
            })
            .filter(|_| memory.mounts(self.api_host()));
        let Some(from) = candidate else {
            return self.begin(blob).await.map(Begun::Session);
        };
        let mut is_to_blame = false;
        let asked = format!("POST with a mount of {blob}");
        match self.post(Some((blob, from))).await {
            Ok(reply) => match reply.status {
                StatusCode::CREATED => return Ok(Begun::Mounted),
                StatusCode::ACCEPTED if reply.headers.contains_key(LOCATION) => {
                    return self.session(&reply).await.map(Begun::Session);
                }
                StatusCode::TOO_MANY_REQUESTS => return Err(self.refuse(reply, &asked).await),
                // Neither mounted nor begun: the one who asks plainly is told why.
                status => is_to_blame = !matches!(status.as_u16(), 200..300 | 502..505),
            },
            Err(error) => match error.kind() {
                Kind::Transport | Kind::Unavailable => {}
                Kind::Authentication | Kind::Forbidden | Kind::NotFound | Kind::Protocol => {
                    is_to_blame = true;
                }
                Kind::InvalidName
                | Kind::RateLimited
                | Kind::Certificate
                | Kind::Integrity
                | Kind::Limit
                | Kind::Unsafe
                | Kind::Configuration => return Err(error),
            },
        }
        let session = self.begin(blob).await?;
        if is_to_blame {
            memory.mount_failed(self.api_host());
        }
        Ok(Begun::Session(session))
    }

    /// Gives a session up (`DELETE`), best effort.
    pub async fn cancel_upload(&self, session: Session) {
        session.open.close();
        self.delete_upload(&session.url).await;
    }

    /// Gives up what is open there, if anything is. Whoever uses it has to have let go of it.
    pub(super) async fn give_up(&self, open: &Open) {
        let url = open.0.lock().url.take();
        if let Some(url) = url {
            self.delete_upload(&url).await;
        }
    }

    async fn delete_upload(&self, url: &Url) {
        let request = Request {
            method: Method::DELETE,
            to: To::Location(url),
            operation: Operation::Upload,
            class: Class::UploadStart,
            headers: Vec::new(),
            accept: ACCEPT,
            payload: Payload::Empty,
            mount_from: None,
            may_repeat: false,
            patience: LITTLE_PATIENCE,
        };
        if let Err(error) = self.send(request).await {
            tracing::debug!(%error, "An upload could not be given up");
        }
    }

    /// The registry's host and port.
    pub(super) fn api_host(&self) -> &str {
        self.repository().registry().api_host()
    }

    /// Begins an upload, and nothing else.
    pub(super) async fn begin(&self, blob: &Digest) -> Result<Session, Error> {
        let asked = format!("POST for an upload of {blob}");
        let reply = self.post(None).await?;
        match reply.status {
            StatusCode::ACCEPTED => self.session(&reply).await,
            status if status.is_success() => Err(Error::Malformed {
                host: reply.host.clone(),
                asked,
                cause: format!("{status} begins no upload"),
            }),
            StatusCode::NOT_FOUND => {
                let told = Told::of(self, reply, &asked).await;
                Err(Error::NotFound {
                    host: self.api_host().to_owned(),
                    what: format!(
                        "the repository {}, and does not make it: it has to be made there first",
                        self.repository().path()
                    ),
                    is_no_repository: true,
                    detail: told.detail().to_owned(),
                })
            }
            _ => Err(self.refuse(reply, &asked).await),
        }
    }

    async fn post(&self, mount: Option<(&Digest, &Repository)>) -> Result<Reply, Error> {
        let mut path = format!("/v2/{}/blobs/uploads/", self.repository().path());
        if let Some((blob, from)) = mount {
            let query = Serializer::new(String::new())
                .append_pair("mount", blob.as_str())
                .append_pair("from", from.path())
                .finish();
            path.push('?');
            path.push_str(&query);
        }
        self.send(Request {
            method: Method::POST,
            to: To::Path(path),
            operation: Operation::Upload,
            class: Class::UploadStart,
            headers: Vec::new(),
            accept: ACCEPT,
            payload: Payload::Empty,
            mount_from: mount.map(|(_, from)| from),
            // A mount that fails is followed by an ordinary upload anyway.
            may_repeat: mount.is_none(),
            patience: PATIENCE,
        })
        .await
    }

    async fn session(&self, reply: &Reply) -> Result<Session, Error> {
        let url = self.resolve(reply).await?;
        let open = Open::default();
        open.at(&url);
        Ok(Session {
            url,
            least_chunk: location::least_chunk(&reply.headers),
            open,
        })
    }
}
