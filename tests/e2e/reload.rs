//! Reloads of the configuration while requests and tunnels continue.

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use pointsman_tests::{DEADLINE, Origin, Proxy, Wire, log_field};
use serde_json::Value;
use tokio::sync::watch;

use crate::swaps::{GET, Load, config, start};
use crate::tunnels::{handshake, passes};

#[tokio::test]
async fn a_new_configuration_takes_over() -> anyhow::Result<()> {
    let (www, proxy) = start("harmless", "").await?;
    let other = Origin::with_name("other").await?;
    let mut tunnel = Wire::connect(proxy.address()).await?;
    assert_eq!(tunnel.exchange(handshake("www")).await?.head.status()?, 101);
    let mut kept = Wire::connect(proxy.address()).await?;
    assert_eq!(kept.exchange(GET).await?.body, b"www");

    // The new configuration changes the backend's server and adds a frontend.
    let more = config("harmless", "", &www)
        .replace(&www.address().to_string(), &other.address().to_string())
        + "\n[frontend.more]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n";
    proxy.configure(&more)?;
    proxy.signal(Signal::SIGHUP)?;
    proxy.line_with("configuration in force").await?;
    // The next request on an open connection follows the new configuration; the tunnel stays with
    // its server.
    assert_eq!(kept.exchange(GET).await?.body, b"other");
    passes(&mut tunnel).await?;
    let line = proxy.line_with("listening frontend=more").await?;
    let address: std::net::SocketAddr = log_field(&line, "address").context("address")?.parse()?;
    let mut new = Wire::connect(address).await?;
    assert_eq!(new.exchange(GET).await?.body, b"other");

    // A configuration with a mistake changes nothing, and the error names its location.
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

    // A reload that needs an address in use changes nothing either, and reports the reason.
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

    // When a frontend is removed, its idle clients are disconnected; clients of other frontends are
    // not.
    proxy.configure(&config("harmless", "", &www))?;
    proxy.ctl(&["reload"]).await?;
    new.end().await?;
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept.exchange(GET).await?.body, b"www");
    passes(&mut tunnel).await
}

