//! Which tags of a source a mirror wants.

use super::super::{Object, Objects, Place, Problems};
use crate::api::image_mirror::TagSelection;
use crate::api::{ImageMirrorSpec, ImageRepositorySpec};
use crate::cli::mirror::selection::{Error, Wish};
use crate::object::Key;
use crate::registry::copy::Wanted;

/// One wish for all that a filter and a policy leave, or one for each ImagePolicy of the source.
pub(super) fn wanted(
    objects: &Objects,
    key: &Key,
    mirror: &Object<ImageMirrorSpec>,
    (source_key, source): (&Key, &Object<ImageRepositorySpec>),
    problems: &mut Problems,
) -> Vec<Wanted> {
    let exclude = source.spec.effective_exclusion_list();
    let nothing = TagSelection::default();
    let tags = mirror.spec.tags.as_ref().unwrap_or(&nothing);
    let mut found = Vec::new();
    // Where a wish was made: the object, and where in it its filter and policy stand.
    let mut wish = |wish: Wish<'_>, place: &Place, path: &str, problems: &mut Problems| match wish
        .selection()
    {
        Ok(selection) => found.push(Wanted::Selected(selection)),
        Err(error @ Error::Exclude { .. }) => {
            problems.add(&source.place, "spec.exclusionList", error);
        }
        Err(error @ Error::Filter(_)) => {
            problems.add(place, &format!("{path}.filterTags"), error);
        }
        Err(error @ Error::Policy(_)) => {
            problems.add(place, &format!("{path}.policy"), error);
        }
    };
    if tags.image_policy_refs.is_empty() {
        let all = Wish {
            exclude: &exclude,
            filter: tags.filter_tags.as_ref(),
            policy: tags.policy.as_ref(),
            limit: tags.limit,
        };
        wish(all, &mirror.place, "spec.tags", problems);
    }
    for (index, reference) in tags.image_policy_refs.iter().enumerate() {
        let field = format!("spec.tags.imagePolicyRefs[{index}]");
        let wanted = reference.key(&key.namespace);
        let Some(policy) = objects.policies.get(&wanted) else {
            problems.add(
                &mirror.place,
                &field,
                format!("no document is the ImagePolicy {wanted}"),
            );
            continue;
        };
        let of = policy.spec.image_repository_ref.key(&wanted.namespace);
        if of != *source_key {
            // With a selector each policy is for one of several sources.
            if mirror.spec.source_ref.name.is_some() {
                problems.add(
                    &mirror.place,
                    &field,
                    format!("the ImagePolicy {wanted} elects from {of}, and not from {source_key}"),
                );
            }
            continue;
        }
        let election = Wish {
            exclude: &exclude,
            filter: policy.spec.filter_tags.as_ref(),
            policy: Some(&policy.spec.policy),
            limit: Some(1),
        };
        wish(election, &policy.place, "spec", problems);
    }
    found
}
