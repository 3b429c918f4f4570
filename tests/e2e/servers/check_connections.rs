//! Checks connect as requests do: with TLS, with the PROXY protocol, and over Unix sockets. Each
//! server responds with an unexpected status, so the reported reason shows that the check has
//! received the response.

use std::fs;

use anyhow::ensure;
use nix::sys::signal::Signal;
use pointsman_tests::{Authority, Origin, Process, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::{answers, became};
use crate::scenario::{Node, node};

#[tokio::test]
async fn checks_over_tls() -> anyhow::Result<()> {
    for (kind, certificate, options, reason) in [
        ("https", "right", "", "status 200"),
        ("both", "right", "", "status 200"),
        ("http2", "right", ", protocol = \"h2\"", "status 200"),
        ("https", "elsewhere", "", "it is for elsewhere.test.tld"),
    ] {
        let directory = tempfile::tempdir()?;
        let folder = directory.path();
        let authority = Authority::new("Test authority")?;
        fs::write(folder.join("ca.pem"), authority.pem())?;
        authority.issue(folder, "right", &["www.test.tld"])?;
        authority.issue(folder, "elsewhere", &["elsewhere.test.tld"])?;
        let files = ["pem", "key"].map(|end| folder.join(format!("{certificate}.{end}")));
        let arguments = [kind.as_ref(), files[0].as_os_str(), files[1].as_os_str()];
        let server = Node::start_with("tls_origin.js", arguments).await?;
        let ca = folder.join("ca.pem");
        let tls = format!(
            "tls = {{ ca = \"{}\", server_name = \"www.test.tld\" }}{options}",
            ca.display()
        );
        let proxy = Setup::before([])
            .backend(&format!(
                "server.s = {{ address = \"{}\", {tls} }}",
                server.address
            ))
            .backend("check = { interval = \"20ms\", timeout = \"30s\", expect = \"404\" }")
            .start()
            .await?;
        let line = became(&proxy, "s", "down", 1).await?;
        ensure!(line.contains(reason), "{kind} {certificate}: {line}");
    }
    Ok(())
}

#[tokio::test]
async fn checks_come_from_nobody_in_the_proxy_protocol() -> anyhow::Result<()> {
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for (version, header) in [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", V2)] {
        let (sender, mut heads) = mpsc::unbounded_channel();
        let server = Origin::scripted(move |mut wire, _| {
            let sender = sender.clone();
            async move {
                let head = wire.exactly(header.len()).await?;
                let request = wire.request().await?.head.start_line;
                let _ = sender.send((head, request));
                wire.send("HTTP/1.1 204 No Content\r\n\r\n").await
            }
        })
        .await?;
        let proxy = Setup::before([])
            .backend(&format!(
                "server.s = {{ address = \"{}\", proxy_protocol = \"{version}\" }}",
                server.address()
            ))
            .backend("check = { interval = \"20ms\", expect = \"200\" }")
            .start()
            .await?;
        let line = became(&proxy, "s", "down", 1).await?;
        ensure!(line.contains("status 204"), "{line}");
        let (head, request) = heads.recv().await.expect("a check");
        assert_eq!((&*head, &*request), (header, "GET / HTTP/1.1"));
    }
    Ok(())
}

#[tokio::test]
async fn checks_over_unix_sockets() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("www.sock");
    let listener = UnixListener::bind(&path)?;
    let (sender, mut heads) = mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await?;
            let _ = sender.send(String::from_utf8_lossy(&head[..length]).into_owned());
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        }
        anyhow::Ok(())
    });
    let proxy = Setup::before([])
        .backend(&format!("server.s = \"unix:{}\"", path.display()))
        .backend("check = { interval = \"20ms\", expect = \"200\" }")
        .start()
        .await?;
    let line = became(&proxy, "s", "down", 1).await?;
    ensure!(line.contains("status 204"), "{line}");
    let head = heads.recv().await.expect("a check").to_lowercase();
    // RFC 9110, section 7.2: Host must name a host, and the path of a Unix socket is not one.
    ensure!(head.contains("\r\nhost: localhost\r\n"), "{head}");
    serving.abort();
    Ok(())
}

/// The server of a suspended process is down, although the kernel still accepts connections for it.
#[tokio::test]
async fn a_process_that_is_stopped_is_down() -> anyhow::Result<()> {
    let server = Process::start(node("notifier.js"))?;
    let line = server.line_with("{\"port\":").await?;
    let ready: serde_json::Value = serde_json::from_str(&line)?;
    let proxy = Setup::before([])
        .backend(&format!("server.s = \"127.0.0.1:{}\"", ready["port"]))
        .backend("check = { expect = \"404\", interval = \"20ms\", timeout = \"3s\", fall = 1 }")
        .start()
        .await?;
    // Node responds, so the server is up.
    assert_eq!(answers(proxy.address(), 1).await?, "404");
    server.signal(Signal::SIGSTOP)?;
    let line = became(&proxy, "s", "down", 1).await?;
    ensure!(line.contains("no answer within 3 s"), "{line}");
    server.signal(Signal::SIGCONT)?;
    became(&proxy, "s", "up", 1).await?;
    assert_eq!(answers(proxy.address(), 1).await?, "404");
    Ok(())
}
