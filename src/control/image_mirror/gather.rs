//! The facts of one ImageMirror: the object, its sources and their tags, and the ways to its destinations.
//!
//! Reads cluster and store, writes neither.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::collide::{About, Conflict};
use super::{ends, implicit, sources, wanted};
use crate::api::condition::reason;
use crate::api::{ImageMirror, ImageMirrorSpec, ImageRepository};
use crate::cluster::index::Found;
use crate::control::Context;
use crate::control::access::{Kit, Reader};
use crate::control::admission::{self, Asker};
use crate::control::secrets::User;
use crate::image::{Repository, Tag};
use crate::mirror::canonical;
pub(super) use crate::mirror::spec::How;
use crate::mirror::spec::{Problem, Target};
use crate::object::Key;
use crate::registry::copy::Place;
use crate::store::RepositoryTags;

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
    /// The list that they are of.
    pub(super) listed: Listed,
}

/// Tells one list of a source from others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// When it was read first.
    since: Timestamp,
    /// How many tags it has.
    pub(super) count: usize,
    is_complete: bool,
}

impl Listed {
    pub(super) fn of(stored: &RepositoryTags) -> Self {
        Self {
            since: stored.scan_time(),
            count: stored.tag_count(),
            is_complete: stored.is_complete(),
        }
    }
}

/// Something that keeps a mirror, or one of its sources, from being copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The reason of the condition.
    pub(super) reason: &'static str,
    /// What is wrong, where, and what to do.
    pub(super) message: String,
    /// What ends it.
    pub(super) cure: Cure,
}

/// What ends a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// Only a change of the spec.
    Change,
    /// Somebody who mends something elsewhere: it is tried again.
    Retry,
    /// The first scan, or the first election, which is still to come. Whoever does that tells what keeps them from it.
    Wait,
}

/// What became of the object.
#[derive(Debug)]
pub(super) enum Gathered {
    Object(Box<Facts>),
    /// It is there, but not for us to read; it was logged when it was heard of.
    Unreadable,
    Gone,
}

pub(super) async fn gather(context: &Context, key: &Key) -> Gathered {
    // Until they are known, sources and policies would look missing, and destinations free.
    context.repositories.wait_until_synced().await;
    // Whoever has to give way, or may go on, because of what is heard of this one, looks again.
    context.ties.claims.note(key.clone());
    settle(context);
    let object = match super::find(context, key) {
        Found::Object(object) => object,
        Found::Unreadable => return Gathered::Unreadable,
        Found::Absent => return Gathered::Gone,
    };
    let mut facts = Facts {
        how: How::read(&object.spec).map_err(|problems| invalid_spec(&problems)),
        object,
        sources: Vec::new(),
        troubles: Vec::new(),
        now: context.clock.now(),
    };
    // Nobody reads a Secret for a mirror that copies nothing in any case.
    let is_going = facts.object.metadata.deletion_timestamp.is_some();
    if !is_going && !facts.object.spec.suspend && facts.how.is_ok() {
        let spec = &facts.object.spec;
        let mut reader = Reader::new(context, User::Mirror(key.clone()));
        let found = sources(context, &mut reader, key, spec, &mut facts.troubles).await;
        reader.finish();
        match found {
            Ok(found) => facts.sources = found,
            Err(trouble) => facts.troubles.push(trouble),
        }
    }
    Gathered::Object(Box::new(facts))
}

/// Brings all claims up to date, and has those look again that are in another position by that.
pub(super) fn settle(context: &Context) {
    let claim = |mirror: &Key| sources::claim(context, mirror);
    for mirror in context.ties.claims.settle(claim) {
        context.inbox.mirrors.put(mirror);
    }
}

