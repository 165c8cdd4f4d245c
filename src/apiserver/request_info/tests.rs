//! kube-apiserver's own table of requests, and that no request is too strange to be read.

use super::*;
use http::Method;
use proptest::prelude::*;

fn parse(method: &str, uri: &str) -> RequestInfo {
    RequestInfo::parse(&method.parse::<Method>().unwrap(), &uri.parse().unwrap())
}

fn resource(method: &str, uri: &str) -> ResourceRequest {
    match parse(method, uri) {
        RequestInfo::Resource(request) => request,
        RequestInfo::NonResource { .. } => panic!("{method} {uri} is no resource request"),
    }
}

/// kube-apiserver's own table: method, path, verb, group, version, namespace, resource, subresource, name.
#[test]
fn resource_requests_are_read_as_kube_apiserver_reads_them() {
    type Row = (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    );
    let rows: &[(Row, &str)] = &[
        (
            (
                "GET",
                "/api/v1/namespaces",
                "list",
                "",
                "v1",
                "",
                "namespaces",
                "",
            ),
            "",
        ),
        (
            (
                "GET",
                "/api/v1/namespaces/other",
                "get",
                "",
                "v1",
                "other",
                "namespaces",
                "",
            ),
            "other",
        ),
        (
            (
                "GET",
                "/api/v1/namespaces/other/pods",
                "list",
                "",
                "v1",
                "other",
                "pods",
                "",
            ),
            "",
        ),
        (
            (
                "GET",
                "/api/v1/namespaces/other/pods/foo",
                "get",
                "",
                "v1",
                "other",
                "pods",
                "",
            ),
            "foo",
        ),
        (
            (
                "HEAD",
                "/api/v1/namespaces/other/pods/foo",
                "get",
                "",
                "v1",
                "other",
                "pods",
                "",
            ),
            "foo",
        ),
        (
            ("GET", "/api/v1/pods", "list", "", "v1", "", "pods", ""),
            "",
        ),
        (
            ("HEAD", "/api/v1/pods", "list", "", "v1", "", "pods", ""),
            "",
        ),
        (
            (
                "GET",
                "/api/v1/pods?watch=true",
                "watch",
                "",
                "v1",
                "",
                "pods",
                "",
            ),
            "",
        ),
        (
            (
                "GET",
                "/api/v1/pods?watch=false",
                "list",
                "",
                "v1",
                "",
                "pods",
                "",
            ),
            "",
        ),
        (
            (
                "GET",
                "/api/v1/namespaces/other/pods?watch=1",
                "watch",
                "",
                "v1",
                "other",
                "pods",
                "",
            ),
            "",
        ),
        (
            (
                "GET",
                "/api/v1/namespaces/other/pods?watch=0",
                "list",
                "",
                "v1",
                "other",
                "pods",
                "",
            ),
            "",
        ),
        (
            (
                "GET",
                "/api/v1/namespaces/other/pods/foo/status",
                "get",
                "",
                "v1",
                "other",
                "pods",
                "status",
            ),
            "foo",
        ),
        (
            (
                "GET",
                "/api/v1/namespaces/other/pods/foo/proxy/subpath",
                "get",
                "",
                "v1",
                "other",
                "pods",
                "proxy",
            ),
            "foo",
        ),
        (
            (
                "PUT",
                "/api/v1/namespaces/other/finalize",
                "update",
                "",
                "v1",
                "other",
                "namespaces",
                "finalize",
            ),
            "other",
        ),
        (
            (
                "PUT",
                "/api/v1/namespaces/other/status",
                "update",
                "",
                "v1",
                "other",
                "namespaces",
                "status",
            ),
            "other",
        ),
        (
            (
                "PATCH",
                "/api/v1/namespaces/other/pods/foo",
                "patch",
                "",
                "v1",
                "other",
                "pods",
                "",
            ),
            "foo",
        ),
        (
            (
                "DELETE",
                "/api/v1/namespaces/other/pods/foo",
                "delete",
                "",
                "v1",
                "other",
                "pods",
                "",
            ),
            "foo",
        ),
        (
            (
                "POST",
                "/api/v1/namespaces/other/pods",
                "create",
                "",
                "v1",
                "other",
                "pods",
                "",
            ),
            "",
        ),
        (
            (
                "DELETE",
                "/api/v1/nodes",
                "deletecollection",
                "",
                "v1",
                "",
                "nodes",
                "",
            ),
            "",
        ),
        (
            (
                "DELETE",
                "/api/v1/namespaces",
                "deletecollection",
                "",
                "v1",
                "",
                "namespaces",
                "",
            ),
            "",
        ),
        (
            (
                "DELETE",
                "/api/v1/namespaces/other/pods",
                "deletecollection",
                "",
                "v1",
                "other",
                "pods",
                "",
            ),
            "",
        ),
        (
            (
                "DELETE",
                "/apis/extensions/v1/namespaces/other/pods",
                "deletecollection",
                "extensions",
                "v1",
                "other",
                "pods",
                "",
            ),
            "",
        ),
        (
            (
                "POST",
                "/apis/extensions/v1/namespaces/other/pods",
                "create",
                "extensions",
                "v1",
                "other",
                "pods",
                "",
            ),
            "",
        ),
        (
            (
                "POST",
                "/apis/extensions/v1beta3/namespaces/other/pods",
                "create",
                "extensions",
                "v1beta3",
                "other",
                "pods",
                "",
            ),
            "",
        ),
    ];
    for ((method, uri, verb, group, version, namespace, kind, subresource), name) in rows {
        let got = resource(method, uri);
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        assert_eq!(
            (
                got.verb.as_str(),
                &*got.group,
                &*got.version,
                &*or_empty(&got.namespace),
                &*got.resource
            ),
            (*verb, *group, *version, *namespace, *kind),
            "{method} {uri}"
        );
        assert_eq!(
            (&*or_empty(&got.subresource), &*or_empty(&got.name)),
            (*subresource, *name),
            "{method} {uri}"
        );
    }
}

