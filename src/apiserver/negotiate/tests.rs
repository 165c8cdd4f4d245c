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

const NOTHING_FITS: &str = "only the following media types are accepted: application/json";

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
        ("application/json;q=0", Shape::List, NOTHING_FITS),
        ("text/html", Shape::One, NOTHING_FITS),
        ("nonsense", Shape::One, NOTHING_FITS),
        ("application/yaml", Shape::List, NOTHING_FITS),
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
            negotiate_discovery(&headers(&accept)).ok(),
            expected,
            "{accept}"
        );
    }
}

proptest! {
    #[test]
    fn no_header_breaks_the_parser(accept in "[ -~]{0,60}") {
        drop(negotiate(&headers(&accept), &Query::default(), Shape::List));
    }
}
