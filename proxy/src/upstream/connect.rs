//! From an address to a connected socket.

use std::io;
use std::net::ToSocketAddrs;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::endpoint::Address;
use crate::config::ServerAddress;
use crate::transport::io::Socket;

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
pub fn resolve(address: &ServerAddress) -> io::Result<Vec<Address>> {
    match address {
        ServerAddress::Unix(path) => Ok(vec![Address::Unix(path.clone())]),
        ServerAddress::Tcp { host, port } => {
            let mut addresses: Vec<_> = Vec::new();
            for address in (host.as_str(), *port).to_socket_addrs()? {
                let address = Address::Tcp(address);
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("`{host}` has no address"),
                ));
            }
            Ok(addresses)
        }
    }
}

/// Connects to `address` within `limit`.
///
/// # Errors
/// The system's; `TimedOut` if `limit` passed.
///
/// # Cancel safety
/// Safe: the attempt is given up.
pub(super) async fn dial(address: &Address, limit: Duration) -> io::Result<Socket> {
    timeout(limit, connect(address))
        .await
        .unwrap_or_else(|elapsed| Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)))
}

async fn connect(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Tcp(address) => {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            set_keep_alive(&SockRef::from(&socket))?;
            Ok(Socket::Tcp(socket))
        }
        Address::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
    }
}

/// Whether this process, or the machine, has no descriptors or memory left for a socket.
pub fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOBUFS,
        rustix::io::Errno::NOMEM,
    ];
    exhausted
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
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
