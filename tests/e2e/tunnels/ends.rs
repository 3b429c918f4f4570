//! The end of a tunnel: its timeouts, many tunnels at once, the shutdown of the proxy, and the log
//! record of the tunnel.

use std::time::Duration;

use anyhow::ensure;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use pointsman_tests::{DEADLINE, Origin, Proxy, Wire};
use tokio::time::{Instant, interval};

use super::{after_handshake, config, echo, handshake, open, passes};

/// A timeout under test: short enough to wait for, but long compared with the delays of a busy
/// machine.
const LIMIT: Duration = Duration::from_millis(700);
/// Minimum time that a client measures for [`LIMIT`]. It is shorter than [`LIMIT`], because the
/// client's clock starts after the tunnel.
const AT_LEAST: Duration = Duration::from_millis(600);
/// A time after which [`LIMIT`] would have ended the tunnel, if it applied.
const BEYOND: Duration = Duration::from_millis(1400);

/// Starts an origin that waits for the end of each tunnel. Its script fails if the end does not
/// come.
async fn silent() -> anyhow::Result<Origin> {
    after_handshake(|mut wire| async move { wire.end().await.map(|_| ()) }).await
}

#[tokio::test]
async fn an_idle_tunnel_ends_after_the_timeout_that_applies() -> anyhow::Result<()> {
    let long = "timeout.client = \"24h\"";
    for (frontend, backend) in [
        (long, "timeout.server = \"24h\"\ntimeout.tunnel = \"700ms\""),
        // Without `timeout.tunnel`, the timeouts of the two sides apply.
        (long, "timeout.server = \"700ms\""),
        ("timeout.client = \"700ms\"", "timeout.server = \"24h\""),
    ] {
        let origin = silent().await?;
        let proxy = Proxy::pointsman(&config("", frontend, backend, origin.address())).await?;
        let mut client = open(proxy.address()).await?;
        let since = Instant::now();
        client.end().await?;
        let lasted = since.elapsed();
        assert!(lasted >= AT_LEAST, "{lasted:?} {backend}");
        assert!(lasted < DEADLINE / 2, "{lasted:?} {backend}");
        proxy.line_with("end=tunnel-timeout").await?;
        origin.join().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_tunnels_timeout_takes_the_place_of_its_sides() -> anyhow::Result<()> {
    let origin = echo().await?;
    let sides = "timeout.server = \"700ms\"\ntimeout.tunnel = \"1h\"";
    let client = "timeout.client = \"700ms\"";
    let proxy = Proxy::pointsman(&config("", client, sides, origin.address())).await?;
    let mut client = open(proxy.address()).await?.with_deadline(BEYOND);
    let idle = client.end().await;
    assert!(idle.is_err(), "it ended: {idle:?}");
    passes(&mut client.with_deadline(DEADLINE)).await
}

/// A tunnel with traffic stays open: for twice the timeout, bytes come first from the client alone,
/// then from the server alone.
#[tokio::test]
async fn a_tunnel_with_traffic_stays_open() -> anyhow::Result<()> {
    /// Sends a byte at intervals, for longer than the timeout.
    async fn trickle(wire: &mut Wire) -> anyhow::Result<()> {
        let mut pace = interval(LIMIT / 4);
        for _ in 0..8 {
            pace.tick().await;
            wire.send(".").await?;
        }
        Ok(())
    }
    let origin = after_handshake(|mut wire| async move {
        wire.exactly(8).await?;
        trickle(&mut wire).await?;
        wire.end().await.map(|_| ())
    })
    .await?;
    let limits = "timeout.server = \"24h\"\ntimeout.tunnel = \"700ms\"";
    let proxy = Proxy::pointsman(&config("", "", limits, origin.address())).await?;
    let mut client = open(proxy.address()).await?;
    trickle(&mut client).await?;
    assert_eq!(client.exactly(8).await?, b"........");
    client.end().await?;
    let line = proxy.line_with("end=tunnel-timeout").await?;
    assert!(line.contains("bytes_in=8 bytes_out=8"), "{line}");
    origin.join().await
}

#[tokio::test]
async fn a_half_closed_tunnel_ends_after_the_timeout_of_that_side() -> anyhow::Result<()> {
    let origin = after_handshake(|mut wire| async move {
        if wire.exactly(6).await? == b"client" {
            ensure!(wire.rest().await?.is_empty());
            // The client has half-closed the tunnel. This side never closes.
            return std::future::pending().await;
        }
        wire.finish().await?;
        wire.end().await.map(|_| ())
    })
    .await?;
    for (who, frontend, backend) in [
        (
            "client",
            "timeout.client_fin = \"700ms\"",
            "timeout.server_fin = \"24h\"",
        ),
        (
            "server",
            "timeout.client_fin = \"24h\"",
            "timeout.server_fin = \"700ms\"",
        ),
    ] {
        let frontend = format!("timeout.client = \"24h\"\n{frontend}");
        let backend = format!("timeout.server = \"24h\"\n{backend}");
        let proxy = Proxy::pointsman(&config("", &frontend, &backend, origin.address())).await?;
        let mut client = open(proxy.address()).await?;
        let since = Instant::now();
        client.send(who).await?;
        if who == "client" {
            client.finish().await?;
        }
        client.end().await?;
        let line = proxy.line_with("end=tunnel").await?;
        assert!(line.contains("end=tunnel-timeout"), "{who}: {line}");
        assert!(since.elapsed() >= AT_LEAST, "{who}");
    }
    Ok(())
}

#[tokio::test]
async fn five_hundred_idle_tunnels_stay() -> anyhow::Result<()> {
    const TUNNELS: usize = 500;
    // This process has both ends of each tunnel, so it needs many descriptors.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < 4096 {
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(4096), hard)?;
    }
    let origin = echo().await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut clients = Vec::new();
    for _ in 0..TUNNELS {
        clients.push(open(proxy.address()).await?);
    }
    for client in clients.iter_mut().rev() {
        passes(client).await?;
    }
    for client in &mut clients {
        client.finish().await?;
        assert_eq!(client.rest().await?, b"");
    }
    proxy
        .wait_for("the last tunnel's line", |lines| {
            let ended = lines
                .iter()
                .filter(|line| line.contains("end=tunnel "))
                .count();
            (ended == TUNNELS).then_some(())
        })
        .await
}

