//! HTTP/2 by hand: frames that no decent client sends, over TLS, and what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::serve_kit::{Ca, Client, SOON};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// `GET https://a/`, or POST, as HPACK writes it.
pub(super) const GET: &[u8] = &[0x82, 0x84, 0x87, 0x41, 1, b'a'];
pub(super) const POST: &[u8] = &[0x83, 0x84, 0x87, 0x41, 1, b'a'];

/// How long nothing is written before it counts as refused.
const STUCK: Duration = Duration::from_secs(2);

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a GOAWAY or RST_STREAM.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The last request that a GOAWAY names.
    pub(super) fn last_stream(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

/// A client that writes what it likes.
pub(super) struct Attacker {
    read: ReadHalf<TlsStream<TcpStream>>,
    write: WriteHalf<TlsStream<TcpStream>>,
}

impl Attacker {
    /// Connected, with the opening line and empty settings sent.
    pub(super) async fn connect(ca: &Ca, address: SocketAddr) -> Self {
        let stream = Client::new(ca, &["h2"]).tls(address).await.unwrap();
        let (read, write) = tokio::io::split(stream);
        let mut this = Self { read, write };
        let preface = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
            &frame(SETTINGS, 0, 0, &[]),
        ];
        this.send(&preface.concat()).await;
        this
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.unwrap();
        self.write.flush().await.unwrap();
    }

    /// Writes `piece` over and over while nothing is read: how many bytes went out until the server closed the connection
    /// or took no more, at most `most`.
    pub(super) async fn flood_blindly(&mut self, piece: &[u8], most: usize) -> usize {
        let mut written = 0;
        while written < most {
            let write = tokio::time::timeout(STUCK, self.write.write(piece));
            match write.await {
                Ok(Ok(bytes)) if bytes > 0 => written += bytes,
                Ok(_) | Err(_) => break,
            }
        }
        written
    }

    /// Writes everything while what comes back is read and thrown away. Says what the last GOAWAY said, if there was one.
    pub(super) async fn flood(self, bytes: Vec<u8>) -> Option<u32> {
        let Self {
            mut read,
            mut write,
        } = self;
        let writes = async {
            // Refused somewhere in the middle, perhaps.
            drop(write.write_all(&bytes).await);
            drop(write.shutdown().await);
        };
        let reads = async {
            let mut goodbye = None;
            while let Some(frame) = next(&mut read).await {
                if frame.kind == GOAWAY {
                    goodbye = Some(frame.code());
                }
            }
            goodbye
        };
        let both = async { tokio::join!(writes, reads).1 };
        let flooded = tokio::time::timeout(2 * SOON, both).await;
        flooded.expect("the flood comes to an end")
    }

    /// The next frame that `wanted` is true for; `None` at the end of the connection.
    pub(super) async fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let found = async {
            loop {
                let frame = next(&mut self.read).await?;
                if wanted(&frame) {
                    return Some(frame);
                }
            }
        };
        let found = tokio::time::timeout(SOON, found).await;
        found.expect("a frame or the end")
    }
}

/// The next frame; `None` at the end.
async fn next(read: &mut ReadHalf<TlsStream<TcpStream>>) -> Option<Frame> {
    let mut head = [0; 9];
    read.read_exact(&mut head).await.ok()?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let mut payload = vec![0; length];
    read.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind: head[3],
        stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
        payload,
    })
}
