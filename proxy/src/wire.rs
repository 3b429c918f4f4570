//! HTTP/1.1 messages on a connection: reads heads and bodies, queues and writes bytes.
//!
//! One [`Wire`] for each connection of either side; what is read and written is for `http1`
//! to say. Every call does what it can without waiting. Called by `downstream::http1`,
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
    /// The stream below.
    pub io: Io,
    input: Buffer,
    /// Of the head that is being read.
    pub scan: Scan,
    /// For all waits on this connection; it stays armed from one to the next.
    pub timer: Timer,
    decoder: BodyDecoder,
    /// The present body is faulty: where it ends is unknown.
    is_body_broken: bool,
    /// Bytes of payload at the front of `input`.
    data: usize,
    /// Payload of the present body so far, and the most that it may have.
    received: u64,
    max_body: Option<u64>,
    trailers: Option<Box<Fields>>,
    /// The peer has ended its stream.
    has_ended: bool,
    /// Since [`Wire::poll_gone`] found out.
    gone_stall: Option<Stall>,
    output: Output,
}

impl Wire {
    /// A connection that nothing was read from.
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

    /// The stream, and the bytes that were read from it but not used.
    pub fn into_parts(self) -> (Io, Buffer) {
        (self.io, self.input)
    }

    /// Bytes that were read and not used: a head, and whatever follows it.
    #[inline]
    pub fn input(&self) -> &[u8] {
        self.input.filled()
    }

    /// Removes bytes from the front of the input.
    #[inline]
    pub fn consume_input(&mut self, count: usize) {
        self.input.consume(count);
    }

    /// Whether the peer has ended its stream. Input may be left.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether no further message can come: the peer has ended its stream, and no input is left.
    pub fn is_exhausted(&self) -> bool {
        self.has_ended && self.input.is_empty()
    }

    /// Reads more input, up to `limit` bytes in all. 0 at the end of the stream, or if that
    /// many are there.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_fill(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.has_ended || self.input.filled().len() >= limit {
            return Poll::Ready(Ok(0));
        }
        loop {
            // Before a buffer is taken: an idle connection holds none.
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

    /// Notices a peer that is gone while it is not read from otherwise. One that has ended its
    /// side in order may still wait for an answer: it counts as gone once nothing has moved for
    /// `limit`. Ready with the error of a connection that failed.
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
            // The start of a next message may come; a buffer of it is enough.
            match ready!(self.poll_fill(BUFFER_SIZE, task)) {
                Ok(0) if !self.has_ended => return Poll::Pending,
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(error)),
            }
        }
    }

    /// Begins the body behind the head that was just taken from the input.
    pub fn begin_body(&mut self, length: BodyLength) {
        self.decoder = BodyDecoder::new(length);
        self.is_body_broken = false;
        self.data = 0;
        self.received = 0;
        self.max_body = None;
        self.trailers = None;
    }

    /// Breaks the present body off before the piece that makes it larger than `limit`.
    pub fn limit_body(&mut self, limit: Option<u64>) {
        self.max_body = limit;
    }

    /// Whether the present body was read whole.
    pub fn is_body_complete(&self) -> bool {
        self.data == 0 && self.decoder.is_complete() && !self.is_body_broken
    }

    /// The next piece of the body that was read already; None if more must be read.
    ///
    /// # Errors
    /// [`BodyError::Chunk`], [`BodyError::TooLarge`].
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

    /// The next step of the decoder over the input from `at` on.
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

    /// The queue's end, to append a head to. [`Wire::poll_flush`] writes it.
    #[inline]
    pub fn output(&mut self) -> &mut Vec<u8> {
        self.output.queue()
    }

    /// Whether the socket has everything that was queued or written.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.output.is_empty() && self.io.is_flushed()
    }

    /// Writes the queue; ready when the socket has it, and all that was written before.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_flush(&mut self.io, cx)
    }

    /// Frames what is written from now on as a body of this length.
    pub fn begin_outgoing(&mut self, framing: BodyLength) {
        self.output.begin_body(framing);
    }

    /// Gives back all memory of an idle connection.
    pub fn rest(&mut self) {
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
