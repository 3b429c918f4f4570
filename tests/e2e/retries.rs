//! The choice of a server for a request, and requests that are sent again: by default, never if a
//! server could have acted on them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pointsman_tests::{Dnsmasq, Origin, Record, ReservedPort, Setup, Wire};
use tokio::sync::{Notify, mpsc};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// Choice of a server

#[tokio::test]
async fn servers_take_turns_in_their_order() -> anyhow::Result<()> {
    let origins = [
        Origin::with_name("a").await?,
        Origin::with_name("b").await?,
        Origin::with_name("c").await?,
    ];
    let proxy = Setup::before(origins.iter().map(Origin::address))
        .start()
        .await?;
    let mut seen = String::new();
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..9 {
        seen += &String::from_utf8(client.exchange(GET).await?.body)?;
    }
    assert_eq!(seen, "abcabcabc");
    // The proxy connected to each server once; the connection stays in the pool until the server's
    // next turn.
    for origin in &origins {
        assert_eq!(origin.connections(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_connection_goes_on_to_the_next_server() -> anyhow::Result<()> {
    let (first, last) = (ReservedPort::new()?, ReservedPort::new()?);
    let origin = Origin::with_name("www").await?;
    let servers = [first.address(), origin.address(), last.address()];
    let proxy = Setup::before(servers).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..6 {
        assert_eq!(client.exchange(GET).await?.body, b"www");
    }
    // A request with a body is also sent to the next server, because none of the body was sent.
    let upload = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    for _ in 0..6 {
        assert_eq!(client.exchange(upload).await?.body, b"www");
    }
    assert_eq!(origin.requests().len(), 12);
    assert_eq!(origin.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn a_refused_address_goes_on_to_the_next_of_the_name() -> anyhow::Result<()> {
    // Loopback addresses that no other test uses. A server listens on only one of them.
    let hosts = [1, 2, 3].map(|last| Ipv4Addr::new(127, 0, 72, last));
    let origin = Origin::answering_at((hosts[1], 0).into(), OK).await?;
    let dns = hosts.map(|host| Record::address("www.test.tld", host, 60));
    let dns = Dnsmasq::with(&dns).await?;
    let port = origin.address().port();
    let proxy = Setup::before([])
        .backend(&format!("server.s = \"www.test.tld:{port}\""))
        .backend("retry.attempts = 0")
        .backend(&format!(
            "resolve = {{ nameservers = [\"{}\"], init = \"required\" }}",
            dns.nameserver()
        ))
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..6 {
        assert_eq!(client.exchange(GET).await?.body, b"ok");
    }
    Ok(())
}

#[tokio::test]
async fn no_server_is_503_and_the_client_may_go_on() -> anyhow::Result<()> {
    let (one, two) = (ReservedPort::new()?, ReservedPort::new()?);
    let proxy = Setup::before([one.address(), two.address()])
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..3 {
        assert_eq!(client.exchange(GET).await?.head.status()?, 503);
    }
    // The proxy must not parse a body that no server reads as the next request.
    let upload = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{GET}",
        GET.len()
    );
    client.send(upload).await?;
    assert_eq!(client.response("POST").await?.head.status()?, 503);
    // The proxy can either close the connection, or continue to read after the body. Both are
    // correct.
    if client.send(GET).await.is_ok()
        && let Ok(next) = client.response("GET").await
    {
        assert_eq!(next.head.status()?, 503);
        assert!(client.finish().await.is_err() || client.rest().await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_full_server_leaves_the_request_to_the_next() -> anyhow::Result<()> {
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (noting, waiting) = (Arc::clone(&reached), Arc::clone(&go));
    let slow = Origin::scripted(move |mut wire, _| {
        let (reached, go) = (Arc::clone(&noting), Arc::clone(&waiting));
        async move {
            wire.request().await?;
            reached.notify_one();
            go.notified().await;
            wire.send(OK).await
        }
    })
    .await?;
    let free = Origin::with_name("free").await?;
    let proxy = Setup::before([])
        .backend(&format!(
            "server.a = {{ address = \"{}\", max_requests = 1 }}",
            slow.address()
        ))
        .backend(&format!("server.b = \"{}\"", free.address()))
        .start()
        .await?;
    let mut first = Wire::connect(proxy.address()).await?;
    first.send(GET).await?;
    reached.notified().await;
    let mut second = Wire::connect(proxy.address()).await?;
    for _ in 0..4 {
        assert_eq!(second.exchange(GET).await?.body, b"free");
    }
    go.notify_one();
    assert_eq!(first.response("GET").await?.body, b"ok");
    slow.join().await
}

// A server that stops and comes back

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() -> anyhow::Result<()> {
    let port = ReservedPort::new()?;
    let proxy = Setup::before([port.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..3 {
        assert_eq!(client.exchange(GET).await?.head.status()?, 503);
        let origin = Origin::answering_at(port.address(), OK).await?;
        assert_eq!(client.exchange(GET).await?.body, b"ok");
        assert_eq!(client.exchange(GET).await?.body, b"ok");
        assert_eq!(origin.connections(), 1);
        // Stopping the server closes its connections, including the idle one.
        origin.stop().await;
    }
    Ok(())
}

/// The proxy does not use an idle connection that its server has closed, whatever the method.
#[tokio::test]
async fn a_connection_closed_while_idle_is_not_used() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        // Without `Connection: close`, the proxy pools the connection. Then the script returns, and
        // the connection closes.
        wire.send(OK).await
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for method in ["GET", "POST", "PUT", "DELETE", "POST"].repeat(10) {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        let response = client.exchange(request).await?;
        assert_eq!(response.head.status()?, 200, "{method}");
    }
    assert_eq!(origin.connections(), 50);
    Ok(())
}

// Requests that are sent again, and those that are not

/// Rest of a request in the table, after the method.
const EMPTY: &str = "/ HTTP/1.1\r\nHost: a\r\n\r\n";
const NO_BYTES: &str = "/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
/// A request with repeated fields, octets above ASCII, and a path that could be mistaken for a
/// host.
const FIELDS: &str = "//a:80/b?c HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nCookie: ä\r\nX-A: 2\r\n\r\n";
const SIZED: &str = "/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str =
    "/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

/// A reused connection can end after a request without a byte of a response. The request is then
/// sent again only if it is safe to repeat.
#[tokio::test]
async fn a_request_lost_on_a_used_connection() -> anyhow::Result<()> {
    let rows = [
        ("GET", EMPTY, 200),
        ("GET", FIELDS, 200),
        ("HEAD", EMPTY, 200),
        ("OPTIONS", EMPTY, 200),
        ("TRACE", EMPTY, 200),
        ("DELETE", EMPTY, 200),
        ("PUT", NO_BYTES, 200),
        ("POST", EMPTY, 502),
        ("POST", NO_BYTES, 502),
        ("PATCH", NO_BYTES, 502),
        ("BREW", EMPTY, 502),
        ("POST", SIZED, 502),
        ("POST", CHUNKED, 502),
        // The method is idempotent, but the body is no longer available.
        ("PUT", SIZED, 502),
        ("PUT", CHUNKED, 502),
    ];
    for (method, rest, status) in rows {
        let (asked, times) = lost(method, rest, "").await?;
        assert_eq!(asked, status, "{method} {rest:?}");
        let expected = if status == 200 { 2 } else { 1 };
        assert_eq!(times, expected, "sent so often: {method} {rest:?}");
    }
    Ok(())
}

/// The first bytes of a response show that the server has acted on the request, so the request is
/// not sent again.
#[tokio::test]
async fn an_answer_cut_off_is_not_asked_for_again() -> anyhow::Result<()> {
    for start in [
        "H",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
    ] {
        assert_eq!(lost("GET", EMPTY, start).await?, (502, 1), "{start:?}");
    }
    Ok(())
}

/// Sends a request over a reused connection, which ends after the server has received the request
/// and sent `start`. Returns the client's status, and how often the request was sent.
async fn lost(method: &str, rest: &str, start: &'static str) -> anyhow::Result<(u16, usize)> {
    let (seen, mut heads) = mpsc::unbounded_channel();
    let origin = Origin::scripted(move |mut wire, number| {
        let seen = seen.clone();
        async move {
            if number == 0 {
                wire.request().await?;
                wire.send(OK).await?;
            }
            let request = wire.request().await?;
            let is_head = request.head.start_line.starts_with("HEAD ");
            seen.send(request.head.raw)?;
            if number == 0 {
                return wire.send(start).await;
            }
            wire.send(if is_head { &OK[..OK.len() - 2] } else { OK })
                .await
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(GET).await?.body, b"ok");
    let response = client.exchange(format!("{method} {rest}")).await?;
    origin.join().await?;
    let heads: Vec<_> = std::iter::from_fn(|| heads.try_recv().ok()).collect();
    assert!(heads.iter().all(|head| *head == heads[0]), "{heads:?}");
    Ok((response.head.status()?, heads.len()))
}

/// A connection that was reset while it was idle fails no request. A request that can be repeated
/// is sent again over another connection; any other request is never written to such a connection.
#[tokio::test]
async fn a_connection_reset_while_idle_is_not_used() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        let request = wire.request().await?;
        wire.send(OK).await?;
        if request.head.start_line.contains("/reset") {
            return wire.reset();
        }
        wire.end().await.map(drop)
    })
    .await?;
    let rest = "/ HTTP/1.1\r\nHost: a\r\nContent-Length: ";
    for reuse in ["safe", "always"] {
        let proxy = Setup::before([origin.address()])
            .backend(&format!("http_reuse = \"{reuse}\""))
            .start()
            .await?;
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"].repeat(10) {
            let mut client = Wire::connect(proxy.address()).await?;
            let first = client
                .exchange("GET /reset HTTP/1.1\r\nHost: a\r\n\r\n")
                .await?;
            assert_eq!(first.body, b"ok");
            let request = format!("{method} {rest}5\r\n\r\nhello");
            let next = client.exchange(request).await?;
            assert_eq!(next.head.status()?, 200, "{method}");
            // Both requests are in one write, so the proxy sends the second one right after the
            // response to the first.
            let both = format!("GET /reset HTTP/1.1\r\nHost: a\r\n\r\nGET {EMPTY}");
            client.send(both).await?;
            for _ in 0..2 {
                assert_eq!(client.response("GET").await?.head.status()?, 200);
            }
        }
    }
    Ok(())
}

/// If a new connection ends without a response, the client gets a 502 without another attempt: a
/// server that always does this is broken.
#[tokio::test]
async fn a_new_connection_that_ends_is_502_at_once() -> anyhow::Result<()> {
    let origin =
        Origin::scripted(|mut wire, _| async move { wire.request().await.map(drop) }).await?;
    let other = Origin::with_name("other").await?;
    let proxy = Setup::before([origin.address(), other.address()])
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(GET).await?.head.status()?, 502);
    assert_eq!(origin.connections(), 1);
    assert_eq!(other.connections(), 0);
    origin.join().await
}

/// If every connection in the pool is dead, a request needs only one more attempt.
#[tokio::test]
async fn a_pool_of_dead_connections_costs_one_more_try() -> anyhow::Result<()> {
    let answered = Arc::new(Notify::new());
    let waiting = Arc::clone(&answered);
    // The first four connections respond once, all at the same time, and end with their next
    // request.
    let arrived = Arc::new(AtomicUsize::new(0));
    let origin = Origin::scripted(move |mut wire, number| {
        let (answered, arrived) = (Arc::clone(&waiting), Arc::clone(&arrived));
        async move {
            wire.request().await?;
            if number < 4 {
                if arrived.fetch_add(1, Ordering::SeqCst) == 3 {
                    answered.notify_waiters();
                } else {
                    answered.notified().await;
                }
            }
            wire.send(OK).await?;
            let _ = wire.request().await;
            Ok(())
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.response("GET").await?.body, b"ok");
    }
    for client in &mut clients {
        assert_eq!(client.exchange(GET).await?.body, b"ok");
    }
    Ok(())
}
