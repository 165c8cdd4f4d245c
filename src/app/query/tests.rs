//! What a query tells is what the controller does: random objects, both asked.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::authorization::v1::{SubjectAccessReviewSpec, SubjectAccessReviewStatus};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::api::image_mirror::PlatformMode;
use crate::api::image_policy::ReflectionPolicy;
use crate::api::reference::ImageRef;
use crate::api::{ImageMirror, ImageMirrorSpec, ImagePolicyStatus, ImageRepository, names};
use crate::apiserver::authz::{self, Authorizer};
use crate::apiserver::request_info::{RequestInfo, User};
use crate::apiserver::resources::Tags;
use crate::apiserver::response::Payload;
use crate::apiserver::review::{Failure, Reviewer};
use crate::apiserver::tag_query::TagQueries;
use crate::clock::{Clock as _, HandClock};
use crate::control::image_policy::trial::Trial;
use crate::secret::SecretString;
use crate::store::{Dating, Mirrored, Owner, Scan, Store, Verified};

const IMAGE: &str = "registry.test/o/app";
const UID: &str = "6f2b9f0e-1111-4222-8333-444455556666";

/// Nobody who is asked about may anything; masters are not asked about.
#[derive(Debug)]
struct Nobody;

impl Reviewer for Nobody {
    fn token<'a>(
        &'a self,
        _: &'a SecretString,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<TokenReviewStatus, Failure>> {
        async { Err(Failure::BrokenOff) }.boxed()
    }

    fn access(
        &self,
        _: SubjectAccessReviewSpec,
    ) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, Failure>> {
        async { Err(Failure::BrokenOff) }.boxed()
    }
}

/// A world of one repository and one policy.
#[derive(Debug, Clone)]
struct Scene {
    old: BTreeSet<String>,
    new: BTreeSet<String>,
    is_complete: bool,
    policy: Value,
    filter: Option<(&'static str, &'static str)>,
    annotations: BTreeMap<&'static str, String>,
    current: Option<String>,
    /// Whether what stands elected has its digest in the status.
    is_reflected: bool,
    is_observed: bool,
    offers: Vec<(String, bool)>,
    mirror: Mirror,
}

/// What there is to know of the mirror `apps/web`.
#[derive(Debug, Clone)]
enum Mirror {
    /// Nobody looks at mirrors.
    Unseen,
    Missing,
    /// It copies something else.
    Elsewhere,
    /// It has not looked yet, or at another image.
    Unlooked(bool),
    /// It has these tags; whether they have digests of their own, and whether all were looked at.
    Has(Vec<String>, bool, bool),
}

impl Mirror {
    fn object(&self) -> ImageMirror {
        let mut spec = ImageMirrorSpec::default();
        let is_other = matches!(self, Self::Elsewhere);
        spec.source_ref.name = Some(if is_other { "other" } else { "app" }.into());
        if let Self::Has(_, true, _) = self {
            spec.platforms = Some(crate::api::image_mirror::Platforms {
                include: vec!["linux/amd64".into()],
                mode: PlatformMode::Rewritten,
            });
        }
        ImageMirror::new("web", spec)
    }

    fn tell(&self, trial: &Trial) {
        let key = Key::new("apps", "web");
        match self {
            Self::Unseen => return,
            Self::Missing => trial.know_mirrors([]),
            Self::Elsewhere | Self::Unlooked(_) | Self::Has(..) => {
                trial.know_mirrors([(key.clone(), self.object())]);
            }
        }
        let digest = || format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let (image, tags, is_whole) = match self {
            Self::Has(tags, _, is_whole) => (IMAGE, tags.as_slice(), *is_whole),
            Self::Unlooked(true) => ("registry.test/o/other", &["1.0.0".to_owned()][..], true),
            Self::Unseen | Self::Missing | Self::Elsewhere | Self::Unlooked(false) => return,
        };
        let verified = |tag: &String| {
            let verified = Verified {
                source: digest(),
                destinations: vec![digest()],
            };
            (tag.parse().unwrap(), verified)
        };
        let copies = Copies {
            image: image.parse().unwrap(),
            tags: tags.iter().map(verified).collect(),
            is_whole,
        };
        let mirrored = Mirrored {
            is_rewritten: false,
            repositories: [(Key::new("apps", "app"), Arc::new(copies))].into(),
        };
        let store = trial.store();
        store.board().put_mirrored(&key, Some(Arc::new(mirrored)));
    }
}

