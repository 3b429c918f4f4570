//! A server for bodies: counts the bytes that arrive, or does not read them.
//!
//! The response to a POST to [`COUNT`] is the number of bytes that its body took on the wire. A
//! POST to [`STALL`] is never read. The response to any other request is a fixed text. Must not
//! depend on a proxy. Called by `origin`.

use std::io;

use anyhow::bail;
use socket2::SockRef;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const COUNT: &str = "/count";
pub(crate) const STALL: &str = "/stall";

/// Size of the kernel's receive buffer. It is small, because hundreds of connections are not read.
const KERNEL_BUFFER: usize = 128 << 10;

/// The end of a chunked body without trailers.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// Serves until the listener fails.
///
/// # Errors
/// Errors of the listener.
pub(crate) async fn serve(listener: TcpListener, text: &'static str) -> io::Result<()> {
    // Accepted connections inherit this size.
    SockRef::from(&listener).set_recv_buffer_size(KERNEL_BUFFER)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // Errors are ignored, because the client reports a broken connection.
        tokio::spawn(async move {
            let _ = serve_one(stream, text).await;
        });
    }
}

async fn serve_one(stream: TcpStream, text: &str) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = read_head(&mut stream).await? {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let body = match target {
            STALL => std::future::pending().await,
            COUNT if head.contains("transfer-encoding: chunked") => {
                format!("{}\n", count(&mut stream).await?)
            }
            COUNT => bail!("the body is not chunked"),
            _ => text.to_owned(),
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Reads a request's head in lower case; `None` at the connection's end.
async fn read_head(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head.to_ascii_lowercase()))
}

/// Reads a chunked body to its end. Its data must not look like that end.
async fn count(stream: &mut BufReader<TcpStream>) -> anyhow::Result<u64> {
    let mut count = 0;
    let mut last = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    while !last.ends_with(LAST_CHUNK) {
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            bail!("the body is incomplete");
        }
        count += length as u64;
        last.extend_from_slice(&piece[..length]);
        last.drain(..last.len().saturating_sub(LAST_CHUNK.len()));
    }
    Ok(count)
}
