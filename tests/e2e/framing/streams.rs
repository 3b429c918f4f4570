//! Bodies in transit: held back for a 100, cut short by an early response, streamed without being
//! buffered whole, and broken off by either side.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use pointsman_tests::{Origin, Process, Setup, Wire};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::get;

/// More bytes than all socket buffers on the path can hold.
const LARGE: usize = 32 * 1024 * 1024;
/// A transfer without progress for this long has stopped.
const STALL_TIME: Duration = Duration::from_millis(500);

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends a 100 if the head asks for it, then responds to the whole request.
async fn continuing(mut wire: Wire) -> anyhow::Result<()> {
    let head = wire.head().await?;
    ensure!(head.field("expect").as_deref() == Some("100-continue"));
    wire.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
    ensure!(wire.exactly(5).await? == b"hello");
    wire.send(OK).await
}

#[tokio::test]
async fn a_server_that_says_continue() -> anyhow::Result<()> {
    let origin = Origin::scripted(|wire, _| continuing(wire)).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(EXPECTING).await?;
    assert_eq!(client.response("POST").await?.head.status()?, 100);
    client.send("hello").await?;
    assert_eq!(client.response("POST").await?.body, b"ok");
    origin.join().await
}

#[tokio::test]
async fn curl_waits_for_continue() -> anyhow::Result<()> {
    let origin = Origin::scripted(|wire, _| continuing(wire)).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--expect100-timeout", "20"])
        .args(["--header", "Expect: 100-continue", "--data", "hello"])
        .args(["--write-out", " %{http_code} %{size_upload}\n"])
        .arg(format!("http://{}/", proxy.address()))
        .stdin(Stdio::null());
    let curl = Process::start(curl)?.with_deadline(Duration::from_secs(15));
    assert_eq!(curl.line_with("ok").await?, "ok 200 5");
    origin.join().await
}

#[tokio::test]
async fn a_server_that_refuses_before_the_body() -> anyhow::Result<()> {
    for status in ["417 Expectation Failed", "401 Unauthorized"] {
        let origin = Origin::scripted(move |mut wire, _| async move {
            wire.head().await?;
            wire.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"))
                .await?;
            // The proxy must send neither the body nor another request, because the server could
            // not tell them apart.
            wire.end().await?;
            Ok(())
        })
        .await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(EXPECTING).await?;
        let response = client.response("POST").await?;
        assert_eq!(response.head.status()?.to_string(), status[..3]);
        assert_eq!(response.body, b"no");
        drop(client);
        origin.join().await?;
    }
    Ok(())
}

/// A server that never sends a 100 still gets the body (RFC 9110, section 10.1.1).
#[tokio::test]
async fn a_server_that_says_nothing_gets_the_body() -> anyhow::Result<()> {
    let origin = Origin::answering(OK).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let start = Instant::now();
    client.send(EXPECTING).await?;
    assert_eq!(client.response("POST").await?.head.status()?, 100);
    assert!(start.elapsed() > Duration::from_millis(900), "too early");
    client.send("hello").await?;
    assert_eq!(client.response("POST").await?.body, b"ok");
    assert_eq!(origin.requests()[0].body, b"hello");
    // A client may also send the body without waiting for the 100.
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(format!("{EXPECTING}hello")).await?;
    let mut last = client.response("POST").await?;
    if last.head.status()? == 100 {
        last = client.response("POST").await?;
    }
    assert_eq!(last.body, b"ok");
    Ok(())
}

#[tokio::test]
async fn an_answer_before_the_body_is_done() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.send(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig",
        )
        .await?;
        wire.finish().await?;
        // Continues to read, so that no reset overtakes the response (RFC 9112, section 9.6).
        let _ = wire.rest().await;
        Ok(())
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(format!("{CHUNKED}5\r\nhello\r\n")).await?;
    let response = client.response("POST").await?;
    assert_eq!(response.head.status()?, 413);
    assert_eq!(response.body, b"big");
    // The client's further bytes belong to the body and are not a new request.
    let _ = client.send("5\r\nhello\r\n0\r\n\r\n").await;
    assert_eq!(client.rest().await?, b"");
    origin.join().await
}

