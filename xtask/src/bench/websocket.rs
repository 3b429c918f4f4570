//! The part of the WebSocket protocol (RFC 6455) that an echo needs.
//!
//! Owns the handshake, a frame's head, and the echo server behind the proxies. Must not depend on a
//! proxy. Called by `origin` and `load`.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The key from RFC 6455's own example, and the only one that is sent here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The value for [`KEY`] in the response (RFC 6455, section 1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Mask of every client. A constant is enough, because no proxy can predict it.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The first byte of a message in one frame of binary data (RFC 6455, section 5.2).
const BINARY: u8 = 0x82;
/// Markers for a length that follows in two bytes or in eight (RFC 6455, section 5.2).
const MEDIUM: u8 = 126;
const LONG: u8 = 127;
/// Longest head of a request or of a response.
const MAX_HEAD: usize = 8 * 1024;
/// Longest message that is echoed.
const MAX_MESSAGE: u64 = 16 * 1024 * 1024;
/// Size of the read-ahead buffer: enough to read a small message at once, and little memory for
/// each idle tunnel.
const READ_AHEAD: usize = 512;

/// A tunnel through a proxy, from its client's side.
#[derive(Debug)]
pub(crate) struct Tunnel {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Tunnel {
    /// Connects, and upgrades the connection.
    ///
    /// # Errors
    /// No connection, or a response other than `101` with the right `Sec-WebSocket-Accept`.
    pub(crate) async fn open(proxy: SocketAddr, host: &str) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(proxy).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /socket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let head = read_head(&mut stream)
            .await?
            .context("closed without a response")?;
        ensure!(
            head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT),
            "no WebSocket: {}",
            head.lines().next().unwrap_or_default()
        );
        let (reader, writer) = stream.into_split();
        Ok(Self {
            reader: BufReader::with_capacity(READ_AHEAD, reader),
            writer,
        })
    }

    /// Sends one message, a frame from [`client_frame`], and reads its echo into `echo`.
    ///
    /// # Errors
    /// The tunnel breaks, or the bytes that come back are not a frame of binary data.
    pub(crate) async fn exchange(&mut self, frame: &[u8], echo: &mut Vec<u8>) -> io::Result<()> {
        // A large echo starts to come back before the whole message is sent.
        let send = self.writer.write_all(frame);
        let ((), found) = tokio::try_join!(send, read_frame(&mut self.reader, echo))?;
        found.then_some(()).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(())
    }
}

/// Returns a masked frame, as clients send it.
pub(crate) fn client_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(payload.len(), 0x80);
    frame.extend(MASK);
    frame.extend_from_slice(payload);
    let start = frame.len() - payload.len();
    unmask(&mut frame[start..], MASK);
    frame
}

/// Responds to handshakes, then sends each message back; responds to any other request with `text`.
///
/// # Errors
/// The listener fails.
pub(crate) async fn serve(listener: TcpListener, text: &'static str) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // Errors are ignored, because the client reports a broken tunnel.
        tokio::spawn(async move {
            let _ = serve_one(stream, text).await;
        });
    }
}

async fn serve_one(mut stream: TcpStream, text: &str) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let Some(head) = read_head(&mut stream).await? else {
            return Ok(());
        };
        if head.contains(KEY) {
            break;
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    // Allocated by the first message, since this server has thousands of idle tunnels.
    let mut payload = Vec::new();
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::with_capacity(READ_AHEAD, reader);
    while read_frame(&mut reader, &mut payload).await? {
        let mut frame = frame_head(payload.len(), 0);
        frame.extend_from_slice(&payload);
        writer.write_all(&frame).await?;
    }
    Ok(())
}

/// Reads one message into `payload`, unmasked; `false` if the stream ends before it.
async fn read_frame(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    payload: &mut Vec<u8>,
) -> io::Result<bool> {
    // The shortest head, which already has the length of a small payload.
    let mut head = [0; 2];
    if stream.read(&mut head[..1]).await? == 0 {
        return Ok(false);
    }
    stream.read_exact(&mut head[1..]).await?;
    let length = match head[1] & 0x7f {
        MEDIUM => u64::from(stream.read_u16().await?),
        LONG => stream.read_u64().await?,
        short => u64::from(short),
    };
    if head[0] != BINARY || length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        stream.read_exact(&mut mask).await?;
    }
    let length = usize::try_from(length).map_err(io::Error::other)?;
    payload.resize(length, 0);
    stream.read_exact(payload).await?;
    unmask(payload, mask);
    Ok(true)
}

/// Returns the part of a frame before its mask and payload (RFC 6455, section 5.2).
fn frame_head(length: usize, mask_bit: u8) -> Vec<u8> {
    let mut head = Vec::with_capacity(length + 14);
    head.push(BINARY);
    if let Ok(short) = u8::try_from(length)
        && short < MEDIUM
    {
        head.push(mask_bit + short);
    } else if let Ok(medium) = u16::try_from(length) {
        head.push(mask_bit + MEDIUM);
        head.extend(medium.to_be_bytes());
    } else {
        head.push(mask_bit + LONG);
        head.extend((length as u64).to_be_bytes());
    }
    head
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for group in payload.chunks_mut(4) {
        for (byte, mask) in group.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

/// Reads a head up to its empty line and nothing beyond; `None` if the stream ends before it.
async fn read_head(stream: &mut TcpStream) -> anyhow::Result<Option<String>> {
    let mut head = Vec::with_capacity(512);
    loop {
        // Only bytes that certainly belong to the head are consumed.
        let mut seen = [0; 1024];
        let length = stream.peek(&mut seen).await?;
        if length == 0 {
            return Ok(None);
        }
        let before = head.len();
        head.extend_from_slice(&seen[..length]);
        let end = head.windows(4).position(|four| four == b"\r\n\r\n");
        head.truncate(end.map_or(head.len(), |end| end + 4));
        let mut taken = vec![0; head.len() - before];
        stream.read_exact(&mut taken).await?;
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if head.len() > MAX_HEAD {
            bail!("the head is too long");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames() {
        for length in [0, 1, 64, 125, 126, 65535, 65536, 1 << 20] {
            let payload: Vec<u8> = (0..length)
                .map(|n| u8::try_from(n % 251).unwrap())
                .collect();
            let frame = client_frame(&payload);
            let mut read = Vec::new();
            assert!(read_frame(&mut &frame[..], &mut read).await.unwrap());
            assert_eq!(read, payload);
        }
        assert!(!read_frame(&mut &b""[..], &mut Vec::new()).await.unwrap());
        assert!(
            read_frame(&mut &b"\x88\x00"[..], &mut Vec::new())
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn echo() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, "node\n"));
        let mut tunnel = Tunnel::open(address, "a.test").await.unwrap();
        let message = vec![7; 300_000];
        let mut echo = Vec::new();
        for _ in 0..2 {
            tunnel
                .exchange(&client_frame(&message), &mut echo)
                .await
                .unwrap();
            assert_eq!(echo, message);
        }
        server.abort();
    }
}
