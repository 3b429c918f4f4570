//! Interim responses: each of them reaches the client whole, and none of them affects the framing
//! of the final response.

use std::sync::Arc;

use anyhow::ensure;
use pointsman_tests::{Origin, Setup, Wire};
use tokio::sync::Notify;

use super::get;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Returns all responses to one request, the final one last.
async fn answers(client: &mut Wire, request: &str) -> anyhow::Result<Vec<(u16, String)>> {
    client.send(request).await?;
    let mut seen = Vec::new();
    loop {
        let response = client.response("GET").await?;
        let status = response.head.status()?;
        let head = String::from_utf8_lossy(&response.head.raw).into_owned();
        seen.push((status, head));
        if status >= 200 {
            ensure!(response.body == b"ok", "{response:?}");
            return Ok(seen);
        }
    }
}

/// The proxy removes from a 1xx its length (RFC 9110, section 8.6) and its hop-by-hop fields.
#[tokio::test]
async fn fields_of_interim_answers() -> anyhow::Result<()> {
    let origin = Origin::answering(format!(
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nTE: trailers\r\nKeep-Alive: 5\r\n\
         Connection: X-Hop\r\nX-Hop: 1\r\nLink: </a>\r\nlink: </b>\r\n\r\n{OK}"
    ))
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..2 {
        let seen = answers(&mut client, &get("/")).await?;
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\n";
        assert_eq!(seen[0], (103, hints.to_owned()));
        assert_eq!(seen.len(), 2);
    }
    assert_eq!(origin.connections(), 1);
    Ok(())
}

/// An interim response with an ambiguous length or an invalid field leads to a 502, as a final
/// response does.
#[tokio::test]
async fn interim_answers_that_are_framed_wrongly() -> anyhow::Result<()> {
    for line in ["Content-Length: 5, 6", "Content-Length: -1", "X: a\0b"] {
        let origin =
            Origin::answering(format!("HTTP/1.1 103 Early Hints\r\n{line}\r\n\r\n{OK}")).await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let response = client.exchange(get("/")).await?;
        assert_eq!(response.head.status()?, 502, "{line:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_burst_of_interim_responses_arrives() -> anyhow::Result<()> {
    let hints = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n",
        "l".repeat(1000)
    );
    let origin = Origin::answering(hints.repeat(30) + OK).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let seen = answers(&mut client, &get("/")).await?;
    assert_eq!(seen.len(), 31);
    assert!(seen[..30].iter().all(|(_, head)| *head == hints));
    Ok(())
}

/// Each interim response is forwarded as it comes, however many there are: a server may send one
/// every few seconds for a slow request.
#[tokio::test]
async fn many_single_interim_responses_arrive() -> anyhow::Result<()> {
    const COUNT: usize = 70;
    let arrived = Arc::new(Notify::new());
    let waiting = Arc::clone(&arrived);
    let origin = Origin::scripted(move |mut wire, _| {
        let arrived = Arc::clone(&waiting);
        async move {
            wire.request().await?;
            for _ in 0..COUNT {
                wire.send("HTTP/1.1 102 Processing\r\n\r\n").await?;
                arrived.notified().await;
            }
            wire.send(OK).await
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(get("/")).await?;
    for _ in 0..COUNT {
        assert_eq!(client.response("GET").await?.head.status()?, 102);
        arrived.notify_one();
    }
    assert_eq!(client.response("GET").await?.body, b"ok");
    origin.join().await
}

/// A client of HTTP/1.0 gets no interim responses (RFC 9110, section 15.2).
#[tokio::test]
async fn an_http_1_0_client_gets_no_interim_responses() -> anyhow::Result<()> {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let origin = Origin::answering(format!("{interim}{OK}")).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    for lines in ["", "Expect: 100-continue\r\nContent-Length: 5\r\n"] {
        let mut client = Wire::connect(proxy.address()).await?;
        let body = if lines.is_empty() { "" } else { "hello" };
        client
            .send(format!("GET / HTTP/1.0\r\n{lines}\r\n{body}"))
            .await?;
        let response = client.response("GET").await?;
        assert_eq!(response.head.status()?, 200, "{lines:?}");
        assert_eq!(response.body, b"ok");
        client.end().await?;
    }
    Ok(())
}

/// A client that waits for a 100 gets exactly one.
#[tokio::test]
async fn a_client_that_expects_gets_one_continue() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.send("HTTP/1.1 100 Continue\r\n\r\n".repeat(3)).await?;
        ensure!(wire.exactly(5).await? == b"hello");
        wire.send(format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"))
            .await
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await?;
    assert_eq!(client.response("POST").await?.head.status()?, 100);
    client.send("hello").await?;
    assert_eq!(client.response("POST").await?.body, b"ok");
    origin.join().await
}

/// The limit on interim responses counts bytes, not responses.
#[tokio::test]
async fn the_bytes_of_interim_responses_are_bounded() -> anyhow::Result<()> {
    let hints: Arc<str> = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n",
        "l".repeat(8 * 1024)
    )
    .into();
    for (count, expected) in [(120, 200), (140, 502)] {
        let hints = Arc::clone(&hints);
        let origin = Origin::scripted(move |mut wire, _| {
            let hints = Arc::clone(&hints);
            async move {
                wire.request().await?;
                // The proxy can stop reading before the end.
                let _ = wire.send(hints.repeat(count) + OK).await;
                wire.end().await.map(drop).or(Ok(()))
            }
        })
        .await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let response = client.exchange(get("/")).await?;
        assert_eq!(response.head.status()?, expected, "{count}");
        if expected == 502 {
            proxy.line_with("end=server-invalid").await?;
        }
    }
    Ok(())
}
