//! The one place that turns an error into a `metav1.Status`, with kube-apiserver's own reasons and words.
//!
//! Source of the words: `k8s.io/apimachinery/pkg/api/errors` and the field errors of
//! `k8s.io/apimachinery/pkg/util/validation/field`. Clients match on reasons and causes, people read the messages.

mod auth;
mod create;
pub mod field;

use serde_json::{Value, json};

use self::field::FieldError;
use crate::apiserver::json::Json;
use crate::apiserver::kind::Kind;
use crate::quote::quote;
use crate::store::ResourceVersion;

/// A `Status` to answer with. Built by the constructors only.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The HTTP code.
    pub code: u16,
    /// The machine-readable reason, e.g. `NotFound`.
    pub reason: &'static str,
    /// The message for people.
    pub message: String,
    /// `details`, as JSON, when there are any.
    pub details: Option<Value>,
    /// Seconds for the `Retry-After` header, when there is one.
    pub retry_after: Option<u32>,
}

impl Status {
    /// 404 for an object of `kind` that is not there.
    pub fn not_found(kind: Kind, name: &str) -> Self {
        let message = format!("{} {} not found", kind.qualified(), quote(name));
        let details =
            json!({"name": name, "group": crate::api::tags::GROUP, "kind": kind.plural()});
        Self {
            details: Some(details),
            ..Self::plain(404, "NotFound", message)
        }
    }

    /// 404 for a path that nothing is served at.
    pub fn no_such_path() -> Self {
        Self::plain(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    /// 405 for a method that a resource or document does not have.
    pub fn method_not_allowed(kind: Option<Kind>) -> Self {
        let message = "the server does not allow this method on the requested resource";
        let details =
            kind.map(|kind| json!({"group": crate::api::tags::GROUP, "kind": kind.plural()}));
        Self {
            details,
            ..Self::plain(405, "MethodNotAllowed", message)
        }
    }

    /// 400 with the given words.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// 406, naming the media types that are served.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            accepted.join(", ")
        );
        Self::plain(406, "NotAcceptable", message)
    }

    /// 406 for a transformation that does not fit what was asked for.
    pub fn not_convertible(message: impl Into<String>) -> Self {
        Self::plain(406, "NotAcceptable", message)
    }

