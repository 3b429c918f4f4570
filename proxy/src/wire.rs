//! HTTP/1.1 messages on a connection: reads heads and bodies, and queues and writes bytes.
//!
//! Each connection to a client or server has one [`Wire`]. `http1` defines what is read and
//! written. Every call does as much as it can without waiting. Called by `downstream::http1`,
//! `request::exchange` and `upstream::connection::http1`.

mod body;
mod output;
mod prefix;
mod relay;

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::http::fields::Fields;
use crate::http1::body::{BodyDecoder, BodyLength};
use crate::http1::{Decoded, Scan};
use crate::timer::{Stall, Timer};
use crate::transport::buffer::{BUFFER_SIZE, Buffer, BufferPool};
use crate::transport::io::Io;

pub use body::{BodyError, Progress};
use output::Output;
pub use relay::{Relay, RelayError, Side, Sink, Source};

/// A connection that carries HTTP/1.1 messages.
#[derive(Debug)]
pub struct Wire {
    /// The underlying stream.
    pub io: Io,
    input: Buffer,
    /// Parser state of the head that is being read.
    pub scan: Scan,
    /// Timer for all waits on this connection. It stays armed from one wait to the next.
    pub timer: Timer,
    decoder: BodyDecoder,
    /// Whether the framing of the current body is faulty, so that its end is unknown.
    is_body_broken: bool,
    /// Number of payload bytes at the front of `input`.
    data: usize,
    /// Number of payload bytes of the current body so far, and their maximum.
    received: u64,
    max_body: Option<u64>,
    trailers: Option<Box<Fields>>,
    /// Whether the peer has ended its stream.
    has_ended: bool,
    /// Stall detection, once [`Wire::poll_gone`] has found that the peer has ended its stream.
    gone_stall: Option<Stall>,
    output: Output,
}

impl Wire {
    /// Creates the wire of a connection from which nothing has been read.
    pub fn new(io: Io, pool: &BufferPool) -> Wire {
        Wire {
            io,
            input: Buffer::new(pool.clone()),
            scan: Scan::default(),
            timer: Timer::default(),
            decoder: BodyDecoder::Empty,
            is_body_broken: false,
            data: 0,
            received: 0,
            max_body: None,
            trailers: None,
            has_ended: false,
            gone_stall: None,
            output: Output::new(pool.clone()),
        }
    }

    /// Splits the wire into the stream and the bytes that were read but not used.
    pub fn into_parts(self) -> (Io, Buffer) {
        (self.io, self.input)
    }

    /// Returns the bytes that were read but not used: a head, and whatever follows it.
    #[inline]
    pub fn input(&self) -> &[u8] {
        self.input.filled()
    }

    /// Removes bytes from the front of the input.
    #[inline]
    pub fn consume_input(&mut self, count: usize) {
        self.input.consume(count);
    }

    /// Returns whether the peer has ended its stream. Some input can be left.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns whether no further message can arrive: the peer has ended its stream, and no input
    /// is left.
    pub fn is_exhausted(&self) -> bool {
        self.has_ended && self.input.is_empty()
    }

