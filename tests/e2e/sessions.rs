//! Properties of the connection that a plugin can read: the version of HTTP, and the TLS session.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use pointsman_tests::{Origin, Process, Proxy, Wire, guest, pointsman};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, SanType,
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Values that the plugin reads. For the path with the name of a value, it responds with that
/// value.
const READS: [&str; 10] = [
    "scheme",
    "version",
    "server-name",
    "alpn",
    "certificate-subject",
    "certificate-issuer",
    "certificate-names",
    "certificate-serial",
    "certificate-sha256",
    "certificate-not-after",
];

/// Creates a folder with the plugin, and a configuration whose frontend has this bind.
fn place(bind: &Value, origin: &Origin) -> anyhow::Result<(TempDir, Value)> {
    let directory = tempfile::tempdir()?;
    let component = guest("guest-scripted")?;
    fs::write(directory.path().join("scripted.wasm"), component)?;
    let cases: Map<String, Value> = READS
        .iter()
        .map(|what| {
            let read = json!({"read": {"what": what, "otherwise": "respond-value"}});
            (format!("/{what}"), read)
        })
        .collect();
    let script = json!({"cacheable": true, "root": {"read":
        {"what": "path-with-query", "cases": cases, "otherwise": "default"}}});
    let config = json!({
        "workers": 1,
        "frontend": {"http-in": {
            "bind": bind,
            "default_backend": "www",
            "forwarded": {"trusted_proxies": "127.0.0.1"},
            "router": {"plugin": "./scripted.wasm", "config": script},
        }},
        "backend": {"www": {"server": {"www": origin.address()}}},
    });
    Ok((directory, config))
}

#[tokio::test]
async fn the_version_of_a_request() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let bind = json!({"address": "127.0.0.1:0", "h2c": true});
    let (directory, config) = place(&bind, &origin)?;
    let proxy = Proxy::pointsman_in(directory, &toml::to_string(&config)?).await?;
    // In the second round, decisions come from the cache.
    for _ in 0..2 {
        for version in ["1.0", "1.1"] {
            let mut client = Wire::connect(proxy.address()).await?;
            let request = format!("GET /version HTTP/{version}\r\nHost: a\r\n\r\n");
            assert_eq!(client.exchange(request).await?.body, version.as_bytes());
        }
        for (path, expected) in [("version", "2"), ("scheme", "http"), ("alpn", "none")] {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--http2-prior-knowledge"])
                .args(["--write-out", " %{http_version}\n"])
                .arg(format!("http://{}/{path}", proxy.address()));
            let curl = Process::start(curl)?;
            assert_eq!(curl.line_with(" ").await?, format!("{expected} 2"));
        }
    }
    // A trusted proxy can report the scheme, but not a TLS session.
    let mut client = Wire::connect(proxy.address()).await?;
    for (path, expected) in [("scheme", "https"), ("server-name", "none")] {
        let request =
            format!("GET /{path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n");
        assert_eq!(client.exchange(request).await?.body, expected.as_bytes());
    }
    assert_eq!(origin.connections(), 0);
    Ok(())
}

/// Issues a certificate for this name and URI, signed by `issuer`, and returns the certificate with
/// its key.
fn issued(
    name: &str,
    uri: &str,
    issuer: &Issuer<'_, KeyPair>,
) -> anyhow::Result<(Certificate, String)> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .subject_alt_names
        .push(SanType::URI(uri.to_owned().try_into()?));
    params.serial_number = Some(0x1f_u64.into());
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    let pem = certificate.pem() + &key.serialize_pem();
    Ok((certificate, pem))
}

