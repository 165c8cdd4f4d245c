//! Which of a source's tags a mirror wants: those that a filter and a policy leave, or what ImagePolicies would elect.
//!
//! Tags come from the store. Those that belong to images (signatures, fallback tags) are never wanted for themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gather::{Cure, Trouble};
use crate::api::condition::reason;
use crate::api::image_mirror::TagSelection;
use crate::api::{ImageMirrorSpec, ImagePolicy};
use crate::cluster::index::Found;
use crate::control::{Context, SHORT_LIST};
use crate::image::{Repository, Tag};
use crate::mirror::referrers::is_companion;
use crate::mirror::select::{Error, Selection};
use crate::object::Key;
use crate::store::RepositoryTags;
use crate::task;

/// What a mirror wants of its sources' tags.
#[derive(Debug)]
pub(super) enum Wanted {
    Selected(Selection),
    /// Of each source what these policies would elect.
    Elected(BTreeMap<Key, Vec<Elector>>),
}

/// A policy that elects from a source.
#[derive(Debug, Clone)]
pub(super) struct Elector {
    key: Key,
    object: Arc<ImagePolicy>,
}

/// Reads `spec.tags`; `sources` are the ImageRepositories that the mirror means. Policies that are of no use are told.
pub(super) fn read(
    context: &Context,
    mirror: &Key,
    spec: &ImageMirrorSpec,
    sources: &BTreeSet<Key>,
    troubles: &mut Vec<Trouble>,
) -> Result<Wanted, Trouble> {
    let nothing = TagSelection::default();
    let tags = spec.tags.as_ref().unwrap_or(&nothing);
    if tags.image_policy_refs.is_empty() {
        let filter = tags.filter_tags.as_ref();
        let selection = Selection::from_spec(filter, tags.policy.as_ref(), tags.limit);
        return selection
            .map(Wanted::Selected)
            .map_err(|error| invalid(&error));
    }
    let mut electors: BTreeMap<Key, Vec<Elector>> = BTreeMap::new();
    for (index, reference) in tags.image_policy_refs.iter().enumerate() {
        let key = reference.key(&mirror.namespace);
        match elector(context, mirror, &key, sources) {
            Ok((source, elector)) => electors.entry(source).or_default().push(elector),
            Err((reason, what)) => troubles.push(Trouble {
                reason,
                message: format!("spec.tags.imagePolicyRefs[{index}]: {what}"),
                cure: Cure::Retry,
            }),
        }
    }
    Ok(Wanted::Elected(electors))
}

fn elector(
    context: &Context,
    mirror: &Key,
    key: &Key,
    sources: &BTreeSet<Key>,
) -> Result<(Key, Elector), (&'static str, String)> {
    if key.namespace != mirror.namespace && context.settings.no_cross_namespace_refs {
        let what = format!(
            "cannot access 'ImagePolicy/{key}', cross-namespace references have been blocked"
        );
        return Err((reason::ACCESS_DENIED, what));
    }
    let object = match context.policies.find(key) {
        Found::Object(object) if object.metadata.deletion_timestamp.is_none() => object,
        Found::Object(_) | Found::Absent => {
            let what = format!("ImagePolicy '{key}' not found");
            return Err((reason::DEPENDENCY_NOT_READY, what));
        }
        Found::Unreadable => {
            let what = format!("ImagePolicy '{key}' cannot be decoded");
            return Err((reason::DEPENDENCY_NOT_READY, what));
        }
    };
    let source = object.spec.image_repository_ref.key(&key.namespace);
    if !sources.contains(&source) {
        // Whatever else it may elect from, what the mirror may read is said by its sources alone.
        let what = format!(
            "ImagePolicy '{key}' elects from ImageRepository '{source}', which is no source of this mirror"
        );
        return Err((reason::INVALID_POLICY, what));
    }
    let key = key.clone();
    Ok((source, Elector { key, object }))
}

