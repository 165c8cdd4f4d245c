//! The clients that must be satisfied, one row each.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn headers(accept: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !accept.is_empty() {
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
    }
    headers
}

fn form(accept: &str, shape: Shape) -> Result<Form, String> {
    negotiate(&headers(accept), &Query::default(), shape)
        .map(|negotiated| negotiated.form)
        .map_err(|status| status.message)
}

const NOTHING_FITS: &str =
    "only the following media types are accepted: application/json, application/yaml";

#[test]
fn every_known_client_gets_its_form() {
    use MetaVersion::{V1, V1Beta1};
    let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                   application/json";
    let metadata_list = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                         application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    let metadata_one = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
                        application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    let rows = [
        ("", Shape::List, Form::Objects),
        ("*/*", Shape::List, Form::Objects),
        ("application/*", Shape::List, Form::Objects),
        ("application/json", Shape::One, Form::Objects),
        (kubectl, Shape::List, Form::Table(V1)),
        (kubectl, Shape::Stream, Form::Table(V1)),
        (metadata_list, Shape::List, Form::Partial(V1)),
        (metadata_one, Shape::One, Form::Partial(V1)),
        (metadata_one, Shape::Stream, Form::Partial(V1)),
        (
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
            Shape::List,
            Form::Table(V1Beta1),
        ),
        (
            "application/json;q=0.9,application/cbor;q=1",
            Shape::List,
            Form::Objects,
        ),
        // The last choice, but one.
        ("application/json;q=0", Shape::List, Form::Objects),
        ("*/*;q=0", Shape::List, Form::Objects),
        (
            "application/vnd.kubernetes.protobuf,application/json",
            Shape::List,
            Form::Objects,
        ),
        (
            "application/json;as=Unknown;g=x;v=y,application/json",
            Shape::List,
            Form::Objects,
        ),
        (
            "application/json;charset=utf-8;fun=yes",
            Shape::List,
            Form::Objects,
        ),
        (
            "application/json;q=0.1, application/json;as=Table;v=v1;g=meta.k8s.io",
            Shape::List,
            Form::Table(V1),
        ),
        (
            "*/*, application/json;as=Table;v=v1;g=meta.k8s.io",
            Shape::List,
            Form::Table(V1),
        ),
        (
            "application/json;stream=watch",
            Shape::Stream,
            Form::Objects,
        ),
    ];
    for (accept, shape, expected) in rows {
        assert_eq!(form(accept, shape), Ok(expected), "{accept} {shape:?}");
    }
}

#[test]
fn what_cannot_be_served_is_not_acceptable() {
    let rows = [
        (
            "application/vnd.kubernetes.protobuf",
            Shape::List,
            NOTHING_FITS,
        ),
        (
            "application/json;as=Unknown;g=x;v=y",
            Shape::List,
            NOTHING_FITS,
        ),
        ("text/html", Shape::One, NOTHING_FITS),
        ("nonsense", Shape::One, NOTHING_FITS),
        ("application/cbor", Shape::List, NOTHING_FITS),
        (
            "application/cbor-seq",
            Shape::Stream,
            "only the following media types are accepted: application/json;stream=watch",
        ),
        (
            "application/yaml",
            Shape::Stream,
            "only the following media types are accepted: application/json;stream=watch",
        ),
        (
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            Shape::List,
            "you requested PartialObjectMetadata, but the requested object is a list",
        ),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Shape::One,
            "you requested PartialObjectMetadataList, but the requested object is not a list",
        ),
    ];
    for (accept, shape, message) in rows {
        assert_eq!(
            form(accept, shape),
            Err(message.to_owned()),
            "{accept} {shape:?}"
        );
    }
}

#[test]
fn people_get_indented_answers_unless_they_say_otherwise() {
    let rows = [
        ("kubectl/v1.36", "", false),
        ("curl/8.5", "", true),
        ("Mozilla/5.0 (X11)", "", true),
        ("curl/8.5", "pretty=false", false),
        ("kubectl/v1.36", "pretty=true", true),
        ("kubectl/v1.36", "pretty=1", true),
        ("kubectl/v1.36", "pretty=", false),
        ("curl/8.5", "pretty=", true),
    ];
    for (agent, query, expected) in rows {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_str(agent).unwrap());
        let negotiated = negotiate(&headers, &Query::parse(Some(query)), Shape::One).unwrap();
        assert_eq!(negotiated.pretty, expected, "{agent} {query}");
    }
}

