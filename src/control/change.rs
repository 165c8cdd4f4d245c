//! Which changes of objects ask for which reconciles. A status that we wrote ourselves asks for none.

use kube::{Resource, ResourceExt as _};

use super::queue::Trigger;
use super::{Context, image_mirror, image_policy, image_repository};
use crate::api::{ImageMirror, ImagePolicy, ImageRepository, names};
use crate::cluster::index::{Found, Touched};

/// The annotations that are acted upon.
const ASKING: [&str; 6] = [
    names::RECONCILE_REQUESTED_AT,
    names::HOLD,
    names::MINIMUM_AGE,
    names::DOWNGRADE,
    names::PLATFORMS,
    names::REQUIRE_MIRRORED,
];

/// ImageRepositories were touched: they may have to be scanned, and their policies may have to look again.
pub(super) async fn repositories(
    context: &Context,
    touched: Vec<Touched<ImageRepository>>,
    scanner: &image_repository::Controller,
    elector: &image_policy::Controller,
    scan: &Trigger,
    elect: &Trigger,
) {
    // First who is there, then what to do: that two name one image is known before either is scanned.
    for one in &touched {
        scanner.noted(one);
        image_mirror::heard_repository(context, one);
    }
    for one in touched {
        if !asks(&one) {
            continue;
        }
        if concerns_policies(&one) {
            for policy in elector.referrers(&one.key) {
                elect.request(policy).await;
            }
        }
        scan.request(one.key).await;
    }
}

/// ImagePolicies were touched.
pub(super) async fn policies(
    context: &Context,
    touched: Vec<Touched<ImagePolicy>>,
    elector: &image_policy::Controller,
    elect: &Trigger,
) {
    for one in touched {
        elector.noted(&one);
        image_mirror::heard_policy(context, &one);
        if asks(&one) {
            elect.request(one.key).await;
        }
    }
}

/// Whether a change has to be looked at: the object came or went, or its spec, labels, reconcile request or
/// deletion changed, or its finalizers while it is being deleted.
pub(super) fn asks<K: Resource<DynamicType = ()>>(touched: &Touched<K>) -> bool {
    match (&touched.before, &touched.after) {
        (Found::Object(before), Found::Object(after)) => asked_by(&**before) != asked_by(&**after),
        (Found::Absent | Found::Unreadable, Found::Object(_))
        | (Found::Object(_) | Found::Unreadable | Found::Absent, Found::Absent) => true,
        // Nothing can be done for it, and nothing must be done to it.
        (Found::Object(_) | Found::Unreadable | Found::Absent, Found::Unreadable) => false,
    }
}

/// Whether the policies that require a mirror have to look again: it came or went, or its spec changed. What it has verified
/// is told them by itself.
pub(super) fn concerns_requirers(touched: &Touched<ImageMirror>) -> bool {
    match (&touched.before, &touched.after) {
        (Found::Object(before), Found::Object(after)) => {
            let (before, after) = (&before.metadata, &after.metadata);
            (&before.uid, before.generation) != (&after.uid, after.generation)
        }
        (Found::Object(_) | Found::Unreadable | Found::Absent, _) => true,
    }
}

/// Whether policies have to look at the object itself anew. That somebody asks for a scan is none of their business: if
/// it finds anything, the store tells them.
fn concerns_policies(touched: &Touched<ImageRepository>) -> bool {
    let seen = |object: &ImageRepository| {
        let meta = &object.metadata;
        let is_going = meta.deletion_timestamp.is_some();
        (meta.uid.clone(), meta.generation, is_going)
    };
    match (&touched.before, &touched.after) {
        (Found::Object(before), Found::Object(after)) => seen(before) != seen(after),
        (Found::Object(_) | Found::Unreadable | Found::Absent, _) => true,
    }
}

fn asked_by<K: Resource<DynamicType = ()>>(object: &K) -> impl PartialEq {
    let meta = object.meta();
    (
        meta.uid.clone(),
        meta.generation,
        meta.deletion_timestamp.is_some(),
        meta.deletion_timestamp
            .is_some()
            .then(|| meta.finalizers.clone()),
        meta.labels.clone(),
        ASKING.map(|name| object.annotations().get(name).cloned()),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::object::Key;

    fn object(change: impl FnOnce(&mut ImagePolicy)) -> Found<ImagePolicy> {
        let mut object = ImagePolicy::new("app", crate::api::ImagePolicySpec::default());
        object.metadata.generation = Some(1);
        object.metadata.resource_version = Some("1".into());
        change(&mut object);
        Found::Object(Arc::new(object))
    }

    #[test]
    fn only_changes_that_matter_ask_for_a_reconcile() {
        let same = || object(|_| {});
        let rows: [(&str, Found<ImagePolicy>, Found<ImagePolicy>, bool); 13] = [
            ("it came", Found::Absent, same(), true),
            ("it went", same(), Found::Absent, true),
            ("nothing", same(), same(), false),
            (
                "its status",
                same(),
                object(|o| o.status = Some(crate::api::ImagePolicyStatus::default())),
                false,
            ),
            (
                "its version",
                same(),
                object(|o| o.metadata.resource_version = Some("2".into())),
                false,
            ),
            (
                "its finalizers",
                same(),
                object(|o| o.metadata.finalizers = Some(vec!["x".into()])),
                false,
            ),
            (
                "its spec",
                same(),
                object(|o| o.metadata.generation = Some(2)),
                true,
            ),
            (
                "another of that name",
                same(),
                object(|o| o.metadata.uid = Some("2".into())),
                true,
            ),
            (
                "asked for",
                same(),
                object(|o| {
                    o.annotations_mut()
                        .insert(names::RECONCILE_REQUESTED_AT.into(), "now".into());
                }),
                true,
            ),
            (
                "governed",
                same(),
                object(|o| {
                    o.annotations_mut()
                        .insert(names::HOLD.into(), "1.0.0".into());
                }),
                true,
            ),
            (
                "another annotation",
                same(),
                object(|o| {
                    o.annotations_mut().insert("note".into(), "x".into());
                }),
                false,
            ),
            ("not to be read any more", same(), Found::Unreadable, false),
            ("to be read again", Found::Unreadable, same(), true),
        ];
        for (name, before, after, expected) in rows {
            let touched = Touched {
                key: Key::new("apps", "app"),
                before,
                after,
            };
            assert_eq!(asks(&touched), expected, "{name}");
        }
    }
}
