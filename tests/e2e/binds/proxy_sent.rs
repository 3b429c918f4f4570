//! The PROXY protocol to servers: servers receive the client's addresses, and each connection to a
//! server serves one client.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use pointsman_tests::{Origin, Process, Proxy, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwww";

fn config(frontend: &str, server: SocketAddr, version: &str) -> String {
    let bind = if frontend.contains("bind") {
        ""
    } else {
        "bind = '127.0.0.1:0'"
    };
    format!(
        "workers = 1\n[frontend.f]\n{bind}\n{frontend}\ndefault_backend = 'www'\n[backend.www]\n\
         server.www = {{ address = '{server}', proxy_protocol = '{version}' }}\n"
    )
}

/// Starts a `HAProxy` that forwards requests to `origin`. It puts the addresses from the PROXY
/// protocol into `X-Seen`.
fn haproxy(origin: &Origin, options: &str) -> anyhow::Result<Proxy> {
    Proxy::haproxy(&format!(
        "defaults\n mode http\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n\
         listen l\n bind fd@0 accept-proxy {options}\n http-request set-header X-Seen \
         %[src]:%[src_port]-%[dst]:%[dst_port]\n server o {}\n",
        origin.address()
    ))
}

/// Returns the addresses that `HAProxy` saw for the latest request.
fn seen(origin: &Origin) -> Option<String> {
    origin.requests().last()?.head.field("x-seen")
}

#[tokio::test]
async fn haproxy_gets_the_addresses_of_the_client() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let haproxy = haproxy(&origin, "")?;
    let source = Ipv4Addr::new(127, 0, 0, 2);
    for version in ["v1", "v2"] {
        for mode in ["http", "tcp"] {
            let frontend = format!("mode = '{mode}'");
            let config = config(&frontend, haproxy.address(), version);
            let proxy = Proxy::pointsman(&config).await?;
            let mut client = Wire::connect_from(source, proxy.address()).await?;
            assert_eq!(client.exchange(GET).await?.body, b"www");
            let expected = format!("{}-{}", client.local_address()?, proxy.address());
            assert_eq!(seen(&origin), Some(expected), "{version} {mode}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn requests_of_http2_do_not_share_a_connection() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let haproxy = haproxy(&origin, "proto h2")?;
    let config = config("", haproxy.address(), "v2").replace("'v2'", "'v2', protocol = 'h2c'");
    let proxy = Proxy::pointsman(&config).await?;
    let mut clients = Vec::new();
    for host in [2, 3, 4] {
        let source = Ipv4Addr::new(127, 0, 0, host);
        let mut client = Wire::connect_from(source, proxy.address()).await?;
        for _ in 0..2 {
            assert_eq!(client.exchange(GET).await?.body, b"www");
            let expected = format!("{}-{}", client.local_address()?, proxy.address());
            assert_eq!(seen(&origin), Some(expected));
        }
        clients.push(client);
    }
    Ok(())
}

#[tokio::test]
async fn addresses_are_passed_on() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let haproxy = haproxy(&origin, "")?;
    let bind = "bind = { address = '127.0.0.1:0', h2c = true, proxy_protocol.from = '127.0.0.1' }";
    let proxy = Proxy::pointsman(&config(bind, haproxy.address(), "v2")).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let header = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n";
    client.send(format!("{header}{GET}")).await?;
    assert_eq!(client.response("GET").await?.body, b"www");
    assert_eq!(
        seen(&origin).as_deref(),
        Some("192.0.2.7:5000-192.0.2.1:443")
    );
    // IPv6 addresses are passed on, too.
    let mut client = Wire::connect(proxy.address()).await?;
    client
        .send(format!("PROXY TCP6 2001:db8::7 ::1 5000 443\r\n{GET}"))
        .await?;
    assert_eq!(client.response("GET").await?.body, b"www");
    assert_eq!(seen(&origin).as_deref(), Some("2001:db8::7:5000-::1:443"));
    // The client uses HTTP/2.
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--http2-prior-knowledge",
        "--interface",
        "127.0.0.2",
    ])
    .args(["--write-out", " %{local_ip}:%{local_port}\n"])
    .arg(format!("http://{}/", proxy.address()));
    let curl = Process::start(curl)?;
    let line = curl.line_with("www ").await?;
    let expected = format!("{}-{}", &line["www ".len()..], proxy.address());
    assert_eq!(seen(&origin), Some(expected));
    Ok(())
}

#[tokio::test]
async fn a_connection_serves_one_client() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        // There is one header for each connection, not for each request.
        let header = wire.until(b"\r\n").await?;
        anyhow::ensure!(header.starts_with(b"PROXY TCP4 127.0.0."), "{header:?}");
        while let Ok(request) = wire.request().await {
            anyhow::ensure!(request.head.start_line == "GET / HTTP/1.1");
            wire.send(OK).await?;
        }
        Ok(())
    })
    .await?;
    let proxy = Proxy::pointsman(&config("", origin.address(), "v1")).await?;
    for (number, host) in [2, 3].into_iter().enumerate() {
        let source = Ipv4Addr::new(127, 0, 0, host);
        let mut client = Wire::connect_from(source, proxy.address()).await?;
        for _ in 0..3 {
            assert_eq!(client.exchange(GET).await?.body, b"www");
            assert_eq!(origin.connections(), number + 1);
        }
    }
    origin.join().await
}

#[tokio::test]
async fn a_client_without_an_address_has_the_connections_own() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        assert_eq!(wire.until(b"\r\n").await?, b"PROXY UNKNOWN\r\n");
        wire.request().await?;
        wire.send(OK).await
    })
    .await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("p.sock");
    let bind = format!("bind = '{}'", path.display());
    let _proxy = Proxy::pointsman(&config(&bind, origin.address(), "v1")).await?;
    crate::limits::assert_answers(&path).await?;
    origin.join().await
}
