//! From an address to a connected socket.

use std::io;
use std::net::ToSocketAddrs;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::Endpoint;
use crate::config::ServerAddress;
use crate::stream::Stream;

/// After how long without a byte TCP asks a silent peer whether it is still there.
///
/// The kernel's default of two hours lets a dead peer hold a tunnel that long.
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_mins(1);
/// Time between two unanswered probes; the kernel gives up after nine.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Every address of a server; blocks while the resolver works.
///
/// # Errors
/// The resolver's; `NotFound` where a name has no address.
pub fn resolve(address: &ServerAddress) -> io::Result<Vec<Endpoint>> {
    match address {
        ServerAddress::Unix(path) => Ok(vec![Endpoint::Unix(path.clone())]),
        ServerAddress::Tcp { host, port } => {
            let mut endpoints: Vec<_> = Vec::new();
            for address in (host.as_str(), *port).to_socket_addrs()? {
                let endpoint = Endpoint::Tcp(address);
                if !endpoints.contains(&endpoint) {
                    endpoints.push(endpoint);
                }
            }
            if endpoints.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("`{host}` has no address"),
                ));
            }
            Ok(endpoints)
        }
    }
}

/// Connects to the first of `endpoints` that answers, each within `limit`.
///
/// # Errors
/// The last endpoint's; `TimedOut` where `limit` passed.
///
/// # Cancel safety
/// Safe: the attempt is given up.
pub(super) async fn dial(endpoints: &[Endpoint], limit: Duration) -> io::Result<Stream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for endpoint in endpoints {
        match timeout(limit, dial_one(endpoint)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(elapsed) => last = io::Error::new(io::ErrorKind::TimedOut, elapsed),
        }
    }
    Err(last)
}

async fn dial_one(endpoint: &Endpoint) -> io::Result<Stream> {
    match endpoint {
        Endpoint::Tcp(address) => {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            set_keep_alive(&SockRef::from(&socket))?;
            Ok(Stream::Tcp(socket))
        }
        Endpoint::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
    }
}

/// Lets TCP find out about peers that are gone.
///
/// # Errors
/// Those of `setsockopt(2)`.
pub fn set_keep_alive(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEP_ALIVE_IDLE)
            .with_interval(KEEP_ALIVE_INTERVAL),
    )
}
