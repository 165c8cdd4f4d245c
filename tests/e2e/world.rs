//! What most tests share: one control plane with tagscope installed on it, and repositories to scan.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::harness::{ControlPlane, Tagscope, eventually};

/// Long enough for a scan, an election and its status on a machine that is busy with everything else.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The components of the control plane that look after us.
pub(crate) const COMPONENTS: [&str; 2] = ["kube-apiserver", "kube-controller-manager"];

/// A control plane with the program installed on it.
pub(crate) struct World {
    pub(crate) cluster: ControlPlane,
    /// How long the logs of [`COMPONENTS`] were when the APIService had become available. Until then kube-apiserver
    /// calls a server that it has not been told to believe.
    pub(crate) settled: [usize; 2],
    pub(crate) program: Tagscope,
}

impl World {
    /// The one that tests share, each in a namespace of its own. Nobody may stop it.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<World> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(&[])).await
    }

    /// One of its own, for tests that stop the program or change it.
    pub(crate) async fn start(args: &[&str]) -> Self {
        let cluster = ControlPlane::start().await;
        cluster.apply(&cluster.definitions().await).await;
        // Where it keeps its certificate authority: there from the start, as in an installation.
        cluster
            .kubectl(&["create", "namespace", "tagscope-system"])
            .await
            .ok();
        let program = cluster.tagscope().args(args.iter().copied()).start().await;
        let program = program.unwrap_or_else(|log| panic!("tagscope did not start:\n{log}"));
        cluster.install(&program).await;
        cluster
            .kubectl(&[
                "wait",
                "--for=condition=Available",
                "apiservice/v1alpha1.tags.tagscope.dev",
                "--timeout=30s",
            ])
            .await
            .ok();
        let settled = COMPONENTS.map(|component| cluster.log(component).len());
        Self {
            cluster,
            settled,
            program,
        }
    }

    /// Creates an ImageRepository and waits until it is Ready.
    pub(crate) async fn scan(&self, namespace: &str, name: &str, repository: &str) {
        self.create_repository(namespace, name, repository).await;
        self.wait_ready(namespace, &format!("imagerepository/{name}"))
            .await;
    }

    /// Creates an ImageRepository that is scanned once an hour.
    pub(crate) async fn create_repository(&self, namespace: &str, name: &str, repository: &str) {
        let image = self.cluster.registry.image(repository);
        self.cluster
            .apply(&format!(
                "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, \
                 metadata: {{name: {name}, namespace: {namespace}}}, \
                 spec: {{image: \"{image}\", interval: 1h}}}}"
            ))
            .await;
    }

    /// Creates an ImagePolicy with a semver range.
    pub(crate) async fn create_policy(
        &self,
        namespace: &str,
        name: &str,
        repository: &str,
        range: &str,
    ) {
        self.cluster
            .apply(&format!(
                "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, \
                 metadata: {{name: {name}, namespace: {namespace}}}, \
                 spec: {{imageRepositoryRef: {{name: {repository}}}, policy: {{semver: {{range: \"{range}\"}}}}}}}}"
            ))
            .await;
    }

    /// `kubectl wait --for=condition=Ready`.
    pub(crate) async fn wait_ready(&self, namespace: &str, object: &str) {
        self.cluster
            .kubectl(&[
                "wait",
                "--for=condition=Ready",
                object,
                "-n",
                namespace,
                "--timeout=30s",
            ])
            .await
            .ok();
    }

    /// Asks for a scan now, as `flux reconcile` does.
    pub(crate) async fn request_scan(&self, namespace: &str, name: &str) {
        let token = self.cluster.new_name("requested");
        self.cluster
            .kubectl(&[
                "annotate",
                "--overwrite",
                "-n",
                namespace,
                &format!("imagerepository/{name}"),
                &format!("reconcile.fluxcd.io/requestedAt={token}"),
            ])
            .await
            .ok();
    }

    /// `kubectl get … -o json`.
    pub(crate) async fn get(&self, args: &[&str]) -> Value {
        let args = [&["get"], args, &["-o", "json"]].concat();
        serde_json::from_str(&self.cluster.kubectl(&args).await.ok()).unwrap()
    }

    /// Waits until the policy's status names `tag`.
    pub(crate) async fn elects(&self, namespace: &str, policy: &str, tag: &str) {
        eventually(SOON, &format!("{policy} elects {tag}"), || async {
            let object = self.get(&["imagepolicy", policy, "-n", namespace]).await;
            let elected = &object["status"]["latestRef"]["tag"];
            if elected == tag {
                Ok(())
            } else {
                Err(object["status"].to_string())
            }
        })
        .await;
    }
}
