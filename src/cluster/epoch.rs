//! The store's epoch, kept outside of the store: an annotation on a Lease in the runtime namespace.
//!
//! A store that was lost must not give resourceVersions twice, so it asks here how high the last one counted.
//! The value only ever rises. Nothing is renewed or acquired: the Lease is a place to keep a number.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt as _};

use super::Error;

/// The annotation that holds the epoch, a decimal number.
pub const ANNOTATION: &str = "tags.tagscope.dev/epoch";

/// The Lease's name.
pub const LEASE: &str = "tagscope";

/// The highest epoch that was ever recorded; 0 when there is none. A value that is not a number counts as an
/// error of whoever wrote it, and as 0 here: it is logged, and overwritten by the next [`raise`].
pub async fn read(client: &Client, namespace: &str) -> Result<u64, Error> {
    let lease = leases(client, namespace).get_opt(LEASE).await?;
    Ok(lease.as_ref().map_or(0, recorded))
}

/// Records `epoch` unless a higher one is recorded already; creates the Lease when it is missing.
/// Gives up after a handful of conflicts, with the last one.
pub async fn raise(client: &Client, namespace: &str, epoch: u64) -> Result<(), Error> {
    let mut tries = 5;
    loop {
        match try_raise(&leases(client, namespace), epoch).await {
            Err(Error::Conflict { .. }) if tries > 1 => tries -= 1,
            done => return done,
        }
    }
}

async fn try_raise(leases: &Api<Lease>, epoch: u64) -> Result<(), Error> {
    let note = |lease: &mut Lease| {
        lease
            .annotations_mut()
            .insert(ANNOTATION.to_owned(), epoch.to_string())
    };
    match leases.get_opt(LEASE).await? {
        Some(lease) if recorded(&lease) >= epoch => Ok(()),
        Some(mut lease) => {
            note(&mut lease);
            leases
                .replace(LEASE, &PostParams::default(), &lease)
                .await?;
            Ok(())
        }
        None => {
            let metadata = ObjectMeta {
                name: Some(LEASE.to_owned()),
                ..ObjectMeta::default()
            };
            let mut lease = Lease {
                metadata,
                ..Lease::default()
            };
            note(&mut lease);
            leases.create(&PostParams::default(), &lease).await?;
            Ok(())
        }
    }
}

fn recorded(lease: &Lease) -> u64 {
    let Some(text) = lease.annotations().get(ANNOTATION) else {
        return 0;
    };
    text.parse().unwrap_or_else(|_| {
        tracing::warn!(annotation = ANNOTATION, value = %text, "Ignored an epoch that is not a number");
        0
    })
}

fn leases(client: &Client, namespace: &str) -> Api<Lease> {
    Api::namespaced(client.clone(), namespace)
}
