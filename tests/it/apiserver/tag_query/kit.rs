//! A server that answers queries, over a store in memory, with everything it asks others in the test's hands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tagscope::api::reference::ImageRef;
use tagscope::api::{ImagePolicy, ImageRepository, ImageRepositorySpec};
use tagscope::apiserver::authz::{self, Authorizer};
use tagscope::apiserver::request_info::{RequestInfo, User};
use tagscope::apiserver::resources::Tags;
use tagscope::apiserver::response::Payload;
use tagscope::apiserver::review::{Failure, Reviewer};
use tagscope::apiserver::tag_query::{Knowledge, Referred, Required, Seen, Standing, TagQueries};
use tagscope::cluster::index::Found;
use tagscope::image::{Digest, Repository};
use tagscope::object::Key;
use tagscope::policy::Candidates;
use tagscope::policy::governance::{Gap, InForce, Known};
use tagscope::secret::SecretString;
use tagscope::store::{Copies, RepositoryTags, Verified};

use crate::apiserver::support::{Answer, BASE, World};

/// What others know.
#[derive(Debug, Default)]
pub(super) struct Others {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_unsynced: bool,
    policies: BTreeMap<String, Arc<ImagePolicy>>,
    referred: BTreeMap<String, Referred>,
    standing: Standing,
    platforms: BTreeMap<String, Known>,
    mirrored: BTreeMap<String, Arc<Copies>>,
    never_answers: bool,
    rights: BTreeSet<String>,
    asked: Vec<String>,
    fails: Option<Failure>,
}

impl Knowledge for Others {
    fn is_synced(&self) -> bool {
        !self.state.lock().is_unsynced
    }

    fn policy(&self, key: &Key) -> Found<ImagePolicy> {
        let found = self.state.lock().policies.get(&key.to_string()).cloned();
        found.map_or(Found::Absent, Found::Object)
    }

    fn refer<'a>(&'a self, namespace: &'a str, reference: &'a Key) -> BoxFuture<'a, Referred> {
        async move {
            if self.state.lock().never_answers {
                std::future::pending::<()>().await;
            }
            let state = self.state.lock();
            let wanted = [format!("{namespace}>{reference}"), reference.to_string()];
            let found = wanted.iter().find_map(|key| state.referred.get(key));
            found
                .cloned()
                .unwrap_or_else(|| Referred::Missing(format!("{reference} is not there")))
        }
        .boxed()
    }

    fn standing(&self, _: &Key, _: &ImagePolicy, _: &Key) -> Standing {
        self.state.lock().standing.clone()
    }

    fn is_awaited(
        &self,
        _: &ImagePolicy,
        _: &InForce,
        tags: &RepositoryTags,
        current: &ImageRef,
    ) -> bool {
        !tags.is_complete() && tags.tag(&current.tag).is_none()
    }

    fn platforms(&self, _: &Key, _: &Repository, tag: &str) -> Option<Known> {
        self.state.lock().platforms.get(tag).cloned()
    }

    fn mirrored(&self, mirror: &Key, asked: Required<'_>) -> Result<Arc<Copies>, Gap> {
        let copies = self.state.lock().mirrored.get(&mirror.to_string()).cloned();
        copies
            .filter(|copies| copies.image == *asked.image)
            .ok_or(Gap::Missing)
    }

    fn candidates(&self, tags: &RepositoryTags) -> Arc<Candidates> {
        Arc::new(Candidates::visit(|push| tags.for_each_descending(push)))
    }
}

impl Reviewer for Others {
    fn token<'a>(
        &'a self,
        _: &'a SecretString,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>> {
        async { Err(Failure::BrokenOff) }.boxed()
    }

    fn access(
        &self,
        spec: SubjectAccessReviewSpec,
    ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>> {
        let mut state = self.state.lock();
        let wanted = spec.resource_attributes.unwrap();
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut right = format!(
            "{} {}.{}/{} in {}",
            part(&wanted.verb),
            part(&wanted.resource),
            part(&wanted.group),
            part(&wanted.version),
            part(&wanted.namespace)
        );
        if let Some(name) = &wanted.name {
            right = format!("{right} named {name}");
        }
        state.asked.push(format!("{} {right}", part(&spec.user)));
        let answer = match &state.fails {
            Some(failure) => Err(failure.clone()),
            None => Ok(SubjectAccessReviewStatus {
                allowed: state.rights.contains(&right),
                ..SubjectAccessReviewStatus::default()
            }),
        };
        async move { answer }.boxed()
    }
}

/// The server.
pub(super) struct Kit {
    pub(super) world: World,
    pub(super) others: Arc<Others>,
    tags: Tags,
}

pub(super) const LIST_IN_APPS: &str = "list imagetags.tags.tagscope.dev/v1alpha1 in apps";
pub(super) const GET_POLICY: &str =
    "get imagepolicies.image.toolkit.fluxcd.io/v1 in apps named stable";

impl Kit {
    /// Nothing is there, and jane may nothing.
    pub(super) fn new() -> Self {
        let world = World::new();
        let others = Arc::new(Others::default());
        let queries = TagQueries::new(
            world.store.clone(),
            world.clock.clone(),
            others.clone(),
            Authorizer::new(authz::Settings::default(), others.clone()),
        );
        let tags = Tags::new(
            world.store.clone(),
            world.clock.clone(),
            world.shutdown.clone(),
        )
        .with_queries(queries);
        Self {
            world,
            others,
            tags,
        }
    }

