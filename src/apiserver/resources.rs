//! The end of the chain: routes a request that is already authenticated and authorised to a document, a get, a list, a
//! watch or a query, and turns every refusal into an answer.
//!
//! Nothing here asks who the caller is, but for queries, which may look at what their author may not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::api::tags::{GROUP, VERSION};
use crate::apiserver::chain::Resources;
use crate::apiserver::documents::Documents;
use crate::apiserver::get::get;
use crate::apiserver::kind::Kind;
use crate::apiserver::list::list;
use crate::apiserver::negotiate::{Negotiated, Shape, negotiate};
use crate::apiserver::query::Query;
use crate::apiserver::recent::Recent;
use crate::apiserver::request_info::{RequestInfo, ResourceRequest, User, Verb};
use crate::apiserver::response::{Payload, Refusal, gzip, refuse, refuse_with};
use crate::apiserver::status::Status;
use crate::apiserver::tag_query::{self, TagQueries};
use crate::apiserver::watch::websocket::Upgrade;
use crate::apiserver::watch::{self, Shared, watch};
use crate::clock::SharedClock;
use crate::serve::Body;
use crate::store::{ResourceVersion, Store};

/// How long a request for a newer state than this server's waits for it.
pub(super) const FRESH_WAIT: Duration = Duration::from_secs(3);

/// The resources of `tags.tagscope.dev/v1alpha1` over one store.
#[derive(Debug)]
pub struct Tags {
    store: Store,
    clock: SharedClock,
    shutdown: CancellationToken,
    recent: Recent,
    watches: Arc<Shared>,
    documents: &'static Documents,
    queries: Option<TagQueries>,
}

impl Tags {
    /// Serves `store`; `clock` tells ages, and watches end on `shutdown`.
    pub fn new(store: Store, clock: SharedClock, shutdown: CancellationToken) -> Self {
        Self {
            store,
            clock,
            shutdown,
            recent: Recent::default(),
            watches: Arc::new(Shared::new(Arc::new(()))),
            documents: Documents::of_this_build(),
            queries: None,
        }
    }

    /// Answers TagQueries, too; without this, they are refused.
    #[must_use]
    pub fn with_queries(self, queries: TagQueries) -> Self {
        Self {
            queries: Some(queries),
            ..self
        }
    }

    /// The same, with somebody who learns what its watches do.
    #[must_use]
    pub fn with_watches_observed(self, observer: Arc<dyn watch::Observer>) -> Self {
        Self {
            watches: Arc::new(Shared::new(observer)),
            ..self
        }
    }

    /// Answers the creation of something by `user`, who may create it; nothing else has a body that is read.
    pub async fn create<B>(
        &self,
        request: &Parts,
        info: &RequestInfo,
        user: &User,
        body: B,
    ) -> Response<Payload>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
    {
        match (tag_query::creates(info), &self.queries) {
            (Some(namespace), Some(queries)) => {
                queries.create(request, namespace, body, user).await
            }
            (Some(_), None) => refuse(
                &Status::no_such_path(),
                Negotiated::of_status(&request.headers, request.uri.query()),
            ),
            (None, _) => self.respond(request, info).await,
        }
    }

    /// Answers a request that has no body, or none that is read. The server cuts the body off for HEAD.
    pub async fn respond(&self, request: &Parts, info: &RequestInfo) -> Response<Payload> {
        let query = Query::parse(request.uri.query());
        let answer = match info {
            RequestInfo::NonResource { path, .. } => self
                .documents
                .respond(request, path, &query, self.clock.now())
                .map_err(Refusal::from),
            RequestInfo::Resource(resource) => {
                match self.resource(request, resource, &query).await {
                    Ok(answer) if matches!(resource.verb, Verb::Get | Verb::List) => {
                        Ok(gzip::offered(answer, &request.headers).await)
                    }
                    answer => answer,
                }
            }
        };
        answer.unwrap_or_else(|refusal| {
            refuse_with(
                &refusal.status,
                refusal.continue_token.as_deref(),
                Negotiated::of_status(&request.headers, request.uri.query()),
            )
        })
    }

    async fn resource(
        &self,
        request: &Parts,
        resource: &ResourceRequest,
        query: &Query,
    ) -> Result<Response<Payload>, Refusal> {
        if tag_query::is_meant(resource) {
            return Ok(tag_query::refuse_all_else(request));
        }
        let kind = match Kind::of_resource(&resource.resource) {
            Some(kind)
                if resource.group == GROUP
                    && resource.version == VERSION
                    && resource.subresource.is_none() =>
            {
                kind
            }
            Some(_) | None => return Err(Status::no_such_path().into()),
        };
        let namespace = resource.namespace.as_deref();
        match resource.verb {
            Verb::Get => {
                let (Some(namespace), Some(name)) = (namespace, resource.name.as_deref()) else {
                    return Err(Status::no_such_path().into());
                };
                let negotiated = negotiate(&request.headers, query, Shape::One)?;
                get(self, kind, namespace, name, query, negotiated).await
            }
            Verb::List => {
                let negotiated = negotiate(&request.headers, query, Shape::List)?;
                list(self, kind, namespace, query, negotiated).await
            }
            // The prefix of old is a watch by any method, for authorization; it is served by one.
            Verb::Watch if !matches!(request.method, Method::GET | Method::HEAD) => {
                Err(Status::method_not_allowed(Some(kind)).into())
            }
            Verb::Watch => {
                let negotiated = negotiate(&request.headers, query, Shape::Stream)?;
                let name = resource.name.as_deref();
                watch(self, kind, namespace, name, query, negotiated).await
            }
            Verb::Create
            | Verb::Update
            | Verb::Patch
            | Verb::Delete
            | Verb::DeleteCollection
            | Verb::Unknown => Err(Status::method_not_allowed(Some(kind)).into()),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    pub(super) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    pub(super) fn watches(&self) -> &Arc<Shared> {
        &self.watches
    }

    pub(super) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Waits until the store is at `version` or beyond; 504 when it does not get there soon.
    pub(super) async fn wait_for(&self, version: ResourceVersion) -> Result<(), Status> {
        let mut changed = self.store.changed();
        let reached = tokio::select! {
            reached = tokio::time::timeout(FRESH_WAIT, changed.wait_for(|newest| *newest >= version)) => {
                matches!(reached, Ok(Ok(_)))
            }
            () = self.shutdown.cancelled() => false,
        };
        if reached {
            return Ok(());
        }
        Err(Status::too_large_resource_version(
            version,
            self.store.snapshot().resource_version(),
        ))
    }
}

impl Resources for Tags {
    fn handle(
        &self,
        mut request: Request<Incoming>,
        info: RequestInfo,
        user: User,
    ) -> BoxFuture<'_, Response<Body>> {
        let upgrade = Upgrade::asked_by(&mut request, &info);
        let (parts, body) = request.into_parts();
        async move {
            match upgrade {
                None if tag_query::creates(&info).is_some() => {
                    let answer = self.create(&parts, &info, &user, body).await;
                    answer.map(Body::from)
                }
                None => self.respond(&parts, &info).await.map(Body::from),
                Some(Ok(upgrade)) => {
                    upgrade.carry(self.respond(&parts, &info).await, &self.watches)
                }
                Some(Err(refusal)) => refusal.map(Body::from),
            }
        }
        .boxed()
    }
}
