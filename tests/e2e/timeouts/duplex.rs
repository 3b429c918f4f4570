//! Bodies in both directions at once, half-closed clients, and bytes that the proxy reads after an
//! early response.

use std::sync::Arc;

use anyhow::ensure;
use pointsman_tests::{End, Origin, Setup, Wire};
use tokio::sync::Notify;

use super::{CHUNKED, GET, OK, long_pause, short, slowly};

const CHUNK: &str = "1\r\nx\r\n";
const STREAM: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn both(setup: Setup) -> Setup {
    setup
        .frontend("timeout.client = \"400ms\"")
        .backend("timeout.server = \"400ms\"")
}

/// Bytes that the proxy sends to the client count as progress of the client, although the client's
/// own body does not move.
#[tokio::test]
async fn a_response_that_flows_is_progress_for_the_upload() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.until(b"hello\r\n").await?;
        wire.send(STREAM).await?;
        slowly(&mut wire, CHUNK).await?;
        wire.send("0\r\n\r\n").await?;
        wire.end().await.map(drop)
    })
    .await?;
    let proxy = both(Setup::before([origin.address()])).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(format!("{CHUNKED}5\r\nhello\r\n")).await?;
    let response = client.response("POST").await?;
    assert_eq!(response.body.len(), super::PAUSES);
    origin.join().await
}

/// Bytes that the proxy sends to the server count as progress of the server, although the server
/// sends nothing.
#[tokio::test]
async fn an_upload_that_flows_is_progress_for_the_response() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.send(format!("{STREAM}{CHUNK}")).await?;
        wire.until(b"0\r\n\r\n").await?;
        wire.send("0\r\n\r\n").await
    })
    .await?;
    let proxy = both(Setup::before([origin.address()])).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(CHUNKED).await?;
    let head = client.head().await?;
    slowly(&mut client, CHUNK).await?;
    client.send("0\r\n\r\n").await?;
    assert_eq!(client.body("POST", &head).await?.body, b"x");
    origin.join().await
}

/// An exchange ends if no bytes move in either direction.
#[tokio::test]
async fn a_standstill_in_both_directions_ends() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.until(b"hello\r\n").await?;
        wire.send(format!("{STREAM}{CHUNK}")).await?;
        wire.end().await.map(drop)
    })
    .await?;
    let proxy = both(Setup::before([origin.address()])).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(format!("{CHUNKED}5\r\nhello\r\n")).await?;
    client.until(b"x\r\n").await?;
    // The last chunk is missing, so the client knows that the body is incomplete.
    assert_eq!(short(client.rest()).await?, b"");
    origin.join().await
}

// Half-closed clients

#[tokio::test]
async fn a_half_closed_client_gets_its_answer() -> anyhow::Result<()> {
    let go = Arc::new(Notify::new());
    let waiting = Arc::clone(&go);
    let origin = Origin::scripted(move |mut wire, _| {
        let go = Arc::clone(&waiting);
        async move {
            while wire.request().await.is_ok() {
                go.notified().await;
                wire.send(OK).await?;
            }
            Ok(())
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\n");
    for request in [GET, post, &chunked, "GET / HTTP/1.0\r\n\r\n"] {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(request).await?;
        client.finish().await?;
        go.notify_one();
        assert_eq!(client.response("POST").await?.body, b"ok", "{request:?}");
        assert_eq!(client.end().await?, End::Closed);
    }
    // Every request that the client sent before it half-closed gets a response, and the connection
    // closes after the last one.
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(GET.repeat(3)).await?;
    client.finish().await?;
    for number in 0..3 {
        go.notify_one();
        assert_eq!(client.response("GET").await?.body, b"ok", "{number}");
    }
    assert_eq!(client.end().await?, End::Closed);
    Ok(())
}

/// The proxy waits for a half-closed client only for a limited time, because a client that has
/// closed its connection looks the same.
#[tokio::test]
async fn the_wait_of_a_half_closed_client_is_limited() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        wire.end().await.map(drop)
    })
    .await?;
    let proxy = Setup::before([origin.address()])
        .frontend("timeout.client_fin = \"400ms\"")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(GET).await?;
    client.finish().await?;
    short(client.end()).await?;
    proxy.line_with("end=client-closed").await?;
    origin.join().await
}

/// `client_fin` counts from the last progress: a response that keeps moving is never cut off.
#[tokio::test]
async fn a_half_closed_client_gets_a_slow_answer() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        wire.send(STREAM).await?;
        slowly(&mut wire, CHUNK).await?;
        wire.send("0\r\n\r\n").await
    })
    .await?;
    let proxy = Setup::before([origin.address()])
        .frontend("timeout.client_fin = \"400ms\"")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(GET).await?;
    client.finish().await?;
    let response = client.response("GET").await?;
    assert_eq!(response.body.len(), super::PAUSES);
    origin.join().await
}

/// A client that half-closes in the middle of its body is refused, because the request is invalid.
#[tokio::test]
async fn a_client_that_ends_in_its_body_is_refused() -> anyhow::Result<()> {
    for start in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let origin = Origin::scripted(|mut wire, _| async move {
            ensure!(wire.request().await.is_err(), "a whole request");
            Ok(())
        })
        .await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(start).await?;
        client.finish().await?;
        assert_eq!(client.response("POST").await?.head.status()?, 400);
        origin.join().await?;
    }
    Ok(())
}

// After an early response

/// After an early response, the proxy reads from the client only while the client keeps sending.
#[tokio::test]
async fn a_client_that_stops_after_an_early_response_is_disconnected() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.send(OK).await?;
        wire.end().await.map(drop)
    })
    .await?;
    let proxy = Setup::before([origin.address()])
        .frontend("timeout.client = \"400ms\"")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(CHUNKED).await?;
    let response = client.response("POST").await?;
    assert_eq!(response.head.field("connection").as_deref(), Some("close"));
    client.end().await?;
    // The proxy reads as long as the client sends.
    slowly(&mut client, CHUNK).await?;
    client.send(CHUNK).await?;
    long_pause().await;
    // The proxy has stopped reading. The first byte causes a reset, and the next one then fails.
    let _ = client.send("x").await;
    long_pause().await;
    assert!(client.send("x").await.is_err(), "still read from");
    origin.join().await
}
