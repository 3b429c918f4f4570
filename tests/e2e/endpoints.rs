//! Servers and their addresses: how a reload changes them, which requests share their connections,
//! and how the proxy treats servers that cannot be reached.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use pointsman_tests::{BlackHole, End, Origin, Proxy, Setup, Wire, log_field};
use tokio::sync::{Mutex, Notify};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Returns one value that `status --json` reports about the backend's first server.
async fn of_server(proxy: &Proxy, what: &str) -> anyhow::Result<u64> {
    let status = proxy.ctl(&["status", "--json"]).await?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let value = status["backends"][0]["servers"][0][what].as_u64();
    value.with_context(|| format!("no {what} in {status}"))
}

/// Starts an origin that notifies the test of each request, and responds when the test notifies it.
async fn slow_origin() -> anyhow::Result<(Origin, Arc<Notify>, Arc<Notify>)> {
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (reaching, going) = (Arc::clone(&reached), Arc::clone(&go));
    let origin = Origin::scripted(move |mut wire, _| {
        let (reached, go) = (Arc::clone(&reaching), Arc::clone(&going));
        async move {
            while wire.request().await.is_ok() {
                reached.notify_one();
                go.notified().await;
                wire.send(OK).await?;
            }
            Ok(())
        }
    })
    .await?;
    Ok((origin, reached, go))
}

// Reloads

/// Returns a configuration that routes by host name to these backends with their keys.
fn routed(backends: &[(&str, String)]) -> String {
    let mut config = "workers = 1\nplugin_cache_dir = \"cache\"\nadmin.socket = \"admin.sock\"\n\
         [frontend.http-in]\nbind = \"127.0.0.1:0\"\nrouter.plugin = \"host-suffix\"\n\
         router.config.rules = [{ suffix = \"a\", backend = \"www\" }]\n"
        .to_owned();
    for (name, keys) in backends {
        let _ = writeln!(config, "[backend.{name}]\n{keys}");
    }
    config
}

/// Returns the body of a response, and a string with the version that decided and whether the
/// decision was cached.
async fn decided(proxy: &Proxy, target: &str) -> anyhow::Result<(String, String)> {
    let mut client = Wire::connect(proxy.address()).await?;
    let request = format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let body = String::from_utf8(client.exchange(request).await?.body)?;
    let record = proxy.line_with(&format!(" target=/{target} ")).await?;
    let field = |name| log_field(&record, name).context("not in the record");
    Ok((body, format!("{} {}", field("version")?, field("cached")?)))
}

#[tokio::test]
async fn a_backend_that_changes_restarts_no_plugin() -> anyhow::Result<()> {
    let (one, two) = (
        Origin::with_name("one").await?,
        Origin::with_name("two").await?,
    );
    let server = |name: &str, origin: &Origin, keys: &str| {
        let address = origin.address();
        format!("server.{name} = {{ address = \"{address}\"{keys} }}\n")
    };
    let other = ("other", server("s", &one, ""));
    let first = [("www", server("s", &one, "")), other.clone()];
    let proxy = Proxy::pointsman_in(tempfile::tempdir()?, &routed(&first)).await?;
    assert_eq!(decided(&proxy, "first").await?.1, "1 false");
    let address = server("s", &two, "");
    let limit = server("s", &two, ", max_requests = 9");
    let timeout = format!("{address}timeout.server = \"5s\"\n");
    let servers = address.clone() + &server("t", &two, "");
    for (number, keys) in [&address, &limit, &timeout, &servers].iter().enumerate() {
        // The order of backends in the file does not matter.
        let mut backends = [("www", (*keys).clone()), other.clone()];
        backends.rotate_left(number % 2);
        proxy.configure(&routed(&backends))?;
        proxy.ctl(&["reload"]).await?;
        let (body, version) = decided(&proxy, &number.to_string()).await?;
        assert_eq!((&*body, &*version), ("two", "1 true"), "{keys}");
    }
    Ok(())
}

#[tokio::test]
async fn a_backend_that_comes_or_goes_is_told_to_plugins() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let server = format!("server.s = \"{}\"", www.address());
    let both = [("www", server.clone()), ("more", server.clone())];
    let proxy = Proxy::pointsman_in(tempfile::tempdir()?, &routed(&both[..1])).await?;
    assert!(decided(&proxy, "0").await?.1.starts_with("1 "));
    // A new backend restarts the plugin, because the plugin may have checked whether that backend
    // exists.
    proxy.configure(&routed(&both))?;
    proxy.ctl(&["reload"]).await?;
    assert!(decided(&proxy, "1").await?.1.starts_with("2 "));
    // A reload that removes a backend that the plugin names is refused, with the reason, and
    // changes nothing.
    proxy.configure(&routed(&both[1..]))?;
    let refused = proxy.ctl(&["reload"]).await.expect_err("a missing backend");
    let refused = refused.to_string();
    ensure!(refused.contains("rules[0].backend"), "{refused}");
    let (body, version) = decided(&proxy, "2").await?;
    ensure!(body == "www" && version.starts_with("2 "), "{version}");
    Ok(())
}

