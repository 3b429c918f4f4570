//! `timeout.server` counts only while the proxy waits for the server.

use pointsman_tests::{Origin, Setup, Wire};

use super::{CHUNKED, GET, LARGE, OK, large_origin, long_pause, short, slowly};

const TIMEOUT: &str = "timeout.server = \"400ms\"";

#[tokio::test]
async fn a_silent_server_is_504() -> anyhow::Result<()> {
    // The server stops sending before its response, after an interim response, or in the middle of
    // a head.
    for start in [
        "",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
    ] {
        let origin = Origin::scripted(move |mut wire, _| async move {
            wire.request().await?;
            wire.send(start).await?;
            // The proxy closes the connection, because a response could still arrive on it.
            wire.end().await?;
            Ok(())
        })
        .await?;
        let proxy = Setup::before([origin.address()])
            .backend(TIMEOUT)
            .start()
            .await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let response = short(client.exchange(GET)).await?;
        assert_eq!(response.head.status()?, 504, "after {start:?}");
        origin.join().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_stops_is_broken() -> anyhow::Result<()> {
    for start in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        let origin = Origin::scripted(move |mut wire, _| async move {
            wire.request().await?;
            wire.send(start).await?;
            wire.end().await?;
            Ok(())
        })
        .await?;
        let proxy = Setup::before([origin.address()])
            .backend(TIMEOUT)
            .start()
            .await?;
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        client.until(b"hello").await?;
        let rest = short(client.rest()).await?;
        assert!(rest.is_empty() || rest == b"\r\n", "{start:?}: {rest:?}");
        origin.join().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_body_does_not_time_out() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await?;
        slowly(&mut wire, "1\r\nx\r\n").await?;
        wire.send("0\r\n\r\n").await
    })
    .await?;
    let setup = Setup::before([origin.address()])
        .backend(TIMEOUT)
        .frontend("timeout.client = \"400ms\"")
        .frontend("timeout.keep_alive = \"400ms\"");
    let proxy = setup.start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(GET).await?.body.len(), super::PAUSES);
    origin.join().await
}

#[tokio::test]
async fn a_pause_of_the_client_does_not_count_against_the_server() -> anyhow::Result<()> {
    let origin = Origin::answering(OK).await?;
    let proxy = Setup::before([origin.address()])
        .backend(TIMEOUT)
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(CHUNKED).await?;
    long_pause().await;
    client.send("5\r\nhello\r\n").await?;
    long_pause().await;
    client.send("0\r\n\r\n").await?;
    assert_eq!(client.response("POST").await?.body, b"ok");

    let origin = large_origin().await?;
    let proxy = Setup::before([origin.address()])
        .backend(TIMEOUT)
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(GET).await?;
    client.head().await?;
    long_pause().await;
    client.discard(LARGE).await?;
    origin.join().await
}

/// Once the upload is complete, the timeout applies to the server again.
#[tokio::test]
async fn silence_after_an_upload_is_504() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        wire.end().await?;
        Ok(())
    })
    .await?;
    let proxy = Setup::before([origin.address()])
        .backend(TIMEOUT)
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(CHUNKED).await?;
    slowly(&mut client, "1\r\nx\r\n").await?;
    client.send("0\r\n\r\n").await?;
    let response = short(client.response("POST")).await?;
    assert_eq!(response.head.status()?, 504);
    origin.join().await
}

/// A server that does not read an upload also counts as silent.
#[tokio::test]
async fn a_server_that_stops_reading_is_504() -> anyhow::Result<()> {
    let (hold, held) = tokio::sync::watch::channel(());
    let origin = Origin::scripted(move |mut wire, _| {
        let mut held = held.clone();
        async move {
            wire.head().await?;
            // The server reads nothing until the end of the test.
            let _ = held.changed().await;
            Ok(())
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()])
        .backend(TIMEOUT)
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"
        ))
        .await?;
    // The proxy can stop reading before everything is sent.
    let _ = client.send_bulk(LARGE).await;
    let head = client.head().await?;
    assert_eq!(head.status()?, 504);
    drop(hold);
    origin.join().await
}
