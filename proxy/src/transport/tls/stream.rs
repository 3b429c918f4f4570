//! A TLS connection after its handshake.
//!
//! This module drives the session directly. A read takes ciphertext from the socket once and
//! returns the resulting plaintext. A write passes plaintext to the session only if no ciphertext
//! of an earlier write is left. Little is therefore buffered: an idle connection keeps only the
//! session and the 4 KiB that rustls does not release.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write as _};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use rustls::Connection;

use super::ciphertext::{Nothing, Receiver, Sender, Source};
use super::facts::{CertificateFacts, TlsFacts};
use crate::transport::socket::{CloseMode, Socket};

/// Error message for a truncation attack, or for a peer that does not send `close_notify`.
const CUT_OFF: &str = "the peer closed the connection without ending its TLS session";

/// Maximum number of plaintext bytes in one write: two records. If the reader stalls, the
/// connection buffers that many bytes as ciphertext.
const MAX_WRITE: usize = 32 * 1024;
/// Number of bytes that rustls reads at once.
const READ_LEN: usize = 4096;
/// Maximum number of further bytes in one read of bulk data.
const SPILL_LEN: usize = 32 * 1024;
/// Maximum number of reads from the socket in one call if they yield no plaintext. Tickets or small
/// parts of records must not keep a worker from its other connections.
const MAX_FRUITLESS_READS: u32 = 16;

thread_local! {
    /// Ciphertext on its way from a socket into a session. Empty between two calls.
    static SPILL: RefCell<Box<[u8]>> = RefCell::new(vec![0; SPILL_LEN].into_boxed_slice());
}

/// A TLS connection of either side.
#[derive(Debug)]
pub struct TlsStream {
    socket: Socket,
    session: Connection,
    input: Input,
    /// Whether the last read from the socket filled all available space.
    is_bulk: bool,
    /// Whether rustls may still have a large buffer from the last read.
    may_shrink: bool,
    close_mode: CloseMode,
    /// Number of ciphertext bytes received and sent.
    received: u64,
    sent: u64,
}

/// State of the input.
#[derive(Debug, Clone, PartialEq)]
enum Input {
    Open,
    /// The peer has ended its stream or closed its socket.
    Ended,
    /// The peer has violated the protocol. Plaintext from before the violation can still be unread.
    Failed(rustls::Error),
}

impl TlsStream {
    /// Creates the stream after the handshake.
    pub(super) fn new(socket: Socket, mut session: Connection) -> Box<TlsStream> {
        session.set_buffer_limit(Some(MAX_WRITE));
        Box::new(TlsStream {
            socket,
            session,
            input: Input::Open,
            is_bulk: false,
            may_shrink: true,
            close_mode: CloseMode::Close,
            received: 0,
            sent: 0,
        })
    }

    /// Returns the negotiated application protocol (RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// Returns the negotiated properties. Parses the client's certificate, so call it only once.
    pub fn facts(&self) -> TlsFacts {
        TlsFacts::of(&self.session)
    }

    /// Returns the certificate that the peer presented, if any, for example a server's.
    pub fn peer_certificate(&self) -> Option<CertificateFacts> {
        let der = self.session.peer_certificates()?.first()?;
        CertificateFacts::from_der(der)
    }

    /// Returns the number of bytes that the socket has received and sent.
    #[inline]
    pub(in crate::transport) fn moved(&self) -> u64 {
        self.received + self.sent
    }

    /// Polls for read readiness; a read can still find nothing. Ready at once if the session has
    /// plaintext or the input has ended.
    pub(in crate::transport) fn poll_read_ready(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // `wants_read` is false while there is plaintext, and after the peer has ended its stream.
        if !self.session.wants_read() || self.input != Input::Open {
            return Poll::Ready(Ok(()));
        }
        if self.session.wants_write() {
            // Sends the session's own messages, for example the response to a key update request.
            // The next write reports an error.
            let _ = self.poll_flush(cx);
        }
        let polled = self.socket.poll_read_ready(cx);
        if polled.is_pending() {
            self.shrink();
        }
        polled
    }

