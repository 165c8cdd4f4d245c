//! What a mirror asks of one repository, against the fake registry. Tests of a fault carry its number in their name.

mod auth;
mod availability;
mod blobs;
mod connections;
mod deletions;
mod http2;
mod manifests;
mod referrers;
mod tokens;
mod writes;

use std::time::Duration;

use tagscope::image::{Digest, Tag};
use tagscope::mirror::document::Descriptor;
use tagscope::registry::remote::{Intent, Named, RawManifest, Remote};
use tagscope::registry::{Access, Client, Copying, Patience, Settings};

use super::{basic, bearer, repository, settings};
use crate::fake_registry::FakeRegistry;

/// Waits are short.
fn quick() -> Settings {
    Settings {
        copying: Copying {
            patience: Patience {
                tries: 3,
                first_wait: Duration::from_millis(5),
                longest_wait: Duration::from_millis(20),
            },
            stall: Duration::from_millis(800),
            ..Copying::default()
        },
        ..settings()
    }
}

/// `team/app` there, as `access` sees it.
fn remote_as(registry: &FakeRegistry, access: Access, intent: Intent) -> Remote {
    Client::new(quick()).remote(repository(&registry.image("team/app")), access, intent)
}

fn reader(registry: &FakeRegistry) -> Remote {
    remote_as(registry, Access::default(), Intent::Read)
}

fn writer(registry: &FakeRegistry) -> Remote {
    remote_as(registry, Access::default(), Intent::Write)
}

fn me() -> Access {
    basic("me", "hunter2")
}

fn tag(text: &str) -> Named {
    Named::Tag(text.parse::<Tag>().unwrap())
}

fn by_digest(text: &str) -> Named {
    Named::Digest(text.parse().unwrap())
}

/// A manifest of nothing but the empty blob; `number` tells it from others.
fn manifest(number: u32) -> RawManifest {
    let empty = r#"{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{empty},"layers":[{empty}],"annotations":{{"n":"{number}"}}}}"#
    );
    RawManifest {
        digest: Digest::of(bytes.as_bytes()),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        bytes: bytes.into(),
    }
}

fn descriptor(digest: &str, size: u64) -> Descriptor {
    Descriptor {
        media_type: String::new(),
        digest: digest.parse().unwrap(),
        size,
    }
}
