//! Another configuration, while requests and tunnels go on.

use anyhow::Context as _;
use nix::sys::signal::Signal;
use pointsman_tests::{Origin, Proxy, Wire, log_field};

use crate::swaps::{GET, Load, config, start};
use crate::tunnels::{handshake, passes};

#[tokio::test]
async fn a_new_configuration_takes_over() -> anyhow::Result<()> {
    let (www, proxy) = start("harmless", "").await?;
    let other = Origin::naming("other").await?;
    let mut tunnel = Wire::connect(proxy.address()).await?;
    assert_eq!(tunnel.exchange(handshake("www")).await?.head.status()?, 101);
    let mut kept = Wire::connect(proxy.address()).await?;
    assert_eq!(kept.exchange(GET).await?.body, b"www");

    // Another backend, and another frontend.
    let more = config("harmless", "", &www)
        .replace(&www.address().to_string(), &other.address().to_string())
        + "\n[frontend.more]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n";
    proxy.configure(&more)?;
    proxy.signal(Signal::SIGHUP)?;
    proxy.line_with("configuration in force").await?;
    // The next request of an open connection goes by it; the tunnel stays where it is.
    assert_eq!(kept.exchange(GET).await?.body, b"other");
    passes(&mut tunnel).await?;
    let line = proxy.line_with("listening frontend=more").await?;
    let address: std::net::SocketAddr = log_field(&line, "address").context("address")?.parse()?;
    let mut new = Wire::connect(address).await?;
    assert_eq!(new.exchange(GET).await?.body, b"other");

    // One with a mistake changes nothing, and says where it is.
    proxy.configure(&more.replace("[backend.www]", "[backend.ww]"))?;
    let refused = proxy.ctl(&["reload"]).await.expect_err("a mistake");
    assert!(refused.to_string().contains("pointsman.toml:"), "{refused}");
    assert_eq!(kept.exchange(GET).await?.body, b"other");
    let status = proxy.ctl(&["status", "--json"]).await?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    assert_eq!(
        (&status["reloads"], &status["reloads_refused"]),
        (&1.into(), &1.into())
    );

    // Neither does an address that somebody has, and the reason is told.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let bind = format!("bind = \"{}\"", taken.local_addr()?);
    let elsewhere = more.replacen(
        "[frontend.more]\nbind = \"127.0.0.1:0\"",
        &format!("[frontend.else]\n{bind}"),
        1,
    );
    proxy.configure(&elsewhere)?;
    let refused = proxy.ctl(&["reload"]).await.expect_err("a taken address");
    assert!(refused.to_string().contains("in use"), "{refused}");
    assert_eq!(new.exchange(GET).await?.body, b"other");

    // A frontend that goes lets its idle clients go; the others keep theirs.
    proxy.configure(&config("harmless", "", &www))?;
    proxy.ctl(&["reload"]).await?;
    new.end().await?;
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept.exchange(GET).await?.body, b"www");
    passes(&mut tunnel).await
}

/// Its sockets, with who waits in their queues, are passed on.
#[tokio::test]
async fn an_address_moves_to_another_frontend() -> anyhow::Result<()> {
    let (one, two) = (Origin::naming("one").await?, Origin::naming("two").await?);
    // Whose names are others each time.
    let config = |turn: usize, frontends: [(&str, &str); 2]| {
        let [one, two] = [&one, &two].map(|origin| origin.address().to_string());
        let frontend = |(backend, bind): (&str, &str)| {
            format!(
                "[frontend.{backend}-{turn}]\nbind = [{bind}]\ndefault_backend = \"{backend}\"\n"
            )
        };
        let backends = format!(
            "[backend.one]\nserver.one = \"{one}\"\n[backend.two]\nserver.two = \"{two}\"\n"
        );
        format!(
            "admin.socket = \"admin.sock\"\n{}{}{backends}",
            frontend(frontends[0]),
            frontend(frontends[1])
        )
    };
    // An address of loopback that no other test has.
    let free = std::net::TcpListener::bind("127.0.83.1:0")?;
    let address = free.local_addr()?;
    drop(free);
    let moving = format!("\"{address}\", \"unix:moving.sock\"");
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("moving.sock");
    let staying = "\"127.0.0.1:0\"";
    let first = config(0, [("one", &moving), ("two", staying)]);
    let proxy = Proxy::pointsman_in(directory, &first).await?;
    let body = async || anyhow::Ok(Wire::connect(address).await?.exchange(GET).await?.body);
    assert_eq!(body().await?, b"one");
    let load = Load::start(address);
    for turn in 0..10 {
        let (backend, other) = if turn % 2 == 0 {
            ("two", "one")
        } else {
            ("one", "two")
        };
        proxy.configure(&config(turn + 1, [(other, staying), (backend, &moving)]))?;
        proxy.ctl(&["reload"]).await?;
        while body().await? != backend.as_bytes() {}
        assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    }
    load.stop().await
}

/// A backend that has not changed goes on with the connections that it has.
#[tokio::test]
async fn a_backend_that_stays_keeps_its_connections() -> anyhow::Result<()> {
    let www = Origin::naming("www").await?;
    let config = |timeout: &str| {
        format!(
            "workers = 1\nadmin.socket = \"admin.sock\"\n\
             [frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
             [backend.www]\nserver.www = \"{}\"\n\
             [backend.other]\nserver.other = \"127.0.0.1:9\"\ntimeout.server = \"{timeout}\"\n",
            www.address()
        )
    };
    let proxy = Proxy::pointsman_in(tempfile::tempdir()?, &config("5s")).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for timeout in ["6s", "7s", "8s"] {
        assert_eq!(client.exchange(GET).await?.body, b"www");
        proxy.configure(&config(timeout))?;
        proxy.ctl(&["reload"]).await?;
    }
    assert_eq!(client.exchange(GET).await?.body, b"www");
    assert_eq!(www.connections(), 1);
    Ok(())
}
