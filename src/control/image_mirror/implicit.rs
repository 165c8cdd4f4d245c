//! The mirrors that no object asks for: with `--destination-registry`, one of each ImageRepository, as imagerepo-mirror has it.
//!
//! Such a mirror is an ImageMirror that is made up when somebody looks for it: all tags, always overwritten, under the last name
//! of the image. It is as old as its ImageRepository, so that of two that would meet in one destination the later one gives
//! way. No object can have its name. What would be its status is kept here, for as long as the program runs; what would be
//! an Event about it is one about its ImageRepository, and beside Flux, whose kind that is, a line in the log only.

use std::collections::HashMap;
use std::sync::Arc;

use kube::ResourceExt as _;
use parking_lot::Mutex;

use super::gather::{Cure, Trouble};
use crate::api::condition::reason;
use crate::api::image_mirror::{
    Destination, ImageMirrorStatus, Overwrite, OverwriteMode, SourceReference,
};
use crate::api::reference::LocalObjectReference;
use crate::api::{ImageMirror, ImageMirrorSpec, ImageRepository};
use crate::cluster::event::{Events, Report, Severity};
use crate::cluster::index::{Found, Touched};
use crate::cluster::with_causes;
use crate::control::access::{Amiss, Kit, Reach, Reader};
use crate::control::{Context, news};
use crate::image::Repository;
use crate::object::Key;
use crate::registry::docker_config::Renewed;

/// What all their names begin with; the ImageRepository's name follows.
const PREFIX: &str = "--destination-registry:";

/// The name of their only destination.
const DESTINATION: &str = "destination-registry";

/// imagerepo-mirror's name of a destination: the last segment of the image's.
const TEMPLATE: &str = "{name}";

/// What imagerepo-mirror's flags ask for. Clones are one.
#[derive(Debug, Clone)]
pub struct Implicit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: String,
    credentials: Credentials,
    /// What would be their statuses: as many as there are ImageRepositories.
    statuses: Mutex<HashMap<Key, ImageMirrorStatus>>,
}

/// Where the credentials for the destination come from.
#[derive(Debug)]
pub enum Credentials {
    /// A Secret (`--destination-secret`).
    Secret(Key),
    /// The docker configuration of whoever runs the program.
    Docker(Renewed),
}

impl Implicit {
    /// Everything goes to `registry`, which is `host[:port][/path]`.
    pub fn new(registry: String, credentials: Credentials) -> Self {
        Self(Arc::new(Inner {
            registry,
            credentials,
            statuses: Mutex::default(),
        }))
    }

    /// The way to the destination.
    async fn kit(&self, reader: &mut Reader<'_>) -> Result<Kit, String> {
        match &self.0.credentials {
            Credentials::Secret(secret) => {
                let reference = LocalObjectReference {
                    name: secret.name.to_string(),
                };
                let reach = Reach {
                    secret: Some(&reference),
                    ..Reach::default()
                };
                let kit = reader.kit(&secret.namespace, reach).await;
                kit.map_err(|Amiss { field: _, what }| format!("--destination-secret: {what}"))
            }
            Credentials::Docker(config) => {
                let any = format!("{}/any/image", self.0.registry);
                let any: Repository = any
                    .parse()
                    .map_err(|error| format!("--destination-registry: {error}"))?;
                let keychain = config.keychain(&any).await;
                keychain.map(Kit::of).map_err(|error| with_causes(&error))
            }
        }
    }

    fn mirror(&self, key: &Key, repository: &ImageRepository) -> ImageMirror {
        let spec = ImageMirrorSpec {
            source_ref: SourceReference {
                name: Some(repository.name_any()),
                ..SourceReference::default()
            },
            destinations: vec![Destination {
                name: DESTINATION.to_owned(),
                registry: self.0.registry.clone(),
                repository_template: Some(TEMPLATE.to_owned()),
                ..Destination::default()
            }],
            overwrite: Some(Overwrite {
                mode: OverwriteMode::Always,
                mutable: Vec::new(),
            }),
            // What it has in common with its ImageRepository.
            suspend: repository.spec.suspend,
            ..ImageMirrorSpec::default()
        };
        let mut mirror = ImageMirror::new(&key.name, spec);
        let meta = &repository.metadata;
        mirror.metadata.namespace = Some(key.namespace.to_string());
        mirror.metadata.uid.clone_from(&meta.uid);
        mirror
            .metadata
            .creation_timestamp
            .clone_from(&meta.creation_timestamp);
        mirror.metadata.generation = meta.generation;
        mirror.status = self.0.statuses.lock().get(key).cloned();
        mirror
    }
}

