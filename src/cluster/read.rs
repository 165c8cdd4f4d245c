//! Reads what an object refers to: its Secrets, its ServiceAccount, and its namespace's labels.
//!
//! Each is one GET, not a cache: no payload is held longer than it is used, and a changed credential counts from the
//! next reconcile on. What a Secret means is not known here.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::Api;
use kube::{Client, ResourceExt as _};

use super::Error;
use super::secrets::Version;
use crate::object::Key;

/// A Secret's content. Its values are not printed.
#[derive(Clone, Default)]
pub struct SecretData {
    /// Its type, e.g. `kubernetes.io/dockerconfigjson`.
    pub kind: String,
    /// Which state of it this is, when it was read from a cluster.
    pub version: Option<Version>,
    data: BTreeMap<String, ByteString>,
}

impl SecretData {
    /// A Secret of this type and content.
    pub fn new(kind: &str, values: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let data = values
            .into_iter()
            .map(|(key, value)| (key, ByteString(value)));
        Self {
            kind: kind.to_owned(),
            version: None,
            data: data.collect(),
        }
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.data.get(key).map(|value| value.0.as_slice())
    }
}

/// Names what is there, and shows nothing of it.
impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretData")
            .field("kind", &self.kind)
            .field("keys", &self.data.keys())
            .finish_non_exhaustive()
    }
}

/// The content of a Secret.
pub async fn secret(client: &Client, key: &Key) -> Result<SecretData, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
    let found = api.get(&key.name).await?;
    Ok(SecretData {
        version: Some(Version::of(&found.metadata)),
        kind: found.type_.unwrap_or_default(),
        data: found.data.unwrap_or_default(),
    })
}

/// The names of a ServiceAccount's image pull secrets, in its order.
pub async fn image_pull_secrets(client: &Client, key: &Key) -> Result<Vec<String>, Error> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &key.namespace);
    let found = api.get(&key.name).await?;
    let references = found.image_pull_secrets.into_iter().flatten();
    Ok(references
        .map(|reference| reference.name)
        .filter(|name| !name.is_empty())
        .collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_its_values() {
        let shown = format!(
            "{:?}",
            SecretData::new("Opaque", [("password".to_owned(), b"hunter2".to_vec())])
        );
        assert!(
            shown.contains("password") && !shown.contains("hunter2") && !shown.contains("104"),
            "{shown}"
        );
    }
}