/// When an address moves to another frontend, its sockets move with it, including the clients in
/// their accept queues.
#[tokio::test]
async fn an_address_moves_to_another_frontend() -> anyhow::Result<()> {
    let (one, two) = (
        Origin::with_name("one").await?,
        Origin::with_name("two").await?,
    );
    // The names of the frontends are different in each turn.
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
    // A loopback address that no other test uses.
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

/// A backend that has not changed keeps its connections.
#[tokio::test]
async fn a_backend_that_stays_keeps_its_connections() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
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

/// Starts a server that responds once the test allows it.
async fn holding() -> anyhow::Result<(watch::Sender<bool>, Origin)> {
    let (release, released) = watch::channel(false);
    let origin = Origin::scripted(move |mut wire, _| {
        let mut released = released.clone();
        async move {
            loop {
                wire.request().await?;
                released.wait_for(|released| *released).await?;
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwww")
                    .await?;
            }
        }
    });
    Ok((release, origin.await?))
}

/// Waits until the backend `www` has `active` requests in progress and `queued` requests in its
/// queue.
async fn load_of_www(proxy: &Proxy, active: u64, queued: u64) -> anyhow::Result<()> {
    let reached = async {
        loop {
            let status: Value = serde_json::from_str(&proxy.ctl(&["status", "--json"]).await?)?;
            let www = &status["backends"][0];
            ensure!(www["name"] == "www", "{status}");
            if www["active"] == active && www["queued"] == queued {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(DEADLINE, reached).await?
}

#[tokio::test]
async fn slots_queues_and_counters_outlive_a_reload() -> anyhow::Result<()> {
    let (release, www) = holding().await?;
    let config = |timeout: &str| {
        format!(
            "workers = 1\nadmin.socket = \"admin.sock\"\nadmin.address = \"127.0.0.1:0\"\n\
             [frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
             router.plugin = \"host-suffix\"\nrouter.config.rules = []\n\
             [backend.www]\nserver.www = {{ address = \"{}\", max_requests = 1 }}\n\
             timeout.server = \"{timeout}\"\n",
            www.address()
        )
    };
    let proxy = Proxy::pointsman(&config("20s")).await?;
    let mut clients = Vec::new();
    for queued in 0..3 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(GET).await?;
        clients.push(client);
        load_of_www(&proxy, 1, queued).await?;
        // A reload does not affect the slot of the request in progress or the order of waiting
        // requests.
        proxy.configure(&config(&format!("2{queued}s")))?;
        proxy.ctl(&["reload"]).await?;
        load_of_www(&proxy, 1, queued).await?;
    }
    assert_eq!(www.connections(), 1);
    release.send(true)?;
    for client in &mut clients {
        assert_eq!(client.response("GET").await?.body, b"www");
    }
    load_of_www(&proxy, 0, 0).await?;
    let line = proxy.line_with("admin interface, read-only").await?;
    let address = log_field(&line, "address").context("address")?.parse()?;
    let metrics = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let metrics = Wire::connect(address).await?.exchange(metrics).await?;
    let metrics = String::from_utf8(metrics.body)?;
    for line in [
        "pointsman_reloads_total{result=\"applied\"} 3",
        "pointsman_responses_total{frontend=\"http-in\",status=\"2xx\"} 3",
        "pointsman_server_requests_total{backend=\"www\",server=\"www\"} 3",
        "pointsman_server_connects_total{backend=\"www\",server=\"www\",result=\"connected\"} 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}: {metrics}"
        );
    }
    Ok(())
}

/// A reload reports the changed keys that need a restart, and applies the rest.
#[tokio::test]
async fn keys_that_take_a_restart_are_named() -> anyhow::Result<()> {
    let (www, proxy) = start("harmless", "").await?;
    let other = Origin::with_name("other").await?;
    let config = config("harmless", "", &www);
    let changed = config.replace(&www.address().to_string(), &other.address().to_string());
    let workers = pointsman_workers(&proxy).await?;
    let keys = format!(
        "workers = {}\nmax_connections = 77\nlog.format = \"json\"\n",
        workers + 1
    );
    proxy.configure(&format!("{keys}{changed}"))?;
    let told = proxy.ctl(&["reload"]).await?;
    let named =
        "these keys keep their values until a restart: workers, max_connections, log.format";
    assert!(told.contains(named), "{told}");
    let line = proxy.line_with("these take a restart").await?;
    assert!(
        line.contains("workers, max_connections, log.format"),
        "{line}"
    );
    assert_eq!(pointsman_workers(&proxy).await?, workers);
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(GET).await?.body, b"other");
    proxy.configure(&changed)?;
    let told = proxy.ctl(&["reload"]).await?;
    assert_eq!(told, "the configuration is in force\n");
    Ok(())
}

async fn pointsman_workers(proxy: &Proxy) -> anyhow::Result<u64> {
    let status: Value = serde_json::from_str(&proxy.ctl(&["status", "--json"]).await?)?;
    status["workers"].as_u64().context("no number of workers")
}

/// Plugins see the number of a backend's usable servers, which includes servers without a free
/// slot, and the backend's load.
#[tokio::test]
async fn servers_are_usable_with_or_without_a_free_slot() -> anyhow::Result<()> {
    let (release, www) = holding().await?;
    let seen = Origin::with_name("seen").await?;
    let backends = ["2-0-0", "2-1-0", "2-2-0"]
        .map(|name| format!("[backend.{name}]\nserver.seen = \"{}\"\n", seen.address()));
    let directory = crate::swaps::directory()?;
    let config = format!(
        "workers = 1\nplugin_cache_dir = \"cache\"\nadmin.socket = \"admin.sock\"\nlog.access = true\n\
         [frontend.http-in]\nbind = \"127.0.0.1:0\"\nrouter.plugin = \"./plugin.wasm\"\n\
         router.config = {{ mode = \"backends-state\" }}\nrouter.limits.deadline = \"20s\"\n\
         [frontend.occupy]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         [backend.www]\nserver.a = {{ address = \"{0}\", max_requests = 1 }}\n\
         server.b = {{ address = \"{0}\", max_requests = 1 }}\n{1}",
        www.address(),
        backends.concat()
    );
    let proxy = Proxy::pointsman_in(directory, &config).await?;
    let occupy = proxy.addresses_of("occupy").next().context("occupy")?;
    let mut occupants = Vec::new();
    for (active, backend) in [(0, "2-0-0"), (1, "2-1-0"), (2, "2-2-0")] {
        load_of_www(&proxy, active, 0).await?;
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.exchange(GET).await?.body, b"seen", "{backend}");
        proxy.line_with(&format!("backend={backend} ")).await?;
        let mut occupant = Wire::connect(occupy).await?;
        occupant.send(GET).await?;
        occupants.push(occupant);
    }
    release.send(true)?;
    for occupant in &mut occupants {
        assert_eq!(occupant.response("GET").await?.body, b"www");
    }
    Ok(())
}
