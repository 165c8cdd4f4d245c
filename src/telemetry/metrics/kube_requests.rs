//! Requests to kube-apiserver, under client-go's name, so that dashboards read them.

use std::sync::{Arc, OnceLock};

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::cluster::connect::Observer;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    code: String,
    method: &'static str,
    host: Arc<str>,
}

/// Counts them. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct KubeRequests {
    counts: Family<Labels, Counter>,
    host: Arc<OnceLock<Arc<str>>>,
}

impl KubeRequests {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "rest_client_requests",
            "Number of HTTP requests to kube-apiserver, by status code, method and host",
            self.counts.clone(),
        );
    }

    /// Says which server is asked, once.
    pub fn are_to(&self, server: &str) {
        let url = server.parse::<http::Uri>().ok();
        let host = url.as_ref().and_then(http::Uri::authority);
        let host = host.map_or("", http::uri::Authority::as_str);
        // Set before: then it is known already.
        drop(self.host.set(host.into()));
    }

    /// What is told of every answer.
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(self.clone())
    }
}

impl Observer for KubeRequests {
    fn answered(&self, method: &Method, code: Option<u16>) {
        let labels = Labels {
            code: code.map_or_else(|| "<error>".to_owned(), |code| code.to_string()),
            method: verb(method),
            host: self.host.get().cloned().unwrap_or_default(),
        };
        self.counts.get_or_create(&labels).inc();
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn answers_are_counted_in_client_gos_words() {
        let requests = KubeRequests::default();
        let mut registry = Registry::default();
        requests.register(&mut registry);
        requests.are_to("https://10.0.0.1:443/");
        requests.answered(&Method::PATCH, Some(200));
        requests.answered(&Method::GET, None);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            r#"rest_client_requests_total{code="200",method="PATCH",host="10.0.0.1:443"} 1"#,
            r#"rest_client_requests_total{code="<error>",method="GET",host="10.0.0.1:443"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
