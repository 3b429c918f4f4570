//! A body's framing, and the decoder for each kind.
//!
//! The connections to clients and servers pass in the bytes after a head. The decoder returns the
//! payload as a range of the caller's input, so the payload is copied at most once.

use super::Decoded;
use super::chunked::{ChunkError, ChunkedDecoder};
use crate::http::fields::Fields;
use crate::http::message::Version;

/// How a body is delimited (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body, and no field describes one.
    #[default]
    None,
    /// The number of bytes that `Content-Length` declares.
    Known(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// All bytes until the connection ends; responses only.
    UntilClose,
}

impl BodyLength {
    /// Returns whether there is no content to read.
    pub const fn is_empty(self) -> bool {
        matches!(self, BodyLength::None | BodyLength::Known(0))
    }

    /// Returns the framing of a response's body for a client of this version. With
    /// [`BodyLength::UntilClose`], the caller must close the connection after the body.
    #[must_use]
    pub const fn for_client(self, version: Version) -> BodyLength {
        match (self, version) {
            (BodyLength::Chunked | BodyLength::UntilClose, Version::Http10) => {
                BodyLength::UntilClose
            }
            (BodyLength::UntilClose, _) => BodyLength::Chunked,
            (length, _) => length,
        }
    }
}

/// Decoder of one body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BodyDecoder {
    /// No body.
    #[default]
    Empty,
    /// A body with this number of bytes left.
    Length(u64),
    /// A chunked body.
    Chunked(ChunkedDecoder),
    /// A body that ends with the connection.
    UntilClose,
}

impl BodyDecoder {
    /// Creates a decoder for a body with this framing.
    pub fn new(length: BodyLength) -> BodyDecoder {
        match length {
            BodyLength::None | BodyLength::Known(0) => BodyDecoder::Empty,
            BodyLength::Known(length) => BodyDecoder::Length(length),
            BodyLength::Chunked => BodyDecoder::Chunked(ChunkedDecoder::default()),
            BodyLength::UntilClose => BodyDecoder::UntilClose,
        }
    }

    /// Performs the next step on `input`, which starts where the last step ended. Puts a chunked
    /// body's trailers into `trailers`.
    ///
    /// # Errors
    /// [`ChunkError`]; the connection is then unusable.
    #[inline]
    pub fn decode(&mut self, input: &[u8], trailers: &mut Fields) -> Result<Decoded, ChunkError> {
        let available = input.len();
        match self {
            BodyDecoder::Empty => Ok(Decoded::End { consumed: 0 }),
            BodyDecoder::Chunked(decoder) => decoder.decode(input, trailers),
            _ if available == 0 => Ok(Decoded::NeedMore { consumed: 0 }),
            BodyDecoder::UntilClose => Ok(Decoded::Data(0..available)),
            BodyDecoder::Length(remaining) => {
                let count = usize::try_from(*remaining).map_or(available, |n| n.min(available));
                *remaining -= count as u64;
                if *remaining == 0 {
                    *self = BodyDecoder::Empty;
                }
                Ok(Decoded::Data(0..count))
            }
        }
    }

    /// Returns whether nothing more of the body will follow.
    pub fn is_complete(&self) -> bool {
        match self {
            BodyDecoder::Empty => true,
            BodyDecoder::Chunked(decoder) => decoder.is_complete(),
            BodyDecoder::Length(_) | BodyDecoder::UntilClose => false,
        }
    }

    /// Returns the number of bytes known to be outstanding: the rest of a length or of a chunk.
    pub fn remaining(&self) -> u64 {
        match self {
            BodyDecoder::Length(remaining) => *remaining,
            BodyDecoder::Chunked(decoder) => decoder.remaining(),
            BodyDecoder::Empty | BodyDecoder::UntilClose => 0,
        }
    }

    /// Returns whether the body is complete if the connection ends cleanly at this point. A reset
    /// is not a clean end.
    pub fn is_complete_at_end(&self) -> bool {
        *self == BodyDecoder::UntilClose || self.is_complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let check = |length, input: &[u8], expected: &[Decoded]| {
            let mut decoder = BodyDecoder::new(length);
            let mut at = 0;
            for expected in expected {
                let found = decoder.decode(&input[at..], &mut Fields::default());
                assert_eq!(found.as_ref(), Ok(expected), "{length:?}");
                at += match expected {
                    Decoded::Data(range) => range.end,
                    Decoded::NeedMore { consumed } | Decoded::End { consumed } => *consumed,
                };
            }
        };
        let end = Decoded::End { consumed: 0 };
        let more = Decoded::NeedMore { consumed: 0 };
        check(BodyLength::None, b"next", std::slice::from_ref(&end));
        check(BodyLength::Known(0), b"next", std::slice::from_ref(&end));
        check(
            BodyLength::Known(3),
            b"abcnext",
            &[Decoded::Data(0..3), end.clone()],
        );
        check(
            BodyLength::Known(u64::MAX),
            b"abc",
            &[Decoded::Data(0..3), more.clone()],
        );
        check(BodyLength::UntilClose, b"abc", &[Decoded::Data(0..3), more]);
        check(
            BodyLength::Chunked,
            b"3\r\nabc\r\n0\r\n\r\nnext",
            &[Decoded::Data(3..6), Decoded::End { consumed: 7 }],
        );
    }

    #[test]
    fn ends() {
        let check = |length, is_complete, is_complete_at_end| {
            let decoder = BodyDecoder::new(length);
            assert_eq!(decoder.is_complete(), is_complete, "{length:?}");
            assert_eq!(
                decoder.is_complete_at_end(),
                is_complete_at_end,
                "{length:?}"
            );
        };
        check(BodyLength::None, true, true);
        check(BodyLength::Known(1), false, false);
        check(BodyLength::Chunked, false, false);
        check(BodyLength::UntilClose, false, true);
    }
}
