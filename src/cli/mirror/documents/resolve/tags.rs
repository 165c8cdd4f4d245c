//! Which tags of a source a mirror wants.

use super::super::{Object, Objects, Problems};
use crate::api::image_mirror::TagSelection;
use crate::api::image_policy;
use crate::api::{ImageMirrorSpec, ImageRepositorySpec};
use crate::cli::mirror::selection::Wish;
use crate::object::Key;
use crate::policy::{Choice, InvalidPolicy, Policy, TagFilter};
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
    let mut wishes = Vec::new();
    if tags.image_policy_refs.is_empty() {
        let filter = filter(tags.filter_tags.as_ref());
        let policy = tags
            .policy
            .as_ref()
            .map(Choice::from)
            .map(Policy::from_choice)
            .transpose();
        match (filter, policy) {
            (Ok(filter), Ok(policy)) => wishes.push(Wish {
                exclude: &exclude,
                filter,
                policy,
                limit: tags.limit,
            }),
            (Err(error), _) => problems.add(&mirror.place, "spec.tags.filterTags", error),
            (_, Err(error)) => problems.add(&mirror.place, "spec.tags.policy", error),
        }
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
        let elects = Policy::from_choice(Choice::from(&policy.spec.policy));
        match (filter(policy.spec.filter_tags.as_ref()), elects) {
            (Ok(filter), Ok(elects)) => wishes.push(Wish {
                exclude: &exclude,
                filter,
                policy: Some(elects),
                limit: Some(1),
            }),
            (Err(error), _) => problems.add(&policy.place, "spec.filterTags", error),
            (_, Err(error)) => problems.add(&policy.place, "spec.policy", error),
        }
    }
    let mut found = Vec::new();
    for wish in wishes {
        match wish.selection() {
            Ok(selection) => found.push(Wanted::Selected(selection)),
            Err(error) => problems.add(&source.place, "spec.exclusionList", error),
        }
    }
    found
}

fn filter(filter: Option<&image_policy::TagFilter>) -> Result<Option<TagFilter>, InvalidPolicy> {
    filter
        .map(|filter| TagFilter::new(&filter.pattern, &filter.extract))
        .transpose()
}
