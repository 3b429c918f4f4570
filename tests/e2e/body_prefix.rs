//! A router that waits for the first bytes of request bodies: which requests wait, for how long,
//! and that servers still receive every body unchanged.

mod http2;

use std::sync::Arc;

use anyhow::ensure;
use pointsman_tests::{End, Message, Origin, Proxy, ReservedPort, Setup, Wire, log_field};
use tokio::sync::Notify;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /get HTTP/1.1\r\nHost: a\r\n\r\n";

/// A wait that is longer than any test.
const FOREVER: &str = "wait = \"60s\"";

/// Returns a setup with these options whose router sees up to 16 bytes of a body.
fn setup(origin: &Origin, options: &str) -> Setup {
    Setup::before([origin.address()])
        .frontend(&format!("routing.body = {{ size = \"16B\", {options} }}"))
}

/// Returns the head of a POST of JSON, with these further field lines.
fn post(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{lines}\r\n\r\n")
}

fn sized(body: &str) -> String {
    post(&format!("Content-Length: {}", body.len())) + body
}

fn chunked(pieces: &[&str], trailers: &str) -> String {
    let chunk = |piece: &&str| format!("{:x}\r\n{piece}\r\n", piece.len());
    let chunks: String = pieces.iter().map(chunk).collect();
    post("Transfer-Encoding: chunked") + &chunks + "0;x=y\r\n" + trailers + "\r\n"
}

/// Starts an origin that responds to each head at once, without waiting for the body.
async fn hasty() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        while wire.head().await.is_ok() {
            wire.send(OK).await?;
        }
        Ok(())
    })
    .await
}

/// Returns the access log record of a request with this path.
async fn record(proxy: &Proxy, path: &str) -> anyhow::Result<String> {
    proxy.line_with(&format!(" target={path} ")).await
}

// Which requests wait

#[tokio::test]
async fn a_request_waits_for_its_body() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = setup(&origin, FOREVER).start().await?;
    for (head, parts) in [
        ("Content-Length: 16", ["12345678", "90123456"]),
        (
            "Transfer-Encoding: chunked",
            ["5\r\n123", "45\r\n0\r\n\r\n"],
        ),
    ] {
        let before = origin.requests().len();
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(post(head) + parts[0]).await?;
        // Another request does not wait, and the first request has not reached the server yet.
        let mut other = Wire::connect(proxy.address()).await?;
        assert_eq!(other.exchange(GET).await?.body, b"www");
        assert_eq!(origin.requests().len(), before + 1, "{head}");
        client.send(parts[1]).await?;
        assert_eq!(client.response("POST").await?.body, b"www");
        assert_eq!(origin.requests().len(), before + 2);
    }
    let waited = record(&proxy, "/").await?;
    assert!(log_field(&waited, " body").is_some(), "{waited}");
    assert_eq!(log_field(&waited, "bytes_in"), Some("16"), "{waited}");
    let other = record(&proxy, "/get").await?;
    assert_eq!(log_field(&other, " body"), None, "{other}");
    Ok(())
}

#[tokio::test]
async fn other_requests_do_not_wait() -> anyhow::Result<()> {
    let origin = hasty().await?;
    let proxy = setup(&origin, FOREVER).start().await?;
    let json = "Content-Type: application/json\r\n";
    for lines in [
        "Content-Length: 5\r\n".to_owned(),
        "Content-Type: text/plain\r\nContent-Length: 5\r\n".to_owned(),
        "Content-Type: application/jsonl\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        format!("{json}Content-Type: text/plain\r\nContent-Length: 5\r\n"),
        format!("{json}Connection: content-type\r\nContent-Length: 5\r\n"),
        format!("{json}Content-Length: 0\r\n"),
        json.to_owned(),
    ] {
        let mut client = Wire::connect(proxy.address()).await?;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        client.send(&head).await?;
        assert_eq!(client.response("POST").await?.body, b"ok", "{lines}");
    }
    // If `routing.body` is not configured, no request waits.
    let plain = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(plain.address()).await?;
    client.send(post("Content-Length: 5")).await?;
    assert_eq!(client.response("POST").await?.body, b"ok");
    Ok(())
}

#[tokio::test]
async fn upgrades_do_not_wait() -> anyhow::Result<()> {
    let reached = Arc::new(Notify::new());
    let noting = Arc::clone(&reached);
    let origin = Origin::scripted(move |mut wire, _| {
        let reached = Arc::clone(&noting);
        async move {
            wire.head().await?;
            reached.notify_one();
            ensure!(wire.exactly(5).await? == b"hello");
            let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n";
            wire.send(format!("{switch}Upgrade: tcp\r\n\r\n")).await
        }
    })
    .await?;
    let proxy = setup(&origin, FOREVER).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let lines = "Connection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 5";
    client.send(post(lines)).await?;
    reached.notified().await;
    client.send("hello").await?;
    assert_eq!(client.response("POST").await?.head.status()?, 101);
    origin.join().await
}

