//! Components change what they say they change, and nothing else.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tagscope::api::names;

use super::{build, file, kustomizations, one, root, text};

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
            [
                "flux-labels",
                "flux-lease",
                "in-flux",
                "in-flux-mirrors",
                "persistent-storage"
            ]
            .map(str::to_owned)
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

/// What mirrors may do is the same wherever they run; Flux's ServiceAccount has the rest of it already.
#[test]
fn mirrors_have_their_rights_where_flux_lives() {
    let ours = file("deploy/base/roles.yaml");
    let theirs = file("deploy/components/in-flux-mirrors/rights.yaml");
    let [ours_role, theirs_role] =
        [&ours, &theirs].map(|all| one(all, "ClusterRole", "tagscope-mirrors")["rules"].clone());
    let (ours_role, theirs_role) = (
        ours_role.as_array().unwrap(),
        theirs_role.as_array().unwrap(),
    );
    assert_eq!(theirs_role[..], ours_role[..theirs_role.len()]);
    assert_eq!(
        ours_role[theirs_role.len()..],
        [json!({
            "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "update", "delete"],
        })]
    );
    let subject =
        |all: &[Value]| one(all, "ClusterRoleBinding", "tagscope-mirrors")["subjects"].clone();
    assert_eq!(
        subject(&ours),
        json!([{"kind": "ServiceAccount", "name": "tagscope", "namespace": names::DEFAULT_NAMESPACE}])
    );
    assert_eq!(
        subject(&theirs),
        json!([{"kind": "ServiceAccount", "name": names::CONTROLLER_NAME, "namespace": "flux-system"}])
    );
    let people = file("deploy/base/user-roles.yaml");
    for verb in ["view", "edit"] {
        let rules =
            one(&people, "ClusterRole", &format!("tagscope-images-{verb}"))["rules"].clone();
        let alone = &one(&theirs, "ClusterRole", &format!("tagscope-mirrors-{verb}"))["rules"];
        assert!(rules.as_array().unwrap().contains(&alone[0]), "{verb}");
    }
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