fn tag() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[0-2]\\.[0-2]\\.[0-2](-rc\\.[0-1])?",
        1 => "[0-9]{1,2}",
        1 => "[a-c]",
    ]
}

fn scenes() -> impl Strategy<Value = Scene> {
    let policy = prop_oneof![
        4 => prop_oneof![Just("*"), Just("1.x"), Just(">=1.0.0-0"), Just("1.x.x.x")]
            .prop_map(|range| json!({"semver": {"range": range}})),
        1 => prop_oneof![Just("asc"), Just("desc"), Just("up")]
            .prop_map(|order| json!({"alphabetical": {"order": order}})),
        1 => prop_oneof![Just("asc"), Just("desc")]
            .prop_map(|order| json!({"numerical": {"order": order}})),
    ];
    let filter = prop::option::weighted(
        0.3,
        prop_oneof![
            Just(("^([0-9.]+)$", "$1")),
            Just(("[0-9]", "")),
            Just(("(", "")),
            Just(("^([0-9]).*$", "$1.0.0")),
        ],
    );
    let annotations = (
        prop::option::weighted(0.15, prop_oneof![3 => tag(), 1 => Just("a b".to_owned())]),
        prop::option::weighted(0.4, prop_oneof![Just("30m"), Just("2h"), Just("soon")]),
        prop::option::weighted(
            0.4,
            prop_oneof![Just("forbid"), Just("allow"), Just("never")],
        ),
        prop::option::weighted(0.3, Just("linux/arm64")),
        prop::option::weighted(
            0.4,
            prop_oneof![5 => Just("web"), 3 => Just("apps/web"), 1 => Just("other/web"), 1 => Just("a/b/c")],
        ),
    )
        .prop_map(|(hold, age, downgrade, platforms, mirror)| {
            let given = [
                (names::HOLD, hold),
                (names::MINIMUM_AGE, age.map(str::to_owned)),
                (names::DOWNGRADE, downgrade.map(str::to_owned)),
                (names::PLATFORMS, platforms.map(str::to_owned)),
                (names::REQUIRE_MIRRORED, mirror.map(str::to_owned)),
            ];
            given
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect()
        });
    // Few tags, where everything meets everything, and more than one run asks the registry about.
    let tags = || {
        prop_oneof![
            2 => prop::collection::btree_set(tag(), 0..7),
            1 => prop::collection::btree_set(tag(), 21..32),
        ]
    };
    // Of each tag: nothing is known, it has the platform, or another one.
    let known = prop_oneof![
        2 => prop::collection::vec(0..3_u8, 1..12),
        1 => prop::collection::vec(prop_oneof![12 => Just(0), 1 => 1..3_u8], 20..60),
    ];
    let mirror = prop_oneof![
        1 => prop_oneof![Just(Mirror::Unseen), Just(Mirror::Missing), Just(Mirror::Elsewhere)],
        1 => any::<bool>().prop_map(Mirror::Unlooked),
        4 => (prop::collection::vec(tag(), 0..12), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(tags, is_rewritten, is_whole)| Mirror::Has(tags, is_rewritten, is_whole)),
    ];
    (
        (tags(), tags(), any::<bool>()),
        (policy, filter, annotations),
        (
            prop::option::of((tag(), any::<bool>())),
            any::<bool>(),
            any::<bool>(),
        ),
        (known, mirror),
    )
        .prop_map(
            |(
                (old, mut new, is_complete),
                (policy, filter, annotations),
                (current, is_reflected, is_observed),
                (known, mirror),
            )| {
                // Some stay, and some go.
                new.extend(old.iter().filter(|tag| !tag.ends_with('2')).cloned());
                // What stands may be in the list.
                let current = current.map(|(other, is_listed)| {
                    let listed = new.first().filter(|_| is_listed);
                    listed.cloned().unwrap_or(other)
                });
                let offers = new.iter().cloned().zip(known.into_iter().cycle());
                let offers = offers.filter(|(_, known)| *known > 0);
                let offers = offers.map(|(tag, known)| (tag, known == 1)).collect();
                Scene {
                    old,
                    new,
                    is_complete,
                    policy,
                    filter,
                    annotations,
                    current,
                    is_reflected,
                    is_observed,
                    offers,
                    mirror,
                }
            },
        )
}

