//! Rights that somebody forgot to grant: the log says which, the rest works, and nobody has to restart anything.

use std::path::Path;

use tokio::sync::OnceCell;

use crate::harness::{ControlPlane, Tagscope, eventually};
use crate::rights::kubeconfig_of_service_account;
use crate::world::SOON;

const HOME: &str = "tagscope-system";

/// A control plane with the kinds and the controllers' rights, and none of those that `apiservice/base` grants.
async fn without_apiservice() -> &'static ControlPlane {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let cluster = ControlPlane::start().await;
            cluster.apply(&cluster.definitions().await).await;
            for file in ["namespace", "service-account", "roles"] {
                let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("deploy/base")
                    .join(file)
                    .with_extension("yaml");
                let path = path.display().to_string();
                cluster.kubectl(&["apply", "-f", &path]).await.ok();
            }
            cluster
        })
        .await
}

async fn is_scanned(cluster: &ControlPlane, ns: &str, repository: &str) {
    cluster.registry.push(repository, &["1.0.0"]).await;
    let image = cluster.registry.image(repository);
    cluster
        .apply(&format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {{name: app, namespace: {ns}}}\n\
             spec: {{image: \"{image}\", interval: 1h}}\n---\n\
             apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: app, namespace: {ns}}}\n\
             spec: {{imageRepositoryRef: {{name: app}}, policy: {{semver: {{range: '*'}}}}}}\n"
        ))
        .await;
    let wait = ["wait", "--for=condition=Ready", "--timeout=30s", "-n", ns];
    for object in ["imagerepository/app", "imagepolicy/app"] {
        cluster.kubectl(&[&wait[..], &[object]].concat()).await.ok();
    }
}

async fn status_of(program: &Tagscope, path: &str) -> Result<u16, reqwest::Error> {
    let answer = reqwest::get(format!("http://{}{path}", program.health)).await?;
    Ok(answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_delegated_rights_the_controllers_run_and_one_line_names_the_roles() {
    let cluster = without_apiservice().await;
    let kubeconfig = kubeconfig_of_service_account(cluster, HOME, "tagscope").await;
    let program = cluster.tagscope().kubeconfig(kubeconfig).start().await;
    let mut program = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    let ns = &cluster.namespace("undelegated").await;
    is_scanned(cluster, ns, "undelegated/app").await;

    let log = program.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Aggregated API server is off"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    for role in [
        "system:auth-delegator",
        "extension-apiserver-authentication-reader",
    ] {
        assert!(lines[0].contains(role), "{log}");
    }
    let metrics = program.scrape().await;
    let is_off = metrics
        .lines()
        .any(|line| line == "tagscope_apiserver_on 0");
    assert!(is_off, "{metrics}");
    assert_eq!(status_of(&program, "/readyz").await.unwrap(), 200);
    assert!(program.terminate().await.success(), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rights_on_our_kinds_it_says_which_and_goes_on_when_they_are_granted() {
    let cluster = without_apiservice().await;
    let account = &cluster.new_name("nobody");
    let create = ["create", "serviceaccount", account, "-n", HOME];
    cluster.kubectl(&create).await.ok();
    let kubeconfig = kubeconfig_of_service_account(cluster, HOME, account).await;
    let mut program = cluster.tagscope().kubeconfig(kubeconfig).spawn();
    let user = format!("system:serviceaccount:{HOME}:{account}");
    for kind in ["imagerepositories", "imagepolicies"] {
        // Quoted once by kube-apiserver, and again by the log.
        let refused = format!(
            "{kind}.image.toolkit.fluxcd.io is forbidden: User \\\"{user}\\\" cannot list resource"
        );
        eventually(SOON, &refused, || async {
            let log = program.log();
            log.contains(&refused).then_some(()).ok_or(log)
        })
        .await;
    }
    assert_eq!(status_of(&program, "/livez").await.unwrap(), 200);
    assert_ne!(status_of(&program, "/readyz").await.unwrap(), 200);
    assert_eq!(program.end(), None, "it lives on");
    let lines = program.log().lines().count();
    assert!(lines < 60, "it does not fill the log: {}", program.log());

    let subject = format!("--serviceaccount={HOME}:{account}");
    let bind = ["create", "clusterrolebinding", account, &subject];
    let bind = [&bind[..], &["--clusterrole=tagscope-controller"]].concat();
    cluster.kubectl(&bind).await.ok();
    program
        .ready()
        .await
        .unwrap_or_else(|log| panic!("it ended:\n{log}"));
    assert!(program.terminate().await.success(), "{}", program.log());
}
