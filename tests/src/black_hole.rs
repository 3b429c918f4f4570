//! A server that does not respond to packets, like a host that is down or behind a firewall.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// An address of 127.0.0.1 that does not respond to a SYN.
///
/// The socket listens, but its queue has only one slot, which is taken. The kernel therefore drops
/// further attempts.
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _filler: TcpStream,
}

impl BlackHole {
    /// Creates a black hole on any free port.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn new() -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4().context("making a socket")?;
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .context("binding a port")?;
        let listener = socket.listen(0)?;
        let address = listener.local_addr()?;
        Ok(Self {
            address,
            _listener: listener,
            _filler: TcpStream::connect(address).await?,
        })
    }

    /// Returns the address that does not respond.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
