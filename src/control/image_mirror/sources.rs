//! The ImageRepositories of a mirror: which they are, whether it may read them, and which mirrors copy from one.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::ResourceExt as _;

use super::collide::Claim;
use super::find;
use super::gather::{Cure, Trouble};
use super::implicit;
use super::links;
use crate::api::condition::reason;
use crate::api::{ImageMirror, ImageMirrorSpec, ImagePolicy, ImageRepository, names};
use crate::cluster::index::{Found, Touched};
use crate::control::Context;
use crate::control::admission::{Admission, Asker};
use crate::control::secrets::User;
use crate::mirror::spec::{How, Target};
use crate::object::Key;

/// The mirrors that copy from `repository`, or may from now on.
pub(super) fn mirrors_of(context: &Context, repository: &Key) -> Vec<Key> {
    let ties = &context.ties;
    let mut mirrors = ties.links.naming(repository);
    let object = context.repositories.find(repository).object();
    for mirror in ties.links.selecting_in(&repository.namespace) {
        let is_source = || {
            let found = find(context, &mirror).object();
            object.as_ref().zip(found).is_some_and(|(object, mirror)| {
                let selector = mirror.spec.source_ref.selector.as_ref();
                selector.is_none_or(|selector| selector.selects(object.labels()))
            })
        };
        if ties.claims.looks_at(&mirror, repository) || is_source() {
            mirrors.insert(mirror);
        }
    }
    mirrors.into_iter().collect()
}

/// The mirrors that copy what `policy` would elect.
pub(super) fn mirrors_following(context: &Context, policy: &Key) -> Vec<Key> {
    let following = context.ties.links.following(policy);
    following.into_iter().collect()
}

/// A mirror was heard of, or is gone. Before anybody reconciles one of those that were heard of together, all of them have to be.
pub(super) fn noted(context: &Context, touched: &Touched<ImageMirror>) {
    let ties = &context.ties;
    let spec = match &touched.after {
        Found::Object(object) => Some(&object.spec),
        Found::Unreadable | Found::Absent => {
            let user = User::Mirror(touched.key.clone());
            context.secrets.uses_only(&user, BTreeSet::new());
            None
        }
    };
    ties.links.put(&touched.key, spec);
    ties.claims.note(touched.key.clone());
}

/// An ImageRepository was heard of, or is gone.
pub(crate) fn heard_repository(context: &Context, touched: &Touched<ImageRepository>) {
    if !concerns_mirrors(touched) {
        return;
    }
    if let Some(mirror) = implicit::touched(context, touched) {
        noted(context, &mirror);
        context.inbox.mirrors.put(mirror.key);
    }
    let mirrors = mirrors_of(context, &touched.key);
    if mirrors.is_empty() {
        return;
    }
    for mirror in mirrors {
        context.ties.claims.note(mirror);
    }
    context.inbox.repositories.put(touched.key.clone());
}

/// An ImagePolicy was heard of, or is gone. What it would elect is told by the board; where Flux's controller elects, by its status.
pub(crate) fn heard_policy(context: &Context, touched: &Touched<ImagePolicy>) {
    let is_companion = context.settings.is_companion;
    let seen = |object: &ImagePolicy| {
        let latest = object.status.as_ref();
        let latest = latest.and_then(|status| status.latest_ref.clone());
        let meta = &object.metadata;
        (
            meta.uid.clone(),
            meta.generation,
            meta.deletion_timestamp.is_some(),
            latest.filter(|_| is_companion),
        )
    };
    let is_news = match (&touched.before, &touched.after) {
        (Found::Object(before), Found::Object(after)) => seen(before) != seen(after),
        (Found::Object(_) | Found::Unreadable | Found::Absent, _) => true,
    };
    if is_news {
        for mirror in mirrors_following(context, &touched.key) {
            context.inbox.mirrors.put(mirror);
        }
    }
}

