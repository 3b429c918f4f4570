//! The request and response bodies of a stream.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};

use super::head;
use super::{FRAME_SIZE, Http2Error, Opaque};
use crate::http::fields::Fields;
use crate::wire::{BodyError, Progress};

/// Largest chunk that is copied into one DATA frame.
const MAX_PIECE: usize = 16 * 1024;

/// The body that the peer sends.
pub(super) struct Incoming {
    stream: Option<RecvStream>,
    /// Data that has been received but not consumed.
    data: Bytes,
    /// Number of bytes of `data` that have already been returned to the flow-control window.
    credited: usize,
    received: u64,
    /// Maximum number of bytes that the peer may send.
    max: Option<u64>,
    trailers: Option<Box<Fields>>,
    is_complete: bool,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Opaque("Incoming").fmt(f)
    }
}

impl Incoming {
    /// Creates the body of a stream. Without a stream, there is no body yet.
    pub(super) fn new(stream: Option<RecvStream>) -> Incoming {
        Incoming {
            is_complete: stream.as_ref().is_some_and(RecvStream::is_end_stream),
            stream,
            data: Bytes::new(),
            credited: 0,
            received: 0,
            max: None,
            trailers: None,
        }
    }

    /// Returns whether some data has already arrived. Wakes `cx` when more arrives.
    pub(super) fn has_begun(&mut self, cx: &mut Context<'_>) -> bool {
        // An error is left for the next read to report.
        self.poll(cx).is_ready() && !self.data.is_empty()
    }

    pub(super) fn limit(&mut self, max: Option<u64>) {
        self.max = max;
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete && self.data.is_empty()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, BodyError>> {
        if !self.data.is_empty() {
            return Poll::Ready(Ok(Progress::Data));
        }
        match ready!(self.poll_piece(cx))? {
            Some(piece) => {
                self.data = piece;
                Poll::Ready(Ok(Progress::Data))
            }
            None => Poll::Ready(Ok(Progress::End)),
        }
    }

    /// Reads until at least `enough` bytes are buffered. Received bytes are returned to the window
    /// at once, so at most one more frame than needed is buffered. Ready with [`Progress::Data`] if
    /// `enough` bytes are buffered, and with [`Progress::End`] if the body is shorter.
    pub(super) fn poll_prefix(
        &mut self,
        enough: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Progress, BodyError>> {
        while self.data.len() < enough {
            let Some(piece) = ready!(self.poll_piece(cx))? else {
                return Poll::Ready(Ok(Progress::End));
            };
            // Returned to the window at once: many waiting streams would otherwise exhaust the
            // connection's window.
            self.release(piece.len());
            self.credited += piece.len();
            self.data = join(std::mem::take(&mut self.data), piece, enough);
        }
        Poll::Ready(Ok(Progress::Data))
    }

    /// Returns the next chunk that is not empty; None at the end of the body.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.is_complete) else {
            return Poll::Ready(Ok(None));
        };
        while let Some(data) = ready!(stream.poll_data(cx)) {
            let data = data.map_err(|error| BodyError::Io(Http2Error(error).into()))?;
            if data.is_empty() {
                continue;
            }
            self.received += data.len() as u64;
            if let Some(max) = self.max
                && self.received > max
            {
                return Poll::Ready(Err(BodyError::TooLarge(max)));
            }
            return Poll::Ready(Ok(Some(data)));
        }
        let trailers = ready!(stream.poll_trailers(cx));
        let trailers = trailers.map_err(|error| BodyError::Io(Http2Error(error).into()))?;
        self.trailers = trailers.map(|map| Box::new(head::trailers(&map)));
        self.is_complete = true;
        Poll::Ready(Ok(None))
    }

    /// Returns whether the buffered data ends the body, without trailers.
    pub(super) fn is_final(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(RecvStream::is_end_stream) && self.trailers.is_none()
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Consumes `count` bytes and returns them to the flow-control window.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.data.len());
        self.data.advance(count);
        let credited = count.min(self.credited);
        self.credited -= credited;
        self.release(count - credited);
    }

    fn release(&mut self, count: usize) {
        if let Some(stream) = &mut self.stream {
            // Fails only if more is released than was received.
            let _ = stream.flow_control().release_capacity(count);
        }
    }

    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref()
    }
}

