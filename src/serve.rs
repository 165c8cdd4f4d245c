//! Generic HTTP(S) serving: sockets, handshakes, limits, draining. It knows nothing of Kubernetes.
//!
//! ```text
//! Listener ──accept──► [TLS handshake] ──► HTTP/1.1 or HTTP/2 ──► Handler(Request, Peer) ──► Response<Body>
//!   bound early          with a deadline      limits on both          a panic answers 500
//! ```
//!
//! Nothing here decides who the client is: the handshake only proves that it owns the key of the certificate it
//! shows. What the certificate is worth is judged per request, by the handler. Health and metrics listeners use
//! the same code without TLS.

mod body;
mod certificates;
mod connection;
mod idle;
mod key;
mod limits;
mod listener;
mod peer;
pub mod reload;
mod server;
mod stall;
mod tls;

pub use body::{Body, BoxError, Elsewhere, Guard};
pub use certificates::{Certificates, KeyPair};
pub use key::{PublicKey, Signed};
pub use limits::Limits;
pub use listener::Listener;
pub use peer::{CertificateChain, Peer};
pub use server::{Drained, Handler, PanicAnswer, Server, Stats};
pub use tls::{MinVersion, Offer, Tls, cipher_suites};

use std::net::SocketAddr;

/// Why something could not be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another socket listens there.
    #[error("failed to listen on {address}: the port is already taken by another program")]
    PortTaken {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The operating system refuses that port to this user (below 1024, usually).
    #[error("failed to listen on {address}: this user may not use the port")]
    PortDenied {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The address is not one of this machine, or something rarer.
    #[error("failed to listen on {address}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The TLS library does not accept the settings.
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
    /// The certificate and key of the server do not serve.
    #[error("failed to use the serving certificate: {0}")]
    KeyPair(#[from] certificates::Error),
}
