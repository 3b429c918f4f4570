//! HTTP/2 (RFC 9113) on the connections of either side, by the h2 crate.
//!
//! A connection is polled by one task; each of its streams belongs to the task of one request.
//! Heads are turned into those of `http`, so that nothing above knows the version; bodies are
//! [`Source`](crate::wire::Source) and [`Sink`](crate::wire::Sink). No type of h2 leaves this
//! module. Called by `downstream` and `upstream`.

pub mod client;
pub mod server;

mod body;
mod budget;
mod bytes;
mod head;
mod io;
mod shared;

use std::fmt;

use thiserror::Error;

pub use self::budget::Violation;
pub use self::bytes::ByteStream;

/// Bytes that a peer may send on one stream before somebody has taken them: what RFC 9113,
/// section 6.9.2, begins with. A stalled transfer holds no more.
const STREAM_WINDOW: u32 = 65_535;

/// The same for a whole connection: 16 streams that nobody reads from leave room for the others.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes that a stream may have waiting for the socket.
const SEND_BUFFER: usize = 32 * 1024;

/// Largest frame of a peer: what RFC 9113, section 4.2, begins with.
const FRAME_SIZE: u32 = 16_384;

/// Why a connection or a stream ended early.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Http2Error(#[source] h2::Error);

impl Http2Error {
    /// Whether the peer says that it has not acted on the request, which may be sent again (RFC
    /// 9113, section 8.7).
    pub fn is_unprocessed(&self) -> bool {
        let reason = self.0.reason();
        let is_refused = reason == Some(h2::Reason::REFUSED_STREAM) || self.requires_http1();
        let is_refused = self.0.is_reset() && is_refused;
        let is_behind = self.0.is_go_away() && self.0.is_remote();
        self.0.is_remote() && is_refused || is_behind
    }

    /// Whether the server refused this one stream, rather than said GOAWAY.
    pub fn is_refused(&self) -> bool {
        self.0.is_reset()
    }

    /// Whether the server takes this request over HTTP/1.1 alone (RFC 9113, section 7).
    pub fn requires_http1(&self) -> bool {
        self.0.reason() == Some(h2::Reason::HTTP_1_1_REQUIRED)
    }

    /// Whether the connection is lost, rather than the stream reset.
    pub fn is_of_connection(&self) -> bool {
        self.0.is_io() || self.0.is_go_away()
    }
}

impl From<Http2Error> for std::io::Error {
    fn from(error: Http2Error) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::ConnectionReset, error)
    }
}

impl From<h2::Error> for Http2Error {
    fn from(error: h2::Error) -> Http2Error {
        Http2Error(error)
    }
}

/// Bounds of what a peer may do on one connection.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Streams that a client may have open at once.
    pub max_concurrent_streams: u32,
    /// Bytes of a head, each field counted with 32 more (RFC 9113, section 6.5.2).
    pub max_header_size: u32,
}

/// Hides what an `impl Debug` would have to leave out all the same.
struct Opaque(&'static str);

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
