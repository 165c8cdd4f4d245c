//! The Secret that makes all processes agree on one authority. Whoever writes first wins; the others read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

use super::{Authority, Error, Lives};

/// The Secret's name.
pub const SECRET: &str = "tagscope-ca";

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const BUNDLE: &str = "ca-bundle.crt";
const ATTEMPTS: usize = 8;

/// The authority of the Secret in `namespace`: as it is when it is valid, made when it is missing, replaced when it is
/// about to end or unusable.
///
/// # Errors
/// [`Error::Forbidden`] with the missing right, [`Error::Cluster`], [`Error::Contended`].
pub async fn ensure_authority(
    client: &Client,
    namespace: &str,
    now: Timestamp,
) -> Result<Authority, Error> {
    ensure(client, namespace, &Lives::default(), now, "").await
}

/// The same with other lives than the usual. What was `believed` so far stays believed for a while when the Secret is gone
/// or unusable: processes still serve with its certificates.
pub(super) async fn ensure(
    client: &Client,
    namespace: &str,
    lives: &Lives,
    now: Timestamp,
    believed: &str,
) -> Result<Authority, Error> {
    let generate = |previous: &str| Authority::generate_for(lives.authority, now, previous);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for _ in 0..ATTEMPTS {
        let found = secrets.get_opt(SECRET).await;
        let found = found.map_err(|error| {
            Error::of(
                "read the authority's Secret",
                "get",
                "secrets",
                SECRET,
                error,
            )
        })?;
        let written = match found {
            None => {
                let authority = generate(believed)?;
                let secret = secret(namespace, &authority, None);
                let created = secrets.create(&PostParams::default(), &secret).await;
                settle(
                    created,
                    authority,
                    "create the authority's Secret",
                    "create",
                )?
            }
            Some(found) => {
                let authority = match read(&found) {
                    Ok(authority) if authority.is_due_by(lives.authority_margin, now) => {
                        tracing::info!(
                            namespace,
                            secret = SECRET,
                            "Certificate authority is replaced before it ends"
                        );
                        generate(authority.bundle())?
                    }
                    Ok(authority) if authority.has_outlived_predecessors(lives.overlap, now) => {
                        tracing::info!(
                            namespace,
                            secret = SECRET,
                            "Replaced certificate authority is believed no more"
                        );
                        authority.alone()
                    }
                    Ok(authority) => return Ok(authority),
                    Err(error) => {
                        tracing::warn!(namespace, secret = SECRET, %error, "Certificate authority is replaced");
                        generate(believed)?
                    }
                };
                let secret = secret(namespace, &authority, Some(found.metadata));
                let replaced = secrets
                    .replace(SECRET, &PostParams::default(), &secret)
                    .await;
                settle(
                    replaced,
                    authority,
                    "replace the authority's Secret",
                    "update",
                )?
            }
        };
        if let Some(authority) = written {
            return Ok(authority);
        }
    }
    Err(Error::Contended {
        namespace: namespace.to_owned(),
    })
}

/// The authority when it was written; nothing when somebody else was faster, so that theirs is to be read.
fn settle(
    written: Result<Secret, kube::Error>,
    authority: Authority,
    attempt: &'static str,
    verb: &'static str,
) -> Result<Option<Authority>, Error> {
    match written {
        Ok(_) => Ok(Some(authority)),
        // 409: created or changed meanwhile. 404: deleted meanwhile.
        Err(kube::Error::Api(status))
            if matches!(status.code, 404 | 409) && !is_namespace_gone(&status.message) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::of(attempt, verb, "secrets", SECRET, error)),
    }
}

fn is_namespace_gone(message: &str) -> bool {
    message.starts_with("namespaces ")
}

fn read(secret: &Secret) -> Result<Authority, Error> {
    let data = secret.data.as_ref();
    let text = |key: &str, defect| {
        let bytes = data
            .and_then(|data| data.get(key))
            .ok_or(Error::Authority { defect })?;
        std::str::from_utf8(&bytes.0).map_err(|_| Error::Authority { defect })
    };
    let bundle = text(BUNDLE, "it has no bundle").unwrap_or_default();
    Authority::read(
        text(CERTIFICATE, "it has no certificate")?,
        text(KEY, "it has no key")?,
        bundle,
    )
}

/// The Secret to write. With the metadata of the one it replaces, hence only if that is still the newest.
fn secret(namespace: &str, authority: &Authority, replaced: Option<ObjectMeta>) -> Secret {
    let metadata = replaced.unwrap_or_else(|| ObjectMeta {
        name: Some(SECRET.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(
            [(
                "app.kubernetes.io/managed-by".to_owned(),
                "tagscope".to_owned(),
            )]
            .into(),
        ),
        ..ObjectMeta::default()
    });
    let entry = |key: &str, text: &str| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
    let data: BTreeMap<_, _> = [
        entry(CERTIFICATE, authority.certificate()),
        entry(KEY, &authority.key()),
        entry(BUNDLE, authority.bundle()),
    ]
    .into();
    Secret {
        metadata,
        data: Some(data),
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    }
}
