//! Real clients over TLS: Chromium, Node's HTTP/2, Python's httpx and grpcio.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::Context as _;
use pointsman_tests::{Authority, Origin, Proxy, Wire, log_field, python};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::http2::{GrpcServer, grpc, plugin, run};
use crate::scenario::{Site, Transport, node};
use crate::swaps::variant;

/// The names in the proxy's certificate.
const NAMES: [&str; 3] = ["www.test.tld", "io.test.tld", "localhost"];

const TLS: &str = "[tls.site]\ncertificate = \"site.pem\"\nkey = \"site.key\"\n";

/// Creates a folder with `ca.pem` and the proxy's certificate.
fn folder() -> anyhow::Result<(TempDir, Authority)> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new("Test authority")?;
    fs::write(directory.path().join("ca.pem"), authority.pem())?;
    authority.issue(directory.path(), "site", &NAMES)?;
    Ok((directory, authority))
}

/// Returns the access log records so far.
fn records(proxy: &Proxy) -> Vec<String> {
    let mut lines = proxy.log();
    lines.retain(|line| line.contains(" access: "));
    lines
}

#[tokio::test]
async fn pushes_reach_the_browser_over_http2() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let (directory, _) = folder()?;
    let config = site.config("").replace(
        "bind = \"127.0.0.1:0\"",
        "bind = { address = \"127.0.0.1:0\", tls = \"site\" }",
    );
    let proxy = Proxy::pointsman_in(directory, &format!("{config}{TLS}")).await?;
    let certificate = proxy.directory().join("site.pem");
    site.check_over(Transport::Tls(&certificate), &proxy)
        .await?;

    // The WebSocket was a stream of the connection over which the script was loaded (RFC 8441).
    let tunnel = proxy.line_with("end=tunnel").await?;
    assert_eq!(log_field(&tunnel, "status"), Some("200"), "{tunnel}");
    let records = records(&proxy);
    let script = records.iter().find(|line| line.contains("socket.io.js"));
    let script = script.context("no request for the script")?;
    assert_eq!(
        log_field(&tunnel, "client"),
        log_field(script, "client"),
        "{tunnel}\n{script}"
    );
    Ok(())
}

/// Starts an origin that responds with the length of each request's body and the value of its
/// trailer `X-End`, and adds a trailer. `/never` gets no response. `/seen` gets its response once a
/// request for `/never` has arrived. `/broken` gets half of a response.
async fn counting() -> anyhow::Result<Origin> {
    let never = Arc::new(Notify::new());
    Origin::scripted(move |wire, _| count(wire, Arc::clone(&never))).await
}

async fn count(mut wire: Wire, never: Arc<Notify>) -> anyhow::Result<()> {
    while let Ok(request) = wire.request().await {
        let line = &request.head.start_line;
        if line.contains("/never") {
            never.notify_one();
            wire.end().await?;
            return Ok(());
        }
        if line.contains("/seen") {
            timeout(pointsman_tests::DEADLINE, never.notified()).await?;
        }
        if line.contains("/broken") {
            return wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
                .await;
        }
        let end = request
            .trailers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("x-end"));
        let end = end.map_or("none".into(), |(_, value)| String::from_utf8_lossy(value));
        let body = format!("{} {end}", request.body.len());
        wire.send(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\nX-Check: good\r\n\r\n",
            body.len()
        ))
        .await?;
    }
    Ok(())
}

/// Starts a proxy with two binds: one offers HTTP/2 by ALPN, the other does not.
async fn proxy(directory: TempDir, origin: &Origin) -> anyhow::Result<Proxy> {
    let config = format!(
        r#"
        workers = 2
        [frontend.http-in]
        bind = [
            {{ address = "127.0.0.1:0", tls = "site" }},
            {{ address = "127.0.0.1:0", tls = "old" }},
        ]
        default_backend = "www"
        [backend.www]
        server.www = "{}"
        [tls.old]
        certificate = "site.pem"
        key = "site.key"
        alpn = "http/1.1"
        {TLS}
        "#,
        origin.address()
    );
    Proxy::pointsman_in(directory, &config).await
}

