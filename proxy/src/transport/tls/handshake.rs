//! The handshake of either side as a future.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::UnixTime;
use rustls::server::{AcceptedAlert, Acceptor};
use rustls::{CertificateError, Connection, Error, InvalidMessage};
use thiserror::Error as ThisError;

use super::ciphertext::{Receiver, Sender, Source};
use super::facts::date;
use super::site::{Site, Unrecognized};
use super::stream::TlsStream;
use crate::transport::socket::Socket;

/// Maximum number of certificate names that an error lists.
const MAX_NAMES: usize = 10;

/// A record that contains a fatal alert (RFC 8446, sections 5.1 and 6.2).
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

/// Reason why a TLS handshake failed.
#[derive(Debug, ThisError)]
pub enum HandshakeError {
    /// The peer closed its socket, perhaps without sending anything.
    #[error("the peer closed the connection during the TLS handshake")]
    Closed,
    /// The socket failed.
    #[error("the connection failed during the TLS handshake")]
    Io(#[source] io::Error),
    /// The first bytes are not TLS; for example, they are a plain HTTP request.
    #[error("the peer does not speak TLS")]
    NotTls,
    /// The peer aborted the handshake with this alert.
    #[error("the peer refused the TLS handshake: {0}")]
    Refused(String),
    /// The client requested no name, or one that no certificate has.
    #[error("no certificate has the name that the client requested{}", quoted(.0.as_deref()))]
    UnrecognizedName(Option<Box<str>>),
    /// The client sent no certificate although one is required.
    #[error("the client sent no certificate")]
    NoCertificate,
    /// The peer's certificate could not be verified.
    #[error("the peer's certificate is not accepted: {0}")]
    Certificate(String),
    /// Any other error, with a human-readable message.
    #[error("the TLS handshake failed: {0}")]
    Failed(String),
}

/// A handshake in progress. Dropping it closes the socket.
pub struct Handshake {
    /// `None` once the handshake has ended.
    state: Option<(Socket, Stage)>,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = self.state.as_ref().map(|(socket, _)| socket);
        f.debug_struct("Handshake")
            .field("socket", &socket)
            .finish_non_exhaustive()
    }
}

enum Stage {
    /// Waits for the client's first message, which selects the configuration.
    Hello(Box<Acceptor>, Arc<Site>),
    Session(Box<Connection>),
    /// The session could not be created.
    Failed(Error),
}

impl Handshake {
    /// Starts a handshake with a client.
    pub(super) fn accept(socket: Socket, site: Arc<Site>) -> Handshake {
        let stage = Stage::Hello(Box::default(), site);
        Handshake {
            state: Some((socket, stage)),
        }
    }

    /// Starts a handshake with a server.
    pub(super) fn connect(socket: Socket, session: Result<Connection, Error>) -> Handshake {
        let stage = match session {
            Ok(session) => Stage::Session(Box::new(session)),
            Err(error) => Stage::Failed(error),
        };
        Handshake {
            state: Some((socket, stage)),
        }
    }
}

impl Future for Handshake {
    type Output = Result<Box<TlsStream>, HandshakeError>;

