//! What a real API server makes of the definitions: which objects it takes, which it refuses and with what
//! words, and which defaults it fills in.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tagscope::api::{self, ImageMirror, ImagePolicy, ImageRepository};

use crate::harness::ControlPlane;

async fn install(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in api::crds() {
        let name = crd.name_any();
        definitions
            .patch(
                &name,
                &PatchParams::apply("e2e").force(),
                &Patch::Apply(&crd),
            )
            .await
            .expect("apply");
        await_condition(definitions.clone(), &name, conditions::is_crd_established())
            .await
            .expect("established");
        let held = definitions.get(&name).await.expect("read back");
        let troubles: Vec<String> = held
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default()
            .into_iter()
            .filter(|condition| {
                condition.type_ == "NonStructuralSchema" && condition.status == "True"
            })
            .filter_map(|condition| condition.message)
            .collect();
        assert!(troubles.is_empty(), "{name}: {troubles:?}");
    }
}

/// Where the rows are tried.
struct Objects {
    client: Client,
    namespace: String,
}

impl Objects {
    fn of(&self, kind: &str) -> Api<DynamicObject> {
        let resource = match kind {
            "ImageRepository" => ApiResource::erase::<ImageRepository>(&()),
            "ImagePolicy" => ApiResource::erase::<ImagePolicy>(&()),
            "ImageMirror" => ApiResource::erase::<ImageMirror>(&()),
            other => panic!("{other} is no kind of ours"),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Tries a creation that leaves nothing behind; gives what would be stored, or the refusal.
    async fn create(&self, kind: &str, spec: Value) -> Result<Value, String> {
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        match self
            .of(kind)
            .create(&dry_run, &object(kind, "row", &spec))
            .await
        {
            Ok(created) => Ok(serde_json::to_value(created).unwrap()),
            Err(kube::Error::Api(status)) => Err(status.message),
            Err(error) => panic!("create {kind}: {error:?}"),
        }
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> DynamicObject {
    let version = match kind {
        "ImageMirror" => "mirror.tagscope.dev/v1alpha1",
        _ => "image.toolkit.fluxcd.io/v1",
    };
    let object = json!({
        "apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

fn policy(rest: &Value) -> Value {
    let mut spec =
        json!({"imageRepositoryRef": {"name": "podinfo"}, "policy": {"semver": {"range": "1.x"}}});
    merge(&mut spec, rest);
    spec
}

fn repository(rest: &Value) -> Value {
    let mut spec = json!({"image": "ghcr.io/org/app", "interval": "5m"});
    merge(&mut spec, rest);
    spec
}

fn mirror(rest: &Value) -> Value {
    let mut spec = json!({
        "sourceRef": {"name": "app"}, "destinations": [{"name": "a", "registry": "r.example:5000/m"}],
    });
    merge(&mut spec, rest);
    spec
}

/// A mirror with one destination that says this besides.
fn destination(rest: &Value) -> Value {
    let mut destination = json!({"name": "a", "registry": "r.example"});
    merge(&mut destination, rest);
    mirror(&json!({"destinations": [destination]}))
}

fn merge(into: &mut Value, rest: &Value) {
    for (name, value) in rest.as_object().expect("an object") {
        into[name] = value.clone();
    }
}

async fn accepts_what_users_write(objects: &Objects) {
    let rows = [
        ("ImageRepository", repository(&json!({}))),
        (
            "ImageRepository",
            repository(&json!({"interval": "1h30m15s", "timeout": "1m30.5s"})),
        ),
        ("ImageRepository", repository(&json!({"interval": "500ms"}))),
        (
            "ImageRepository",
            repository(&json!({"secretRef": {"name": "regcred"}, "certSecretRef": {"name": "ca"}})),
        ),
        (
            "ImageRepository",
            repository(
                &json!({"proxySecretRef": {"name": "proxy"}, "serviceAccountName": "puller"}),
            ),
        ),
        (
            "ImageRepository",
            repository(&json!({"provider": "aws", "suspend": true, "insecure": true})),
        ),
        (
            "ImageRepository",
            repository(&json!({"exclusionList": ["^.*\\.sig$", "1.0.2"]})),
        ),
        (
            "ImageRepository",
            repository(
                &json!({"accessFrom": {"namespaceSelectors": [{"matchLabels": {"team": "a"}}, {}]}}),
            ),
        ),
        ("ImagePolicy", policy(&json!({}))),
        (
            "ImagePolicy",
            policy(&json!({"imageRepositoryRef": {"name": "podinfo", "namespace": "images"}})),
        ),
        (
            "ImagePolicy",
            policy(&json!({"policy": {"alphabetical": {"order": "desc"}}})),
        ),
        ("ImagePolicy", policy(&json!({"policy": {"numerical": {}}}))),
        // Which of two choices counts is for the program to say, and so is none.
        (
            "ImagePolicy",
            policy(&json!({"policy": {"semver": {"range": "*"}, "numerical": {"order": "asc"}}})),
        ),
        ("ImagePolicy", policy(&json!({"policy": {}}))),
        (
            "ImagePolicy",
            policy(&json!({"filterTags": {"pattern": "^main-(?P<ts>[0-9]+)$", "extract": "$ts"}})),
        ),
        (
            "ImagePolicy",
            policy(&json!({"filterTags": {"pattern": "^main"}})),
        ),
        (
            "ImagePolicy",
            policy(&json!({"digestReflectionPolicy": "IfNotPresent"})),
        ),
        (
            "ImagePolicy",
            policy(&json!({"digestReflectionPolicy": "Always", "interval": "10m"})),
        ),
        ("ImagePolicy", policy(&json!({"suspend": true}))),
        ("ImageMirror", mirror(&json!({}))),
        (
            "ImageMirror",
            mirror(&json!({"sourceRef": {"selector": {}, "namespace": "images"}})),
        ),
        (
            "ImageMirror",
            mirror(
                &json!({"sourceRef": {"selector": {"matchLabels": {"team": "a"}, "matchExpressions": [
                    {"key": "env", "operator": "In", "values": ["prod"]}, {"key": "x", "operator": "Exists"},
                ]}}}),
            ),
        ),
        (
            "ImageMirror",
            mirror(
                &json!({"tags": {"imagePolicyRefs": [{"name": "p"}, {"name": "q", "namespace": "other"}]}}),
            ),
        ),
        (
            "ImageMirror",
            mirror(
                &json!({"tags": {"filterTags": {"pattern": "^v(.*)$", "extract": "$1"},
                "policy": {"semver": {"range": "1.x"}}, "limit": 3}}),
            ),
        ),
        (
            "ImageMirror",
            mirror(
                &json!({"platforms": {"include": ["linux/amd64"], "mode": "Sparse"}, "referrers": true,
                "overwrite": {"mode": "MutableTagsOnly", "mutable": ["^edge-"]},
                "prune": {"enabled": true, "grace": "48h", "maxDeleteFraction": "5%"},
                "interval": "5m", "verifyInterval": "12h", "bandwidth": "50MiB", "suspend": true}),
            ),
        ),
        (
            "ImageMirror",
            destination(
                &json!({"repositoryTemplate": "{host}/x-{name}/{path}", "insecure": true,
                "secretRef": {"name": "s"}, "certSecretRef": {"name": "c"}, "proxySecretRef": {"name": "p"}}),
            ),
        ),
    ];
    for (kind, spec) in rows {
        if let Err(refusal) = objects.create(kind, spec.clone()).await {
            panic!("{kind} {spec} was refused: {refusal}");
        }
    }
}

async fn refuses_what_makes_no_sense(objects: &Objects) {
    const INTERVAL: &str = r"should match '^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$'";
    let many: Vec<String> = (0..26).map(|n| format!("^{n}$")).collect();
    let rows = [
        (
            "ImageRepository",
            json!({"interval": "5m"}),
            "spec.image: Required value",
        ),
        (
            "ImageRepository",
            json!({"image": "a/b"}),
            "spec.interval: Required value",
        ),
        ("ImageRepository", Value::Null, "spec: Required value"),
        (
            "ImageRepository",
            repository(&json!({"interval": "5"})),
            INTERVAL,
        ),
        (
            "ImageRepository",
            repository(&json!({"interval": "-5m"})),
            INTERVAL,
        ),
        (
            "ImageRepository",
            repository(&json!({"interval": "1d"})),
            INTERVAL,
        ),
        (
            "ImageRepository",
            repository(&json!({"interval": "5us"})),
            INTERVAL,
        ),
        (
            "ImageRepository",
            repository(&json!({"interval": ""})),
            INTERVAL,
        ),
        (
            "ImageRepository",
            repository(&json!({"interval": 300})),
            "must be of type string",
        ),
        (
            "ImageRepository",
            repository(&json!({"timeout": "1h"})),
            r"should match '^([0-9]+(\.[0-9]+)?(ms|s|m))+$'",
        ),
        (
            "ImageRepository",
            repository(&json!({"secretRef": {}})),
            "spec.secretRef.name: Required value",
        ),
        (
            "ImageRepository",
            repository(&json!({"certSecretRef": {}})),
            "spec.certSecretRef.name: Required value",
        ),
        (
            "ImageRepository",
            repository(&json!({"proxySecretRef": {}})),
            "spec.proxySecretRef.name: Required value",
        ),
        (
            "ImageRepository",
            repository(&json!({"serviceAccountName": "a".repeat(254)})),
            "Too long",
        ),
        (
            "ImageRepository",
            repository(&json!({"exclusionList": many})),
            "Too many: 26: must have at most 25 items",
        ),
        (
            "ImageRepository",
            repository(&json!({"exclusionList": "x"})),
            "must be of type array",
        ),
        (
            "ImageRepository",
            repository(&json!({"accessFrom": {}})),
            "namespaceSelectors: Required value",
        ),
        (
            "ImageRepository",
            repository(&json!({"provider": "github"})),
            r#"supported values: "generic", "aws", "azure", "gcp""#,
        ),
        (
            "ImageRepository",
            repository(&json!({"insecure": "yes"})),
            "must be of type boolean",
        ),
        (
            "ImagePolicy",
            json!({"policy": {}}),
            "spec.imageRepositoryRef: Required value",
        ),
        (
            "ImagePolicy",
            json!({"imageRepositoryRef": {"name": "a"}}),
            "spec.policy: Required value",
        ),
        (
            "ImagePolicy",
            policy(&json!({"imageRepositoryRef": {}})),
            "spec.imageRepositoryRef.name: Required value",
        ),
        (
            "ImagePolicy",
            policy(&json!({"policy": {"semver": {}}})),
            "spec.policy.semver.range: Required value",
        ),
        (
            "ImagePolicy",
            policy(&json!({"policy": {"alphabetical": {"order": "ASC"}}})),
            r#"spec.policy.alphabetical.order: Unsupported value: "ASC": supported values: "asc", "desc""#,
        ),
        (
            "ImagePolicy",
            policy(&json!({"policy": {"numerical": {"order": "up"}}})),
            r#"spec.policy.numerical.order: Unsupported value: "up""#,
        ),
        (
            "ImagePolicy",
            policy(&json!({"digestReflectionPolicy": "always"})),
            r#"supported values: "Always", "IfNotPresent", "Never""#,
        ),
        (
            "ImagePolicy",
            policy(&json!({"digestReflectionPolicy": "Always"})),
            "spec.interval must be set when spec.digestReflectionPolicy is set to 'Always'",
        ),
        (
            "ImagePolicy",
            policy(&json!({"digestReflectionPolicy": "IfNotPresent", "interval": "10m"})),
            "spec.interval is only accepted when spec.digestReflectionPolicy is set to 'Always'",
        ),
        (
            "ImagePolicy",
            policy(&json!({"interval": "10m"})),
            "spec.interval is only accepted when spec.digestReflectionPolicy is set to 'Always'",
        ),
        (
            "ImagePolicy",
            policy(&json!({"digestReflectionPolicy": "Always", "interval": "soon"})),
            INTERVAL,
        ),
        (
            "ImageMirror",
            json!({"destinations": []}),
            "spec.sourceRef: Required value",
        ),
        (
            "ImageMirror",
            mirror(&json!({"destinations": []})),
            "should have at least 1 items",
        ),
        (
            "ImageMirror",
            mirror(
                &json!({"destinations": [{"name": "a", "registry": "r.a"}, {"name": "a", "registry": "r.b"}]}),
            ),
            "Duplicate value",
        ),
        (
            "ImageMirror",
            mirror(&json!({"sourceRef": {}})),
            "exactly one of name and selector must be set",
        ),
        (
            "ImageMirror",
            mirror(&json!({"sourceRef": {"name": "app", "selector": {}}})),
            "exactly one of name and selector must be set",
        ),
        (
            "ImageMirror",
            mirror(
                &json!({"sourceRef": {"selector": {"matchExpressions": [{"key": "env", "operator": "In"}]}}}),
            ),
            "values go with the operators In and NotIn, and only with them",
        ),
        (
            "ImageMirror",
            mirror(&json!({"tags": {"limit": 3}})),
            "limit needs a policy, which says what the latest tags are",
        ),
        (
            "ImageMirror",
            mirror(
                &json!({"tags": {"imagePolicyRefs": [{"name": "p"}], "filterTags": {"pattern": "x"}}}),
            ),
            "imagePolicyRefs cannot be combined with filterTags, policy and limit",
        ),
        (
            "ImageMirror",
            mirror(&json!({"overwrite": {"mutable": ["^edge-"]}})),
            "mutable goes with mode MutableTagsOnly",
        ),
        (
            "ImageMirror",
            mirror(&json!({"overwrite": {"mode": "Sometimes"}})),
            r#"supported values: "Never", "MutableTagsOnly", "Always""#,
        ),
        (
            "ImageMirror",
            mirror(&json!({"platforms": {"include": []}})),
            "should have at least 1 items",
        ),
        (
            "ImageMirror",
            mirror(&json!({"prune": {"enabled": true, "maxDeleteFraction": "101%"}})),
            "should match '^(100|[1-9]?[0-9])%$'",
        ),
        (
            "ImageMirror",
            mirror(&json!({"interval": "soon"})),
            INTERVAL,
        ),
        (
            "ImageMirror",
            mirror(&json!({"bandwidth": "fast"})),
            "spec.bandwidth",
        ),
        (
            "ImageMirror",
            destination(&json!({"registry": "https://r.example"})),
            "registry is a host, optionally with a port and a path, without a scheme",
        ),
        (
            "ImageMirror",
            destination(&json!({"repositoryTemplate": "{tag}"})),
            "repositoryTemplate is made of {host}, {path}, {name} and what repositories' names are made of",
        ),
        (
            "ImageMirror",
            destination(&json!({"name": "A"})),
            "spec.destinations[0].name",
        ),
    ];
    for (kind, spec, words) in rows {
        match objects.create(kind, spec.clone()).await {
            Ok(_) => panic!("{kind} {spec} was accepted"),
            Err(refusal) => assert!(refusal.contains(words), "{kind} {spec}: {refusal}"),
        }
    }
}

async fn fills_in_defaults(objects: &Objects) {
    let bare = objects
        .create("ImageRepository", repository(&json!({})))
        .await
        .unwrap();
    assert_eq!(bare["spec"]["exclusionList"], json!(["^.*\\.sig$"]));
    assert_eq!(bare["spec"]["provider"], "generic");
    assert_eq!(bare["status"], json!({"observedGeneration": -1}));

    // A null counts as nothing said; an empty list is something said.
    let null = objects
        .create(
            "ImageRepository",
            repository(&json!({"exclusionList": null, "provider": null})),
        )
        .await;
    assert_eq!(null.as_ref().unwrap()["spec"], bare["spec"]);
    let empty = objects
        .create("ImageRepository", repository(&json!({"exclusionList": []})))
        .await
        .unwrap();
    assert_eq!(empty["spec"]["exclusionList"], json!([]));

    let bare = objects
        .create(
            "ImagePolicy",
            policy(&json!({"policy": {"numerical": {}, "alphabetical": {}}})),
        )
        .await;
    let bare = bare.unwrap();
    assert_eq!(bare["spec"]["digestReflectionPolicy"], "Never");
    assert_eq!(
        bare["spec"]["policy"],
        json!({"numerical": {"order": "asc"}, "alphabetical": {"order": "asc"}})
    );
    assert_eq!(bare["status"], json!({"observedGeneration": -1}));

    // What is careful is what holds where nothing is said.
    let spec = json!({"overwrite": {}, "platforms": {"include": ["linux/amd64"]}, "prune": {}});
    let bare = objects.create("ImageMirror", mirror(&spec)).await.unwrap();
    assert_eq!(bare["spec"]["overwrite"], json!({"mode": "Never"}));
    assert_eq!(bare["spec"]["platforms"]["mode"], "Rewritten");
    assert_eq!(bare["spec"]["prune"], json!({}));
    assert_eq!(bare["status"], json!({"observedGeneration": -1}));
}

/// What decodes here, the program can hold; what it writes back, the server takes.
async fn takes_every_status_field(objects: &Objects) {
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    });
    let latest = json!({"name": "ghcr.io/org/app", "tag": "1.0.0", "digest": "sha256:00"});
    let rows = [
        (
            "ImageRepository",
            repository(&json!({"suspend": true})),
            json!({
                "observedGeneration": 1,
                "conditions": [condition],
                "canonicalImageName": "ghcr.io/org/app",
                "lastScanResult": {
                    "revision": "1", "tagCount": 1, "scanTime": "2026-01-02T03:04:05Z", "latestTags": ["1.0.0"],
                },
                "observedExclusionList": ["^.*\\.sig$"],
                "lastHandledReconcileAt": "2026-08-07 16:12:44.1 +0000 UTC m=+1.5",
            }),
        ),
        (
            "ImagePolicy",
            policy(&json!({"suspend": true})),
            json!({
                "observedGeneration": 1,
                "conditions": [condition],
                "latestRef": latest,
                "observedPreviousRef": latest,
                "lastHandledReconcileAt": "now",
            }),
        ),
        (
            "ImageMirror",
            mirror(&json!({"suspend": true})),
            json!({
                "observedGeneration": 1,
                "conditions": [condition],
                "tags": {"total": 3, "mirrored": 1, "drifted": 1, "blocked": 0, "failed": 1, "summary": "1/3"},
                "outcomes": [{
                    "tag": "1.0.0", "repository": "app", "destination": "a", "outcome": "Drifted",
                    "message": "m", "sourceDigest": "sha256:00", "destinationDigest": "sha256:01",
                }],
                "omittedOutcomes": 1,
                "lastRun": {
                    "started": "2026-01-02T03:04:05Z", "finished": "2026-01-02T03:04:06Z", "reason": "NewTags",
                    "copied": 1, "bytesRead": 5_000_000_000_i64, "bytesWritten": 2, "blobsMounted": 3,
                },
                "nextRun": "2026-01-02T03:14:05Z",
                "prune": {
                    "owned": 2, "planned": 1, "sample": ["r.example/app:1"], "deleted": 1,
                    "lastDeletion": "2026-01-02T03:04:05Z", "refused": "too many",
                },
                "lastHandledReconcileAt": "now",
            }),
        ),
    ];
    for (kind, spec, status) in rows {
        let api = objects.of(kind);
        api.create(&PostParams::default(), &object(kind, "row", &spec))
            .await
            .unwrap();
        let write = async |status: &Value| {
            let patch = Patch::Merge(json!({"status": status}));
            api.patch_status("row", &PatchParams::default(), &patch)
                .await
        };
        let held = serde_json::to_value(write(&status).await.unwrap()).unwrap();
        assert_eq!(
            held["status"], status,
            "{kind}: a field is missing from the schema"
        );
        let decoded = match kind {
            "ImageRepository" => status_of::<ImageRepository>(held),
            "ImageMirror" => status_of::<ImageMirror>(held),
            _ => status_of::<ImagePolicy>(held),
        };
        assert_eq!(decoded, status, "{kind}: a field is missing from the type");

        let nonsense = json!({"conditions": [{"type": "Ready", "status": "Maybe", "reason": ""}]});
        let refusal = write(&nonsense).await.unwrap_err().to_string();
        for words in [
            r#"supported values: "True", "False", "Unknown""#,
            "reason in body should be at least 1 chars long",
            "lastTransitionTime: Required value",
            "message: Required value",
        ] {
            assert!(refusal.contains(words), "{kind}: {refusal}");
        }
    }
}

fn status_of<K: DeserializeOwned + Serialize>(object: Value) -> Value {
    let typed: K = serde_json::from_value(object).unwrap();
    serde_json::to_value(typed).unwrap()["status"].clone()
}

#[tokio::test]
async fn a_real_api_server_holds_objects_to_the_definitions() {
    let cluster = ControlPlane::shared().await;
    let client = cluster.client().await;
    let namespace = cluster.namespace("crds").await;
    install(&client).await;
    let objects = Objects { client, namespace };
    accepts_what_users_write(&objects).await;
    refuses_what_makes_no_sense(&objects).await;
    fills_in_defaults(&objects).await;
    takes_every_status_field(&objects).await;
}