#[tokio::test]
async fn node_over_http2() -> anyhow::Result<()> {
    let origin = counting().await?;
    let (directory, _) = folder()?;
    let proxy = proxy(directory, &origin).await?;
    let mut command = node("http2_client.js");
    command
        .arg(proxy.address().port().to_string())
        .arg(proxy.directory().join("ca.pem"));
    run(command).await?;
    let line = proxy.line_with("end=client-closed").await?;
    assert_eq!(log_field(&line, "target"), Some("/never"), "{line}");
    Ok(())
}

#[tokio::test]
async fn httpx_over_http2_and_http1() -> anyhow::Result<()> {
    let origin = counting().await?;
    let (directory, _) = folder()?;
    let proxy = proxy(directory, &origin).await?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/clients/httpx_calls.py");
    let mut command = Command::new(python()?);
    command.arg(script).arg(proxy.directory().join("ca.pem"));
    for address in proxy.addresses_of("http-in") {
        command.arg(address.port().to_string());
    }
    run(command).await
}

/// Starts a proxy in front of a gRPC server, with a plugin that can be swapped.
async fn grpc_proxy(
    directory: TempDir,
    server: &GrpcServer,
    component: &[u8],
) -> anyhow::Result<Proxy> {
    fs::write(directory.path().join("plugin.wasm"), component)?;
    let config = format!(
        r#"
        workers = 2
        log.access = false
        admin.socket = "admin.sock"
        plugin_cache_dir = "cache"
        [frontend.http-in]
        bind = {{ address = "127.0.0.1:0", tls = "site" }}
        default_backend = "www"
        router.plugin = "./plugin.wasm"
        router.config.rules = [{{ suffix = "nobody.test.tld", backend = "www" }}]
        [backend.www]
        server.www = {{ address = "{}", protocol = "h2c" }}
        {TLS}
        "#,
        server.address
    );
    Proxy::pointsman_in(directory, &config).await
}

/// Returns the command that makes gRPC calls to the proxy at `localhost`.
fn calls(proxy: &Proxy, arguments: [&str; 2]) -> anyhow::Result<Command> {
    let [kind, count] = arguments;
    let target = format!("localhost:{}", proxy.address().port());
    let mut command = grpc(&[kind, &target])?;
    if !count.is_empty() {
        command.arg(count);
    }
    command.arg(proxy.directory().join("ca.pem"));
    Ok(command)
}

#[tokio::test]
async fn grpc_of_every_kind() -> anyhow::Result<()> {
    let server = GrpcServer::start()?;
    let (directory, _) = folder()?;
    let component = fs::read(plugin("host-suffix"))?;
    let proxy = grpc_proxy(directory, &server, &component).await?;
    run(calls(&proxy, ["kinds", ""])?).await
}

/// Counts how often a certificate has come into force.
fn in_force(lines: &[String]) -> usize {
    let mark = "certificate in force";
    lines.iter().filter(|line| line.contains(mark)).count()
}

#[tokio::test]
async fn no_grpc_call_fails_while_plugin_and_certificate_are_replaced() -> anyhow::Result<()> {
    let server = GrpcServer::start()?;
    let (directory, authority) = folder()?;
    let component = fs::read(plugin("host-suffix"))?;
    let proxy = grpc_proxy(directory, &server, &component).await?;
    let changes = async {
        for number in 0..3 {
            let next = variant(&component, &format!("release {number}"));
            fs::write(proxy.directory().join("plugin.wasm"), &next)?;
            let mark = format!("version={} ", number + 2);
            let is_it = |line: &&String| line.contains("plugin in service") && line.contains(&mark);
            proxy
                .wait_for(&mark, |lines| lines.iter().find(is_it).map(|_| ()))
                .await?;
            authority.issue(proxy.directory(), "site", &NAMES)?;
            let before = in_force(&proxy.log());
            authority.issue(proxy.directory(), "site", &NAMES)?;
            proxy
                .wait_for("another certificate", |lines| {
                    (in_force(lines) > before).then_some(())
                })
                .await?;
        }
        anyhow::Ok(())
    };
    let (made, changed) = tokio::join!(run(calls(&proxy, ["many", "10000"])?), changes);
    changed?;
    made
}