    /// Reads more input, up to `limit` bytes in total. Returns 0 at the end of the stream, or if
    /// `limit` bytes have already been read.
    ///
    /// # Errors
    /// Errors of the stream.
    pub fn poll_fill(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.has_ended || self.input.filled().len() >= limit {
            return Poll::Ready(Ok(0));
        }
        loop {
            // Polls before taking a buffer, so that an idle connection uses none.
            let is_ready = self.io.poll_read_ready(cx);
            if is_ready.is_pending() {
                self.input.release_if_empty();
            }
            ready!(is_ready)?;
            match self.io.try_read(self.input.room(limit)) {
                Ok(0) => {
                    self.has_ended = true;
                    return Poll::Ready(Ok(0));
                }
                Ok(count) => {
                    self.input.advance(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Detects that the peer is gone while nothing else reads from the connection.
    ///
    /// A peer that has ended its side cleanly might still wait for a response. It counts as gone
    /// once no bytes have moved for `limit`. Ready with the error if the connection failed.
    pub fn poll_gone(
        &mut self,
        limit: Duration,
        task: &mut Context<'_>,
    ) -> Poll<Option<io::Error>> {
        loop {
            if self.has_ended {
                let moved = self.io.moved();
                let stall = self
                    .gone_stall
                    .get_or_insert_with(|| Stall::new(limit, moved));
                ready!(stall.poll(&mut self.timer, moved, task));
                return Poll::Ready(None);
            }
            // The start of the next message can arrive meanwhile; reading one buffer of it is
            // enough.
            match ready!(self.poll_fill(BUFFER_SIZE, task)) {
                Ok(0) if !self.has_ended => return Poll::Pending,
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(error)),
            }
        }
    }

    /// Starts the body after the head that was just taken from the input.
    pub fn begin_body(&mut self, length: BodyLength) {
        self.decoder = BodyDecoder::new(length);
        self.is_body_broken = false;
        self.data = 0;
        self.received = 0;
        self.max_body = None;
        self.trailers = None;
    }

    /// Limits the current body to `limit` bytes. Reading fails at the part that would exceed the
    /// limit.
    pub fn limit_body(&mut self, limit: Option<u64>) {
        self.max_body = limit;
    }

    /// Returns whether the whole current body has been read.
    pub fn is_body_complete(&self) -> bool {
        self.data == 0 && self.decoder.is_complete() && !self.is_body_broken
    }

    /// Returns the next part of the body that is already in the buffer, or `None` if more must be
    /// read.
    ///
    /// # Errors
    /// [`BodyError::Chunk`], [`BodyError::TooLarge`]; [`BodyError::Truncated`] after an earlier
    /// error.
    pub fn buffered_body(&mut self) -> Result<Option<Progress>, BodyError> {
        if self.data > 0 {
            return Ok(Some(Progress::Data));
        }
        if self.is_body_broken {
            return Err(BodyError::Truncated);
        }
        let result = self.decode_body();
        self.is_body_broken = result.is_err();
        result
    }

    fn decode_body(&mut self) -> Result<Option<Progress>, BodyError> {
        match self.decode_input(0)? {
            Decoded::Data(range) => {
                self.input.consume(range.start);
                self.data = range.len();
                Ok(Some(Progress::Data))
            }
            Decoded::NeedMore { consumed } => {
                self.input.consume(consumed);
                Ok(None)
            }
            Decoded::End { consumed } => {
                self.input.consume(consumed);
                self.decoder = BodyDecoder::Empty;
                Ok(Some(Progress::End))
            }
        }
    }

    /// Performs the next step of the decoder on the input from `at` on.
    #[inline]
    fn decode_input(&mut self, at: usize) -> Result<Decoded, BodyError> {
        if let BodyDecoder::Chunked(_) = self.decoder {
            self.trailers.get_or_insert_default();
        }
        let mut none = Fields::default();
        let trailers = self.trailers.as_deref_mut().unwrap_or(&mut none);
        let input = self.input.filled().get(at..).unwrap_or_default();
        let decoded = self.decoder.decode(input, trailers)?;
        if let Decoded::Data(range) = &decoded {
            self.received += range.len() as u64;
            if let Some(limit) = self.max_body
                && self.received > limit
            {
                return Err(BodyError::TooLarge(limit));
            }
        }
        Ok(decoded)
    }

    /// Returns the output queue, for appending a head. [`Wire::poll_flush`] writes it.
    #[inline]
    pub fn output(&mut self) -> &mut Vec<u8> {
        self.output.queue()
    }

    /// Returns whether the socket has accepted everything that was queued or written.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.output.is_empty() && self.io.is_flushed()
    }

    /// Writes the queue. Ready once the socket has accepted it and everything written before.
    ///
    /// # Errors
    /// Errors of the stream.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_flush(&mut self.io, cx)
    }

    /// Frames all subsequent writes as a body of this length.
    pub fn begin_outgoing(&mut self, framing: BodyLength) {
        self.output.begin_body(framing);
    }

    /// Releases all memory of an idle connection.
    pub fn release_buffers(&mut self) {
        self.input.release_if_empty();
        self.output.release_if_empty();
        self.trailers = None;
    }
}

impl Source for Wire {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, BodyError>> {
        loop {
            if let Some(progress) = self.buffered_body()? {
                return Poll::Ready(Ok(progress));
            }
            if self.has_ended {
                let is_whole = self.decoder.is_complete_at_end();
                self.decoder = BodyDecoder::Empty;
                self.is_body_broken = !is_whole;
                return Poll::Ready(if is_whole {
                    Ok(Progress::End)
                } else {
                    Err(BodyError::Truncated)
                });
            }
            ready!(self.poll_fill(BUFFER_SIZE, cx)).map_err(BodyError::Io)?;
        }
    }

    #[inline]
    fn data(&self) -> &[u8] {
        self.input.filled().get(..self.data).unwrap_or_default()
    }

    #[inline]
    fn is_final(&self) -> bool {
        let has_trailers = self.trailers.as_deref().is_some_and(|t| !t.is_empty());
        matches!(self.decoder, BodyDecoder::Empty) && !has_trailers
    }

    #[inline]
    fn consume_data(&mut self, count: usize) {
        let count = count.min(self.data);
        self.data -= count;
        self.input.consume(count);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref()
    }
}

impl Sink for Wire {
    #[inline]
    fn poll_write(
        &mut self,
        data: &[u8],
        _is_final: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.output.poll_body(data, &mut self.io, cx)
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Wire::poll_flush(self, cx)
    }

    #[inline]
    fn pause(&mut self) {
        self.output.close_chunk();
    }

    #[inline]
    fn end(&mut self, trailers: Option<&Fields>, head: &Fields) -> io::Result<()> {
        self.output.end_body(trailers, head);
        Ok(())
    }
}
