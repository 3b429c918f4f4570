//! One direction of a tunnel.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};

use super::end::End;
use super::scratch::Scratch;
use super::splice::Pipe;

/// Maximum number of reads that one direction makes before the worker's other tasks get a turn.
const MAX_READS_A_TURN: u32 = 16;
/// Number of reads that filling a pipe counts as: a pipe has the capacity of this many scratch
/// buffers.
const READS_A_PIPE: u32 = 4;

/// One direction of a tunnel.
#[derive(Debug)]
pub(super) struct Flow {
    /// Bytes that were read but that the other side has not accepted yet.
    rest: Bytes,
    /// A pipe that is borrowed while there is bulk data.
    pipe: Option<Pipe>,
    state: FlowState,
    moved: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlowState {
    Open,
    /// The source has ended; the remaining bytes are being written.
    Draining,
    /// The end of the stream has been passed on.
    Closed,
}

impl Flow {
    /// Creates a flow that sends `early` first.
    pub(super) fn new(early: &[u8]) -> Flow {
        Flow {
            // The bytes are copied, because a slice would keep alive the whole buffer that they
            // were read into.
            rest: Bytes::copy_from_slice(early),
            pipe: None,
            state: FlowState::Open,
            moved: 0,
        }
    }

    /// Moves as many bytes as possible. Ready once the end of the stream has been passed on, or the
    /// other side accepts no more bytes. Fails if the source is broken, which breaks both
    /// directions.
    pub(super) fn poll(
        &mut self,
        from: &mut End,
        to: &mut End,
        scratch: &Scratch,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut reads = 0;
        loop {
            if let (Some(pipe), Some(socket)) = (&mut self.pipe, to.as_tcp())
                && pipe.filled() > 0
            {
                match pipe.drain(socket) {
                    Ok(count) => self.record(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(to.poll_write_ready(cx))?;
                    }
                    Err(_) => self.abort(),
                }
                continue;
            }
            if !self.rest.is_empty() {
                match to.try_write(&self.rest) {
                    Ok(count) => self.consume(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(to.poll_write_ready(cx))?;
                    }
                    Err(_) => self.abort(),
                }
                continue;
            }
            match self.state {
                FlowState::Closed => return Poll::Ready(Ok(())),
                FlowState::Draining => {
                    // The peer can already be gone; in that case the direction has ended all the
                    // same.
                    let _ = ready!(to.poll_shutdown(cx));
                    self.state = FlowState::Closed;
                    return Poll::Ready(Ok(()));
                }
                FlowState::Open => {}
            }
            if reads >= MAX_READS_A_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += if self.pipe.is_some() { READS_A_PIPE } else { 1 };
            match self.step(from, to, scratch) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.give_back(scratch);
                    if ready!(to.poll_flush(cx)).is_err() {
                        self.abort();
                        continue;
                    }
                    ready!(from.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads once, and writes the bytes once.
    fn step(&mut self, from: &mut End, to: &mut End, scratch: &Scratch) -> io::Result<()> {
        if let (Some(pipe), Some(socket)) = (&mut self.pipe, from.as_tcp()) {
            if pipe.fill(socket)? == 0 {
                self.state = FlowState::Draining;
                self.give_back(scratch);
            }
            return Ok(());
        }
        let mut buffer = scratch.0.buffer.borrow_mut();
        let count = from.try_read(&mut buffer)?;
        if count == 0 {
            self.state = FlowState::Draining;
            return Ok(());
        }
        if count == buffer.len() && from.as_tcp().is_some() && to.as_tcp().is_some() {
            // A full buffer suggests that more data follows.
            self.pipe = scratch.0.pipes.take();
        }
        let written = match to.try_write(&buffer[..count]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.abort();
                return Ok(());
            }
        };
        self.record(written);
        if written < count {
            self.rest = Bytes::copy_from_slice(&buffer[written..count]);
        }
        Ok(())
    }

    /// Returns the pipe to the worker, so that another tunnel can use it while this source has no
    /// data.
    fn give_back(&mut self, scratch: &Scratch) {
        if let Some(pipe) = self.pipe.take() {
            scratch.0.pipes.put(pipe);
        }
    }

    fn consume(&mut self, count: usize) {
        self.record(count);
        self.rest.advance(count);
        if self.rest.is_empty() {
            self.rest = Bytes::new();
        }
    }

    /// Ends this direction because the other side accepts no more bytes. The opposite direction
    /// continues: bytes that the other side sent earlier can still be in transit.
    fn abort(&mut self) {
        self.rest = Bytes::new();
        self.pipe = None;
        self.state = FlowState::Closed;
    }

    /// Returns the number of bytes moved so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    fn record(&mut self, count: usize) {
        self.moved += count as u64;
    }

    /// Returns whether the end of the stream has been passed on, or the other side accepts no more
    /// bytes.
    pub(super) fn has_ended(&self) -> bool {
        self.state == FlowState::Closed
    }
}