/// Whether mirrors have to look at it: it came or went, or its spec, its labels, its deletion or what its owner allows is another.
fn concerns_mirrors(touched: &Touched<ImageRepository>) -> bool {
    let seen = |object: &ImageRepository| {
        let meta = &object.metadata;
        (
            meta.uid.clone(),
            meta.generation,
            meta.deletion_timestamp.is_some(),
            meta.labels.clone(),
            object.annotations().get(names::MIRROR_ALLOW_FROM).cloned(),
        )
    };
    match (&touched.before, &touched.after) {
        (Found::Object(before), Found::Object(after)) => seen(before) != seen(after),
        (Found::Object(_) | Found::Unreadable | Found::Absent, _) => true,
    }
}

/// The ImageRepositories that a mirror means, the oldest first: the one that it names, there or not, or those that it selects.
pub(super) fn meant(
    context: &Context,
    mirror: &Key,
    spec: &ImageMirrorSpec,
) -> Vec<(Key, Found<ImageRepository>)> {
    let namespace = links::namespace(mirror, spec);
    if let Some(name) = &spec.source_ref.name {
        let key = Key::new(namespace, name.as_str());
        let found = context.repositories.find(&key);
        return vec![(key, found)];
    }
    let all = context.repositories.objects().into_iter();
    let selector = spec.source_ref.selector.clone().unwrap_or_default();
    let mut found: Vec<(Key, Arc<ImageRepository>)> = all
        .filter(|(key, object)| {
            key.namespace == namespace
                && object.metadata.deletion_timestamp.is_none()
                && selector.selects(object.labels())
        })
        .collect();
    found.sort_by(|(one_key, one), (other_key, other)| {
        let created = |object: &ImageRepository| {
            let time = object.metadata.creation_timestamp.as_ref();
            time.map(|time| time.0)
        };
        let order = created(one).cmp(&created(other));
        order.then_with(|| one_key.cmp(other_key))
    });
    let found = found.into_iter();
    found
        .map(|(key, object)| (key, Found::Object(object)))
        .collect()
}

/// What a mirror claims now; `None`: it is gone.
pub(super) fn claim(context: &Context, mirror: &Key) -> Option<Claim> {
    let object = find(context, mirror).object()?;
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let spec = &object.spec;
    let mut claim = Claim::new(mirror, &object);
    let parts = (How::read(spec), Target::all(spec));
    for (key, found) in meant(context, mirror, spec) {
        claim.looks_at(&key);
        let image = found.object().map(|object| object.spec.image.parse());
        let (Some(Ok(image)), (Ok(how), Ok(targets))) = (image, &parts) else {
            continue;
        };
        for target in targets {
            if let Ok(destination) = target.of(&image) {
                claim.wants(&image, &destination, how.terms(spec));
            }
        }
    }
    Some(claim)
}

/// The ImageRepository, if the mirror may refer to it.
pub(super) async fn admitted(
    asker: &mut Asker<'_>,
    mirror: &Key,
    repository: &Key,
) -> Result<Arc<ImageRepository>, Trouble> {
    let (reason, message) = match asker.admit(repository).await {
        Admission::Granted(object) if object.metadata.deletion_timestamp.is_none() => {
            return Ok(object);
        }
        Admission::Granted(_) => (
            reason::DEPENDENCY_NOT_READY,
            format!("ImageRepository '{repository}' is being deleted"),
        ),
        Admission::Missing => (
            reason::DEPENDENCY_NOT_READY,
            format!("ImageRepository '{repository}' not found"),
        ),
        Admission::Unreadable => (
            reason::DEPENDENCY_NOT_READY,
            format!("ImageRepository '{repository}' cannot be read; its problem is in the log"),
        ),
        Admission::Denied(refusal) => (
            reason::ACCESS_DENIED,
            refusal.message(repository, &mirror.namespace),
        ),
        Admission::Unknown { error } => (
            reason::ACCESS_DENIED,
            format!(
                "it is not known whether ImageRepository '{repository}' lets in namespace '{}': {error}",
                mirror.namespace
            ),
        ),
    };
    Err(Trouble {
        reason,
        message,
        cure: Cure::Retry,
    })
}
