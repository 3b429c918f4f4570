//! Requests that two servers could parse in different ways: a server never sees more than the one
//! request that the proxy saw.

use anyhow::{Context, ensure};
use pointsman_tests::{Message, Origin, Setup, Wire};

/// Outcome of a request.
enum Outcome {
    /// The request reaches the server with this body, and so does the next request.
    Served(&'static str),
    /// The request reaches the server with this body; then the proxy closes the connection.
    Last(&'static str),
    /// The proxy responds with this status, and closes the connection.
    Refused(u16),
    /// The proxy closes the connection.
    Dropped,
}
use Outcome::{Dropped, Last, Refused, Served};

/// A request that directly follows each request of the tables.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// Field lines of a POST whose body is one chunk with `hello`.
const CHUNKED: &[(&str, Outcome)] = &[
    ("Transfer-Encoding: chunked", Served("hello")),
    ("Transfer-Encoding: CHUNKED", Served("hello")),
    ("Transfer-Encoding:chunked \t ", Served("hello")),
    // RFC 9112: Transfer-Encoding overrides Content-Length (section 6.3), and the proxy closes the
    // connection (section 6.1).
    (
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        Last("hello"),
    ),
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        Last("hello"),
    ),
    (
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: Content-Length",
        Last("hello"),
    ),
    (
        "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding",
        Served("hello"),
    ),
    // RFC 9112: chunked must be the last coding (section 6.3); unknown codings lead to a 501
    // (section 6.1).
    ("Transfer-Encoding: gzip", Refused(400)),
    ("Transfer-Encoding: gzip, chunked", Refused(501)),
    ("Transfer-Encoding: chunked, gzip", Refused(400)),
    ("Transfer-Encoding: chunked, chunked", Refused(501)),
    ("Transfer-Encoding: chunked, identity", Refused(400)),
    ("Transfer-Encoding: identity", Refused(400)),
    ("Transfer-Encoding: xchunked", Refused(400)),
    ("Transfer-Encoding: \"chunked\"", Refused(400)),
    ("Transfer-Encoding: \x0bchunked", Refused(400)),
    ("Transfer-Encoding: chunked\x0b", Refused(400)),
    ("Transfer-Encoding: chunked;q=1", Refused(400)),
    ("Transfer-Encoding:", Refused(400)),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        Refused(501),
    ),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        Refused(400),
    ),
    (
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        Refused(501),
    ),
    // Names that a lenient reader would take for Transfer-Encoding.
    ("Transfer-Encoding : chunked", Refused(400)),
    (" Transfer-Encoding: chunked", Refused(400)),
    ("X: y\r\n Transfer-Encoding: chunked", Refused(400)),
    ("Transfer-Encoding:\r\n chunked", Refused(400)),
    ("Transfer-Encoding\r\n: chunked", Refused(400)),
    ("Transfer-Encoding\0: chunked", Refused(400)),
    ("X: y\rTransfer-Encoding: chunked", Refused(400)),
];

/// Field lines of a POST whose body is `hello`.
const SIZED: &[(&str, Outcome)] = &[
    ("Content-Length: 5", Served("hello")),
    ("Content-Length: 005", Served("hello")),
    ("content-length:5", Served("hello")),
    ("Content-Length: 5\r\nContent-Length: 5", Served("hello")),
    (
        "Content-Length: 5\r\nConnection: Content-Length",
        Served("hello"),
    ),
    ("Content-Length: 5\r\nContent-Length: 6", Refused(400)),
    ("Content-Length: 6\r\nContent-Length: 5", Refused(400)),
    // RFC 9110, section 8.6, also allows a recipient to accept this value; refusing it is safer.
    ("Content-Length: 5, 5", Refused(400)),
    ("Content-Length: 5, 6", Refused(400)),
    ("Content-Length: +5", Refused(400)),
    ("Content-Length: -5", Refused(400)),
    ("Content-Length: 0x5", Refused(400)),
    ("Content-Length: 5.0", Refused(400)),
    ("Content-Length: 5 5", Refused(400)),
    ("Content-Length: 5_", Refused(400)),
    ("Content-Length: \u{0665}", Refused(400)),
    ("Content-Length: 18446744073709551616", Refused(400)),
    ("Content-Length: 18446744073709551621", Refused(400)),
    ("Content-Length:", Refused(400)),
    ("Content-Length : 5", Refused(400)),
    ("Content-Length:\r\n 5", Refused(400)),
    ("X: a\0b\r\nContent-Length: 5", Refused(400)),
    ("X: a\rb\r\nContent-Length: 5", Refused(400)),
    (": a\r\nContent-Length: 5", Refused(400)),
    ("no colon\r\nContent-Length: 5", Refused(400)),
    ("X(): a\r\nContent-Length: 5", Refused(400)),
];