impl Wanted {
    /// The tags that are wanted of `repository`, which scans `image`, from those that are stored.
    pub(super) async fn of(
        &self,
        context: &Context,
        repository: &Key,
        image: &Repository,
        stored: &Arc<RepositoryTags>,
        troubles: &mut Vec<Trouble>,
    ) -> Result<Vec<Tag>, Trouble> {
        let selection = match self {
            Self::Selected(selection) => selection.clone(),
            Self::Elected(electors) => {
                let electors = electors.get(repository).into_iter().flatten();
                return Ok(elected(
                    context, electors, repository, image, stored, troubles,
                ));
            }
        };
        let tags = stored.clone();
        let is_brief = tags.tag_count() <= SHORT_LIST;
        let select = move || selection.select(&all(&tags));
        let selected = task::brief_or_blocking("select tags", is_brief, select).await;
        match selected {
            Ok(selected) => Ok(selected.tags),
            // Its tags may be others soon.
            Err(error @ Error::Unrankable(_)) => Err(Trouble {
                reason: reason::FAILURE,
                message: format!("ImageRepository '{repository}': {error}"),
                cure: Cure::Retry,
            }),
            Err(error @ (Error::Invalid(_) | Error::LimitWithoutPolicy | Error::LimitZero)) => {
                Err(invalid(&error))
            }
        }
    }
}

/// What the electors elect and the store holds, each tag once.
fn elected<'a>(
    context: &Context,
    electors: impl Iterator<Item = &'a Elector>,
    repository: &Key,
    image: &Repository,
    stored: &RepositoryTags,
    troubles: &mut Vec<Trouble>,
) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::new();
    for elector in electors {
        let Some(tag) = candidate(context, elector, repository, image) else {
            troubles.push(Trouble {
                reason: reason::DEPENDENCY_NOT_READY,
                message: format!("ImagePolicy '{}' has elected no tag yet", elector.key),
                cure: Cure::Wait,
            });
            continue;
        };
        // What the list does not have any more cannot be copied, and whoever elected it elects another soon.
        let is_there = stored.index_of(tag.as_str()).is_some() && !is_companion(&tag);
        if is_there && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// What a policy would elect, as far as it has said; where Flux's controller elects, what that did.
fn candidate(
    context: &Context,
    elector: &Elector,
    repository: &Key,
    image: &Repository,
) -> Option<Tag> {
    let Elector { key, object } = elector;
    let told = if context.settings.is_companion {
        None
    } else {
        context.store.board().candidate(key)
    };
    if let Some(candidate) = told {
        let is_of_source = candidate.repository == *repository && candidate.image == *image;
        return is_of_source.then_some(candidate.tag);
    }
    standing(object, image)
}

/// What the policy's status says stands elected of `image`.
fn standing(policy: &ImagePolicy, image: &Repository) -> Option<Tag> {
    let latest = policy.status.as_ref()?.latest_ref.as_ref()?;
    let name: Repository = latest.name.parse().ok()?;
    if name == *image {
        latest.tag.parse().ok()
    } else {
        None
    }
}

/// What stands elected of `repository`, which scans `image`, whether or not the list has it: by any policy as the store has it, and by
/// those that the mirror follows as their statuses say. Nobody deletes that.
pub(super) fn in_use(
    context: &Context,
    mirror: &Key,
    spec: &ImageMirrorSpec,
    repository: &Key,
    image: &Repository,
) -> Vec<Tag> {
    let stored = context.store.snapshot().repository(repository);
    let elections = stored.iter().flat_map(|stored| stored.elections());
    let mut tags: Vec<Tag> = elections.map(|election| election.tag.clone()).collect();
    let followed = spec.tags.iter().flat_map(|tags| &tags.image_policy_refs);
    for reference in followed {
        let policy = context.policies.find(&reference.key(&mirror.namespace));
        tags.extend(policy.object().and_then(|policy| standing(&policy, image)));
    }
    tags
}

/// All tags, the last in byte order first.
fn all(stored: &RepositoryTags) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::with_capacity(stored.tag_count());
    // Each was a tag when it was stored.
    stored.for_each_descending(&mut |tag| tags.extend(tag.parse::<Tag>()));
    tags
}

fn invalid(error: &Error) -> Trouble {
    Trouble {
        reason: reason::INVALID_POLICY,
        message: format!("spec.tags: {error}"),
        cure: Cure::Change,
    }
}