/// Appends `piece` to `data`. Allocates memory for at most `enough` bytes and one frame.
fn join(data: Bytes, piece: Bytes, enough: usize) -> Bytes {
    if data.is_empty() {
        return piece;
    }
    let needed = data.len() + piece.len();
    let joined = data.try_into_mut();
    // From the second chunk on, the data has its own memory; a frame shares its memory with other
    // frames.
    let mut joined = match joined {
        Ok(joined) if joined.capacity() >= needed => joined,
        joined => {
            let most = enough.saturating_add(FRAME_SIZE as usize);
            let mut larger = BytesMut::with_capacity((2 * needed).min(most).max(needed));
            match joined {
                Ok(joined) => larger.extend_from_slice(&joined),
                Err(shared) => larger.extend_from_slice(&shared),
            }
            larger
        }
    };
    joined.extend_from_slice(&piece);
    joined.freeze()
}

/// The body that is sent to the peer.
pub(super) struct Outgoing {
    stream: SendStream<Bytes>,
    sent: u64,
    has_ended: bool,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Opaque("Outgoing").fmt(f)
    }
}

impl Outgoing {
    /// Creates the body that follows a sent head. `has_ended` means that there is no body.
    pub(super) fn new(stream: SendStream<Bytes>, has_ended: bool) -> Outgoing {
        Outgoing {
            stream,
            sent: 0,
            has_ended,
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Writes as much as the flow-control windows and the send buffer allow.
    pub(super) fn poll_write(
        &mut self,
        data: &[u8],
        is_final: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.has_ended {
            // The peer expects no body, so none is sent.
            return Poll::Ready(Ok(data.len()));
        }
        ready!(self.poll_room(data.len().min(MAX_PIECE), cx))?;
        Poll::Ready(self.try_write(data, is_final))
    }

    /// Ready when something can be written. Reserves `wanted` bytes of the connection's window:
    /// until this stream uses them, no other stream can.
    pub(super) fn poll_room(
        &mut self,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.stream.capacity() == 0 {
            self.stream.reserve_capacity(wanted);
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(Http2Error(error).into())),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes as much as there is capacity for, without waiting.
    pub(super) fn try_write(&mut self, data: &[u8], is_final: bool) -> io::Result<usize> {
        let wanted = data.len().min(MAX_PIECE);
        if self.stream.capacity() < wanted {
            self.stream.reserve_capacity(wanted);
        }
        let count = self.stream.capacity().min(wanted);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let is_last = is_final && count == data.len();
        self.send(Bytes::copy_from_slice(&data[..count]), is_last)?;
        self.sent += count as u64;
        Ok(count)
    }

    fn send(&mut self, data: Bytes, is_last: bool) -> io::Result<()> {
        self.has_ended |= is_last;
        let sent = self.stream.send_data(data, is_last);
        sent.map_err(|error| Http2Error(error).into())
    }

    pub(super) fn end(&mut self, trailers: Option<&Fields>, head: &Fields) -> io::Result<()> {
        if self.has_ended {
            return Ok(());
        }
        match trailers.map(|trailers| head::trailer_map(trailers, head)) {
            Some(map) if !map.is_empty() => {
                self.has_ended = true;
                let sent = self.stream.send_trailers(map);
                sent.map_err(|error| Http2Error(error).into())
            }
            _ => self.send(Bytes::new(), true),
        }
    }

    /// Ready when the peer has reset the stream.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.stream.poll_reset(cx).map(reset_error)
    }

    /// Resets the stream, because the body is incomplete.
    pub(super) fn fail(&mut self) {
        if !self.has_ended {
            self.stream.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// Converts the reset of a stream into an I/O error.
pub(super) fn reset_error(reset: Result<Reason, h2::Error>) -> io::Error {
    match reset {
        Ok(reason) => Http2Error(reason.into()).into(),
        Err(error) => Http2Error(error).into(),
    }
}

#[cfg(test)]
mod tests;
