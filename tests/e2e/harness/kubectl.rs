//! kubectl against the test's own control plane: the one of its version, and others.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{env, fs};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{ControlPlane, Process};

/// What kubectl said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// What it printed; the test fails when kubectl did.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.success, "kubectl: {}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What it printed, for a probe of [`super::eventually`] that takes kubectl's failure for "not yet".
    pub(crate) fn probe(self) -> Result<String, String> {
        if self.success {
            Ok(self.stdout)
        } else {
            Err(self.stderr)
        }
    }
}

impl ControlPlane {
    /// Runs kubectl as the cluster's administrator.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Output {
        self.kubectl_with_input(args, "").await
    }

    /// `kubectl apply` of the given manifests.
    pub(crate) async fn apply(&self, manifests: &str) -> String {
        self.kubectl_with_input(&["apply", "-f", "-"], manifests)
            .await
            .ok()
    }

    /// Starts a kubectl that goes on, such as `get -w`, and whose output is read from its log.
    pub(crate) fn kubectl_following(&self, args: &[&str]) -> Process {
        self.kubectl_of_following(&self.kubectl, args)
    }

    /// Like [`Self::kubectl_following`], of another version.
    pub(crate) fn kubectl_of_following(&self, program: &Path, args: &[&str]) -> Process {
        let environment = self.kubectl_environment();
        let environment: Vec<_> = environment
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let log = self.new_log("kubectl");
        Process::spawn(program, args.iter().copied(), &environment, log)
    }

    /// Runs kubectl with something on its standard input.
    pub(crate) async fn kubectl_with_input(&self, args: &[&str], input: &str) -> Output {
        self.kubectl_of(&self.kubectl, args, input).await
    }

    /// The kubectl of the control plane's version, the one that is installed on this machine, if any, and those that
    /// `$TAGSCOPE_KUBECTLS` names, separated as in `$PATH`.
    pub(crate) fn kubectls(&self) -> Vec<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let installed = env::split_paths(&path).map(|dir| dir.join("kubectl"));
        let more = env::var_os("TAGSCOPE_KUBECTLS").unwrap_or_default();
        let more: Vec<_> = env::split_paths(&more)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        let installed =
            installed.filter(|path| fs::metadata(path).is_ok_and(|file| file.is_file()));
        let own = std::iter::once(self.kubectl.clone());
        own.chain(installed.take(1)).chain(more).collect()
    }

    /// Runs a kubectl of another version.
    pub(crate) async fn kubectl_of(&self, program: &Path, args: &[&str], input: &str) -> Output {
        self.kubectl_in(program, args, input, &[]).await
    }

    /// Like [`Self::kubectl_of`], with more in its environment.
    pub(crate) async fn kubectl_in(
        &self,
        program: &Path,
        args: &[&str],
        input: &str,
        environment: &[(&str, &str)],
    ) -> Output {
        let mut child = Command::new(program)
            .args(args)
            .envs(self.kubectl_environment())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It reads all of its input before it prints, and may end without reading any.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        Output {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn kubectl_environment(&self) -> [(&'static str, String); 2] {
        [
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            // Its cache is keyed by address, and another run may have had ours.
            (
                "KUBECACHEDIR",
                self.dir.join("kubectl-cache").display().to_string(),
            ),
        ]
    }
}
