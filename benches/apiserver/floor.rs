//! What a GET costs at least: hyper and rustls as they come, with an answer of an ImageTag's length that is always the same.
//! Nobody is identified, nothing is looked up, no limit is kept. A process of its own, so that its time can be told apart.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::client::Server;
use crate::cost::Process;

/// Set in the process that serves.
const MARK: &str = "TAGSCOPE_BENCH_FLOOR";

/// The length of an ImageTag, with its headers about the same.
static ANSWER: [u8; 448] = [b'x'; 448];

/// Whether this process is the one that serves.
pub(crate) fn is_it() -> bool {
    std::env::var_os(MARK).is_some()
}

/// The other process.
pub(crate) struct Floor {
    child: Child,
    port: u16,
}

impl Floor {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(MARK, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, port }
    }

    pub(crate) fn process(&self) -> Process {
        Process::of(self.child.id())
    }

    pub(crate) fn beside(&self, other: &Server) -> Server {
        other.at_port(self.port)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Serves until it is killed, and says first on which port.
pub(crate) async fn serve() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let answer = service_fn(|_: Request<Incoming>| async {
                let body = Full::new(Bytes::from_static(&ANSWER));
                let answer = Response::builder()
                    .header("content-type", "application/json")
                    .header("cache-control", "no-cache, private");
                Ok::<_, Infallible>(answer.body(body).unwrap())
            });
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}
