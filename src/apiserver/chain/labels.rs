//! What a request was, in words of closed sets: fit for metric labels, whatever a client makes up.

use url::form_urlencoded;

use crate::api::tags::{GROUP, VERSION};
use crate::apiserver::request_info::{RequestInfo, Verb};

const OTHER: &str = "other";

/// A request as metrics see it. Words that nothing here serves are `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Labels {
    /// `GET`, `LIST`, `WATCH`, `POST`…, upper case as upstream's metrics have them; `other` for unusual methods.
    pub verb: &'static str,
    /// The API group; nothing for paths.
    pub group: &'static str,
    /// Its version; nothing for paths.
    pub version: &'static str,
    /// A served resource, `other`, or nothing for paths.
    pub resource: &'static str,
    /// `other` for any, since none is served.
    pub subresource: &'static str,
    /// `namespace`, `cluster` or `resource` (one object); nothing for paths.
    pub scope: &'static str,
    /// `All`, `invalid`, or nothing.
    pub dry_run: &'static str,
}

impl Labels {
    /// Of `info`, where only `served` resources have a name.
    pub(super) fn of(
        info: &RequestInfo,
        query: Option<&str>,
        served: &'static [&'static str],
    ) -> Self {
        let request = match info {
            RequestInfo::NonResource { verb, .. } => return Self::of_path(verb, query),
            RequestInfo::Resource(request) => request,
        };
        let is_ours = request.group == GROUP && request.version == VERSION;
        let (group, version) = if is_ours {
            (GROUP, VERSION)
        } else {
            (OTHER, OTHER)
        };
        let resource = served.iter().find(|name| **name == request.resource);
        Self {
            verb: match request.verb {
                Verb::Get => "GET",
                Verb::List => "LIST",
                Verb::Watch => "WATCH",
                Verb::Create => "POST",
                Verb::Update => "PUT",
                Verb::Patch => "PATCH",
                Verb::Delete => "DELETE",
                Verb::DeleteCollection => "DELETECOLLECTION",
                Verb::Unknown => OTHER,
            },
            group,
            version,
            resource: resource.filter(|_| is_ours).copied().unwrap_or(OTHER),
            subresource: request.subresource.as_ref().map_or("", |_| OTHER),
            scope: match (&request.name, &request.namespace) {
                (Some(_), _) => "resource",
                (None, Some(_)) => "namespace",
                (None, None) => "cluster",
            },
            dry_run: dry_run(query),
        }
    }

    fn of_path(verb: &str, query: Option<&str>) -> Self {
        Self {
            verb: match verb {
                "get" => "GET",
                "head" => "HEAD",
                "post" => "POST",
                "put" => "PUT",
                "patch" => "PATCH",
                "delete" => "DELETE",
                "options" => "OPTIONS",
                _ => OTHER,
            },
            group: "",
            version: "",
            resource: "",
            subresource: "",
            scope: "",
            dry_run: dry_run(query),
        }
    }

    /// Whether it only reads.
    pub fn is_read_only(&self) -> bool {
        matches!(self.verb, "GET" | "HEAD" | "LIST" | "WATCH" | "OPTIONS")
    }
}

fn dry_run(query: Option<&str>) -> &'static str {
    let query = query.unwrap_or_default();
    if !query.contains("dryRun") {
        return "";
    }
    let mut values = form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _)| key == "dryRun")
        .map(|(_, value)| value);
    match values.next() {
        None => "",
        Some(first) if first == "All" && values.all(|value| value == "All") => "All",
        Some(_) => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn labels(method: &Method, uri: &str) -> Labels {
        let uri = uri.parse().unwrap();
        Labels::of(
            &RequestInfo::parse(method, &uri),
            uri.query(),
            &["imagetags"],
        )
    }

    #[test]
    fn labels_come_from_closed_sets() {
        let ours = "/apis/tags.tagscope.dev/v1alpha1";
        let of =
            |verb, [group, version, resource, subresource, scope, dry_run]: [&'static str; 6]| {
                Labels {
                    verb,
                    group,
                    version,
                    resource,
                    subresource,
                    scope,
                    dry_run,
                }
            };
        let served = |scope| [GROUP, VERSION, "imagetags", "", scope, ""];
        let cases = [
            (
                Method::GET,
                format!("{ours}/imagetags"),
                of("LIST", served("cluster")),
            ),
            (
                Method::GET,
                format!("{ours}/imagetags?watch=1"),
                of("WATCH", served("cluster")),
            ),
            (
                Method::HEAD,
                format!("{ours}/namespaces/n/imagetags/x"),
                of("GET", served("resource")),
            ),
            (
                Method::GET,
                format!("{ours}/namespaces/n/hostile"),
                of("LIST", [GROUP, VERSION, OTHER, "", "namespace", ""]),
            ),
            (
                Method::POST,
                format!("{ours}/namespaces/n/imagetags/x/hostile?dryRun=All&dryRun=All"),
                of(
                    "POST",
                    [GROUP, VERSION, "imagetags", OTHER, "resource", "All"],
                ),
            ),
            (
                Method::POST,
                "/apis/hostile/v1/imagetags?dryRun=hostile".to_owned(),
                of("POST", [OTHER, OTHER, OTHER, "", "cluster", "invalid"]),
            ),
            (Method::GET, "/anything".to_owned(), of("GET", [""; 6])),
            (
                Method::from_bytes(b"BREW").unwrap(),
                "/".to_owned(),
                of(OTHER, [""; 6]),
            ),
        ];
        for (method, uri, expected) in cases {
            assert_eq!(labels(&method, &uri), expected, "{method} {uri}");
        }
    }
}
