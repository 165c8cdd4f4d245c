//! How users are recognised and what they may do without asking, as the flags say it.

use std::path::PathBuf;
use std::time::Duration;

use super::checker::Checker;
use crate::apiserver::{authn, authz};
use crate::cluster::delegated::{Lookup, Pins};
use crate::config::args::delegated::DelegatedArgs;

/// An answer is believed for so long at most, whatever the flag says: a right that is taken away must end some day.
const LONGEST_TTL: Duration = Duration::from_hours(1);

/// How users are recognised, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegated {
    /// What flags say in place of kube-apiserver's ConfigMap.
    pub pins: Pins,
    /// Audiences that a token must be for.
    pub audiences: Vec<String>,
    /// How long a token is known.
    pub token_ttl: Duration,
    /// The kubeconfig for tokens and the ConfigMap; `None`: as everything else.
    pub authentication_kubeconfig: Option<PathBuf>,
    /// The kubeconfig for access reviews; `None`: as everything else.
    pub authorization_kubeconfig: Option<PathBuf>,
    /// How long a permission holds.
    pub allow_ttl: Duration,
    /// How long a denial holds.
    pub deny_ttl: Duration,
    /// Paths that everybody may use.
    pub always_allow_paths: Vec<String>,
}

impl Delegated {
    /// For [`authn::Authenticator`].
    pub fn authentication(&self) -> authn::Settings {
        authn::Settings {
            audiences: self.audiences.clone(),
            token_ttl: self.token_ttl,
            failure_ttl: self.token_ttl,
            ..authn::Settings::default()
        }
    }

    /// For [`authz::Authorizer`].
    pub fn authorization(&self) -> authz::Settings {
        authz::Settings {
            always_allow_paths: self.always_allow_paths.clone(),
            allow_ttl: self.allow_ttl,
            deny_ttl: self.deny_ttl,
        }
    }
}

impl Checker {
    pub(super) fn delegated(&mut self, args: DelegatedArgs) -> Delegated {
        let DelegatedArgs {
            client_ca_file,
            requestheader_client_ca_file,
            requestheader_allowed_names,
            requestheader_username_headers,
            requestheader_uid_headers,
            requestheader_group_headers,
            requestheader_extra_headers_prefix,
            authentication_skip_lookup,
            authentication_tolerate_lookup_failure,
            authentication_token_webhook_cache_ttl,
            authentication_kubeconfig,
            api_audiences,
            authorization_kubeconfig,
            authorization_webhook_cache_authorized_ttl,
            authorization_webhook_cache_unauthorized_ttl,
            authorization_always_allow_paths,
        } = args;
        let skips = self.boolean("--authentication-skip-lookup", &authentication_skip_lookup);
        let tolerates = self.boolean(
            "--authentication-tolerate-lookup-failure",
            &authentication_tolerate_lookup_failure,
        );
        Delegated {
            pins: Pins {
                lookup: match (skips, tolerates) {
                    (true, _) => Lookup::Skipped,
                    (false, true) => Lookup::Tolerated,
                    (false, false) => Lookup::Required,
                },
                client_ca: client_ca_file,
                front_proxy_ca: requestheader_client_ca_file,
                allowed_names: given(&requestheader_allowed_names),
                username_headers: self.headers(
                    "--requestheader-username-headers",
                    &requestheader_username_headers,
                ),
                uid_headers: self
                    .headers("--requestheader-uid-headers", &requestheader_uid_headers),
                group_headers: self.headers(
                    "--requestheader-group-headers",
                    &requestheader_group_headers,
                ),
                extra_prefixes: self.headers(
                    "--requestheader-extra-headers-prefix",
                    &requestheader_extra_headers_prefix,
                ),
            },
            audiences: given(&api_audiences).unwrap_or_default(),
            token_ttl: self.ttl(
                "--authentication-token-webhook-cache-ttl",
                &authentication_token_webhook_cache_ttl,
            ),
            authentication_kubeconfig,
            authorization_kubeconfig,
            allow_ttl: self.ttl(
                "--authorization-webhook-cache-authorized-ttl",
                &authorization_webhook_cache_authorized_ttl,
            ),
            deny_ttl: self.ttl(
                "--authorization-webhook-cache-unauthorized-ttl",
                &authorization_webhook_cache_unauthorized_ttl,
            ),
            always_allow_paths: self.paths(&authorization_always_allow_paths),
        }
    }

    fn ttl(&mut self, flag: &str, text: &str) -> Duration {
        let ttl = self.duration(flag, text);
        if ttl > LONGEST_TTL {
            return self.wrong(format!("{flag} {text:?} is more than 1h"));
        }
        ttl
    }

    /// Names of headers, or beginnings of such, lower case.
    fn headers(&mut self, flag: &str, lists: &[String]) -> Option<Vec<String>> {
        let names = given(lists)?;
        for name in &names {
            if http::HeaderName::try_from(name.as_str()).is_err() {
                self.wrong::<()>(format!("{flag} {name:?} is not a header's name"));
            }
        }
        Some(
            names
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        )
    }

    /// As kube-apiserver takes them: with or without the slash in front, a star at the end only.
    fn paths(&mut self, lists: &[String]) -> Vec<String> {
        let paths = given(lists).unwrap_or_default();
        paths
            .into_iter()
            .map(|path| {
                let path = format!("/{}", path.trim_start_matches('/'));
                if path.strip_suffix('*').unwrap_or(&path).contains('*') {
                    self.wrong::<()>(format!(
                        "--authorization-always-allow-paths {path:?} has a * elsewhere than at its end"
                    ));
                }
                path
            })
            .collect()
    }
}

/// The words of all lists together; `None` when the flag was not given, and no words when it was given empty.
fn given(lists: &[String]) -> Option<Vec<String>> {
    if lists.is_empty() {
        return None;
    }
    let words = lists.iter().flat_map(|list| list.split(','));
    Some(
        words
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

#[cfg(test)]
mod tests;
