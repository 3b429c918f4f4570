//! Tunnels, which are connections that no longer carry HTTP: how they start, what they carry, and
//! how they end.

mod ends;

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use pointsman_tests::{Origin, Proxy, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::routing;

/// The key from RFC 6455, section 1.3.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A correct response to [`handshake`].
pub(crate) const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Returns a WebSocket handshake with these further field lines.
pub(crate) fn handshake_with(host: &str, lines: &str) -> String {
    format!(
        "GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

/// Returns a correct WebSocket handshake.
pub(crate) fn handshake(host: &str) -> String {
    handshake_with(host, KEY)
}

/// Returns a configuration with these further keys at the top, in a frontend and in a backend.
pub(crate) fn config(top: &str, frontend: &str, backend: &str, server: SocketAddr) -> String {
    format!(
        r#"
{top}
[frontend.http-in]
bind = "127.0.0.1:0"
default_backend = "www"
{frontend}
[backend.www]
server.www = "{server}"
{backend}
"#
    )
}

/// Starts an origin that accepts a WebSocket and then echoes everything that it receives.
pub(crate) async fn echo() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.send(SWITCHED).await?;
        let (mut stream, early) = wire.into_parts();
        stream.write_all(&early).await?;
        let (mut from, mut to) = stream.split();
        // A client that resets the connection is not an error.
        let _ = tokio::io::copy(&mut from, &mut to).await;
        Ok(())
    })
    .await
}

/// Starts an origin that responds to ordinary requests, and echoes in tunnels.
pub(crate) async fn echo_or_www() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        while let Ok(request) = wire.request().await {
            if request.head.field("upgrade").is_some() {
                wire.send(SWITCHED).await?;
                while let Ok(bytes) = wire.exactly(4).await {
                    wire.send(bytes).await?;
                }
                return Ok(());
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwww")
                .await?;
        }
        Ok(())
    })
    .await
}

/// Opens a tunnel.
pub(crate) async fn open(proxy: SocketAddr) -> anyhow::Result<Wire> {
    let mut client = Wire::connect(proxy).await?;
    let answer = client.exchange(handshake("www.test.tld")).await?;
    ensure!(answer.head.status()? == 101, "{:?}", answer.head);
    Ok(client)
}

/// Checks that bytes pass both ways, with an origin that echoes.
pub(crate) async fn passes(client: &mut Wire) -> anyhow::Result<()> {
    client.send("ping").await?;
    ensure!(client.exactly(4).await? == b"ping");
    Ok(())
}

/// Starts an origin that runs `script` after the handshake. [`Origin::join`] reports the script's
/// errors.
async fn after_handshake<F, Fut>(script: F) -> anyhow::Result<Origin>
where
    F: Fn(Wire) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    Origin::scripted(move |mut wire, _| {
        let script = script.clone();
        async move {
            wire.head().await?;
            wire.send(SWITCHED).await?;
            script(wire).await
        }
    })
    .await
}

