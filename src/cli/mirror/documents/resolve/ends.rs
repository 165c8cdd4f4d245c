//! One repository and how to reach it, from what an object says and the Secrets that it names.

use std::sync::Arc;

use super::super::secret::Secret;
use super::super::unread::Kind;
use super::super::{Object, Objects, Place, Problems};
use crate::api::image_repository::Provider;
use crate::api::reference::LocalObjectReference;
use crate::api::{ImageMirrorSpec, ImageRepositorySpec};
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

/// A mirror's own credentials for its sources, where it names any.
pub(super) struct Own(Option<Keychain>);

impl Own {
    /// `end` reached with them.
    pub(super) fn of_source(&self, end: End) -> End {
        let keychain = self.0.clone().or(end.keychain);
        End { keychain, ..end }
    }
}

/// The Secret of `spec.sourceSecretRef`; none where it does not do.
pub(super) fn own(
    objects: &Objects,
    key: &Key,
    mirror: &Object<ImageMirrorSpec>,
    problems: &mut Problems,
) -> Option<Own> {
    let reference = mirror.spec.source_secret_ref.as_ref();
    match taken(objects, key, reference, Secret::keychain) {
        Ok(keychain) => Some(Own(keychain)),
        Err(why) => {
            if let Some(error) = why {
                problems.add(&mirror.place, "spec.sourceSecretRef", error);
            }
            None
        }
    }
}

/// The repository of an ImageRepository, whose credentials are of no account where the mirror has its own.
pub(super) fn source(
    objects: &Objects,
    key: &Key,
    source: &Object<ImageRepositorySpec>,
    has_own_credentials: bool,
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
    if spec.provider != Provider::Generic && spec.secret_ref.is_none() && !has_own_credentials {
        warnings.push(format!(
            "{place}: spec.provider has no effect here: your own credentials are used"
        ));
    }
    let reach = Reach {
        insecure: spec.insecure,
        secret: spec.secret_ref.as_ref().filter(|_| !has_own_credentials),
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
        if let Err(why) = taken(objects, key, reference, take) {
            is_whole = false;
            if let Some(error) = why {
                problems.add(place, &format!("{path}.{field}"), error);
            }
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

/// What is taken from a Secret that the object `key` names. An error without words: it was not read, which is told already.
fn taken<T>(
    objects: &Objects,
    key: &Key,
    reference: Option<&LocalObjectReference>,
    take: impl FnOnce(&Secret) -> Result<T, String>,
) -> Result<Option<T>, Option<String>> {
    let Some(reference) = reference else {
        return Ok(None);
    };
    let secret = Key::new(Arc::clone(&key.namespace), reference.name.as_str());
    match objects.secrets.get(&secret) {
        Some(found) => take(&found.spec)
            .map(Some)
            .map_err(|error| Some(format!("{}: {error}", found.place))),
        None if objects.unread.may_be(Kind::Secret, &secret) => Err(None),
        None => Err(Some(format!("no document is the Secret {secret}"))),
    }
}
