//! The handshake of either side, as a future.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::{Connection, Error, InvalidMessage};
use thiserror::Error as ThisError;

use super::super::socket::Socket;
use super::stream::{Sender, TlsStream};

/// Why there is no TLS connection.
#[derive(Debug, ThisError)]
pub enum HandshakeError {
    /// The peer closed its socket, or never said anything.
    #[error("the peer closed the connection during the TLS handshake")]
    Closed,
    /// The socket failed.
    #[error("the connection failed during the TLS handshake")]
    Io(#[source] io::Error),
    /// What came is not TLS at all, as a plain HTTP request.
    #[error("the peer does not speak TLS")]
    NotTls,
    /// The peer ended the handshake, and said why.
    #[error("the peer refused the TLS handshake: {0}")]
    Refused(String),
    /// Anything else, in words for people.
    #[error("the TLS handshake failed: {0}")]
    Failed(String),
}

/// A handshake. Dropping it closes the socket.
#[derive(Debug)]
pub struct Handshake {
    /// None after the end.
    stage: Option<Stage>,
}

#[derive(Debug)]
struct Stage {
    socket: Socket,
    session: Connection,
}

impl Handshake {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "`server` and `client` are to come")
    )]
    pub(super) fn new(socket: Socket, session: Connection) -> Handshake {
        Handshake {
            stage: Some(Stage { socket, session }),
        }
    }
}

impl Future for Handshake {
    type Output = Result<Box<TlsStream>, HandshakeError>;

    /// # Panics
    /// If it is polled after its end.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stage = self.stage.as_mut().expect("the handshake has not ended");
        let result = ready!(stage.poll(cx));
        let stage = self.stage.take().expect("it was there");
        Poll::Ready(result.map(|()| TlsStream::new(stage.socket, stage.session)))
    }
}

impl Stage {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            let sent = self.send();
            if !self.session.is_handshaking() {
                // Tickets for which there is no room yet go out later.
                return Poll::Ready(sent.map(drop).map_err(HandshakeError::Io));
            }
            if !sent.map_err(HandshakeError::Io)? {
                ready!(self.socket.poll_write_ready(cx)).map_err(HandshakeError::Io)?;
                continue;
            }
            match self.session.read_tls(&mut Receiver(&self.socket)) {
                Ok(0) => return Poll::Ready(Err(HandshakeError::Closed)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_read_ready(cx)).map_err(HandshakeError::Io)?;
                    continue;
                }
                Err(error) => return Poll::Ready(Err(HandshakeError::Io(error))),
            }
            if let Err(error) = self.session.process_new_packets() {
                // The alert, which is small; if there is no room for it, the peer has to do
                // without.
                let _ = self.send();
                return Poll::Ready(Err(explain(error)));
            }
        }
    }

    /// Whether all has gone out.
    fn send(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Sender(&self.socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// The reason, in words for people.
fn explain(error: Error) -> HandshakeError {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => HandshakeError::NotTls,
        Error::AlertReceived(alert) => HandshakeError::Refused(format!("{alert:?}")),
        other => HandshakeError::Failed(other.to_string()),
    }
}

/// A socket that a session reads from.
struct Receiver<'a>(&'a Socket);

impl io::Read for Receiver<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}
