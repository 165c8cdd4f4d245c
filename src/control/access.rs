//! With what rights and over which ways a registry is asked: the Secrets and the ServiceAccount that an ImageRepository or a
//! mirror names, read into a registry client's words.
//!
//! They are read whenever they are used, and no payload outlives the question. Errors are the ends of condition
//! messages, and quote no value of any Secret.

mod material;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::material::Mark;
use super::Context;
use super::registry::Ways;
use super::secrets::User;
use crate::api::image_mirror::Destination;
use crate::api::image_repository::Provider;
use crate::api::reference::LocalObjectReference;
use crate::api::{ImageRepository, ImageRepositorySpec};
use crate::cluster::read::{self, SecretData};
use crate::cluster::with_causes;
use crate::image::Repository;
use crate::object::Key;
use crate::registry::{Access, Keychain, Proxy, TlsMaterial};

/// How often a Secret is read again that changed while it was read.
const READS: usize = 3;

/// More pull secrets of one ServiceAccount are not read.
const MOST_PULL_SECRETS: usize = 32;

/// What an object says about reaching a registry. All that it names is of one namespace.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach<'a> {
    pub(super) secret: Option<&'a LocalObjectReference>,
    pub(super) account: Option<&'a str>,
    pub(super) certificates: Option<&'a LocalObjectReference>,
    pub(super) proxy: Option<&'a LocalObjectReference>,
    pub(super) insecure: bool,
}

impl<'a> From<&'a ImageRepositorySpec> for Reach<'a> {
    fn from(spec: &'a ImageRepositorySpec) -> Self {
        let account = spec.service_account_name.as_deref();
        Self {
            secret: spec.secret_ref.as_ref(),
            account: account.filter(|name| !name.is_empty()),
            certificates: spec.cert_secret_ref.as_ref(),
            proxy: spec.proxy_secret_ref.as_ref(),
            insecure: spec.insecure,
        }
    }
}

impl<'a> From<&'a Destination> for Reach<'a> {
    fn from(destination: &'a Destination) -> Self {
        Self {
            secret: destination.secret_ref.as_ref(),
            account: None,
            certificates: destination.cert_secret_ref.as_ref(),
            proxy: destination.proxy_secret_ref.as_ref(),
            insecure: destination.insecure,
        }
    }
}

/// What is amiss with something that an object refers to. No value of any Secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Amiss {
    /// The field that refers to it.
    pub(super) field: &'static str,
    /// The end of a condition message.
    pub(super) what: String,
}

/// What was read: good for every repository that it is meant for.
pub(super) struct Kit {
    keychains: Vec<Keychain>,
    tls: Option<Arc<TlsMaterial>>,
    proxy: Option<Arc<Proxy>>,
    insecure: bool,
    mark: Option<[u8; 32]>,
}

impl Kit {
    /// Credentials, and nothing else.
    pub(super) fn of(keychain: Keychain) -> Self {
        Self {
            keychains: vec![keychain],
            tls: None,
            proxy: None,
            insecure: false,
            mark: None,
        }
    }

    /// The ways to `image`.
    pub(super) fn ways(&self, image: &Repository) -> Ways {
        let Self {
            keychains,
            tls,
            proxy,
            insecure,
            mark,
        } = self;
        let credentials = keychains
            .iter()
            .flat_map(|keychain| keychain.lookup_all(image));
        let access = Access {
            insecure: *insecure,
            tls: tls.clone(),
            proxy: proxy.clone(),
            ..Access::default()
        };
        Ways {
            access: access.with_credentials(credentials.cloned()),
            mark: *mark,
        }
    }
}

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
    let mut reader = Reader::new(context, User::Repository(key.clone()));
    let kit = reader.kit(&key.namespace, Reach::from(spec)).await;
    Ok(kit.map_err(|amiss| amiss.what)?.ways(image))
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

