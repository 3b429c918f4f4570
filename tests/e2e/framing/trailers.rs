//! Trailers and chunks: which trailer fields are forwarded, and how the proxy joins chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use pointsman_tests::{Message, Origin, Setup, Wire};

use super::get;

/// Fields that must not be trailers: hop-by-hop fields, fields for framing, routing or
/// authentication, and fields in which a proxy describes the client (RFC 9110, sections 6.5.1 and
/// 7.6.1).
const FORBIDDEN: &[&str] = &[
    "Authorization",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Expect",
    "Forwarded",
    "Host",
    "HTTP2-Settings",
    "Keep-Alive",
    "Max-Forwards",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Set-Cookie",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Via",
    "WWW-Authenticate",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X_Forwarded_For",
];

#[tokio::test]
async fn trailers_that_must_not_pass() -> anyhow::Result<()> {
    let evil: Vec<_> = FORBIDDEN
        .iter()
        .flat_map(|name| {
            [
                format!("{name}: evil\r\n"),
                format!("{}: evil\r\n", name.to_lowercase()),
            ]
        })
        .collect();
    // Connection in the head names `X-Named` and `x-other`. The case of the names does not matter.
    let section = format!(
        "X-First: 1\r\n{}X-Named: evil\r\nx-other: evil\r\nX-Last: 2\r\nx-first: 3\r\n",
        evil.concat()
    );
    let rest = format!(
        "Connection: x-named\r\nConnection: close-not, X-Other\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n{section}\r\n"
    );
    let origin = Origin::answering(format!("HTTP/1.1 200 OK\r\n{rest}")).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..2 {
        let answer = client
            .exchange(format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}"))
            .await?;
        let request = origin.requests().pop().context("a request")?;
        for message in [&answer, &request] {
            same_trailers(
                message,
                &[("X-First", "1"), ("X-Last", "2"), ("x-first", "3")],
            );
        }
    }
    assert_eq!(origin.connections(), 1);
    Ok(())
}

#[track_caller]
fn same_trailers(message: &Message, expected: &[(&str, &str)]) {
    assert_eq!(message.body, b"hello");
    let seen: Vec<_> = message
        .trailers
        .iter()
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(seen, expected);
}

/// The proxy refuses empty elements in Transfer-Encoding in both directions, because parsers
/// disagree about them.
#[tokio::test]
async fn codings_with_empty_elements() -> anyhow::Result<()> {
    let body = "\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for value in [
        ",chunked",
        "chunked,",
        ", ,chunked",
        "chunked, ,",
        ",",
        "chunked\r\nTransfer-Encoding:",
        "\r\nTransfer-Encoding: chunked",
    ] {
        let origin = Origin::answering(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: {value}{body}"
        ))
        .await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}{body}");
        let refused = client.exchange(request).await?.head.status()?;
        assert!([400, 501].contains(&refused), "{value:?}: {refused}");
        assert_eq!(client.rest().await?, b"");
        assert!(origin.requests().is_empty(), "{value:?}");
        let mut client = Wire::connect(proxy.address()).await?;
        let answer = client.exchange(get("/")).await?;
        assert_eq!(answer.head.status()?, 502, "{value:?}");
    }
    Ok(())
}

/// One-byte chunks are joined: the receiver gets hardly more bytes than with large chunks.
#[tokio::test]
async fn one_byte_chunks_are_joined() -> anyhow::Result<()> {
    const COUNT: usize = 100_000;
    let body: Arc<str> = ("1\r\nx\r\n".repeat(COUNT) + "0\r\n\r\n").into();
    let upstream = Arc::new(AtomicUsize::new(0));
    let (counter, answer) = (Arc::clone(&upstream), Arc::clone(&body));
    let origin = Origin::scripted(move |mut wire, _| {
        let (counter, answer) = (Arc::clone(&counter), Arc::clone(&answer));
        async move {
            wire.head().await?;
            let body = wire.until(b"\r\n0\r\n\r\n").await?;
            counter.store(body.len(), Ordering::SeqCst);
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            wire.send(answer.as_bytes()).await
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await?;
    client.send(body.as_bytes()).await?;
    assert_eq!(client.head().await?.status()?, 200);
    let downstream = client.until(b"\r\n0\r\n\r\n").await?.len();
    for (side, bytes) in [
        ("upstream", upstream.load(Ordering::SeqCst)),
        ("downstream", downstream),
    ] {
        // In one-byte chunks, each byte of the body takes 6 bytes. The proxy turns each read of
        // some KiB into one chunk.
        ensure!(bytes < COUNT + COUNT / 50, "{side}: {bytes} bytes");
        ensure!(bytes > COUNT, "{side}: {bytes} bytes");
    }
    origin.join().await
}

/// A small chunk is forwarded at once; the proxy does not wait for more chunks to join with it.
#[tokio::test]
async fn joining_chunks_delays_nothing() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await?;
        for _ in 0..20 {
            let chunk = wire.exactly(b"1\r\nx\r\n".len()).await?;
            ensure!(chunk == b"1\r\nx\r\n", "{chunk:?}");
            wire.send(chunk).await?;
        }
        ensure!(wire.exactly(5).await? == b"0\r\n\r\n");
        wire.send("0\r\n\r\n").await
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await?;
    let head = client.head().await?;
    assert_eq!(head.status()?, 200);
    for _ in 0..20 {
        client.send("1\r\nx\r\n").await?;
        assert_eq!(client.exactly(6).await?, b"1\r\nx\r\n");
    }
    client.send("0\r\n\r\n").await?;
    assert_eq!(client.body("POST", &head).await?.body, b"");
    origin.join().await
}

/// An empty line after a body is not the start of a request, so the proxy does not wait for the
/// rest of a head (RFC 9112, section 2.2).
#[tokio::test]
async fn an_empty_line_behind_a_body_is_no_request() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([origin.address()])
        .frontend("timeout.request_header = \"200ms\"")
        .frontend("timeout.keep_alive = \"600ms\"")
        .start()
        .await?;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for stray in ["\r\n", "\n", "\r\n\r\n"] {
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.exchange(post).await?.body, b"www");
        client.send(stray).await?;
        assert_eq!(client.exchange(post).await?.body, b"www");
        client.send(stray).await?;
        // The connection counts as idle, so it ends without a 408.
        client.end().await.with_context(|| format!("{stray:?}"))?;
    }
    Ok(())
}