#[tokio::test]
async fn after_the_wait_a_request_continues_with_a_partial_body() -> anyhow::Result<()> {
    let reached = Arc::new(Notify::new());
    let noting = Arc::clone(&reached);
    let origin = Origin::scripted(move |mut wire, _| {
        let reached = Arc::clone(&noting);
        async move {
            let head = wire.head().await?;
            if head.field("content-length").is_some() {
                ensure!(wire.exactly(3).await? == b"123");
                reached.notify_one();
                ensure!(wire.exactly(5).await? == b"45678");
            } else {
                ensure!(wire.until(b"\r\n123\r\n").await?.len() == 8);
                reached.notify_one();
                let rest = wire.until(b"0\r\n\r\n").await?;
                ensure!(rest == b"5\r\n45678\r\n0\r\n\r\n", "{rest:?}");
            }
            wire.send(OK).await
        }
    })
    .await?;
    let proxy = setup(&origin, "wait = \"50ms\"").start().await?;
    for (head, first, last) in [
        ("Content-Length: 8", "123", "45678"),
        (
            "Transfer-Encoding: chunked",
            "8\r\n123",
            "45678\r\n0\r\n\r\n",
        ),
    ] {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(post(head) + first).await?;
        reached.notified().await;
        client.send(last).await?;
        assert_eq!(client.response("POST").await?.body, b"ok", "{head}");
    }
    let line = record(&proxy, "/").await?;
    let waited: f64 = log_field(&line, " body").unwrap_or_default().parse()?;
    assert!(waited >= 50.0, "{line}");
    origin.join().await
}

// Too large

#[tokio::test]
async fn a_longer_body_is_rejected() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = setup(&origin, FOREVER).start().await?;
    let expecting = "Content-Length: 17\r\nExpect: 100-continue";
    for request in [
        // The declared length alone exceeds the limit, so no byte of the body is needed.
        post("Content-Length: 17"),
        post("Content-Length: 9223372036854775807"),
        post(expecting),
        chunked(&["12345678901234567"], ""),
        chunked(&["1234567", "890123456", "7"], "X: y\r\n"),
        // The declared size of this chunk is far larger than the bytes that follow.
        post("Transfer-Encoding: chunked") + "ffffffff\r\n12345678901234567",
    ] {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(&request).await?;
        let response = client.response("POST").await?;
        assert_eq!(response.head.status()?, 413, "{request:?}");
        assert_eq!(response.head.field("connection").as_deref(), Some("close"));
        client.finish().await?;
        assert_eq!(client.end().await?, End::Closed, "{request:?}");
    }
    let line = proxy.line_with(" status=413 ").await?;
    assert_eq!(log_field(&line, " end"), Some("refused"), "{line}");
    assert!(line.contains("larger than the 16 bytes"), "{line}");
    assert_eq!(origin.connections(), 0);
    for request in [
        sized("1234567890123456"),
        chunked(&["1", "234567890123456"], "X: y\r\n"),
    ] {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(&request).await?;
        assert_eq!(client.response("POST").await?.body, b"www", "{request:?}");
    }
    Ok(())
}

#[tokio::test]
async fn max_body_is_enforced() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    for options in ["too_large = \"reject\"", "too_large = \"route\""] {
        for (limit, request, status) in [
            (10, sized("12345678901"), 413),
            (10, chunked(&["1", "2345678901"], ""), 413),
            (10, chunked(&["1", "234567890"], ""), 200),
        ] {
            let max_body = format!("max_body = \"{limit}B\"");
            let proxy = setup(&origin, options).frontend(&max_body).start().await?;
            let mut client = Wire::connect(proxy.address()).await?;
            client.send(&request).await?;
            let response = client.response("POST").await?;
            assert_eq!(response.head.status()?, status, "{request:?}");
            let line = proxy.line_with(&format!(" status={status} ")).await?;
            let reason = "larger than the limit of 10 bytes";
            assert_eq!(line.contains(reason), status == 413, "{line}");
        }
    }
    // The limit on the whole body also applies after the prefix.
    let proxy = setup(&origin, "too_large = \"route\"")
        .frontend("max_body = \"1KiB\"")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(chunked(&vec!["x"; 1025], "")).await?;
    assert_eq!(client.response("POST").await?.head.status()?, 413);
    Ok(())
}

