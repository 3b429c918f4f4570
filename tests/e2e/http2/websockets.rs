//! WebSockets over HTTP/2 (RFC 8441), with clients and with servers.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use pointsman_tests::{Asked, DEADLINE, Http2Client, Http2Origin, Origin, Proxy, Wire};
use sha1::{Digest as _, Sha1};
use tokio::time::timeout;

use super::proxy;
use crate::tunnels::handshake;

/// Sends a WebSocket's bytes by extended CONNECT, and checks that they come back. Returns the fields
/// of the response.
async fn echoes(client: &Http2Client) -> anyhow::Result<HeaderMap> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://io.test.tld/chat")
        .header("sec-websocket-version", "13")
        .body(())?;
    let protocol = h2::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let (response, mut stream) = client.ready().await?.send_request(request, false)?;
    let response = timeout(DEADLINE, response).await??;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let (parts, mut body) = response.into_parts();
    for message in ["hello", "again"] {
        stream.send_data(message.into(), false)?;
        let mut seen = Vec::new();
        while seen.len() < message.len() {
            let piece = timeout(DEADLINE, body.data()).await?.context("an echo")??;
            body.flow_control().release_capacity(piece.len())?;
            seen.extend_from_slice(&piece);
        }
        assert_eq!(seen, message.as_bytes());
    }
    // The proxy passes on the end of one direction.
    stream.send_data(Bytes::new(), true)?;
    while let Some(piece) = timeout(DEADLINE, body.data()).await? {
        assert!(piece?.is_empty());
    }
    Ok(parts.headers)
}

/// Returns the `Sec-WebSocket-Accept` of a key (RFC 6455, section 1.3).
fn accept_of(key: &str) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    STANDARD.encode(digest)
}

/// Starts an origin that switches to WebSocket and echoes what it receives.
async fn http1_echo() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        let head = wire.head().await?;
        let key = head.field("sec-websocket-key").context("a key")?;
        let accept = accept_of(&key);
        wire.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Internal: 1\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        ))
        .await?;
        let (mut socket, _) = wire.into_parts();
        let (mut read, mut write) = socket.split();
        tokio::io::copy(&mut read, &mut write).await?;
        Ok(())
    })
    .await
}

async fn http2_echo() -> anyhow::Result<Http2Origin> {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    Http2Origin::start(builder, None, |mut asked: Asked| async move {
        ensure!(asked.request.method() == Method::CONNECT, "{asked:?}");
        ensure!(!asked.request.headers().contains_key("sec-websocket-key"));
        let response = Response::builder().header("x-internal", "1").body(())?;
        let mut stream = asked.respond.send_response(response, false)?;
        let mut body = asked.request.into_body();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            stream.send_data(piece, false)?;
        }
        stream.send_data(Bytes::new(), true)?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn websockets_over_http2() -> anyhow::Result<()> {
    let (http1, http2) = (http1_echo().await?, http2_echo().await?);
    for (server, options) in [
        (http1.address(), ""),
        (http2.address(), ", protocol = \"h2c\""),
    ] {
        let proxy = proxy(server, options, "").await?;
        let client = Http2Client::connect(proxy.address()).await?;
        echoes(&client).await?;
        let line = proxy.line_with("end=tunnel").await?;
        assert!(line.contains("bytes_in=10 bytes_out=10"), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn websockets_over_http1_to_an_http2_server() -> anyhow::Result<()> {
    let www = http2_echo().await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let mut wire = Wire::connect(proxy.address()).await?;
    wire.send(handshake("io.test.tld")).await?;
    let head = wire.head().await?;
    assert_eq!(head.status()?, 101);
    assert!(head.field("sec-websocket-accept").is_some());
    wire.send("hello").await?;
    assert_eq!(wire.exactly(5).await?, b"hello");
    Ok(())
}

#[tokio::test]
async fn a_server_without_websockets_is_a_502() -> anyhow::Result<()> {
    let script = |asked: Asked| async { asked.answer("x") };
    let www = Http2Origin::start(h2::server::Builder::new(), None, script).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let mut wire = Wire::connect(proxy.address()).await?;
    let answer = wire.exchange(handshake("io.test.tld")).await?;
    assert_eq!(answer.head.status()?, 502);
    proxy
        .line_with("does not support WebSockets over HTTP/2")
        .await?;
    Ok(())
}

#[tokio::test]
async fn max_body_does_not_end_websockets() -> anyhow::Result<()> {
    let www = http1_echo().await?;
    let proxy = Proxy::pointsman(&format!(
        r#"
        [frontend.http-in]
        bind = {{ address = "127.0.0.1:0", h2c = true }}
        default_backend = "www"
        max_body = "4B"
        [backend.www]
        server.www = "{}"
        "#,
        www.address()
    ))
    .await?;
    echoes(&Http2Client::connect(proxy.address()).await?).await?;
    Ok(())
}

/// A plugin's edits of the response also apply to the response that opens a WebSocket: the 101 of
/// HTTP/1.1, and the 200 to an extended CONNECT, whichever version of HTTP the server speaks.
#[tokio::test]
async fn response_edits_apply_to_a_response_that_opens_a_websocket() -> anyhow::Result<()> {
    let (http1, http2) = (http1_echo().await?, http2_echo().await?);
    for (server, options) in [
        (http1.address(), ""),
        (http2.address(), ", protocol = \"h2c\""),
    ] {
        let proxy = Proxy::pointsman(&format!(
            r#"
            workers = 1
            [frontend.http-in]
            bind = {{ address = "127.0.0.1:0", h2c = true }}
            default_backend = "www"
            router.plugin = "headers"
            router.config.response = {{ set = {{ x-edge = "1" }}, append = {{ x-seen = "2" }}, remove = ["x-internal"] }}
            [backend.www]
            server.www = {{ address = "{server}" {options} }}
            "#
        ))
        .await?;
        // The second decision comes from the cache.
        for _ in 0..2 {
            let fields = echoes(&Http2Client::connect(proxy.address()).await?).await?;
            let seen = ["x-edge", "x-seen", "x-internal"].map(|name| fields.get(name));
            let seen = seen.map(|value| value.map(|value| value.as_bytes().to_vec()));
            let edited = [Some(b"1".to_vec()), Some(b"2".to_vec()), None];
            assert_eq!(seen, edited, "{options}: {fields:?}");

            let mut wire = Wire::connect(proxy.address()).await?;
            wire.send(handshake("io.test.tld")).await?;
            let head = wire.head().await?;
            assert_eq!(head.status()?, 101, "{options}: {head:?}");
            let seen = ["x-edge", "x-seen", "x-internal"].map(|name| head.field(name));
            let edited = [Some("1".to_owned()), Some("2".to_owned()), None];
            assert_eq!(seen, edited, "{options}: {head:?}");
            wire.send("hello").await?;
            assert_eq!(wire.exactly(5).await?, b"hello");
        }
    }
    Ok(())
}
