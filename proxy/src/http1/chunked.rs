//! Chunked bodies (RFC 9112, section 7.1), both ways.
//!
//! The decoder drops extensions, and puts trailers into a field list. It holds no bytes: a
//! trailer section that is not complete stays in the caller's buffer. Line ends are CRLF
//! and nothing else: where a lenient reader would see another chunk, this one ends.

use thiserror::Error;

use super::trailers::{self, TrailerError};
use super::{Decoded, MAX_LENGTH, Progress, Scan};
use crate::http::fields::Fields;
use crate::http::number::push_hex;

/// Digits of a chunk's size, zeros included: those of a `u64`.
const MAX_SIZE_DIGITS: u8 = 16;

/// Bytes of extensions in one body. They mean nothing here; without bound they are a way to
/// keep a proxy busy with no content at all. hyper has the same limit.
const MAX_EXTENSION_BYTES: u32 = 16 * 1024;

/// Why a chunked body is refused. It ends its connection; in a request it is answered 400
/// if nothing was answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// Not `1*HEXDIG` followed by an extension or CRLF.
    #[error("invalid chunk size")]
    Size,
    /// More than 16 digits, or 2^63 bytes and more.
    #[error("chunk size too large")]
    SizeTooLarge,
    /// A control character in an extension, a bare CR or LF among them.
    #[error("invalid chunk extension")]
    Extension,
    /// More than `MAX_EXTENSION_BYTES` (16 KiB) of extensions.
    #[error("chunk extensions too long")]
    ExtensionsTooLong,
    /// Something other than CRLF behind a size or a chunk.
    #[error("invalid line end in a chunked body")]
    LineEnd,
    /// See [`TrailerError`].
    #[error(transparent)]
    Trailers(#[from] TrailerError),
}

/// Decodes a chunked body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkedDecoder {
    state: State,
    /// In `State::Size` the size so far, in `State::Data` the bytes still to come.
    size: u64,
    extension_bytes: u32,
    trailers: Scan,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before a size.
    #[default]
    SizeStart,
    /// In a size, behind so many digits.
    Size(u8),
    /// In whitespace behind a size, which only an extension may follow.
    Whitespace,
    /// In an extension.
    Extension,
    /// Before the LF of a size line.
    SizeLf,
    /// In a chunk.
    Data,
    /// Before the CR behind a chunk.
    DataCr,
    /// Before the LF behind a chunk.
    DataLf,
    /// Behind the last chunk.
    Trailers,
    /// Behind the body.
    End,
}

impl ChunkedDecoder {
    /// Takes the next step over `input`; see `BodyDecoder::decode`.
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

    /// Whether the end of the body was seen.
    pub fn is_complete(&self) -> bool {
        self.state == State::End
    }

    /// Bytes of the present chunk that are still to come.
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
            // "Bad" whitespace, which a recipient has to take (RFC 9112, section 7.1.1), though
            // not in front of the line's end.
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
        // 16 digits fit.
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

/// Appends the size line of a chunk of `size` bytes. A chunk of 0 bytes would be the last
/// one: nothing is appended for it.
///
/// [`CHUNK_END`] follows the chunk. The caller chooses the chunks, and may join many small
/// ones of its peer.
#[inline]
pub fn push_chunk_start(size: usize, out: &mut Vec<u8>) {
    if size > 0 {
        push_hex(size as u64, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// Follows the bytes of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends one whole chunk; nothing for an empty one.
pub fn push_chunk(payload: &[u8], out: &mut Vec<u8>) {
    if !payload.is_empty() {
        push_chunk_start(payload.len(), out);
        out.extend_from_slice(payload);
        out.extend_from_slice(CHUNK_END);
    }
}

/// Appends the last chunk and the trailers that may go on. `head` is the head that the
/// trailers came with; fields that its `Connection` names are left out.
pub fn push_last_chunk(trailers: &Fields, head: &Fields, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    trailers::push(trailers, head, out);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