// Bodies

/// Sends the parts of a request one by one, and returns the request as a server received it.
async fn passed(proxy: &Proxy, origin: &Origin, request: &[u8]) -> anyhow::Result<Message> {
    let mut client = Wire::connect(proxy.address()).await?;
    for part in request.chunks(request.len() / 3 + 1) {
        client.send(part).await?;
    }
    ensure!(client.response("POST").await?.body == b"www");
    let found = origin.requests().pop();
    // The client's connection stays usable after the body.
    ensure!(client.exchange(GET).await?.body == b"www");
    found.ok_or_else(|| anyhow::anyhow!("no request"))
}

#[tokio::test]
async fn servers_get_whole_bodies() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let digits = "0123456789".repeat(2000);
    for size in ["1B", "16B", "17B", "10KiB", "1MiB"] {
        let body = format!("routing.body = {{ size = \"{size}\", too_large = \"route\" }}");
        let proxy = Setup::before([origin.address()])
            .frontend(&body)
            .start()
            .await?;
        for length in [1, 15, 16, 17, 1000, 20_000] {
            let body = &digits[..length];
            let found = passed(&proxy, &origin, sized(body).as_bytes()).await?;
            ensure!(found.body == body.as_bytes(), "{length} at {size}");
            let declared = found.head.field("content-length");
            assert_eq!(declared, Some(length.to_string()));
            for cut in [1, 7, 4099] {
                let pieces: Vec<_> = body
                    .as_bytes()
                    .chunks(cut)
                    .map(|piece| std::str::from_utf8(piece).unwrap_or_default())
                    .collect();
                let request = chunked(&pieces, "X-A: b\r\nX-C: d\r\n");
                let found = passed(&proxy, &origin, request.as_bytes()).await?;
                ensure!(found.body == body.as_bytes(), "{length} by {cut} at {size}");
                let coding = found.head.field("transfer-encoding");
                assert_eq!(coding.as_deref(), Some("chunked"));
                let trailers = [("X-A", &b"b"[..]), ("X-C", b"d")];
                let trailers = trailers.map(|(name, value)| (name.to_owned(), value.to_vec()));
                assert_eq!(found.trailers, trailers);
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn large_bodies_stream_behind_the_prefix() -> anyhow::Result<()> {
    const LARGE: usize = 32 << 20;
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.discard(LARGE).await?;
        wire.send(OK).await
    })
    .await?;
    let proxy = Setup::before([origin.address()])
        .frontend("routing.body = { size = \"1MiB\", too_large = \"route\" }")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send(post(&format!("Content-Length: {LARGE}")))
        .await?;
    client.send_bulk(LARGE).await?;
    assert_eq!(client.response("POST").await?.body, b"ok");
    let line = record(&proxy, "/").await?;
    assert!(line.contains(&format!(" bytes_in={LARGE} ")), "{line}");
    origin.join().await
}

#[tokio::test]
async fn pipelined_requests_after_a_body_are_found() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = setup(&origin, FOREVER).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let bodies = ["12345678", "1234567890123456", "1"];
    let mut requests = String::new();
    for body in bodies {
        requests += &sized(body);
        requests += &chunked(&[body], "");
        requests += GET;
    }
    client.send(&requests).await?;
    for _ in 0..9 {
        let response = client.response("POST").await?;
        assert_eq!(response.body, b"www");
        assert_eq!(response.head.field("connection"), None);
    }
    let found: Vec<_> = origin.requests().into_iter().map(|one| one.body).collect();
    let expected = bodies.map(|body| [body, body, ""].map(|body| body.as_bytes().to_vec()));
    assert_eq!(found, expected.concat());
    Ok(())
}

// 100-continue

#[tokio::test]
async fn the_proxy_asks_for_a_body_that_is_held_back() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = setup(&origin, FOREVER).start().await?;
    let expecting = |framing: &str| post(&format!("{framing}\r\nExpect: 100-continue"));
    for (framing, body) in [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(expecting(framing)).await?;
        assert_eq!(client.response("POST").await?.head.status()?, 100);
        client.send(body).await?;
        // The proxy sends a single 100, and none if the body has already arrived.
        assert_eq!(client.response("POST").await?.body, b"www");
        client.send(expecting(framing) + body).await?;
        assert_eq!(client.response("POST").await?.body, b"www");
    }
    let found = origin.requests();
    assert_eq!(found.len(), 4);
    for request in found {
        assert_eq!(request.head.field("expect"), None);
        assert_eq!(request.body, b"hello");
    }
    Ok(())
}

// Clients that leave or stop