/// The mirror `key`, as an object or made up.
pub(super) fn find(context: &Context, key: &Key) -> Found<ImageMirror> {
    let Some(repository) = source_of(key) else {
        return context.mirrors.find(key);
    };
    let Some(implicit) = &context.settings.implicit else {
        return Found::Absent;
    };
    match context.repositories.find(&repository) {
        Found::Object(object) if object.metadata.deletion_timestamp.is_none() => {
            Found::Object(Arc::new(implicit.mirror(key, &object)))
        }
        Found::Object(_) | Found::Absent => Found::Absent,
        Found::Unreadable => Found::Unreadable,
    }
}

/// The made-up mirror of an ImageRepository, where there are such.
pub(super) fn of(context: &Context, repository: &Key) -> Option<Key> {
    context.settings.implicit.as_ref().map(|_| {
        Key::new(
            repository.namespace.clone(),
            format!("{PREFIX}{}", repository.name),
        )
    })
}

/// The ImageRepository of a mirror that is made up.
pub(super) fn source_of(mirror: &Key) -> Option<Key> {
    let name = mirror.name.strip_prefix(PREFIX)?;
    Some(Key::new(mirror.namespace.clone(), name))
}

/// Whether a mirror is made up.
pub(super) fn is_implicit(mirror: &Key) -> bool {
    source_of(mirror).is_some()
}

/// The way to the only destination of a mirror that is made up: it names no Secret of its own. `None`: it is an object.
pub(super) async fn kit(reader: &mut Reader<'_>, mirror: &Key) -> Option<Result<Kit, Trouble>> {
    let implicit = reader.context().settings.implicit.clone()?;
    if !is_implicit(mirror) {
        return None;
    }
    let kit = implicit.kit(reader).await;
    Some(kit.map_err(|message| Trouble {
        reason: reason::AUTHENTICATION_FAILED,
        message,
        cure: Cure::Retry,
    }))
}

/// How a mirror is called in what people read.
pub(super) fn shown(mirror: &Key) -> String {
    match source_of(mirror) {
        Some(repository) => {
            format!("ImageRepository '{repository}' (by --destination-registry)")
        }
        None => format!("ImageMirror '{mirror}'"),
    }
}

/// The same of the mirror, when something was heard of its ImageRepository.
pub(super) fn touched(
    context: &Context,
    repository: &Touched<ImageRepository>,
) -> Option<Touched<ImageMirror>> {
    let key = of(context, &repository.key)?;
    let after = find(context, &key);
    if matches!(after, Found::Absent)
        && let Some(implicit) = &context.settings.implicit
    {
        implicit.0.statuses.lock().remove(&key);
    }
    Some(Touched {
        key,
        before: Found::Absent,
        after,
    })
}

/// Another process may copy from now on: what is known here is not what the statuses rest on.
pub(super) fn forget_witness(context: &Context) {
    if let Some(implicit) = &context.settings.implicit {
        for status in implicit.0.statuses.lock().values_mut() {
            status.witness = None;
        }
    }
}

/// All that are made up now, as if they were heard of for the first time.
pub(super) fn all(context: &Context) -> Vec<Touched<ImageMirror>> {
    let repositories = context.repositories.objects().into_iter();
    let keys = repositories.filter_map(|(repository, _)| of(context, &repository));
    keys.map(|key| Touched {
        after: find(context, &key),
        before: Found::Absent,
        key,
    })
    .collect()
}

/// What a status patch is to an object: `after` is what holds from now on. What there is to report is told as an Event about the
/// ImageRepository; beside Flux, in the log only.
pub(super) fn settle(
    context: &Context,
    events: &Events,
    mirror: &Key,
    after: ImageMirrorStatus,
    report: Option<Report>,
) {
    let (Some(implicit), Some(repository)) = (&context.settings.implicit, source_of(mirror)) else {
        return;
    };
    let Found::Object(object) = context.repositories.find(&repository) else {
        return;
    };
    implicit.0.statuses.lock().insert(mirror.clone(), after);
    let Some(report) = report else {
        return;
    };
    let report = Report {
        about: news::reference(&*object),
        message: format!(
            "mirror of '{repository}' to {}: {}",
            implicit.0.registry, report.message
        ),
        ..report
    };
    let Report {
        severity,
        ref reason,
        ref message,
        ..
    } = report;
    match severity {
        Severity::Normal => tracing::info!(reason, "{message}"),
        Severity::Warning => tracing::error!(error = reason, "{message}"),
    }
    if !context.settings.is_companion {
        events.publish(report);
    }
}
