//! The refusals of a create, in kube-apiserver's words.

use serde_json::{Value, json};

use super::Status;
use super::field::{self, FieldError};
use crate::api::access::Refusal;
use crate::api::names;
use crate::api::tag_query::{KIND, PLURAL};
use crate::api::tags::GROUP;
use crate::apiserver::request_info::User;
use crate::object::Key;
use crate::quote::quote;

impl Status {
    /// 413: the body has more than `limit` bytes.
    pub fn body_too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::plain(413, "RequestEntityTooLarge", message)
    }

    /// 422 for the query options of a create.
    pub fn invalid_create_options(errors: &[FieldError]) -> Self {
        Self::invalid(
            "CreateOptions.meta.k8s.io",
            "meta.k8s.io",
            "CreateOptions",
            errors,
        )
    }

    /// 422 for a TagQuery named `name`, which is empty as a rule.
    pub fn invalid_tag_query(name: &str, errors: &[FieldError]) -> Self {
        let mut status = Self::invalid(KIND, GROUP, KIND, errors);
        let words = field::aggregate(errors);
        status.message = format!("{KIND}.{GROUP} {} is invalid: {words}", quote(name));
        if !name.is_empty()
            && let Some(Value::Object(details)) = &mut status.details
        {
            details.insert("name".to_owned(), json!(name));
        }
        status
    }

    /// 405 for a method that tagqueries do not have.
    pub fn only_created() -> Self {
        Self {
            details: Some(json!({"group": GROUP, "kind": PLURAL})),
            ..Self::method_not_allowed(None)
        }
    }

    /// 403: the ImageRepository `reference` is not open to `namespace`.
    pub fn not_let_in(user: &User, reference: &Key, namespace: &str, refusal: Refusal) -> Self {
        const REPOSITORIES: &str = "imagerepositories";
        let group = names::IMAGE_GROUP;
        let why = refusal.message(reference, namespace);
        let message = format!(
            "{REPOSITORIES}.{group} {} is forbidden: User {} cannot query it from the namespace {}: {why}",
            quote(&reference.name),
            quote(&user.name),
            quote(namespace),
        );
        let details = json!({"name": &*reference.name, "group": group, "kind": REPOSITORIES});
        Self {
            details: Some(details),
            ..Self::plain(403, "Forbidden", message)
        }
    }
}