/// Reads for one object what is referred to, each thing once.
pub(super) struct Reader<'a> {
    context: &'a Context,
    user: User,
    read: Vec<(Key, SecretData)>,
    /// Those that could not be read, too: whoever misses one waits for it.
    asked: BTreeSet<Key>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(context: &'a Context, user: User) -> Self {
        Self {
            context,
            user,
            read: Vec::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Where the object is one of many.
    pub(super) fn context(&self) -> &'a Context {
        self.context
    }

    /// Reads everything that `reach` names in `namespace`.
    pub(super) async fn kit(
        &mut self,
        namespace: &Arc<str>,
        reach: Reach<'_>,
    ) -> Result<Kit, Amiss> {
        let Reach {
            secret,
            account,
            certificates,
            proxy,
            insecure,
        } = reach;
        let mut mark = Mark::default();
        let mut kit = Kit {
            keychains: Vec::new(),
            tls: None,
            proxy: None,
            insecure,
            mark: None,
        };
        if let Some(reference) = secret {
            let read = self.secret(namespace, &reference.name).await;
            let keychain = read.and_then(|(name, secret)| keychain(&name, &secret));
            kit.keychains.push(keychain.map_err(amiss("secretRef"))?);
        }
        if let Some(account) = account {
            let keychains = self.pull_secrets(namespace, account).await;
            kit.keychains
                .extend(keychains.map_err(amiss("serviceAccountName"))?);
        }
        if let Some(reference) = certificates {
            let read = self.secret(namespace, &reference.name).await;
            let now = self.context.clock.now();
            let tls = read.and_then(|(name, secret)| {
                let tls = material::tls(&secret, now, &mut mark);
                tls.map_err(|error| told(&name, &error))
            });
            kit.tls = Some(Arc::new(tls.map_err(amiss("certSecretRef"))?));
        }
        if let Some(reference) = proxy {
            let read = self.secret(namespace, &reference.name).await;
            let proxy = read.and_then(|(name, secret)| {
                let proxy = material::proxy(&secret, &mut mark);
                proxy.map_err(|error| told(&name, &error))
            });
            kit.proxy = Some(Arc::new(proxy.map_err(amiss("proxySecretRef"))?));
        }
        kit.mark = mark.finish();
        Ok(kit)
    }

    /// That was all: nobody has to be told any more of what was read before and not now.
    pub(super) fn finish(self) {
        self.context.secrets.uses_only(&self.user, self.asked);
    }

    async fn secret(
        &mut self,
        namespace: &Arc<str>,
        name: &str,
    ) -> Result<(Key, SecretData), String> {
        let key = Key::new(namespace.clone(), name);
        // One Secret may hold credential, certificates and proxy.
        if let Some(known) = self.read.iter().find(|(known, _)| *known == key) {
            return Ok(known.clone());
        }
        self.context.secrets.uses(&self.user, &key);
        self.asked.insert(key.clone());
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
            let is_current = self.context.secrets.was_read(&self.user, key, version);
            if is_current || reads >= READS {
                return found;
            }
            reads += 1;
        }
    }

    /// The keychains of a ServiceAccount's image pull secrets, in its order.
    async fn pull_secrets(
        &mut self,
        namespace: &Arc<str>,
        account: &str,
    ) -> Result<Vec<Keychain>, String> {
        let key = Key::new(namespace.clone(), account);
        let names = read::image_pull_secrets(&self.context.client.0, &key)
            .await
            .map_err(|error| with_causes(&error))?;
        if names.len() > MOST_PULL_SECRETS {
            return Err(format!(
                "service account '{key}' has more than {MOST_PULL_SECRETS} image pull secrets, the limit"
            ));
        }
        // Before they are read: whatever happens to them from now on is noticed.
        self.context.secrets.pulls(&self.user, namespace, &names);
        let keys = names
            .iter()
            .map(|name| Key::new(namespace.clone(), name.as_str()));
        self.asked.extend(keys);
        let mut keychains = Vec::new();
        for name in names {
            let keychain = match self.secret(namespace, &name).await {
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

fn amiss(field: &'static str) -> impl FnOnce(String) -> Amiss {
    move |what| Amiss { field, what }
}

#[cfg(test)]
mod tests {
    use super::*;

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
