//! The rights that `deploy/` grants are exactly enough: the program runs with its own ServiceAccount's, is never refused,
//! and uses each of them.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{ControlPlane, Tagscope, eventually};
use crate::world::SOON;

const USER: &str = "system:serviceaccount:tagscope-system:tagscope";
const HOME: &str = "tagscope-system";
/// Rights that no test brings about, each with the reason.
const UNUSED: [&str; 14] = [
    // Somebody else's Lease that is no longer renewed, and leader election: neither is there.
    r#"get leases "coordination.k8s.io" Some("image-reflector-controller-leader-election") in None"#,
    // Somebody else who copies, which is looked out for in companion mode and with --destination-registry.
    r#"get leases "coordination.k8s.io" Some("imagerepo-mirror.oscar-romeu.io") in None"#,
    r#"get leases "coordination.k8s.io" Some("tagscope-mirror") in None"#,
    r#"list leases "coordination.k8s.io" Some("imagerepo-mirror.oscar-romeu.io") in None"#,
    r#"list leases "coordination.k8s.io" Some("tagscope-mirror") in None"#,
    r#"watch leases "coordination.k8s.io" Some("imagerepo-mirror.oscar-romeu.io") in None"#,
    r#"watch leases "coordination.k8s.io" Some("tagscope-mirror") in None"#,
    r#"get leases "coordination.k8s.io" Some("image-reflector-controller-leader-election") in Some("tagscope-system")"#,
    r#"get leases "coordination.k8s.io" Some("imagerepo-mirror.oscar-romeu.io") in Some("tagscope-system")"#,
    r#"get leases "coordination.k8s.io" Some("tagscope-mirror") in Some("tagscope-system")"#,
    r#"update leases "coordination.k8s.io" Some("image-reflector-controller-leader-election") in Some("tagscope-system")"#,
    r#"update leases "coordination.k8s.io" Some("imagerepo-mirror.oscar-romeu.io") in Some("tagscope-system")"#,
    r#"update leases "coordination.k8s.io" Some("tagscope-mirror") in Some("tagscope-system")"#,
    // Parts of a ledger that is too long for one ConfigMap.
    r#"delete configmaps "" None in None"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn its_own_rights_are_enough_and_all_are_used() {
    let cluster = ControlPlane::start().await;
    cluster.apply(&cluster.kustomize("deploy").await).await;
    cluster
        .apply(&cluster.kustomize("apiservice/local").await)
        .await;
    let kubeconfig = kubeconfig_of_service_account(&cluster, HOME, "tagscope").await;
    let mut program = cluster
        .tagscope()
        .kubeconfig(kubeconfig)
        .start()
        .await
        .unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    cluster.install(&program).await;
    let ns = &cluster.namespace("rights").await;
    cluster.registry.push("rights/app", &["1.0.0"]).await;
    elect_across_namespaces_with_a_secret(&cluster, ns).await;
    eventually(
        SOON,
        "kubectl reads tags through the API server",
        || async {
            cluster
                .kubectl(&["get", "imagetags", "-n", ns])
                .await
                .probe()
        },
    )
    .await;
    mirror_what_may_be_pruned(&cluster, ns).await;
    repeat_an_event(&cluster, ns).await;
    delete_what_another_controller_held(&cluster, ns).await;
    lose_the_store_and_the_authority(&cluster, &mut program).await;
    assert!(program.terminate().await.success(), "{}", program.log());

    let requests = cluster.requests_of(USER);
    assert!(!requests.is_empty(), "the audit log knows {USER}");
    let refused: Vec<String> = requests
        .iter()
        .filter(|event| event["responseStatus"]["code"] == 403)
        .map(|event| format!("{} {}", event["verb"], event["requestURI"]))
        .collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
    let unused: Vec<String> = rights(&cluster)
        .await
        .into_iter()
        .filter(|right| !requests.iter().any(|event| right.is_used_by(event)))
        .map(|right| right.to_string())
        .collect();
    assert_eq!(unused, UNUSED, "rights that nothing has used");
}

