//! Responses that break the rules of HTTP or use its corner cases: what the client sees, and
//! whether the server's connection is reused.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use pointsman_tests::{Origin, Setup, Wire};

use super::get;

/// Response that the client receives, and whether the server's connection is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The whole response; the connection is reused.
    Kept(u16, &'static str),
    /// The whole response; the connection is not reused.
    Spoilt(u16, &'static str),
    /// A 200 whose body breaks off, or no response at all if the server's bytes end too soon.
    Broken,
    /// A 502 from the proxy.
    Bad,
}
use Outcome::{Bad, Broken, Kept, Spoilt};

/// Bytes that a server sends, and whether it then closes the connection.
#[derive(Clone, Copy)]
enum Answer {
    Open(&'static str),
    Closed(&'static str),
}
use Answer::{Closed, Open};

type Row = (&'static str, Answer, Outcome);

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Method, response, outcome.
// One row per line.
#[rustfmt::skip]
const LENGTHS: &[Row] = &[
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Kept(200, "hello")),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Kept(200, "")),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), Kept(200, "hello")),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"), Spoilt(200, "hello")),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello"), Bad),
    // More bytes than the declared length: the rest belongs to no request.
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), Spoilt(200, "hello")),
    // Both kinds of framing: Transfer-Encoding overrides Content-Length (RFC 9112, section 6.3).
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Spoilt(200, "hello")),
    ("GET", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Spoilt(200, "hello")),
    // Without a length or a coding, the body ends when the server closes the connection.
    ("GET", Closed("HTTP/1.1 200 OK\r\n\r\nhello"), Spoilt(200, "hello")),
    ("GET", Closed("HTTP/1.0 200 OK\r\n\r\nhello"), Spoilt(200, "hello")),
    ("GET", Closed("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Spoilt(200, "hello")),
    ("GET", Open("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"), Spoilt(200, "hello")),
];

// One row per line.
#[rustfmt::skip]
const CODINGS: &[Row] = &[
    ("GET", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Kept(200, "hello")),
    ("GET", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nhe\r\n03\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n"), Kept(200, "hello")),
    ("GET", Closed("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Bad),
    ("GET", Closed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nhello"), Bad),
    ("GET", Closed("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Bad),
    ("GET", Closed("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n"), Broken),
    ("GET", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n"), Broken),
    ("GET", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n"), Broken),
    ("GET", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n0\r\n\r\n"), Broken),
    ("GET", Closed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), Broken),
    ("GET", Closed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"), Broken),
    ("GET", Closed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello"), Broken),
    ("GET", Closed("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"), Broken),
    ("GET", Closed("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), Broken),
];

// One row per line.
#[rustfmt::skip]
const BODILESS: &[Row] = &[
    ("HEAD", Open("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), Kept(200, "")),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Kept(200, "")),
    ("HEAD", Open("HTTP/1.1 200 OK\r\n\r\n"), Kept(200, "")),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Spoilt(200, "")),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Spoilt(200, "")),
    // No body follows, but the ambiguous length is still wrong.
    ("HEAD", Open("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"), Bad),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n"), Bad),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), Bad),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n"), Bad),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nContent-Length: ,\r\n\r\n"), Bad),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nContent-Length: \"5\"\r\n\r\n"), Bad),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\n"), Bad),
    ("HEAD", Open("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n"), Bad),
    ("GET", Open("HTTP/1.1 204 No Content\r\nContent-Length: -5\r\n\r\n"), Bad),
    ("GET", Open("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n"), Bad),
    ("GET", Open("HTTP/1.1 304 Not Modified\r\nContent-Length: 5, 6\r\n\r\n"), Bad),
    ("GET", Open("HTTP/1.1 304 Not Modified\r\nContent-Length: 0x5\r\n\r\n"), Bad),
    ("GET", Open("HTTP/1.1 204 No Content\r\n\r\n"), Kept(204, "")),
    ("GET", Open("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), Kept(204, "")),
    ("GET", Open("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"), Spoilt(204, "")),
    ("GET", Open("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Spoilt(204, "")),
    ("GET", Open("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), Kept(304, "")),
    ("GET", Open("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello"), Spoilt(304, "")),
    ("GET", Open("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Spoilt(304, "")),
];

// One row per line.
#[rustfmt::skip]
const HEADS: &[Row] = &[
    ("GET", Open("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"), Kept(200, "hello")),
    ("GET", Open("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"), Kept(200, "hello")),
    ("GET", Open("HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\nhello"), Kept(999, "hello")),
    ("GET", Open("HTTP/1.1 200 \u{e9}\r\nContent-Length: 5\r\n\r\nhello"), Kept(200, "hello")),
    ("GET", Open("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Kept(200, "hello")),
    ("GET", Open("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Kept(200, "hello")),
    ("GET", Open("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), Bad),
    ("GET", Closed("HTTP/1.1 100 Continue\r\n\r\n"), Bad),
    ("GET", Closed(""), Bad),
    ("GET", Closed("HTTP/1.1 200 OK\r\nContent-Le"), Bad),
    ("GET", Closed("H"), Bad),
    ("GET", Open("hello, world\r\n\r\n"), Bad),
    ("GET", Open("ICY 200 OK\r\n\r\n"), Bad),
    ("GET", Open("HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 99 Low\r\nContent-Length: 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 099 Low\r\nContent-Length: 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 1000 High\r\nContent-Length: 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nX y: a\r\nContent-Length: 5\r\n\r\nhello"), Bad),
    ("GET", Open("HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 5\r\n\r\nhello"), Bad),
];

#[tokio::test]
async fn an_answer_by_its_length() -> anyhow::Result<()> {
    each(LENGTHS).await
}

#[tokio::test]
async fn an_answer_by_its_coding() -> anyhow::Result<()> {
    each(CODINGS).await
}

#[tokio::test]
async fn an_answer_that_has_no_body() -> anyhow::Result<()> {
    each(BODILESS).await
}

#[tokio::test]
async fn an_answer_by_its_head() -> anyhow::Result<()> {
    each(HEADS).await
}

/// Starts a server that sends each row's response, and reports all rows that fail.
async fn each(rows: &'static [Row]) -> anyhow::Result<()> {
    let origin = Origin::scripted(move |mut wire, _| async move {
        while let Ok(request) = wire.request().await {
            let target = request.head.start_line.split(' ').nth(1).map(str::to_owned);
            let number = target.and_then(|target| target[1..].parse::<usize>().ok());
            match number.map(|number| rows[number].1) {
                None => wire.send(OK).await?,
                Some(Open(bytes)) => wire.send(bytes).await?,
                Some(Closed(bytes)) => {
                    wire.send(bytes).await?;
                    return Ok(());
                }
            }
        }
        Ok(())
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut wrong = Vec::new();
    for (number, (method, answer, expected)) in rows.iter().enumerate() {
        let (Open(bytes) | Closed(bytes)) = answer;
        let mut probe = Wire::connect(proxy.address()).await?;
        // Leaves an idle connection in the pool, so that the number of connections shows later
        // whether it was reused.
        ok(&mut probe).await?;
        let before = origin.connections();
        let mut client = Wire::connect(proxy.address()).await?;
        let seen = see(&mut client, method, number).await;
        ok(&mut probe)
            .await
            .with_context(|| format!("after {method} {bytes:?}"))?;
        let is_kept = origin.connections() == before;
        let seen = match seen {
            Ok(None | Some((200, None))) => Ok(Broken),
            Ok(Some((502, _))) => Ok(Bad),
            Ok(Some((status, Some(body)))) if is_kept => Ok(Kept(status, body.leak())),
            Ok(Some((status, Some(body)))) => Ok(Spoilt(status, body.leak())),
            other => Err(other),
        };
        match seen {
            Ok(seen) if seen == *expected => {}
            Ok(seen) => wrong.push(format!(
                "{method} {bytes:?}: {expected:?} due, saw {seen:?}"
            )),
            Err(other) => wrong.push(format!("{method} {bytes:?}: saw {other:?}")),
        }
        if matches!(expected, Bad | Broken) && is_kept {
            wrong.push(format!("{method} {bytes:?}: the connection was used again"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Returns the status and body of the final response to a request. A part that breaks off is
/// `None`.
async fn see(
    client: &mut Wire,
    method: &str,
    number: usize,
) -> anyhow::Result<Option<(u16, Option<String>)>> {
    client
        .send(format!(
            "{method} /{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ))
        .await?;
    loop {
        let Ok(head) = client.head().await else {
            let more = client.rest().await.context("the end")?;
            ensure!(more.is_empty(), "no head: {more:?}");
            return Ok(None);
        };
        let status = head.status()?;
        if status < 200 && status != 101 {
            continue;
        }
        if status == 204 {
            // RFC 9110, section 8.6; RFC 9112, section 6.1.
            ensure!(head.field("content-length").is_none(), "a length with 204");
            ensure!(
                head.field("transfer-encoding").is_none(),
                "a coding with 204"
            );
        }
        let body = match client.body(method, &head).await {
            Ok(body) => Some(String::from_utf8(body.body)?),
            // The proxy closes the connection before the end of the body, so the client knows that
            // the body is incomplete.
            Err(_) => None,
        };
        let more = client.rest().await.context("the end")?;
        ensure!(
            body.is_none() || more.is_empty(),
            "bytes behind the answer: {more:?}"
        );
        return Ok(Some((status, body)));
    }
}

async fn ok(client: &mut Wire) -> anyhow::Result<()> {
    let response = client.exchange(get("/ok")).await?;
    ensure!(
        response.head.status()? == 200 && response.body == b"ok",
        "{response:?}"
    );
    Ok(())
}

/// The response to a HEAD has the length that the response to a GET would have.
#[tokio::test]
async fn the_length_of_an_omitted_body_stays() -> anyhow::Result<()> {
    for (method, status) in [("HEAD", "200 OK"), ("HEAD", "404 Not Found")] {
        let origin =
            Origin::answering(format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n")).await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.exchange(request).await?;
        assert_eq!(
            response.head.field("content-length").as_deref(),
            Some("5"),
            "{method}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn interim_answers_are_passed_on() -> anyhow::Result<()> {
    let origin = Origin::answering(format!(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n{OK}"
    ))
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(get("/")).await?;
    let hints = client.response("GET").await?;
    assert_eq!(hints.head.status()?, 103);
    assert_eq!(
        hints.head.field("link").as_deref(),
        Some("</a.css>; rel=preload")
    );
    assert_eq!(hints.head.field("x-hop"), None);
    assert_eq!(client.response("GET").await?.body, b"ok");

    // RFC 9110, section 15.2: clients of HTTP/1.0 get no interim responses.
    let mut client = Wire::connect(proxy.address()).await?;
    client.send("GET / HTTP/1.0\r\n\r\n").await?;
    assert_eq!(client.response("GET").await?.head.status()?, 200);
    Ok(())
}

#[tokio::test]
async fn interim_answers_without_end_are_no_answer() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        // The loop ends when the proxy stops reading.
        while wire
            .send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .await
            .is_ok()
        {}
        Ok(())
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(get("/")).await?.head.status()?, 502);
    origin.join().await
}

#[tokio::test]
async fn a_head_without_end_is_no_answer() -> anyhow::Result<()> {
    let head: Arc<str> = format!("HTTP/1.1 200 OK\r\nX: {}\r\n", "x".repeat(1024 * 1024)).into();
    let many: Arc<str> = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(10_000)).into();
    for head in [head, many] {
        let origin = Origin::scripted(move |mut wire, _| {
            let head = Arc::clone(&head);
            async move {
                wire.request().await?;
                // The proxy can stop reading before the end.
                let _ = wire.send(head.as_bytes()).await;
                let _ = wire.rest().await;
                Ok(())
            }
        })
        .await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.exchange(get("/")).await?.head.status()?, 502);
        origin.join().await?;
    }
    Ok(())
}

/// If a body without a length ends in a reset, the response is broken, because the body may be
/// incomplete.
#[tokio::test]
async fn a_body_until_close_that_ends_in_a_reset_is_broken() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        wire.send("HTTP/1.1 200 OK\r\n\r\nhel").await?;
        // By now the client has received the first part, so the reset cannot discard it.
        wire.reset()
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(get("/")).await?;
    if let Ok(whole) = client.response("GET").await
        && whole.head.status()? != 502
    {
        bail!("a broken body that looks whole: {whole:?}");
    }
    Ok(())
}