#[tokio::test]
async fn trailers_pass_both_ways() -> anyhow::Result<()> {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTrailer: X-Down\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Down: 2\r\n\r\n",
    )
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let response = client
        .exchange(
            "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Up\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Up: 1\r\n\r\n",
        )
        .await?;
    let lower = |trailers: &[(String, Vec<u8>)]| -> Vec<_> {
        trailers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect()
    };
    assert_eq!(
        lower(&response.trailers),
        [("x-down".to_owned(), b"2".to_vec())]
    );
    let request = &origin.requests()[0];
    assert_eq!(request.body, b"hello");
    assert_eq!(
        lower(&request.trailers),
        [("x-up".to_owned(), b"1".to_vec())]
    );
    Ok(())
}

#[tokio::test]
async fn any_method_may_have_a_body() -> anyhow::Result<()> {
    let origin = Origin::answering(OK).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for method in ["GET", "DELETE", "OPTIONS", "BREW"] {
        for body in [
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "Content-Length: 5\r\n\r\nhello",
        ] {
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{body}");
            assert_eq!(client.exchange(request).await?.body, b"ok");
            let seen = origin.requests().pop().map(|request| request.body);
            assert_eq!(
                seen.as_deref(),
                Some(b"hello".as_slice()),
                "{method} {body:?}"
            );
        }
    }
    Ok(())
}

/// Bodies are streamed in both directions at once: each side sends its next chunk only after it has
/// received one from the other side.
#[tokio::test]
async fn bodies_stream_both_ways_at_once() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await?;
        loop {
            let size = wire.until(b"\r\n").await?;
            let chunk = wire.until(b"\r\n").await?;
            wire.send([size.as_slice(), &chunk].concat()).await?;
            if size == b"0\r\n" {
                return Ok(());
            }
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(CHUNKED).await?;
    assert_eq!(client.head().await?.status()?, 200);
    for chunk in ["3\r\none\r\n", "3\r\ntwo\r\n", "0\r\n\r\n"] {
        client.send(chunk).await?;
        assert_eq!(client.exactly(chunk.len()).await?, chunk.as_bytes());
    }
    origin.join().await
}

