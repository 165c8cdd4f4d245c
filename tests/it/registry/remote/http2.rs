//! A registry over HTTP/2 whose first connection goes wrong in a way of its own, frame by frame; the others are sound.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tagscope::registry::remote::{Intent, Remote};
use tagscope::registry::{Access, TlsMaterial};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connections::{Odd, stay};
use super::{manifest, quick};

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_HEADERS: u8 = 4;
/// `:status: 200`, from the table of headers that both sides know.
const OK: [u8; 1] = [0x88];

/// What becomes of the first connection's first stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// GOAWAY, with this code: nothing was done.
    GoAway(u32),
    /// RST_STREAM, with this code.
    Reset(u32),
    /// Part of the answer, then GOAWAY and the end.
    GoAwayInBody,
    /// Part of the answer, then RST_STREAM.
    ResetInBody,
    /// Nothing is said of what was read: the client may send no more.
    NoWindow,
}

pub(super) struct Server {
    odd: Odd,
    authority: String,
}

impl Server {
    pub(super) fn remote(&self, intent: Intent) -> Remote {
        let tls = TlsMaterial::from_pem(Some(self.authority.as_bytes()), None).unwrap();
        let access = Access {
            tls: Some(Arc::new(tls)),
            ..Access::default()
        };
        self.odd.remote(quick(), access, intent)
    }

    /// How many connections there were.
    pub(super) fn seen(&self) -> usize {
        self.odd.connections.load(Ordering::SeqCst)
    }
}

pub(super) async fn server(trouble: Trouble) -> Server {
    let (authority, acceptor) = authority();
    let odd = Odd::start(move |stream, number| {
        let acceptor = acceptor.clone();
        async move {
            let stream = acceptor.accept(stream).await?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            if number == 1 {
                misbehave(stream, trouble).await
            } else {
                be_well(stream).await
            }
        }
    })
    .await;
    Server { odd, authority }
}

fn authority() -> (String, TlsAcceptor) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (pem, TlsAcceptor::from(Arc::new(config)))
}

async fn be_well(stream: TlsStream<TcpStream>) -> io::Result<()> {
    let service = service_fn(|request: hyper::Request<Incoming>| async move {
        let one = manifest(1);
        let is_write = request.method() == Method::PUT;
        let body = request.into_body().collect().await?.to_bytes();
        let answer = if is_write {
            let digest = tagscope::image::Digest::of(&body);
            Response::builder()
                .status(StatusCode::CREATED)
                .header("docker-content-digest", digest.as_str())
                .body(Full::new(Bytes::new()))
        } else {
            Response::builder()
                .header("docker-content-digest", one.digest.as_str())
                .header("content-type", &one.media_type)
                .body(Full::new(one.bytes))
        };
        Ok::<_, hyper::Error>(answer.unwrap())
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

async fn misbehave(mut stream: TlsStream<TcpStream>, trouble: Trouble) -> io::Result<()> {
    stream.read_exact(&mut [0; PREFACE]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let id = until(&mut stream, HEADERS).await?;
    let part = [
        frame(HEADERS, END_HEADERS, id, &OK),
        frame(DATA, 0, id, b"{\"schemaVersion\":2,"),
    ]
    .concat();
    let reset = |code: u32| frame(RST_STREAM, 0, id, &code.to_be_bytes());
    let goaway = |last: u32, code: u32| {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        frame(GOAWAY, 0, 0, &payload)
    };
    let said = match trouble {
        Trouble::GoAway(code) => goaway(0, code),
        Trouble::Reset(code) => [reset(code), goaway(id, 0)].concat(),
        Trouble::GoAwayInBody => [part, goaway(id, 2)].concat(),
        Trouble::ResetInBody => [part, reset(2), goaway(id, 0)].concat(),
        Trouble::NoWindow => {
            until(&mut stream, RST_STREAM).await?;
            goaway(id, 0)
        }
    };
    stream.write_all(&said).await?;
    stream.flush().await?;
    stay(stream).await
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Reads frames until one is of `kind`; its stream.
async fn until(stream: &mut TlsStream<TcpStream>, kind: u8) -> io::Result<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await?;
        if head[3] == kind {
            return Ok(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        }
    }
}
