//! The manifests against a real API server: it takes all of them, and the rights they give are the ones meant.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, PostParams};

use crate::harness::{ControlPlane, eventually};

/// For what a controller does within seconds, on a busy machine.
const SOON: Duration = Duration::from_mins(1);

fn path(manifests: &str) -> String {
    format!("{}/{manifests}", env!("CARGO_MANIFEST_DIR"))
}

/// What dry runs of the others need to be there: a namespace, and kinds.
async fn prepared() -> &'static ControlPlane {
    let cluster = ControlPlane::shared().await;
    cluster
        .kubectl(&["apply", "-f", &path("deploy/base/namespace.yaml")])
        .await
        .ok();
    cluster
        .kubectl(&["apply", "-k", &path("deploy/crds")])
        .await
        .ok();
    for crd in tagscope::api::crds() {
        let name = format!("crd/{}", crd.metadata.name.unwrap());
        cluster
            .kubectl(&[
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                &name,
            ])
            .await
            .ok();
    }
    cluster
}

#[tokio::test]
async fn every_overlay_passes_a_server_side_dry_run() {
    let cluster = prepared().await;
    for overlay in [
        "deploy/crds",
        "deploy/crds/mirrors",
        "deploy/base",
        "deploy",
        "apiservice/base",
        "apiservice/local",
        "examples",
        "examples/companion",
        "examples/mirror/cluster",
    ] {
        let said = cluster
            .kubectl(&["apply", "--dry-run=server", "-k", &path(overlay)])
            .await;
        assert!(said.success, "{overlay}: {}", said.stderr);
        assert!(
            !said.stderr.contains("Warning"),
            "{overlay}: {}",
            said.stderr
        );
        assert!(
            said.stdout.contains("(server dry run)"),
            "{overlay}: {}",
            said.stdout
        );
    }
}

/// The YAML that is written here is read there by other people's code, with its own idea of quoting and folding.
#[tokio::test]
async fn kubectl_reads_the_definitions_as_they_were_meant() {
    let cluster = ControlPlane::shared().await;
    let read = [
        "create",
        "--dry-run=client",
        "--output=json",
        "-k",
        &path("deploy/crds"),
    ];
    let read = cluster.kubectl(&read).await.ok();
    let read: Vec<CustomResourceDefinition> = serde_json::Deserializer::from_str(&read)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(read, tagscope::api::crds());
}

#[tokio::test]
async fn the_cert_manager_overlay_passes_a_server_side_dry_run() {
    let cluster = prepared().await;
    let all = cluster
        .kubectl(&["kustomize", &path("certs/cert-manager")])
        .await
        .ok();
    // The kinds of cert-manager itself are not installed here.
    let (foreign, ours): (Vec<_>, Vec<_>) = all
        .split("\n---\n")
        .partition(|document| document.contains("apiVersion: cert-manager.io/v1\n"));
    assert_eq!(foreign.len(), 4);
    let said = cluster
        .kubectl_with_input(
            &["apply", "--dry-run=server", "-f", "-"],
            &ours.join("\n---\n"),
        )
        .await
        .ok();
    assert!(
        said.contains("deployment.apps/tagscope-controller"),
        "{said}"
    );
}

