//! Reads what an object refers to: its Secrets, and its namespace's labels.
//!
//! Each is one GET, not a cache: rights to list every Secret of a cluster are not asked for, and a
//! changed credential counts from the next reconcile on.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::Api;
use kube::{Client, ResourceExt as _};

use super::Error;
use crate::object::Key;
use crate::secret::SecretString;

/// The type of Secret that holds registry credentials.
pub const DOCKER_CONFIG_JSON: &str = "kubernetes.io/dockerconfigjson";

/// The longest dockerconfigjson that is looked at, in bytes; the API server's own limit for a Secret is 1 MiB.
const LONGEST_DOCKER_CONFIG: usize = 1 << 20;

/// Why a Secret gave no registry credentials. The texts end up in conditions.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It could not be read: missing, forbidden, no answer.
    #[error("{}", super::with_causes(.0))]
    Read(Error),
    /// It is of another type.
    #[error("unknown secret type {found:?}")]
    Type {
        /// The type it has.
        found: String,
    },
    /// It has the type, but not the key.
    #[error("secret '{secret}' has no key '.dockerconfigjson'")]
    Key {
        /// The Secret.
        secret: Key,
    },
    /// Its content is not a text of sane size.
    #[error("secret '{secret}' holds a .dockerconfigjson that is not UTF-8 text of at most 1 MiB")]
    Content {
        /// The Secret.
        secret: Key,
    },
}

/// The dockerconfigjson of a Secret, unparsed.
pub async fn docker_config(client: &Client, secret: &Key) -> Result<SecretString, SecretError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &secret.namespace);
    let found = api
        .get(&secret.name)
        .await
        .map_err(|error| SecretError::Read(error.into()))?;
    parse_docker_config(found, secret)
}

/// The labels of a namespace.
pub async fn namespace_labels(
    client: &Client,
    namespace: &str,
) -> Result<BTreeMap<String, String>, Error> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get(namespace).await?;
    Ok(found.labels().clone())
}

fn parse_docker_config(found: Secret, key: &Key) -> Result<SecretString, SecretError> {
    let type_ = found.type_.unwrap_or_default();
    if type_ != DOCKER_CONFIG_JSON {
        return Err(SecretError::Type { found: type_ });
    }
    let data = found
        .data
        .and_then(|mut data| data.remove(".dockerconfigjson"));
    let Some(bytes) = data else {
        return Err(SecretError::Key {
            secret: key.clone(),
        });
    };
    if bytes.0.len() > LONGEST_DOCKER_CONFIG {
        return Err(SecretError::Content {
            secret: key.clone(),
        });
    }
    match String::from_utf8(bytes.0) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(_) => Err(SecretError::Content {
            secret: key.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;
    use crate::secret::ExposeSecret as _;

    fn secret(type_: &str, data: &[(&str, &[u8])]) -> Secret {
        Secret {
            type_: Some(type_.to_owned()),
            data: Some(
                data.iter()
                    .map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec())))
                    .collect(),
            ),
            ..Secret::default()
        }
    }

    #[test]
    fn only_a_docker_config_of_the_right_type_is_taken() {
        let key = Key::new("apps", "regcred");
        let read = |secret| parse_docker_config(secret, &key);
        let good = read(secret(DOCKER_CONFIG_JSON, &[(".dockerconfigjson", b"{}")])).unwrap();
        assert_eq!(good.expose_secret(), "{}");
        let told = |secret| read(secret).err().map(|error| error.to_string()).unwrap();
        assert_eq!(
            told(secret("Opaque", &[(".dockerconfigjson", b"{}")])),
            r#"unknown secret type "Opaque""#
        );
        assert_eq!(
            told(secret(DOCKER_CONFIG_JSON, &[])),
            "secret 'apps/regcred' has no key '.dockerconfigjson'"
        );
        assert!(
            told(secret(
                DOCKER_CONFIG_JSON,
                &[(".dockerconfigjson", &[0xff])]
            ))
            .contains("UTF-8")
        );
    }
}