#[tokio::test]
async fn a_session_and_the_certificate_of_its_client() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let bind = json!({"address": "127.0.0.1:0", "tls": "site"});
    let (directory, mut config) = place(&bind, &origin)?;

    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ca");
    let key = KeyPair::generate()?;
    let ca = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let (_, server) = issued("www.test", "https://www.test", &issuer)?;
    let (certificate, client) = issued("client.test", "spiffe://test/client", &issuer)?;
    for (name, pem) in [("ca", ca.pem()), ("server", server), ("client", client)] {
        fs::write(directory.path().join(format!("{name}.pem")), pem)?;
    }
    config["tls"] = json!({"site": {
        "certificate": "server.pem",
        "key": "server.pem",
        "client_certificates": {"ca": "ca.pem", "verify": "optional"},
    }});
    let folder = directory.path().to_owned();
    let proxy = Proxy::pointsman_in(directory, &toml::to_string(&config)?).await?;

    let port = proxy.address().port();
    let digest = sha256(certificate.der(), &folder)?;
    for (flags, path, expected) in [
        ("--http1.1", "scheme", "https"),
        ("--http1.1", "version", "1.1"),
        ("--http1.1", "server-name", "www.test"),
        ("--http1.1", "alpn", "http/1.1"),
        ("--http2", "version", "2"),
        ("--http2", "server-name", "www.test"),
        ("--http2", "alpn", "h2"),
        ("--http2", "certificate-subject", "none"),
        ("--http2", "certificate-names", ""),
        (WITH_CERTIFICATE, "server-name", "www.test"),
        (WITH_CERTIFICATE, "certificate-subject", "CN=client.test"),
        (WITH_CERTIFICATE, "certificate-issuer", "CN=ca"),
        (
            WITH_CERTIFICATE,
            "certificate-names",
            "client.test spiffe://test/client",
        ),
        (WITH_CERTIFICATE, "certificate-serial", "1f"),
        (WITH_CERTIFICATE, "certificate-sha256", &digest),
        (WITH_CERTIFICATE, "certificate-not-after", "4102444800"),
        // A cached decision for another certificate must not apply here.
        ("--http2", "certificate-serial", "none"),
    ] {
        let mut curl = Command::new("curl");
        curl.current_dir(&folder)
            .args(["--silent", "--show-error", "--cacert", "ca.pem"])
            .args(["--resolve", &format!("www.test:{port}:127.0.0.1")])
            .args(["--write-out", " %{http_code}\n"])
            .args(flags.split_whitespace())
            .arg(format!("https://www.test:{port}/{path}"));
        let curl = Process::start(curl)?;
        let line = curl.line_with(" ").await?;
        assert_eq!(line, format!("{expected} 200"), "{flags} {path}");
    }
    assert_eq!(origin.connections(), 0);
    Ok(())
}

const WITH_CERTIFICATE: &str = "--http2 --cert client.pem";

/// Returns a SHA-256 digest in hex, computed by `sha256sum` and not by the proxy.
fn sha256(bytes: &[u8], folder: &Path) -> anyhow::Result<String> {
    let file = folder.join("digest");
    fs::write(&file, bytes)?;
    let output = Command::new("sha256sum").arg(&file).output()?;
    let text = String::from_utf8(output.stdout)?;
    let digest = text.split_whitespace().next();
    Ok(digest.context("a digest")?.to_owned())
}

