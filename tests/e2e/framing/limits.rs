//! Limits on heads and bodies in both directions: the status and the log show which limit was
//! exceeded.

use anyhow::{Context as _, ensure};
use pointsman_tests::{Origin, Setup, Wire};

/// A frontend's limit, a request, and the response to it.
struct Case {
    limit: &'static str,
    request: String,
    status: u16,
    /// Part of the reason in the log.
    reason: &'static str,
}

/// Returns a GET with `count` field lines in all.
fn lines(count: usize) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(count - 1)
    )
}

/// Returns a GET of `size` bytes in all, most of them in one field.
fn head(size: usize) -> String {
    let empty = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
    let value = "x".repeat(size - empty.len());
    format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n")
}

/// Returns a GET with a target of `size` bytes.
fn target(size: usize) -> String {
    format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "t".repeat(size - 1))
}

/// Returns a POST with a body of `size` bytes.
fn sized(size: usize) -> String {
    let body = "x".repeat(size);
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{body}")
}

/// Returns the same POST in chunks of `chunk` bytes.
fn chunked(size: usize, chunk: usize) -> String {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let one = format!("{chunk:x}\r\n{}\r\n", "x".repeat(chunk));
    format!("{head}{}0\r\n\r\n", one.repeat(size / chunk))
}

#[tokio::test]
async fn limits_of_a_frontend_are_enforced() -> anyhow::Result<()> {
    let case = |limit, request, status, reason| Case {
        limit,
        request,
        status,
        reason,
    };
    let (fields, size, body) = (
        "max_headers = 10",
        "max_header_size = \"1KiB\"",
        "max_body = \"1000B\"",
    );
    let cases = [
        case(fields, lines(10), 200, ""),
        case(fields, lines(11), 431, "too many fields"),
        case(size, head(1024), 200, ""),
        case(size, head(1025), 431, "head too large"),
        case(size, head(100_000), 431, "head too large"),
        case(size, target(900), 200, ""),
        case(size, target(1100), 414, "request line too long"),
        case(size, target(100_000), 414, "request line too long"),
        case("", lines(256), 200, ""),
        case("", lines(257), 431, "too many fields"),
        case("", head(64 * 1024), 200, ""),
        case("", head(64 * 1024 + 1), 431, "head too large"),
        case(body, sized(1000), 200, ""),
        case(body, sized(1001), 413, "1000 bytes"),
        case(body, sized(1_000_000), 413, "1000 bytes"),
        case(body, chunked(1000, 10), 200, ""),
        case(body, chunked(1010, 10), 413, "1000 bytes"),
        case(body, chunked(1001, 1001), 413, "1000 bytes"),
        case(body, chunked(1_000_000, 1000), 413, "1000 bytes"),
        case("max_body = \"0B\"", lines(1), 200, ""),
        case("max_body = \"0B\"", sized(0), 200, ""),
        case("max_body = \"0B\"", chunked(1, 1), 413, "0 bytes"),
    ];
    let origin = Origin::with_name("www").await?;
    for case in cases {
        let before = origin.requests().len();
        let proxy = Setup::before([origin.address()])
            .frontend(case.limit)
            .start()
            .await?;
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(&case.request).await?;
        let what = format!("{}: {:?}", case.limit, &case.request[..20]);
        let response = client.response("GET").await.context(what.clone())?;
        ensure!(
            response.head.status()? == case.status,
            "{what}: {response:?}"
        );
        let reached = origin.requests().len() - before;
        ensure!(reached == usize::from(case.status == 200), "{what}");
        if case.status != 200 {
            assert_eq!(client.rest().await?, b"", "{what}");
            let record = proxy.line_with(case.reason).await?;
            let (status, end) = (format!(" status={} ", case.status), " end=refused ");
            ensure!(record.contains(&status) && record.contains(end), "{record}");
        }
    }
    Ok(())
}

/// A server's head beyond the limit leads to a 502; a head within the limit is forwarded whole.
#[tokio::test]
async fn limits_of_a_backend_are_enforced() -> anyhow::Result<()> {
    let lines = |count: usize| {
        let lines = "Set-Cookie: c=1\r\n".repeat(count - 1);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{lines}\r\nok")
    };
    let head = |size: usize| {
        let empty = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \r\n\r\n";
        let value = "x".repeat(size - empty.len());
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: {value}\r\n\r\nok")
    };
    let (fields, size) = ("max_headers = 10", "max_header_size = \"1KiB\"");
    for (limit, answer, reason) in [
        (fields, lines(10), None),
        (fields, lines(11), Some("too many fields")),
        (size, head(1024), None),
        (size, head(1025), Some("head too large")),
        ("", lines(101), None),
        ("", lines(256), None),
        ("", lines(257), Some("too many fields")),
        ("", head(64 * 1024), None),
        ("", head(64 * 1024 + 1), Some("head too large")),
        // The limit also applies to the head of an interim response.
        (
            size,
            format!("HTTP/1.1 103 Hints\r\nX: {}\r\n\r\n", "x".repeat(1024)) + &lines(1),
            Some("head too large"),
        ),
    ] {
        let sent = lines_of(&answer);
        let origin = Origin::answering(answer).await?;
        let proxy = Setup::before([origin.address()])
            .backend(limit)
            .start()
            .await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let response = client.exchange(super::get("/")).await?;
        if let Some(reason) = reason {
            assert_eq!(response.head.status()?, 502, "{limit}: {reason}");
            let record = proxy.line_with(reason).await?;
            ensure!(record.contains(" end=server-invalid "), "{record}");
        } else {
            assert_eq!(response.head.status()?, 200, "{limit}");
            assert_eq!(response.body, b"ok");
            // The additional field is the Date that the proxy adds.
            assert_eq!(response.head.fields.len(), sent + 1);
        }
    }
    Ok(())
}

/// Counts the field lines of a message.
fn lines_of(message: &str) -> usize {
    message.lines().take_while(|line| !line.is_empty()).count() - 1
}

/// A body that is cut off at the limit never looks complete to the server.
#[tokio::test]
async fn a_body_beyond_the_limit_is_never_whole() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        // The proxy can refuse the request before it sends anything.
        if wire.head().await.is_err() {
            return Ok(());
        }
        let mut seen = 0;
        while let Ok(byte) = wire.exactly(1).await {
            seen += usize::from(byte == b"x");
        }
        ensure!(seen <= 1000, "{seen} bytes of the body");
        Ok(())
    })
    .await?;
    let proxy = Setup::before([origin.address()])
        .frontend("max_body = \"1000B\"")
        .start()
        .await?;
    let request = chunked(2000, 500);
    for pieces in [&[request.as_str()][..], &[&request[..800], &request[800..]]] {
        let mut client = Wire::connect(proxy.address()).await?;
        for piece in pieces {
            client.send(piece).await?;
        }
        assert_eq!(client.response("POST").await?.head.status()?, 413);
    }
    origin.join().await
}
