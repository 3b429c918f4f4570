//! Loads with bodies that stop, with bodies in many chunks, and with connections that stay open
//! after a request.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{HOST, Load};
use crate::bench::sink::{COUNT, STALL};
use crate::bench::workloads::Side;

/// Number of connections that are opened at a time.
const OPENING: usize = 64;
/// Longest wait for a response.
const ANSWER: Duration = Duration::from_secs(30);
/// A body has stopped if none of its bytes is accepted for this long.
const STOPPED: Duration = Duration::from_millis(500);
/// Length of a body that stops in the middle: more than any buffer on its path.
const LENGTH: usize = 64 << 20;
/// Size of the client's socket buffers. It is so small that the buffers of 200 transfers fit into
/// the kernel's memory.
const KERNEL_BUFFER: u32 = 64 << 10;

/// Opens this number of connections, some at a time. Each gets the response to one GET, and stays
/// open.
///
/// # Errors
/// A connection cannot be opened, or a response is missing or has a status other than 200.
pub(crate) async fn keep_alive(
    proxy: SocketAddr,
    connections: usize,
) -> anyhow::Result<Vec<TcpStream>> {
    open(connections, move || async move {
        let mut stream = TcpStream::connect(proxy).await?;
        stream.write_all(super::request().as_bytes()).await?;
        let answer = read_answer(&mut stream).await?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "answered {answer:?}");
        Ok(stream)
    })
    .await
}

/// Starts this number of transfers, and waits until each has stopped because `side` does not read.
///
/// # Errors
/// A transfer is refused, fails, or does not stop.
pub(crate) async fn stall(
    proxy: SocketAddr,
    transfers: usize,
    side: Side,
) -> anyhow::Result<Vec<TcpStream>> {
    open(transfers, move || async move {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(KERNEL_BUFFER)?;
        socket.set_send_buffer_size(KERNEL_BUFFER)?;
        let mut stream = socket.connect(proxy).await?;
        match side {
            Side::Client => {
                let request = format!("GET /10m HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
                stream.write_all(request.as_bytes()).await?;
                let mut start = [0; 13];
                stream.read_exact(&mut start).await?;
                ensure!(
                    start.starts_with(b"HTTP/1.1 200 "),
                    "the download is refused"
                );
            }
            Side::Server => {
                let head = format!(
                    "POST {STALL} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {LENGTH}\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
                let piece = vec![b'x'; 64 * 1024];
                let mut sent = 0;
                while let Ok(written) = timeout(STOPPED, stream.write(&piece)).await {
                    sent += written.context("the upload failed")?;
                    ensure!(sent < LENGTH, "the upload did not stop");
                }
            }
        }
        Ok(stream)
    })
    .await
}

/// Sends one request after another, each with a body of this number of chunks of one byte.
///
/// # Errors
/// The connection fails, or a response is invalid.
pub(crate) async fn chunks(
    proxy: SocketAddr,
    chunks: usize,
    duration: Duration,
) -> anyhow::Result<Load> {
    let mut body = b"1\r\nx\r\n".repeat(chunks);
    body.extend_from_slice(b"0\r\n\r\n");
    let head =
        format!("POST {COUNT} HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut load = Load::default();
    let mut arrived = 0;
    let start = Instant::now();
    let mut stream = TcpStream::connect(proxy).await?;
    while load.answered == 0 || start.elapsed() < duration {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        let answer = read_answer(&mut stream).await?;
        let (_, count) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let count: u64 = count
            .trim()
            .parse()
            .with_context(|| format!("answered {answer:?}"))?;
        arrived += count;
        load.answered += 1;
    }
    load.seconds = start.elapsed().as_secs_f64();
    load.upstream = Some(arrived / load.answered);
    let each = arrived / load.answered;
    load.notes
        .push(format!("{each} bytes of each body reached the server"));
    Ok(load)
}

/// Opens this number of connections, some at a time.
async fn open<F>(
    connections: usize,
    one: impl Fn() -> F + Clone + Send + 'static,
) -> anyhow::Result<Vec<TcpStream>>
where
    F: Future<Output = anyhow::Result<TcpStream>> + Send,
{
    let mut tasks = JoinSet::new();
    for number in 0..OPENING.min(connections) {
        let share = (number..connections).step_by(OPENING);
        let one = one.clone();
        tasks.spawn(async move {
            let mut open = Vec::with_capacity(share.len());
            for _ in share {
                open.push(timeout(ANSWER, one()).await.context("no response")??);
            }
            anyhow::Ok(open)
        });
    }
    let mut open = Vec::with_capacity(connections);
    while let Some(task) = tasks.join_next().await {
        open.extend(task??);
    }
    Ok(open)
}

/// Reads the head and the body of a response that declares its length.
async fn read_answer(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut answer = Vec::new();
    let read = async {
        loop {
            ensure!(
                stream.read_buf(&mut answer).await? > 0,
                "no complete response"
            );
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .to_ascii_lowercase()
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
                    .unwrap_or(0_usize);
                if body.len() >= length {
                    return Ok(text.into_owned());
                }
            }
        }
    };
    timeout(ANSWER, read).await.context("no response")?
}
