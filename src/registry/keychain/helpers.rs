//! Credential helpers: which program a Docker configuration names for a registry, and what its answer means.
//!
//! The protocol is that of docker-credential-helpers: `docker-credential-<name> get`, the server on its standard input, JSON or
//! a sentence on its standard output. Nothing is run here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Error;
use super::entry;
use crate::image::Repository;
use crate::registry::redact::shorten;
use crate::secret::Credential;

/// What Docker Hub is called towards helpers.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// How a helper says that it has none, whatever its exit code.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The helpers that a configuration names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Helpers {
    store: Option<String>,
    /// By registry, as it is written.
    registries: BTreeMap<String, String>,
}

/// A helper to ask, and for what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The helper's name: the program is `docker-credential-<name>`.
    pub helper: String,
    /// Where the configuration names it, for messages.
    pub named_in: &'static str,
    /// What it is asked for.
    pub server: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl Helpers {
    /// Reads the text of a `~/.docker/config.json`.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn from_docker_config(json: &[u8]) -> Result<Self, Error> {
        super::check_length(entry::CONFIG_FILE, json)?;
        let config: Config = serde_json::from_slice(json).map_err(|error| Error::Malformed {
            key: entry::CONFIG_FILE,
            cause: entry::describe(&error),
        })?;
        let Config {
            creds_store,
            cred_helpers,
        } = config;
        let mut registries = cred_helpers.unwrap_or_default();
        registries.retain(|_, helper| !helper.is_empty());
        Ok(Self {
            store: creds_store.filter(|store| !store.is_empty()),
            registries,
        })
    }

    /// Whom to ask for `repository`: the helper of its registry, else the store.
    ///
    /// # Errors
    /// When the name is none that a program could have; names nothing but the program.
    pub fn question(&self, repository: &Repository) -> Result<Option<Question>, InvalidName> {
        let registry = repository.registry();
        let is_of = |key: &str| {
            let key = host(key);
            if registry.is_docker_hub() {
                matches!(
                    key,
                    "docker.io" | "index.docker.io" | "registry-1.docker.io"
                )
            } else {
                key.eq_ignore_ascii_case(registry.as_str())
            }
        };
        let own = self.registries.iter().find(|(key, _)| is_of(key));
        let (helper, named_in) = match (own, &self.store) {
            (Some((_, helper)), _) => (helper, "credHelpers"),
            (None, Some(store)) => (store, "credsStore"),
            (None, None) => return Ok(None),
        };
        // `.` for desktop.exe. With the prefix before it, no such name leads out of a directory.
        let is_name = helper.len() <= 64
            && helper.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
            });
        if !is_name {
            return Err(InvalidName {
                helper: shorten(helper, 64),
                named_in,
            });
        }
        let server = if registry.is_docker_hub() {
            DOCKER_HUB
        } else {
            registry.as_str()
        };
        Ok(Some(Question {
            helper: helper.clone(),
            named_in,
            server: server.to_owned(),
        }))
    }
}

/// A helper's name that no program can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{named_in} names the credential helper {helper:?}, but a helper's name has only the characters a-z, 0-9, -, _ and ."
)]
pub struct InvalidName {
    helper: String,
    named_in: &'static str,
}

/// What a helper that succeeded has said: a credential, or none.
///
/// # Errors
/// What is wrong with the answer, without any of it.
pub fn read_answer(output: &[u8]) -> Result<Option<Credential>, String> {
    if is_not_found(output) {
        return Ok(None);
    }
    let Answer { username, secret } = serde_json::from_slice(output)
        .map_err(|error| format!("its answer is unusable: {}", entry::describe(&error)))?;
    entry::from_pair(username, secret).map_err(|cause| format!("its answer is unusable: {cause}"))
}

/// Whether a helper says that it has no credential.
pub fn is_not_found(output: &[u8]) -> bool {
    String::from_utf8_lossy(output).contains(NOT_FOUND)
}

/// The host, and port, of a key that may be a URL.
fn host(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    key.split('/').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ExposeSecret as _;

    fn asked(config: &serde_json::Value, repository: &str) -> Option<String> {
        let helpers = Helpers::from_docker_config(config.to_string().as_bytes()).unwrap();
        let question = helpers.question(&repository.parse().unwrap()).unwrap()?;
        let Question {
            helper,
            named_in,
            server,
        } = question;
        Some(format!("{named_in} {helper} {server}"))
    }

    #[test]
    fn the_registry_s_own_helper_goes_before_the_store() {
        let both = serde_json::json!({"credsStore": "desktop.exe", "credHelpers": {
            "gcr.io": "gcloud", "https://R.example:5000/v2/": "pass", "index.docker.io": "hub_2", "quay.io": "",
        }});
        let only = serde_json::json!({"credHelpers": {"gcr.io": "gcloud"}});
        for (config, repository, expected) in [
            (&both, "gcr.io/a/b", Some("credHelpers gcloud gcr.io")),
            (
                &both,
                "r.example:5000/app",
                Some("credHelpers pass r.example:5000"),
            ),
            (
                &both,
                "r.example/app",
                Some("credsStore desktop.exe r.example"),
            ),
            (
                &both,
                "alpine",
                Some("credHelpers hub_2 https://index.docker.io/v1/"),
            ),
            (&both, "quay.io/app", Some("credsStore desktop.exe quay.io")),
            (&only, "gcr.io/app", Some("credHelpers gcloud gcr.io")),
            (&only, "eu.gcr.io/app", None),
            (&serde_json::json!({"auths": {}}), "gcr.io/app", None),
        ] {
            assert_eq!(
                asked(config, repository).as_deref(),
                expected,
                "{repository}"
            );
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["../evil", "a b", "Desktop", "a/b", "é", &"a".repeat(65)] {
            let config = serde_json::json!({ "credsStore": name }).to_string();
            let helpers = Helpers::from_docker_config(config.as_bytes()).unwrap();
            let error = helpers
                .question(&"gcr.io/app".parse().unwrap())
                .unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("credsStore names the credential helper"),
                "{error}"
            );
        }
    }

    #[test]
    fn answers_are_credentials_identity_tokens_or_nothing() {
        let read = |output: &str| {
            read_answer(output.as_bytes()).map(|credential| {
                credential.map(|credential| match credential {
                    Credential::Basic { username, password } => {
                        format!("{username}:{}", password.expose_secret())
                    }
                    Credential::IdentityToken(token) => {
                        format!("identity {}", token.expose_secret())
                    }
                    Credential::RegistryToken(token) => {
                        format!("registry {}", token.expose_secret())
                    }
                })
            })
        };
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            read(r#"{"ServerURL":"x","Username":"me","Secret":"s3"}"#),
            some("me:s3")
        );
        assert_eq!(
            read(r#"{"Username":"<token>","Secret":"t"}"#),
            some("identity t")
        );
        assert_eq!(read(r#"{"Username":"","Secret":""}"#), Ok(None));
        assert_eq!(read("credentials not found in native keychain\n"), Ok(None));
        let refused = read(r#"{"Username":"me","Secret":["hunter2"]}"#).unwrap_err();
        assert_eq!(
            refused,
            "its answer is unusable: a value is not of the type it should be at line 1 column 26"
        );
        assert!(read("hunter2").unwrap_err().contains("it is not JSON"));
    }
}