#[tokio::test]
async fn a_websocket_opens_through_either_backend() -> anyhow::Result<()> {
    async fn greeting(name: &'static str) -> anyhow::Result<Origin> {
        Origin::scripted(move |mut wire, _| async move {
            let head = wire.head().await?;
            for (field, value) in [
                ("upgrade", "websocket"),
                ("connection", "upgrade"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-version", "13"),
            ] {
                let seen = head.field(field).unwrap_or_default();
                ensure!(seen.eq_ignore_ascii_case(value), "{field}: {head:?}");
            }
            wire.send(SWITCHED).await?;
            wire.send(name).await
        })
        .await
    }
    let (www, node) = (greeting("www").await?, greeting("node").await?);
    let config = routing::pointsman("", www.address(), node.address());
    let proxy = Proxy::pointsman(&config).await?;
    for (host, name) in [("www.test.tld", "www"), ("io.test.tld", "node")] {
        let mut client = Wire::connect(proxy.address()).await?;
        let answer = client.exchange(handshake(host)).await?;
        assert_eq!(answer.head.status()?, 101);
        for (field, value) in [
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ] {
            let seen = answer.head.field(field).unwrap_or_default();
            assert!(seen.eq_ignore_ascii_case(value), "{field}: {seen}");
        }
        assert_eq!(client.rest().await?, name.as_bytes());
    }
    www.join().await?;
    node.join().await
}

#[tokio::test]
async fn handshakes_against_the_rules_are_400() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let good = handshake("www");
    for request in [
        handshake_with("www", ""),
        handshake_with("www", "Sec-WebSocket-Key:\r\n"),
        handshake_with("www", "Sec-WebSocket-Key: c2hvcnQ=\r\n"),
        handshake_with("www", "Sec-WebSocket-Key: not base64 at all!!\r\n"),
        handshake_with("www", &format!("{KEY}{KEY}")),
        good.replace("Sec-WebSocket-Version: 13\r\n", ""),
        good.replace("GET", "DELETE"),
    ] {
        let mut client = Wire::connect(proxy.address()).await?;
        let answer = client.exchange(&request).await?;
        assert_eq!(answer.head.status()?, 400, "{request:?}");
    }
    assert_eq!(origin.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn connect_is_405() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    // HTTP allows no body in a 2xx response to CONNECT. This response is not a 2xx, so it is read
    // like a response to GET.
    client
        .send("CONNECT www.test.tld:443 HTTP/1.1\r\nHost: www.test.tld:443\r\n\r\n")
        .await?;
    assert_eq!(client.response("GET").await?.head.status()?, 405);
    assert_eq!(origin.connections(), 0);
    Ok(())
}

/// An incorrect switch by the server leads to a 502. The connection is not used again, because any
/// bytes could follow on it.
#[tokio::test]
async fn servers_that_switch_wrongly_are_502() -> anyhow::Result<()> {
    let right = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let accept = format!("Sec-WebSocket-Accept: {right}\r\n");
    let upgrade = handshake("www");
    let plain = "GET / HTTP/1.1\r\nHost: www\r\n\r\n".to_owned();
    for (request, answer) in [
        (&upgrade, SWITCHED.replace(&accept, "")),
        (
            &upgrade,
            SWITCHED.replace(right, "s3pPLMBiTxaQ9kYGzzhZRbK+xOp="),
        ),
        (
            &upgrade,
            SWITCHED.replace(&accept, &format!("{accept}{accept}")),
        ),
        (&upgrade, SWITCHED.replace("Upgrade: websocket\r\n", "")),
        (&upgrade, SWITCHED.replace(": websocket", ": h2c")),
        (&plain, SWITCHED.to_owned()),
    ] {
        let (sent, shown) = (answer.clone(), format!("{request:?} {answer:?}"));
        let origin = Origin::scripted(move |mut wire, number| {
            let answer = sent.clone();
            async move {
                wire.head().await?;
                if number > 0 {
                    return wire.send("HTTP/1.1 204 No Content\r\n\r\n").await;
                }
                wire.send(&answer).await?;
                wire.end().await.map(|_| ())
            }
        })
        .await?;
        let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let answer = client.exchange(request).await.context(shown.clone())?;
        assert_eq!(answer.head.status()?, 502, "{shown}");
        let answer = client.exchange(&plain).await.context(shown.clone())?;
        assert_eq!(answer.head.status()?, 204, "{shown}");
        origin.join().await.context(shown)?;
    }
    Ok(())
}

#[tokio::test]
async fn any_other_protocol_is_tunnelled() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        let head = wire.head().await?;
        ensure!(head.field("upgrade").as_deref() == Some("echo, other/2"));
        wire.send("HTTP/1.1 101 Fine\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            .await?;
        let asked = wire.exactly(4).await?;
        wire.send(asked).await
    })
    .await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let answer = client
        .exchange(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo, other/2\r\n\r\n",
        )
        .await?;
    assert_eq!(answer.head.status()?, 101);
    assert_eq!(answer.head.field("upgrade").as_deref(), Some("echo"));
    passes(&mut client).await?;
    origin.join().await
}

