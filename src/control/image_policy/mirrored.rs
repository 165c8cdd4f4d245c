//! What the mirror that a policy requires says of the tags of an ImageRepository. Reads objects and the board, asks nobody.

use std::sync::Arc;

use kube::ResourceExt as _;

use crate::api::image_mirror::PlatformMode;
use crate::api::{ImageMirror, ImageRepository};
use crate::cluster::index::Found;
use crate::control::Context;
use crate::image::Repository;
use crate::object::Key;
use crate::policy::governance::Gap;
use crate::store::Copies;

/// What is at all destinations, or why that is not known.
pub(crate) type Gate = Result<Arc<Copies>, Gap>;

/// Who asks, and about what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// The namespace of whoever requires the mirror.
    pub(super) namespace: &'a str,
    /// The ImageRepository that is elected from, and its image.
    pub(super) reference: &'a Key,
    pub(super) image: Option<&'a Repository>,
    /// Whether the digests of what is elected are reflected.
    pub(super) is_reflected: bool,
}

/// What `mirror` says.
pub(super) fn look(context: &Context, mirror: &Key, question: Question<'_>) -> Gate {
    let Question {
        namespace,
        reference,
        image,
        is_reflected,
    } = question;
    if *mirror.namespace != *namespace && context.settings.no_cross_namespace_refs {
        return Err(Gap::Blocked);
    }
    if !context.mirrors.is_synced() {
        return Err(Gap::Unseen);
    }
    let object = match context.mirrors.find(mirror) {
        Found::Object(object) => object,
        Found::Absent => return Err(Gap::Missing),
        Found::Unreadable => return Err(Gap::Unlooked),
    };
    let repository = context.repositories.find(reference).object();
    if !copies(&object, &mirror.namespace, reference, repository.as_deref()) {
        return Err(Gap::Elsewhere);
    }
    let told = context.store.board().mirrored(mirror);
    let is_rewritten = rewrites(&object) || told.as_ref().is_some_and(|told| told.is_rewritten);
    if is_reflected && is_rewritten {
        return Err(Gap::Rewritten);
    }
    let copies = told.and_then(|told| told.repositories.get(reference).cloned());
    copies
        .filter(|copies| Some(&copies.image) == image)
        .ok_or(Gap::Unlooked)
}

/// Whether `mirror`, which is in `own`, copies from the ImageRepository `reference`.
fn copies(
    mirror: &ImageMirror,
    own: &str,
    reference: &Key,
    repository: Option<&ImageRepository>,
) -> bool {
    let source = &mirror.spec.source_ref;
    if *reference.namespace != *source.namespace.as_deref().unwrap_or(own) {
        return false;
    }
    match (&source.name, &source.selector, repository) {
        (Some(name), _, _) => **name == *reference.name,
        (None, Some(selector), Some(repository)) => selector.selects(repository.labels()),
        (None, Some(_), None) | (None, None, _) => false,
    }
}

fn rewrites(mirror: &ImageMirror) -> bool {
    let platforms = mirror.spec.platforms.as_ref();
    platforms.is_some_and(|platforms| match platforms.mode {
        PlatformMode::Rewritten | PlatformMode::Unknown => true,
        PlatformMode::Sparse => false,
    })
}
