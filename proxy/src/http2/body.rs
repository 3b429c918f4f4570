//! Both bodies of a stream.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};

use super::head;
use super::{FRAME_SIZE, Http2Error, Opaque};
use crate::http::fields::Fields;
use crate::wire::{BodyError, Progress};

/// Largest piece that is copied for one frame of data.
const MAX_PIECE: usize = 16 * 1024;

/// The body that comes from the peer.
pub(super) struct Incoming {
    stream: Option<RecvStream>,
    /// Received, and not used yet.
    data: Bytes,
    /// Bytes of `data` for which the peer may send as many again already.
    credited: usize,
    received: u64,
    /// The most that the peer may send.
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
    /// Without a stream there is none yet.
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

    /// Whether something of it is there already. `cx` is woken when more comes.
    pub(super) fn has_begun(&mut self, cx: &mut Context<'_>) -> bool {
        // An error is found by whoever reads it.
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

    /// Reads until `enough` bytes are the data that is there, of which the peer gets at most one
    /// frame more to send: ready with [`Progress::Data`] if they are, with [`Progress::End`] if the
    /// body has fewer.
    pub(super) fn poll_prefix(
        &mut self,
        enough: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Progress, BodyError>> {
        while self.data.len() < enough {
            let Some(piece) = ready!(self.poll_piece(cx))? else {
                return Poll::Ready(Ok(Progress::End));
            };
            // At once: many streams that wait would use up the connection's window.
            self.release(piece.len());
            self.credited += piece.len();
            self.data = join(std::mem::take(&mut self.data), piece, enough);
        }
        Poll::Ready(Ok(Progress::Data))
    }

    /// The next piece that is not empty; None at the body's end.
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

    /// Whether the data that is there ends the body, and no trailers follow.
    pub(super) fn is_final(&self) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(RecvStream::is_end_stream) && self.trailers.is_none()
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Lets the peer send as much again.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.data.len());
        self.data.advance(count);
        let credited = count.min(self.credited);
        self.credited -= credited;
        self.release(count - credited);
    }

    fn release(&mut self, count: usize) {
        if let Some(stream) = &mut self.stream {
            // It fails only for more than was received.
            let _ = stream.flow_control().release_capacity(count);
        }
    }

    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref()
    }
}

/// `piece` behind `data`, in memory for `enough` bytes and one frame at most.
fn join(data: Bytes, piece: Bytes, enough: usize) -> Bytes {
    if data.is_empty() {
        return piece;
    }
    let needed = data.len() + piece.len();
    let joined = data.try_into_mut();
    // Its own memory from the second piece on; a frame's is shared with others.
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

/// The body that goes to the peer.
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
    /// Behind the head; `has_ended` if that was all.
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

    /// Takes as much as the peer, and the other streams, leave room for.
    pub(super) fn poll_write(
        &mut self,
        data: &[u8],
        is_final: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.has_ended {
            // A receiver that expects no body gets none.
            return Poll::Ready(Ok(data.len()));
        }
        ready!(self.poll_room(data.len().min(MAX_PIECE), cx))?;
        Poll::Ready(self.try_write(data, is_final))
    }

    /// Ready when there is room for something. `wanted` is taken from the connection's window as
    /// long as it is not used: nobody else gets it.
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

    /// Takes as much as there is room for, without waiting.
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

    /// Ready when the peer wants no more of it.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.stream.poll_reset(cx).map(reset_error)
    }

    /// Says that the body broke off.
    pub(super) fn fail(&mut self) {
        if !self.has_ended {
            self.stream.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// The error of a stream that the peer has reset.
pub(super) fn reset_error(reset: Result<Reason, h2::Error>) -> io::Error {
    match reset {
        Ok(reason) => Http2Error(reason.into()).into(),
        Err(error) => Http2Error(error).into(),
    }
}

#[cfg(test)]
mod tests;