impl Scene {
    fn scan(&self, store: &Store, clock: &HandClock, tags: &BTreeSet<String>, dating: Dating) {
        store
            .commit_scan(Scan {
                owner: Owner {
                    key: Key::new("apps", "app"),
                    uid: UID.into(),
                    created: clock.now(),
                    labels: BTreeMap::new(),
                },
                image: IMAGE.parse().unwrap(),
                tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
                aside: Vec::new(),
                revision: format!("{tags:?}"),
                time: clock.now(),
                complete: self.is_complete,
                dating,
            })
            .unwrap();
    }

    fn repository() -> ImageRepository {
        let mut object = ImageRepository::new("app", crate::api::ImageRepositorySpec::default());
        object.spec.image = IMAGE.into();
        object.metadata.namespace = Some("apps".into());
        object.metadata.uid = Some(UID.into());
        object
    }

    fn policy(&self) -> ImagePolicy {
        let mut spec = json!({"imageRepositoryRef": {"name": "app"}, "policy": self.policy});
        if self.is_reflected {
            spec["digestReflectionPolicy"] = json!("IfNotPresent");
        }
        if let Some((pattern, extract)) = self.filter {
            spec["filterTags"] = json!({"pattern": pattern, "extract": extract});
        }
        let mut object = ImagePolicy::new("policy", serde_json::from_value(spec).unwrap());
        let metadata = &mut object.metadata;
        metadata.namespace = Some("apps".into());
        metadata.uid = Some("policy".into());
        metadata.generation = Some(2);
        let annotations = self.annotations.iter();
        let annotations = annotations.map(|(name, value)| ((*name).to_owned(), value.clone()));
        metadata.annotations = Some(annotations.collect());
        object.status = Some(ImagePolicyStatus {
            latest_ref: self.current.clone().map(|tag| ImageRef {
                name: IMAGE.into(),
                tag,
                digest: self
                    .is_reflected
                    .then(|| format!("sha256:{}", "0123456789abcdef".repeat(4))),
            }),
            observed_generation: Some(if self.is_observed { 2 } else { 1 }),
            ..ImagePolicyStatus::default()
        });
        object
    }

    /// The same as a draft over the repository, where everything parses.
    fn draft(&self) -> Option<Value> {
        if self
            .annotations
            .values()
            .any(|value| ["a b", "soon", "never", "a/b/c"].contains(&value.as_str()))
        {
            return None;
        }
        let of = |name| self.annotations.get(name).cloned();
        Some(json!({
            "imageRepositoryRef": {"name": "app"},
            "policy": self.policy,
            "filterTags": self.filter.map(|(pattern, extract)| json!({"pattern": pattern, "extract": extract})),
            "governance": {
                "hold": of(names::HOLD),
                "minimumAge": of(names::MINIMUM_AGE),
                "downgrade": of(names::DOWNGRADE),
                "platforms": of(names::PLATFORMS).map(|one| vec![one]),
                "requireMirrored": of(names::REQUIRE_MIRRORED),
            },
        }))
    }

