//! The text of `/metrics`: OpenMetrics for those who ask for it, Prometheus' older format for everybody else.

use std::fmt::Write as _;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use super::Metrics;
use crate::apiserver::health::Exposition;
use crate::serve::Body;

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

impl Exposition for Metrics {
    fn metrics(&self, headers: &HeaderMap) -> Response<Body> {
        let text = match self.text() {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "Metrics not written"
                );
                let mut response = Response::new(Body::from("metrics could not be written\n"));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                return response;
            }
        };
        let (text, content_type) = if wants_openmetrics(headers) {
            (text, OPENMETRICS)
        } else {
            (prometheus(&text), PROMETHEUS)
        };
        let mut response = Response::new(Body::full(text));
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("application/openmetrics-text"))
}

/// The same series as Prometheus' text of version 0.0.4: the comments name counters as their series are named, and there
/// are neither units nor an end.
fn prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        let (word, name, rest) = (words.next(), words.next(), words.next().unwrap_or_default());
        match (word, name) {
            (Some("HELP"), Some(_)) => help = Some(rest),
            (Some("TYPE"), Some(name)) => {
                let suffix = if rest == "counter" { "_total" } else { "" };
                let kind = if rest == "unknown" { "untyped" } else { rest };
                // Writing to a String cannot fail.
                if let Some(help) = help.take() {
                    writeln!(text, "# HELP {name}{suffix} {help}").ok();
                }
                writeln!(text, "# TYPE {name}{suffix} {kind}").ok();
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_has_the_same_series_under_names_that_its_readers_expect() {
        let openmetrics = "# HELP api_request Requests # answered.\n# TYPE api_request counter\n\
            api_request_total{code=\"200\"} 1\n# HELP took_seconds Time.\n# TYPE took_seconds histogram\n\
            # UNIT took_seconds seconds\ntook_seconds_sum 0.5\n# TYPE attempts unknown\nattempts 3\n# EOF\n";
        let expected = "# HELP api_request_total Requests # answered.\n# TYPE api_request_total counter\n\
            api_request_total{code=\"200\"} 1\n# HELP took_seconds Time.\n# TYPE took_seconds histogram\n\
            took_seconds_sum 0.5\n# TYPE attempts untyped\nattempts 3\n";
        assert_eq!(prometheus(openmetrics), expected);
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let asks = |accept: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            wants_openmetrics(&headers)
        };
        assert!(!asks(None) && !asks(Some("*/*")) && !asks(Some("text/plain;version=0.0.4")));
        assert!(asks(Some(
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        )));
    }
}
