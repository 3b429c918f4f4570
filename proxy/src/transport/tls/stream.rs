//! A TLS connection after its handshake.
//!
//! The session is driven directly: a read takes ciphertext from the socket once and gives the
//! plaintext that came of it; a write gives the session plaintext only while no ciphertext of an
//! earlier one is left. So little is buffered, and an idle connection keeps only the session and
//! the 4 KiB that rustls does not give back.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write as _};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use rustls::Connection;

use super::ciphertext::{Nothing, Receiver, Sender, Source};
use super::facts::{CertificateFacts, TlsFacts};
use crate::transport::socket::{EndBy, Socket};

/// A truncation attack, or a peer that does not say `close_notify`.
const CUT_OFF: &str = "the peer closed the connection without ending its TLS session";

/// Plaintext that one write takes: two records. A reader that stalls makes a connection hold that
/// much as ciphertext.
const MAX_WRITE: usize = 32 * 1024;
/// What rustls itself reads at once.
const READ_LEN: usize = 4096;
/// What is read beyond that in one go while there is bulk data.
const SPILL_LEN: usize = 32 * 1024;
/// Reads from the socket that one call may make if they bring no plaintext: tickets or small parts
/// of records must not keep a worker from its other connections.
const MAX_FRUITLESS_READS: u32 = 16;

thread_local! {
    /// Ciphertext on its way from a socket into a session; empty between two calls.
    static SPILL: RefCell<Box<[u8]>> = RefCell::new(vec![0; SPILL_LEN].into_boxed_slice());
}

/// A TLS connection, of either side.
#[derive(Debug)]
pub struct TlsStream {
    socket: Socket,
    session: Connection,
    input: Input,
    /// The last read from the socket found all that it had room for.
    is_bulk: bool,
    /// rustls may hold a large buffer since the last read.
    may_shrink: bool,
    end: EndBy,
    /// Ciphertext in and out.
    received: u64,
    sent: u64,
}

/// Whether more can come.
#[derive(Debug, Clone, PartialEq)]
enum Input {
    Open,
    /// The peer has ended its stream, or its socket.
    Ended,
    /// It has violated the protocol. Plaintext from before may be left.
    Failed(rustls::Error),
}

impl TlsStream {
    /// After its handshake.
    pub(super) fn new(socket: Socket, mut session: Connection) -> Box<TlsStream> {
        session.set_buffer_limit(Some(MAX_WRITE));
        Box::new(TlsStream {
            socket,
            session,
            input: Input::Open,
            is_bulk: false,
            may_shrink: true,
            end: EndBy::Close,
            received: 0,
            sent: 0,
        })
    }

    /// The protocol that both sides have agreed on (RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// What the handshake has agreed on. Reads the client's certificate: to be called once.
    pub fn facts(&self) -> TlsFacts {
        TlsFacts::of(&self.session)
    }

    /// The peer's certificate, if it has shown one: a server's, say.
    pub fn peer_certificate(&self) -> Option<CertificateFacts> {
        let der = self.session.peer_certificates()?.first()?;
        CertificateFacts::from_der(der)
    }

    /// Bytes of the socket, in both directions.
    #[inline]
    pub(in crate::transport) fn moved(&self) -> u64 {
        self.received + self.sent
    }

    /// Ready when a read may find something: at once while the session has plaintext, or knows
    /// of the end.
    pub(in crate::transport) fn poll_read_ready(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // False while there is plaintext, and after the peer's end.
        if !self.session.wants_read() || self.input != Input::Open {
            return Poll::Ready(Ok(()));
        }
        if self.session.wants_write() {
            // An answer of the session's own, as to a request for other keys. An error is found
            // by the next write.
            let _ = self.poll_flush(cx);
        }
        let polled = self.socket.poll_read_ready(cx);
        if polled.is_pending() {
            self.shrink();
        }
        polled
    }

    /// Lets go of the memory that a large record needed: rustls does so when it reads next.
    fn shrink(&mut self) {
        if self.may_shrink {
            self.may_shrink = false;
            // The error is that of `Nothing`.
            let _ = self.session.read_tls(&mut Nothing);
        }
    }