#[tokio::test]
async fn a_server_that_does_not_read_holds_the_client_up() -> anyhow::Result<()> {
    let done = Arc::new(Notify::new());
    let waiting = Arc::clone(&done);
    let origin = Origin::scripted(move |mut wire, _| {
        let done = Arc::clone(&waiting);
        async move {
            wire.head().await?;
            done.notified().await;
            wire.discard(LARGE).await?;
            wire.send(OK).await
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"
        ))
        .await?;
    let mut sending = Box::pin(client.send_bulk(LARGE));
    assert!(
        tokio::time::timeout(STALL_TIME, &mut sending)
            .await
            .is_err()
    );
    done.notify_one();
    sending.await?;
    assert_eq!(client.response("PUT").await?.body, b"ok");
    origin.join().await
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_server_up() -> anyhow::Result<()> {
    let held = Arc::new(Notify::new());
    let noting = Arc::clone(&held);
    let origin = Origin::scripted(move |mut wire, _| {
        let held = Arc::clone(&noting);
        async move {
            wire.request().await?;
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"
            ))
            .await?;
            let mut sending = std::pin::pin!(wire.send_bulk(LARGE));
            ensure!(
                tokio::time::timeout(STALL_TIME, &mut sending)
                    .await
                    .is_err()
            );
            held.notify_one();
            sending.await
        }
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(get("/")).await?;
    held.notified().await;
    client.head().await?;
    client.discard(LARGE).await?;
    origin.join().await
}

#[tokio::test]
async fn a_body_that_the_server_cuts_off_is_cut_off_for_the_client() -> anyhow::Result<()> {
    let starts = [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
    ];
    for start in starts {
        let seen = Arc::new(Notify::new());
        let waiting = Arc::clone(&seen);
        let origin = Origin::scripted(move |mut wire, _| {
            let seen = Arc::clone(&waiting);
            async move {
                wire.request().await?;
                wire.send(start).await?;
                seen.notified().await;
                Ok(())
            }
        })
        .await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(get("/")).await?;
        assert_eq!(client.head().await?.status()?, 200);
        client.until(b"hello").await?;
        seen.notify_one();
        // The client receives neither the rest of the declared length nor a last chunk.
        let rest = client.rest().await?;
        assert!(rest.is_empty() || rest == b"\r\n", "{start:?}: {rest:?}");
        origin.join().await?;
    }
    Ok(())
}

/// When a client disconnects, the proxy ends the server's connection, whichever part of the request
/// or the response has been transferred.
#[tokio::test]
async fn a_client_that_leaves_takes_the_server_with_it() -> anyhow::Result<()> {
    let whole = get("/");
    let upload = format!("{CHUNKED}5\r\nhello\r\n");
    let download = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
    for (request, answer) in [
        (&whole, ""),
        (&whole, download),
        (&upload, ""),
        (&upload, download),
    ] {
        for is_reset in [false, true] {
            let reached = Arc::new(Notify::new());
            let noting = Arc::clone(&reached);
            let is_upload = request == &upload;
            let origin = Origin::scripted(move |mut wire, _| {
                let reached = Arc::clone(&noting);
                async move {
                    wire.head().await?;
                    if is_upload {
                        wire.until(b"hello\r\n").await?;
                    }
                    wire.send(answer).await?;
                    reached.notify_one();
                    wire.end().await?;
                    Ok(())
                }
            })
            .await?;
            // After a clean end of the client's side, the proxy waits for the response only this
            // long.
            let proxy = Setup::before([origin.address()])
                .frontend("timeout.client_fin = \"50ms\"")
                .start()
                .await?;
            let mut client = Wire::connect(proxy.address()).await?;
            client.send(request).await?;
            reached.notified().await;
            if !answer.is_empty() {
                client.until(b"hello").await?;
            }
            let start = Instant::now();
            if is_reset {
                client.reset()?;
            } else {
                drop(client);
            }
            origin.join().await?;
            // This is far below any other timeout that would end the connection.
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{request:?} {answer:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads() -> anyhow::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    // The server sends and receives at the same time; the client reads only after it has sent
    // everything.
    let origin = Origin::scripted(|mut wire, _| async move {
        wire.head().await?;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        wire.send(head).await?;
        let (socket, early) = wire.into_parts();
        let (mut read, mut write) = socket.into_split();
        let missing = (LARGE - early.len()) as u64;
        let take = async move {
            tokio::io::copy(&mut (&mut read).take(missing), &mut tokio::io::sink()).await
        };
        let give = async move {
            for _ in 1..LARGE / 16384 {
                write.write_all(&[b'x'; 16384]).await?;
            }
            std::io::Result::Ok(write)
        };
        let (taken, mut write) = tokio::try_join!(take, give)?;
        ensure!(taken == missing);
        // Sends the last part of the response only after the upload, because the proxy does not
        // wait for the rest of a request once the response is complete.
        write.write_all(&[b'x'; 16384]).await?;
        Ok(())
    })
    .await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    client.send(head).await?;
    client.send_bulk(LARGE).await?;
    assert_eq!(client.head().await?.status()?, 200);
    client.discard(LARGE).await?;
    origin.join().await
}

#[tokio::test]
async fn a_refused_upload_gets_its_answer() -> anyhow::Result<()> {
    let origin = Origin::answering(OK).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    for _ in 0..5 {
        let mut client = Wire::connect(proxy.address()).await?;
        client
            .send("POST / HTTP/1.1\r\nHost: a b\r\nContent-Length: 1048576\r\n\r\n")
            .await?;
        client.send_bulk(1024 * 1024).await?;
        assert_eq!(client.response("POST").await?.head.status()?, 400);
        assert_eq!(client.end().await?, pointsman_tests::End::Closed);
    }
    assert!(origin.requests().is_empty());
    Ok(())
}
