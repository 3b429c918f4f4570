//! Every timeout on real sockets: when it fires, what the result is, and that progress prevents it.
//!
//! Clients and servers here pause by a timer, because the pauses are what the tests are about. The
//! timeout under test is [`SHORT`]. Where it must not fire, each single pause is well below
//! [`SHORT`], but all pauses together are longer.

mod drain;
mod duplex;
mod server;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use pointsman_tests::{Origin, Setup, Wire};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// The timeout under test. Configurations repeat it as text.
const SHORT: Duration = Duration::from_millis(400);
/// A pause that does not trip the timeout.
const PAUSE: Duration = Duration::from_millis(100);
/// Number of pauses that together are longer than [`SHORT`].
const PAUSES: usize = 8;
/// Longest time that a timeout of [`SHORT`] takes to fire, even on a loaded machine.
const LATE: Duration = Duration::from_secs(8);
/// More bytes than all socket buffers on the path can hold.
const LARGE: usize = 32 * 1024 * 1024;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Checks that `waiting` takes [`SHORT`], and not much longer.
async fn short<T>(waiting: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let start = Instant::now();
    let result = waiting.await?;
    let took = start.elapsed();
    // The proxy may have started its timer a little before this clock.
    ensure!(took + PAUSE >= SHORT, "too early, after {took:?}");
    ensure!(took < LATE, "too late, after {took:?}");
    Ok(result)
}

/// Sends `part` repeatedly, with a pause before each, for longer than [`SHORT`].
async fn slowly(wire: &mut Wire, part: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut pace = interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace.tick().await;
    for _ in 0..PAUSES {
        pace.tick().await;
        wire.send(&part).await?;
    }
    Ok(())
}

/// Waits for longer than [`SHORT`].
async fn long_pause() {
    tokio::time::sleep(SHORT * 2).await;
}

// timeout.request_header

#[tokio::test]
async fn a_head_that_takes_too_long_is_answered_408() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let setup = Setup::before([origin.address()]).frontend("timeout.request_header = \"400ms\"");
    let proxy = setup.start().await?;
    let mut fresh = Wire::connect(proxy.address()).await?;
    let mut used = Wire::connect(proxy.address()).await?;
    assert_eq!(used.exchange(GET).await?.body, b"www");
    for client in [&mut fresh, &mut used] {
        client.send("GET / HTTP/1.1\r\nHost").await?;
        let response = short(client.response("GET")).await?;
        assert_eq!(response.head.status()?, 408);
        client.end().await?;
    }
    assert_eq!(origin.requests().len(), 1);
    Ok(())
}

/// A head that arrives one byte at a time is answered with a 408. This timeout exists to stop that
/// attack.
#[tokio::test]
async fn a_head_that_trickles_is_answered_408() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let setup = Setup::before([origin.address()]).frontend("timeout.request_header = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").await?;
    slowly(&mut client, "y").await?;
    assert_eq!(client.response("GET").await?.head.status()?, 408);
    Ok(())
}

#[tokio::test]
async fn a_head_in_two_parts_is_in_time() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let setup = Setup::before([origin.address()]).frontend("timeout.request_header = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    // Each head has its own timeout.
    for _ in 0..PAUSES {
        client.send("GET / HTTP/1.1\r\n").await?;
        tokio::time::sleep(PAUSE).await;
        client.send("Host: a\r\n\r\n").await?;
        assert_eq!(client.response("GET").await?.body, b"www");
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_client_is_disconnected() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let setup = Setup::before([origin.address()]).frontend("timeout.request_header = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    short(client.end()).await?;
    Ok(())
}

// timeout.keep_alive

#[tokio::test]
async fn an_idle_client_is_disconnected() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let setup = Setup::before([origin.address()]).frontend("timeout.keep_alive = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..PAUSES {
        assert_eq!(client.exchange(GET).await?.body, b"www");
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(client.exchange(GET).await?.body, b"www");
    // The proxy closes the connection without a response, because a client could take a 408 for the
    // response to its next request.
    short(client.end()).await?;
    Ok(())
}

#[tokio::test]
async fn a_slow_response_does_not_make_the_client_idle() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        long_pause().await;
        wire.send(OK).await
    })
    .await?;
    let setup = Setup::before([origin.address()])
        .frontend("timeout.keep_alive = \"400ms\"")
        .frontend("timeout.request_header = \"400ms\"")
        .frontend("timeout.client = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(GET).await?.body, b"ok");
    origin.join().await
}

// timeout.client

#[tokio::test]
async fn an_upload_that_stalls_is_answered_408() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.until(b"hello\r\n").await?;
        // The server must not see a complete body.
        wire.end().await?;
        Ok(())
    })
    .await?;
    let setup = Setup::before([origin.address()]).frontend("timeout.client = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(format!("{CHUNKED}5\r\nhello\r\n")).await?;
    let response = short(client.response("POST")).await?;
    assert_eq!(response.head.status()?, 408);
    client.end().await?;
    origin.join().await
}

#[tokio::test]
async fn a_slow_upload_does_not_time_out() -> anyhow::Result<()> {
    let origin = Origin::answering(OK).await?;
    let setup = Setup::before([origin.address()])
        .frontend("timeout.client = \"400ms\"")
        .frontend("timeout.request_header = \"400ms\"")
        .backend("timeout.server = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(CHUNKED).await?;
    slowly(&mut client, "1\r\nx\r\n").await?;
    client.send("0\r\n\r\n").await?;
    assert_eq!(client.response("POST").await?.body, b"ok");
    assert_eq!(origin.requests()[0].body.len(), PAUSES);
    Ok(())
}

/// Starts a server that sends [`LARGE`] as fast as it can. Its script fails if the proxy ends the
/// connection.
async fn large_origin() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        wire.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"
        ))
        .await?;
        wire.send_bulk(LARGE).await
    })
    .await
}

