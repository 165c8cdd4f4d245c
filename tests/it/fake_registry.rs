//! A container registry with a memory and with faults on demand, for tests and benchmarks.
//!
//! One registry behind two listeners (plain and TLS), its token server behind two more, and its store of blobs (another
//! origin) behind the last two. It keeps what it is given, answers as the distribution specification has it, writes
//! down every request, and misbehaves when it is told to. Depends on nothing of tagscope: it can stand anywhere.
//!
//! What is in it:
//!
//! ```ignore
//! let source = FakeRegistry::start().await;
//! source.add_repository("team/app", ["1.0.0", "1.1.0"]);         // tags with tiny generated manifests
//! let image = Image::sized(7, &[1000, 70_000]);                  // layers of these sizes; bytes follow from the seed
//! let digest = source.add_image("team/app", "1.0", &image);      // Image::new([Layer::new(seed, size), …]) shares layers
//! let index = Image::index([
//!     Image::sized(1, &[500]).platform("linux/amd64"),
//!     Image::sized(2, &[500]).platform("linux/arm64/v8"),
//! ]);                                                            // .docker(), .sha512(), .annotation(), .artifact_type(),
//! source.add_image("team/app", "2.0", &index);                   // .subject(&digest), .field(name, json)
//! source.add_referrer("team/app", &digest, "application/x", 9);  // what the referrers API lists
//! source.add_referrers_tag("team/app", &digest);                 // `sha256-<hex>`, for where there is no API
//! source.add_cosign("team/app", &digest, "sig", 9);              // `sha256-<hex>.sig`
//! source.put_manifest("team/app", Some("odd"), "application/…", &json!({…}));  // anything, not looked at
//! source.lose_blob("team/app", &layer.digest());                 // lose_manifest, lose_repository, lose_sessions,
//! source.corrupt_blob("team/app", &digest, "other");             // corrupt_manifest, set_tag, delete_tag
//! ```
//!
//! What it offers, and to whom:
//!
//! ```ignore
//! source.set_auth(Auth::Bearer { … });                           // scopes pull, push, delete; Basic; Open
//! source.configure(|options| {                                   // everything: `Options`
//!     options.immutable_tags = Some(412);
//!     options.has_referrers = false;
//!     options.mounts = Mounts::Ignored;
//!     options.redirects_blobs_to = Some("localhost");            // blobs come from the store: 307 to another origin
//!     options.token_lifetime = Duration::from_secs(5);
//! });
//! source.set_paging(Paging { … });
//! source.become_a(Personality::Ghcr);                            // several of these together
//! ```
//!
//! Faults, by a queue or by a script:
//!
//! ```ignore
//! registry.fail_next(Fault::Status(503));                        // fail_times, fail_always, fail_next_token
//! registry.on(Method::GET, "/blobs/", Nth::First(2), Fault::TruncateAt(1000));
//! registry.on(Method::PUT, r"/blobs/uploads/.*digest=", Nth::Every, Fault::Unread(413));
//! registry.on(Method::PUT, "/manifests/1.0$", Nth::Exactly(1), Fault::CommitThenReset);
//! registry.on(None::<Method>, "^/token", Nth::First(1), Fault::RateLimited(None));
//! registry.heal();                                               // no more of any
//! ```
//!
//! What came of it:
//!
//! ```ignore
//! destination.check_whole("team/app");                           // panics, naming what is missing or wrong
//! assert_eq!(destination.tag_digest("team/app", "1.0"), Some(digest));
//! assert!(destination.has_blob("team/app", &layer.digest()));    // also blob, blobs, tags, manifest
//! assert_eq!(destination.sessions(), 0);                         // no upload left open; session_bytes
//! assert_eq!(source.count_of(&Method::GET, Route::Blob), 2);     // count, count_where, requests, conversation
//! assert!(source.bytes_out() < 80_000);                          // bytes_in; per request in `Request`
//! assert!(source.most_at_once(Route::Blob) <= 4);
//! assert!(!destination.saw("the source's password"));
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may be blunt, their helpers too"
)]

mod access;
mod answers;
mod blobs;
mod checks;
mod content;
mod faults;
mod images;
mod listener;
mod lists;
mod log;
mod manifests;
mod meter;
mod misbehaviour;
mod options;
mod personalities;
mod replies;
mod state;
mod tokens;
mod uploads;

mod tests;
mod tests_of_faults;
mod tests_of_images;
mod tests_of_uploads;

use std::net::SocketAddr;
use std::sync::Arc;

use faults::Script;
use http::Method;
use parking_lot::Mutex;
use tokio::task::JoinSet;

pub(crate) use content::{bytes_of, digest_of};
pub(crate) use faults::{Fault, Nth};
pub(crate) use images::{Image, Layer};
pub(crate) use log::{Listener, Request, Route, Sent};
pub(crate) use options::{Auth, ETags, LaterPatches, Links, Mounts, Options, Paging};
pub(crate) use personalities::Personality;

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
    store_plain: SocketAddr,
    store_tls: SocketAddr,
}

impl Shared {
    /// Scheme, host and port of the store, for whoever came to `listener`.
    fn store_origin(&self, listener: Listener, host: &str) -> String {
        if listener.is_tls() {
            format!("https://{host}:{}", self.store_tls.port())
        } else {
            format!("http://{host}:{}", self.store_plain.port())
        }
    }
}

impl FakeRegistry {
    /// An open, empty registry on loopback.
    pub(crate) async fn start() -> Self {
        let authority = Authority::new();
        let [plain, tls, token_plain, token_tls, store_plain, store_tls] = [
            listener::bind().await,
            listener::bind().await,
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
            store_plain: address(&store_plain),
            store_tls: address(&store_tls),
        });
        let mut tasks = JoinSet::new();
        let acceptor = authority.acceptor();
        for (socket, acceptor, kind) in [
            (plain, None, Listener::Plain),
            (tls, Some(acceptor.clone()), Listener::Tls),
            (token_plain, None, Listener::TokenPlain),
            (token_tls, Some(acceptor.clone()), Listener::TokenTls),
            (store_plain, None, Listener::StorePlain),
            (store_tls, Some(acceptor), Listener::StoreTls),
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
        state
            .repository(path)
            .put_manifest(tag, media_type, content.to_string().into_bytes())
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

    /// Requests of `method` to `path` or `path?query` like `pattern` meet `fault`, the `nth` of those that get past
    /// authentication (the token server's and the store's too). The queue of [`Self::fail_next`] comes first.
    pub(crate) fn on(
        &self,
        method: impl Into<Option<Method>>,
        pattern: &str,
        nth: Nth,
        fault: Fault,
    ) {
        let script = Script::new(method.into(), pattern, nth, fault);
        self.shared.state.lock().scripts.push(script);
    }

    /// Changes what the registry offers.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.shared.state.lock().options);
    }

    /// No more faults.
    pub(crate) fn heal(&self) {
        let mut state = self.shared.state.lock();
        state.faults.clear();
        state.token_faults.clear();
        state.scripts.clear();
        state.standing_fault = None;
    }

    /// Every request so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().book.requests().to_vec()
    }

    /// Forgets the requests so far, the bytes that were counted, and how many there were at once.
    pub(crate) fn clear_requests(&self) {
        self.shared.state.lock().book.clear();
    }

    /// How many requests went to `route`.
    pub(crate) fn count(&self, route: Route) -> usize {
        self.shared
            .state
            .lock()
            .book
            .requests()
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
