//! Memory of stalled and idle connections. Even a debug build stays within these limits.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use pointsman_tests::{DEADLINE, Origin, Proxy, Setup, Wire};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// More bytes than all socket buffers on the path can hold.
const LARGE: usize = 32 * 1024 * 1024;
/// A transfer without progress for this long has stopped.
const STALL_TIME: Duration = Duration::from_millis(500);
/// Number of transfers that stall at once.
const STALLED: usize = 200;
/// Maximum memory of one stalled transfer, client side and server side together.
const MAX_STALLED: usize = 64 * 1024;
/// Number of connections that are idle at once.
const IDLE: usize = 500;
/// Maximum memory of one idle connection. In a debug build, the connection's future alone takes a
/// part of it.
const MAX_IDLE: usize = 8 * 1024;
/// Memory that the proxy may keep after the transfers: free buffers of a worker (32 of 16 KiB for
/// each direction), the free end of its heap (up to 1 MiB before it is returned), and fragments of
/// the heap. The stalled transfers take more than that.
const SLACK: usize = 7 * 512 * 1024;

/// Returns the proxy's anonymous memory in bytes, which does not include the pages of its binary.
fn memory(proxy: &Proxy) -> anyhow::Result<usize> {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", proxy.id()))?;
    let line = text.lines().find(|line| line.starts_with("Anonymous:"));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: usize = value.context("no line `Anonymous`")?.parse()?;
    Ok(kib * 1024)
}

/// Waits until the proxy's memory is at most `limit`.
async fn at_most(proxy: &Proxy, limit: usize) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut pace = interval(Duration::from_millis(50));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let found = memory(proxy)?;
        if found <= limit {
            return Ok(());
        }
        if start.elapsed() > DEADLINE {
            bail!("{} KiB are more than {} KiB", found / 1024, limit / 1024);
        }
    }
}

/// Starts the proxy and sends some requests, so that one-time allocations are done. Also returns
/// the proxy's memory.
async fn warmed(setup: Setup) -> anyhow::Result<(Proxy, usize)> {
    let proxy = setup.start().await?;
    for _ in 0..20 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.exchange(GET).await?;
    }
    let before = memory(&proxy)?;
    Ok((proxy, before))
}

/// The side on which a transfer stalls.
#[derive(Clone, Copy, Debug)]
enum Stall {
    /// The client does not read a response of this framing.
    Download(&'static str),
    /// The server does not read a request of this framing.
    Upload(&'static str),
}

const STALLS: &[Stall] = &[
    Stall::Download("Content-Length: 33554432"),
    Stall::Download("Transfer-Encoding: chunked"),
    Stall::Upload("Content-Length: 33554432"),
    Stall::Upload("Transfer-Encoding: chunked"),
];

/// Sends a body with this framing until the peer stops reading.
async fn flood(wire: &mut Wire, framing: &str) {
    let chunk = "4000\r\n".to_owned() + &"x".repeat(0x4000) + "\r\n";
    let sending = async {
        if framing.starts_with("Content") {
            return wire.send_bulk(LARGE).await;
        }
        for _ in 0..LARGE / 0x4000 {
            wire.send(&chunk).await?;
        }
        Ok(())
    };
    // The peer does not read all of it, so this is expected to time out.
    let _ = timeout(STALL_TIME, sending).await;
}

#[tokio::test]
async fn stalled_transfers_hold_little_memory_and_return_it() -> anyhow::Result<()> {
    for &stall in STALLS {
        let held = Arc::new(Semaphore::new(0));
        let done = Arc::new(Notify::new());
        let shared = (Arc::clone(&held), Arc::clone(&done));
        let origin = Origin::scripted(move |mut wire, _| {
            let (held, done) = (Arc::clone(&shared.0), Arc::clone(&shared.1));
            async move {
                let head = wire.head().await?;
                if head.start_line.starts_with("GET / ") {
                    return wire
                        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                        .await;
                }
                let done = done.notified();
                if let Stall::Download(framing) = stall {
                    wire.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"))
                        .await?;
                    flood(&mut wire, framing).await;
                }
                held.add_permits(1);
                done.await;
                Ok(())
            }
        })
        .await?;
        let setup = Setup::before([origin.address()]);
        let (proxy, before) = warmed(setup).await?;
        let mut clients = Vec::new();
        for _ in 0..STALLED {
            let mut client = Wire::connect(proxy.address()).await?;
            client
                .send(match stall {
                    Stall::Download(_) => "GET /stall HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                    Stall::Upload(framing) => {
                        format!("POST /stall HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")
                    }
                })
                .await?;
            clients.push(client);
        }
        let _all = held.acquire_many(u32::try_from(STALLED)?).await?;
        if let Stall::Upload(framing) = stall {
            let mut floods = JoinSet::new();
            for mut client in clients.drain(..) {
                floods.spawn(async move {
                    flood(&mut client, framing).await;
                    client
                });
            }
            clients = floods.join_all().await;
        }
        // On a busy machine some transfers may still be moving, so this waits.
        let during = at_most(&proxy, before + STALLED * MAX_STALLED).await;
        during.with_context(|| format!("during {stall:?}"))?;
        drop(clients);
        done.notify_waiters();
        let after = at_most(&proxy, before + SLACK).await;
        after.with_context(|| format!("after {stall:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn idle_connections_hold_little_memory() -> anyhow::Result<()> {
    let served = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&served);
    let origin = Origin::scripted(move |mut wire, _| {
        let served = Arc::clone(&counter);
        async move {
            while wire.request().await.is_ok() {
                served.fetch_add(1, Ordering::SeqCst);
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{}",
                    "x".repeat(9000)
                ))
                .await?;
            }
            Ok(())
        }
    })
    .await?;
    // Connections are idle either after a request or before the first one.
    for asks in [true, false] {
        let (proxy, before) = warmed(Setup::before([origin.address()])).await?;
        let mut clients = Vec::new();
        for _ in 0..IDLE {
            let mut client = Wire::connect(proxy.address()).await?;
            if asks {
                client.exchange(GET).await?;
            }
            clients.push(client);
        }
        // Once one more client has its response, all of the connections have been accepted.
        Wire::connect(proxy.address()).await?.exchange(GET).await?;
        let during = at_most(&proxy, before + IDLE * MAX_IDLE).await;
        during.with_context(|| format!("asks: {asks}"))?;
    }
    Ok(())
}
