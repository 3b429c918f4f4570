//! The first bytes of request bodies over HTTP/2.

use std::future::poll_fn;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{HeaderMap, Request};
use pointsman_tests::{Asked, DEADLINE, Http2Client, Http2Origin, Origin, Proxy, log_field};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Starts a proxy that speaks HTTP/2 with clients, and has `options` for its server.
async fn proxy(server: SocketAddr, body: &str, options: &str) -> anyhow::Result<Proxy> {
    Proxy::pointsman(&format!(
        r#"
        workers = 1
        [frontend.http-in]
        bind = {{ address = "127.0.0.1:0", h2c = true }}
        default_backend = "www"
        routing.body = {{ {body} }}
        [backend.www]
        server.www = {{ address = "{server}" {options} }}
        "#
    ))
    .await
}

/// Returns a POST of JSON, which declares its `length` if there is one.
fn post(length: Option<usize>) -> anyhow::Result<Request<()>> {
    let mut request =
        Request::post("http://www.test.tld/").header("content-type", "application/json");
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    Ok(request.body(())?)
}

/// Sends a part of a body as fast as the flow-control window allows.
async fn send(stream: &mut SendStream<Bytes>, mut piece: Bytes) -> anyhow::Result<()> {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        let room = match stream.capacity() {
            0 => timeout(DEADLINE, poll_fn(|cx| stream.poll_capacity(cx)))
                .await?
                .context("closed")??,
            room => room,
        };
        stream.send_data(piece.split_to(room.min(piece.len())), false)?;
    }
    Ok(())
}

fn trailers() -> anyhow::Result<HeaderMap> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", "value".parse()?);
    Ok(trailers)
}

/// Sends a body in parts of `cut` bytes, with trailers, and returns the status of the response.
async fn upload(client: &Http2Client, body: &[u8], cut: usize) -> anyhow::Result<u16> {
    let mut ready = client.ready().await?;
    let (response, mut stream) = ready.send_request(post(None)?, false)?;
    for piece in body.chunks(cut) {
        send(&mut stream, Bytes::copy_from_slice(piece)).await?;
    }
    stream.send_trailers(trailers()?)?;
    Ok(timeout(DEADLINE, response).await??.status().as_u16())
}

#[tokio::test]
async fn servers_get_whole_bodies() -> anyhow::Result<()> {
    let http1 = Origin::with_name("www").await?;
    let (seen, mut found) = mpsc::unbounded_channel();
    let http2 = Http2Origin::start(h2::server::Builder::new(), None, move |mut asked: Asked| {
        let seen = seen.clone();
        async move {
            let mut whole = Vec::new();
            let body = asked.request.body_mut();
            while let Some(piece) = body.data().await {
                let piece = piece?;
                body.flow_control().release_capacity(piece.len())?;
                whole.extend_from_slice(&piece);
            }
            let trailers = body.trailers().await?.unwrap_or_default();
            seen.send((whole, trailers.len()))?;
            asked.answer("www")
        }
    })
    .await?;
    let digits: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    // Some of these sizes exceed the flow-control window of a stream.
    for size in ["16B", "16KiB", "1MiB"] {
        let body = format!("size = \"{size}\", too_large = \"route\", wait = \"60s\"");
        let to_http1 = proxy(http1.address(), &body, "").await?;
        let to_http2 = proxy(http2.address(), &body, ", protocol = \"h2c\"").await?;
        let first = Http2Client::connect(to_http1.address()).await?;
        let second = Http2Client::connect(to_http2.address()).await?;
        for (length, cut) in [
            (1, 1),
            (16, 5),
            (17, 17),
            // At most 67 parts, because a server may treat a larger number of small frames at once
            // as an attack.
            (200, 3),
            (5000, 700),
            (16_384, 5000),
            (200_000, 60_000),
        ] {
            let body = &digits[..length];
            assert_eq!(upload(&first, body, cut).await?, 200);
            let request = http1.requests().pop().context("no request")?;
            ensure!(request.body == body, "{length} at {size}");
            assert_eq!(request.trailers.len(), 1, "{length} at {size}");
            assert_eq!(upload(&second, body, cut).await?, 200);
            let (seen, trailers) = found.recv().await.context("no request")?;
            ensure!(seen == body, "{length} at {size}");
            assert_eq!(trailers, 1, "{length} at {size}");
        }
    }
    Ok(())
}