    /// Reads plaintext.
    ///
    /// # Errors
    /// `WouldBlock` if there is none: either the socket has nothing more, or this call has had its
    /// share of reads. `UnexpectedEof` if the socket has ended, but not the stream. `InvalidData`
    /// for a violation of the protocol. Those of the socket.
    pub(in crate::transport) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..MAX_FRUITLESS_READS {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // rustls explains it to programmers.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(io::Error::new(error.kind(), CUT_OFF));
                }
                result => return result,
            }
            if let Input::Failed(error) = &self.input {
                return Err(io::Error::new(io::ErrorKind::InvalidData, error.clone()));
            }
            let count = self.fill(Source::Poller, buffer)?;
            if count > 0 {
                return Ok(count);
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Whether neither plaintext nor an end has come, by asking the system. Tickets are taken in.
    pub(in crate::transport) fn has_nothing_to_read(&mut self) -> bool {
        for _ in 0..MAX_FRUITLESS_READS {
            if !self.session.wants_read() || self.input != Input::Open {
                return false;
            }
            if let Err(error) = self.fill(Source::System, &mut []) {
                return error.kind() == io::ErrorKind::WouldBlock;
            }
        }
        false
    }

    /// Reads ciphertext once, and gives the plaintext that fits into `buffer`.
    ///
    /// No more is read than `buffer` has room for, or [`READ_LEN`] if that is more. So what is left
    /// in the session is always less than it refuses to hold.
    fn fill(&mut self, source: Source, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.is_bulk {
            let (_, count) = self.receive(source, &mut [], buffer)?;
            return Ok(count);
        }
        SPILL.with_borrow_mut(|spill| {
            let room = buffer.len().saturating_sub(READ_LEN).min(spill.len());
            let (spilled, mut count) = self.receive(source, &mut spill[..room], buffer)?;
            let mut rest = &spill[..spilled];
            while !rest.is_empty() && self.input == Input::Open {
                self.session.read_tls(&mut rest)?;
                count += self.process(&mut buffer[count..]);
            }
            Ok(count)
        })
    }

    /// Reads into the session, and into `spill` what the session has no room for at once. Gives how
    /// much is in `spill`, and in `buffer` as plaintext.
    fn receive(
        &mut self,
        source: Source,
        spill: &mut [u8],
        buffer: &mut [u8],
    ) -> io::Result<(usize, usize)> {
        let mut receiver = Receiver::new(&self.socket, source, spill);
        let direct = self.session.read_tls(&mut receiver)?;
        let spilled = receiver.spilled();
        self.is_bulk = receiver.is_filled();
        self.may_shrink = true;
        self.received += (direct + spilled) as u64;
        let count = self.process(buffer);
        if direct == 0 && self.input == Input::Open {
            self.input = Input::Ended;
        }
        Ok((spilled, count))
    }

    /// Decrypts what was read, and gives what fits into `buffer`.
    fn process(&mut self, buffer: &mut [u8]) -> usize {
        match self.session.process_new_packets() {
            Ok(state) if state.peer_has_closed() => self.input = Input::Ended,
            Ok(_) => {}
            Err(error) => self.input = Input::Failed(error),
        }
        if self.session.wants_write() {
            // An alert, for instance. If there is no room now, a later flush sends it.
            let _ = self.flush();
        }
        // An error, or that there is nothing, is found by the next read.
        self.session.reader().read(buffer).unwrap_or_default()
    }

    /// Takes plaintext, if the socket has all of what was taken before.
    ///
    /// # Errors
    /// `WouldBlock` if it has not; those of the socket; `InvalidData` after a violation of the
    /// protocol.
    pub(in crate::transport) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let count = self.session.writer().write(bytes)?;
        self.flush_taken(count)
    }

    /// As [`TlsStream::try_write`], for several slices, which share records.
    ///
    /// # Errors
    /// As [`TlsStream::try_write`].
    pub(in crate::transport) fn try_write_vectored(
        &mut self,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        self.flush()?;
        let count = self.session.writer().write_vectored(slices)?;
        self.flush_taken(count)
    }

    fn flush_taken(&mut self, count: usize) -> io::Result<usize> {
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    /// Whether the socket has everything that was written.
    #[inline]
    pub(in crate::transport) fn is_flushed(&self) -> bool {
        !self.session.wants_write()
    }

    /// Gives the socket what it takes. `WouldBlock` if something is left.
    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Sender(&self.socket))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.sent += count as u64,
            }
        }
        Ok(())
    }

    /// Ready when the socket has everything that was written.
    ///
    /// # Errors
    /// Those of the socket.
    pub(in crate::transport) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// Ready when a write may be taken. An error of the socket is left for that write.
    ///
    /// # Errors
    /// Those of the poller.
    pub(in crate::transport) fn poll_write_ready(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Err(error) = self.flush() {
            if error.kind() != io::ErrorKind::WouldBlock {
                break;
            }
            ready!(self.socket.poll_write_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the stream and then the socket's side, behind everything that was written.
    ///
    /// # Errors
    /// Those of the socket.
    pub(in crate::transport) fn poll_shutdown(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // Once, whatever is called how often.
        self.session.send_close_notify();
        ready!(self.poll_flush(cx))?;
        Poll::Ready(self.socket.shutdown_write())
    }

    /// This end of a TCP connection.
    pub(in crate::transport) fn local_address(&self) -> Option<SocketAddr> {
        self.socket.local_address()
    }

    /// Decides how the connection ends when it is dropped.
    pub(in crate::transport) fn end_by(&mut self, end: EndBy) {
        self.end = end;
        self.socket.end_by(end);
    }
}

impl Drop for TlsStream {
    /// An end in order is one that the peer can tell from a connection that was cut.
    fn drop(&mut self) {
        if self.end == EndBy::Close {
            self.session.send_close_notify();
            // Nobody waits for it.
            let _ = self.flush();
        }
    }
}

#[cfg(test)]
mod tests;
