//! The transport of the aggregated API: its connections, and the certificate that it shows.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::serve::{Certificates, Stats};

/// What is looked at. Clones look at the same.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// What the server counts.
    pub stats: Arc<Stats>,
    /// The certificate that handshakes get.
    pub certificates: Certificates,
    /// How often a certificate could not be renewed or reloaded.
    pub certificate_failures: Arc<AtomicU64>,
}

/// Reads at each scrape.
#[derive(Debug)]
pub(super) struct Collector(pub(super) Serving);

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Serving {
            stats,
            certificates,
            certificate_failures,
        } = &self.0;
        let mut counter = |name, help, value| {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
        };
        counter(
            "apiserver_tls_handshake_errors",
            "TLS handshakes that failed or took too long",
            stats.failed_handshakes(),
        )?;
        counter(
            "tagscope_apiserver_connections_accepted",
            "Connections to the aggregated API that were accepted",
            stats.accepted_connections(),
        )?;
        counter(
            "tagscope_serving_certificate_failures",
            "Serving certificates that could not be renewed or reloaded; the last one stayed",
            certificate_failures.load(Ordering::Relaxed),
        )?;
        let open = ConstGauge::new(stats.open_connections());
        let help = "Connections to the aggregated API that are open";
        let name = "tagscope_apiserver_connections";
        open.encode(encoder.encode_descriptor(name, help, None, open.metric_type())?)?;
        // There is none before there is a certificate.
        let Some(end) = certificates.not_after() else {
            return Ok(());
        };
        let end = ConstGauge::new(end.as_second());
        end.encode(encoder.encode_descriptor(
            "tagscope_serving_certificate_not_after_timestamp",
            "When the serving certificate ends, since unix epoch",
            Some(&Unit::Seconds),
            end.metric_type(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::serve::KeyPair;

    #[test]
    fn the_certificate_is_told_once_there_is_one() {
        let serving = Serving::default();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collector(serving.clone())));
        let text = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let line = "tagscope_serving_certificate_not_after_timestamp_seconds ";
        assert!(text().contains("apiserver_tls_handshake_errors_total 0\n"));
        assert!(!text().contains(line));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["a".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        let pair = KeyPair::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let end = pair.not_after().as_second();
        serving.certificates.replace(pair);
        assert!(text().contains(&format!("{line}{end}\n")));
    }
}