fn plain(backends: &str) -> String {
    format!(
        "workers = 1\nadmin.socket = \"admin.sock\"\n[frontend.http-in]\n\
         bind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n{backends}"
    )
}

#[tokio::test]
async fn slots_and_counters_survive() -> anyhow::Result<()> {
    let (origin, reached, go) = slow_origin().await?;
    let config = |timeout: &str, limit: u32| {
        plain(&format!(
            "[backend.www]\ntimeout.server = \"{timeout}\"\ntimeout.queue = \"0s\"\n\
             server.s = {{ address = \"{}\", max_requests = {limit} }}\n",
            origin.address()
        ))
    };
    let proxy = Proxy::pointsman_in(tempfile::tempdir()?, &config("60s", 1)).await?;
    let mut first = Wire::connect(proxy.address()).await?;
    first.send(GET).await?;
    reached.notified().await;
    let mut second = Wire::connect(proxy.address()).await?;
    assert_eq!(second.exchange(GET).await?.head.status()?, 503);
    // A change to a timeout gives the server no second slot.
    proxy.configure(&config("61s", 1))?;
    proxy.ctl(&["reload"]).await?;
    assert_eq!(second.exchange(GET).await?.head.status()?, 503);
    assert_eq!(of_server(&proxy, "requests").await?, 1);
    // A higher limit gives the server a second slot.
    proxy.configure(&config("61s", 2))?;
    proxy.ctl(&["reload"]).await?;
    second.send(GET).await?;
    reached.notified().await;
    // Both requests count toward a lower limit.
    proxy.configure(&config("61s", 1))?;
    proxy.ctl(&["reload"]).await?;
    go.notify_one();
    assert_eq!(first.response("GET").await?.body, b"ok");
    assert_eq!(first.exchange(GET).await?.head.status()?, 503);
    go.notify_one();
    assert_eq!(second.response("GET").await?.body, b"ok");
    go.notify_one();
    assert_eq!(first.exchange(GET).await?.body, b"ok");
    assert_eq!(of_server(&proxy, "requests").await?, 3);
    Ok(())
}

/// When a reload removes a server, its idle connections are closed at once, and connections in use
/// after their current request.
#[tokio::test]
async fn connections_to_a_server_that_is_gone_are_closed() -> anyhow::Result<()> {
    let (reached, go, ended) = (
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
    );
    let shared = [&reached, &go, &ended].map(Arc::clone);
    let old = Origin::scripted(move |mut wire, _| {
        let [reached, go, ended] = shared.clone();
        async move {
            wire.request().await?;
            reached.notify_one();
            go.notified().await;
            wire.send(OK).await?;
            ensure!(wire.end().await? == End::Closed);
            ended.notify_one();
            Ok(())
        }
    })
    .await?;
    let new = Origin::with_name("new").await?;
    let config = |origin: &Origin| {
        plain(&format!(
            "[backend.www]\nserver.s = \"{}\"\n",
            origin.address()
        ))
    };
    let proxy = Proxy::pointsman_in(tempfile::tempdir()?, &config(&old)).await?;
    let mut idle = Wire::connect(proxy.address()).await?;
    let mut busy = Wire::connect(proxy.address()).await?;
    idle.send(GET).await?;
    reached.notified().await;
    busy.send(GET).await?;
    reached.notified().await;
    go.notify_one();
    assert_eq!(idle.response("GET").await?.body, b"ok");
    proxy.configure(&config(&new))?;
    proxy.ctl(&["reload"]).await?;
    ended.notified().await;
    assert_eq!(idle.exchange(GET).await?.body, b"new");
    // A request in flight stays on its server.
    go.notify_one();
    assert_eq!(busy.response("GET").await?.body, b"ok");
    old.join().await?;
    assert_eq!(busy.exchange(GET).await?.body, b"new");
    Ok(())
}

#[tokio::test]
async fn connections_to_a_backend_that_is_gone_are_closed() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let gone = Origin::scripted(|mut wire, _| async move {
        wire.request().await?;
        wire.send(OK).await?;
        ensure!(wire.end().await? == End::Closed);
        Ok(())
    })
    .await?;
    let config = plain(&format!(
        "[backend.www]\nserver.s = \"{}\"\n",
        www.address()
    ));
    let more = format!(
        "{config}[frontend.more]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"gone\"\n\
         [backend.gone]\nserver.s = \"{}\"\n",
        gone.address()
    );
    let proxy = Proxy::pointsman_in(tempfile::tempdir()?, &more).await?;
    let address = proxy.addresses_of("more").next().context("more")?;
    let mut client = Wire::connect(address).await?;
    assert_eq!(client.exchange(GET).await?.body, b"ok");
    proxy.configure(&config)?;
    proxy.ctl(&["reload"]).await?;
    gone.join().await
}

