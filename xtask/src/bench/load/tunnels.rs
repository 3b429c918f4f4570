//! WebSocket loads: messages that are echoed, and tunnels that stay idle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{HOST, Load, Times, counted};
use crate::bench::websocket::{Tunnel, client_frame};

/// Number of handshakes in progress at a time.
const OPENING: usize = 64;
/// Longest wait for one message to come back.
const ECHO: Duration = Duration::from_secs(10);

/// Sends messages of `size` bytes through `tunnels` tunnels. Each tunnel sends its next message as
/// soon as the last one has come back.
///
/// # Errors
/// A tunnel cannot be opened. The result contains later failures.
pub(crate) async fn exchange(
    proxy: SocketAddr,
    size: usize,
    tunnels: usize,
    duration: Duration,
) -> anyhow::Result<Load> {
    let open = open(proxy, tunnels).await?;
    let message: Arc<[u8]> = vec![b'm'; size].into();
    let frame: Arc<[u8]> = client_frame(&message).into();
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut tunnel in open {
        let (message, frame) = (Arc::clone(&message), Arc::clone(&frame));
        tasks.spawn(async move {
            let mut times = Times::new()?;
            let mut echo = Vec::with_capacity(size);
            let mut error = None;
            while start.elapsed() < duration {
                let sent = Instant::now();
                match timeout(ECHO, tunnel.exchange(&frame, &mut echo)).await {
                    Ok(Ok(())) if *echo == *message => times.record(sent.elapsed()),
                    Ok(Ok(())) => error = Some("another message came back".to_owned()),
                    Ok(Err(broken)) => error = Some(format!("tunnel: {broken}")),
                    Err(_) => error = Some("no message came back".to_owned()),
                }
                if error.is_some() {
                    break;
                }
            }
            anyhow::Ok((times, error))
        });
    }
    let mut all = Times::new()?;
    let mut errors = Vec::new();
    while let Some(task) = tasks.join_next().await {
        let (times, error) = task??;
        all.add(&times)?;
        errors.extend(error);
    }
    Ok(all.load(start.elapsed(), counted(errors)))
}

/// Opens this number of tunnels, some at a time.
///
/// # Errors
/// One of them cannot be opened.
pub(crate) async fn open(proxy: SocketAddr, tunnels: usize) -> anyhow::Result<Vec<Tunnel>> {
    let mut tasks = JoinSet::new();
    for number in 0..OPENING.min(tunnels) {
        let share = (number..tunnels).step_by(OPENING);
        tasks.spawn(async move {
            let mut open = Vec::with_capacity(share.len());
            for _ in share {
                let tunnel = timeout(ECHO, Tunnel::open(proxy, HOST));
                open.push(tunnel.await.context("no response to a handshake")??);
            }
            anyhow::Ok(open)
        });
    }
    let mut open = Vec::with_capacity(tunnels);
    while let Some(task) = tasks.join_next().await {
        open.extend(task??);
    }
    ensure!(open.len() == tunnels, "{} of {tunnels} tunnels", open.len());
    Ok(open)
}
