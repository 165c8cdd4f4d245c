//! The manifests say what the program and its documents promise, and every overlay can be built.
//!
//! Building needs kubectl: that of `KUBEBUILDER_ASSETS`, the one that `tests/bin/control-plane build` makes, or
//! that of `PATH`. Without one, or without openssl, tests say so and pass; where `CI` is set they fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};
use tagscope::api::{ImagePolicy, ImageRepository, names};

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

/// An overlay of `deploy` with one component, built in a directory that is thrown away.
fn with_component(component: &str) -> Option<Vec<Value>> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let here = dir.path().canonicalize().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let there = root().canonicalize().unwrap().display().to_string();
    let there = format!("{up}{}", there.trim_start_matches('/'));
    let kustomization = format!(
        "resources: [{there}/deploy]\ncomponents: [{there}/deploy/components/{component}]\n"
    );
    fs::write(here.join("kustomization.yaml"), kustomization).unwrap();
    build(&here)
}

#[test]
fn components_change_what_they_say() {
    let components: BTreeSet<String> = kustomizations("Component")
        .iter()
        .map(|dir| dir.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        components,
        BTreeSet::from(
            ["flux-labels", "flux-lease", "in-flux", "persistent-storage"].map(str::to_owned)
        )
    );

    let Some(labelled) = with_component("flux-labels") else {
        return;
    };
    let carriers: Vec<&str> = labelled
        .iter()
        .filter(|object| object["metadata"]["labels"]["app.kubernetes.io/part-of"] == "flux")
        .map(|object| text(object, "/kind"))
        .collect();
    assert_eq!(
        carriers,
        [
            "CustomResourceDefinition",
            "CustomResourceDefinition",
            "Deployment"
        ]
    );

    let kept = with_component("persistent-storage").unwrap();
    let deployment = one(&kept, "Deployment", "tagscope-controller");
    assert_eq!(
        deployment["spec"]["template"]["spec"]["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|v| v["name"] == "data"),
        Some(&json!({"name": "data", "persistentVolumeClaim": {"claimName": "tagscope-data"}}))
    );
    one(&kept, "PersistentVolumeClaim", "tagscope-data");
}

#[test]
fn fluxs_lease_is_stood_for_with_the_rights_to_it() {
    let Some(objects) = with_component("flux-lease") else {
        return;
    };
    let deployment = one(&objects, "Deployment", "tagscope-controller");
    let args = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let role = one(&objects, "Role", "tagscope-flux-lease");
    let home = text(role, "/metadata/namespace");
    for arg in [
        "--enable-leader-election",
        &format!("--leader-election-namespace={home}"),
    ] {
        assert!(args.as_array().unwrap().contains(&json!(arg)), "{args}");
    }
    // Those that the program has to the same Lease in its own namespace.
    let ours = file("deploy/base/roles.yaml");
    let ours = one(&ours, "Role", "tagscope-controller");
    let verbs = |role: &Value, lease: &str| -> Vec<Value> {
        let rules = role["rules"].as_array().unwrap().iter();
        let leases = rules.filter(|rule| {
            rule["resources"] == json!(["leases"])
                && rule["resourceNames"]
                    .as_array()
                    .is_none_or(|names| names.contains(&json!(lease)))
        });
        let verbs = leases.map(|rule| rule["verbs"].clone());
        verbs.collect()
    };
    let lease = "image-reflector-controller-leader-election";
    assert_eq!(verbs(role, lease), verbs(ours, lease));
    assert_eq!(
        verbs(role, lease),
        [json!(["create"]), json!(["get", "update"])]
    );
    let binding = one(&objects, "RoleBinding", "tagscope-flux-lease");
    assert_eq!(text(binding, "/metadata/namespace"), home);
    assert_eq!(
        binding["subjects"],
        json!([{"kind": "ServiceAccount", "name": "tagscope", "namespace": names::DEFAULT_NAMESPACE}])
    );
}

#[test]
fn cert_manager_s_certificate_reaches_both_ends() {
    let certificate = &file("certs/cert-manager/certificate.yaml")[0];
    let service = format!("{}.{}.svc", names::SERVICE_NAME, names::DEFAULT_NAMESPACE);
    assert!(
        certificate["spec"]["dnsNames"]
            .as_array()
            .unwrap()
            .contains(&json!(service))
    );

    let Some(objects) = build(&root().join("certs/cert-manager")) else {
        return;
    };
    let api_service = one(&objects, "APIService", names::API_SERVICE_NAME);
    let from = format!(
        "{}/{}",
        names::DEFAULT_NAMESPACE,
        text(certificate, "/metadata/name")
    );
    assert_eq!(
        api_service["metadata"]["annotations"]["cert-manager.io/inject-ca-from"],
        from
    );

    let pod = &one(&objects, "Deployment", "tagscope-controller")["spec"]["template"]["spec"];
    let args = pod["containers"][0]["args"].to_string();
    let mount = pod["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["name"] == "certs")
        .unwrap();
    let volume = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|v| v["name"] == "certs")
        .unwrap();
    for (flag, key) in [
        ("--tls-cert-file", "tls.crt"),
        ("--tls-private-key-file", "tls.key"),
    ] {
        assert!(
            args.contains(&format!("{flag}={}/{key}", text(mount, "/mountPath"))),
            "{args}"
        );
    }
    assert_eq!(
        volume["secret"]["secretName"],
        certificate["spec"]["secretName"]
    );
    // 0440 in the octal that Kubernetes reads, 288 in the decimal that it stores.
    assert_eq!(volume["secret"]["defaultMode"], 288);
}

/// The names of all fields, nested: what a manifest says, whatever the values.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Value::Object(map) = value {
        for (name, value) in map {
            let path = format!("{path}.{name}");
            fields(value, &path, found);
            found.insert(path);
        }
    }
}

