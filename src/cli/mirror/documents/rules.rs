//! What the schema of ImageMirror says in CEL: how its fields have to go together.

use std::collections::BTreeSet;

use super::{Place, Problems};
use crate::api::ImageMirrorSpec;
use crate::api::image_mirror::{Operator, OverwriteMode};

/// Whether the spec keeps to them; what does not is told.
pub(super) fn hold(spec: &ImageMirrorSpec, place: &Place, problems: &mut Problems) -> bool {
    let before = problems.0.len();
    let source = &spec.source_ref;
    if source.name.is_some() == source.selector.is_some() {
        problems.add(
            place,
            "spec.sourceRef",
            "exactly one of name and selector must be set",
        );
    }
    let requirements = source
        .selector
        .iter()
        .flat_map(|selector| &selector.match_expressions);
    for (index, requirement) in requirements.enumerate() {
        let takes_values = matches!(requirement.operator, Operator::In | Operator::NotIn);
        if takes_values == requirement.values.is_empty() {
            problems.add(
                place,
                &format!("spec.sourceRef.selector.matchExpressions[{index}]"),
                "values go with the operators In and NotIn, and only with them",
            );
        }
    }
    if let Some(tags) = &spec.tags {
        if tags.limit.is_some() && tags.policy.is_none() {
            problems.add(
                place,
                "spec.tags",
                "limit needs a policy, which says what the latest tags are",
            );
        }
        let is_selected =
            tags.filter_tags.is_some() || tags.policy.is_some() || tags.limit.is_some();
        if !tags.image_policy_refs.is_empty() && is_selected {
            problems.add(
                place,
                "spec.tags",
                "imagePolicyRefs cannot be combined with filterTags, policy and limit",
            );
        }
    }
    let mut names = BTreeSet::new();
    for (index, destination) in spec.destinations.iter().enumerate() {
        if !names.insert(destination.name.as_str()) {
            problems.add(
                place,
                &format!("spec.destinations[{index}].name"),
                format!("is {:?}, as that of another destination", destination.name),
            );
        }
    }
    if let Some(overwrite) = &spec.overwrite
        && !overwrite.mutable.is_empty()
        && overwrite.mode != OverwriteMode::MutableTagsOnly
    {
        problems.add(
            place,
            "spec.overwrite",
            "mutable goes with mode MutableTagsOnly",
        );
    }
    problems.0.len() == before
}
