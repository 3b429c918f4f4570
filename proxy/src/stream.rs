//! A connected socket, and what passes through it.
//!
//! A leaf. [`Stream`] is a TCP or a Unix socket; [`Metered`] is what hyper reads and
//! writes: it counts, so that timeouts and logs know what moved, and it puts interim
//! responses between the messages that hyper writes.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

/// Bytes of interim responses that wait for a client that does not read; more are dropped.
pub const MAX_INTERIM_LEN: usize = 16 * 1024;

/// Largest allocation for a record that is kept from one request to the next.
const MAX_KEPT: usize = 4096;
/// A head and a body up to this many bytes together are joined for one `send(2)`, which is
/// cheaper than `writev(2)` by more than the copy.
const MAX_JOINED: usize = 2048;

/// A connected socket of either family.
#[derive(Debug)]
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// Calls the same method on the socket inside.
macro_rules! each {
    ($self:expr, $socket:ident => $call:expr) => {
        match $self {
            Stream::Tcp($socket) => $call,
            Stream::Unix($socket) => $call,
        }
    };
}

impl Stream {
    /// Waits for one of `interest`; costs no buffer.
    ///
    /// # Errors
    /// Those of the poller.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        each!(self, socket => socket.ready(interest).await)
    }

    /// Ready when a read may find something.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_read_ready(cx))
    }

    /// Ready when a write may find room.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_write_ready(cx))
    }

    /// Reads without waiting.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing to read; those of the socket.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(self, socket => socket.try_read(buffer))
    }

    /// Writes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` where there is no room; those of the socket.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, socket => socket.try_write(bytes))
    }

    /// Sends the end of the stream; reading goes on.
    ///
    /// # Errors
    /// Those of `shutdown(2)`.
    pub fn shutdown_write(&self) -> io::Result<()> {
        each!(self, socket => socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Write))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(cx))
    }
}

/// What passed through a [`Metered`] stream; shared by the stream and its owner's timeouts.
#[derive(Debug, Default)]
pub struct Meter {
    read: Cell<u64>,
    written: Cell<u64>,
    write: Cell<WriteState>,
    interim: RefCell<BytesMut>,
    is_recording: Cell<bool>,
    /// What was written since `record`.
    recorded: RefCell<Vec<u8>>,
}

/// Where the writer stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum WriteState {
    /// All that was handed over is in the socket.
    #[default]
    Flushed,
    /// The writer may hold more.
    Open,
    /// The writer holds more, and the socket is full.
    Blocked,
}

impl Meter {
    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.read.get()
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    /// Grows with every byte in either direction.
    pub fn moved(&self) -> u64 {
        self.read.get() + self.written.get()
    }

    /// Whether the peer does not take what there is to write.
    pub fn is_write_blocked(&self) -> bool {
        self.write.get() == WriteState::Blocked
    }

    /// Whether everything that hyper wrote has reached the socket.
    pub fn is_flushed(&self) -> bool {
        self.write.get() == WriteState::Flushed && self.interim.borrow().is_empty()
    }

    /// Keeps what is written from here on, until [`stop_recording`](Self::stop_recording).
    pub fn record(&self) {
        self.recorded.borrow_mut().clear();
        self.is_recording.set(true);
    }

    /// Keeps no more. The allocation stays for the next time, unless it is larger than
    /// heads commonly are: an idle connection must not hold what one client once sent.
    pub fn stop_recording(&self) {
        self.is_recording.set(false);
        let mut recorded = self.recorded.borrow_mut();
        if recorded.capacity() > MAX_KEPT {
            *recorded = Vec::new();
        }
    }

    /// What was written since [`record`](Self::record).
    pub fn take_record(&self) -> Vec<u8> {
        self.is_recording.set(false);
        self.recorded.take()
    }

    /// Keeps as much of `slices` as was written.
    fn keep(&self, slices: &[IoSlice<'_>], result: &Poll<io::Result<usize>>) {
        let Poll::Ready(Ok(mut rest)) = *result else {
            return;
        };
        let mut recorded = self.recorded.borrow_mut();
        for slice in slices {
            let count = rest.min(slice.len());
            recorded.extend_from_slice(&slice[..count]);
            rest -= count;
        }
    }

    fn note_write(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(count)) => {
                self.write.set(WriteState::Open);
                self.written.set(self.written.get() + *count as u64);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.write.set(WriteState::Blocked),
        }
    }

