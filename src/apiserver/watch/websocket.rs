//! Watches over a WebSocket, as consoles in browsers and some client libraries open them: the same events as over plain
//! HTTP, one text message each.
//!
//! The watch itself is the ordinary one; here is only what carries it. What the client sends is read, so that pings are
//! answered and a farewell is heard, and otherwise ignored. HTTP/1.1 only.

mod handshake;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt as _, SinkExt as _, Stream, StreamExt as _};
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL};
use http::header::{SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use self::handshake::Agreed;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::apiserver) use self::handshake::fuzz;
use super::Shared;
use crate::apiserver::kind::Kind;
use crate::apiserver::negotiate::Negotiated;
use crate::apiserver::request_info::{RequestInfo, Verb};
use crate::apiserver::response::{Payload, refuse};
use crate::serve::{Body, Elsewhere};
use crate::task;

/// Nothing that a client of a watch has to say is longer.
const INCOMING: usize = 64 << 10;
const READ_BUFFER: usize = 4 << 10;
const WRITE_BUFFER: usize = 16 << 10;
/// How long the connection may take to be handed over, and to say goodbye.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the client may take nothing, where nobody says otherwise.
const STALL: Duration = Duration::from_mins(1);

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;
type Events = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// A watch that is to go over a WebSocket.
#[derive(Debug)]
pub(in crate::apiserver) struct Upgrade {
    agreed: Agreed,
    connection: OnUpgrade,
    kind: Kind,
}

impl Upgrade {
    /// Of a request that asks for one; `None` for all others. A handshake that does not hold is refused by the answer.
    pub(in crate::apiserver) fn asked_by<B>(
        request: &mut Request<B>,
        info: &RequestInfo,
    ) -> Option<Result<Self, Response<Payload>>> {
        let RequestInfo::Resource(resource) = info else {
            return None;
        };
        let kind = Kind::of_resource(&resource.resource)?;
        if resource.verb != Verb::Watch || !handshake::is_asked_for(request.headers()) {
            return None;
        }
        let agreed = handshake::agree(request.method(), request.version(), request.headers());
        Some(match agreed {
            Ok(agreed) => Ok(Self {
                agreed,
                connection: hyper::upgrade::on(request),
                kind,
            }),
            Err(status) => {
                let negotiated = Negotiated::of_status(request.headers(), request.uri().query());
                let mut answer = refuse(&status, negotiated);
                if status.code == StatusCode::UPGRADE_REQUIRED.as_u16() {
                    let headers = answer.headers_mut();
                    headers.insert(SEC_WEBSOCKET_VERSION, handshake::VERSION);
                    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                }
                Err(answer)
            }
        })
    }

    /// Carries the watch that `answer` is; a refusal is answered as it is.
    pub(in crate::apiserver) fn carry(
        self,
        answer: Response<Payload>,
        shared: &Arc<Shared>,
    ) -> Response<Body> {
        let (mut head, payload) = answer.into_parts();
        let events = match payload {
            Payload::Stream(events) if head.status == StatusCode::OK => events,
            payload => return Response::from_parts(head, Body::from(payload)),
        };
        let (body, elsewhere) = Body::elsewhere();
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        let headers = &mut head.headers;
        headers.clear();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.agreed.accept);
        if let Some(protocol) = self.agreed.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        let (connection, kind, shared) = (self.connection, self.kind, Arc::clone(shared));
        task::detach("websocket", async move {
            // An error means that the client was gone before it had the answer.
            if let Ok(Ok(upgraded)) = tokio::time::timeout(PATIENCE, connection).await {
                let config = WebSocketConfig::default()
                    .read_buffer_size(READ_BUFFER)
                    .write_buffer_size(WRITE_BUFFER)
                    .max_message_size(Some(INCOMING))
                    .max_frame_size(Some(INCOMING));
                let io = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
                let conversation = converse(socket, events, &elsewhere, kind, &shared);
                match AssertUnwindSafe(conversation).catch_unwind().await {
                    Ok(End::Over) => elsewhere.ended(),
                    Ok(End::Left | End::Rude(_) | End::Stalled) => {}
                    Err(payload) => {
                        let panic = task::panic_text(payload.as_ref());
                        tracing::error!(panic, "Watch over a WebSocket panicked");
                        elsewhere.panicked();
                    }
                }
            }
        });
        Response::from_parts(head, body)
    }
}

/// How a conversation ended.
#[derive(Clone, Copy)]
enum End {
    /// All was said.
    Over,
    /// The client said goodbye, or is gone.
    Left,
    /// The client does not keep to the protocol.
    Rude(CloseCode),
    /// The client takes nothing.
    Stalled,
}

async fn converse(
    mut socket: Socket,
    mut events: Events,
    elsewhere: &Elsewhere,
    kind: Kind,
    shared: &Shared,
) -> End {
    let limit = elsewhere.stall_limit().unwrap_or(STALL);
    let mut turn = std::pin::pin!(elsewhere.turn());
    let end = loop {
        tokio::select! {
            () = turn.as_mut() => break End::Over,
            incoming = socket.next() => match incoming {
                Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) | None => break End::Left,
                // Its answer waits to be sent: nothing more is read before the client has taken it.
                Some(Ok(Message::Ping(_))) => match tokio::time::timeout(limit, socket.flush()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => break End::Left,
                    Err(_) => break End::Stalled,
                },
                Some(Ok(_)) => {}
                Some(Err(Error::Capacity(_))) => break End::Rude(CloseCode::Size),
                Some(Err(Error::Protocol(_) | Error::Utf8(_))) => break End::Rude(CloseCode::Protocol),
                Some(Err(_)) => break End::Left,
            },
            chunk = events.next() => {
                let Some(chunk) = chunk else { break End::Over };
                let bytes = chunk.len();
                match tokio::time::timeout(limit, send(&mut socket, chunk)).await {
                    Ok(Ok(())) => elsewhere.wrote(bytes),
                    Ok(Err(_)) => break End::Left,
                    Err(_) => break End::Stalled,
                }
            }
        }
    };
    // The history need not wait for the farewell.
    drop(events);
    match end {
        End::Over => say_goodbye(&mut socket, Some(CloseCode::Normal)).await,
        End::Left => say_goodbye(&mut socket, None).await,
        End::Rude(code) => say_goodbye(&mut socket, Some(code)).await,
        End::Stalled => shared.observer().stalled(kind),
    }
    end
}

/// Sends the events of `chunk`, one message each; an event is a line.
async fn send(socket: &mut Socket, mut chunk: Bytes) -> Result<(), Error> {
    while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
        let event = Utf8Bytes::try_from(chunk.split_to(end + 1))
            .map_err(|error| Error::Utf8(error.to_string()))?;
        socket.feed(Message::Text(event)).await?;
    }
    socket.flush().await
}

/// Closes, with `code` when it is for us to begin, and hears the client out, for a while.
async fn say_goodbye(socket: &mut Socket, code: Option<CloseCode>) {
    let farewell = async {
        let frame = code.map(|code| CloseFrame {
            code,
            reason: Utf8Bytes::default(),
        });
        // Whoever is gone need not be told.
        if socket.close(frame).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
        drop(socket.get_mut().shutdown().await);
    };
    drop(tokio::time::timeout(PATIENCE, farewell).await);
}
