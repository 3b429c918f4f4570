//! Frontends with `mode = "tcp"`: connections that carry no HTTP, or that stay encrypted.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use pointsman_tests::{End, Origin, Process, Proxy, ReservedPort, Wire, log_field};

/// Returns a configuration with a frontend `tcp`, which has these lines, and with a backend of one
/// server for each of these names.
fn config(frontend: &str, backends: &[(&str, SocketAddr)]) -> String {
    let bind = if frontend.contains("bind") {
        ""
    } else {
        "bind = '127.0.0.1:0'"
    };
    let backends = backends
        .iter()
        .map(|(name, address)| format!("[backend.{name}]\nserver.{name} = '{address}'"));
    [
        "workers = 1\n[frontend.tcp]\nmode = 'tcp'",
        bind,
        frontend,
        &backends.collect::<Vec<_>>().join("\n"),
    ]
    .join("\n")
}

/// Starts an origin that echoes the first line at once, and the rest after the client has finished
/// sending.
async fn echo() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        // The echo of the first line shows that bytes move in both directions while both are open.
        let line = wire.until(b"\n").await?;
        wire.send(line).await?;
        let rest = wire.rest().await?;
        wire.send(rest).await
    })
    .await
}

/// Starts an origin that sends its name before its client sends anything.
async fn greeting(name: &'static str) -> anyhow::Result<Origin> {
    Origin::scripted(move |mut wire, _| async move {
        wire.send(format!("220 {name}\r\n")).await?;
        wire.rest().await.map(drop)
    })
    .await
}

#[tokio::test]
async fn bytes_pass_both_ways_and_so_do_ends() -> anyhow::Result<()> {
    let origin = echo().await?;
    let config = config("default_backend = 'db'", &[("db", origin.address())]);
    let proxy = Proxy::pointsman(&config).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send("\0hello\n").await?;
    assert_eq!(client.exactly(7).await?, b"\0hello\n");
    client.send_bulk(1_000_000).await?;
    client.finish().await?;
    assert_eq!(client.rest().await?.len(), 1_000_000);
    let line = proxy.line_with("access: ").await?;
    for expected in [
        " frontend=tcp ",
        " bytes_in=1000007 bytes_out=1000007 backend=db server=db ",
        " end=tunnel ",
    ] {
        assert!(line.contains(expected), "{line}");
    }
    for absent in ["method=", "host=", "target=", "status=", "plugin="] {
        assert!(!line.contains(absent), "{line}");
    }
    origin.join().await
}

#[tokio::test]
async fn a_server_may_speak_first() -> anyhow::Result<()> {
    let origin = greeting("db").await?;
    let backends = [("db", origin.address())];
    let plain = config("default_backend = 'db'", &backends);
    let routed = config(
        "timeout.handshake = '300ms'\nrouter.plugin = 'host-suffix'\ndefault_backend = 'db'\n\
         router.config.rules = []",
        &backends,
    );
    for (config, is_routed) in [(plain, false), (routed, true)] {
        let proxy = Proxy::pointsman(&config).await?;
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.until(b"\r\n").await?, b"220 db\r\n");
        client.finish().await?;
        assert_eq!(client.rest().await?, b"");
        let line = proxy.line_with("access: ").await?;
        // The proxy waits for the client's first bytes only if there is a router.
        let waited: f64 = log_field(&line, " head").context("head")?.parse()?;
        assert_eq!(waited >= 300.0, is_routed, "{line}");
    }
    Ok(())
}

const ROUTER: &str = "router.plugin = 'host-suffix'\ndefault_backend = 'www'\n\
    router.config.rules = [{ suffix = 'io.test.tld', backend = 'node' }]";

