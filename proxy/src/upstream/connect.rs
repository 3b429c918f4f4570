//! Connections to the address of a server.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::endpoint::Address;
use super::establish::{Established, Handshake, Limits, Needs};
use crate::transport::io::Socket;
use crate::transport::proxy_protocol::Header;

/// Idle time after which TCP probes whether a silent peer still exists.
///
/// With the kernel's default, a dead peer occupies a tunnel for two hours.
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_mins(1);
/// Time between two unanswered probes. By default, the kernel closes the connection after nine.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Connects to `address` within `limit`, and prepares the connection for requests of `client`.
///
/// # Errors
/// `TimedOut` if `limit` has passed; errors of the system and of the handshake.
///
/// # Cancel safety
/// Safe: dropping the future aborts the attempt.
pub(super) async fn dial(
    address: &Address,
    handshake: &Handshake,
    client: &Header<'_>,
    needs: Needs,
    limit: Duration,
    limits: &Limits,
) -> io::Result<Established> {
    let dialled = timeout(limit, async {
        let socket = connect(address).await?;
        handshake.establish(socket, client, needs, limits).await
    })
    .await;
    dialled.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", limit.as_secs_f64());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

pub(super) async fn connect(address: &Address) -> io::Result<Socket> {
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

/// Kinds of connection errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialCause {
    /// The host is up, but nothing listens at the address.
    Refused,
    /// The attempt timed out.
    TimedOut,
    /// This machine has no descriptors, ports or memory left.
    Exhausted,
    /// Any other error, such as no route to the host or missing permissions.
    Other,
}

impl DialCause {
    pub(super) fn of(error: &io::Error) -> DialCause {
        use io::ErrorKind::{
            AddrNotAvailable, ConnectionRefused, ConnectionReset, NotFound, TimedOut,
        };
        match error.kind() {
            // `NotFound` means that a Unix socket does not exist.
            ConnectionRefused | ConnectionReset | NotFound => DialCause::Refused,
            TimedOut => DialCause::TimedOut,
            AddrNotAvailable => DialCause::Exhausted,
            _ if is_exhaustion(error) => DialCause::Exhausted,
            _ => DialCause::Other,
        }
    }
}

/// Returns whether this process, or the machine, has no descriptors or memory left for a socket.
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

/// Enables TCP keep-alive probes, which detect peers that are gone.
///
/// # Errors
/// Errors of `setsockopt(2)`.
pub fn set_keep_alive(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEP_ALIVE_IDLE)
            .with_interval(KEEP_ALIVE_INTERVAL),
    )
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn causes() {
        let check = |errno: Errno, expected| assert_eq!(DialCause::of(&errno.into()), expected);
        check(Errno::CONNREFUSED, DialCause::Refused);
        check(Errno::CONNRESET, DialCause::Refused);
        check(Errno::NOENT, DialCause::Refused);
        check(Errno::TIMEDOUT, DialCause::TimedOut);
        check(Errno::MFILE, DialCause::Exhausted);
        check(Errno::ADDRNOTAVAIL, DialCause::Exhausted);
        check(Errno::HOSTUNREACH, DialCause::Other);
        check(Errno::NETUNREACH, DialCause::Other);
        check(Errno::ACCESS, DialCause::Other);
    }
}
