//! Which tags of a source a mirror wants.

use std::collections::BTreeSet;

use super::super::unread::Kind;
use super::super::{Object, Objects, Place, Problems};
use crate::api::image_mirror::TagSelection;
use crate::api::image_policy::ImagePolicySpec;
use crate::api::{ImageMirrorSpec, ImageRepositorySpec};
use crate::cli::mirror::order::Asker;
use crate::cli::mirror::selection::{Error, Wish};
use crate::object::Key;
use crate::registry::copy::Wanted;

/// What of a source is wanted, and who wants it.
pub(super) type Wants = Vec<(Asker, Wanted)>;

/// The mirror's policies by their field, each with its source; one of another source, or that is not there, is a mistake.
pub(super) fn policies<'a>(
    objects: &'a Objects,
    key: &Key,
    mirror: &Object<ImageMirrorSpec>,
    sources: &BTreeSet<&Key>,
    problems: &mut Problems,
) -> Vec<(String, Key, &'a Object<ImagePolicySpec>)> {
    let mut found = Vec::new();
    let tags = mirror.spec.tags.as_ref();
    let references = tags.map_or(&[][..], |tags| &tags.image_policy_refs);
    for (index, reference) in references.iter().enumerate() {
        let field = format!("spec.tags.imagePolicyRefs[{index}]");
        let wanted = reference.key(&key.namespace);
        let Some(policy) = objects.policies.get(&wanted) else {
            if !objects.unread.may_be(Kind::Policy, &wanted) {
                problems.add(
                    &mirror.place,
                    &field,
                    format!("no document is the ImagePolicy {wanted}"),
                );
            }
            continue;
        };
        let of = policy.spec.image_repository_ref.key(&wanted.namespace);
        // Where the sources are not known, or not all of them, it may be one of them.
        let is_open = sources.is_empty() || objects.unread.may_be(Kind::Repository, &of);
        if is_open || sources.contains(&of) {
            found.push((format!("{field} (ImagePolicy {wanted})"), of, policy));
            continue;
        }
        let not = match sources.first() {
            Some(only) if sources.len() == 1 => format!("from {only}"),
            _ => "from any of the sources that are selected".to_owned(),
        };
        problems.add(
            &mirror.place,
            &field,
            format!("the ImagePolicy {wanted} elects from {of}, and not {not}"),
        );
    }
    found
}

/// Whether tags can be selected at all, where no source is known.
pub(super) fn check(
    mirror: &Object<ImageMirrorSpec>,
    policies: &[(String, Key, &Object<ImagePolicySpec>)],
    problems: &mut Problems,
) {
    let nothing = TagSelection::default();
    let tags = mirror.spec.tags.as_ref().unwrap_or(&nothing);
    let all = Wish {
        exclude: &[],
        filter: tags.filter_tags.as_ref(),
        policy: tags.policy.as_ref(),
        limit: tags.limit,
    };
    tell(
        all.selection().err(),
        (&mirror.place, "spec.tags"),
        problems,
    );
    for (_, _, policy) in policies {
        let election = Wish {
            exclude: &[],
            filter: policy.spec.filter_tags.as_ref(),
            policy: Some(&policy.spec.policy),
            limit: Some(1),
        };
        tell(
            election.selection().err(),
            (&policy.place, "spec"),
            problems,
        );
    }
}

/// Tells what is wrong with a wish, whose filter and policy stand below `path` in the object at `place`.
fn tell(error: Option<Error>, (place, path): (&Place, &str), problems: &mut Problems) {
    match error {
        // Of an ImageRepository, where it is told.
        None | Some(Error::Exclude { .. }) => {}
        Some(error @ Error::Filter(_)) => {
            problems.add(place, &format!("{path}.filterTags"), error);
        }
        Some(error @ Error::Policy(_)) => {
            problems.add(place, &format!("{path}.policy"), error);
        }
    }
}

/// One wish for all that a filter and a policy leave, or one for each ImagePolicy of the source.
pub(super) fn wanted(
    mirror: &Object<ImageMirrorSpec>,
    policies: &[(String, Key, &Object<ImagePolicySpec>)],
    (source_key, source): (&Key, &Object<ImageRepositorySpec>),
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Wants {
    let exclude = source.spec.effective_exclusion_list();
    let nothing = TagSelection::default();
    let tags = mirror.spec.tags.as_ref().unwrap_or(&nothing);
    let mut found = Vec::new();
    // Who wishes; and where its filter and policy stand: the object, and where in it.
    let mut wish = |field: &str, wish: Wish<'_>, at: (&Place, &str)| {
        let asker = Asker {
            place: format!("{}: {field}", mirror.place),
            words: wish.words(),
        };
        match wish.selection() {
            Ok(selection) => found.push((asker, Wanted::Selected(selection))),
            Err(error @ Error::Exclude { .. }) => {
                problems.add(&source.place, "spec.exclusionList", error);
            }
            Err(error) => tell(Some(error), at, problems),
        }
    };
    if tags.image_policy_refs.is_empty() {
        let all = Wish {
            exclude: &exclude,
            filter: tags.filter_tags.as_ref(),
            policy: tags.policy.as_ref(),
            limit: tags.limit,
        };
        wish("spec.tags", all, (&mirror.place, "spec.tags"));
        return found;
    }
    let mut has_policy = false;
    for (field, _, policy) in policies.iter().filter(|(_, of, _)| of == source_key) {
        has_policy = true;
        let election = Wish {
            exclude: &exclude,
            filter: policy.spec.filter_tags.as_ref(),
            policy: Some(&policy.spec.policy),
            limit: Some(1),
        };
        wish(field, election, (&policy.place, "spec"));
    }
    if !has_policy && policies.len() == tags.image_policy_refs.len() {
        warnings.push(format!(
            "{}: spec.tags.imagePolicyRefs: none elects from {source_key}, of which nothing is copied",
            mirror.place
        ));
    }
    found
}
