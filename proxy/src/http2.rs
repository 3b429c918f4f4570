//! HTTP/2 (RFC 9113) on connections of both sides, using the h2 crate.
//!
//! One task polls a connection; each of its streams belongs to the task of one request. Heads are
//! converted to those of `http`, so that no code in higher layers depends on the version. Bodies
//! implement [`Source`](crate::wire::Source) and [`Sink`](crate::wire::Sink). No type of h2 leaves
//! this module. Called by `downstream` and `upstream`.

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

/// Flow-control window of a stream, in bytes: the initial value of RFC 9113, section 6.9.2. A
/// stalled transfer buffers no more than this.
const STREAM_WINDOW: u32 = 65_535;

/// Flow-control window of a connection, in bytes: as large as the windows of 16 streams, so that a
/// few streams that are not read from leave room for the others.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Maximum number of bytes per stream that wait for the socket.
const SEND_BUFFER: usize = 32 * 1024;

/// Largest frame that a peer may send: the initial value of RFC 9113, section 4.2.
const FRAME_SIZE: u32 = 16_384;

/// Reason why a connection or a stream ended early.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Http2Error(#[source] h2::Error);

impl Http2Error {
    /// Returns whether the peer states that it has not processed the request. It is then safe to
    /// send the request again (RFC 9113, section 8.7).
    pub fn is_unprocessed(&self) -> bool {
        let reason = self.0.reason();
        let is_refused = reason == Some(h2::Reason::REFUSED_STREAM) || self.requires_http1();
        let is_refused = self.0.is_reset() && is_refused;
        let is_behind = self.0.is_go_away() && self.0.is_remote();
        self.0.is_remote() && is_refused || is_behind
    }

    /// Returns whether only this stream was reset, as opposed to a GOAWAY for the connection.
    pub fn is_refused(&self) -> bool {
        self.0.is_reset()
    }

    /// Returns whether the server accepts this request only over HTTP/1.1 (RFC 9113, section 7).
    pub fn requires_http1(&self) -> bool {
        self.0.reason() == Some(h2::Reason::HTTP_1_1_REQUIRED)
    }

    /// Returns whether the connection is lost, as opposed to a reset of the stream.
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

/// Limits on what a peer can do on one connection.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Maximum number of streams that a client can have open at the same time.
    pub max_concurrent_streams: u32,
    /// Maximum size of a head in bytes; each field counts 32 bytes extra (RFC 9113, section 6.5.2).
    pub max_header_size: u32,
}

/// Formats as a plain name, for types whose `impl Debug` would have to omit the content anyway.
struct Opaque(&'static str);

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
