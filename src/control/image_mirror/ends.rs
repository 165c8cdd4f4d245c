//! The ways to both ends of a mirror: Secrets of its own namespace, and for sources what their owners lend.
//!
//! What an accessFrom lends is a name. Credentials, certificates and proxies are lent by their owner's annotation only.

use kube::ResourceExt as _;

use super::gather::{Cure, Trouble};
use super::implicit;
use crate::api::access::lists_namespace;
use crate::api::condition::reason;
use crate::api::image_repository::Provider;
use crate::api::{ImageMirrorSpec, ImageRepository, names};
use crate::control::access::{self, Amiss, Kit, Reach, Reader};
use crate::image::Repository;
use crate::object::Key;
use crate::registry::Access;

/// What the destinations of a mirror say about reaching them, in their order.
pub(super) async fn destinations(
    reader: &mut Reader<'_>,
    mirror: &Key,
    spec: &ImageMirrorSpec,
) -> Result<Vec<Kit>, Trouble> {
    if let Some(kit) = implicit::kit(reader, mirror).await {
        return kit.map(|kit| vec![kit]);
    }
    let mut kits = Vec::new();
    for (index, destination) in spec.destinations.iter().enumerate() {
        let kit = reader
            .kit(&mirror.namespace, Reach::from(destination))
            .await;
        let path = |amiss| unauthenticated(&format!("spec.destinations[{index}]."), amiss);
        kits.push(kit.map_err(path)?);
    }
    Ok(kits)
}

/// The mirror's own credentials for its sources.
pub(super) async fn own(
    reader: &mut Reader<'_>,
    mirror: &Key,
    spec: &ImageMirrorSpec,
) -> Result<Option<Kit>, Trouble> {
    let Some(secret) = &spec.source_secret_ref else {
        return Ok(None);
    };
    let reach = Reach {
        secret: Some(secret),
        ..Reach::default()
    };
    let kit = reader.kit(&mirror.namespace, reach).await;
    kit.map(Some).map_err(|Amiss { field: _, what }| {
        unauthenticated(
            "spec.",
            Amiss {
                field: "sourceSecretRef",
                what,
            },
        )
    })
}

/// The ways to `image`, which `object` scans; `own` are the mirror's own credentials for it.
pub(super) async fn source(
    reader: &mut Reader<'_>,
    mirror: &Key,
    own: Option<&Kit>,
    (repository, object): (&Key, &ImageRepository),
    image: &Repository,
) -> Result<Access, Trouble> {
    let lent = lent(mirror, own.is_some(), repository, object).map_err(|message| Trouble {
        reason: reason::ACCESS_DENIED,
        message,
        cure: Cure::Retry,
    })?;
    let spec = &object.spec;
    let reach = match lent {
        Lent::All => {
            if let Some(what) = access::unsupported_provider(spec) {
                return Err(Trouble {
                    reason: reason::AUTHENTICATION_FAILED,
                    message: format!("ImageRepository '{repository}': {what}"),
                    cure: Cure::Retry,
                });
            }
            Reach::from(spec)
        }
        Lent::AllButCredentials => Reach {
            secret: None,
            account: None,
            ..Reach::from(spec)
        },
        Lent::Nothing => Reach {
            insecure: spec.insecure,
            ..Reach::default()
        },
    };
    let kit = reader.kit(&repository.namespace, reach).await;
    let kit = kit.map_err(|amiss| {
        unauthenticated(&format!("ImageRepository '{repository}': spec."), amiss)
    })?;
    let mut ways = kit.ways(image);
    if let Some(own) = own {
        let credentials: Vec<_> = own.ways(image).access.credentials().cloned().collect();
        ways.access = ways.access.with_credentials(credentials);
    }
    Ok(ways.access)
}

/// What an ImageRepository lends a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lent {
    /// Credentials, certificates, proxy.
    All,
    /// Certificates and proxy: the mirror has credentials of its own.
    AllButCredentials,
    /// There is nothing that it would have to lend.
    Nothing,
}