/// Starts a TLS server whose certificate has this name.
async fn tls_server(folder: &Path, name: &str) -> anyhow::Result<(Process, SocketAddr)> {
    let file = |kind: &str| folder.join(format!("{name}.{kind}"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args([
            "-nodes",
            "-days",
            "1",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
        ])
        .arg(file("key"))
        .arg("-out")
        .arg(file("pem"))
        .stderr(Stdio::null())
        .status()?;
    anyhow::ensure!(made.success(), "no certificate");
    let mut server = Command::new("openssl");
    server
        .args(["s_server", "-www", "-accept", "127.0.0.1:0", "-key"])
        .arg(file("key"))
        .arg("-cert")
        .arg(file("pem"));
    let server = Process::start(server)?;
    let line = server.line_with("ACCEPT").await?;
    let address = line.split_whitespace().nth(1).context("no address")?;
    Ok((server, address.parse()?))
}

#[tokio::test]
async fn tls_is_routed_by_the_name_in_its_first_message_and_stays_closed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (_www, www) = tls_server(folder.path(), "www").await?;
    let (_node, node) = tls_server(folder.path(), "node").await?;
    let config = config(ROUTER, &[("www", www), ("node", node)]);
    let proxy = Proxy::pointsman(&config).await?;
    for (arguments, expected) in [
        ("-servername io.test.tld", "node"),
        ("-servername IO.TEST.tld -tls1_2", "node"),
        ("-servername www.test.tld", "www"),
        ("-noservername", "www"),
        (
            "-servername io.test.tld -alpn a,bcdefghijklmnopqrstuvwxyz",
            "node",
        ),
    ] {
        let mut client = Command::new("openssl");
        client
            .args([
                "s_client",
                "-brief",
                "-connect",
                &proxy.address().to_string(),
            ])
            .args(arguments.split_whitespace())
            .stdin(Stdio::null());
        let client = Process::start(client)?;
        let line = client.line_with("Peer certificate").await?;
        assert!(
            line.ends_with(&format!("CN = {expected}")),
            "{arguments}: {line}"
        );
    }
    let line = proxy.line_with("host=io.test.tld").await?;
    for expected in [" backend=node ", " plugin=host-suffix ", " cached=false "] {
        assert!(line.contains(expected), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn other_protocols_do_not_wait_for_a_name() -> anyhow::Result<()> {
    let origin = echo().await?;
    let backends = [("www", origin.address()), ("node", origin.address())];
    let proxy = Proxy::pointsman(&config(ROUTER, &backends)).await?;
    // The third line starts like a TLS record.
    for line in ["SSH-2.0-x\r\n", "\n", "\x16\x02\n"] {
        let mut client = Wire::connect(proxy.address()).await?;
        for byte in line.as_bytes() {
            client.send([*byte]).await?;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.until(b"\n").await?, line.as_bytes());
    }
    Ok(())
}

#[tokio::test]
async fn a_broken_or_slow_hello_ends_the_connection() -> anyhow::Result<()> {
    let origin = echo().await?;
    let frontend = format!("{ROUTER}\ntimeout.handshake = '200ms'");
    let backends = [("www", origin.address()), ("node", origin.address())];
    let proxy = Proxy::pointsman(&config(&frontend, &backends)).await?;
    // A `ClientHello` whose session ID is longer than the whole message.
    let mut broken = b"\x16\x03\x01\0\x2b\x01\0\0\x27\x03\x03".to_vec();
    broken.extend([0; 32]);
    broken.extend([200, 0, 0, 0, 0]);
    for (sent, end) in [
        (&broken[..], "refused"),
        (&broken[..9], "client-timeout"),
        (&broken[..1], "client-timeout"),
    ] {
        let mut client = Wire::connect(proxy.address()).await?;
        client.send(sent).await?;
        assert_eq!(client.end().await?, End::Reset);
        proxy.line_with(&format!(" end={end} ")).await?;
    }
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(&broken[..9]).await?;
    client.finish().await?;
    client.end().await?;
    proxy.line_with(" end=client-closed ").await?;
    assert_eq!(origin.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn without_a_server_the_client_gets_a_reset() -> anyhow::Result<()> {
    let nobody = ReservedPort::new()?;
    let rules = "router.plugin = 'host-suffix'\n\
                 router.config.rules = [{ suffix = 'x', backend = 'db' }]";
    for (frontend, end) in [
        ("default_backend = 'db'", "connect-refused"),
        (rules, "no-route"),
    ] {
        let proxy = Proxy::pointsman(&config(frontend, &[("db", nobody.address())])).await?;
        let mut client = Wire::connect(proxy.address()).await?;
        client.send("x\n").await?;
        assert_eq!(client.end().await?, End::Reset);
        proxy.line_with(&format!(" end={end} ")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn clients_that_are_kept_out_are_no_faults_of_the_plugin() -> anyhow::Result<()> {
    let origin = greeting("db").await?;
    let frontend = "timeout.handshake = '50ms'\ndefault_backend = 'db'\n\
        router.plugin = 'address-list'\nrouter.max_faults = 2\nrouter.on_fault = 'default-backend'\n\
        router.config = { default = 'deny', allow = ['127.0.0.2'] }";
    let proxy = Proxy::pointsman(&config(frontend, &[("db", origin.address())])).await?;
    for _ in 0..4 {
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.end().await?, End::Reset);
    }
    let line = proxy.line_with(" end=plugin-fault ").await?;
    assert!(line.contains(" fault=answer-without-http "), "{line}");
    let mut client = Wire::connect_from(Ipv4Addr::new(127, 0, 0, 2), proxy.address()).await?;
    assert_eq!(client.until(b"\r\n").await?, b"220 db\r\n");
    assert_eq!(origin.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn the_client_may_be_named_by_a_proxy() -> anyhow::Result<()> {
    let origin = echo().await?;
    let frontend = "bind = { address = '127.0.0.1:0', proxy_protocol.from = '127.0.0.1' }\n\
                    default_backend = 'db'";
    let proxy = Proxy::pointsman(&config(frontend, &[("db", origin.address())])).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let header = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n";
    client.send(format!("{header}hello\n")).await?;
    assert_eq!(client.until(b"\n").await?, b"hello\n");
    client.finish().await?;
    assert_eq!(client.rest().await?, b"");
    let line = proxy.line_with("access: ").await?;
    assert!(line.contains(" client=192.0.2.7:5000 "), "{line}");
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_ends() -> anyhow::Result<()> {
    let origin = greeting("db").await?;
    let frontend = "default_backend = 'db'\ntimeout.client = '200ms'";
    let proxy = Proxy::pointsman(&config(frontend, &[("db", origin.address())])).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.rest().await?, b"220 db\r\n");
    proxy.line_with(" end=tunnel-timeout ").await?;
    Ok(())
}
