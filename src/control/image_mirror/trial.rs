//! Made facts, for tables.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::gather::{Cure, Facts, How, Listed, Source, Trouble};
use super::memory::Remembered;
use crate::api::image_mirror::{Destination, ImageMirrorSpec};
use crate::api::{ImageMirror, ImageMirrorStatus};
use crate::image::{Digest, Repository};
use crate::mirror::known::{Copied, Known};
use crate::mirror::outcome::{Outcome, TagReport};
use crate::mirror::overwrite::Overwrite;
use crate::mirror::subset::Mode;
use crate::object::Key;
use crate::registry::Access;
use crate::registry::copy::Place;

pub(super) fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

pub(super) fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

pub(super) fn from() -> Repository {
    "source.test/o/app".parse().unwrap()
}

pub(super) fn to(number: usize) -> Repository {
    format!("destination-{number}.test/o/app").parse().unwrap()
}

pub(super) fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

/// A mirror of these tags of one source to so many destinations.
pub(super) fn facts(tags: &[&str], ends: usize) -> Facts {
    let place = |repository| Place {
        repository,
        access: Access::default(),
    };
    let mut object = ImageMirror::new("mirror", ImageMirrorSpec::default());
    object.metadata.generation = Some(1);
    object.metadata.uid = Some("uid".into());
    object.spec.destinations = (0..ends)
        .map(|number| Destination {
            name: format!("d{number}"),
            ..Destination::default()
        })
        .collect();
    object.status = Some(ImageMirrorStatus {
        observed_generation: Some(-1),
        ..ImageMirrorStatus::default()
    });
    Facts {
        object: Arc::new(object),
        how: Ok(How {
            platforms: vec![],
            mode: Mode::Rewritten,
            overwrite: Overwrite::Never,
        }),
        sources: vec![Source {
            repository: Key::new("apps", "app"),
            from: place(from()),
            to: (0..ends).map(|number| place(to(number))).collect(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            is_complete: true,
            listed: Listed::default(),
        }],
        troubles: vec![],
        now: now(),
    }
}

pub(super) fn trouble(cure: Cure) -> Trouble {
    Trouble {
        reason: "AccessDenied",
        message: "no".into(),
        cure,
    }
}

/// The status vouches for everything.
pub(super) fn is_well(object: &mut ImageMirror) {
    use crate::api::condition::{self, Moment, READY, Status};
    let status = object.status.get_or_insert_default();
    let at = Moment {
        generation: 1,
        now: now(),
    };
    condition::set(&mut status.conditions, at, READY, Status::True, "x", "x");
    status.observed_generation = Some(1);
}

/// It is at every destination, and was seen there then.
pub(super) fn note(known: &Known, facts: &Facts, tag: &str, verified: Timestamp) {
    for end in &facts.sources[0].to {
        let copied = Copied {
            source: digest(tag),
            destination: digest(tag),
            verified,
        };
        let tag = tag.parse().unwrap();
        known.note_tag(&from(), &tag, &end.repository, "", copied);
    }
}

/// What is known of the facts' mirror: a look just begun.
pub(super) fn remembered(facts: &Facts, known: &Known) -> Remembered {
    let memory = super::memory::Memory::new("here".into());
    let key = Key::new("apps", "mirror");
    let shared = memory.of(&key, &facts.object, facts.now);
    memory.forget(&key);
    let mut remembered = Arc::into_inner(shared).unwrap().into_inner();
    remembered.refresh(&facts.sources, "", false, known);
    remembered
}

pub(super) fn report(tag: &str, number: usize, outcome: Outcome) -> TagReport {
    let is_there = matches!(outcome, Outcome::Copied | Outcome::Unchanged);
    TagReport {
        from: from(),
        to: to(number),
        tag: Some(tag.parse().unwrap()),
        source: Some(digest(tag)),
        destination: is_there.then(|| digest(tag)),
        expected: None,
        outcome,
        referrers: 0,
        moved_meanwhile: false,
    }
}

pub(super) fn failed(cause: &str) -> Outcome {
    Outcome::Failed {
        cause: cause.into(),
        is_temporary: true,
    }
}

/// As after a run by the present spec.
pub(super) fn was_run(facts: &Facts, remembered: &mut Remembered) {
    for standing in remembered.sources.values_mut() {
        standing.generation = facts.object.metadata.generation;
        standing.settle();
    }
    remembered.looked = Some(facts.now);
}