/// What `object` lends `mirror`, or why that is not enough.
fn lent(
    mirror: &Key,
    has_own_credentials: bool,
    repository: &Key,
    object: &ImageRepository,
) -> Result<Lent, String> {
    let namespace = &mirror.namespace;
    let allowed = object.annotations().get(names::MIRROR_ALLOW_FROM);
    let is_lent = repository.namespace == *namespace
        || allowed.is_some_and(|list| lists_namespace(list, namespace));
    if is_lent {
        return Ok(if has_own_credentials {
            Lent::AllButCredentials
        } else {
            Lent::All
        });
    }
    let spec = &object.spec;
    let reach = Reach::from(spec);
    let has_credentials =
        reach.secret.is_some() || reach.account.is_some() || spec.provider != Provider::Generic;
    let allow = names::MIRROR_ALLOW_FROM;
    let field = match (reach.certificates, reach.proxy) {
        (Some(_), _) => Some("certSecretRef"),
        (None, Some(_)) => Some("proxySecretRef"),
        (None, None) => None,
    };
    if let Some(field) = field {
        return Err(format!(
            "access denied: ImageRepository '{repository}' is reached with the Secret of its spec.{field}, which mirrors of \
             namespace '{namespace}' may not use; its owner can allow it with the annotation {allow}: {namespace}"
        ));
    }
    if has_credentials && !has_own_credentials {
        return Err(format!(
            "access denied: mirrors of namespace '{namespace}' may not use the credentials of ImageRepository '{repository}'; \
             name a Secret with credentials for its registry in spec.sourceSecretRef, or let its owner allow it with the annotation \
             {allow}: {namespace}"
        ));
    }
    Ok(Lent::Nothing)
}

fn unauthenticated(path: &str, Amiss { field, what }: Amiss) -> Trouble {
    Trouble {
        reason: reason::AUTHENTICATION_FAILED,
        message: format!("{path}{field}: {what}"),
        cure: Cure::Retry,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_lent_by_access_from_and_credentials_by_the_annotation() {
        let secret = json!({ "secretRef": { "name": "pull" } });
        let account = json!({ "serviceAccountName": "puller" });
        let authority = json!({ "certSecretRef": { "name": "ca" } });
        let proxy = json!({ "proxySecretRef": { "name": "proxy" } });
        let cloud = json!({ "provider": "aws" });
        let nothing = json!({ "insecure": true });
        let credentials = Err("may not use the credentials of ImageRepository 'images/app'");
        let rows = [
            // In its own namespace everything is lent.
            ("images", None, false, &secret, Ok(Lent::All)),
            ("images", None, true, &secret, Ok(Lent::AllButCredentials)),
            (
                "images",
                None,
                true,
                &authority,
                Ok(Lent::AllButCredentials),
            ),
            ("images", None, false, &nothing, Ok(Lent::All)),
            // In another one, where the owner says so.
            ("apps", Some("apps"), false, &secret, Ok(Lent::All)),
            ("apps", Some("web, apps"), false, &account, Ok(Lent::All)),
            ("apps", Some("*"), false, &proxy, Ok(Lent::All)),
            ("apps", Some("*"), true, &proxy, Ok(Lent::AllButCredentials)),
            ("apps", Some("app"), false, &secret, credentials),
            ("apps", Some(""), false, &secret, credentials),
            // Without that, with credentials of one's own, or where none are needed.
            ("apps", None, false, &secret, credentials),
            ("apps", None, false, &account, credentials),
            ("apps", None, false, &cloud, credentials),
            ("apps", None, true, &secret, Ok(Lent::Nothing)),
            ("apps", None, true, &cloud, Ok(Lent::Nothing)),
            ("apps", None, false, &nothing, Ok(Lent::Nothing)),
            ("apps", None, true, &nothing, Ok(Lent::Nothing)),
            ("apps", None, false, &authority, Err("spec.certSecretRef")),
            ("apps", None, true, &authority, Err("spec.certSecretRef")),
            ("apps", None, true, &proxy, Err("spec.proxySecretRef")),
        ];
        for (index, (namespace, allow, has_own, fields, expected)) in rows.into_iter().enumerate() {
            let mut spec = fields.clone();
            spec["image"] = "registry.test/o/app".into();
            let spec = serde_json::from_value(spec).unwrap();
            let mut object = ImageRepository::new("app", spec);
            if let Some(list) = allow {
                let name = names::MIRROR_ALLOW_FROM.to_owned();
                object.annotations_mut().insert(name, list.to_owned());
            }
            let mirror = Key::new(namespace, "copy");
            let lent = lent(&mirror, has_own, &Key::new("images", "app"), &object);
            match (lent, expected) {
                (Ok(lent), Ok(expected)) => assert_eq!(lent, expected, "row {index}"),
                (Err(message), Err(part)) => {
                    let has_way_out = message.ends_with("mirror.tagscope.dev/allow-from: apps");
                    assert!(message.contains(part) && has_way_out, "{message}");
                }
                (lent, _) => panic!("row {index}: {lent:?}"),
            }
        }
    }
}