#[tokio::test]
async fn a_client_that_stops_reading_is_disconnected() -> anyhow::Result<()> {
    let origin = large_origin().await?;
    let setup = Setup::before([origin.address()]).frontend("timeout.client = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(GET).await?;
    client.head().await?;
    let broken = short(async { Ok(origin.join().await) }).await?;
    assert!(broken.is_err(), "the server could send all of it");
    assert!(client.discard(LARGE).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_does_not_time_out() -> anyhow::Result<()> {
    let origin = large_origin().await?;
    let setup = Setup::before([origin.address()])
        .frontend("timeout.client = \"400ms\"")
        .backend("timeout.server = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(GET).await?;
    client.head().await?;
    for _ in 0..PAUSES {
        tokio::time::sleep(PAUSE).await;
        client.discard(LARGE / PAUSES).await?;
    }
    origin.join().await
}

// timeout.connect

#[tokio::test]
async fn a_server_that_does_not_accept_is_503() -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    // Nothing accepts these connections. Once the queue is full, the kernel drops further attempts.
    let mut queue = Vec::new();
    while let Ok(connected) = timeout(SHORT, TcpStream::connect(address)).await {
        queue.push(connected?);
    }
    let setup = Setup::before([address]).backend("timeout.connect = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let response = short(client.exchange(GET)).await?;
    assert_eq!(response.head.status()?, 503);

    // With a second server, the proxy tries that one next.
    let origin = Origin::with_name("www").await?;
    let setup = Setup::before([address, origin.address()]).backend("timeout.connect = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(short(client.exchange(GET)).await?.body, b"www");
    Ok(())
}

// timeout.queue

/// Starts a server with one slot, which responds once it is notified.
async fn one_slot(queue: &str) -> anyhow::Result<(Origin, Setup, Arc<Notify>, Arc<Notify>)> {
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (noting, waiting) = (Arc::clone(&reached), Arc::clone(&go));
    let origin = Origin::scripted(move |mut wire, _| {
        let (reached, go) = (Arc::clone(&noting), Arc::clone(&waiting));
        async move {
            while wire.request().await.is_ok() {
                reached.notify_one();
                go.notified().await;
                wire.send(OK).await?;
            }
            Ok(())
        }
    })
    .await?;
    let setup = Setup::before([])
        .backend(&format!(
            "server.s = {{ address = \"{}\", max_requests = 1 }}",
            origin.address()
        ))
        .backend(&format!("timeout.queue = \"{queue}\""));
    Ok((origin, setup, reached, go))
}

#[tokio::test]
async fn a_request_that_finds_no_slot_is_503() -> anyhow::Result<()> {
    let (_origin, setup, reached, go) = one_slot("400ms").await?;
    let proxy = setup.start().await?;
    let mut first = Wire::connect(proxy.address()).await?;
    first.send(GET).await?;
    reached.notified().await;
    let mut second = Wire::connect(proxy.address()).await?;
    let response = short(second.exchange(GET)).await?;
    assert_eq!(response.head.status()?, 503);
    go.notify_one();
    assert_eq!(first.response("GET").await?.body, b"ok");
    // The connection and the slot can be used again.
    go.notify_one();
    assert_eq!(second.exchange(GET).await?.body, b"ok");
    Ok(())
}

#[tokio::test]
async fn no_queue_is_503_at_once() -> anyhow::Result<()> {
    let (_origin, setup, reached, _go) = one_slot("0s").await?;
    let proxy = setup.start().await?;
    let mut first = Wire::connect(proxy.address()).await?;
    first.send(GET).await?;
    reached.notified().await;
    let mut second = Wire::connect(proxy.address()).await?;
    assert_eq!(second.exchange(GET).await?.head.status()?, 503);
    Ok(())
}

#[tokio::test]
async fn requests_wait_for_the_slot_in_turn() -> anyhow::Result<()> {
    let (origin, setup, reached, go) = one_slot("20s").await?;
    let proxy = setup.start().await?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        clients.push(client);
    }
    for client in &mut clients {
        reached.notified().await;
        go.notify_one();
        assert_eq!(client.response("GET").await?.body, b"ok");
    }
    assert_eq!(origin.connections(), 1);
    Ok(())
}

/// A client that disconnects while its request is queued uses no slot.
#[tokio::test]
async fn a_client_that_leaves_the_queue_makes_room() -> anyhow::Result<()> {
    let (_origin, setup, reached, go) = one_slot("20s").await?;
    let setup = setup.frontend("timeout.client_fin = \"50ms\"");
    let proxy = setup.start().await?;
    let mut first = Wire::connect(proxy.address()).await?;
    first.send(GET).await?;
    reached.notified().await;
    let mut leaver = Wire::connect(proxy.address()).await?;
    leaver.send(GET).await?;
    drop(leaver);
    proxy.line_with("end=client-closed").await?;
    let mut last = Wire::connect(proxy.address()).await?;
    last.send(GET).await?;
    go.notify_one();
    assert_eq!(first.response("GET").await?.body, b"ok");
    go.notify_one();
    assert_eq!(last.response("GET").await?.body, b"ok");
    Ok(())
}
