//! The question put to kube-apiserver: the user, and exactly one of a resource or a path.
//!
//! Nearly every question has been asked before, so that its key is made without making the question.

use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    FieldSelectorRequirement, LabelSelectorRequirement,
};

use sha2::{Digest as _, Sha256};

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
        Verb::Get | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::Unknown => "",
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

/// What a list is limited to, by the query's parameter `name`.
fn selector(verb: Verb, query: &str, name: &str) -> Option<String> {
    match verb {
        Verb::List | Verb::Watch | Verb::DeleteCollection => {
            first(query, name).filter(|text| !text.is_empty())
        }
        Verb::Get | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::Unknown => {
            None
        }
    }
}

/// A digest of everything that [`spec`] is made from: two questions that differ have two keys. `None` when that is
/// longer than `limit`.
pub(super) fn key(
    user: &User,
    info: &RequestInfo,
    query: Option<&str>,
    limit: usize,
) -> Option<[u8; 32]> {
    let mut key = Key::default();
    let User {
        name,
        uid,
        groups,
        extra,
    } = user;
    key.text(name).text(uid).count(groups.len());
    for group in groups {
        key.text(group);
    }
    key.count(extra.len());
    for (name, values) in extra {
        key.text(name).count(values.len());
        for value in values {
            key.text(value);
        }
    }
    match info {
        RequestInfo::NonResource { verb, path: _ } => {
            key.text("path").text(verb).text(&info.decoded_path());
        }
        RequestInfo::Resource(request) => {
            let ResourceRequest {
                verb,
                group,
                version,
                resource,
                subresource,
                namespace,
                name,
                path: _,
            } = request;
            key.text("resource").text(verb.as_str());
            key.text(group).text(version).text(resource);
            key.option(subresource.as_deref());
            key.option(namespace.as_deref()).option(name.as_deref());
            let query = query.unwrap_or_default();
            for name in ["fieldSelector", "labelSelector"] {
                key.option(selector(*verb, query, name).as_deref());
            }
        }
    }
    (key.bytes <= limit).then(|| key.hash.finalize().into())
}

/// A digest in the making. Every part tells its length first, so that no two rows of parts read alike.
#[derive(Default)]
struct Key {
    hash: Sha256,
    bytes: usize,
}

impl Key {
    fn count(&mut self, count: usize) -> &mut Self {
        self.hash.update((count as u64).to_be_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.count(text.len()).hash.update(text.as_bytes());
        self.bytes += text.len();
        self
    }

    fn option(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.count(1).text(text),
            None => self.count(0),
        }
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::*;

    fn question() -> impl Strategy<Value = (User, RequestInfo, String)> {
        let word = || "[ab]{0,2}";
        let user = (
            word(),
            word(),
            prop::collection::vec(word(), 0..3),
            prop::collection::btree_map(word(), prop::collection::vec(word(), 0..2), 0..2),
        )
            .prop_map(|(name, uid, groups, extra)| User {
                name,
                uid,
                groups,
                extra,
            });
        let path = prop_oneof![
            "/apis/[gh]/v1/namespaces/[mn]/t",
            "/apis/[gh]/v1/namespaces/[mn]/t/[ab](/s)?",
            "/apis/g/v1/[tu]",
            "/[a-b]{1,2}",
        ];
        let query = "((fieldSelector|labelSelector)=[ab]?&){0,2}(watch=1)?";
        let method = prop_oneof![Just(Method::GET), Just(Method::POST)];
        (user, method, path, query).prop_map(|(user, method, path, query)| {
            let uri = format!("{path}?{query}").parse().unwrap();
            (user, RequestInfo::parse(&method, &uri), query)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// The other way round a question may be asked once more than needed: an empty text and none are one there.
        #[test]
        fn other_questions_have_other_keys((one, two) in (question(), question())) {
            let spec = |(user, info, query): &(User, RequestInfo, String)| spec(user, info, Some(query));
            let key = |(user, info, query): &(User, RequestInfo, String)| key(user, info, Some(query), usize::MAX);
            if spec(&one) != spec(&two) {
                prop_assert_ne!(key(&one), key(&two));
            }
            prop_assert_eq!(key(&one), key(&one.clone()));
        }
    }

    #[test]
    fn parts_never_run_into_each_other() {
        let user = |name: &str, uid: &str, groups: &[&str]| User {
            name: name.into(),
            uid: uid.into(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..User::default()
        };
        let info = RequestInfo::parse(&Method::GET, &"/apis/g/v1/t".parse().unwrap());
        let key = |user: &User| key(user, &info, None, usize::MAX);
        let users = [
            user("ab", "", &[]),
            user("a", "b", &[]),
            user("", "ab", &[]),
            user("", "", &["ab"]),
            user("", "", &["a", "b"]),
            user("", "", &["b", "a"]),
        ];
        let keys: std::collections::BTreeSet<_> = users.iter().map(key).collect();
        assert_eq!(keys.len(), users.len());
    }
}
