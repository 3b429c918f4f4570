//! TLS with servers: Node servers whose certificates come from the test's authority.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use pointsman_tests::{Authority, Origin, Proxy, Wire, log_field, pointsman};
use serde_json::Value;
use tempfile::TempDir;

use crate::scenario::Node;
use crate::tunnels::handshake;

/// The name in the servers' certificates.
const NAME: &str = "www.test.tld";

const GET: &str = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";

/// A request after whose response the server closes the connection.
const GET_LAST: &str = "GET /last HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";

/// Creates a folder with certificates from the authority in `ca.pem`, some of them unsuitable, and
/// with certificates from another authority.
fn folder() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let folder = directory.path();
    let authority = Authority::new("Test authority")?;
    fs::write(folder.join("ca.pem"), authority.pem())?;
    authority.issue(folder, "right", &[NAME, "127.0.0.1"])?;
    authority.issue(folder, "elsewhere", &["elsewhere.test.tld"])?;
    authority.issue(folder, "proxy", &["proxy.test.tld"])?;
    authority.issue_with(folder, "expired", &[NAME], |params| {
        params.not_before = rcgen::date_time_ymd(2023, 1, 1);
        params.not_after = rcgen::date_time_ymd(2024, 1, 1);
    })?;
    let stranger = Authority::new("Nobody's authority")?;
    stranger.issue(folder, "stranger", &[NAME])?;
    stranger.issue(folder, "strange_proxy", &["proxy.test.tld"])?;
    Ok(directory)
}

/// Starts a server from `tls_origin.js` with one of the folder's certificates.
async fn origin(kind: &str, folder: &Path, certificate: &str) -> anyhow::Result<Node> {
    let files = ["pem", "key"].map(|end| folder.join(format!("{certificate}.{end}")));
    let files = files.iter().map(|file| file.as_os_str());
    Node::start_with("tls_origin.js", [kind.as_ref()].into_iter().chain(files)).await
}

/// Starts a server that requires client certificates from the authority in `ca.pem`.
async fn asking_origin(kind: &str, folder: &Path) -> anyhow::Result<Node> {
    let files = ["right.pem", "right.key", "ca.pem"].map(|file| folder.join(file));
    let files = files.iter().map(|file| file.as_os_str());
    Node::start_with("tls_origin.js", [kind.as_ref()].into_iter().chain(files)).await
}

fn config(server: SocketAddr, options: &str, frontend: &str) -> String {
    format!(
        "workers = 1\n[frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         {frontend}\n[backend.www]\nserver.www = {{ address = \"{server}\", {options} }}\n"
    )
}

async fn proxy(directory: TempDir, server: SocketAddr, options: &str) -> anyhow::Result<Proxy> {
    Proxy::pointsman_in(directory, &config(server, options, "")).await
}

/// Sends a request over a new client connection, and returns the server's JSON.
async fn asked(proxy: &Proxy, request: &str) -> anyhow::Result<Value> {
    let mut client = Wire::connect(proxy.address()).await?;
    let answer = client.exchange(request).await?;
    ensure!(answer.head.status()? == 200, "{answer:?}");
    Ok(serde_json::from_slice(&answer.body)?)
}

#[tokio::test]
async fn protocols_are_agreed_on_by_alpn() -> anyhow::Result<()> {
    const NAMED: &str = "tls = { ca = \"ca.pem\", server_name = \"www.test.tld\" }";
    // The kind of server, further options, the version of HTTP, and the protocol from ALPN.
    let cases = [
        ("both", "", "2.0", Some("h2")),
        ("both", ", protocol = \"http1\"", "1.1", Some("http/1.1")),
        ("both", ", protocol = \"h2\"", "2.0", Some("h2")),
        ("http2", "", "2.0", Some("h2")),
        ("https", "", "1.1", Some("http/1.1")),
    ];
    for (kind, options, http, alpn) in cases {
        let directory = folder()?;
        let server = origin(kind, directory.path(), "right").await?;
        let proxy = proxy(directory, server.address, &format!("{NAMED}{options}")).await?;
        let found = asked(&proxy, GET).await?;
        assert_eq!(found["http"], http, "{kind} {options}: {found}");
        assert_eq!(found["alpn"].as_str(), alpn, "{kind} {options}: {found}");
        assert_eq!(found["name"], NAME, "{kind} {options}: {found}");
    }
    Ok(())
}