    /// 415, naming the media types that are read.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::plain(415, "UnsupportedMediaType", message)
    }

    /// 410: what was asked for has left the history.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::plain(410, "Expired", message)
    }

    /// 422 for the query options of a list or watch.
    pub fn invalid_list_options(errors: &[FieldError]) -> Self {
        Self::invalid(
            "ListOptions.meta.k8s.io",
            "meta.k8s.io",
            "ListOptions",
            errors,
        )
    }

    /// 422 for a resourceVersion that does not parse, on a watch (which names the plural as the kind, as upstream does).
    pub fn invalid_watch_position(kind: Kind, error: FieldError) -> Self {
        Self::invalid(
            &kind.qualified(),
            crate::api::tags::GROUP,
            kind.plural(),
            &[error],
        )
    }

    /// 504: the client knows a newer state than this server; client-go recognises the cause and starts over.
    pub fn too_large_resource_version(asked: ResourceVersion, current: ResourceVersion) -> Self {
        let message = format!(
            "Timeout: Too large resource version: {}, current: {}",
            asked.0, current.0
        );
        let details = json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        });
        Self {
            details: Some(details),
            retry_after: Some(1),
            ..Self::plain(504, "Timeout", message)
        }
    }

    /// 426: the protocol that the connection is to be upgraded to is not spoken in that version.
    pub fn upgrade_required(message: impl Into<String>) -> Self {
        Self::plain(426, "UpgradeRequired", message)
    }

    /// The JSON text of the object.
    pub fn body(&self) -> Vec<u8> {
        self.body_with_continue(None)
    }

    /// The JSON text, with a token in `metadata.continue` that the list can go on with.
    pub fn body_with_continue(&self, token: Option<&str>) -> Vec<u8> {
        let mut json = Json::new();
        self.write(&mut json, token);
        json.take()
    }

    pub(super) fn write(&self, json: &mut Json, token: Option<&str>) {
        json.raw(r#"{"kind":"Status","apiVersion":"v1","metadata":{"#);
        if let Some(token) = token {
            json.raw(r#""continue":"#).string(token);
        }
        json.raw(r#"},"status":"Failure","message":"#)
            .string(&self.message);
        json.raw(r#","reason":"#).string(self.reason);
        if let Some(details) = &self.details {
            json.raw(r#","details":"#);
            write_ordered(json, details);
        }
        json.raw(r#","code":"#).number(self.code).raw("}");
    }

    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            retry_after: None,
        }
    }

    fn invalid(qualified: &str, group: &str, kind: &str, errors: &[FieldError]) -> Self {
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| json!({"reason": error.reason(), "message": error.body(), "field": error.field()}))
            .collect();
        let message = format!("{qualified} \"\" is invalid: {}", field::aggregate(errors));
        let details = json!({"group": group, "kind": kind, "causes": causes});
        Self {
            details: Some(details),
            ..Self::plain(422, "Invalid", message)
        }
    }
}

/// Writes `details` with its members in the order of the Go type, whatever the map's own order is.
fn write_ordered(json: &mut Json, value: &Value) {
    const ORDER: [&str; 8] = [
        "name", "group", "kind", "uid", "reason", "causes", "message", "field",
    ];
    match value {
        Value::Object(members) => {
            let rank = |key: &str| {
                ORDER
                    .iter()
                    .position(|known| *known == key)
                    .unwrap_or(ORDER.len())
            };
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_by_key(|key| (rank(key), key.as_str()));
            json.raw("{");
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    json.raw(",");
                }
                json.string(key).raw(":");
                write_ordered(json, members.get(key).unwrap_or(&Value::Null));
            }
            json.raw("}");
        }
        Value::Array(items) => {
            json.raw("[");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.raw(",");
                }
                write_ordered(json, item);
            }
            json.raw("]");
        }
        Value::String(text) => {
            json.string(text);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            json.raw(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(status: &Status) -> String {
        String::from_utf8(status.body()).unwrap()
    }

    #[test]
    fn a_missing_object_is_told_as_kube_apiserver_tells_it() {
        assert_eq!(
            text(&Status::not_found(Kind::ImageTag, "app:9")),
            concat!(
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
                r#""message":"imagetags.tags.tagscope.dev \"app:9\" not found","reason":"NotFound","#,
                r#""details":{"name":"app:9","group":"tags.tagscope.dev","kind":"imagetags"},"code":404}"#
            )
        );
    }

    #[test]
    fn one_invalid_option_stands_alone_and_several_stand_in_brackets() {
        let first = FieldError::forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        );
        let second = FieldError::forbidden("resourceVersionMatch", "no");
        let one = Status::invalid_list_options(std::slice::from_ref(&first));
        assert_eq!(
            one.message,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
        );
        let two = Status::invalid_list_options(&[first, second]);
        assert_eq!(
            two.message,
            "ListOptions.meta.k8s.io \"\" is invalid: [sendInitialEvents: Forbidden: sendInitialEvents is forbidden \
             for list, resourceVersionMatch: Forbidden: no]"
        );
        assert!(text(&two).contains(
            r#""causes":[{"reason":"FieldValueForbidden","message":"Forbidden: sendInitialEvents is forbidden for list","field":"sendInitialEvents"}"#
        ));
    }

    #[test]
    fn a_version_from_the_future_carries_the_cause_that_client_go_looks_for() {
        let status = Status::too_large_resource_version(ResourceVersion(9), ResourceVersion(5));
        assert_eq!(status.retry_after, Some(1));
        assert_eq!(
            status.message,
            "Timeout: Too large resource version: 9, current: 5"
        );
        assert!(text(&status).contains(
            r#""details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}],"retryAfterSeconds":1},"code":504}"#
        ));
    }
}
