//! HTTP/2 with servers: which requests share a connection, and when requests are sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use pointsman_tests::{Asked, DEADLINE, Http2Client, Http2Origin, Origin, Wire};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::proxy;

/// Starts a server that responds with the connection's number, as soon as `together` requests have
/// arrived.
async fn gathering(builder: h2::server::Builder, together: usize) -> anyhow::Result<Http2Origin> {
    let (there, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    Http2Origin::start(builder, None, move |asked: Asked| {
        let (there, all) = (Arc::clone(&there), Arc::clone(&all));
        async move {
            let complete = all.notified();
            if there.fetch_add(1, Ordering::SeqCst) + 1 == together {
                all.notify_waiters();
            } else {
                timeout(DEADLINE, complete).await?;
            }
            let number = asked.connection.to_string();
            asked.answer(number)
        }
    })
    .await
}

/// Sends `count` requests at once over one connection, and returns the responses.
async fn at_once(client: &Http2Client, count: usize) -> anyhow::Result<Vec<(u16, Bytes)>> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let client = client.clone();
        requests.spawn(async move { client.get("/").await });
    }
    requests.join_all().await.into_iter().collect()
}

#[tokio::test]
async fn many_requests_share_a_connection_to_the_server() -> anyhow::Result<()> {
    let www = gathering(h2::server::Builder::new(), 90).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let answers = at_once(&client, 90).await?;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    assert_eq!(www.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn another_connection_is_made_before_the_server_refuses_streams() -> anyhow::Result<()> {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(5);
    let www = gathering(builder, 20).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let answers = at_once(&client, 20).await?;
    assert!(
        answers.iter().all(|(status, _)| *status == 200),
        "{answers:?}"
    );
    assert!(www.connections() >= 4, "{} connections", www.connections());
    Ok(())
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_elsewhere() -> anyhow::Result<()> {
    let www = Http2Origin::start(h2::server::Builder::new(), None, |mut asked: Asked| async {
        if asked.connection == 0 && asked.number > 0 {
            asked.respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
        let number = asked.connection.to_string();
        asked.answer(number)
    })
    .await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    assert_eq!(client.get("/").await?, (200, "0".into()));
    // The proxy also sends a POST again, because the server has not acted on it.
    let request = Request::post("http://www.test.tld/").body(())?;
    let (response, _) = client.ready().await?.send_request(request, true)?;
    assert_eq!(timeout(DEADLINE, response).await??.status(), 200);
    assert_eq!(www.connections(), 2);
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_goaway_fails_no_request() -> anyhow::Result<()> {
    let script = |asked: Asked| async { asked.answer("x") };
    let www = Http2Origin::start(h2::server::Builder::new(), Some(7), script).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    for _ in 0..20 {
        let answers = at_once(&client, 50).await?;
        assert!(
            answers.iter().all(|(status, _)| *status == 200),
            "{answers:?}"
        );
    }
    assert!(www.connections() >= 20, "{} connections", www.connections());
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_dead_gets_no_further_request() -> anyhow::Result<()> {
    let script = |asked: Asked| async move {
        if asked.connection == 0 && asked.number > 0 {
            // The server sends nothing more on this connection.
            std::future::pending::<()>().await;
        }
        let number = asked.connection.to_string();
        asked.answer(number)
    };
    let www = Http2Origin::start(h2::server::Builder::new(), None, script).await?;
    let options = ", protocol = \"h2c\" }\ntimeout.server = \"300ms\"\nserver.unused = { address = \"127.0.0.1:1\"";
    let proxy = proxy(www.address(), options, "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    assert_eq!(client.get("/").await?, (200, "0".into()));
    assert_eq!(client.get("/").await?.0, 504);
    assert_eq!(client.get("/").await?, (200, "1".into()));
    Ok(())
}

/// Starts a server that reads bodies, and responds with their length.
async fn counting() -> anyhow::Result<Http2Origin> {
    Http2Origin::start(
        h2::server::Builder::new(),
        None,
        |asked: Asked| async move {
            let (parts, mut body) = asked.request.into_parts();
            let mut length = 0;
            while let Some(piece) = body.data().await {
                let piece = piece?;
                length += piece.len();
                body.flow_control().release_capacity(piece.len())?;
            }
            let asked = Asked {
                request: Request::from_parts(parts, body),
                ..asked
            };
            asked.answer(length.to_string())
        },
    )
    .await
}

/// A server sends several window updates for each window of a long upload. The proxy does not treat
/// them as a flood.
#[tokio::test]
async fn a_long_upload_is_no_flood() -> anyhow::Result<()> {
    const LENGTH: usize = 40 << 20;
    let www = counting().await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let mut wire = Wire::connect(proxy.address())
        .await?
        .with_deadline(4 * DEADLINE);
    wire.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n"
    ))
    .await?;
    wire.send_bulk(LENGTH).await?;
    assert_eq!(
        wire.response("PUT").await?.body,
        LENGTH.to_string().as_bytes()
    );
    assert_eq!(www.connections(), 1);
    Ok(())
}

/// Slow uploads do not hold up others: each upload takes no more of the connection's window than it
/// uses.
#[tokio::test]
async fn slow_uploads_do_not_hold_up_others() -> anyhow::Result<()> {
    let www = counting().await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let request = Request::post("http://www.test.tld/").body(())?;
        let (response, mut stream) = client.ready().await?.send_request(request, false)?;
        stream.send_data(vec![b'x'; 100].into(), false)?;
        slow.push((response, stream));
    }
    let mut wire = Wire::connect(proxy.address()).await?;
    wire.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        .await?;
    wire.send_bulk(500_000).await?;
    assert_eq!(wire.response("PUT").await?.body, b"500000");
    for (response, mut stream) in slow {
        stream.send_data(Bytes::new(), true)?;
        assert_eq!(timeout(DEADLINE, response).await??.status(), 200);
    }
    assert_eq!(www.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn trailers_of_a_message_with_a_length() -> anyhow::Result<()> {
    for length in ["0", "2"] {
        let www = Http2Origin::start(
            h2::server::Builder::new(),
            None,
            move |mut asked: Asked| async move {
                let mut response = Response::new(());
                response
                    .headers_mut()
                    .insert("content-length", length.parse()?);
                let mut stream = asked.respond.send_response(response, false)?;
                if length == "2" {
                    stream.send_data("ok".into(), false)?;
                }
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", "0".parse()?);
                stream.send_trailers(trailers)?;
                Ok(())
            },
        )
        .await?;
        let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
        let client = Http2Client::connect(proxy.address()).await?;
        let request = Request::get("http://www.test.tld/").body(())?;
        let (response, _) = client.ready().await?.send_request(request, true)?;
        let response = timeout(DEADLINE, response).await??;
        assert_eq!(response.headers()["content-length"], length);
        let mut body = response.into_body();
        while let Some(piece) = timeout(DEADLINE, body.data()).await? {
            body.flow_control().release_capacity(piece?.len())?;
        }
        let trailers = timeout(DEADLINE, body.trailers()).await??;
        assert_eq!(
            trailers.context("trailers")?["grpc-status"],
            "0",
            "{length}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_request_that_kills_its_connection_is_sent_twice_at_most() -> anyhow::Result<()> {
    // The server sends its HTTP/2 settings, and closes the connection once a request arrives.
    let www = Origin::scripted(|mut wire, _| async move {
        wire.exactly(24).await?;
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
        loop {
            let head = wire.exactly(9).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            wire.exactly(length as usize).await?;
            if head[3] == 1 {
                return Ok(());
            }
        }
    })
    .await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    assert_eq!(client.get("/").await?.0, 502);
    assert_eq!(www.connections(), 2);
    Ok(())
}

#[tokio::test]
async fn a_burst_opens_few_connections() -> anyhow::Result<()> {
    let www = gathering(h2::server::Builder::new(), 250).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let mut answers = JoinSet::new();
    for _ in 0..5 {
        let client = Http2Client::connect(proxy.address()).await?;
        answers.spawn(async move { at_once(&client, 50).await });
    }
    for answers in answers.join_all().await {
        assert!(answers?.iter().all(|(status, _)| *status == 200));
    }
    assert_eq!(www.connections(), 3);
    Ok(())
}