#[tokio::test]
async fn an_address_is_verified_without_a_name() -> anyhow::Result<()> {
    let directory = folder()?;
    let server = origin("both", directory.path(), "right").await?;
    let proxy = proxy(directory, server.address, "tls.ca = \"ca.pem\"").await?;
    let found = asked(&proxy, GET).await?;
    // RFC 6066, section 3: a literal address is never sent as the server name.
    assert_eq!(found["name"], Value::Null, "{found}");
    Ok(())
}

/// Checks that an untrusted server leads to a 503, and that only the log has the reason.
async fn refuses(kind: &str, certificate: &str, tls: &str, reason: &str) -> anyhow::Result<()> {
    let directory = folder()?;
    let server = origin(kind, directory.path(), certificate).await?;
    let options = format!("tls = {{ server_name = \"{NAME}\", {tls} }}");
    let proxy = proxy(directory, server.address, &options).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    let answer = client.exchange(GET).await?;
    assert_eq!(answer.head.status()?, 503, "{certificate}: {answer:?}");
    let line = proxy.line_with("end=connect-failed").await?;
    ensure!(line.contains(reason), "{certificate}: {line}");
    Ok(())
}

#[tokio::test]
async fn servers_that_cannot_prove_who_they_are() -> anyhow::Result<()> {
    const CA: &str = "ca = \"ca.pem\"";
    refuses(
        "both",
        "elsewhere",
        CA,
        "it is for elsewhere.test.tld, not for www.test.tld",
    )
    .await?;
    refuses("both", "expired", CA, "it expired on Mon, 01 Jan 2024").await?;
    refuses("both", "stranger", CA, "its issuer is not trusted").await?;
    // The system's authorities do not include the test's.
    refuses("both", "right", "", "its issuer is not trusted").await
}

#[tokio::test]
async fn a_server_without_tls_or_without_http2() -> anyhow::Result<()> {
    let plain = Origin::scripted(|mut wire, _| async move {
        wire.exactly(1).await?;
        wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .await
    })
    .await?;
    let only_http1 = folder()?;
    let https = origin("https", only_http1.path(), "right").await?;
    for (server, protocol) in [
        (plain.address(), ""),
        (https.address, ", protocol = \"h2\""),
    ] {
        let options = format!("tls.ca = \"ca.pem\"{protocol}");
        let proxy = proxy(folder()?, server, &options).await?;
        let mut client = Wire::connect(proxy.address()).await?;
        let answer = client.exchange(GET).await?;
        assert_eq!(answer.head.status()?, 503, "{protocol}: {answer:?}");
        proxy.line_with("end=connect-failed").await?;
    }
    Ok(())
}

#[tokio::test]
async fn danger_accept_invalid_takes_any_certificate() -> anyhow::Result<()> {
    for certificate in ["elsewhere", "expired", "stranger"] {
        let directory = folder()?;
        let server = origin("both", directory.path(), certificate).await?;
        let options = "tls.danger_accept_invalid = true";
        let proxy = proxy(directory, server.address, options).await?;
        assert_eq!(asked(&proxy, GET).await?["http"], "2.0", "{certificate}");
    }
    Ok(())
}

