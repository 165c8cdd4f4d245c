//! A container registry with a memory and with faults on demand, for tests and benchmarks.
//!
//! One registry behind two listeners, plain and TLS, and its token server behind two more. It keeps what it
//! is given, answers as the distribution specification has it, writes down every request, and misbehaves
//! when it is told to. Depends on nothing of tagscope: it can stand anywhere.
//!
//! ```ignore
//! let registry = FakeRegistry::start().await;
//! registry.add_repository("team/app", ["1.0.0", "1.1.0"]);
//! registry.fail_next(Fault::Status(503));
//! // … use registry.image("team/app") …
//! assert_eq!(registry.count(Route::List), 2);
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may be blunt, their helpers too"
)]

mod answers;
mod faults;
mod listener;
mod log;
mod misbehaviour;
mod state;
mod tokens;

mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;

pub(crate) use faults::Fault;
pub(crate) use log::{Listener, Request, Route, Sent};
pub(crate) use state::{Auth, ETags, Links, Paging};

use listener::Authority;
use state::State;

/// A running registry; gone when dropped.
#[derive(Debug)]
pub(crate) struct FakeRegistry {
    shared: Arc<Shared>,
    authority: Authority,
    _tasks: JoinSet<()>,
}

/// What every connection works on.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    plain: SocketAddr,
    tls: SocketAddr,
    token_plain: SocketAddr,
    token_tls: SocketAddr,
}

impl FakeRegistry {
    /// An open, empty registry on loopback.
    pub(crate) async fn start() -> Self {
        let authority = Authority::new();
        let [plain, tls, token_plain, token_tls] = [
            listener::bind().await,
            listener::bind().await,
            listener::bind().await,
            listener::bind().await,
        ];
        let address = |socket: &tokio::net::TcpListener| socket.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            plain: address(&plain),
            tls: address(&tls),
            token_plain: address(&token_plain),
            token_tls: address(&token_tls),
        });
        let mut tasks = JoinSet::new();
        let acceptor = authority.acceptor();
        for (socket, acceptor, kind) in [
            (plain, None, Listener::Plain),
            (tls, Some(acceptor.clone()), Listener::Tls),
            (token_plain, None, Listener::TokenPlain),
            (token_tls, Some(acceptor), Listener::TokenTls),
        ] {
            tasks.spawn(listener::serve(socket, acceptor, kind, Arc::clone(&shared)));
        }
        Self {
            shared,
            authority,
            _tasks: tasks,
        }
    }

    /// `127.0.0.1:port` of the plain listener.
    pub(crate) fn plain_host(&self) -> String {
        self.shared.plain.to_string()
    }

    /// `127.0.0.1:port` of the TLS listener.
    pub(crate) fn tls_host(&self) -> String {
        self.shared.tls.to_string()
    }

    /// The certificate authority that the TLS listeners' certificate (`localhost`, `127.0.0.1`) comes from.
    pub(crate) fn ca_pem(&self) -> &str {
        self.authority.pem()
    }

    /// The name of the repository `path` behind the plain listener.
    pub(crate) fn image(&self, path: &str) -> String {
        format!("{}/{path}", self.plain_host())
    }

    /// The name of the repository `path` behind the TLS listener.
    pub(crate) fn tls_image(&self, path: &str) -> String {
        format!("{}/{path}", self.tls_host())
    }

    /// Adds (or replaces) a repository. Tags are listed in the order given.
    pub(crate) fn add_repository(
        &self,
        path: &str,
        tags: impl IntoIterator<Item = impl Into<String>>,
    ) {
        self.shared
            .state
            .lock()
            .add_repository(path, tags.into_iter().map(Into::into).collect());
    }

    /// Adds one tag, and the repository when it is new. Returns the digest it points at.
    pub(crate) fn push(&self, path: &str, tag: &str) -> String {
        self.shared.state.lock().push(path, tag)
    }

    /// Removes one tag.
    pub(crate) fn delete_tag(&self, path: &str, tag: &str) {
        self.shared.state.lock().delete_tag(path, tag);
    }

    /// Who may read from now on. Tokens given so far are void.
    pub(crate) fn set_auth(&self, auth: Auth) {
        self.shared.state.lock().set_auth(auth);
    }

    /// Makes every token given so far void.
    pub(crate) fn revoke_tokens(&self) {
        self.shared.state.lock().revoke_tokens();
    }

    /// How lists are cut into pages from now on.
    pub(crate) fn set_paging(&self, paging: Paging) {
        self.shared.state.lock().paging = paging;
    }

    /// Whether lists have ETags from now on, and are not sent again to whoever knows them.
    pub(crate) fn set_etags(&self, etags: ETags) {
        self.shared.state.lock().etags = etags;
    }

    /// How many lists were sent, and not only said to be unchanged.
    pub(crate) fn list_bodies(&self) -> usize {
        self.shared.state.lock().list_bodies
    }

    /// Adds a manifest or an index, under `tag` if one is given. Returns its digest.
    pub(crate) fn put_manifest(
        &self,
        path: &str,
        tag: Option<&str>,
        media_type: &str,
        content: &serde_json::Value,
    ) -> String {
        let mut state = self.shared.state.lock();
        let repository = state.repositories.entry(path.to_owned()).or_default();
        repository.put_manifest(tag, media_type, content.to_string().into_bytes())
    }

    /// The next request that gets past authentication meets `fault`. Calls queue up.
    pub(crate) fn fail_next(&self, fault: Fault) {
        self.fail_times(1, fault);
    }

    /// The next `times` requests that get past authentication meet `fault`.
    pub(crate) fn fail_times(&self, times: usize, fault: Fault) {
        self.shared
            .state
            .lock()
            .faults
            .extend(std::iter::repeat_n(fault, times));
    }

    /// Every request that gets past authentication meets `fault` from now on, once the queue is empty.
    pub(crate) fn fail_always(&self, fault: Fault) {
        self.shared.state.lock().standing_fault = Some(fault);
    }

    /// The next request to the token server meets `fault`. Calls queue up.
    pub(crate) fn fail_next_token(&self, fault: Fault) {
        self.shared.state.lock().token_faults.push_back(fault);
    }

    /// No more faults.
    pub(crate) fn heal(&self) {
        let mut state = self.shared.state.lock();
        state.faults.clear();
        state.token_faults.clear();
        state.standing_fault = None;
    }

    /// Every request so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().log.clone()
    }

    /// Forgets the requests so far.
    pub(crate) fn clear_requests(&self) {
        self.shared.state.lock().log.clear();
    }

    /// How many requests went to `route`.
    pub(crate) fn count(&self, route: Route) -> usize {
        self.shared
            .state
            .lock()
            .log
            .iter()
            .filter(|request| request.route == route)
            .count()
    }

    /// How many connections `listener` has accepted.
    pub(crate) fn connections(&self, listener: Listener) -> usize {
        self.shared
            .state
            .lock()
            .connections
            .get(&listener)
            .copied()
            .unwrap_or_default()
    }
}