/// Bytes that a client sends with the handshake, in the same segment or just after it, reach the
/// server first, even if they exceed every buffer for a head.
#[tokio::test]
async fn bytes_sent_with_the_handshake_arrive_first() -> anyhow::Result<()> {
    for length in [1, 1000, 300_000] {
        let origin = Origin::scripted(move |mut wire, _| async move {
            wire.head().await?;
            wire.send([SWITCHED.as_bytes(), &numbers(length)].concat())
                .await?;
            wire.send("second").await?;
            ensure!(wire.exactly(length).await? == numbers(length), "inward");
            ensure!(wire.exactly(6).await? == b"second");
            wire.send("end").await
        })
        .await?;
        let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let first = [handshake("www").as_bytes(), &numbers(length)].concat();
        client.send(first).await?;
        assert_eq!(
            client.response("GET").await?.head.status()?,
            101,
            "{length}"
        );
        client.send("second").await?;
        assert!(
            client.exactly(length).await? == numbers(length),
            "outward {length}"
        );
        assert_eq!(client.exactly(6).await?, b"second");
        assert_eq!(client.rest().await?, b"end");
        origin.join().await?;
    }
    Ok(())
}

/// Returns bytes whose order can be checked.
fn numbers(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_be_bytes).take(length).collect()
}

#[tokio::test]
async fn each_side_may_end_first() -> anyhow::Result<()> {
    let origin = after_handshake(|mut wire| async move {
        if wire.exactly(6).await? == b"server" {
            wire.finish().await?;
            ensure!(wire.rest().await? == b"late");
            return Ok(());
        }
        ensure!(wire.rest().await?.is_empty());
        wire.send("late").await
    })
    .await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;

    let mut client = open(proxy.address()).await?;
    client.send("client").await?;
    client.finish().await?;
    assert_eq!(client.rest().await?, b"late");

    let mut client = open(proxy.address()).await?;
    client.send("server").await?;
    assert_eq!(client.rest().await?, b"");
    client.send("late").await?;
    client.finish().await?;
    origin.join().await
}

#[tokio::test]
async fn ten_megabytes_each_way_at_once_arrive_whole() -> anyhow::Result<()> {
    const LENGTH: usize = 10_000_000;
    async fn exchange(wire: Wire) -> anyhow::Result<()> {
        let (mut stream, mut seen) = wire.into_parts();
        let (mut from, mut to) = stream.split();
        let write = async {
            to.write_all(&numbers(LENGTH)).await?;
            to.shutdown().await
        };
        // Reads slowly: little at a time, and with a yield to all other tasks before each read.
        let read = async {
            let mut piece = [0; 1500];
            loop {
                tokio::task::yield_now().await;
                match from.read(&mut piece).await? {
                    0 => return std::io::Result::Ok(()),
                    count => seen.extend_from_slice(&piece[..count]),
                }
            }
        };
        tokio::try_join!(write, read)?;
        ensure!(seen.len() == LENGTH, "{} bytes", seen.len());
        ensure!(seen == numbers(LENGTH), "changed on the way");
        Ok(())
    }
    let origin = after_handshake(exchange).await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    exchange(open(proxy.address()).await?).await?;
    origin.join().await?;
    let line = proxy.line_with("end=tunnel").await?;
    assert!(
        line.contains("bytes_in=10000000 bytes_out=10000000"),
        "{line}"
    );
    Ok(())
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_like_any_other() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        for status in ["200 OK", "400 Bad Request", "426 Upgrade Required"] {
            wire.head().await?;
            wire.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"))
                .await?;
        }
        let head = wire.head().await?;
        ensure!(head.field("upgrade").is_none(), "{head:?}");
        wire.send("HTTP/1.1 204 No Content\r\n\r\n").await?;
        wire.head().await?;
        wire.send(SWITCHED).await?;
        wire.send("yes").await
    })
    .await?;
    let proxy = Proxy::pointsman(&config("workers = 1", "", "", origin.address())).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for status in [200, 400, 426] {
        let answer = client.exchange(handshake("www")).await?;
        assert_eq!(answer.head.status()?, status);
        assert_eq!(answer.body, b"no");
    }
    let answer = client
        .exchange("GET / HTTP/1.1\r\nHost: www\r\n\r\n")
        .await?;
    assert_eq!(answer.head.status()?, 204);
    assert_eq!(client.exchange(handshake("www")).await?.head.status()?, 101);
    assert_eq!(client.rest().await?, b"yes");
    // All exchanges use the same connection to the server.
    assert_eq!(origin.connections(), 1);
    origin.join().await
}

