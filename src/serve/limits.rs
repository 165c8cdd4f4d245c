//! What one client, and all of them together, may cost.

use std::time::Duration;

/// The limits of a listener. The defaults suit an API server behind kube-apiserver's proxy, which sends one
/// header line per group of a user, cancels probes by the dozen, and pins one connection for days.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections, handshakes included. Beyond it, new ones wait in the kernel's queue.
    pub connections: usize,
    /// Time for the whole TLS handshake.
    pub handshake: Duration,
    /// Time for a request's head to arrive (HTTP/1.1, idle time between requests included), and for the first bytes
    /// of a connection.
    pub head: Duration,
    /// How long a connection may be open without a first request.
    pub first_request: Duration,
    /// How long a connection may be open without a further request; then it is ended with a goodbye (GOAWAY).
    pub idle: Duration,
    /// How long a connection without a request may stay open once the server stops.
    pub goodbye: Duration,
    /// Bytes of one request's head.
    pub head_bytes: u32,
    /// Header lines of one HTTP/1.1 request: a user may have two thousand groups. The library lays out 64 bytes for each
    /// at every request, however few come, so that a higher limit slows all of them down.
    pub headers: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub streams: u32,
    /// Receive window of one HTTP/2 stream, in bytes.
    pub stream_window: u32,
    /// Receive window of one HTTP/2 connection, in bytes.
    pub connection_window: u32,
    /// Streams that the client reset before they were looked at; more of them end the connection (rapid reset).
    /// kube-apiserver's availability probes reset four of five streams on purpose, so the library's 20 is too few.
    pub pending_resets: usize,
    /// Unsent bytes kept per HTTP/2 stream.
    pub send_buffer: usize,
    /// How often an HTTP/2 client is asked whether it is still there.
    pub ping_interval: Duration,
    /// How long it may take to answer.
    pub ping_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(32),
            first_request: Duration::from_secs(20),
            idle: Duration::from_secs(90),
            goodbye: Duration::from_secs(5),
            head_bytes: 1 << 20,
            headers: 4096,
            streams: 250,
            stream_window: 256 << 10,
            connection_window: 1 << 20,
            pending_resets: 1000,
            send_buffer: 256 << 10,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
        }
    }
}