    /// The ImageRepository `apps/app` with these tags, and jane may list them.
    pub(super) fn with_app(tags: &[&str]) -> Self {
        let kit = Self::new();
        kit.world
            .scan("apps", "app", "registry.test/o/app", tags, true);
        kit.refer("apps/app");
        kit.allow(LIST_IN_APPS);
        kit
    }

    /// The ImageRepository `key` is there, open to everybody, with what is stored.
    pub(super) fn refer(&self, key: &str) {
        let mut object = ImageRepository::new("app", ImageRepositorySpec::default());
        object.spec.image = "registry.test/o/app".into();
        let found = crate::apiserver::support::key(key);
        let seen = Seen {
            image: object.spec.image.parse(),
            tags: self.world.store.snapshot().repository(&found),
            object: Arc::new(object),
        };
        self.referred(key, Referred::Found(seen));
    }

    pub(super) fn referred(&self, key: &str, referred: Referred) {
        let mut state = self.others.state.lock();
        state.referred.insert(key.to_owned(), referred);
    }

    /// The ImagePolicy `apps/stable` over `apps/app`, which jane may get; `current` stands elected.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better where it is called"
    )]
    pub(super) fn policy(&self, policy: Value, current: Option<&str>) {
        let spec = json!({"imageRepositoryRef": {"name": "app"}, "policy": policy});
        let mut object = ImagePolicy::new("stable", serde_json::from_value(spec).unwrap());
        object.status = current.map(|tag| {
            let latest = json!({"latestRef": {"name": "registry.test/o/app", "tag": tag}});
            serde_json::from_value(latest).unwrap()
        });
        let mut state = self.others.state.lock();
        let key = "apps/stable".to_owned();
        state.policies.insert(key, Arc::new(object));
        state.rights.insert(GET_POLICY.to_owned());
    }

    pub(super) fn allow(&self, right: &str) {
        self.others.state.lock().rights.insert(right.to_owned());
    }

    pub(super) fn runs_on(&self, tag: &str, platform: &str) {
        let known = Known::Offers(vec![platform.to_owned()].into());
        let mut state = self.others.state.lock();
        state.platforms.insert(tag.to_owned(), known);
    }

    /// The ImageMirror `mirror` has these tags of `apps/app`.
    pub(super) fn mirrors(&self, mirror: &str, tags: &[&str]) {
        let digest: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let verified = |tag: &&str| {
            let source = digest.clone();
            let destinations = vec![digest.clone()];
            let verified = Verified {
                source,
                destinations,
            };
            (tag.parse().unwrap(), verified)
        };
        let copies = Copies {
            image: "registry.test/o/app".parse().unwrap(),
            tags: tags.iter().map(verified).collect(),
            is_whole: true,
        };
        let mut state = self.others.state.lock();
        state.mirrored.insert(mirror.to_owned(), Arc::new(copies));
    }

    /// Who was asked about, and for which right.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.others.state.lock().asked)
    }

    pub(super) fn is_not_synced(&self) {
        self.others.state.lock().is_unsynced = true;
    }

    pub(super) fn never_answers(&self) {
        self.others.state.lock().never_answers = true;
    }

    pub(super) fn access_fails(&self, failure: Failure) {
        self.others.state.lock().fails = Some(failure);
    }

    /// Posts a spec, and reads the status of the answer, which must be 201.
    pub(super) async fn ask(&self, spec: Value) -> Value {
        let answer = self.post(&json!({"spec": spec}).to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["status"].clone()
    }

    /// Posts a spec that must be refused: the code and the message.
    pub(super) async fn refused(&self, spec: Value) -> (u16, String) {
        let answer = self.post(&json!({"spec": spec}).to_string()).await;
        let status = answer.json();
        assert_eq!(status["kind"], "Status", "{status}");
        let message = status["message"].as_str().unwrap().to_owned();
        (answer.status.as_u16(), message)
    }

    pub(super) async fn post(&self, body: &str) -> Answer {
        self.post_to("namespaces/apps/tagqueries", &[], body).await
    }

    pub(super) async fn post_to(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        self.send(Method::POST, path, headers, body).await
    }

    pub(super) async fn send<B>(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: B,
    ) -> Answer
    where
        B: hyper::body::Body<Data = Bytes> + Send,
    {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{BASE}/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let info = RequestInfo::parse(&parts.method, &parts.uri);
        let jane = User {
            name: "jane".into(),
            ..User::default()
        };
        let answer = self.tags.create(&parts, &info, &jane, body).await;
        let status = answer.status();
        let headers: HeaderMap = answer.headers().clone();
        let Payload::Full(text) = answer.into_body() else {
            panic!("a stream")
        };
        Answer {
            status,
            headers,
            text: String::from_utf8(text.to_vec()).unwrap(),
            chunks: None,
        }
    }
}

/// A spec over an inline list.
#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
pub(super) fn inline(tags: &[&str], policy: Value) -> Value {
    json!({"tags": tags, "policy": policy, "explain": true})
}

pub(super) fn semver(range: &str) -> Value {
    json!({"semver": {"range": range}})
}

/// `tag reason` of each rejected tag.
pub(super) fn rejected(status: &Value) -> Vec<String> {
    let rejected = status["rejected"].as_array().cloned().unwrap_or_default();
    rejected
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one["tag"].as_str().unwrap(),
                one["reason"].as_str().unwrap()
            )
        })
        .collect()
}