/// A watch by any method; with a name, of that one object.
#[test]
fn the_prefix_of_old_is_a_watch() {
    let rows = [
        ("GET", "/api/v1/watch/pods", "pods", None, None),
        (
            "POST",
            "/apis/g/v/watch/things?watch=0",
            "things",
            None,
            None,
        ),
        (
            "GET",
            "/apis/g/v/watch/namespaces/n/things/",
            "things",
            Some("n"),
            None,
        ),
        (
            "GET",
            "/apis/g/v/watch/namespaces/n/things/a:1",
            "things",
            Some("n"),
            Some("a:1"),
        ),
        (
            "GET",
            "/apis/g/v/watch/things?fieldSelector=metadata.name%3Da",
            "things",
            None,
            None,
        ),
        ("GET", "/apis/g/v/watch/watch", "watch", None, None),
    ];
    for (method, uri, kind, namespace, name) in rows {
        let got = resource(method, uri);
        assert_eq!(got.verb, Verb::Watch, "{uri}");
        assert_eq!(
            (
                &*got.resource,
                got.namespace.as_deref(),
                got.name.as_deref()
            ),
            (kind, namespace, name),
            "{method} {uri}"
        );
    }
}

#[test]
fn names_survive_escapes_and_colons() {
    let group = "/apis/tags.tagscope.dev/v1alpha1/namespaces/n";
    for path in [
        "imagetags/app:1.0",
        "imagetags/app%3A1.0",
        "imagetags/app:1.0/",
    ] {
        let got = resource("GET", &format!("{group}/{path}"));
        assert_eq!(
            (got.verb, got.name.as_deref()),
            (Verb::Get, Some("app:1.0")),
            "{path}"
        );
    }
    // An escaped slash is gone before anybody looks: it cuts, as in kube-apiserver.
    let got = resource("GET", &format!("{group}/imagetags/a%2Fb"));
    assert_eq!(
        (got.name.as_deref(), got.subresource.as_deref()),
        (Some("a"), Some("b"))
    );
}

#[test]
fn everything_else_is_a_path() {
    let rows = [
        ("GET", "/", "get"),
        ("GET", "/api", "get"),
        ("GET", "/api/v1", "get"),
        ("GET", "/api/v1/", "get"),
        ("GET", "/apis", "get"),
        ("GET", "/apis/tags.tagscope.dev", "get"),
        ("GET", "/apis/tags.tagscope.dev/v1alpha1", "get"),
        ("POST", "/apis/tags.tagscope.dev/v1alpha1/", "post"),
        ("HEAD", "/healthz", "head"),
        ("GET", "/openapi/v3/apis/tags.tagscope.dev/v1alpha1", "get"),
        ("GET", "/apisx/g/v/r", "get"),
        // Forms that nothing serves.
        ("GET", "/apis/g/v/watch", "get"),
        ("GET", "/api/v1/proxy/namespaces/other/pods/foo", "get"),
        ("OPTIONS", "/apis/g/v", "options"),
    ];
    for (method, uri, verb) in rows {
        let expected = RequestInfo::NonResource {
            verb: verb.into(),
            path: uri.into(),
        };
        assert_eq!(parse(method, uri), expected, "{method} {uri}");
    }
}