    /// Releases the memory that a large record needed. rustls releases it at its next read, so this
    /// makes an empty one.
    fn shrink(&mut self) {
        if self.may_shrink {
            self.may_shrink = false;
            // The only error is that of `Nothing`.
            let _ = self.session.read_tls(&mut Nothing);
        }
    }

    /// Reads plaintext.
    ///
    /// # Errors
    /// - `WouldBlock` if there is no plaintext: either the socket has no more bytes, or this call
    ///   has made the maximum number of reads.
    /// - `UnexpectedEof` if the peer closed its socket without ending its stream.
    /// - `InvalidData` for a protocol violation.
    /// - Errors of the socket.
    pub(in crate::transport) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..MAX_FRUITLESS_READS {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The message of rustls is meant for programmers.
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

    /// Returns whether there is nothing to read, neither plaintext nor the end of the stream. Makes
    /// a system call, and processes tickets.
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

    /// Reads ciphertext once, and returns how much plaintext was put into `buffer`.
    ///
    /// Reads no more than fits into `buffer`, or [`READ_LEN`] if that is more. The number of bytes
    /// left in the session is therefore always below the session's limit.
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

    /// Reads into the session, and puts bytes that do not fit into the session at once into
    /// `spill`. Returns the number of bytes in `spill`, and the number of plaintext bytes in
    /// `buffer`.
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

    /// Decrypts the ciphertext in the session. Returns how much plaintext was put into `buffer`.
    fn process(&mut self, buffer: &mut [u8]) -> usize {
        match self.session.process_new_packets() {
            Ok(state) if state.peer_has_closed() => self.input = Input::Ended,
            Ok(_) => {}
            Err(error) => self.input = Input::Failed(error),
        }
        if self.session.wants_write() {
            // Sends the session's own messages, for example an alert. If there is no space now, a
            // later flush sends them.
            let _ = self.flush();
        }
        // The next read reports an error, or that there is no plaintext.
        self.session.reader().read(buffer).unwrap_or_default()
    }

    /// Accepts plaintext if the socket has accepted all earlier ciphertext.
    ///
    /// # Errors
    /// `WouldBlock` if earlier ciphertext is left; errors of the socket; `InvalidData` after a
    /// protocol violation.
    pub(in crate::transport) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let count = self.session.writer().write(bytes)?;
        self.flush_taken(count)
    }

    /// Like [`TlsStream::try_write`], for several slices, which share records.
    ///
    /// # Errors
    /// Like [`TlsStream::try_write`].
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

    /// Returns whether the socket has accepted everything that was written.
    #[inline]
    pub(in crate::transport) fn is_flushed(&self) -> bool {
        !self.session.wants_write()
    }

    /// Writes as much ciphertext as the socket accepts. `WouldBlock` if some is left.
    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Sender(&self.socket))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.sent += count as u64,
            }
        }
        Ok(())
    }

    /// Ready once the socket has accepted everything that was written.
    ///
    /// # Errors
    /// Errors of the socket.
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

    /// Ready once a write can be accepted. If the socket has failed, that write reports the error.
    ///
    /// # Errors
    /// Errors of the poller.
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

    /// Ends the stream and then the sending side of the socket, after everything that was written.
    ///
    /// # Errors
    /// Errors of the socket.
    pub(in crate::transport) fn poll_shutdown(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // Only the first call has an effect.
        self.session.send_close_notify();
        ready!(self.poll_flush(cx))?;
        Poll::Ready(self.socket.shutdown_write())
    }

    /// Returns the local address of a TCP connection.
    pub(in crate::transport) fn local_address(&self) -> Option<SocketAddr> {
        self.socket.local_address()
    }

    /// Sets how the connection ends when it is dropped.
    pub(in crate::transport) fn set_close_mode(&mut self, close_mode: CloseMode) {
        self.close_mode = close_mode;
        self.socket.set_close_mode(close_mode);
    }
}

impl Drop for TlsStream {
    /// Marks the end of the stream, so that the peer can distinguish a clean close from a truncated
    /// connection.
    fn drop(&mut self) {
        if self.close_mode == CloseMode::Close {
            self.session.send_close_notify();
            // No one waits for the result.
            let _ = self.flush();
        }
    }
}

#[cfg(test)]
mod tests;