async fn elect_across_namespaces_with_a_secret(cluster: &ControlPlane, ns: &str) {
    let image = cluster.registry.image("rights/app");
    let guests = &cluster.namespace("guests").await;
    let label = ["label", "namespace", guests, "team=guests"];
    cluster.kubectl(&label).await.ok();
    cluster
        .apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: pull, namespace: {ns}}}\ntype: kubernetes.io/dockerconfigjson\n\
             stringData: {{.dockerconfigjson: '{{\"auths\":{{}}}}'}}\n---\n\
             apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: puller, namespace: {ns}}}\n\
             imagePullSecrets: [{{name: pull}}]\n---\n\
             apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {{name: app, namespace: {ns}}}\n\
             spec:\n  image: \"{image}\"\n  interval: 1h\n  secretRef: {{name: pull}}\n  serviceAccountName: puller\n  \
             accessFrom: {{namespaceSelectors: [{{matchLabels: {{team: guests}}}}]}}\n---\n\
             apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: app, namespace: {guests}}}\n\
             spec: {{imageRepositoryRef: {{name: app, namespace: {ns}}}, policy: {{semver: {{range: '*'}}}}}}\n"
        ))
        .await;
    wait(cluster, guests, "imagepolicy/app", "condition=Ready").await;
}

/// What a mirror owns is kept in a ledger, which is written again when it owns more.
async fn mirror_what_may_be_pruned(cluster: &ControlPlane, ns: &str) {
    let registry = &cluster.registry;
    cluster
        .apply(&format!(
            "apiVersion: mirror.tagscope.dev/v1alpha1\nkind: ImageMirror\nmetadata: {{name: app, namespace: {ns}}}\n\
             spec:\n  sourceRef: {{name: app}}\n  prune: {{enabled: true}}\n  \
             destinations: [{{name: there, registry: \"{}\", repositoryTemplate: \"rights/copy\"}}]\n",
            registry.address
        ))
        .await;
    wait(cluster, ns, "imagemirror/app", "condition=Ready").await;
    registry.push("rights/app", &["1.1.0"]).await;
    let request = "reconcile.fluxcd.io/requestedAt=now";
    let scan = ["annotate", "imagerepository/app", "-n", ns, request];
    cluster.kubectl(&scan).await.ok();
    wait(
        cluster,
        ns,
        "imagemirror/app",
        "jsonpath={.status.prune.owned}=2",
    )
    .await;
}

/// What is said twice is counted on the Event that says it.
async fn repeat_an_event(cluster: &ControlPlane, ns: &str) {
    let refer = async |secret: &str, ready: &str| {
        let patch = format!("{{\"spec\":{{\"secretRef\":{{\"name\":\"{secret}\"}}}}}}");
        let change = ["patch", "imagerepository", "app", "-n", ns, "--type=merge"];
        let change = [&change[..], &["-p", &patch]].concat();
        cluster.kubectl(&change).await.ok();
        wait(cluster, ns, "imagerepository/app", ready).await;
    };
    for _ in 0..2 {
        refer("absent", "condition=Ready=false").await;
        refer("pull", "condition=Ready=true").await;
    }
    eventually(SOON, "one Event is counted", || async {
        let events = ["get", "events", "-n", ns, "-o", "json"];
        let events = cluster.kubectl(&events).await.probe()?;
        let list: Value = serde_json::from_str(&events).unwrap();
        let items = list["items"].as_array().unwrap();
        let counted = items.iter().any(|event| {
            event["count"].as_u64() >= Some(2) && event["reason"] == "AuthenticationFailed"
        });
        counted.then_some(()).ok_or(events)
    })
    .await;
}

