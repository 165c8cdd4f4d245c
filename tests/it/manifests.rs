//! The manifests say what the program and its documents promise, and every overlay can be built.
//!
//! Building needs kubectl: that of `KUBEBUILDER_ASSETS`, the one that `tests/bin/control-plane build` makes, or
//! that of `PATH`. Without one, or without openssl, tests say so and pass; where `CI` is set they fail.

mod components;
mod examples;
mod keys;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};
use tagscope::api::names;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The first that is there. Nothing is built for these tests; the end-to-end tests build one.
fn kubectl() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")));
    // Of the version that the tests' control plane has: the directory is named after it.
    let built = cache.map(|cache| {
        cache
            .join("tagscope")
            .join(format!("kube-{}", kube_version()))
    });
    let path = env::var_os("PATH").unwrap_or_default();
    env::var_os("KUBEBUILDER_ASSETS")
        .map(PathBuf::from)
        .into_iter()
        .chain(built)
        .chain(env::split_paths(&path))
        .map(|dir| dir.join("kubectl"))
        .find(|file| file.is_file())
}

/// The Kubernetes version that `tests/bin/control-plane` builds.
fn kube_version() -> String {
    let modules = fs::read_to_string(root().join("tests/cluster/go.mod")).unwrap();
    let version = modules.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("require ");
        line.strip_prefix("k8s.io/kubernetes v")
    });
    let version = version.expect("tests/cluster/go.mod requires k8s.io/kubernetes");
    version.split(' ').next().unwrap_or_default().to_owned()
}

/// What a test does without a program that it needs: pass with a word, but not where everything has to be checked.
#[expect(clippy::print_stdout, reason = "a test that checks nothing says so")]
fn not_checked(what: &str, program: &str) {
    let must_be = env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!must_be, "{what} cannot be checked without {program}");
    println!("not checked, there is no {program}: {what}");
}

/// The objects of an overlay; None when there is no kubectl.
fn build(dir: &Path) -> Option<Vec<Value>> {
    let Some(kubectl) = kubectl() else {
        not_checked(&dir.display().to_string(), "kubectl");
        return None;
    };
    let output = Command::new(kubectl)
        .arg("kustomize")
        .arg(dir)
        .output()
        .expect("run kubectl");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{}: {errors}",
        dir.display()
    );
    Some(documents(&String::from_utf8(output.stdout).unwrap()))
}

fn documents(stream: &str) -> Vec<Value> {
    format!("\n{stream}")
        .split("\n---")
        .filter(|document| {
            document
                .lines()
                .any(|line| !line.is_empty() && !line.starts_with('#'))
        })
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

/// Every directory with a kustomization of this kind, below the directories that hold manifests.
fn kustomizations(kind: &str) -> Vec<PathBuf> {
    fn visit(dir: &Path, kind: &str, found: &mut Vec<PathBuf>) {
        let file = dir.join("kustomization.yaml");
        if let Ok(text) = fs::read_to_string(&file) {
            let kustomization: Value = serde_saphyr::from_str(&text).unwrap();
            if kustomization["kind"] == kind {
                found.push(dir.to_owned());
            }
        }
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, kind, found);
            }
        }
    }
    let mut found = Vec::new();
    for top in ["apiservice", "certs", "deploy", "examples"] {
        visit(&root().join(top), kind, &mut found);
    }
    found
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    match (found.next(), found.next()) {
        (Some(object), None) => object,
        (found, _) => panic!(
            "{kind} {name}: {} of them",
            if found.is_none() { "none" } else { "several" }
        ),
    }
}

fn file(path: &str) -> Vec<Value> {
    documents(&fs::read_to_string(root().join(path)).unwrap())
}

#[test]
fn every_overlay_builds_whole_objects_each_once() {
    let overlays = kustomizations("Kustomization");
    assert!(overlays.len() >= 7, "{overlays:?}");
    for dir in overlays {
        let Some(objects) = build(&dir) else { return };
        assert!(!objects.is_empty(), "{}", dir.display());
        let mut seen = BTreeSet::new();
        for object in &objects {
            let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
            let namespace = text(object, "/metadata/namespace");
            assert!(
                !text(object, "/apiVersion").is_empty() && !name.is_empty(),
                "{}: {object}",
                dir.display()
            );
            let clusterwide = kind.starts_with("Cluster")
                || ["APIService", "CustomResourceDefinition", "Namespace"].contains(&kind);
            assert_eq!(
                namespace.is_empty(),
                clusterwide,
                "{}: {kind} {name}",
                dir.display()
            );
            assert!(
                seen.insert((kind, namespace, name)),
                "{}: {kind} {name} twice",
                dir.display()
            );
        }
    }
}

