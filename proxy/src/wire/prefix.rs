//! The first bytes of a body, read before anybody uses them.
//!
//! They stay in the connection's buffer as its payload, without the framing of chunks, and move on
//! from there like the rest of the body.

use std::task::{Context, Poll, ready};

use super::{BodyError, Progress, Wire};
use crate::http1::Decoded;
use crate::http1::body::BodyDecoder;
use crate::transport::buffer::BUFFER_SIZE;

impl Wire {
    /// Reads the body of a request until `enough` bytes of it are its
    /// [`data`](super::Source::data): ready with [`Progress::Data`] if they are, with
    /// [`Progress::End`] if the body has fewer. Holds at most `enough` bytes and one buffer more.
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
            // What the decoder leaves is less than a buffer: trailers that are not complete.
            let limit = enough.saturating_add(BUFFER_SIZE);
            ready!(self.poll_fill(limit, cx)).map_err(BodyError::Io)?;
        }
    }

    /// Joins the payload in the buffer; None if more must be read.
    fn buffered_prefix(&mut self, enough: usize) -> Result<Option<Progress>, BodyError> {
        if self.is_body_broken {
            return Err(BodyError::Truncated);
        }
        let mut at = self.data;
        let joined = self.join_prefix(enough, &mut at);
        // Once for all chunks: their number is the client's choice.
        self.input.remove(self.data..at);
        self.is_body_broken = joined.is_err();
        joined
    }

    /// Moves the payload from `at` on to the front; `at` is then where undecoded bytes begin.
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
