//! Who is at the other end of a connection, as far as the transport can tell.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The client of one connection. Says nothing about one request's user: behind a proxy these differ per request.
#[derive(Debug, Clone)]
pub struct Peer {
    address: SocketAddr,
    certificates: Option<Arc<CertificateChain>>,
    http2: bool,
    close: CancellationToken,
}

impl Peer {
    pub(super) fn new(
        address: SocketAddr,
        certificates: Option<Arc<CertificateChain>>,
        http2: bool,
        close: CancellationToken,
    ) -> Self {
        Self {
            address,
            certificates,
            http2,
            close,
        }
    }

    /// Where the connection comes from.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificates shown in the handshake. The client owns the key of the first; nothing else is verified.
    pub fn certificates(&self) -> Option<&Arc<CertificateChain>> {
        self.certificates.as_ref()
    }

    /// True when the connection speaks HTTP/2, so that requests share it.
    pub fn is_http2(&self) -> bool {
        self.http2
    }

    /// Lets the running requests of this connection finish and takes no new ones (GOAWAY, `Connection: close`).
    pub fn close_gracefully(&self) {
        self.close.cancel();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.close.is_cancelled()
    }
}

/// A client's certificate chain as it was sent, the leaf first; never empty.
#[derive(Debug, PartialEq, Eq)]
pub struct CertificateChain {
    certificates: Vec<CertificateDer<'static>>,
    fingerprint: [u8; 32],
    not_after: Option<Timestamp>,
}

impl CertificateChain {
    /// The chain of these certificates; `None` when there are none.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let leaf = certificates.first()?;
        let not_after = X509Certificate::from_der(leaf).ok().and_then(|(_, leaf)| {
            Timestamp::from_second(leaf.validity().not_after.timestamp()).ok()
        });
        let mut hash = Sha256::new();
        for certificate in &certificates {
            hash.update((certificate.len() as u64).to_be_bytes());
            hash.update(certificate);
        }
        Some(Self {
            certificates,
            fingerprint: hash.finalize().into(),
            not_after,
        })
    }

    /// When the client's own certificate ends, as it says itself; `None` when it is malformed.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// The client's own certificate.
    #[expect(
        clippy::indexing_slicing,
        reason = "a chain is never empty: `new` sees to it"
    )]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.certificates[0]
    }

    /// What the client sent besides, in its order: intermediates, perhaps a root.
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        self.certificates.get(1..).unwrap_or_default()
    }

    /// SHA-256 over the whole chain: two chains with one fingerprint are the same.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}