async fn delete_what_another_controller_held(cluster: &ControlPlane, ns: &str) {
    let image = cluster.registry.image("rights/app");
    let held = format!("{{name: held, namespace: {ns}, finalizers: [finalizers.fluxcd.io]}}");
    cluster
        .apply(&format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {held}\n\
             spec: {{image: \"{image}\", interval: 1h}}\n---\n\
             apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {held}\n\
             spec: {{imageRepositoryRef: {{name: held}}, policy: {{semver: {{range: '*'}}}}}}\n"
        ))
        .await;
    for object in ["imagepolicy/held", "imagerepository/held"] {
        wait(cluster, ns, object, "condition=Ready").await;
        let delete = ["delete", object, "-n", ns, "--timeout=30s"];
        cluster.kubectl(&delete).await.ok();
    }
}

/// A start with an empty directory has to count in a new epoch, and one with a broken authority to make another.
async fn lose_the_store_and_the_authority(cluster: &ControlPlane, program: &mut Tagscope) {
    let epoch = async || {
        let lease = ["get", "lease", "tagscope", "-n", HOME, "-o", "json"];
        let lease: Value = serde_json::from_str(&cluster.kubectl(&lease).await.ok()).unwrap();
        let epoch = &lease["metadata"]["annotations"]["tags.tagscope.dev/epoch"];
        epoch.as_str().unwrap().parse::<u64>().unwrap()
    };
    let before = epoch().await;
    assert!(program.terminate().await.success(), "{}", program.log());
    std::fs::remove_dir_all(&program.storage).unwrap();
    let garbage = "{\"stringData\":{\"tls.crt\":\"garbage\"}}";
    let spoil = ["patch", "secret", "tagscope-ca", "-n", HOME, "-p", garbage];
    cluster.kubectl(&spoil).await.ok();
    program.restart().await.unwrap();
    assert!(epoch().await > before, "a lost store begins a new epoch");
    eventually(SOON, "tags are served under the new authority", || async {
        cluster.kubectl(&["get", "imagetags", "-A"]).await.probe()
    })
    .await;
}

async fn wait(cluster: &ControlPlane, ns: &str, object: &str, condition: &str) {
    let condition = format!("--for={condition}");
    let wait = ["wait", &condition, object, "-n", ns, "--timeout=30s"];
    cluster.kubectl(&wait).await.ok();
}

/// One verb on one resource, as a rule grants it.
#[derive(Debug)]
struct Right {
    namespace: Option<&'static str>,
    verb: String,
    group: String,
    /// `resource` or `resource/subresource`.
    resource: String,
    name: Option<String>,
}

impl Right {
    fn is_used_by(&self, event: &Value) -> bool {
        let object = &event["objectRef"];
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let resource = match text("subresource") {
            "" => text("resource").to_owned(),
            subresource => format!("{}/{subresource}", text("resource")),
        };
        event["verb"] == self.verb
            && text("apiGroup") == self.group
            && resource == self.resource
            && self.namespace.is_none_or(|here| text("namespace") == here)
            && self.name.as_ref().is_none_or(|name| text("name") == name)
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            namespace,
            verb,
            group,
            resource,
            name,
        } = self;
        write!(f, "{verb} {resource} {group:?} {name:?} in {namespace:?}")
    }
}

/// Everything that our ClusterRoles and our Role grant, one by one, as the cluster holds them.
async fn rights(cluster: &ControlPlane) -> Vec<Right> {
    let mut rights = Vec::new();
    let controller = "tagscope-controller";
    for (kind, name, namespace) in [
        ("clusterrole", controller, None),
        ("role", controller, Some(HOME)),
        ("clusterrole", "tagscope-mirrors", None),
    ] {
        let get = ["get", kind, name, "-n", HOME, "-o", "json"];
        let role: Value = serde_json::from_str(&cluster.kubectl(&get).await.ok()).unwrap();
        for rule in role["rules"].as_array().unwrap() {
            let all = |part: &str| -> Vec<String> {
                serde_json::from_value(rule[part].clone()).unwrap_or_default()
            };
            let names = all("resourceNames");
            let names: Vec<Option<String>> = if names.is_empty() {
                vec![None]
            } else {
                names.into_iter().map(Some).collect()
            };
            for group in all("apiGroups") {
                for resource in all("resources") {
                    for verb in all("verbs") {
                        rights.extend(names.iter().map(|name| Right {
                            namespace,
                            verb: verb.clone(),
                            group: group.clone(),
                            resource: resource.clone(),
                            name: name.clone(),
                        }));
                    }
                }
            }
        }
    }
    assert!(rights.len() > 10, "{rights:#?}");
    rights
}

/// A kubeconfig like the administrator's, but with the ServiceAccount's token in place of a certificate.
pub(crate) async fn kubeconfig_of_service_account(
    cluster: &ControlPlane,
    namespace: &str,
    name: &str,
) -> PathBuf {
    let token = cluster
        .kubectl(&["create", "token", name, "-n", namespace, "--duration=1h"])
        .await
        .ok();
    let admin = cluster
        .kubectl(&[
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
            "-o",
            "json",
        ])
        .await
        .ok();
    let mut kubeconfig: Value = serde_json::from_str(&admin).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    let file = cluster.new_log("kubeconfig").with_extension("json");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    file
}
