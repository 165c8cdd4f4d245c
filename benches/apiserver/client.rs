//! A client that reads answers without looking into them: over TLS, HTTP/1.1 unless said otherwise, as the front proxy
//! (so that both servers know the user without asking, and ask for the rights once).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::e2e::harness::ControlPlane;

/// Who asks; see [`crate::fill::RIGHTS`].
const USER: &str = "bench";

/// A server, and how to connect to it.
#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    tls: TlsConnector,
}

/// One connection.
pub(crate) enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// How an answer came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    pub(crate) bytes: usize,
    /// Until the first byte of the body.
    pub(crate) first: Duration,
    pub(crate) whole: Duration,
    pub(crate) encoding: String,
}

impl Server {
    /// kube-apiserver itself.
    pub(crate) fn of_cluster(cluster: &ControlPlane) -> Self {
        let kubeconfig = std::fs::read_to_string(&cluster.kubeconfig).unwrap();
        let (_, rest) = kubeconfig.split_once("https://").unwrap();
        let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')));
        let address = rest[..end.unwrap_or(rest.len())].parse().unwrap();
        let pki = cluster.kubeconfig.with_file_name("pki");
        let chain = CertificateDer::pem_file_iter(pki.join("front-proxy.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(pki.join("front-proxy.key")).unwrap();
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            address,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Another server of the same machine.
    pub(crate) fn at_port(&self, port: u16) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            tls: self.tls.clone(),
        }
    }

    pub(crate) async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::from(self.address.ip());
        let stream = self.tls.connect(name, stream).await.unwrap();
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(async move { drop(connection.await) });
            return Connection::Http2(sender);
        }
        let (sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Connection::Http1(sender)
    }

    /// The same server, spoken to by HTTP/2.
    pub(crate) fn over_http2(&self) -> Self {
        let mut config = ClientConfig::clone(self.tls.config());
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            address: self.address,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }
}

impl Connection {
    async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .header("x-remote-user", USER)
            .header("x-remote-group", "benchmarks");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::from(body);
        match self {
            Self::Http1(sender) => {
                sender.ready().await.unwrap();
                let request = request.uri(path).header("host", "localhost").body(body);
                sender.send_request(request.unwrap()).await.unwrap()
            }
            Self::Http2(sender) => {
                sender.ready().await.unwrap();
                let uri = format!("https://localhost{path}");
                let request = request.uri(uri).body(body);
                sender.send_request(request.unwrap()).await.unwrap()
            }
        }
    }

    /// Asks and takes the answer, which must be good.
    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Taken {
        let start = Instant::now();
        let answer = self.send("GET", path, headers, String::new()).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let encoding = answer.headers().get("content-encoding");
        let mut taken = Taken {
            encoding: encoding
                .map_or("identity", |value| value.to_str().unwrap())
                .to_owned(),
            ..Taken::default()
        };
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.unwrap().into_data() {
                if taken.bytes == 0 {
                    taken.first = start.elapsed();
                }
                taken.bytes += data.len();
            }
        }
        taken.whole = start.elapsed();
        taken
    }

    /// Asks and reads the answer, which must be good.
    pub(crate) async fn text(&mut self, path: &str) -> String {
        let answer = self.send("GET", path, &[], String::new()).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    pub(crate) async fn post(&mut self, path: &str, body: String) {
        let kind = [("content-type", "application/json")];
        let answer = self.send("POST", path, &kind, body).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(
            status.is_success(),
            "{path}: {}",
            String::from_utf8_lossy(&body)
        );
    }
}

/// Takes anybody for the server: it is one of this machine.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
