//! With what rights and over which ways an ImageRepository's registry is asked: its Secrets and its ServiceAccount,
//! read into a registry client's words.
//!
//! They are read whenever they are used, and no payload outlives the question. Errors are the ends of condition
//! messages, and quote no value of any Secret.

mod material;

use std::sync::Arc;

use self::material::Mark;
use super::Context;
use super::registry::Ways;
use crate::api::image_repository::Provider;
use crate::api::{ImageRepository, ImageRepositorySpec};
use crate::cluster::read::{self, SecretData};
use crate::cluster::with_causes;
use crate::image::Repository;
use crate::object::Key;
use crate::registry::{Access, Keychain};

/// How often a Secret is read again that changed while it was read.
const READS: usize = 3;

/// More pull secrets of one ServiceAccount are not read.
const MOST_PULL_SECRETS: usize = 32;

/// The ways to `image` that `object`, which is `key`, names in its spec.
pub(super) async fn ways(
    context: &Context,
    key: &Key,
    object: &ImageRepository,
    image: &Repository,
) -> Result<Ways, String> {
    let spec = &object.spec;
    if let Some(unsupported) = unsupported_provider(spec) {
        return Err(unsupported);
    }
    let mut reader = Reader {
        context,
        object: key,
        read: Vec::new(),
    };
    let mut keychains = Vec::new();
    if let Some(reference) = &spec.secret_ref {
        let (name, secret) = reader.secret(&reference.name).await?;
        keychains.push(keychain(&name, &secret)?);
    }
    let account = spec.service_account_name.as_deref();
    if let Some(account) = account.filter(|name| !name.is_empty()) {
        keychains.extend(reader.pull_secrets(account).await?);
    }
    let mut mark = Mark::default();
    let credentials = keychains
        .iter()
        .flat_map(|keychain| keychain.lookup_all(image));
    let mut access = Access {
        insecure: spec.insecure,
        ..Access::default()
    }
    .with_credentials(credentials.cloned());
    if let Some(reference) = &spec.cert_secret_ref {
        let (name, secret) = reader.secret(&reference.name).await?;
        let tls = material::tls(&secret, context.clock.now(), &mut mark);
        access.tls = Some(Arc::new(tls.map_err(|error| told(&name, &error))?));
    }
    if let Some(reference) = &spec.proxy_secret_ref {
        let (name, secret) = reader.secret(&reference.name).await?;
        let proxy = material::proxy(&secret, &mut mark);
        access.proxy = Some(Arc::new(proxy.map_err(|error| told(&name, &error))?));
    }
    Ok(Ways {
        access,
        mark: mark.finish(),
    })
}

/// What to say of a provider that nothing here can log in to. A Secret that is named is used whatever the provider.
pub(super) fn unsupported_provider(spec: &ImageRepositorySpec) -> Option<String> {
    let provider = match spec.provider {
        Provider::Generic => return None,
        Provider::Aws => "provider 'aws'",
        Provider::Azure => "provider 'azure'",
        Provider::Gcp => "provider 'gcp'",
        Provider::Unknown => "this provider",
    };
    spec.secret_ref.is_none().then(|| {
        format!(
            "{provider} is not supported yet: name a pull secret for the registry in spec.secretRef, \
             or set spec.provider to 'generic'"
        )
    })
}

fn keychain(name: &Key, secret: &SecretData) -> Result<Keychain, String> {
    Keychain::from_secret(&secret.kind, |key| secret.value(key)).map_err(|error| told(name, &error))
}

fn told(secret: &Key, error: &impl std::fmt::Display) -> String {
    format!("secret '{secret}': {error}")
}

/// Reads what one object refers to, each thing once.
struct Reader<'a> {
    context: &'a Context,
    object: &'a Key,
    read: Vec<(Key, SecretData)>,
}

impl Reader<'_> {
    async fn secret(&mut self, name: &str) -> Result<(Key, SecretData), String> {
        let key = Key::new(self.object.namespace.clone(), name);
        // One Secret may hold credential, certificates and proxy.
        if let Some(known) = self.read.iter().find(|(known, _)| *known == key) {
            return Ok(known.clone());
        }
        let found = self
            .newest(&key)
            .await
            .map_err(|error| with_causes(&error))?;
        self.read.push((key.clone(), found.clone()));
        Ok((key, found))
    }

    /// Reads, and reads again what was heard to have changed meanwhile: nobody would come to look once more.
    async fn newest(&self, key: &Key) -> Result<SecretData, crate::cluster::Error> {
        let mut reads = 1;
        loop {
            let found = read::secret(&self.context.client.0, key).await;
            let version = found.as_ref().ok().and_then(|found| found.version.clone());
            let is_current = self.context.secrets.was_read(self.object, key, version);
            if is_current || reads >= READS {
                return found;
            }
            reads += 1;
        }
    }

    /// The keychains of a ServiceAccount's image pull secrets, in its order.
    async fn pull_secrets(&mut self, account: &str) -> Result<Vec<Keychain>, String> {
        let key = Key::new(self.object.namespace.clone(), account);
        let names = read::image_pull_secrets(&self.context.client.0, &key)
            .await
            .map_err(|error| with_causes(&error))?;
        if names.len() > MOST_PULL_SECRETS {
            return Err(format!(
                "service account '{key}' has more than {MOST_PULL_SECRETS} image pull secrets, the limit"
            ));
        }
        // Before they are read: whatever happens to them from now on is noticed.
        self.context.secrets.pulls(self.object, &names);
        let mut keychains = Vec::new();
        for name in names {
            let keychain = match self.secret(&name).await {
                Ok((name, secret)) => keychain(&name, &secret),
                Err(error) => Err(error),
            };
            keychains.push(keychain.map_err(|error| {
                format!("image pull secret of service account '{key}': {error}")
            })?);
        }
        Ok(keychains)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::reference::LocalObjectReference;

    #[test]
    fn a_provider_that_is_not_supported_is_named_unless_a_secret_stands_in() {
        let mut spec = ImageRepositorySpec::default();
        assert_eq!(unsupported_provider(&spec), None);
        spec.provider = Provider::Aws;
        assert_eq!(
            unsupported_provider(&spec).as_deref(),
            Some(
                "provider 'aws' is not supported yet: name a pull secret for the registry in spec.secretRef, \
                 or set spec.provider to 'generic'"
            )
        );
        spec.secret_ref = Some(LocalObjectReference {
            name: "regcred".into(),
        });
        assert_eq!(unsupported_provider(&spec), None);
    }
}
