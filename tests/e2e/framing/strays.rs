//! Servers that send more bytes than the response to the request: no such byte ever reaches another
//! client.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use pointsman_tests::{Origin, Setup, Wire};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::get;

/// The way in which a server responds. A correct response has the request's target as its body.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// A correct response without stray bytes.
    Right,
    /// A second response right after the first.
    Twice,
    /// More bytes than the declared length.
    TooMuch,
    /// A body with a 204, which cannot have one.
    Body,
    /// Bytes after the last chunk.
    BehindChunks,
    /// An interim response after the final one.
    InterimLater,
    /// The response before the request's body has arrived.
    Early,
    /// Bytes that are not a response.
    Garbage,
    /// The response, and then a reset.
    Reset,
    /// The response, and then the end of the connection.
    Close,
}
use Manner::{
    BehindChunks, Body, Close, Early, Garbage, InterimLater, Reset, Right, TooMuch, Twice,
};

const MANNERS: &[Manner] = &[
    Right,
    Twice,
    Right,
    TooMuch,
    Body,
    Right,
    BehindChunks,
    InterimLater,
    Early,
    Right,
    Garbage,
    Reset,
    Close,
];

/// A whole response that belongs to no request.
const STRAY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray";

fn answer(target: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
        target.len()
    )
}

/// Serves one connection. Each request's target selects the manner of its response.
async fn serve(mut wire: Wire) -> anyhow::Result<()> {
    while let Ok(head) = wire.head().await {
        let target = head.start_line.split(' ').nth(1).context("a target")?;
        let right = answer(target);
        let number = target.split('/').nth(1).context("a number")?;
        let manner = MANNERS.get(number.parse::<usize>()?).context("a manner")?;
        if let (Some(length), false) = (head.field("content-length"), matches!(manner, Early)) {
            wire.exactly(length.parse()?).await?;
        }
        let sent = match manner {
            Right => right,
            Twice | Early => right + STRAY,
            TooMuch => right + "stray",
            Body => format!("HTTP/1.1 204 No Content\r\n\r\n{STRAY}"),
            BehindChunks => format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{target}\r\n0\r\n\r\n{STRAY}",
                target.len()
            ),
            InterimLater => right + "HTTP/1.1 103 Hints\r\nX: stray\r\n\r\n",
            Garbage => "stray\r\n\r\n".to_owned(),
            Reset => {
                wire.send(right).await?;
                return wire.reset();
            }
            Close => return wire.send(right).await,
        };
        // The proxy may already have closed the connection.
        if wire.send(sent).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// No byte reaches another client. Many clients send requests at once over the same few
/// connections, and each response names its request.
#[tokio::test]
async fn no_byte_reaches_another_client() -> anyhow::Result<()> {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 60;
    let origin = Origin::scripted(|wire, _| serve(wire)).await?;
    for reuse in ["safe", "always"] {
        let proxy = Setup::before([origin.address()])
            .backend(&format!("http_reuse = \"{reuse}\""))
            .start()
            .await?;
        let address = proxy.address();
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(async move {
                let mut wire = Wire::connect(address).await?;
                for round in 0..ROUNDS {
                    let manner = (client * 7 + round * 5) % MANNERS.len();
                    let target = format!("/{manner}/{client}/{round}");
                    if !ask(&mut wire, &target, MANNERS[manner])
                        .await
                        .with_context(|| target.clone())?
                    {
                        wire = Wire::connect(address).await?;
                    }
                }
                anyhow::Ok(())
            });
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
    }
    Ok(())
}

/// Checks that the response belongs to this request, or is an acceptable error. Returns whether the
/// client's connection stays open.
async fn ask(wire: &mut Wire, target: &str, manner: Manner) -> anyhow::Result<bool> {
    let request = match manner {
        Early => format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        _ => get(target),
    };
    let response = wire.exchange(request).await?;
    let status = response.head.status()?;
    let is_own = match status {
        200 => response.body == target.as_bytes() && !matches!(manner, Garbage | Body),
        204 => matches!(manner, Body),
        // Garbage is a 502. So is a request that must not be sent again, if its connection ends.
        502 => matches!(manner, Garbage | Early),
        _ => false,
    };
    ensure!(is_own, "{manner:?}: {response:?}");
    let is_last = response.head.field("connection").as_deref() == Some("close");
    Ok(!is_last)
}

/// Any byte that arrives on an idle connection to a server ends that connection.
#[tokio::test]
async fn bytes_on_an_idle_connection_answer_no_request() -> anyhow::Result<()> {
    for stray in [
        STRAY,
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "\r\n",
        "H",
    ] {
        for method in ["GET", "POST"] {
            let (go, said) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let shared = [&go, &said].map(Arc::clone);
            let origin = Origin::scripted(move |mut wire, number| {
                let [go, said] = shared.clone();
                async move {
                    wire.request().await?;
                    wire.send(answer("own")).await?;
                    if number == 0 {
                        go.notified().await;
                        wire.send(stray).await?;
                        said.notify_one();
                    }
                    wire.end().await.map(drop)
                }
            })
            .await?;
            let proxy = Setup::before([origin.address()]).start().await?;
            let mut client = Wire::connect(proxy.address()).await?;
            assert_eq!(client.exchange(get("/")).await?.body, b"own");
            go.notify_one();
            said.notified().await;
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
            let second = client.exchange(request).await?;
            assert_eq!(second.body, b"own", "{method}, {stray:?}: {second:?}");
            assert_eq!(origin.connections(), 2);
            drop(proxy);
            origin.join().await?;
        }
    }
    Ok(())
}

/// A 408 on a reused connection is not a response to the request: the server may have sent it
/// earlier, because the connection was idle for too long (RFC 9110, section 15.5.9).
#[tokio::test]
async fn a_late_408_answers_no_request() -> anyhow::Result<()> {
    const LATE: &str =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate";
    for (request, status, times) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 2),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 2),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", 502, 1),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            502,
            1,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            502,
            1,
        ),
    ] {
        let (seen, mut heads) = mpsc::unbounded_channel();
        let origin = Origin::scripted(move |mut wire, number| {
            let seen = seen.clone();
            async move {
                if number == 0 {
                    wire.request().await?;
                    wire.send(answer("own")).await?;
                }
                seen.send(wire.request().await?.head.raw)?;
                wire.send(if number == 0 {
                    LATE.to_owned()
                } else {
                    answer("own")
                })
                .await
            }
        })
        .await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.exchange(get("/")).await?.body, b"own");
        let response = client.exchange(request).await?;
        assert_eq!(response.head.status()?, status, "{request:?}");
        origin.join().await?;
        let heads: Vec<_> = std::iter::from_fn(|| heads.try_recv().ok()).collect();
        assert_eq!(heads.len(), times, "{request:?}");
    }
    // On a new connection, a 408 is an ordinary response of the server.
    let origin = Origin::answering(LATE).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(get("/")).await?.head.status()?, 408);
    Ok(())
}