async fn may(client: &Client, user: &str, namespace: &str, verb: &str, resource: &str) -> bool {
    let (resource, name) = resource.split_once(' ').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    review(
        client,
        user,
        SubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: Some(subresource.to_owned()),
                name: Some(name.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
    )
    .await
}

async fn review(client: &Client, user: &str, spec: SubjectAccessReviewSpec) -> bool {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            ..spec
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = reviews
        .create(&PostParams::default(), &review)
        .await
        .unwrap();
    answer.status.is_some_and(|status| status.allowed)
}

#[tokio::test]
async fn the_program_may_do_its_work_and_nothing_else() {
    const HOME: &str = "tagscope-system";
    let cluster = prepared().await;
    cluster
        .kubectl(&["apply", "-k", &path("deploy/base")])
        .await
        .ok();
    cluster
        .kubectl(&["apply", "-f", &path("apiservice/base/delegated-auth.yaml")])
        .await
        .ok();
    let client = cluster.client().await;

    let rows = [
        (
            true,
            "team-a",
            "list",
            "imagerepositories.image.toolkit.fluxcd.io",
        ),
        (
            true,
            "team-a",
            "watch",
            "imagepolicies.image.toolkit.fluxcd.io",
        ),
        (
            true,
            "team-a",
            "patch",
            "imagerepositories.image.toolkit.fluxcd.io",
        ),
        (
            true,
            "team-a",
            "patch",
            "imagepolicies/status.image.toolkit.fluxcd.io",
        ),
        (
            false,
            "team-a",
            "get",
            "imagerepositories.image.toolkit.fluxcd.io",
        ),
        (
            false,
            "team-a",
            "get",
            "imagepolicies.image.toolkit.fluxcd.io",
        ),
        (
            false,
            "team-a",
            "get",
            "imagerepositories/status.image.toolkit.fluxcd.io",
        ),
        (
            false,
            "team-a",
            "update",
            "imagepolicies/status.image.toolkit.fluxcd.io",
        ),
        (
            false,
            "team-a",
            "update",
            "imagerepositories.image.toolkit.fluxcd.io",
        ),
        (
            false,
            "team-a",
            "create",
            "imagerepositories.image.toolkit.fluxcd.io",
        ),
        (
            false,
            "team-a",
            "delete",
            "imagepolicies.image.toolkit.fluxcd.io",
        ),
        (true, "team-a", "get", "secrets regcred"),
        (true, "team-a", "list", "secrets"),
        (true, "", "watch", "secrets"),
        (false, "team-a", "create", "secrets"),
        (false, "team-a", "update", "secrets tagscope-ca"),
        (true, "", "get", "namespaces team-a"),
        (false, "", "list", "namespaces"),
        (false, "", "create", "namespaces"),
        (true, "team-a", "get", "serviceaccounts default"),
        (false, "team-a", "list", "serviceaccounts"),
        (true, "team-a", "create", "events"),
        (true, "team-a", "patch", "events"),
        (false, "team-a", "get", "pods"),
        (false, "team-a", "create", "serviceaccounts/token"),
        (
            true,
            "",
            "patch",
            "apiservices.apiregistration.k8s.io v1alpha1.tags.tagscope.dev",
        ),
        (
            false,
            "",
            "get",
            "apiservices.apiregistration.k8s.io v1alpha1.tags.tagscope.dev",
        ),
        (
            false,
            "",
            "update",
            "apiservices.apiregistration.k8s.io v1alpha1.tags.tagscope.dev",
        ),
        (false, "", "list", "apiservices.apiregistration.k8s.io"),
        (
            true,
            "",
            "watch",
            "apiservices.apiregistration.k8s.io v1alpha1.tags.tagscope.dev",
        ),
        (
            false,
            "",
            "patch",
            "apiservices.apiregistration.k8s.io v1beta1.metrics.k8s.io",
        ),
        (true, HOME, "create", "secrets"),
        (true, HOME, "update", "secrets tagscope-ca"),
        (false, HOME, "update", "secrets other"),
        (true, HOME, "update", "leases.coordination.k8s.io tagscope"),
        (false, HOME, "update", "leases.coordination.k8s.io other"),
        (true, HOME, "get", "leases.coordination.k8s.io tagscope"),
        (false, HOME, "get", "leases.coordination.k8s.io other"),
        (false, HOME, "list", "leases.coordination.k8s.io"),
        (false, HOME, "delete", "leases.coordination.k8s.io tagscope"),
        (false, "team-a", "create", "leases.coordination.k8s.io"),
        (
            true,
            "flux-system",
            "watch",
            "leases.coordination.k8s.io image-reflector-controller-leader-election",
        ),
        (
            false,
            "flux-system",
            "update",
            "leases.coordination.k8s.io image-reflector-controller-leader-election",
        ),
        (false, HOME, "patch", "secrets tagscope-ca"),
        (false, HOME, "delete", "secrets tagscope-ca"),
        (false, HOME, "deletecollection", "secrets"),
        (false, "team-a", "get", "events"),
        (false, "team-a", "update", "events"),
        (true, "", "create", "tokenreviews.authentication.k8s.io"),
        (
            true,
            "",
            "create",
            "subjectaccessreviews.authorization.k8s.io",
        ),
        (
            true,
            "kube-system",
            "watch",
            "configmaps extension-apiserver-authentication",
        ),
        (true, "team-a", "list", "imagemirrors.mirror.tagscope.dev"),
        (true, "team-a", "watch", "imagemirrors.mirror.tagscope.dev"),
        (
            true,
            "team-a",
            "patch",
            "imagemirrors/status.mirror.tagscope.dev",
        ),
        (false, "team-a", "get", "imagemirrors.mirror.tagscope.dev"),
        (false, "team-a", "patch", "imagemirrors.mirror.tagscope.dev"),
        (
            false,
            "team-a",
            "delete",
            "imagemirrors.mirror.tagscope.dev",
        ),
        (
            false,
            "team-a",
            "update",
            "imagemirrors/status.mirror.tagscope.dev",
        ),
        (true, "team-a", "get", "configmaps ledger"),
        (true, "team-a", "create", "configmaps"),
        (true, "team-a", "update", "configmaps ledger"),
        (true, "team-a", "delete", "configmaps ledger"),
        (false, "team-a", "list", "configmaps"),
        (false, "team-a", "watch", "configmaps"),
        (false, "team-a", "patch", "configmaps ledger"),
        (false, "team-a", "deletecollection", "configmaps"),
        (
            true,
            HOME,
            "update",
            "leases.coordination.k8s.io tagscope-mirror",
        ),
        (
            true,
            HOME,
            "update",
            "leases.coordination.k8s.io imagerepo-mirror.oscar-romeu.io",
        ),
        (
            false,
            HOME,
            "delete",
            "leases.coordination.k8s.io tagscope-mirror",
        ),
        (
            true,
            "imagerepo-mirror",
            "watch",
            "leases.coordination.k8s.io imagerepo-mirror.oscar-romeu.io",
        ),
        (
            false,
            "imagerepo-mirror",
            "update",
            "leases.coordination.k8s.io imagerepo-mirror.oscar-romeu.io",
        ),
        (false, "team-a", "list", "imagetags.tags.tagscope.dev"),
    ];
    let user = "system:serviceaccount:tagscope-system:tagscope";
    // The authorizer follows the bindings with a short delay.
    eventually(SOON, "the program has its rights", || async {
        for (allowed, namespace, verb, resource) in rows {
            if may(&client, user, namespace, verb, resource).await != allowed {
                return Err(format!(
                    "{verb} {resource} in {namespace:?} should be {allowed}"
                ));
            }
        }
        Ok(())
    })
    .await;
    let anything = NonResourceAttributes {
        path: Some("/metrics".to_owned()),
        verb: Some("get".to_owned()),
    };
    let spec = SubjectAccessReviewSpec {
        non_resource_attributes: Some(anything),
        ..SubjectAccessReviewSpec::default()
    };
    assert!(!review(&client, user, spec).await);
}

#[tokio::test]
async fn who_may_view_a_namespace_sees_its_tags() {
    let cluster = prepared().await;
    cluster
        .kubectl(&["apply", "-k", &path("apiservice/readers")])
        .await
        .ok();
    cluster
        .kubectl(&["apply", "-f", &path("deploy/base/user-roles.yaml")])
        .await
        .ok();
    let namespace = cluster.namespace("readers").await;
    for role in ["view", "edit"] {
        let bind = [
            "create",
            "rolebinding",
            role,
            "--clusterrole",
            role,
            "--user",
            role,
            "-n",
            &namespace,
        ];
        cluster.kubectl(&bind).await.ok();
    }
    let client = cluster.client().await;
    let rows = [
        (true, "view", "watch", "imagetags.tags.tagscope.dev"),
        (true, "view", "get", "tagsets.tags.tagscope.dev"),
        (true, "edit", "list", "imagetags.tags.tagscope.dev"),
        (false, "edit", "delete", "imagetags.tags.tagscope.dev"),
        (true, "edit", "create", "tagqueries.tags.tagscope.dev"),
        (false, "view", "create", "tagqueries.tags.tagscope.dev"),
        (
            true,
            "view",
            "list",
            "imagepolicies.image.toolkit.fluxcd.io",
        ),
        (
            false,
            "view",
            "update",
            "imagepolicies.image.toolkit.fluxcd.io",
        ),
        (
            true,
            "edit",
            "create",
            "imagerepositories.image.toolkit.fluxcd.io",
        ),
        (
            true,
            "edit",
            "get",
            "imagerepositories.image.toolkit.fluxcd.io",
        ),
        (
            false,
            "edit",
            "patch",
            "imagerepositories/status.image.toolkit.fluxcd.io",
        ),
        (true, "view", "watch", "imagemirrors.mirror.tagscope.dev"),
        (false, "view", "create", "imagemirrors.mirror.tagscope.dev"),
        (true, "edit", "create", "imagemirrors.mirror.tagscope.dev"),
        (
            false,
            "edit",
            "patch",
            "imagemirrors/status.mirror.tagscope.dev",
        ),
        (false, "nobody", "list", "imagetags.tags.tagscope.dev"),
    ];
    eventually(SOON, "the roles are aggregated", || async {
        for (allowed, user, verb, resource) in rows {
            if may(&client, user, &namespace, verb, resource).await != allowed {
                return Err(format!("{user} {verb} {resource} should be {allowed}"));
            }
        }
        Ok(())
    })
    .await;
}