/// Many streams can wait at once, with more bytes in total than the connection's window.
#[tokio::test]
async fn many_streams_wait_at_once() -> anyhow::Result<()> {
    const STREAMS: usize = 90;
    const LENGTH: usize = 30_000;
    let www = Origin::with_name("www").await?;
    let proxy = proxy(www.address(), "size = \"32KiB\", wait = \"60s\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut ready = client.ready().await?;
        streams.push(ready.send_request(post(Some(LENGTH))?, false)?);
    }
    // No request proceeds, because the last byte of each body is missing.
    for (_, stream) in &mut streams {
        send(stream, vec![b'x'; LENGTH - 1].into()).await?;
    }
    assert_eq!(www.connections(), 0);
    let mut answers = JoinSet::new();
    for (response, mut stream) in streams {
        stream.send_data("y".into(), true)?;
        answers.spawn(timeout(DEADLINE, response));
    }
    while let Some(answer) = answers.join_next().await {
        assert_eq!(answer???.status(), 200);
    }
    let expected = [vec![b'x'; LENGTH - 1], vec![b'y']].concat();
    let requests = www.requests();
    ensure!(requests.len() == STREAMS);
    ensure!(requests.iter().all(|request| request.body == expected));
    Ok(())
}

#[tokio::test]
async fn a_longer_body_is_rejected() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let proxy = proxy(www.address(), "size = \"16B\", wait = \"60s\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let ready = client.ready().await?;
    let (response, _stream) = ready.clone().send_request(post(Some(17))?, false)?;
    assert_eq!(timeout(DEADLINE, response).await??.status(), 413);
    assert_eq!(upload(&client, &[b'x'; 17], 3).await?, 413);
    assert_eq!(www.connections(), 0);
    // The connection stays usable.
    assert_eq!(upload(&client, &[b'x'; 16], 3).await?, 200);
    assert_eq!(client.get("/").await?.0, 200);
    Ok(())
}

/// A body with a declared length is complete before its stream ends, because some clients end the
/// stream only after the response.
#[tokio::test]
async fn a_body_is_complete_before_its_stream_ends() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let proxy = proxy(www.address(), "wait = \"60s\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let mut ready = client.ready().await?;
    let (response, mut stream) = ready.send_request(post(Some(5))?, false)?;
    stream.send_data("hello".into(), false)?;
    assert_eq!(timeout(DEADLINE, response).await??.status(), 200);
    stream.send_data(Bytes::new(), true)?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_held_back_is_asked_for() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let proxy = proxy(www.address(), "wait = \"60s\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let mut request = post(Some(5))?;
    let headers = request.headers_mut();
    headers.insert("expect", "100-continue".parse()?);
    let mut ready = client.ready().await?;
    let (mut response, mut stream) = ready.send_request(request, false)?;
    let interim = poll_fn(|cx| response.poll_informational(cx));
    let interim = timeout(DEADLINE, interim).await?.context("no 100")??;
    assert_eq!(interim.status(), 100);
    stream.send_data("hello".into(), true)?;
    assert_eq!(timeout(DEADLINE, response).await??.status(), 200);
    let request = www.requests().pop().context("no request")?;
    assert_eq!(request.head.field("expect"), None);
    assert_eq!(request.body, b"hello");
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_reset_goes_nowhere() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let proxy = proxy(www.address(), "wait = \"60s\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let mut ready = client.ready().await?;
    let (_response, mut stream) = ready.send_request(post(None)?, false)?;
    stream.send_data("hel".into(), false)?;
    stream.send_reset(Reason::CANCEL);
    let line = proxy.line_with(" end=client-closed ").await?;
    assert_eq!(log_field(&line, "server"), None, "{line}");
    assert_eq!(www.connections(), 0);
    assert_eq!(client.get("/").await?.0, 200);
    Ok(())
}