// Unreachable servers

#[tokio::test]
async fn an_unreachable_address_of_a_name_is_skipped() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    // Nothing listens at the IPv6 address that localhost may also have.
    let server = format!("server.s = \"localhost:{}\"", origin.address().port());
    let proxy = Setup::before([])
        .top("admin.socket = \"admin.sock\"")
        .backend(&server)
        .backend("http_reuse = \"never\"")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..5 {
        assert_eq!(client.exchange(GET).await?.body, b"www");
    }
    assert_eq!(of_server(&proxy, "connects").await?, 5);
    assert!(of_server(&proxy, "connect_errors").await? <= 1);
    Ok(())
}

#[tokio::test]
async fn a_silent_server_costs_one_request_its_time() -> anyhow::Result<()> {
    let (hole, origin) = (BlackHole::new().await?, Origin::with_name("www").await?);
    let proxy = Setup::before([hole.address(), origin.address()])
        .top("admin.socket = \"admin.sock\"")
        .backend("timeout.connect = \"200ms\"")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..9 {
        assert_eq!(client.exchange(GET).await?.body, b"www");
    }
    assert_eq!(of_server(&proxy, "connect_errors").await?, 1);
    let down = format!("{} is unreachable", hole.address());
    let status = proxy.ctl(&["status"]).await?;
    ensure!(status.contains(&down), "{status}");
    Ok(())
}

// Connection reuse

#[tokio::test]
async fn http_reuse_decides_who_uses_an_idle_connection() -> anyhow::Result<()> {
    // The policy; the requests of each client, one client after another; the number of connections
    // to the server.
    let cases: &[(&str, &[&[&str]], usize)] = &[
        ("never", &[&[GET, GET], &[POST]], 3),
        ("safe", &[&[GET], &[GET]], 1),
        ("safe", &[&[GET], &[POST]], 2),
        ("safe", &[&[GET], &[GET, POST]], 1),
        ("always", &[&[GET], &[POST]], 1),
    ];
    for (policy, clients, expected) in cases {
        let origin = Origin::with_name("www").await?;
        let proxy = Setup::before([origin.address()])
            .backend(&format!("http_reuse = \"{policy}\""))
            .start()
            .await?;
        for requests in *clients {
            let mut client = Wire::connect(proxy.address()).await?;
            for request in *requests {
                assert_eq!(client.exchange(request).await?.body, b"www");
            }
        }
        assert_eq!(origin.connections(), *expected, "{policy}: {clients:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() -> anyhow::Result<()> {
    for key in [
        "timeout.server_keep_alive = \"1ms\"",
        "http_reuse = \"never\"",
    ] {
        let origin = Origin::scripted(|mut wire, _| async move {
            wire.request().await?;
            wire.send(OK).await?;
            ensure!(wire.end().await? == End::Closed);
            Ok(())
        })
        .await?;
        let proxy = Setup::before([origin.address()])
            .backend(key)
            .start()
            .await?;
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.exchange(GET).await?.body, b"ok");
        origin.join().await?;
    }
    Ok(())
}

/// Idle connections to servers do not use up the descriptors that clients need. If a worker has
/// more of them than its share of `max_connections`, it closes the one that has been idle longest.
#[tokio::test]
async fn the_connection_idle_longest_makes_room() -> anyhow::Result<()> {
    let script = |mut wire: Wire, _| async move {
        wire.request().await?;
        wire.send(OK).await?;
        ensure!(wire.end().await? == End::Closed);
        Ok(())
    };
    let first = Origin::scripted(script).await?;
    let (second, third) = (Origin::with_name("2").await?, Origin::with_name("3").await?);
    let servers = [first.address(), second.address(), third.address()];
    let proxy = Setup::before(servers)
        .top("max_connections = 2")
        .backend("timeout.server_keep_alive = \"1d\"")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for body in [&b"ok"[..], b"2", b"3"] {
        assert_eq!(client.exchange(GET).await?.body, body);
    }
    first.join().await?;
    Ok(())
}

/// Idle connections do not starve a server that serves one connection until it ends, and only then
/// accepts the next.
#[tokio::test]
async fn idle_connections_do_not_starve_a_single_threaded_server() -> anyhow::Result<()> {
    let thread = Arc::new(Mutex::new(()));
    let origin = Origin::scripted(move |mut wire, _| {
        let thread = Arc::clone(&thread);
        async move {
            let _busy = thread.lock().await;
            while wire.request().await.is_ok() {
                wire.send(OK).await?;
            }
            Ok(())
        }
    })
    .await?;
    let config = plain(&format!(
        "[backend.www]\nserver.s = {{ address = \"{}\", max_requests = 1 }}\n",
        origin.address()
    ));
    let proxy = Proxy::pointsman(&config.replace("workers = 1", "workers = 2")).await?;
    // There are enough clients for both workers to serve some.
    for _ in 0..16 {
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.exchange(GET).await?.body, b"ok");
    }
    Ok(())
}
