//! Harness of the end-to-end tests: real processes, raw bytes, no sleeps.
//!
//! A test starts one or more [`Origin`]s and a [`Proxy`] in front of them, and talks to it over a
//! [`Wire`]. Every wait has a [`DEADLINE`]; the error shows what had arrived until then. Everything
//! is stopped on drop. A process's log goes to the test's output, which the runner shows when the
//! test fails.
//!
//! ```no_run
//! # use pointsman_tests::{Origin, Proxy, Wire};
//! # async fn test() -> anyhow::Result<()> {
//! let www = Origin::with_name("www").await?;
//! let proxy = Proxy::pointsman(&format!(
//!     r#"
//!     [frontend.http-in]
//!     bind = "127.0.0.1:0"
//!     default_backend = "www"
//!     [backend.www]
//!     server.www = "{}"
//!     "#,
//!     www.address()
//! ))
//! .await?;
//! let mut client = Wire::connect(proxy.address()).await?;
//! client.send("GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n").await?;
//! assert_eq!(client.response("GET").await?.body, b"www");
//! # Ok(()) }
//! ```

mod authority;
mod black_hole;
mod dnsmasq;
mod grpc;
mod http2;
mod message;
mod origin;
mod pebble;
mod process;
mod programmable_origin;
mod proxy;
mod python;
mod setup;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpSocket;

pub use authority::Authority;
pub use black_hole::BlackHole;
pub use dnsmasq::{Dnsmasq, Record};
pub use grpc::GrpcOrigin;
pub use http2::{Asked, Http2Client, Http2Origin};
pub use message::{Head, Message};
pub use origin::Origin;
pub use pebble::{Pebble, PebbleSetup};
pub use process::Process;
pub use programmable_origin::{Behavior, ProgrammableOrigin};
pub use proxy::{Proxy, Refusal, guest, log_field, path_with_sbin, pointsman};
pub use python::python;
pub use setup::Setup;
pub use wire::{End, Wire};

/// Maximum wait for anything that a test expects to happen.
///
/// It is long enough for a loaded machine to start a process. A test that passes never waits that
/// long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A port that no other process is assigned, for a server that can neither bind port 0 nor inherit
/// a socket.
///
/// The port is bound but not listening for as long as this value exists. The kernel does not assign
/// it to a process that requests any free port. A server that sets `SO_REUSEADDR` can still listen
/// on it.
#[derive(Debug)]
pub struct ReservedPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl ReservedPort {
    /// Reserves a port of 127.0.0.1.
    ///
    /// # Errors
    /// Fails if the system has no socket or no port left.
    pub fn new() -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4().context("making a socket")?;
        socket.set_reuseaddr(true)?;
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .context("binding a port")?;
        Ok(Self {
            address: socket.local_addr()?,
            _socket: socket,
        })
    }

    /// Returns the address to listen on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