/// `pointsman route` reports the decision for a session that its options describe.
#[tokio::test]
async fn a_session_that_the_command_line_describes() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let (directory, config) = place(&json!("127.0.0.1:0"), &origin)?;
    fs::write(
        directory.path().join("pointsman.toml"),
        toml::to_string(&config)?,
    )?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["Client.test".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "client");
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    let certificate = params.self_signed(&key)?;
    fs::write(directory.path().join("client.pem"), certificate.pem())?;

    let answer = |flags: &[&str], path: &str| -> anyhow::Result<Option<String>> {
        let mut command = pointsman()?;
        let output = command
            .current_dir(directory.path())
            .args(["route", "--json", "-H", "Host: a"])
            .args(flags)
            .args(["GET", path])
            .output()?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let body = &report["response"]["body"];
        Ok(body.as_str().map(str::to_owned))
    };
    for (flags, path, expected) in [
        (&[][..], "/version", "1.1"),
        (&["--http-version", "1.0"], "/version", "1.0"),
        (&["--http-version", "2"], "/version", "2"),
        (&[], "/scheme", "http"),
        (&["--scheme", "https"], "/scheme", "https"),
        (&["--scheme", "https"], "/server-name", "none"),
        (&["--tls"], "/scheme", "https"),
        (&["--tls"], "/server-name", "none"),
        (&["--tls"], "/alpn", "none"),
        (&["--tls", "--scheme", "http"], "/scheme", "http"),
        (&["--server-name", "A.test"], "/server-name", "a.test"),
        (&["--tls", "--http-version", "2"], "/alpn", "h2"),
        (&["--alpn", "x"], "/alpn", "x"),
        (&["--tls"], "/certificate-subject", "none"),
        (CERTIFICATE, "/certificate-subject", "CN=client"),
        (CERTIFICATE, "/certificate-issuer", "CN=client"),
        (CERTIFICATE, "/certificate-names", "client.test"),
        (CERTIFICATE, "/certificate-not-after", "4102444800"),
    ] {
        let found = answer(flags, path)?;
        assert_eq!(found.as_deref(), Some(expected), "{flags:?} {path}");
    }
    Ok(())
}

const CERTIFICATE: &[&str] = &["--client-certificate", "client.pem"];

/// `pointsman route` decides for a frontend without HTTP as the contract says. The plugin sees the
/// server name of the `ClientHello` as the host, and no other part of a request. It cannot edit
/// anything.
#[tokio::test]
async fn a_connection_without_http_that_the_command_line_describes() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let edit = json!({"set-header": {"name": "x-a", "value": "1", "then": "default"}});
    let by_host = json!({"read": {"what": "host", "cases": {"edit.test": edit},
        "otherwise": "backend-by-value"}});
    // The plugin fails if one of these values is not that of a connection without HTTP.
    let root = [
        ("method", "", ""),
        ("path", "", ""),
        ("path-with-query", "", ""),
        ("authority", "", ""),
        ("version", "", "none"),
        ("header", "host", ""),
        ("header", "x-a", ""),
        ("header", "x-forwarded-for", ""),
        ("cookie", "s", "none"),
        // The proxy does not terminate TLS here, so there is no server name of a session.
        ("server-name", "", "none"),
        ("client-address", "", "192.0.2.7"),
    ]
    .into_iter()
    .fold(by_host, |then, (what, name, value)| {
        json!({"read": {"what": what, "name": name, "cases": {value: then},
            "otherwise": {"error": what}}})
    });
    let (directory, mut config) = place(&json!("127.0.0.1:0"), &origin)?;
    config["plugin_cache_dir"] = json!("cache");
    let frontend = &mut config["frontend"]["http-in"];
    frontend["mode"] = json!("tcp");
    frontend
        .as_object_mut()
        .context("a table")?
        .remove("forwarded");
    frontend["router"]["config"]["root"] = root;
    fs::write(
        directory.path().join("pointsman.toml"),
        toml::to_string(&config)?,
    )?;
    let report = |name: &str| -> anyhow::Result<Value> {
        let mut command = pointsman()?;
        let output = command
            .current_dir(directory.path())
            .args(["route", "--json", "--client", "192.0.2.7"])
            .args(["-H", "X-A: 1", "-H", "Cookie: s=1", "-H", "Host: a.test"])
            .args(["--server-name", name, "--http-version", "2"])
            .args(["POST", "http://a.test/b?c"])
            .output()?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let decided = report("WWW")?;
    assert_eq!(decided["decision"], "backend", "{decided:#}");
    assert_eq!(decided["backend"], "www", "{decided:#}");
    let refused = report("edit.test")?;
    assert_eq!(refused["decision"], "fault", "{refused:#}");
    let reason = refused["reason"].to_string();
    assert!(reason.contains("has nothing to edit"), "{refused:#}");
    Ok(())
}