    /// # Panics
    /// Panics if the future is polled after its end.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (socket, stage) = self.state.as_mut().expect("the handshake has not ended");
        if let Stage::Hello(acceptor, site) = stage {
            match ready!(poll_hello(socket, acceptor, site, cx)) {
                Ok(session) => *stage = Stage::Session(Box::new(session)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if let Stage::Session(session) = stage {
            ready!(poll_session(socket, session, cx))?;
        }
        let (socket, stage) = self.state.take().expect("it was there");
        Poll::Ready(match stage {
            Stage::Session(session) => Ok(TlsStream::new(socket, *session)),
            Stage::Failed(error) => Err(explain(error)),
            Stage::Hello(..) => Err(HandshakeError::Closed),
        })
    }
}

/// Waits for the client's first message, and uses it to choose the configuration for the client.
fn poll_hello(
    socket: &Socket,
    acceptor: &mut Acceptor,
    site: &Site,
    cx: &mut Context<'_>,
) -> Poll<Result<Connection, HandshakeError>> {
    loop {
        ready!(poll_receive(
            socket,
            |receiver| acceptor.read_tls(receiver),
            cx
        ))?;
        let accepted = match acceptor.accept() {
            Ok(None) => continue,
            Ok(Some(accepted)) => accepted,
            Err(refused) => return Poll::Ready(Err(refuse(socket, refused))),
        };
        let chosen = site.choose(&accepted.client_hello());
        return Poll::Ready(match chosen {
            Ok(config) => accepted
                .into_connection(config)
                .map(Connection::Server)
                .map_err(|refused| refuse(socket, refused)),
            Err(Unrecognized(name)) => {
                // The alert fits into the buffer of any socket.
                let _ = socket.try_write(UNRECOGNIZED_NAME);
                Err(HandshakeError::UnrecognizedName(name))
            }
        });
    }
}

/// Sends the alert to the client, and returns the error.
fn refuse(socket: &Socket, (error, mut alert): (Error, AcceptedAlert)) -> HandshakeError {
    // The alert fits into the buffer of any socket.
    let _ = alert.write(&mut Sender(socket));
    explain(error)
}

fn poll_session(
    socket: &Socket,
    session: &mut Connection,
    cx: &mut Context<'_>,
) -> Poll<Result<(), HandshakeError>> {
    loop {
        let sent = send(socket, session);
        if !session.is_handshaking() {
            // Tickets that do not fit yet are sent later.
            return Poll::Ready(sent.map(drop).map_err(HandshakeError::Io));
        }
        if !sent.map_err(HandshakeError::Io)? {
            ready!(socket.poll_write_ready(cx)).map_err(HandshakeError::Io)?;
            continue;
        }
        ready!(poll_receive(
            socket,
            |receiver| session.read_tls(receiver),
            cx
        ))?;
        if let Err(error) = session.process_new_packets() {
            // This sends the alert, which is small. If there is no space for it, the peer does not
            // receive it.
            let _ = send(socket, session);
            return Poll::Ready(Err(explain(error)));
        }
    }
}

/// Performs one successful read, waiting for it if necessary.
fn poll_receive(
    socket: &Socket,
    mut read: impl FnMut(&mut Receiver<'_>) -> io::Result<usize>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), HandshakeError>> {
    loop {
        match read(&mut Receiver::new(socket, Source::Poller, &mut [])) {
            Ok(0) => return Poll::Ready(Err(HandshakeError::Closed)),
            Ok(_) => return Poll::Ready(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(socket.poll_read_ready(cx)).map_err(HandshakeError::Io)?;
            }
            Err(error) => return Poll::Ready(Err(HandshakeError::Io(error))),
        }
    }
}

/// Sends pending bytes without waiting. Returns whether all were sent.
fn send(socket: &Socket, session: &mut Connection) -> io::Result<bool> {
    while session.wants_write() {
        match session.write_tls(&mut Sender(socket)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Converts an error of rustls into one with a human-readable message.
fn explain(error: Error) -> HandshakeError {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => HandshakeError::NotTls,
        Error::AlertReceived(alert) => HandshakeError::Refused(format!("{alert:?}")),
        Error::NoCertificatesPresented => HandshakeError::NoCertificate,
        Error::InvalidCertificate(error) => HandshakeError::Certificate(explain_certificate(error)),
        other => HandshakeError::Failed(other.to_string()),
    }
}

fn explain_certificate(error: CertificateError) -> String {
    let date = |time: UnixTime| date(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it expired on {}", date(not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}", date(not_before))
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names = if presented.is_empty() {
                "no name".to_owned()
            } else {
                // rustls adds the kind to each name: `DnsName("localhost")`.
                let names = presented
                    .iter()
                    .map(|name| name.split('"').nth(1).unwrap_or(name));
                names.take(MAX_NAMES).collect::<Vec<_>>().join(", ")
            };
            format!("it is for {names}, not for {}", expected.to_str())
        }
        CertificateError::UnknownIssuer => "its issuer is not trusted".to_owned(),
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::UnknownRevocationStatus => {
            "there is no revocation list from its issuer".to_owned()
        }
        CertificateError::ExpiredRevocationListContext { next_update, .. } => {
            format!(
                "the revocation list should have been renewed by {}",
                date(next_update)
            )
        }
        CertificateError::BadSignature => "its signature is wrong".to_owned(),
        other => other.to_string(),
    }
}

fn quoted(name: Option<&str>) -> String {
    name.map(|name| format!(": \"{name}\"")).unwrap_or_default()
}
