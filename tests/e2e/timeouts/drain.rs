//! SIGTERM: open requests can finish, no new connection is accepted, and `timeout.drain` bounds the
//! wait.

use std::net::SocketAddr;
use std::sync::Arc;

use nix::sys::signal::Signal;
use pointsman_tests::{Origin, Proxy, Setup, Wire};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{GET, OK, short};

/// A server that holds every request until it is notified to respond.
struct Holding {
    origin: Origin,
    reached: Arc<Notify>,
    go: Arc<Notify>,
}

impl Holding {
    async fn start() -> anyhow::Result<Self> {
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (noting, waiting) = (Arc::clone(&reached), Arc::clone(&go));
        let origin = Origin::scripted(move |mut wire, _| {
            let (reached, go) = (Arc::clone(&noting), Arc::clone(&waiting));
            async move {
                wire.request().await?;
                reached.notify_one();
                tokio::select! {
                    () = go.notified() => wire.send(OK).await,
                    end = wire.end() => end.map(drop),
                }
            }
        })
        .await?;
        Ok(Self {
            origin,
            reached,
            go,
        })
    }

    /// Starts a proxy in front of the server, and sends SIGTERM to the proxy while a client waits
    /// for a response. Returns both.
    async fn draining(&self, drain: &str) -> anyhow::Result<(Proxy, Wire)> {
        let setup = Setup::before([self.origin.address()]);
        let proxy = setup
            .top(&format!("timeout.drain = \"{drain}\""))
            .start()
            .await?;
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        self.reached.notified().await;
        proxy.signal(Signal::SIGTERM)?;
        proxy.line_with("draining").await?;
        // The log line may come before the listener closes.
        refused(proxy.address()).await;
        Ok((proxy, client))
    }
}

/// Returns once nothing listens at `address`.
async fn refused(address: SocketAddr) {
    while let Ok(stream) = TcpStream::connect(address).await {
        drop(stream);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_open_request_is_finished() -> anyhow::Result<()> {
    let holding = Holding::start().await?;
    let (mut proxy, mut client) = holding.draining("20s").await?;
    holding.go.notify_one();
    let response = client.response("GET").await?;
    assert_eq!(response.body, b"ok");
    // `Connection: close` makes the client send its next request over another connection.
    assert_eq!(response.head.field("connection").as_deref(), Some("close"));
    client.end().await?;
    assert_eq!(proxy.ended().await?.code(), Some(0));
    holding.origin.join().await
}

#[tokio::test]
async fn nothing_new_is_accepted() -> anyhow::Result<()> {
    let holding = Holding::start().await?;
    let (proxy, mut client) = holding.draining("20s").await?;
    assert!(TcpStream::connect(proxy.address()).await.is_err());
    holding.go.notify_one();
    assert_eq!(client.response("GET").await?.body, b"ok");
    Ok(())
}

/// Idle clients are disconnected at once, while the drain waits for the requests in progress.
#[tokio::test]
async fn idle_clients_are_disconnected_at_once() -> anyhow::Result<()> {
    let holding = Holding::start().await?;
    let setup = Setup::before([holding.origin.address()]);
    let setup = setup.frontend("timeout.keep_alive = \"1h\"\ntimeout.request_header = \"1h\"");
    let mut proxy = setup.top("timeout.drain = \"1h\"").start().await?;
    let mut used = Wire::connect(proxy.address()).await?;
    used.send(GET).await?;
    holding.reached.notified().await;
    holding.go.notify_one();
    assert_eq!(used.response("GET").await?.body, b"ok");
    let mut fresh = Wire::connect(proxy.address()).await?;
    let mut served = Wire::connect(proxy.address()).await?;
    served.send(GET).await?;
    holding.reached.notified().await;
    proxy.signal(Signal::SIGTERM)?;
    used.end().await?;
    fresh.end().await?;
    holding.go.notify_one();
    assert_eq!(served.response("GET").await?.body, b"ok");
    assert_eq!(proxy.ended().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn requests_that_do_not_end_are_cut_off() -> anyhow::Result<()> {
    let holding = Holding::start().await?;
    let (mut proxy, mut client) = holding.draining("400ms").await?;
    let status = short(proxy.ended()).await?;
    assert_eq!(status.code(), Some(3));
    assert!(client.response("GET").await.is_err());
    holding.origin.join().await
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> anyhow::Result<()> {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let holding = Holding::start().await?;
        let (mut proxy, mut client) = holding.draining("1h").await?;
        proxy.signal(second)?;
        assert_eq!(proxy.ended().await?.code(), Some(3), "{second}");
        assert!(client.response("GET").await.is_err());
        holding.origin.join().await?;
    }
    Ok(())
}