#[test]
fn the_names_are_those_that_the_program_knows() {
    for (path, port) in [("apiservice/base", 443), ("apiservice/local", 8443)] {
        let api_service = &file(&format!("{path}/apiservice.yaml"))[0];
        assert_eq!(text(api_service, "/metadata/name"), names::API_SERVICE_NAME);
        assert_eq!(
            api_service["spec"],
            json!({
                "group": names::TAGS_GROUP,
                "version": names::TAGS_VERSION,
                "groupPriorityMinimum": 1000,
                "versionPriority": 15,
                "service": {"namespace": names::DEFAULT_NAMESPACE, "name": names::SERVICE_NAME, "port": port},
            })
        );
        let service = &file(&format!("{path}/service.yaml"))[0];
        assert_eq!(text(service, "/metadata/name"), names::SERVICE_NAME);
        assert_eq!(
            text(service, "/metadata/namespace"),
            names::DEFAULT_NAMESPACE
        );
        assert_eq!(service["spec"]["ports"][0]["port"], port);
        // Endpoints of an aggregated API are found by the name of the port.
        assert_eq!(service["spec"]["ports"][0]["name"], "https");
    }
    let local = &file("apiservice/local/service.yaml")[0];
    assert_eq!(
        (text(local, "/spec/type"), text(local, "/spec/externalName")),
        ("ExternalName", "localhost")
    );

    for namespace in [
        "deploy/base/namespace.yaml",
        "apiservice/local/namespace.yaml",
    ] {
        assert_eq!(
            text(&file(namespace)[0], "/metadata/name"),
            names::DEFAULT_NAMESPACE
        );
    }
    let roles = file("deploy/base/roles.yaml");
    let kept = one(&roles, "Role", "tagscope-controller").to_string();
    assert!(kept.contains(&format!(r#""resourceNames":["{}"]"#, names::CA_SECRET_NAME)));
    let cluster = one(&roles, "ClusterRole", "tagscope-controller").to_string();
    assert!(cluster.contains(&format!(
        r#""resourceNames":["{}"]"#,
        names::API_SERVICE_NAME
    )));
}

#[test]
fn no_role_says_everything() {
    let roles = [
        "deploy/base/roles.yaml",
        "deploy/base/user-roles.yaml",
        "apiservice/readers/roles.yaml",
        "deploy/components/flux-lease/rights.yaml",
        "deploy/components/in-flux/rights.yaml",
        "deploy/components/in-flux-mirrors/rights.yaml",
    ];
    for role in roles
        .into_iter()
        .flat_map(file)
        .filter(|object| object["rules"].is_array())
    {
        for rule in role["rules"].as_array().unwrap() {
            // A path of kube-apiserver's has no group.
            let parts = if rule["nonResourceURLs"].is_array() {
                &["nonResourceURLs", "verbs"][..]
            } else {
                &["apiGroups", "resources", "verbs"]
            };
            for part in parts {
                let values = rule[part].as_array().unwrap();
                assert!(
                    !values.is_empty() && !values.contains(&json!("*")),
                    "{role}"
                );
            }
        }
    }
}

#[test]
fn delegated_authentication_is_bound_where_it_lives() {
    let bindings = file("apiservice/base/delegated-auth.yaml");
    let reader = one(&bindings, "RoleBinding", "tagscope-authentication-reader");
    assert_eq!(text(reader, "/metadata/namespace"), "kube-system");
    assert_eq!(
        text(reader, "/roleRef/name"),
        "extension-apiserver-authentication-reader"
    );
    let delegator = one(&bindings, "ClusterRoleBinding", "tagscope-auth-delegator");
    assert_eq!(text(delegator, "/roleRef/name"), "system:auth-delegator");
    for binding in [reader, delegator] {
        assert_eq!(
            binding["subjects"],
            json!([{"kind": "ServiceAccount", "name": "tagscope", "namespace": names::DEFAULT_NAMESPACE}])
        );
    }
}

#[test]
fn the_deployment_is_hardened_and_alone() {
    let deployment = &file("deploy/base/deployment.yaml")[0];
    let pod = "/spec/template/spec";
    let container = "/spec/template/spec/containers/0";
    let rows = [
        ("/spec/replicas".to_owned(), json!(1)),
        ("/spec/strategy".to_owned(), json!({"type": "Recreate"})),
        (format!("{pod}/serviceAccountName"), json!("tagscope")),
        (
            format!("{pod}/securityContext"),
            json!({
                "runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534, "fsGroup": 1337,
                "seccompProfile": {"type": "RuntimeDefault"},
            }),
        ),
        (
            format!("{container}/securityContext"),
            json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
            }),
        ),
        (format!("{container}/name"), json!("manager")),
        (
            format!("{container}/ports"),
            json!([
                {"name": "https", "containerPort": 8443},
                {"name": "http-prom", "containerPort": 8080},
                {"name": "healthz", "containerPort": 9440},
            ]),
        ),
        (
            format!("{container}/readinessProbe/httpGet"),
            json!({"path": "/readyz", "port": "healthz"}),
        ),
        (
            format!("{container}/livenessProbe/httpGet"),
            json!({"path": "/livez", "port": "healthz"}),
        ),
        (
            format!("{container}/env/0/valueFrom/fieldRef/fieldPath"),
            json!("metadata.namespace"),
        ),
        (
            format!("{container}/volumeMounts"),
            json!([{"name": "tmp", "mountPath": "/tmp"}, {"name": "data", "mountPath": "/data"}]),
        ),
    ];
    for (pointer, wanted) in rows {
        assert_eq!(deployment.pointer(&pointer), Some(&wanted), "{pointer}");
    }
    // What selects the pods selects them everywhere.
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(
        &file("apiservice/base/service.yaml")[0]["spec"]["selector"],
        labels
    );
    for policy in file("deploy/base/network-policies.yaml") {
        assert_eq!(&policy["spec"]["podSelector"]["matchLabels"], labels);
    }
    let namespace = &file("deploy/base/namespace.yaml")[0];
    assert_eq!(
        namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
}

#[test]
fn an_image_reference_has_a_tag() {
    let Some(objects) = build(&root().join("deploy")) else {
        return;
    };
    let deployment = one(&objects, "Deployment", "tagscope-controller");
    assert_eq!(
        text(deployment, "/spec/template/spec/containers/0/image"),
        concat!("tagscope:v", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        deployment["metadata"]["labels"]["app.kubernetes.io/version"],
        concat!("v", env!("CARGO_PKG_VERSION"))
    );
    let in_flux = &file("deploy/components/in-flux/deployment.yaml")[0];
    assert_eq!(
        text(in_flux, "/spec/template/spec/containers/0/image"),
        concat!("tagscope:v", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_api_is_the_same_where_flux_lives() {
    let of = |path: &str| -> Value { file(path)[0].clone() };
    let mut ours = of("apiservice/base/apiservice.yaml");
    ours["spec"]["service"]["namespace"] = json!("flux-system");
    assert_eq!(of("deploy/components/in-flux/apiservice.yaml"), ours);
    let mut ours = of("apiservice/base/service.yaml");
    ours["metadata"]["namespace"] = json!("flux-system");
    for pointer in ["/metadata/labels/app", "/spec/selector/app"] {
        *ours.pointer_mut(pointer).unwrap() = json!(names::CONTROLLER_NAME);
    }
    assert_eq!(of("deploy/components/in-flux/service.yaml"), ours);
}

#[test]
fn the_whole_is_the_sum_of_its_parts() {
    let build = |dir: &str| -> Option<Vec<String>> {
        let objects = build(&root().join(dir))?;
        Some(
            objects
                .iter()
                .map(|o| format!("{} {}", text(o, "/kind"), text(o, "/metadata/name")))
                .collect(),
        )
    };
    let Some(whole) = build("deploy") else { return };
    let parts: BTreeSet<String> = ["deploy/crds", "deploy/base", "apiservice/base"]
        .into_iter()
        .filter_map(build)
        .flatten()
        .collect();
    assert_eq!(BTreeSet::from_iter(whole), parts);
}