#[tokio::test]
async fn servers_that_ask_for_a_certificate() -> anyhow::Result<()> {
    for kind in ["https", "http2"] {
        for (certificate, is_taken) in [
            (Some("proxy"), true),
            (Some("strange_proxy"), false),
            (None, false),
        ] {
            let directory = folder()?;
            let server = asking_origin(kind, directory.path()).await?;
            let identity = certificate
                .map(|name| format!(", certificate = \"{name}.pem\", key = \"{name}.key\""));
            let options = format!(
                "tls = {{ ca = \"ca.pem\"{} }}",
                identity.unwrap_or_default()
            );
            let proxy = proxy(directory, server.address, &options).await?;
            if is_taken {
                assert_eq!(asked(&proxy, GET).await?["client"], "proxy", "{kind}");
                continue;
            }
            let mut client = Wire::connect(proxy.address()).await?;
            let answer = client.exchange(GET).await?;
            // With TLS 1.3, the server refuses the client after the handshake. Over HTTP/1.1, the
            // refusal comes in place of a response. Over HTTP/2, it comes in place of the server's
            // first message, which is due before any request.
            let expected = if kind == "https" {
                (502, "server-closed")
            } else {
                (503, "connect-failed")
            };
            let line = proxy.line_with(" end=").await?;
            let end = log_field(&line, " end").context("an end")?;
            assert_eq!((answer.head.status()?, end), expected, "{line}");
            if certificate.is_none() {
                assert!(line.contains("CertificateRequired"), "{line}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_session_resumes_on_the_next_connection() -> anyhow::Result<()> {
    for kind in ["https", "http2"] {
        let directory = folder()?;
        let server = origin(kind, directory.path(), "right").await?;
        let proxy = proxy(directory, server.address, "tls.ca = \"ca.pem\"").await?;
        let first = asked(&proxy, GET_LAST).await?;
        let second = asked(&proxy, GET).await?;
        let again = asked(&proxy, GET).await?;
        assert_eq!(first["reused"], false, "{kind}: {first}");
        assert_eq!(second["reused"], true, "{kind}: {second}");
        assert_eq!(second["connection"], 2, "{kind}: {second}");
        // The third request reuses the second connection.
        assert_eq!(again["connection"], 2, "{kind}: {again}");
    }
    Ok(())
}

#[tokio::test]
async fn bytes_of_any_protocol_to_a_server_with_tls() -> anyhow::Result<()> {
    let directory = folder()?;
    let server = origin("echo", directory.path(), "right").await?;
    let config = config(server.address, "tls.ca = \"ca.pem\"", "mode = \"tcp\"");
    let proxy = Proxy::pointsman_in(directory, &config).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send("\0hello\n").await?;
    assert_eq!(client.exactly(7).await?, b"\0hello\n");
    client.send_bulk(1_000_000).await?;
    client.finish().await?;
    assert_eq!(client.rest().await?.len(), 1_000_000);
    proxy
        .line_with("bytes_in=1000007 bytes_out=1000007")
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_websocket_gets_http1_of_a_server_that_has_both() -> anyhow::Result<()> {
    let directory = folder()?;
    let server = origin("both", directory.path(), "right").await?;
    let proxy = proxy(directory, server.address, "tls.ca = \"ca.pem\"").await?;
    assert_eq!(asked(&proxy, GET).await?["http"], "2.0");
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(handshake(NAME)).await?;
    assert_eq!(client.head().await?.status()?, 101);
    client.send("hello").await?;
    assert_eq!(client.exactly(5).await?, b"hello");
    Ok(())
}

/// Returns what `pointsman check` reports about a server with these options.
fn check(folder: &Path, options: &str) -> anyhow::Result<String> {
    let config = config(SocketAddr::from(([127, 0, 0, 1], 9)), options, "");
    fs::write(
        folder.join("pointsman.toml"),
        config.replace("127.0.0.1:0", "127.0.0.1:8080"),
    )?;
    let output = pointsman()?.current_dir(folder).arg("check").output()?;
    let report = String::from_utf8(output.stderr)?;
    ensure!(output.status.success() == report.is_empty(), "{report}");
    Ok(report)
}

#[tokio::test]
async fn each_mistake_is_reported_at_its_key() -> anyhow::Result<()> {
    let directory = folder()?;
    let folder = directory.path();
    fs::write(folder.join("empty.pem"), "")?;
    assert_eq!(check(folder, "tls = { ca = \"ca.pem\" }")?, "");
    let pair = |certificate: &str, key: &str| {
        format!("tls = {{ ca = \"ca.pem\", certificate = \"{certificate}\", key = \"{key}\" }}")
    };
    assert_eq!(check(folder, &pair("proxy.pem", "proxy.key"))?, "");
    for (options, key, reason) in [
        (
            "tls = { ca = \"none.pem\" }".to_owned(),
            "tls.ca",
            "cannot be read: No such file",
        ),
        (
            "tls = { ca = \"empty.pem\" }".to_owned(),
            "tls.ca",
            "certificates of authorities",
        ),
        (
            pair("none.pem", "proxy.key"),
            "tls.certificate",
            "No such file",
        ),
        (pair("proxy.pem", "none.key"), "tls.key", "No such file"),
        (pair("proxy.pem", "right.key"), "tls.key", "does not"),
        (pair("proxy.pem", "proxy.pem"), "tls.key", "key"),
        (
            pair("expired.pem", "expired.key"),
            "tls.certificate",
            "expired",
        ),
        (
            "tls = { server_name = \"not a name\", ca = \"ca.pem\" }".to_owned(),
            "tls.server_name",
            "is not a name",
        ),
        (
            "tls = { ca = \"ca.pem\", key = \"proxy.key\" }".to_owned(),
            "tls",
            "certificate",
        ),
        (
            "tls = true, protocol = \"h2c\"".to_owned(),
            "protocol",
            "does not go with `tls`",
        ),
    ] {
        let report = check(folder, &options)?;
        let place = format!("backend.www.server.www.{key}");
        assert!(report.contains(&place), "{options}:\n{report}");
        assert!(report.contains(reason), "{options}:\n{report}");
    }
    Ok(())
}
