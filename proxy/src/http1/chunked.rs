//! Decoder and encoder of chunked bodies (RFC 9112, section 7.1).
//!
//! The decoder drops extensions and puts trailers into a field list. It buffers nothing: an
//! incomplete trailer section stays in the caller's buffer. Only CRLF ends a line, because a more
//! lenient reader could see a chunk that a stricter one does not.

use thiserror::Error;

use super::trailers::{self, TrailerError};
use super::{Decoded, MAX_LENGTH, Progress, Scan};
use crate::http::fields::Fields;
use crate::http::number::push_hex;

/// Maximum number of digits of a chunk size, including leading zeros. A `u64` has as many.
const MAX_SIZE_DIGITS: u8 = 16;

/// Maximum number of extension bytes in one body. Extensions mean nothing here, and without a limit
/// they could keep a proxy busy with no content at all. hyper has the same limit.
const MAX_EXTENSION_BYTES: u32 = 16 * 1024;

/// Reason for rejecting a chunked body. The connection is closed. If the body is that of a request,
/// the client receives 400 unless a response has already started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// The size is not `1*HEXDIG` followed by an extension or CRLF.
    #[error("invalid chunk size")]
    Size,
    /// The size has more than 16 digits, or is 2^63 bytes or more.
    #[error("chunk size too large")]
    SizeTooLarge,
    /// An extension contains a control character, such as a bare CR or LF.
    #[error("invalid chunk extension")]
    Extension,
    /// The extensions exceed `MAX_EXTENSION_BYTES` (16 KiB).
    #[error("chunk extensions too long")]
    ExtensionsTooLong,
    /// A size or a chunk is not followed by CRLF.
    #[error("invalid line end in a chunked body")]
    LineEnd,
    /// See [`TrailerError`].
    #[error(transparent)]
    Trailers(#[from] TrailerError),
}

/// Decoder of a chunked body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkedDecoder {
    state: State,
    /// Size so far in `State::Size`; bytes still to come in `State::Data`.
    size: u64,
    extension_bytes: u32,
    trailers: Scan,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before a size.
    #[default]
    SizeStart,
    /// In a size, after this number of digits.
    Size(u8),
    /// In whitespace after a size; only an extension can follow.
    Whitespace,
    /// In an extension.
    Extension,
    /// Before the LF of a size line.
    SizeLf,
    /// In a chunk.
    Data,
    /// Before the CR after a chunk.
    DataCr,
    /// Before the LF after a chunk.
    DataLf,
    /// After the last chunk.
    Trailers,
    /// After the body.
    End,
}

impl ChunkedDecoder {
    /// Performs the next step on `input`; see `BodyDecoder::decode`.
    ///
    /// # Errors
    /// [`ChunkError`].
    #[inline]
    pub fn decode(&mut self, input: &[u8], trailers: &mut Fields) -> Result<Decoded, ChunkError> {
        let mut at = 0;
        loop {
            match self.state {
                State::Data => return Ok(self.data(at, input.len())),
                State::Trailers => return self.trailers(at, input, trailers),
                State::End => return Ok(Decoded::End { consumed: at }),
                _ => {}
            }
            let Some(&byte) = input.get(at) else {
                return Ok(Decoded::NeedMore { consumed: at });
            };
            self.state = self.step(byte)?;
            at += 1;
        }
    }

    /// Returns whether the end of the body has been reached.
    pub fn is_complete(&self) -> bool {
        self.state == State::End
    }

    /// Returns the number of bytes of the current chunk that are still to come.
    pub fn remaining(&self) -> u64 {
        if self.state == State::Data {
            self.size
        } else {
            0
        }
    }

    fn data(&mut self, at: usize, end: usize) -> Decoded {
        let available = end - at;
        if available == 0 {
            return Decoded::NeedMore { consumed: at };
        }
        let count = usize::try_from(self.size).map_or(available, |size| size.min(available));
        self.size -= count as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
        Decoded::Data(at..at + count)
    }

    #[inline]
    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        match (self.state, byte) {
            (State::SizeStart | State::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digit(byte)
            }
            (State::Size(_) | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Size(_) | State::Whitespace, b';')
            | (State::Extension, b'\t' | b' '..=0x7e | 0x80..) => self.extend(State::Extension),
            // "Bad" whitespace, which a recipient must accept (RFC 9112, section 7.1.1), but not
            // directly before the end of the line.
            (State::Size(_) | State::Whitespace, b' ' | b'\t') => self.extend(State::Whitespace),
            (State::Extension, _) => Err(ChunkError::Extension),
            (State::SizeLf, b'\n') => self.size_end(),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::SizeStart),
            (State::SizeLf | State::DataCr | State::DataLf, _) => Err(ChunkError::LineEnd),
            _ => Err(ChunkError::Size),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, ChunkError> {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        let digits = match self.state {
            State::Size(MAX_SIZE_DIGITS..) => return Err(ChunkError::SizeTooLarge),
            State::Size(digits) => digits + 1,
            _ => {
                self.size = 0;
                1
            }
        };
        // Does not overflow: there are at most 16 digits.
        self.size = self.size << 4 | u64::from(value);
        Ok(State::Size(digits))
    }

    fn extend(&mut self, state: State) -> Result<State, ChunkError> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(ChunkError::ExtensionsTooLong);
        }
        Ok(state)
    }

    fn size_end(&self) -> Result<State, ChunkError> {
        match self.size {
            0 => Ok(State::Trailers),
            1..=MAX_LENGTH => Ok(State::Data),
            _ => Err(ChunkError::SizeTooLarge),
        }
    }

    fn trailers(
        &mut self,
        at: usize,
        input: &[u8],
        fields: &mut Fields,
    ) -> Result<Decoded, ChunkError> {
        match trailers::parse(&input[at..], &mut self.trailers, fields)? {
            Progress::Complete(length) => {
                self.state = State::End;
                Ok(Decoded::End {
                    consumed: at + length,
                })
            }
            Progress::Partial { .. } => Ok(Decoded::NeedMore { consumed: at }),
        }
    }
}

/// Appends the size line of a chunk of `size` bytes. Appends nothing for 0 bytes, because that
/// would be the last chunk.
///
/// [`CHUNK_END`] follows the chunk. The caller chooses the chunk boundaries and can join many small
/// chunks of its peer.
#[inline]
pub fn push_chunk_start(size: usize, out: &mut Vec<u8>) {
    if size > 0 {
        push_hex(size as u64, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// The bytes after the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends one whole chunk. Appends nothing if it is empty.
pub fn push_chunk(payload: &[u8], out: &mut Vec<u8>) {
    if !payload.is_empty() {
        push_chunk_start(payload.len(), out);
        out.extend_from_slice(payload);
        out.extend_from_slice(CHUNK_END);
    }
}

/// Appends the last chunk and the trailers that can be forwarded. `head` is the head of the
/// trailers' message; fields that its `Connection` names are left out.
pub fn push_last_chunk(trailers: &Fields, head: &Fields, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    trailers::push(trailers, head, out);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
