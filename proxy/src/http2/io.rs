//! The byte stream below an HTTP/2 connection, adapted for h2 and observed.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::{Budget, Violation};
use crate::transport::buffer::BUFFER_SIZE;
use crate::transport::io::Io;

/// Observed state of a byte stream that h2 owns, for the owner of the connection.
#[derive(Debug)]
pub(super) struct Watch {
    moved: Cell<u64>,
    received: Cell<u64>,
    is_blocked: Cell<bool>,
    budget: RefCell<Budget>,
}

impl Watch {
    pub(super) fn new(budget: Budget) -> Rc<Watch> {
        Rc::new(Watch {
            moved: Cell::new(0),
            received: Cell::new(0),
            is_blocked: Cell::new(false),
            budget: RefCell::new(budget),
        })
    }

    /// Returns a counter that grows with every byte in either direction.
    pub(super) fn moved(&self) -> u64 {
        self.moved.get()
    }

    /// Returns the number of bytes received from the peer.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Returns whether output is waiting for the socket.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.get()
    }

    /// Returns whether the peer has sent a whole frame.
    pub(super) fn has_frame(&self) -> bool {
        self.budget.borrow().has_frame()
    }

    /// Returns the violation by the peer that ends the connection, if any.
    pub(super) fn violation(&self) -> Option<Violation> {
        self.budget.borrow().violation()
    }
}

/// An [`Io`] for h2 that records what happens on it.
#[derive(Debug)]
pub(super) struct WatchedIo {
    io: Io,
    watch: Rc<Watch>,
}

impl WatchedIo {
    pub(super) fn new(io: Io, watch: &Rc<Watch>) -> WatchedIo {
        WatchedIo {
            io,
            watch: Rc::clone(watch),
        }
    }

    /// Returns the error to report for a failed write. A TLS alert from the peer explains more than
    /// the write error, and h2 reads nothing after a failed write.
    fn reason_of(&mut self, of_write: io::Error) -> io::Error {
        // The poller may not have noticed the alert yet.
        while !self.io.has_nothing_to_read() {
            match self.io.try_read(&mut [0; 1024]) {
                Ok(1..) => {}
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return error,
            }
        }
        of_write
    }

    /// Calls `write` until it makes progress, fails, or has to wait.
    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&mut Io) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(&mut self.io) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.watch.is_blocked.set(true);
                    if let Err(error) = ready!(self.io.poll_write_ready(cx)) {
                        return Poll::Ready(Err(self.reason_of(error)));
                    }
                }
                Err(error) => return Poll::Ready(Err(self.reason_of(error))),
                result => {
                    self.watch.is_blocked.set(false);
                    self.watch.moved.set(self.io.moved());
                    return Poll::Ready(result);
                }
            }
        }
    }
}

thread_local! {
    /// Buffer for reads of unknown length. h2's own buffer would have to be zeroed for every read.
    /// That takes longer than copying the usual number of bytes from this one.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_SIZE].into());
}

/// Reads as much as there is room for, but at most 16 KiB.
fn read_into(io: &mut Io, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
    SCRATCH.with_borrow_mut(|scratch| {
        let room = buffer.remaining().min(scratch.len());
        let count = io.try_read(&mut scratch[..room])?;
        buffer.put_slice(&scratch[..count]);
        Ok(())
    })
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.violation().is_some() {
            // Reading stops; the owner closes the connection.
            return Poll::Pending;
        }
        loop {
            let start = buffer.filled().len();
            let io = &mut self.io;
            match read_into(io, buffer) {
                Ok(()) => {
                    self.watch.moved.set(self.io.moved());
                    self.watch.received.set(self.io.read());
                    let mut budget = self.watch.budget.borrow_mut();
                    budget.received(&buffer.filled()[start..]);
                    if budget.violation().is_some() {
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(io.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.poll_with(cx, |io| io.try_write(bytes)))?;
        self.watch.budget.borrow_mut().sent(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // h2 writes a frame's header and its payload as two slices.
        let mut full = slices.iter().filter(|slice| !slice.is_empty());
        let first = full.next().map_or(&[][..], |slice| slice);
        let second = full.next().map_or(&[][..], |slice| slice);
        let count = ready!(self.poll_with(cx, |io| io.try_write_both(first, second)))?;
        let mut budget = self.watch.budget.borrow_mut();
        let of_first = count.min(first.len());
        budget.sent(&first[..of_first]);
        budget.sent(&second[..count - of_first]);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.io.poll_flush(cx);
        self.watch.is_blocked.set(flushed.is_pending());
        flushed.map_err(|error| self.reason_of(error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_shutdown(cx)
    }
}
