//! Responses that a server sends before the request is complete: they announce the close, and they
//! reach the client.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pointsman_tests::{DEADLINE, End, Origin, Proxy, Setup, Wire};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::get;

/// A body that is larger than all socket buffers on its path.
const LARGE: usize = 32 * 1024 * 1024;

const REFUSAL: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig";

fn upload(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n{lines}\r\n")
}

/// A server's behavior after it has responded to the head alone.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// Closes with bytes unread, which resets the connection.
    Close,
    /// Ends its sending side, and continues to read.
    Finish,
    /// Continues to read.
    Read,
    /// Stops reading.
    Hold,
}

async fn answering_early(then: Then) -> anyhow::Result<Origin> {
    Origin::scripted(move |mut wire, _| async move {
        wire.head().await?;
        wire.exactly(1).await?;
        wire.send(REFUSAL).await?;
        match then {
            Then::Close => return Ok(()),
            Then::Finish => wire.finish().await?,
            Then::Read => {}
            Then::Hold => {
                let _ = tokio::time::timeout(DEADLINE, std::future::pending::<()>()).await;
            }
        }
        // Ends when the proxy closes or resets the connection.
        while wire.exactly(1024).await.is_ok() {}
        Ok(())
    })
    .await
}

/// Sends a whole upload before it reads the response, as most libraries do.
async fn blind_upload(proxy: &Proxy, expected: u16) -> anyhow::Result<()> {
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(upload("")).await?;
    client.send_bulk(LARGE).await.context("sending on")?;
    let response = client.response("POST").await?;
    ensure!(response.head.status()? == expected, "{response:?}");
    let connection = response.head.field("connection");
    ensure!(connection.as_deref() == Some("close"), "{response:?}");
    ensure!(client.end().await? == End::Closed, "a reset");
    Ok(())
}

#[tokio::test]
async fn a_servers_early_answer_arrives() -> anyhow::Result<()> {
    for then in [Then::Close, Then::Finish, Then::Read, Then::Hold] {
        let origin = answering_early(then).await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        for _ in 0..3 {
            let uploaded = blind_upload(&proxy, 413).await;
            uploaded.with_context(|| format!("the server: {then:?}"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_proxys_own_answer_arrives() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let deny = "router.config.rules = [{ header.host.present = true, respond.status = 403 }]";
    for (lines, expected) in [
        (&["max_body = \"1MiB\""][..], 413),
        (&["router.plugin = \"header-match\"", deny], 403),
    ] {
        let mut setup = Setup::before([origin.address()]);
        for line in lines {
            setup = setup.frontend(line);
        }
        blind_upload(&setup.start().await?, expected).await?;
    }
    // Now nothing listens at the server's address.
    let address = origin.address();
    origin.stop().await;
    let proxy = Setup::before([address]).start().await?;
    blind_upload(&proxy, 503).await
}

/// A final response instead of a 100 announces the close, because the client's next bytes could be
/// the body or another request (RFC 9110, section 10.1.1).
#[tokio::test]
async fn an_answer_instead_of_a_continue_says_close() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
            .await?;
        wire.end().await.map(drop)
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    for rest in [String::new(), "x".repeat(5), "x".repeat(5) + &get("/next")] {
        let mut client = Wire::connect(proxy.address()).await?;
        client
            .send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .await?;
        let response = client.response("PUT").await?;
        assert_eq!(response.head.status()?, 401);
        assert_eq!(response.head.field("connection").as_deref(), Some("close"));
        client.send(&rest).await?;
        client.finish().await?;
        assert_eq!(client.rest().await?, b"", "in answer to {rest:?}");
    }
    origin.join().await
}

/// A response after the whole body does not announce a close.
#[tokio::test]
async fn a_timely_answer_keeps_the_connection() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..3 {
        let response = client
            .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            .await?;
        assert_eq!(response.head.field("connection"), None);
    }
    Ok(())
}

#[tokio::test]
async fn the_discarded_part_of_a_body_is_bounded() -> anyhow::Result<()> {
    let origin = answering_early(Then::Finish).await?;
    let proxy = Setup::before([origin.address()])
        .frontend("max_discard = \"64KiB\"")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(upload("")).await?;
    client.send("x").await?;
    assert_eq!(client.response("POST").await?.head.status()?, 413);
    // The response has arrived; the rest of the upload is cut off.
    assert!(client.send_bulk(LARGE).await.is_err());
    Ok(())
}

/// An early response frees the server's slot, although the client is still sending.
#[tokio::test]
async fn an_early_answer_frees_the_servers_slot() -> anyhow::Result<()> {
    let origin = answering_early(Then::Finish).await?;
    let server = format!(
        "server.s = {{ address = \"{}\", max_requests = 1 }}",
        origin.address()
    );
    let proxy = Setup::before([])
        .backend(&server)
        .backend("timeout.queue = \"0s\"")
        .start()
        .await?;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(upload("") + "x").await?;
        let response = client.response("POST").await?;
        assert_eq!(response.head.status()?, 413);
        // The proxy still reads from the client.
        client.send("x").await?;
        clients.push(client);
    }
    Ok(())
}

// 100-continue

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Maximum time for which the proxy holds a body back while the server sends nothing.
const HELD: Duration = Duration::from_secs(1);

/// The proxy forwards a body at once if it has already arrived, or if the client sends it without
/// waiting for a 100.
#[tokio::test]
async fn a_body_that_has_arrived_is_forwarded_at_once() -> anyhow::Result<()> {
    let reached = Arc::new(Notify::new());
    let noting = Arc::clone(&reached);
    let origin = Origin::scripted(move |mut wire, _| {
        let reached = Arc::clone(&noting);
        async move {
            while wire.head().await.is_ok() {
                reached.notify_one();
                ensure!(wire.exactly(5).await? == b"hello");
                wire.send(OK).await?;
            }
            Ok(())
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    for is_later in [false, true] {
        // The shortest of three attempts counts, because the machine may be busy.
        let mut took = Duration::MAX;
        for _ in 0..3 {
            let mut client = Wire::connect(proxy.address()).await?;
            let start = Instant::now();
            if is_later {
                client.send(EXPECTING).await?;
                reached.notified().await;
                client.send("hello").await?;
            } else {
                client.send(format!("{EXPECTING}hello")).await?;
                reached.notified().await;
            }
            let response = client.response("POST").await?;
            assert_eq!(response.body, b"ok", "a needless 100");
            took = took.min(start.elapsed());
        }
        assert!(took < HELD / 2, "{took:?}, body later: {is_later}");
    }
    Ok(())
}