    /// Sends `head`, an interim response, ahead of the next message.
    ///
    /// hyper's server cannot write interim responses other than 100. Between two messages
    /// its buffer is empty and the stream is flushed; only then are other bytes allowed in
    /// between, so where an earlier response is still on its way the head is dropped
    /// (nothing that a client may rely on: RFC 9110, section 15.2).
    pub fn send_interim(&self, head: &[u8]) {
        let mut interim = self.interim.borrow_mut();
        if self.write.get() == WriteState::Flushed && interim.len() + head.len() <= MAX_INTERIM_LEN
        {
            interim.extend_from_slice(head);
        }
    }
}

/// A stream that counts. Shutting it down is left to its owner: hyper would do so before
/// the bytes could be taken back for a tunnel.
#[derive(Debug)]
pub struct Metered {
    stream: Stream,
    meter: Rc<Meter>,
}

impl Metered {
    /// Counts what passes through `stream` in `meter`.
    pub fn new(stream: Stream, meter: Rc<Meter>) -> Metered {
        Metered { stream, meter }
    }

    /// The socket again.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Writes what [`Meter::send_interim`] left.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut interim = self.meter.interim.borrow_mut();
        while !interim.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &interim);
            self.meter.note_write(&written);
            interim.advance(ready!(written)?);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        self.meter.read.set(self.meter.read.get() + count as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.meter.note_write(&result);
        if self.meter.is_recording.get() {
            self.meter.keep(&[IoSlice::new(bytes)], &result);
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        let stream = Pin::new(&mut self.stream);
        let result = match slices {
            [only] => stream.poll_write(cx, only),
            [first, second] if first.len() + second.len() <= MAX_JOINED => {
                let mut joined = [0; MAX_JOINED];
                let (head, rest) = joined.split_at_mut(first.len());
                head.copy_from_slice(first);
                rest[..second.len()].copy_from_slice(second);
                stream.poll_write(cx, &joined[..first.len() + second.len()])
            }
            _ => stream.poll_write_vectored(cx, slices),
        };
        self.meter.note_write(&result);
        if self.meter.is_recording.get() {
            self.meter.keep(slices, &result);
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes when its own buffer is empty: then nothing is left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        self.meter.write.set(WriteState::Flushed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Writes until the socket is full.
    async fn fill(metered: &mut Metered) {
        poll_fn(|cx| {
            while Pin::new(&mut *metered)
                .poll_write(cx, &[0; 4096])
                .is_ready()
            {}
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn an_interim_response_goes_between_messages_alone() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let meter = Rc::new(Meter::default());
        let mut metered = Metered::new(Stream::Unix(near), Rc::clone(&meter));
        poll_fn(|cx| Pin::new(&mut metered).poll_write(cx, b"first "))
            .await
            .unwrap();
        assert!(!meter.is_flushed());
        meter.send_interim(b"dropped ");
        poll_fn(|cx| Pin::new(&mut metered).poll_flush(cx))
            .await
            .unwrap();
        meter.send_interim(b"interim ");
        assert!(!meter.is_flushed());
        poll_fn(|cx| Pin::new(&mut metered).poll_write(cx, b"second"))
            .await
            .unwrap();
        drop(metered);
        let mut seen = String::new();
        far.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "first interim second");
        assert_eq!(meter.written(), seen.len() as u64);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_an_interim_response_blocks() {
        let (near, _far) = UnixStream::pair().unwrap();
        let meter = Rc::new(Meter::default());
        let mut metered = Metered::new(Stream::Unix(near), Rc::clone(&meter));
        fill(&mut metered).await;
        // As if hyper had nothing left of its own.
        meter.write.set(WriteState::Flushed);
        meter.send_interim(b"interim");
        poll_fn(|cx| {
            assert!(Pin::new(&mut metered).poll_flush(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(meter.is_write_blocked());
    }
}