#[test]
fn a_selector_that_requires_one_name_names_it() {
    let rows = [
        (
            "fieldSelector=metadata.name=name1",
            Verb::List,
            Some("name1"),
        ),
        (
            "watch=true&fieldSelector=metadata.name=name1",
            Verb::Watch,
            Some("name1"),
        ),
        (
            "fieldSelector=metadata.name%3D%3Dapp:1",
            Verb::List,
            Some("app:1"),
        ),
        (
            "fieldSelector=a%3Db,metadata.name%3Dx",
            Verb::List,
            Some("x"),
        ),
        (
            "fieldSelector=metadata.name%3Da%5C,b",
            Verb::List,
            Some("a,b"),
        ),
        ("fieldSelector=metadata.name!=x", Verb::List, None),
        ("fieldSelector=metadata.name=name1,foo", Verb::List, None),
        (
            "fieldSelector=metadata.name=name1,foo&watch=true",
            Verb::Watch,
            None,
        ),
        ("fieldSelector=metadata.name=", Verb::List, None),
        ("fieldSelector=metadata.name%3Da%2Fb", Verb::List, None),
        ("fieldSelector=metadata.name%3D..", Verb::List, None),
        (
            "fieldSelector=foo=bar&labelSelector=baz=qux",
            Verb::List,
            None,
        ),
        (
            "fieldSelector=metadata.name=foo&fieldSelector=metadata.name=bar",
            Verb::List,
            Some("foo"),
        ),
        ("fieldSelector=metadata.name%3Da%3Db", Verb::List, None),
        // What kube-apiserver cannot read as a whole names nothing.
        ("fieldSelector=metadata.name=x&limit=abc", Verb::List, None),
        (
            "fieldSelector=metadata.name=x&labelSelector=a+in&watch=1",
            Verb::Watch,
            None,
        ),
        (
            "fieldSelector=metadata.name=x&limit=&timeoutSeconds=5&labelSelector=a",
            Verb::List,
            Some("x"),
        ),
    ];
    for (query, verb, name) in rows {
        let got = resource("GET", &format!("/apis/group/version/resource?{query}"));
        assert_eq!((got.verb, got.name.as_deref()), (verb, name), "{query}");
    }
    let named = resource(
        "GET",
        "/apis/group/version/resource/name?watch=true&fieldSelector=metadata.name=x",
    );
    assert_eq!(
        (named.verb, named.name.as_deref()),
        (Verb::Get, Some("name")),
        "the path's name wins"
    );
    let created = resource(
        "POST",
        "/apis/group/version/resource?fieldSelector=metadata.name=x",
    );
    assert_eq!(created.name, None);
}

#[test]
fn a_query_boolean_is_true_unless_it_says_false() {
    for (query, verb) in [
        ("watch", Verb::Watch),
        ("watch=", Verb::Watch),
        ("watch=TRUE", Verb::Watch),
        ("watch=banana", Verb::Watch),
        ("watch=False", Verb::List),
        ("watch=0&watch=1", Verb::List),
        ("Watch=1", Verb::List),
        ("%77atch=1", Verb::Watch),
        ("limit=%zz", Verb::List),
    ] {
        assert_eq!(
            resource("GET", &format!("/apis/g/v/r?{query}")).verb,
            verb,
            "{query}"
        );
    }
}

#[test]
fn a_method_that_means_nothing_has_no_verb() {
    for method in ["OPTIONS", "TRACE", "BREW"] {
        for (uri, name) in [
            ("/apis/g/v/things", None),
            ("/apis/g/v/things?watch=1", None),
            ("/apis/g/v/namespaces/n/things/one", Some("one")),
        ] {
            let request = resource(method, uri);
            assert_eq!(request.verb, Verb::Unknown, "{method} {uri}");
            assert_eq!(request.verb.as_str(), "", "{method} {uri}");
            assert_eq!(request.name.as_deref(), name, "{method} {uri}");
        }
    }
}

proptest! {
    #[test]
    fn any_request_is_something(path in "/[a-z%/.:?&=,!\\\\0-9]{0,60}", method in "(GET|POST|DELETE|TRACE)") {
        let Ok(uri) = path.parse::<http::Uri>() else { return Ok(()) };
        let info = RequestInfo::parse(&method.parse().unwrap(), &uri);
        prop_assert!(!info.decoded_path().is_empty());
        if let RequestInfo::Resource(request) = info {
            prop_assert!(uri.path().starts_with("/api") || uri.path().contains('%') || uri.path().starts_with("//"));
            prop_assert!(!request.name.as_deref().is_some_and(|name| name.is_empty() || name.contains('/')));
        }
    }

    #[test]
    fn a_path_built_from_parts_gives_the_parts_back(
        namespace in "[a-z][a-z0-9-]{0,20}",
        resource_name in "[b-m][a-z]{0,10}",
        name in "[a-zA-Z0-9._:-]{1,30}",
    ) {
        prop_assume!(!matches!(resource_name.as_str(), "status" | "finalize"));
        let got = resource("GET", &format!("/apis/g/v/namespaces/{namespace}/{resource_name}/{name}"));
        prop_assert_eq!(got.namespace, Some(namespace));
        prop_assert_eq!(got.resource, resource_name);
        prop_assert_eq!(got.name, Some(name));
    }
}