#[tokio::test]
async fn a_tunnel_is_logged_once_at_its_end() -> anyhow::Result<()> {
    let origin = echo().await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut client = open(proxy.address()).await?;
    passes(&mut client).await?;
    let from = format!("client={} ", client.local_address()?);
    assert!(
        !proxy.log().iter().any(|line| line.contains(&from)),
        "a line before the end"
    );
    client.send("more").await?;
    client.finish().await?;
    assert_eq!(client.rest().await?, b"more");
    let line = proxy.line_with(&from).await?;
    for part in [
        " access: ",
        "frontend=http-in ",
        "method=GET ",
        "host=www.test.tld ",
        "target=/socket ",
        "status=101 ",
        "bytes_in=8 ",
        "bytes_out=8 ",
        "backend=www ",
        "server=www ",
        "end=tunnel ",
        "total=",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let mut proxy = proxy;
    proxy.signal(Signal::SIGTERM)?;
    proxy.ended().await?;
    let lines = proxy.log();
    let lines: Vec<_> = lines.iter().filter(|line| line.contains(&from)).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    Ok(())
}

/// If a client disconnects right after its request, the request is logged, whether or not the proxy
/// notices in time.
#[tokio::test]
async fn clients_that_leave_after_their_request_are_logged() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let plain = "GET / HTTP/1.1\r\nHost: www\r\n\r\n".to_owned();
    for request in [handshake("www"), plain].iter().cycle().take(20) {
        let mut client = Wire::connect(proxy.address()).await?;
        let from = format!("client={} ", client.local_address()?);
        client.send(request).await?;
        drop(client);
        proxy.line_with(&from).await?;
    }
    Ok(())
}

