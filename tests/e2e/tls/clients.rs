//! TLS with clients: certificates by name, versions, protocols, and what the server learns about
//! the session.

use std::io::{BufRead as _, BufReader, Write as _};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use pointsman_tests::{Origin, Proxy, log_field};
use serde_json::Value;

use super::{NAME, Site, TLS, config, folder};
use crate::tunnels::echo_or_www;

#[tokio::test]
async fn http_of_both_versions_over_tls() -> anyhow::Result<()> {
    let site = Site::with("hsts = {}", TLS, |_, _| Ok(())).await?;
    for (version, expected) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let answer = site
            .curl(&[version, "-D", "-", "-w", " %{http_version}"])
            .await?;
        let lower = answer.to_lowercase();
        assert!(
            lower.contains("strict-transport-security: max-age="),
            "{answer}"
        );
        assert!(answer.ends_with(&format!("www {expected}")), "{answer}");
    }
    for request in site.www.requests() {
        let scheme = request.head.field("X-Forwarded-Proto");
        assert_eq!(scheme.as_deref(), Some("https"));
    }
    assert_eq!(site.handshakes("full").await?, 2);
    Ok(())
}

/// Returns one value from the client's report, or the client's error.
fn told(found: &Value, key: &str) -> String {
    let value = found.get("error").unwrap_or(&found[0][key]);
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    // OpenSSL has symbolic names for some alerts, and plain text for others.
    text.replace("no application protocol", "NO_APPLICATION_PROTOCOL")
}

#[tokio::test]
async fn certificates_by_name() -> anyhow::Result<()> {
    const SEVERAL: &str = "certificates = [{ certificate = \"site.pem\", key = \"site.key\" }, \
        { certificate = \"wild.pem\", key = \"wild.key\" }, \
        { certificate = \"exact.pem\", key = \"exact.key\" }]";
    let site = Site::with("", SEVERAL, |folder, authority| {
        authority.issue(folder, "wild", &["*.test.tld"])?;
        authority.issue(folder, "exact", &["exact.test.tld"])
    })
    .await?;
    let check = async |name: Option<&str>, expected: &str| {
        let name = name.map_or(vec![], |name| vec!["--name", name]);
        let found = site.client("request", &name).await?;
        let told = told(&found, "names");
        assert!(told.contains(expected), "{name:?}: {told}");
        anyhow::Ok(())
    };
    check(Some(NAME), NAME).await?;
    check(Some("exact.test.tld"), "[\"exact.test.tld\"]").await?;
    check(Some("EXACT.test.tld"), "[\"exact.test.tld\"]").await?;
    check(Some("other.test.tld"), "[\"*.test.tld\"]").await?;
    // A wildcard covers only one label. The client therefore gets the first certificate, which does
    // not match the name.
    check(Some("a.b.test.tld"), "mismatch").await?;
    check(None, NAME).await?;
    site.reload("", &format!("{SEVERAL}\nstrict_sni = true"))
        .await?;
    check(Some("exact.test.tld"), "[\"exact.test.tld\"]").await?;
    check(Some("a.b.test.tld"), "UNRECOGNIZED_NAME").await?;
    check(None, "UNRECOGNIZED_NAME").await
}

#[tokio::test]
async fn versions_and_protocols() -> anyhow::Result<()> {
    let site = Site::start(TLS).await?;
    let check = async |arguments: &[&str], key: &str, expected: &str| {
        let arguments = [&["--name", NAME], arguments].concat();
        let found = site.client("request", &arguments).await?;
        let told = told(&found, key);
        assert!(told.contains(expected), "{arguments:?}: {told}");
        anyhow::Ok(())
    };
    check(&["--version", "1.2"], "version", "TLSv1.2").await?;
    check(&["--version", "1.3"], "version", "TLSv1.3").await?;
    check(&[], "alpn", "null").await?;
    check(&["--alpn", "http/1.1"], "alpn", "http/1.1").await?;
    check(&["--alpn", "x,http/1.1"], "alpn", "http/1.1").await?;
    check(&["--alpn", "x"], "alpn", "NO_APPLICATION_PROTOCOL").await?;
    site.reload(
        "",
        &format!("{TLS}\nversions = \"1.3\"\nalpn = \"http/1.1\""),
    )
    .await?;
    check(&["--version", "1.2"], "version", "PROTOCOL_VERSION").await?;
    check(&["--alpn", "h2,http/1.1"], "alpn", "http/1.1").await
}

