//! A bound socket. Binding happens while the program is being built, so that a taken port is known before
//! anything starts.
//!
//! `[::]` means every address there is, whatever the kernel was built or told to take it for.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use super::Error;

/// How many connections the kernel holds ready.
const BACKLOG: i32 = 1024;
/// After how long a silence the kernel asks whether a client's machine is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one. The unspecified address of IPv6 takes IPv4 in, and is that of IPv4
    /// where there is no IPv6.
    ///
    /// # Errors
    /// [`Error::PortTaken`], [`Error::PortDenied`], and [`Error::Bind`] for the rest.
    #[expect(clippy::unused_async, reason = "needs the runtime around it")]
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let refused = |source: io::Error| match source.kind() {
            ErrorKind::AddrInUse => Error::PortTaken { address },
            ErrorKind::PermissionDenied => Error::PortDenied { address },
            _ => Error::Bind { address, source },
        };
        let socket = listen(address, |domain| {
            Socket::new(domain, Type::STREAM, Some(Protocol::TCP))
        })
        .map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Self { socket, address })
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. Failures are logged and waited out: they end neither the server nor a processor.
    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
        let mut pause = Duration::from_millis(10);
        loop {
            match self.socket.accept().await {
                Ok((stream, address)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, %address, "Connection keeps delaying small packets");
                    }
                    let keep_alive = TcpKeepalive::new()
                        .with_time(KEEP_ALIVE)
                        .with_interval(KEEP_ALIVE);
                    if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&keep_alive) {
                        tracing::debug!(%error, %address, "Connection is not probed by the kernel");
                    }
                    return (stream, address);
                }
                // The client gave up in the queue: nobody's fault, and no reason to wait.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
                    ) => {}
                // Out of descriptors or memory, most likely: only others' closing helps.
                Err(error) => {
                    tracing::warn!(%error, listener = %self.address, retry_in = ?pause, "Connection not accepted");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }
}

/// A socket from `open` that listens on `address`.
fn listen(
    address: SocketAddr,
    open: impl Fn(Domain) -> io::Result<Socket>,
) -> io::Result<TcpListener> {
    let takes_all = address.is_ipv6() && address.ip().is_unspecified();
    let (socket, address) = match open(Domain::for_address(address)) {
        Err(_) if takes_all => (
            open(Domain::IPV4)?,
            (Ipv4Addr::UNSPECIFIED, address.port()).into(),
        ),
        opened => (opened?, address),
    };
    if takes_all && address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A port whose last connections are still fading may be taken again.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "[::]:0";

    #[tokio::test]
    async fn without_ipv6_all_addresses_are_those_of_ipv4() {
        let without = |domain| {
            if domain == Domain::IPV6 {
                // EAFNOSUPPORT, as Linux has it.
                Err(io::Error::from_raw_os_error(97))
            } else {
                Socket::new(domain, Type::STREAM, None)
            }
        };
        let socket = listen(ALL.parse().unwrap(), without).unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(address.ip(), Ipv4Addr::UNSPECIFIED);
        assert!(
            listen("[::1]:0".parse().unwrap(), without).is_err(),
            "nobody asked for another one"
        );
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_ipv4_too_whatever_the_system_says() {
        let only_v6 = |domain| {
            let socket = Socket::new(domain, Type::STREAM, None)?;
            socket.set_only_v6(true)?;
            Ok(socket)
        };
        let socket = listen(ALL.parse().unwrap(), only_v6).unwrap();
        let port = socket.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_lost_client_is_noticed_by_the_kernel() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let _client = TcpStream::connect(listener.address()).await.unwrap();
        let (stream, _) = listener.accept().await;
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[tokio::test]
    async fn a_taken_port_is_called_so() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let error = Listener::bind(first.address()).await.unwrap_err();
        let expected = format!(
            "failed to listen on {}: the port is already taken by another program",
            first.address()
        );
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn a_foreign_address_is_named_with_its_cause() {
        let error = Listener::bind("192.0.2.1:0".parse().unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "failed to listen on 192.0.2.1:0");
        assert!(std::error::Error::source(&error).is_some());
    }
}