/// Bodies of a chunked POST, as sent.
const BODIES: &[(&str, Outcome)] = &[
    ("0\r\n\r\n", Served("")),
    ("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", Served("hello")),
    ("0005\r\nhello\r\n000\r\n\r\n", Served("hello")),
    ("5;a=b;c=\"d;\"\r\nhello\r\n0;last\r\n\r\n", Served("hello")),
    (
        "5\r\nhello\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
        Served("hello"),
    ),
    ("10000000000000005\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("ffffffffffffffffff\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("-1\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("+5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("0x5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("5_\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("g\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("\r\nhello\r\n0\r\n\r\n", Refused(400)),
    (";a\r\nhello\r\n0\r\n\r\n", Refused(400)),
    // A lenient reader would see the ends of these lines elsewhere.
    ("5\r\nhelloX\r\n0\r\n\r\n", Refused(400)),
    ("5\r\nhello0\r\n\r\n", Refused(400)),
    ("5\r\nhello\n0\r\n\r\n", Refused(400)),
    ("5\nhello\r\n0\r\n\r\n", Refused(400)),
    ("5\rXhello\r\n0\r\n\r\n", Refused(400)),
    ("5;a\nhello\r\n0\r\n\r\n", Refused(400)),
    ("5;a\rb\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("5\r\nhello\r\n0\r\nX : y\r\n\r\n", Refused(400)),
    ("5\r\nhello\r\n0\r\n folded: y\r\n\r\n", Refused(400)),
];

/// Whole heads without a body.
const HEADS: &[(&str, Outcome)] = &[
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Served("")),
    // RFC 9112, section 2.2: empty lines before a request are skipped, and a bare LF ends a line.
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Served("")),
    ("GET / HTTP/1.1\nHost: a\n\n", Served("")),
    ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", Served("")),
    ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Served("")),
    ("get / HTTP/1.1\r\nHost: a\r\n\r\n", Served("")),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        Last(""),
    ),
    ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", Last("")),
    (
        "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET / b HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET /\tb HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET /\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET /\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.01\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refused(400)),
    // Instead of a 400, the proxy closes the connection: a client with prior knowledge of HTTP/2
    // would not understand an HTTP/1.1 response.
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Dropped),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n", Refused(400)),
    ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", Refused(405)),
    ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n", Refused(400)),
];

#[tokio::test]
async fn a_chunked_body_by_its_fields() -> anyhow::Result<()> {
    each(CHUNKED, |fields| {
        format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    })
    .await
}

#[tokio::test]
async fn a_sized_body_by_its_fields() -> anyhow::Result<()> {
    each(SIZED, |fields| {
        format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nhello")
    })
    .await
}

#[tokio::test]
async fn a_chunked_body_by_its_bytes() -> anyhow::Result<()> {
    each(BODIES, |body| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    })
    .await
}

#[tokio::test]
async fn a_head() -> anyhow::Result<()> {
    each(HEADS, str::to_owned).await
}

/// Chunk extensions and trailers are bounded: no server reads them, but an unlimited number of them
/// could keep it busy.
#[tokio::test]
async fn overhead_around_a_chunk_is_bounded() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let long = "x".repeat(1024 * 1024);
    for body in [
        format!("1;{long}\r\nx\r\n0\r\n\r\n"),
        format!("{}0\r\n\r\n", "1;abcdefgh\r\nx\r\n".repeat(10_000)),
        format!("1\r\nx\r\n0\r\nX: {long}\r\n\r\n"),
        format!("1\r\nx\r\n0\r\n{}\r\n", "X: y\r\n".repeat(2000)),
    ] {
        let mut client = Wire::connect(proxy.address()).await?;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await?;
        // The proxy can stop reading before the end.
        let _ = client.send(&body).await;
        let response = client.response("POST").await?;
        ensure!(
            response.head.status()? == 400,
            "{}: {:?}",
            &body[..20],
            response.head.start_line
        );
    }
    ensure!(origin.requests().is_empty(), "a request was whole");
    Ok(())
}

/// Sends each row's request, followed by [`NEXT`], and reports all rows that fail.
async fn each(
    rows: &[(&'static str, Outcome)],
    request: impl Fn(&str) -> String,
) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    for (row, outcome) in rows {
        let seen = origin.requests().len();
        let sent = request(row) + NEXT;
        let checked = match Wire::connect(proxy.address()).await {
            Ok(client) => check(client, &sent, outcome).await,
            Err(error) => Err(error),
        };
        let requests = origin.requests().split_off(seen);
        let checked = checked.and_then(|()| reached(&requests, outcome));
        if let Err(error) = checked {
            wrong.push(format!("{row:?}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Checks what the client receives.
async fn check(mut client: Wire, sent: &str, outcome: &Outcome) -> anyhow::Result<()> {
    client.send(sent).await?;
    let (status, is_last) = match outcome {
        Served(_) => (200, false),
        Last(_) => (200, true),
        Refused(status) => (*status, true),
        Dropped => {
            let answer = client.rest().await?;
            ensure!(answer.is_empty(), "an answer");
            return Ok(());
        }
    };
    let response = client.response("GET").await.context("the answer")?;
    let found = response.head.status()?;
    ensure!(found == status, "expected {status}, saw {found}");
    if is_last {
        let more = client.rest().await.context("the end")?;
        ensure!(more.is_empty(), "more than one answer");
    } else {
        let next = client.response("GET").await.context("the next answer")?;
        ensure!(
            next.head.status()? == 200,
            "next: {:?}",
            next.head.start_line
        );
    }
    Ok(())
}

/// Checks which requests reached the server.
fn reached(requests: &[Message], outcome: &Outcome) -> anyhow::Result<()> {
    let lines: Vec<_> = requests
        .iter()
        .map(|request| &request.head.start_line)
        .collect();
    let (body, count) = match outcome {
        Served(body) => (*body, 2),
        Last(body) => (*body, 1),
        Refused(_) | Dropped => ("", 0),
    };
    ensure!(lines.len() == count, "{count} requests due, got {lines:?}");
    if let Some(first) = requests.first() {
        let text = String::from_utf8_lossy(&first.body);
        ensure!(text == body, "body {text:?}");
    }
    Ok(())
}