#[tokio::test]
async fn clients_with_certificates() -> anyhow::Result<()> {
    let required = format!("{TLS}\nclient_certificates = {{ ca = \"ca.pem\" }}");
    let site = Site::with("", &required, |folder, authority| {
        authority.issue_with(folder, "good", &["good"], |params| {
            params.serial_number = Some(7.into());
        })?;
        authority.issue_with(folder, "bad", &["bad"], |params| {
            params.serial_number = Some(8.into());
        })?;
        authority.revoke(folder, "revoked.pem", &[8])?;
        let other = pointsman_tests::Authority::new("Another")?;
        other.issue(folder, "stranger", &["stranger"])
    })
    .await?;
    let check = async |version: &str, cert: Option<&str>, expected: &str| {
        let mut arguments = vec!["--name", NAME, "--version", version];
        arguments.extend(cert.iter().flat_map(|cert| ["--cert", cert]));
        let found = site.client("request", &arguments).await?;
        let told = told(&found, "body");
        assert!(told.contains(expected), "{arguments:?}: {told}");
        anyhow::Ok(())
    };
    for version in ["1.2", "1.3"] {
        check(version, Some("good"), "www").await?;
        check(version, Some("bad"), "www").await?;
        check(version, Some("stranger"), "UNKNOWN_CA").await?;
    }
    check("1.3", None, "CERTIFICATE_REQUIRED").await?;
    check("1.2", None, "CERTIFICATE_REQUIRED").await?;
    site.proxy
        .line_with("the client sent no certificate")
        .await?;
    let optional = required.replace("\"ca.pem\" }", "\"ca.pem\", verify = \"optional\" }");
    site.reload("", &optional).await?;
    check("1.3", None, "www").await?;
    check("1.3", Some("good"), "www").await?;
    check("1.3", Some("stranger"), "UNKNOWN_CA").await?;
    let revoking = required.replace("\"ca.pem\" }", "\"ca.pem\", crl = \"revoked.pem\" }");
    site.reload("", &revoking).await?;
    check("1.3", Some("good"), "www").await?;
    check("1.3", Some("bad"), "CERTIFICATE_REVOKED").await?;
    Ok(())
}

#[tokio::test]
async fn a_tunnel_over_tls() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let (directory, authority) = folder()?;
    let proxy = Proxy::pointsman_in(directory, &config(www.address(), "", TLS)).await?;
    let site = Site {
        www,
        authority,
        proxy,
    };
    for version in ["1.2", "1.3"] {
        let found = site
            .client("websocket", &["--name", NAME, "--version", version])
            .await?;
        assert_eq!(found["same"], true, "{found}");
    }
    Ok(())
}

#[tokio::test]
async fn a_drain_ends_connections_in_order() -> anyhow::Result<()> {
    let mut site = Site::start(TLS).await?;
    let mut client = site.start_client("keep", &["--name", NAME])?;
    // The origin runs on this thread, so reading must not block it.
    let stdout = client.stdout.take().context("no output")?;
    let read = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(stdout).lines();
        anyhow::Ok((lines.next().context("nothing")??, lines))
    });
    let (line, mut lines) = read.await??;
    assert_eq!(line, "kept");
    site.proxy.signal(Signal::SIGTERM)?;
    site.proxy.line_with("draining").await?;
    client
        .stdin
        .as_mut()
        .context("no input")?
        .write_all(b"\n")?;
    let read = tokio::task::spawn_blocking(move || lines.next().context("nothing"));
    let found: Value = serde_json::from_str(&read.await???)?;
    let second = found["second"].as_str().unwrap_or_default();
    assert!(
        second.to_lowercase().contains("connection: close"),
        "{found}"
    );
    assert_eq!(found["rest"], "");
    client.wait()?;
    assert!(site.proxy.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn bytes_of_any_protocol_behind_tls() -> anyhow::Result<()> {
    let echo = Origin::scripted(|mut wire, _| async move {
        let line = wire.until(b"\n").await?;
        wire.send(line).await
    })
    .await?;
    let (directory, authority) = folder()?;
    let config = config(echo.address(), "mode = \"tcp\"", TLS);
    let proxy = Proxy::pointsman_in(directory, &config).await?;
    let site = Site {
        www: echo,
        authority,
        proxy,
    };
    let arguments = ["-quiet", "-servername", NAME, "-alpn", "dot"];
    let echoed = site.openssl(&arguments, "over there\n").await?;
    assert!(echoed.contains("over there"), "{echoed}");
    let line = site.proxy.line_with("access").await?;
    assert_eq!(log_field(&line, "frontend"), Some("http-in"));
    Ok(())
}
