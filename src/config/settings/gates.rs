//! The feature gates of both of Flux's image controllers. One that neither knows stops the program, as it stops theirs.

use super::checker::{Checker, parse_go_bool};

/// Flux's feature gates. All but the first two do nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "that is what gates are")]
pub struct Gates {
    /// `FluxStorage`: revisions in the `sha256:` form.
    pub flux_storage: bool,
    /// `ObjectLevelWorkloadIdentity`: `spec.serviceAccountName` may go with a cloud provider.
    pub object_level_workload_identity: bool,
    /// `CacheSecretsAndConfigMaps`: nothing is cached here.
    pub cache_secrets_and_config_maps: bool,
    /// `GitForcePushBranch`, of Git automation.
    pub git_force_push_branch: bool,
    /// `GitShallowClone`, of Git automation.
    pub git_shallow_clone: bool,
    /// `GitAllBranchReferences`, of Git automation.
    pub git_all_branch_references: bool,
    /// `GitSparseCheckout`, of Git automation.
    pub git_sparse_checkout: bool,
}

impl Default for Gates {
    /// Flux's.
    fn default() -> Self {
        Self {
            flux_storage: false,
            object_level_workload_identity: false,
            cache_secrets_and_config_maps: false,
            git_force_push_branch: true,
            git_shallow_clone: true,
            git_all_branch_references: true,
            git_sparse_checkout: false,
        }
    }
}

impl Gates {
    fn switch(&mut self, gate: &str) -> Option<&mut bool> {
        Some(match gate {
            "FluxStorage" => &mut self.flux_storage,
            "ObjectLevelWorkloadIdentity" => &mut self.object_level_workload_identity,
            "CacheSecretsAndConfigMaps" => &mut self.cache_secrets_and_config_maps,
            "GitForcePushBranch" => &mut self.git_force_push_branch,
            "GitShallowClone" => &mut self.git_shallow_clone,
            "GitAllBranchReferences" => &mut self.git_all_branch_references,
            "GitSparseCheckout" => &mut self.git_sparse_checkout,
            _ => return None,
        })
    }
}

impl Checker {
    /// Every list that was given counts, and a gate counts as it stood last.
    pub(super) fn gates(&mut self, lists: &[String]) -> Gates {
        let mut gates = Gates::default();
        let pairs = lists.iter().flat_map(|list| list.split(',')).map(str::trim);
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let (gate, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(switch) = gates.switch(gate) else {
                self.wrong::<()>(format!(
                    "--feature-gates knows no {gate:?}; it knows FluxStorage, CacheSecretsAndConfigMaps, ObjectLevelWorkloadIdentity, \
                     GitForcePushBranch, GitShallowClone, GitAllBranchReferences, GitSparseCheckout"
                ));
                continue;
            };
            match parse_go_bool(value) {
                Some(on) => *switch = on,
                None => self.wrong(format!(
                    "--feature-gates {pair:?} does not read Gate=true or Gate=false"
                )),
            }
        }
        gates
    }
}
