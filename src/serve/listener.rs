//! A bound socket. Binding happens while the program is being built, so that a taken port is known before
//! anything starts.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::Error;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error::PortTaken`], [`Error::PortDenied`], and [`Error::Bind`] for the rest.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let refused = |source: io::Error| match source.kind() {
            ErrorKind::AddrInUse => Error::PortTaken { address },
            ErrorKind::PermissionDenied => Error::PortDenied { address },
            _ => Error::Bind { address, source },
        };
        let socket = TcpListener::bind(address).await.map_err(refused)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