/// A 426 names the protocol to which the client has to switch (RFC 9110, section 15.5.22).
#[tokio::test]
async fn an_answer_that_asks_for_an_upgrade_names_it() -> anyhow::Result<()> {
    let origin = Origin::answering(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Content-Length: 0\r\n\r\n",
    )
    .await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..2 {
        let request = "GET / HTTP/1.1\r\nHost: www\r\n\r\n";
        let head = client.exchange(request).await?.head;
        assert_eq!(head.status()?, 426);
        assert_eq!(head.field("upgrade").as_deref(), Some("websocket"));
        let connection = head.field("connection").unwrap_or_default();
        ensure!(connection.eq_ignore_ascii_case("upgrade"), "{head:?}");
    }
    Ok(())
}

/// The last character of a key can set bits that the encoding does not use. Such a key is accepted,
/// as in the example of RFC 6455, section 4.1, because servers hash the key's text unchanged.
#[tokio::test]
async fn a_key_with_unused_bits_is_accepted() -> anyhow::Result<()> {
    let keys = [
        ("AQIDBAUGBwgJCgsMDQ4PEA==", "C/0nmHhBztSRGR1CwL6Tf4ZjwpY="),
        ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
    ];
    for (key, accept) in keys {
        let origin = Origin::scripted(move |mut wire, _| async move {
            let head = wire.head().await?;
            ensure!(head.field("sec-websocket-key").as_deref() == Some(key));
            wire.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            ))
            .await
        })
        .await?;
        let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let lines = format!("Sec-WebSocket-Key: {key}\r\n");
        let answer = client.exchange(handshake_with("www", &lines)).await?;
        assert_eq!(answer.head.status()?, 101, "{key}");
        origin.join().await?;
    }
    Ok(())
}

/// A request with a body can be upgraded, as docker's `exec` and `attach` do: the new protocol
/// starts after the body.
#[tokio::test]
async fn an_upgrade_of_a_request_with_a_body() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        let request = wire.request().await?;
        ensure!(request.body == b"hello", "{request:?}");
        let upgrade = request.head.field("upgrade").unwrap_or_default();
        ensure!(upgrade == "tcp", "{upgrade}");
        wire.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            .await?;
        ensure!(wire.exactly(4).await? == b"ping", "the tunnel's bytes");
        wire.send("pong").await
    })
    .await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send(
            "POST /exec HTTP/1.1\r\nHost: www\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Length: 5\r\n\r\nhello",
        )
        .await?;
    let answer = client.head().await?;
    assert_eq!(answer.status()?, 101);
    client.send("ping").await?;
    assert_eq!(client.exactly(4).await?, b"pong");
    origin.join().await
}

/// A WebSocket handshake has no body. If a request has a body, its upgrade is ignored.
#[tokio::test]
async fn a_websocket_handshake_with_a_body_is_a_plain_request() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        let request = wire.request().await?;
        ensure!(request.body == b"hello", "{request:?}");
        ensure!(
            request.head.field("upgrade").is_none(),
            "{:?}",
            request.head
        );
        wire.send("HTTP/1.1 204 No Content\r\n\r\n").await
    })
    .await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let answer = client
        .exchange(
            "POST / HTTP/1.1\r\nHost: www\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Content-Length: 5\r\n\r\nhello",
        )
        .await?;
    assert_eq!(answer.head.status()?, 204);
    origin.join().await
}

#[tokio::test]
async fn a_reset_on_one_side_ends_the_other() -> anyhow::Result<()> {
    let origin = after_handshake(|mut wire| async move {
        match wire.exactly(5).await?.as_slice() {
            b"reset" => wire.reset(),
            _ => wire.end().await.map(|_| ()),
        }
    })
    .await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut client = open(proxy.address()).await?;
    client.send("reset").await?;
    client.end().await?;
    let mut client = open(proxy.address()).await?;
    client.send("bytes").await?;
    client.reset()?;
    origin.join().await
}