#[test]
fn discovery_knows_one_aggregated_form() {
    let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let dead = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    let rows = [
        (String::new(), Some(Discovery::Legacy)),
        ("application/json".to_owned(), Some(Discovery::Legacy)),
        (v2.to_owned(), Some(Discovery::AggregatedV2)),
        (
            "application/json;as=APIGroupDiscoveryList;profile=nopeer;v=v2;g=apidiscovery.k8s.io"
                .to_owned(),
            Some(Discovery::AggregatedV2),
        ),
        (
            format!("{v2},{dead},application/json"),
            Some(Discovery::AggregatedV2),
        ),
        (format!("{dead},application/json"), Some(Discovery::Legacy)),
        (
            format!("{v2};q=0.5,application/json"),
            Some(Discovery::Legacy),
        ),
        (dead.to_owned(), None),
    ];
    for (accept, expected) in rows {
        assert_eq!(
            negotiate_discovery(&headers(&accept), &Query::default(), true)
                .ok()
                .map(|(form, _)| form),
            expected,
            "{accept}"
        );
    }
}

#[test]
fn yaml_is_another_way_to_write_the_same_forms() {
    use Encoding::{Json, Yaml};
    use MetaVersion::V1;
    let table = "application/yaml;as=Table;v=v1;g=meta.k8s.io";
    let rows = [
        ("application/yaml", Shape::One, Form::Objects, Yaml),
        ("application/yaml", Shape::List, Form::Objects, Yaml),
        (table, Shape::List, Form::Table(V1), Yaml),
        (
            "application/yaml;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            Shape::List,
            Form::Partial(V1),
            Yaml,
        ),
        (
            "application/yaml,application/json",
            Shape::List,
            Form::Objects,
            Yaml,
        ),
        (
            "application/yaml;q=0.9,application/json",
            Shape::List,
            Form::Objects,
            Json,
        ),
        (
            "application/yaml,application/json",
            Shape::Stream,
            Form::Objects,
            Json,
        ),
        ("application/*", Shape::List, Form::Objects, Json),
        (
            "*/*;q=0.5,application/yaml",
            Shape::List,
            Form::Objects,
            Yaml,
        ),
    ];
    for (accept, shape, form, encoding) in rows {
        let expected = Negotiated {
            form,
            encoding,
            pretty: false,
        };
        let query = Query::default();
        assert_eq!(
            negotiate(&headers(accept), &query, shape),
            Ok(expected),
            "{accept} {shape:?}"
        );
    }
    let query = Query::parse(Some("pretty=true"));
    let yaml = negotiate(&headers("application/yaml"), &query, Shape::One).unwrap();
    assert!(!yaml.pretty, "YAML is for people anyway");
}

#[test]
fn a_refusal_is_told_as_it_can_be_and_never_refused() {
    let yaml = Negotiated {
        encoding: Encoding::Yaml,
        ..Negotiated::default()
    };
    let pretty = Negotiated {
        pretty: true,
        ..Negotiated::default()
    };
    let rows = [
        ("", None, Negotiated::default()),
        ("application/yaml", None, yaml),
        ("application/yaml", Some("pretty=1"), yaml),
        ("application/json", Some("pretty=1"), pretty),
        // A Status is no Table.
        (
            "application/yaml;as=Table;v=v1;g=meta.k8s.io,*/*",
            None,
            Negotiated::default(),
        ),
        (
            "application/vnd.kubernetes.protobuf",
            None,
            Negotiated::default(),
        ),
        (
            "application/vnd.kubernetes.protobuf,application/yaml",
            None,
            yaml,
        ),
        ("text/html", Some("pretty=true"), pretty),
    ];
    for (accept, query, expected) in rows {
        assert_eq!(
            Negotiated::of_status(&headers(accept), query),
            expected,
            "{accept} {query:?}"
        );
    }
}

#[test]
fn only_the_root_of_discovery_is_aggregated_and_all_of_it_comes_as_yaml() {
    let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let yaml = v2.replace("json", "yaml");
    let ask = |accept: &str, has_aggregated| {
        negotiate_discovery(&headers(accept), &Query::default(), has_aggregated)
            .ok()
            .map(|(form, negotiated)| (form, negotiated.encoding))
    };
    assert_eq!(ask(v2, false), None);
    assert_eq!(
        ask(&yaml, true),
        Some((Discovery::AggregatedV2, Encoding::Yaml))
    );
    assert_eq!(
        ask("application/yaml", false),
        Some((Discovery::Legacy, Encoding::Yaml))
    );
    assert_eq!(
        ask("application/cbor,*/*", true),
        Some((Discovery::Legacy, Encoding::Json))
    );
}

proptest! {
    #[test]
    fn no_header_breaks_the_parser(accept in "[ -~]{0,60}") {
        drop(negotiate(&headers(&accept), &Query::default(), Shape::List));
        Negotiated::of_status(&headers(&accept), None);
    }
}
