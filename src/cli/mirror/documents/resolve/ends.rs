//! One repository and how to reach it, from what an object says and the Secrets that it names.

use std::sync::Arc;

use super::super::secret::Secret;
use super::super::unread::Kind;
use super::super::{Object, Objects, Place, Problems};
use crate::api::ImageRepositorySpec;
use crate::api::image_repository::Provider;
use crate::api::reference::LocalObjectReference;
use crate::cli::mirror::order::End;
use crate::clock::{Clock as _, SystemClock};
use crate::image::Repository;
use crate::object::Key;
use crate::registry::{Keychain, Proxy, TlsMaterial};

/// What an object says about reaching a registry.
pub(super) struct Reach<'a> {
    pub(super) insecure: bool,
    pub(super) secret: Option<&'a LocalObjectReference>,
    pub(super) certificates: Option<&'a LocalObjectReference>,
    pub(super) proxy: Option<&'a LocalObjectReference>,
}

/// The same with its Secrets read.
#[derive(Debug, Clone)]
pub(super) struct Means {
    insecure: bool,
    tls: Option<Arc<TlsMaterial>>,
    proxy: Option<Arc<Proxy>>,
    keychain: Option<Keychain>,
}

impl Means {
    /// `repository`, reached like that.
    pub(super) fn at(self, repository: Repository) -> End {
        let Self {
            insecure,
            tls,
            proxy,
            keychain,
        } = self;
        End {
            repository,
            insecure,
            tls,
            proxy,
            keychain,
        }
    }
}

/// The repository of an ImageRepository.
pub(super) fn source(
    objects: &Objects,
    key: &Key,
    source: &Object<ImageRepositorySpec>,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Option<End> {
    let (spec, place) = (&source.spec, &source.place);
    let repository: Repository = match spec.image.parse() {
        Ok(repository) => repository,
        Err(error) => {
            problems.add(place, "spec.image", error);
            return None;
        }
    };
    if spec.suspend {
        warnings.push(format!("{place}: spec.suspend has no effect here"));
    }
    let is_unused = spec
        .service_account_name
        .as_ref()
        .is_some_and(|name| !name.is_empty());
    if is_unused {
        warnings.push(format!(
            "{place}: spec.serviceAccountName has no effect here"
        ));
    }
    if spec.provider != Provider::Generic && spec.secret_ref.is_none() {
        warnings.push(format!(
            "{place}: spec.provider has no effect here: your own credentials are used"
        ));
    }
    let reach = Reach {
        insecure: spec.insecure,
        secret: spec.secret_ref.as_ref(),
        certificates: spec.cert_secret_ref.as_ref(),
        proxy: spec.proxy_secret_ref.as_ref(),
    };
    let means = means(objects, key, place, "spec", &reach, problems)?;
    Some(means.at(repository))
}

/// What the object `key` says below `path`; none where a Secret is not there, or does not do.
pub(super) fn means(
    objects: &Objects,
    key: &Key,
    place: &Place,
    path: &str,
    reach: &Reach<'_>,
    problems: &mut Problems,
) -> Option<Means> {
    let mut is_whole = true;
    let mut means = Means {
        insecure: reach.insecure,
        tls: None,
        proxy: None,
        keychain: None,
    };
    let mut read = |field: &str,
                    reference: Option<&LocalObjectReference>,
                    take: &mut dyn FnMut(&Secret) -> Result<(), String>| {
        let Some(reference) = reference else { return };
        let secret = Key::new(Arc::clone(&key.namespace), reference.name.as_str());
        let taken = match objects.secrets.get(&secret) {
            Some(found) => take(&found.spec).map_err(|error| format!("{}: {error}", found.place)),
            None if objects.unread.may_be(Kind::Secret, &secret) => {
                is_whole = false;
                return;
            }
            None => Err(format!("no document is the Secret {secret}")),
        };
        if let Err(error) = taken {
            is_whole = false;
            problems.add(place, &format!("{path}.{field}"), error);
        }
    };
    read("secretRef", reach.secret, &mut |secret| {
        means.keychain = Some(secret.keychain()?);
        Ok(())
    });
    read("certSecretRef", reach.certificates, &mut |secret| {
        means.tls = Some(Arc::new(secret.tls(SystemClock.now())?));
        Ok(())
    });
    read("proxySecretRef", reach.proxy, &mut |secret| {
        means.proxy = Some(Arc::new(secret.proxy()?));
        Ok(())
    });
    is_whole.then_some(means)
}
