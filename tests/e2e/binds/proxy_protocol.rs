//! The PROXY protocol from peers in front of the proxy, both real and hostile.

use std::net::Ipv4Addr;
use std::process::Command;

use pointsman_tests::{End, Origin, Process, Proxy, Wire, log_field};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::config;

const GET: &str = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";
const HEADER: &str = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n";

/// A bind whose peers at 127.0.0.1 can speak for other clients.
const BIND: &str = r#"{ address = "127.0.0.1:0", proxy_protocol.from = "127.0.0.1" }"#;

async fn start(frontend: &str) -> anyhow::Result<(Origin, Proxy)> {
    let origin = Origin::with_name("www").await?;
    let proxy = Proxy::pointsman(&config(BIND, frontend, &origin)).await?;
    Ok((origin, proxy))
}

/// Returns `X-Forwarded-For` of the latest request.
fn forwarded_for(origin: &Origin) -> Option<String> {
    origin.requests().last()?.head.field("x-forwarded-for")
}

#[tokio::test]
async fn the_client_is_the_one_that_haproxy_names() -> anyhow::Result<()> {
    for version in ["send-proxy", "send-proxy-v2"] {
        let (origin, proxy) = start("").await?;
        let haproxy = Proxy::haproxy(&format!(
            "defaults\n mode tcp\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n\
             listen l\n bind fd@0\n server p {} {version}\n",
            proxy.address()
        ))?;
        let source = Ipv4Addr::new(127, 0, 0, 2);
        let mut client = Wire::connect_from(source, haproxy.address()).await?;
        // A connection has one PROXY header, not one for each request.
        for _ in 0..2 {
            assert_eq!(client.exchange(GET).await?.body, b"www", "{version}");
            assert_eq!(forwarded_for(&origin).as_deref(), Some("127.0.0.2"));
        }
        let line = proxy.line_with("access: ").await?;
        let expected = client.local_address()?.to_string();
        assert_eq!(log_field(&line, "client"), Some(&*expected), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn curl_is_understood() -> anyhow::Result<()> {
    let (_origin, proxy) = start("").await?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--haproxy-protocol"])
        .args(["--write-out", " %{http_code}\n"])
        .arg(format!("http://{}/", proxy.address()));
    let curl = Process::start(curl)?;
    assert_eq!(curl.line_with("www").await?, "www 200");
    Ok(())
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() -> anyhow::Result<()> {
    let (origin, proxy) = start("").await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for byte in format!("{HEADER}{GET}").as_bytes() {
        client.send([*byte]).await?;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.response("GET").await?.body, b"www");
    assert_eq!(forwarded_for(&origin).as_deref(), Some("192.0.2.7"));
    Ok(())
}

#[tokio::test]
async fn only_the_peers_that_are_named_choose_an_address() -> anyhow::Result<()> {
    let trusted = "forwarded.trusted_proxies = '127.0.0.2'";
    let (origin, proxy) = start(trusted).await?;
    // A stranger is a peer that the bind does not name. Its request is served as usual, but a PROXY
    // header from it is an invalid request.
    let stranger = Ipv4Addr::new(127, 0, 0, 3);
    let mut client = Wire::connect_from(stranger, proxy.address()).await?;
    assert_eq!(client.exchange(GET).await?.body, b"www");
    assert_eq!(forwarded_for(&origin).as_deref(), Some("127.0.0.3"));
    let mut client = Wire::connect_from(stranger, proxy.address()).await?;
    client.send(format!("{HEADER}{GET}")).await?;
    assert_eq!(client.response("GET").await?.head.status()?, 400);
    // `forwarded.trusted_proxies` applies to the address in the PROXY header.
    let get = GET.replace("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n");
    for (client, expected) in [
        ("127.0.0.2", "203.0.113.1, 127.0.0.2"),
        ("192.0.2.7", "192.0.2.7"),
    ] {
        let header = format!("PROXY TCP4 {client} 127.0.0.1 5000 80\r\n");
        let mut wire = Wire::connect(proxy.address()).await?;
        wire.send(format!("{header}{get}")).await?;
        assert_eq!(wire.response("GET").await?.body, b"www");
        assert_eq!(forwarded_for(&origin).as_deref(), Some(expected));
    }
    // After `UNKNOWN`, the client's address is that of the peer itself.
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(format!("PROXY UNKNOWN\r\n{GET}")).await?;
    assert_eq!(client.response("GET").await?.body, b"www");
    assert_eq!(forwarded_for(&origin).as_deref(), Some("127.0.0.1"));
    Ok(())
}

#[tokio::test]
async fn without_a_header_the_connection_ends() -> anyhow::Result<()> {
    let (origin, proxy) = start("timeout.handshake = '200ms'").await?;
    for sent in ["", "PROXY TCP4 192.0", GET, "PROXY TCP9 1 2 3 4\r\n"] {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(sent).await?;
        // The proxy never responds. It resets the connection if some bytes are unread.
        let end = client.end().await?;
        assert!(end == End::Reset || sent.is_empty(), "{sent:?} {end:?}");
    }
    assert_eq!(origin.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn no_worker_forgets_the_bind_of_a_connection() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let config = config(BIND, "", &origin).replace("workers = 1", "workers = 3");
    let proxy = Proxy::pointsman(&config).await?;
    // The connections stay open, so workers hand them over to each other until every worker has
    // some.
    let mut clients = Vec::new();
    for _ in 0..9 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(format!("{HEADER}{GET}")).await?;
        assert_eq!(client.response("GET").await?.body, b"www");
        assert_eq!(forwarded_for(&origin).as_deref(), Some("192.0.2.7"));
        clients.push(client);
    }
    Ok(())
}

#[tokio::test]
async fn a_reload_is_for_new_connections() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let plain = config(r#""127.0.0.1:0""#, "", &origin);
    let proxy = Proxy::pointsman(&plain).await?;
    let mut before = Wire::connect(proxy.address()).await?;
    assert_eq!(before.exchange(GET).await?.body, b"www");
    proxy.configure(&config(BIND, "", &origin))?;
    proxy.ctl(&["reload"]).await?;
    let mut after = Wire::connect(proxy.address()).await?;
    after.send(format!("{HEADER}{GET}")).await?;
    assert_eq!(after.response("GET").await?.body, b"www");
    assert_eq!(forwarded_for(&origin).as_deref(), Some("192.0.2.7"));
    assert_eq!(before.exchange(GET).await?.body, b"www");
    Ok(())
}

#[tokio::test]
async fn peers_on_a_unix_socket_may_speak_for_others() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("p.sock");
    let bind = format!(
        "{{ address = '{}', proxy_protocol.from = 'unix' }}",
        path.display()
    );
    let _proxy = Proxy::pointsman(&config(&bind, "", &origin)).await?;
    let mut client = UnixStream::connect(&path).await?;
    let get = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    client
        .write_all(format!("{HEADER}{get}").as_bytes())
        .await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    assert!(answer.ends_with("www"), "{answer}");
    assert_eq!(forwarded_for(&origin).as_deref(), Some("192.0.2.7"));
    Ok(())
}
