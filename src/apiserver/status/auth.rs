//! The refusals of the chain in front of the resources, in kube-apiserver's words.

use serde_json::json;

use super::Status;
use crate::apiserver::request_info::{RequestInfo, User};

impl Status {
    /// 401: nobody in particular, or a false credential. Says nothing about which.
    pub fn unauthorized() -> Self {
        Self {
            code: 401,
            reason: "Unauthorized",
            message: "Unauthorized".into(),
            details: None,
            retry_after: None,
        }
    }

    /// 403: `user` may not do this. The same form whether or not the thing exists (AUTHZ-7).
    pub fn forbidden(user: &User, info: &RequestInfo, reason: &str) -> Self {
        let attempt = sanitized(&attempt(user, info));
        let why = if reason.is_empty() {
            attempt
        } else {
            format!("{attempt}: {reason}")
        };
        let (message, details) = match info {
            RequestInfo::NonResource { .. } => (format!("forbidden: {why}"), json!({})),
            RequestInfo::Resource(request) => {
                let resource = match request.group.as_str() {
                    "" => request.resource.clone(),
                    group => format!("{}.{group}", request.resource),
                };
                match request.name.as_deref() {
                    None => (
                        format!("{resource} is forbidden: {why}"),
                        json!({"group": request.group, "kind": request.resource}),
                    ),
                    Some(name) => (
                        format!("{resource} {name:?} is forbidden: {why}"),
                        json!({"name": name, "group": request.group, "kind": request.resource}),
                    ),
                }
            }
        };
        Self {
            code: 403,
            reason: "Forbidden",
            message,
            details: Some(details),
            retry_after: None,
        }
    }

    /// 403: the request asks to be carried out as somebody else, which is not done here (AUTHN-16).
    pub fn impersonation_refused() -> Self {
        let message = "forbidden: impersonation headers are not accepted here: send the request through kube-apiserver";
        Self {
            code: 403,
            reason: "Forbidden",
            message: message.into(),
            details: Some(json!({})),
            retry_after: None,
        }
    }

    /// 429: come back in `seconds`.
    pub fn too_many_requests(seconds: u32) -> Self {
        Self {
            code: 429,
            reason: "TooManyRequests",
            message: "Too many requests, please try again later.".into(),
            details: Some(json!({"retryAfterSeconds": seconds})),
            retry_after: Some(seconds),
        }
    }

    /// 500: our fault, or that of somebody we asked. `cause` is shown to the client.
    pub fn internal(cause: &str) -> Self {
        Self {
            code: 500,
            reason: "InternalError",
            message: format!("Internal error occurred: {cause}"),
            details: Some(json!({"causes": [{"message": cause}]})),
            retry_after: None,
        }
    }

    /// 503: not yet, or not any more.
    pub fn unavailable(why: &str, seconds: u32) -> Self {
        Self {
            code: 503,
            reason: "ServiceUnavailable",
            message: why.into(),
            details: Some(json!({"retryAfterSeconds": seconds})),
            retry_after: Some(seconds),
        }
    }

    /// 504: the request's time is over.
    pub fn request_timeout() -> Self {
        Self {
            code: 504,
            reason: "Timeout",
            message: "Timeout: request did not complete within the allotted timeout".into(),
            details: Some(json!({})),
            retry_after: None,
        }
    }

    /// 400: `?timeout=` is no duration.
    pub fn invalid_timeout() -> Self {
        Self {
            code: 400,
            reason: "BadRequest",
            message: "invalid timeout specified in the request URL".into(),
            details: None,
            retry_after: None,
        }
    }
}

/// What was tried, as people read it.
fn attempt(user: &User, info: &RequestInfo) -> String {
    let user = &user.name;
    match info {
        RequestInfo::NonResource { verb, .. } => {
            format!("User {user:?} cannot {verb} path {:?}", info.decoded_path())
        }
        RequestInfo::Resource(request) => {
            let resource = match request.subresource.as_deref() {
                None => request.resource.clone(),
                Some(subresource) => format!("{}/{subresource}", request.resource),
            };
            let (verb, group) = (request.verb.as_str(), &request.group);
            let scope = match request.namespace.as_deref() {
                None => "at the cluster scope".to_owned(),
                Some(namespace) => format!("in the namespace {namespace:?}"),
            };
            format!(
                "User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}"
            )
        }
    }
}

/// Nothing in a refusal may look like HTML to a browser that guesses.
fn sanitized(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn refusal(path: &str, reason: &str) -> Status {
        let user = User {
            name: "jane <script>".into(),
            ..User::default()
        };
        Status::forbidden(
            &user,
            &RequestInfo::parse(&Method::GET, &path.parse().unwrap()),
            reason,
        )
    }

    #[test]
    fn a_refusal_reads_as_kube_apiservers() {
        let group = "/apis/tags.tagscope.dev/v1alpha1";
        let cases = [
            (
                format!("{group}/namespaces/n/imagetags"),
                "",
                r#"imagetags.tags.tagscope.dev is forbidden: User "jane &lt;script&gt;" cannot list resource "imagetags" in API group "tags.tagscope.dev" in the namespace "n""#,
                json!({"group": "tags.tagscope.dev", "kind": "imagetags"}),
            ),
            (
                format!("{group}/imagetags?watch=1"),
                "RBAC: not found",
                r#"imagetags.tags.tagscope.dev is forbidden: User "jane &lt;script&gt;" cannot watch resource "imagetags" in API group "tags.tagscope.dev" at the cluster scope: RBAC: not found"#,
                json!({"group": "tags.tagscope.dev", "kind": "imagetags"}),
            ),
            (
                format!("{group}/namespaces/n/imagetags/app:1/status"),
                "",
                r#"imagetags.tags.tagscope.dev "app:1" is forbidden: User "jane &lt;script&gt;" cannot get resource "imagetags/status" in API group "tags.tagscope.dev" in the namespace "n""#,
                json!({"name": "app:1", "group": "tags.tagscope.dev", "kind": "imagetags"}),
            ),
            (
                "/metri%63s".into(),
                "",
                r#"forbidden: User "jane &lt;script&gt;" cannot get path "/metrics""#,
                json!({}),
            ),
        ];
        for (path, reason, message, details) in cases {
            let status = refusal(&path, reason);
            assert_eq!(status.message, message);
            assert_eq!(
                (status.code, status.reason, status.details),
                (403, "Forbidden", Some(details))
            );
        }
    }
}
