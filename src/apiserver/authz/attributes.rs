//! The question put to kube-apiserver: the user, and exactly one of a resource or a path.

use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    FieldSelectorRequirement, LabelSelectorRequirement,
};

use crate::apiserver::request_info::parse::{field_terms, first};
use crate::apiserver::request_info::{RequestInfo, ResourceRequest, User, Verb};
use crate::apiserver::selector::labels::{Operator, Selector};

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
    ResourceAttributes {
        namespace: request.namespace.clone(),
        verb: Some(request.verb.as_str().to_owned()),
        group: some(&request.group),
        version: some(&request.version),
        resource: some(&request.resource),
        subresource: request.subresource.clone(),
        name: request.name.clone(),
        field_selector: first(selectors, "fieldSelector")
            .and_then(|text| fields(&text))
            .map(|requirements| FieldSelectorAttributes {
                requirements: Some(requirements),
                ..FieldSelectorAttributes::default()
            }),
        label_selector: first(selectors, "labelSelector")
            .and_then(|text| labels(&text))
            .map(|requirements| LabelSelectorAttributes {
                requirements: Some(requirements),
                ..LabelSelectorAttributes::default()
            }),
    }
}

/// Any field's: which ones there are is for who serves the list. `None` when there is no term, or one that does not
/// parse: the question is then about everything, which is never less than what will be sent.
fn fields(text: &str) -> Option<Vec<FieldSelectorRequirement>> {
    let requirements: Vec<_> = field_terms(text)?
        .into_iter()
        .map(|term| FieldSelectorRequirement {
            key: term.field,
            operator: if term.equal { "In" } else { "NotIn" }.to_owned(),
            values: Some(vec![term.value]),
        })
        .collect();
    (!requirements.is_empty()).then_some(requirements)
}

/// Without those that compare by order, for which the question has no operator: it is about more then.
fn labels(text: &str) -> Option<Vec<LabelSelectorRequirement>> {
    let selector = Selector::parse(text).ok()?;
    let requirements: Vec<_> = selector
        .requirements()
        .filter_map(|(key, operator, values)| {
            let (operator, values) = match operator {
                Operator::In => ("In", Some(values.to_vec())),
                Operator::NotIn => ("NotIn", Some(values.to_vec())),
                Operator::Exists => ("Exists", None),
                Operator::DoesNotExist => ("DoesNotExist", None),
                Operator::GreaterThan | Operator::LessThan => return None,
            };
            Some(LabelSelectorRequirement {
                key: key.to_owned(),
                operator: operator.to_owned(),
                values,
            })
        })
        .collect();
    (!requirements.is_empty()).then_some(requirements)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
