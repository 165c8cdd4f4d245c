//! The facts of one ImageMirror: the object, its sources and their tags, and the ways to its destinations.
//!
//! Reads cluster and store, writes neither.

use std::sync::Arc;

use jiff::Timestamp;

use super::World;
use crate::api::ImageMirror;
use crate::cluster::index::Found;
use crate::control::Context;
use crate::image::{Platform, Tag};
use crate::mirror::overwrite::Overwrite;
use crate::mirror::subset::Mode;
use crate::object::Key;
use crate::registry::copy::Place;

/// What there is to know.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) object: Arc<ImageMirror>,
    /// What the spec asks for, or why it cannot be understood: field and problem.
    pub(super) how: Result<How, Trouble>,
    /// The ImageRepositories that may be read, by name.
    pub(super) sources: Vec<Source>,
    /// Why others may not be, or cannot be yet.
    pub(super) troubles: Vec<Trouble>,
    pub(super) now: Timestamp,
}

/// What holds for all of a mirror.
#[derive(Debug, Clone)]
pub(super) struct How {
    pub(super) platforms: Vec<Platform>,
    pub(super) mode: Mode,
    pub(super) overwrite: Overwrite,
}

/// An ImageRepository that is copied from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) repository: Key,
    pub(super) from: Place,
    /// In the order of the spec's destinations.
    pub(super) to: Vec<Place>,
    /// The tags that are wanted of it now.
    pub(super) tags: Vec<Tag>,
    /// Whether the scanned list is believed to be all there is.
    pub(super) is_complete: bool,
}

/// Something that keeps a mirror, or one of its sources, from being copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The reason of the condition.
    pub(super) reason: &'static str,
    /// What is wrong, where, and what to do.
    pub(super) message: String,
    /// Whether only a change of the spec helps.
    pub(super) is_final: bool,
}

/// What became of the object.
#[derive(Debug)]
pub(super) enum Gathered {
    Object(Box<Facts>),
    /// It is there, but not for us to read; it was logged when it was heard of.
    Unreadable,
    Gone,
}

pub(super) async fn gather(context: &Context, _world: &World, key: &Key) -> Gathered {
    match context.mirrors.find(key) {
        Found::Object(object) => Gathered::Object(Box::new(Facts {
            object,
            how: Ok(How {
                platforms: Vec::new(),
                mode: Mode::Rewritten,
                overwrite: Overwrite::Never,
            }),
            sources: Vec::new(),
            troubles: Vec::new(),
            now: context.clock.now(),
        })),
        Found::Unreadable => Gathered::Unreadable,
        Found::Absent => Gathered::Gone,
    }
}