#[test]
fn examples_say_nothing_that_the_kinds_do_not_know() {
    let mut repositories = BTreeMap::new();
    let mut wanted = Vec::new();
    let kustomization = &file("examples/kustomization.yaml")[0];
    let listed: BTreeSet<&str> = kustomization["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut there = BTreeSet::new();
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // What the directories hold is not for `make run`.
        if name == "kustomization.yaml" || entry.file_type().unwrap().is_dir() {
            continue;
        }
        for example in file(&format!("examples/{name}")) {
            let typed = match text(&example, "/kind") {
                "ImageRepository" => {
                    let typed: ImageRepository = serde_json::from_value(example.clone()).unwrap();
                    repositories.insert(
                        typed.metadata.name.clone().unwrap(),
                        typed.spec.image.clone(),
                    );
                    serde_json::to_value(typed).unwrap()
                }
                "ImagePolicy" => {
                    let typed: ImagePolicy = serde_json::from_value(example.clone()).unwrap();
                    wanted.push(typed.spec.image_repository_ref.name.clone());
                    serde_json::to_value(typed).unwrap()
                }
                other => panic!("{name}: {other}"),
            };
            let (mut written, mut understood) = (BTreeSet::new(), BTreeSet::new());
            fields(&example, "", &mut written);
            fields(&typed, "", &mut understood);
            assert_eq!(written, understood, "{name}");
        }
        there.insert(name);
    }
    assert_eq!(
        there.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        listed
    );
    for repository in &wanted {
        assert!(
            repositories.contains_key(repository),
            "a policy refers to {repository}, which no example makes"
        );
    }
    for repository in repositories.keys() {
        assert!(
            wanted.contains(repository),
            "no policy elects from {repository}"
        );
    }

    // `make run` fills its registry with what these scan.
    let seed = fs::read_to_string(root().join("tests/registry/seed/samples.go")).unwrap();
    for image in repositories.values() {
        let (host, repository) = image.split_once('/').unwrap();
        assert_eq!(host, "localhost:5000");
        assert!(
            seed.contains(&format!("repository: \"{repository}\"")),
            "nothing is pushed to {repository}"
        );
    }
}

#[test]
fn the_development_authority_vouches_for_the_service() {
    if Command::new("openssl").arg("version").output().is_err() {
        not_checked("certs/dev-ca.sh", "openssl");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        let made = Command::new(root().join("certs/dev-ca.sh"))
            .arg(dir.path())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        (read("ca.crt"), read("tls.crt"))
    };
    let (authority, first) = make();
    let (again, second) = make();
    assert_eq!(authority, again, "the authority is kept");
    assert_ne!(first, second, "the serving certificate is made anew");

    let (_, authority) = x509_parser::pem::parse_x509_pem(&authority).unwrap();
    let (_, serving) = x509_parser::pem::parse_x509_pem(&second).unwrap();
    let (authority, serving) = (
        authority.parse_x509().unwrap(),
        serving.parse_x509().unwrap(),
    );
    assert!(authority.is_ca() && !serving.is_ca());
    assert_eq!(serving.issuer(), authority.subject());
    // Version 3: rustls refuses anything older.
    assert_eq!(serving.version().0, 2);
    let names_of = serving
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names
        .iter();
    let names_of: Vec<String> = names_of.map(ToString::to_string).collect();
    for name in [
        &*format!("{}.{}.svc", names::SERVICE_NAME, names::DEFAULT_NAMESPACE),
        "localhost",
    ] {
        assert!(
            names_of.contains(&format!("DNSName({name})")),
            "{names_of:?}"
        );
    }

    #[cfg(unix)]
    for key in ["ca.key", "tls.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.path().join(key))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{key} is for its owner alone");
    }
}

#[test]
fn no_key_is_kept_with_the_sources() {
    let marker = ["PRIVATE", "KEY-----"].join(" ");
    let mut dirs: Vec<PathBuf> = ["apiservice", "certs", "deploy", "examples"]
        .iter()
        .map(|top| root().join(top))
        .collect();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                assert!(
                    !fs::read_to_string(&path).unwrap().contains(&marker),
                    "{}",
                    path.display()
                );
            }
        }
    }
}
