//! HTTP/1.1 without I/O: parses bytes into heads and body frames, and writes them back to bytes.
//!
//! Only httparse splits heads into lines. A complete head is copied once into a `http::message`
//! head as spans. It is then checked and marked so that the forwarded lines are those for the next
//! hop. The writers copy from the spans.
//!
//! **Invariant:** nothing here reads, writes, waits, logs or looks at a clock, and no allocation
//! size comes from a number that a peer sent. A head or body that two readers could read in two
//! ways is an error, in requests and in responses.
//!
//! Lines of a head end in CRLF or in a bare LF (RFC 9112, section 2.2: MAY), as in HAProxy and
//! hyper. Chunk framing accepts only CRLF. A bare CR, NUL or other control character in a head, a
//! folded line, and whitespace before a colon are errors.
//!
//! Called by the HTTP/1 connections to clients and to servers.

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

/// Size limits of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of field lines. Default [`DEFAULT_MAX_HEADERS`].
    pub max_headers: usize,
    /// Maximum size of the whole head in bytes, including its first line. Default
    /// [`DEFAULT_MAX_HEADER_SIZE`].
    pub max_header_size: usize,
}

/// Default for [`Limits::max_headers`]. Browsers send 20 lines; HAProxy's limit is 101 and Node's
/// 2,000.
pub const DEFAULT_MAX_HEADERS: usize = 256;
/// Default for [`Limits::max_header_size`]. Clients with many single sign-on cookies need that
/// much. HAProxy's limit is 16 KiB, nginx's 32 KiB, Envoy's 60 KiB.
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

/// Progress of a parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<T> {
    /// The head is not complete.
    Partial {
        /// Number of bytes at the start of the buffer that belong to no message: empty lines. The
        /// caller removes them before the next call.
        skip: usize,
    },
    /// The head is complete.
    Complete(T),
}

/// State of one head over several reads: how many bytes have already been parsed. Resets itself
/// after a complete head or an error.
///
/// A head that arrives in small parts is parsed again only when a line is complete. The work is
/// therefore bounded by the number of lines times the size of the head, not by the number of reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    tried: usize,
}

impl Scan {
    /// Returns whether `buffer` can contain more of a head than at the last attempt. The first
    /// attempt is always due, so that garbage is rejected before its first line ends.
    fn is_due(self, buffer: &[u8], limit: usize) -> bool {
        let is_first = self.tried == 0;
        let new = buffer.get(self.tried..).unwrap_or_default();
        !buffer.is_empty() && (is_first || new.contains(&b'\n') || buffer.len() >= limit)
    }

    /// Records that all of `buffer` was parsed. The caller can drop `skip` bytes.
    fn partial<T>(&mut self, buffer: &[u8], skip: usize) -> Progress<T> {
        self.tried = buffer.len() - skip;
        Progress::Partial { skip }
    }
}

/// Largest accepted length of a body or chunk, 2^63 - 1. A larger length would wrap in readers
/// that count in signed numbers, so it would have two meanings.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// Result of one step of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The range of the input that is payload; never empty. All bytes up to its end are
    /// consumed.
    Data(Range<usize>),
    /// All usable input has been consumed: drop the first `consumed` bytes and read more. Bytes
    /// after them stay in the buffer for the next call.
    NeedMore {
        /// Number of input bytes that are no longer needed.
        consumed: usize,
    },
    /// The body is complete. Bytes after `consumed` belong to the next message.
    End {
        /// Number of input bytes that are no longer needed.
        consumed: usize,
    },
}

/// Whether a connection can carry another message after the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// The connection can carry another message.
    KeepAlive,
    /// The current exchange is the last one (RFC 9112, section 9.3).
    Close,
}

#[cfg(test)]
mod tests;
