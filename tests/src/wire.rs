//! One TCP connection, as raw bytes with a deadline: that of a test's client, or one that a
//! scripted origin has accepted.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::DEADLINE;
use crate::message::{Framing, Head, Message, Role, parse_field};

/// Bytes per read: the number that a loopback connection usually delivers at once.
const READ_AT_ONCE: usize = 16 * 1024;

/// A part of bulk data.
static BULK_PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// The way in which a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A clean end: the peer sent all its data, then a FIN.
    Closed,
    /// A RST.
    Reset,
}

/// One TCP connection.
///
/// No read waits longer than the deadline. Its error shows the bytes received until then.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// Bytes received but not yet returned by a read.
    received: Vec<u8>,
    deadline: Duration,
}

impl Wire {
    /// Connects to `address`.
    ///
    /// # Errors
    /// Fails if the connection is refused, or if there is no response within [`DEADLINE`].
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = tokio::time::timeout(DEADLINE, TcpStream::connect(address))
            .await
            .with_context(|| format!("no connection to {address} within {DEADLINE:?}"))?
            .with_context(|| format!("connecting to {address}"))?;
        Self::over(stream)
    }

    /// Connects to `address` from the local address `source`, with any port.
    ///
    /// # Errors
    /// As [`Wire::connect`].
    pub async fn connect_from(source: Ipv4Addr, address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let stream = tokio::time::timeout(DEADLINE, socket.connect(address))
            .await
            .with_context(|| format!("no connection to {address} within {DEADLINE:?}"))?
            .with_context(|| format!("connecting to {address} from {source}"))?;
        Self::over(stream)
    }

    /// Wraps an existing connection.
    pub(crate) fn over(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
            deadline: DEADLINE,
        })
    }

    /// Sets the maximum wait for later calls, in place of [`DEADLINE`].
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns this side's address, which the proxy sees as that of its client.
    ///
    /// # Errors
    /// Fails if the socket is gone.
    pub fn local_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// Fails if the peer has closed the connection, or does not read the bytes within the deadline.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let bytes = bytes.as_ref();
        tokio::time::timeout(self.deadline, self.stream.write_all(bytes))
            .await
            .with_context(|| format!("could not send {} bytes in time", bytes.len()))?
            .context("sending")
    }

    /// Sends `count` meaningless bytes in parts, so that they are never all in memory at once.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub async fn send_bulk(&mut self, count: usize) -> anyhow::Result<()> {
        let mut left = count;
        while left > 0 {
            let size = left.min(BULK_PIECE.len());
            self.send(&BULK_PIECE[..size]).await?;
            left -= size;
        }
        Ok(())
    }

    /// Reads exactly `count` bytes in parts, and discards them.
    ///
    /// # Errors
    /// As [`Wire::exactly`].
    pub async fn discard(&mut self, count: usize) -> anyhow::Result<()> {
        let mut left = count;
        while left > 0 {
            let size = left.min(BULK_PIECE.len());
            self.exactly(size).await?;
            left -= size;
        }
        Ok(())
    }

    /// Closes this side's direction (FIN); the other direction stays open.
    ///
    /// # Errors
    /// Fails if the connection is gone.
    pub async fn finish(&mut self) -> anyhow::Result<()> {
        self.stream.shutdown().await.context("half-closing")
    }

    /// Ends the connection with a RST.
    ///
    /// # Errors
    /// Fails if the socket is gone.
    pub fn reset(self) -> anyhow::Result<()> {
        self.stream.set_zero_linger().context("setting linger")
    }

    /// Returns the underlying connection with the bytes received but not yet read, for a test that
    /// sends and receives at the same time.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.received)
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Errors
    /// Fails if the connection ends first or the deadline passes.
    pub async fn exactly(&mut self, count: usize) -> anyhow::Result<Vec<u8>> {
        while self.received.len() < count {
            self.more().await?;
        }
        Ok(self.received.drain(..count).collect())
    }

    /// Reads up to and including `mark`.
    ///
    /// # Errors
    /// Fails if the connection ends first or the deadline passes.
    pub async fn until(&mut self, mark: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.received[searched..]
                .windows(mark.len())
                .position(|window| window == mark)
            {
                return Ok(self.received.drain(..searched + at + mark.len()).collect());
            }
            searched = self.received.len().saturating_sub(mark.len() - 1);
            self.more().await?;
        }
    }

    /// Reads everything until the peer closes its direction cleanly.
    ///
    /// # Errors
    /// Fails if the connection is reset or the deadline passes.
    pub async fn rest(&mut self) -> anyhow::Result<Vec<u8>> {
        while self.read().await? == Read::Bytes {}
        Ok(std::mem::take(&mut self.received))
    }

    /// Waits for the end of the connection, clean or not. No byte may arrive before it.
    ///
    /// # Errors
    /// Fails if a byte arrives or the deadline passes.
    pub async fn end(&mut self) -> anyhow::Result<End> {
        let end = match self.read().await {
            Ok(Read::Bytes | Read::End) => End::Closed,
            Err(error) if is_reset(&error) => End::Reset,
            Err(error) => return Err(error),
        };
        ensure!(
            self.received.is_empty(),
            "bytes where the end was due: {}",
            self.shown()
        );
        Ok(end)
    }

    /// Reads the head of a request or a response.
    ///
    /// # Errors
    /// Fails if the connection ends first, if the deadline passes, or if the bytes are not a head.
    pub async fn head(&mut self) -> anyhow::Result<Head> {
        Head::parse(self.until(b"\r\n\r\n").await.context("reading a head")?)
    }

    /// Reads one whole request.
    ///
    /// # Errors
    /// As [`Wire::head`]; also fails if the framing of the body is invalid.
    pub async fn request(&mut self) -> anyhow::Result<Message> {
        self.message(Role::Request).await
    }

    /// Reads one whole response to a request with this method. An interim response (1xx) counts as
    /// a response.
    ///
    /// # Errors
    /// As [`Wire::head`]; also fails if the framing of the body is invalid.
    pub async fn response(&mut self, method: &str) -> anyhow::Result<Message> {
        self.message(Role::ResponseTo(method)).await
    }

    /// Sends a request and reads the final response.
    ///
    /// # Errors
    /// As [`Wire::send`] and [`Wire::response`].
    pub async fn exchange(&mut self, request: impl AsRef<[u8]>) -> anyhow::Result<Message> {
        let request = request.as_ref();
        let end = request.iter().position(|byte| *byte == b' ');
        let method = String::from_utf8_lossy(&request[..end.unwrap_or(0)]).into_owned();
        self.send(request).await?;
        loop {
            let response = self.response(&method).await?;
            if response.head.status()? >= 200 || response.head.status()? == 101 {
                return Ok(response);
            }
        }
    }

    /// Reads the body of a response to a request with this method, after its head.
    ///
    /// # Errors
    /// As [`Wire::response`].
    pub async fn body(&mut self, method: &str, head: &Head) -> anyhow::Result<Message> {
        self.message_after(head.clone(), Role::ResponseTo(method))
            .await
    }

    async fn message(&mut self, role: Role<'_>) -> anyhow::Result<Message> {
        let head = self.head().await?;
        self.message_after(head, role).await
    }

    async fn message_after(&mut self, head: Head, role: Role<'_>) -> anyhow::Result<Message> {
        let mut trailers = Vec::new();
        let body = match head.framing(role)? {
            Framing::Length(length) => self.exactly(length).await,
            Framing::Chunked => self.chunks(&mut trailers).await,
            Framing::UntilClose => self.rest().await,
        }
        .with_context(|| format!("reading the body after {:?}", head.start_line))?;
        Ok(Message {
            head,
            body,
            trailers,
        })
    }

    /// Reads a chunked body (RFC 9112, section 7.1).
    async fn chunks(&mut self, trailers: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let text = String::from_utf8_lossy(&line).into_owned();
            let digits = text.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .with_context(|| format!("chunk size {text:?}"))?;
            if size == 0 {
                break;
            }
            body.extend(self.exactly(size).await?);
            ensure!(self.exactly(2).await? == b"\r\n", "chunk without its end");
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(body);
            }
            trailers.push(parse_field(&line)?);
        }
    }

    async fn line(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut line = self.until(b"\r\n").await?;
        line.truncate(line.len() - 2);
        Ok(line)
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        match self.read().await? {
            Read::Bytes => Ok(()),
            Read::End => bail!("the connection ended; until then: {}", self.shown()),
        }
    }

    /// Reads the available bytes. This function is cancel safe, because received bytes stay in
    /// `received`.
    async fn read(&mut self) -> anyhow::Result<Read> {
        self.received.reserve(READ_AT_ONCE);
        let reading = self.stream.read_buf(&mut self.received);
        match tokio::time::timeout(self.deadline, reading).await {
            Ok(Ok(0)) => Ok(Read::End),
            Ok(Ok(_)) => Ok(Read::Bytes),
            Ok(Err(error)) => {
                Err(error).with_context(|| format!("receiving; until then: {}", self.shown()))
            }
            Err(_) => bail!(
                "nothing within {:?}; until then: {}",
                self.deadline,
                self.shown()
            ),
        }
    }

    fn shown(&self) -> String {
        if self.received.is_empty() {
            return "no bytes".to_owned();
        }
        format!("{:?}", String::from_utf8_lossy(&self.received))
    }
}

#[derive(PartialEq, Eq)]
enum Read {
    Bytes,
    End,
}

fn is_reset(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        )
    })
}
