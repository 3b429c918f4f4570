//! HTTP/1.1 without I/O: bytes in, heads and body frames out, and back to bytes.
//!
//! httparse finds the lines; nothing else looks for line ends. A complete head is copied
//! once into a `http::message` head as spans, checked, and marked so that the forwarded
//! lines are those the next hop gets. The writers copy from the spans.
//!
//! **Invariant:** nothing here reads, writes, waits, logs or looks at a clock, and nothing
//! allocates by a number that a peer sent. A head or body that two readers could read two
//! ways is an error, in either direction.
//!
//! Lines end in CRLF or in a bare LF (RFC 9112, section 2.2: MAY), as HAProxy and hyper have
//! it; chunk framing is CRLF alone. A bare CR, NUL or other control character in a head, a
//! folded line, and whitespace before a colon are errors.
//!
//! Called by the HTTP/1 connections of both sides.

pub mod body;
pub mod chunked;
pub mod framing;
pub mod request;
pub mod response;
pub mod target;
pub mod trailers;
pub mod upgrade;
pub mod write;

mod lines;
mod options;

use std::ops::Range;

use crate::config::HeadLimits;

pub use options::TooManyOptions;

/// Bounds of one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most field lines. Default [`DEFAULT_MAX_HEADERS`].
    pub max_headers: usize,
    /// Most bytes of the whole head, its first line included. Default
    /// [`DEFAULT_MAX_HEADER_SIZE`].
    pub max_header_size: usize,
}

/// Field lines of a head. Browsers send 20; HAProxy's limit is 101 and Node's 2,000.
pub const DEFAULT_MAX_HEADERS: usize = 256;
/// Bytes of a head. Clients with many single sign-on cookies need them. HAProxy's is 16 KiB,
/// nginx's 32 KiB, Envoy's 60 KiB.
pub const DEFAULT_MAX_HEADER_SIZE: usize = 64 * 1024;

impl From<HeadLimits> for Limits {
    fn from(configured: HeadLimits) -> Limits {
        Limits {
            max_headers: configured.max_headers,
            max_header_size: configured.max_header_size,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_headers: DEFAULT_MAX_HEADERS,
            max_header_size: DEFAULT_MAX_HEADER_SIZE,
        }
    }
}

/// How far a parser came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<T> {
    /// The head is not complete.
    Partial {
        /// Bytes at the start of the buffer that belong to no message: empty lines. The
        /// caller removes them before the next call.
        skip: usize,
    },
    /// A whole head was read.
    Complete(T),
}

/// State of one head over several reads: which bytes have been tried already. Starts anew
/// by itself after a complete head or an error.
///
/// A head that trickles in is parsed again only when a line has come to its end, so the
/// work is bounded by the number of lines times the size of the head, not by the number of
/// reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    tried: usize,
}

impl Scan {
    /// Whether `buffer` may hold more of a head than at the last try. A first try is always
    /// due: garbage is refused before its first line ends.
    fn is_due(self, buffer: &[u8], limit: usize) -> bool {
        let is_first = self.tried == 0;
        let new = buffer.get(self.tried..).unwrap_or_default();
        !buffer.is_empty() && (is_first || new.contains(&b'\n') || buffer.len() >= limit)
    }

    /// Records that all of `buffer` was tried; the caller may drop `skip` bytes.
    fn partial<T>(&mut self, buffer: &[u8], skip: usize) -> Progress<T> {
        self.tried = buffer.len() - skip;
        Progress::Partial { skip }
    }
}

/// Largest length of a body or chunk that is believed, 2^63 - 1: some readers count in signed
/// numbers, and a length that one takes and another wraps has two meanings.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// A step of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The range of the input that is payload; never empty. All bytes up to its end are
    /// consumed.
    Data(Range<usize>),
    /// All that can be used is used: drop the first `consumed` bytes and read more. Bytes
    /// behind them stay in the buffer for the next call.
    NeedMore {
        /// Bytes of the input that are done with.
        consumed: usize,
    },
    /// The body is complete. Bytes behind `consumed` belong to the next message.
    End {
        /// Bytes of the input that are done with.
        consumed: usize,
    },
}

/// Whether a connection can carry a further message after the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It can.
    KeepAlive,
    /// The present exchange is its last (RFC 9112, section 9.3).
    Close,
}

#[cfg(test)]
mod tests;