/// A client's behavior after a part of its body.
#[derive(PartialEq)]
enum Then {
    /// Ends its sending side.
    Finish,
    /// Stops sending.
    Wait,
}

#[tokio::test]
async fn clients_that_leave_or_stop() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = setup(&origin, FOREVER)
        .frontend("timeout.client = \"200ms\"")
        .start()
        .await?;
    let chunked = post("Transfer-Encoding: chunked");
    let expecting = post("Content-Length: 5\r\nExpect: 100-continue");
    for (number, (request, then, status, end)) in [
        (
            post("Content-Length: 5") + "123",
            Then::Finish,
            400,
            "client-closed",
        ),
        (
            chunked.clone() + "5\r\n123",
            Then::Finish,
            400,
            "client-closed",
        ),
        (
            chunked.clone() + "3\r\n123\r\n0\r\nX: y",
            Then::Finish,
            400,
            "client-closed",
        ),
        (chunked + "5\r\n12345z", Then::Wait, 400, "refused"),
        (
            post("Content-Length: 5") + "123",
            Then::Wait,
            408,
            "client-timeout",
        ),
        (expecting, Then::Wait, 408, "client-timeout"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{number}");
        let request = request.replacen('/', &path, 1);
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(&request).await?;
        if then == Then::Finish {
            client.finish().await?;
        }
        let response = loop {
            let response = client.response("POST").await?;
            if response.head.status()? >= 200 {
                break response;
            }
        };
        assert_eq!(response.head.status()?, status, "{request:?}");
        let line = record(&proxy, &path).await?;
        assert_eq!(log_field(&line, " end"), Some(end), "{line}");
    }
    assert_eq!(origin.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn a_client_that_resets_its_connection_has_left() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = setup(&origin, FOREVER).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let expecting = post("Content-Length: 5\r\nExpect: 100-continue");
    client.send(expecting).await?;
    assert_eq!(client.response("POST").await?.head.status()?, 100);
    client.send("123").await?;
    client.reset()?;
    proxy.line_with(" end=client-closed ").await?;
    assert_eq!(origin.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn the_proxys_own_answers_leave_the_connection_open() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let deny = "router.config.rules = [{ header.host.present = true, respond.status = 403 }]";
    let proxy = setup(&origin, FOREVER)
        .frontend("router.plugin = \"header-match\"")
        .frontend(deny)
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for request in [
        sized("hello"),
        chunked(&["hel", "lo"], "X: y\r\n"),
        GET.to_owned(),
    ] {
        let response = client.exchange(&request).await?;
        assert_eq!(response.head.status()?, 403, "{request:?}");
        assert_eq!(response.head.field("connection"), None, "{request:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_early_answer_arrives() -> anyhow::Result<()> {
    const LARGE: usize = 8 << 20;
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.exactly(1).await?;
        wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            .await
    })
    .await?;
    let proxy = setup(&origin, "too_large = \"route\"").start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send(post(&format!("Content-Length: {LARGE}")))
        .await?;
    client.send_bulk(LARGE).await?;
    let response = client.response("POST").await?;
    assert_eq!(response.body, b"big");
    assert_eq!(response.head.field("connection").as_deref(), Some("close"));
    assert_eq!(client.end().await?, End::Closed);
    Ok(())
}

/// If a server cannot be reached, the next one gets the whole body, including the part that was
/// already read.
#[tokio::test]
async fn another_server_gets_the_whole_body() -> anyhow::Result<()> {
    let closed = ReservedPort::new()?;
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([closed.address(), origin.address()])
        .frontend("routing.body = { size = \"16B\" }")
        .backend("balance = \"round_robin\"")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for request in [sized("1234567890123456"), chunked(&["123", "4567"], "")] {
        // The servers take turns, so one of two requests goes to the closed port first.
        for _ in 0..2 {
            client.send(&request).await?;
            assert_eq!(client.response("POST").await?.body, b"www");
        }
    }
    let found: Vec<_> = origin.requests().into_iter().map(|one| one.body).collect();
    let (first, last) = (b"1234567890123456".to_vec(), b"1234567".to_vec());
    assert_eq!(found, [first.clone(), first, last.clone(), last]);
    // If no server can be reached, the request fails, but the client's connection stays open.
    let none = Setup::before([closed.address()])
        .frontend("routing.body = { size = \"16B\" }")
        .start()
        .await?;
    let mut client = Wire::connect(none.address()).await?;
    for _ in 0..2 {
        let response = client.exchange(sized("hello")).await?;
        assert_eq!(response.head.status()?, 503);
        assert_eq!(response.head.field("connection"), None);
    }
    Ok(())
}
