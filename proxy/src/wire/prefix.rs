//! The first bytes of a body, which are read before the body is relayed.
//!
//! They stay in the connection's buffer as its payload, without chunk framing, and are relayed from
//! there like the rest of the body.

use std::task::{Context, Poll, ready};

use super::{BodyError, Progress, Wire};
use crate::http1::Decoded;
use crate::http1::body::BodyDecoder;
use crate::transport::buffer::BUFFER_SIZE;

impl Wire {
    /// Reads the body of a request until its [`data`](super::Source::data) contains `enough` bytes.
    ///
    /// Ready with [`Progress::Data`] once it does, or with [`Progress::End`] if the body is
    /// shorter. Buffers at most `enough` bytes and the size of one buffer.
    ///
    /// # Errors
    /// [`BodyError`]; the message cannot be completed.
    pub fn poll_prefix(
        &mut self,
        enough: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Progress, BodyError>> {
        loop {
            if let Some(progress) = self.buffered_prefix(enough)? {
                return Poll::Ready(Ok(progress));
            }
            if self.has_ended {
                self.is_body_broken = true;
                return Poll::Ready(Err(BodyError::Truncated));
            }
            // The decoder leaves only incomplete trailers undecoded, which are smaller than a
            // buffer.
            let limit = enough.saturating_add(BUFFER_SIZE);
            ready!(self.poll_fill(limit, cx)).map_err(BodyError::Io)?;
        }
    }

    /// Joins the payload in the buffer. Returns `None` if more must be read.
    fn buffered_prefix(&mut self, enough: usize) -> Result<Option<Progress>, BodyError> {
        if self.is_body_broken {
            return Err(BodyError::Truncated);
        }
        let mut at = self.data;
        let joined = self.join_prefix(enough, &mut at);
        // Removes the framing of all chunks at once, because the client chooses their number.
        self.input.remove(self.data..at);
        self.is_body_broken = joined.is_err();
        joined
    }

    /// Moves the payload from `at` on to the front, and advances `at` to the first undecoded byte.
    fn join_prefix(
        &mut self,
        enough: usize,
        at: &mut usize,
    ) -> Result<Option<Progress>, BodyError> {
        while self.data < enough {
            match self.decode_input(*at)? {
                Decoded::Data(range) => {
                    let payload = *at + range.start..*at + range.end;
                    *at = payload.end;
                    let length = payload.len();
                    self.input.filled_mut().copy_within(payload, self.data);
                    self.data += length;
                }
                Decoded::NeedMore { consumed } => {
                    *at += consumed;
                    return Ok(None);
                }
                Decoded::End { consumed } => {
                    *at += consumed;
                    self.decoder = BodyDecoder::Empty;
                    return Ok(Some(Progress::End));
                }
            }
        }
        Ok(Some(Progress::Data))
    }
}

#[cfg(test)]
mod tests;