    /// Compares both, and gives the query's answer about the policy as it stands.
    async fn holds(&self) -> Value {
        let clock = Arc::new(HandClock::at(
            "2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap(),
        ));
        let store = Store::in_memory(clock.clone());
        self.scan(&store, &clock, &self.old, Dating::AtFirst);
        clock.advance(SignedDuration::from_hours(5));
        self.scan(&store, &clock, &self.new, Dating::Now);
        clock.advance(SignedDuration::from_hours(1));
        let (repository, policy) = (Key::new("apps", "app"), Key::new("apps", "policy"));
        let trial = Trial::new(store.clone(), clock.clone());
        for (tag, arm) in &self.offers {
            let platform = if *arm { "linux/arm64" } else { "linux/amd64" };
            let known = Known::Offers(vec![platform.to_owned()].into());
            trial.learn(&repository, IMAGE, tag, known);
        }
        trial.know((&repository, Self::repository()), (&policy, self.policy()));
        self.mirror.tell(&trial);
        let queries = TagQueries::new(
            store.clone(),
            clock.clone(),
            Arc::new(Controllers(trial.reader())),
            Authorizer::new(authz::Settings::default(), Arc::new(Nobody)),
        );
        let tags = Tags::new(store, clock, CancellationToken::new()).with_queries(queries);

        let as_it_stands = asked(&tags, json!({"imagePolicyRef": {"name": "policy"}})).await;
        let told = latest(&as_it_stands);
        assert_eq!(told, trial.winner(&policy).await, "{as_it_stands}");

        let Some(draft) = self.draft() else {
            return as_it_stands;
        };
        let drafted = asked(&tags, draft).await;
        let fresh = Trial::new(trial.store(), trial.clock());
        for (tag, arm) in &self.offers {
            let platform = if *arm { "linux/arm64" } else { "linux/amd64" };
            let known = Known::Offers(vec![platform.to_owned()].into());
            fresh.learn(&repository, IMAGE, tag, known);
        }
        let mut object = self.policy();
        object.status = None;
        // A draft reflects nothing.
        object.spec.digest_reflection_policy = ReflectionPolicy::Never;
        self.mirror.tell(&fresh);
        fresh.know((&repository, Self::repository()), (&policy, object));
        assert_eq!(latest(&drafted), fresh.winner(&policy).await, "{drafted}");
        as_it_stands
    }
}

fn latest(answer: &Value) -> Option<String> {
    let tag = answer.pointer("/status/latest/tag")?.as_str()?;
    Some(tag.to_owned())
}

async fn asked(tags: &Tags, spec: Value) -> Value {
    let request = Request::post("/apis/tags.tagscope.dev/v1alpha1/namespaces/apps/tagqueries");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let info = RequestInfo::parse(&parts.method, &parts.uri);
    let master = User {
        groups: vec![authz::MASTERS.to_owned()],
        ..User::default()
    };
    let body = json!({"spec": spec}).to_string();
    let answer = tags.create(&parts, &info, &master, Full::from(body)).await;
    let status = answer.status();
    let Payload::Full(text) = answer.into_body() else {
        panic!("a stream")
    };
    let answer: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_query_tells_what_the_controller_elects(scene in scenes()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(scene.holds());
    }
}

/// Sixty tags of which nobody knows what they run on: a query tells which of them the next run asks about, and what the
/// policy does meanwhile.
#[tokio::test]
async fn more_unknown_platforms_than_one_run_asks_about_are_told_so() {
    for (current, is_observed) in [(None, true), (Some("1.0.7"), true), (Some("0.9.0"), false)] {
        let scene = Scene {
            old: BTreeSet::new(),
            new: (0..60).map(|number| format!("1.0.{number}")).collect(),
            is_complete: true,
            policy: json!({"semver": {"range": "*"}}),
            filter: None,
            annotations: [(names::PLATFORMS, "linux/arm64".to_owned())].into(),
            current: current.map(str::to_owned),
            is_reflected: false,
            is_observed,
            offers: vec![("1.0.59".to_owned(), false), ("1.0.3".to_owned(), true)],
            mirror: Mirror::Unseen,
        };
        let answer = scene.holds().await;
        assert_eq!(latest(&answer).as_deref(), current);
        let counts = &answer["status"]["counts"];
        let expected = json!({
            "WrongPlatform": 1, "PlatformUnknown": 20, "BudgetExhausted": 38, "LowerRank": 1,
        });
        assert_eq!(counts["rejected"], expected, "{answer}");
        assert_eq!(
            (&counts["total"], &counts["eligible"]),
            (&json!(60), &json!(1))
        );
    }
}
