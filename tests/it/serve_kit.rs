//! Both ends of a connection for tests: authorities, a running server, and clients that show what a test wants shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer,
};
use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use tagscope::serve::{
    Certificates, Drained, Handler, KeyPair, Limits, Listener, Server, Stats, Tls,
};
use tagscope::task;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must happen before it fails.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Waits until `condition` holds; panics when it does not come true.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not come true");
}

/// Runs `future` beside the test, which waits for its outcome later.
pub(crate) fn beside<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, outcome) = oneshot::channel();
    task::detach("beside", async move {
        sender.send(future.await).ok();
    });
    outcome
}

/// A certificate authority.
pub(crate) struct Ca {
    params: CertificateParams,
    pub(crate) key: rcgen::KeyPair,
    certificate: rcgen::Certificate,
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            params,
            key,
            certificate,
        }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A client certificate for `name` in `groups`, valid until `end`.
    pub(crate) fn client(&self, name: &str, groups: &[&str], end: Timestamp) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = SystemTime::from(end).into();
        self.sign(&params)
    }

    /// A server certificate for `localhost`.
    pub(crate) fn server(&self) -> Identity {
        self.sign(&CertificateParams::new(["localhost".to_owned()]).unwrap())
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> Identity {
        let key = rcgen::KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let chain = vec![params.signed_by(&key, &issuer).unwrap().der().clone()];
        Identity {
            chain,
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        }
    }
}

/// Far enough away.
pub(crate) fn distant() -> Timestamp {
    "2060-01-01T00:00:00Z".parse().unwrap()
}

/// A server that runs until it is stopped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) stats: Arc<Stats>,
    pub(crate) certificates: Certificates,
    ended: oneshot::Receiver<Drained>,
}

impl Running {
    /// Asks it to stop and waits for the end.
    pub(crate) async fn stop(self) -> Drained {
        self.stop.cancel();
        self.ended().await
    }

    pub(crate) async fn ended(self) -> Drained {
        tokio::time::timeout(SOON, self.ended)
            .await
            .expect("the server ends")
            .expect("the server returns")
    }
}

/// Serves HTTPS with a certificate of `ca`. `patience` is for the drain.
pub(crate) async fn https(
    ca: &Ca,
    limits: Limits,
    patience: Duration,
    handler: impl Handler,
) -> Running {
    let certificates = Certificates::empty();
    let identity = ca.server();
    certificates.replace(KeyPair::from_der(identity.chain, &identity.key).unwrap());
    let tls = Tls::new(certificates.clone()).unwrap();
    run(
        Server::new(bind().await, handler)
            .with_tls(tls)
            .with_limits(limits),
        certificates,
        patience,
    )
}

/// Serves plain HTTP.
pub(crate) async fn http(limits: Limits, patience: Duration, handler: impl Handler) -> Running {
    run(
        Server::new(bind().await, handler).with_limits(limits),
        Certificates::empty(),
        patience,
    )
}

async fn bind() -> Listener {
    Listener::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
}

pub(crate) fn run<H: Handler>(
    server: Server<H>,
    certificates: Certificates,
    patience: Duration,
) -> Running {
    let (address, stats, stop) = (server.address(), server.stats(), CancellationToken::new());
    let (sender, ended) = oneshot::channel();
    let stopped = stop.clone();
    task::detach("server", async move {
        sender.send(server.run(stopped, patience).await).ok();
    });
    Running {
        address,
        stop,
        stats,
        certificates,
        ended,
    }
}

/// How a client connects.
#[derive(Clone)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// Believes `ca`, shows nothing, offers `alpn`.
    pub(crate) fn new(ca: &Ca, alpn: &[&str]) -> Self {
        Self::with(ca, alpn, None, rustls::ALL_VERSIONS)
    }

    /// Shows `identity`.
    pub(crate) fn showing(ca: &Ca, alpn: &[&str], identity: &Identity) -> Self {
        Self::showing_by(ca, alpn, identity, rustls::ALL_VERSIONS)
    }

    /// Shows `identity`, in these versions of TLS.
    pub(crate) fn showing_by(
        ca: &Ca,
        alpn: &[&str],
        identity: &Identity,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&identity.key).unwrap();
        Self::with(
            ca,
            alpn,
            Some(CertifiedKey::new(identity.chain.clone(), key)),
            versions,
        )
    }

    /// As `other`, but offers `alpn`.
    pub(crate) fn showing_over(other: &Self, alpn: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&other.config);
        config.alpn_protocols = alpn
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        Self::of(config)
    }

    /// With whatever settings.
    pub(crate) fn of(config: ClientConfig) -> Self {
        Self {
            config: Arc::new(config),
            name: ServerName::try_from("localhost").unwrap(),
        }
    }

    /// The same, but asks for the server of another name.
    pub(crate) fn named(&self, name: &'static str) -> Self {
        Self {
            config: Arc::clone(&self.config),
            name: ServerName::try_from(name).unwrap(),
        }
    }

    fn with(
        ca: &Ca,
        alpn: &[&str],
        shown: Option<CertifiedKey>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            // Not checked to be a pair: some tests lie.
            Some(shown) => builder.with_client_cert_resolver(Arc::new(Shows(Arc::new(shown)))),
        };
        config.alpn_protocols = alpn
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        Self::of(config)
    }

    pub(crate) async fn tls(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::clone(&self.config))
            .connect(self.name.clone(), stream)
            .await
    }

    pub(crate) async fn http1(&self, address: SocketAddr) -> Http1 {
        Http1::over(self.tls(address).await.unwrap()).await
    }

    pub(crate) async fn http2(&self, address: SocketAddr) -> Http2 {
        let io = TokioIo::new(self.tls(address).await.unwrap());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_header_list_size(4 << 20);
        let (sender, connection) = builder.handshake(io).await.unwrap();
        let (closed, when_closed) = oneshot::channel();
        task::detach("client", async move {
            connection.await.ok();
            closed.send(()).ok();
        });
        Http2 {
            sender,
            closed: Some(when_closed),
        }
    }
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub(crate) struct Http1 {
    pub(crate) sender: http1::SendRequest<Empty<Bytes>>,
}

impl Http1 {
    pub(crate) async fn over(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        task::detach("client", async move { drop(connection.await) });
        Self { sender }
    }

    pub(crate) async fn plain(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn send(&mut self, request: Request<Empty<Bytes>>) -> Answer {
        Answer::of(self.sender.send_request(request).await.unwrap()).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = Request::get(path)
            .header("host", "localhost")
            .body(Empty::new())
            .unwrap();
        self.send(request).await
    }
}

pub(crate) struct Http2 {
    pub(crate) sender: http2::SendRequest<Empty<Bytes>>,
    closed: Option<oneshot::Receiver<()>>,
}

impl Http2 {
    pub(crate) async fn send(&mut self, mut request: Request<Empty<Bytes>>) -> Answer {
        let uri = format!("https://10.0.0.1:443{}", request.uri());
        *request.uri_mut() = uri.parse().unwrap();
        Answer::of(self.sender.send_request(request).await.unwrap()).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(get(path, &[])).await
    }

    /// Waits until the server has closed this connection.
    pub(crate) async fn closed(&mut self) {
        let closed = self.closed.take().unwrap();
        tokio::time::timeout(SOON, closed)
            .await
            .expect("the connection closes")
            .ok();
    }
}

/// A GET of `path` with header lines.
pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}