/// After SIGTERM, the proxy waits until its tunnel has ended.
#[tokio::test]
async fn a_stop_waits_for_tunnels() -> anyhow::Result<()> {
    let origin = echo().await?;
    let mut proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut client = open(proxy.address()).await?;
    proxy.signal(Signal::SIGTERM)?;
    proxy.line_with("draining").await?;
    passes(&mut client).await?;
    client.finish().await?;
    assert_eq!(client.rest().await?, b"");
    assert_eq!(proxy.ended().await?.code(), Some(0));
    proxy.line_with("end=tunnel ").await?;
    Ok(())
}

#[tokio::test]
async fn a_stop_cuts_tunnels_off_after_its_timeout() -> anyhow::Result<()> {
    let origin = echo().await?;
    let drain = "timeout.drain = \"700ms\"";
    let mut proxy = Proxy::pointsman(&config(drain, "", "", origin.address())).await?;
    let mut client = open(proxy.address()).await?;
    let address = proxy.address();
    proxy.signal(Signal::SIGTERM)?;
    let since = Instant::now();
    proxy.line_with("draining").await?;
    passes(&mut client).await?;
    client.end().await?;
    assert!(since.elapsed() >= LIMIT, "{:?}", since.elapsed());
    assert_eq!(proxy.ended().await?.code(), Some(3));
    assert!(Wire::connect(address).await.is_err(), "it listens still");
    let line = proxy.line_with("end=drain").await?;
    assert!(line.contains("bytes_in=4 bytes_out=4"), "{line}");
    origin.join().await
}

#[tokio::test]
async fn a_second_signal_ends_at_once() -> anyhow::Result<()> {
    let origin = echo().await?;
    let drain = "timeout.drain = \"1h\"";
    let mut proxy = Proxy::pointsman(&config(drain, "", "", origin.address())).await?;
    let mut client = open(proxy.address()).await?;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        proxy.signal(signal)?;
        proxy.line_with("draining").await?;
    }
    client.end().await?;
    assert_eq!(proxy.ended().await?.code(), Some(3));
    origin.join().await
}

#[tokio::test]
async fn a_stop_logs_the_requests_that_it_cuts_off() -> anyhow::Result<()> {
    let (seen, mut sees) = tokio::sync::mpsc::channel(1);
    let origin = Origin::scripted(move |mut wire, _| {
        let seen = seen.clone();
        async move {
            wire.head().await?;
            seen.send(()).await?;
            wire.end().await.map(|_| ())
        }
    })
    .await?;
    let drain = "timeout.drain = \"300ms\"";
    let mut proxy = Proxy::pointsman(&config(drain, "", "", origin.address())).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send("GET /slow HTTP/1.1\r\nHost: www\r\n\r\n")
        .await?;
    sees.recv().await;
    proxy.signal(Signal::SIGTERM)?;
    client.end().await?;
    assert_eq!(proxy.ended().await?.code(), Some(3));
    let line = proxy.line_with("target=/slow").await?;
    assert!(line.contains("end=drain"), "{line}");
    origin.join().await
}

/// A handshake in progress still becomes a tunnel after SIGTERM, and bytes that the client has sent
/// early are forwarded.
#[tokio::test]
async fn a_handshake_under_way_becomes_a_tunnel_after_the_signal() -> anyhow::Result<()> {
    let (go, gone) = tokio::sync::watch::channel(false);
    let origin = Origin::scripted(move |mut wire, _| {
        let mut gone = gone.clone();
        async move {
            wire.head().await?;
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
            gone.wait_for(|gone| *gone).await?;
            wire.send(super::SWITCHED).await?;
            let bytes = wire.exactly(9).await?;
            wire.send(bytes).await?;
            wire.end().await.map(|_| ())
        }
    })
    .await?;
    let mut proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(handshake("www")).await?;
    while origin.connections() == 0 {
        tokio::task::yield_now().await;
    }
    proxy.signal(Signal::SIGTERM)?;
    proxy.line_with("draining").await?;
    client.send("early").await?;
    go.send(true)?;
    let mut status = 100;
    while status == 100 {
        status = client.response("GET").await?.head.status()?;
    }
    assert_eq!(status, 101);
    client.send("late").await?;
    assert_eq!(client.exactly(9).await?, b"earlylate");
    drop(client);
    assert_eq!(proxy.ended().await?.code(), Some(0));
    origin.join().await
}