/// Everything that can be copied. What keeps all of it from that is an error; what keeps one source is told besides.
async fn sources(
    context: &Context,
    reader: &mut Reader<'_>,
    mirror: &Key,
    spec: &ImageMirrorSpec,
    troubles: &mut Vec<Trouble>,
) -> Result<Vec<Source>, Trouble> {
    let targets = Target::all(spec).map_err(|problems| invalid_spec(&problems))?;
    if let Some(conflict) = context.ties.claims.conflict(mirror) {
        return Err(in_the_way(&conflict));
    }
    let meant = sources::meant(context, mirror, spec);
    if meant.is_empty() {
        return Err(Trouble {
            reason: reason::DEPENDENCY_NOT_READY,
            message: "spec.sourceRef.selector: selects no ImageRepository".to_owned(),
            cure: Cure::Retry,
        });
    }
    let keys: BTreeSet<Key> = meant.iter().map(|(key, _)| key.clone()).collect();
    if spec
        .tags
        .as_ref()
        .is_some_and(|tags| !tags.image_policy_refs.is_empty())
    {
        context.policies.wait_until_synced().await;
    }
    let wanted = wanted::read(context, mirror, spec, &keys, troubles)?;
    let kits = ends::destinations(reader, mirror, spec).await?;
    let own = ends::own(reader, mirror, spec).await?;
    let mut asker = Asker::new(context, &mirror.namespace);
    let mut taken = Taken::default();
    let mut sources = Vec::new();
    for (repository, _) in meant {
        let source = async {
            let object = sources::admitted(&mut asker, mirror, &repository).await?;
            let image: Repository = object.spec.image.parse().map_err(|error| Trouble {
                reason: reason::IMAGE_URL_INVALID,
                message: format!("ImageRepository '{repository}': spec.image: {error}"),
                cure: Cure::Retry,
            })?;
            let places = places(&targets, &kits, &image)?;
            taken.take(&repository, &image, &places)?;
            let stored = admission::stored(context, &repository, &object, Some(&image));
            let stored = stored.ok_or_else(|| unscanned(&repository, &object))?;
            let from = (&repository, &*object);
            let access = ends::source(reader, mirror, own.as_ref(), from, &image).await?;
            let tags = wanted
                .of(context, &repository, &image, &stored, troubles)
                .await?;
            Ok(Source {
                repository: repository.clone(),
                from: Place {
                    repository: image,
                    access,
                },
                to: places,
                tags,
                is_complete: stored.is_complete(),
                listed: Listed::of(&stored),
            })
        };
        match source.await {
            Ok(source) => sources.push(source),
            Err(trouble) => troubles.push(trouble),
        }
    }
    Ok(sources)
}

/// Where `image` goes.
fn places(targets: &[Target], kits: &[Kit], image: &Repository) -> Result<Vec<Place>, Trouble> {
    let places = targets.iter().zip(kits).map(|(target, kit)| {
        let repository = target
            .of(image)
            .map_err(|problem| invalid_spec(&[problem]))?;
        Ok(Place {
            access: kit.ways(&repository).access,
            repository,
        })
    });
    places.collect()
}

/// The destination repositories of a mirror that are taken, by which ImageRepository, for which image. All by their one name.
#[derive(Debug, Default)]
struct Taken(BTreeMap<Repository, (Key, Repository)>);

impl Taken {
    /// Takes `places` for `image`, unless an older ImageRepository of the mirror has one of them for another image.
    fn take(
        &mut self,
        repository: &Key,
        image: &Repository,
        places: &[Place],
    ) -> Result<(), Trouble> {
        let image = canonical::repository(image).into_owned();
        let names = places
            .iter()
            .map(|place| canonical::repository(&place.repository).into_owned());
        let names: Vec<Repository> = names.collect();
        for name in &names {
            if let Some((other, of)) = self.0.get(name)
                && *of != image
            {
                return Err(Trouble {
                    reason: reason::DESTINATION_COLLISION,
                    message: format!(
                        "ImageRepository '{repository}' ({image}) would meet '{other}' ({of}) in {name}; \
                         a repositoryTemplate with {{host}} and {{path}} keeps them apart"
                    ),
                    cure: Cure::Change,
                });
            }
        }
        for name in names {
            let of = (repository.clone(), image.clone());
            self.0.entry(name).or_insert(of);
        }
        Ok(())
    }
}

fn invalid_spec(problems: &[Problem]) -> Trouble {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Trouble {
        reason: reason::INVALID_SPEC,
        message: problems.join("; "),
        cure: Cure::Change,
    }
}

fn unscanned(repository: &Key, object: &ImageRepository) -> Trouble {
    let (why, cure) = if object.spec.suspend {
        ("has no scanned tags, and is suspended", Cure::Retry)
    } else {
        ("has not been scanned yet", Cure::Wait)
    };
    Trouble {
        reason: reason::DEPENDENCY_NOT_READY,
        message: format!("ImageRepository '{repository}' {why}"),
        cure,
    }
}

fn in_the_way(conflict: &Conflict) -> Trouble {
    let Conflict {
        other,
        destination,
        is_about,
    } = conflict;
    let what = match is_about {
        About::Source => "copies another image to",
        About::Terms => "copies the same image with other platforms, referrers or overwrite to",
    };
    Trouble {
        reason: reason::DESTINATION_COLLISION,
        message: format!(
            "{}, which is older, {what} {destination}; change the destination of one of the two, or delete one",
            implicit::shown(other)
        ),
        cure: Cure::Change,
    }
}

#[cfg(test)]
mod tests;
