//! The question put to kube-apiserver: the user, and exactly one of a resource or a path.

use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReviewSpec,
};

use crate::apiserver::request_info::parse::first;
use crate::apiserver::request_info::{RequestInfo, ResourceRequest, User, Verb};

/// The spec of the SubjectAccessReview.
pub(super) fn spec(
    user: &User,
    info: &RequestInfo,
    query: Option<&str>,
) -> SubjectAccessReviewSpec {
    let (resource, path) = match info {
        RequestInfo::Resource(request) => {
            (Some(resource(request, query.unwrap_or_default())), None)
        }
        RequestInfo::NonResource { verb, .. } => (
            None,
            Some(NonResourceAttributes {
                path: Some(info.decoded_path()),
                verb: Some(verb.clone()),
            }),
        ),
    };
    SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        uid: some(&user.uid),
        groups: (!user.groups.is_empty()).then(|| user.groups.clone()),
        extra: (!user.extra.is_empty()).then(|| user.extra.clone()),
        resource_attributes: resource,
        non_resource_attributes: path,
    }
}

fn resource(request: &ResourceRequest, query: &str) -> ResourceAttributes {
    let selectors = match request.verb {
        Verb::List | Verb::Watch | Verb::DeleteCollection => query,
        Verb::Get | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => "",
    };
    let selector = |name| first(selectors, name).filter(|text| !text.is_empty());
    ResourceAttributes {
        namespace: request.namespace.clone(),
        verb: Some(request.verb.as_str().to_owned()),
        group: some(&request.group),
        version: some(&request.version),
        resource: some(&request.resource),
        subresource: request.subresource.clone(),
        name: request.name.clone(),
        // Raw: kube-apiserver parses them itself, and takes one that does not parse as "not limited".
        field_selector: selector("fieldSelector").map(|raw| FieldSelectorAttributes {
            raw_selector: Some(raw),
            ..FieldSelectorAttributes::default()
        }),
        label_selector: selector("labelSelector").map(|raw| LabelSelectorAttributes {
            raw_selector: Some(raw),
            ..LabelSelectorAttributes::default()
        }),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
