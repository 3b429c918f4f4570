//! HTTP/2 with clients and servers.

mod servers;
mod websockets;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use h2::Reason;
use http::{Request, Response, StatusCode};
use nix::sys::signal::Signal;
use pointsman_tests::{Asked, DEADLINE, Http2Client, Http2Origin, Origin, Proxy, Wire, python};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::swaps::variant;

const MANUAL: &str = include_str!("../../docs/run/http2.md");

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("e2e/http2")
        .join(name)
}

/// Starts a proxy that speaks HTTP/2 by prior knowledge with clients, and has `options` for its
/// server.
async fn proxy(server: SocketAddr, options: &str, top: &str) -> anyhow::Result<Proxy> {
    Proxy::pointsman(&format!(
        r#"
        workers = 1
        {top}
        [frontend.http-in]
        bind = {{ address = "127.0.0.1:0", h2c = true }}
        default_backend = "www"
        [backend.www]
        server.www = {{ address = "{server}" {options} }}
        "#
    ))
    .await
}

pub(crate) async fn run(mut command: Command) -> anyhow::Result<()> {
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}{errors}");
    Ok(())
}

/// Starts an origin that responds with the head and the trailers of each request.
async fn mirror() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        while let Ok(request) = wire.request().await {
            let mut body = request.head.raw;
            for (name, value) in &request.trailers {
                body.extend_from_slice(name.as_bytes());
                body.extend_from_slice(b": ");
                body.extend_from_slice(value);
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            wire.send([head.into_bytes(), body].concat()).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn rules_of_the_rfcs() -> anyhow::Result<()> {
    let www = mirror().await?;
    let proxy = proxy(www.address(), "", "").await?;
    let address = proxy.address();
    let mut command = Command::new(python()?);
    command
        .arg(script("conformance.py"))
        .arg(address.ip().to_string())
        .arg(address.port().to_string());
    run(command).await
}

#[tokio::test]
async fn the_manual_has_every_rule_that_is_tested() -> anyhow::Result<()> {
    let output = Command::new(python()?)
        .arg(script("conformance.py"))
        .arg("--list")
        .output()?;
    let expected: Vec<_> = String::from_utf8(output.stdout)?
        .lines()
        .map(|line| format!("| {} |", line.replace('\t', " | ")))
        .collect();
    ensure!(!expected.is_empty(), "the script lists nothing");
    let found: Vec<_> = MANUAL
        .lines()
        .filter(|line| {
            line.starts_with("| 9113") || line.starts_with("| 7541") || line.starts_with("| 8441")
        })
        .collect();
    assert_eq!(found, expected);
    Ok(())
}

/// Starts an origin that serves a large body at `/big` and small bodies elsewhere. At `/stalled` it
/// stops reading.
async fn patient() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        loop {
            let Ok(head) = wire.head().await else {
                return Ok(());
            };
            if head.start_line.contains("/stalled") {
                // Waits until the proxy closes the connection.
                let _ = wire.end().await;
                return Ok(());
            }
            let body = if head.start_line.contains("/big") {
                vec![b'x'; 400_000]
            } else {
                b"served".to_vec()
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            // A client that disconnects in the middle of a response is not an error.
            if wire.send(head).await.is_err() || wire.send(body).await.is_err() {
                return Ok(());
            }
        }
    })
    .await
}

#[tokio::test]
async fn attacks_harm_nobody_else() -> anyhow::Result<()> {
    let www = patient().await?;
    let proxy = proxy(www.address(), "", "log.access = false").await?;
    let address = proxy.address();
    let mut command = Command::new(python()?);
    command
        .arg(script("hostile.py"))
        .arg(address.ip().to_string())
        .arg(address.port().to_string())
        .arg(proxy.id().to_string());
    run(command).await
}

/// A gRPC server, which ends when this value is dropped.
pub(crate) struct GrpcServer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl GrpcServer {
    pub(crate) fn start() -> anyhow::Result<GrpcServer> {
        let mut child = Command::new(python()?)
            .arg(script("grpc_calls.py"))
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().context("its output")?;
        BufReader::new(output).read_line(&mut line)?;
        let port: u16 = line.trim().parse()?;
        Ok(GrpcServer {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        })
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn grpc(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(python()?);
    command.arg(script("grpc_calls.py")).args(arguments);
    Ok(command)
}

#[tokio::test]
async fn grpc_of_every_kind() -> anyhow::Result<()> {
    let server = GrpcServer::start()?;
    let proxy = proxy(server.address, ", protocol = \"h2c\"", "").await?;
    run(grpc(&["kinds", &proxy.address().to_string()])?).await
}

#[tokio::test]
async fn no_grpc_call_fails_while_a_plugin_is_swapped() -> anyhow::Result<()> {
    let server = GrpcServer::start()?;
    let first = std::fs::read(plugin("host-suffix"))?;
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("plugin.wasm"), &first)?;
    let proxy = Proxy::pointsman_in(
        directory,
        &format!(
            r#"
            workers = 2
            log.access = false
            admin.socket = "admin.sock"
            plugin_cache_dir = "cache"
            [frontend.http-in]
            bind = {{ address = "127.0.0.1:0", h2c = true }}
            default_backend = "www"
            router.plugin = "./plugin.wasm"
            router.config.rules = [{{ suffix = "nobody.test.tld", backend = "www" }}]
            [backend.www]
            server.www = {{ address = "{}", protocol = "h2c" }}
            "#,
            server.address
        ),
    )
    .await?;
    let calls = run(grpc(&["many", &proxy.address().to_string(), "10000"])?);
    let swaps = async {
        for number in 0..3 {
            let next = variant(&first, &format!("release {number}"));
            std::fs::write(proxy.directory().join("plugin.wasm"), &next)?;
            let mark = format!("version={} ", number + 2);
            let is_it = |line: &&String| line.contains("plugin in service") && line.contains(&mark);
            proxy
                .wait_for(&mark, |lines| lines.iter().find(is_it).map(|_| ()))
                .await?;
        }
        anyhow::Ok(())
    };
    let (calls, swaps) = tokio::join!(calls, swaps);
    calls?;
    swaps
}

pub(crate) fn plugin(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../plugins")
        .join(name)
        .join(format!("{name}.wasm"))
}

#[tokio::test]
async fn a_client_that_resets_a_stream_cancels_it_at_the_server() -> anyhow::Result<()> {
    let (there, cancelled) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&there), Arc::clone(&cancelled));
    let www = Http2Origin::start(h2::server::Builder::new(), None, move |mut asked: Asked| {
        let (there, cancelled) = signals.clone();
        async move {
            there.notify_one();
            std::future::poll_fn(|cx| asked.respond.poll_reset(cx)).await?;
            cancelled.notify_one();
            Ok(())
        }
    })
    .await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let request = Request::get("http://www.test.tld/").body(())?;
    let (response, mut stream) = client.ready().await?.send_request(request, true)?;
    timeout(DEADLINE, there.notified()).await?;
    stream.send_reset(Reason::CANCEL);
    drop(response);
    timeout(DEADLINE, cancelled.notified()).await?;
    proxy.line_with("end=client-closed").await?;
    Ok(())
}

/// A request body can end after the response. Clients may send its end in a separate frame, and
/// some of them fail if the stream is reset before they can send that frame.
#[tokio::test]
async fn a_body_may_end_after_the_response() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let proxy = proxy(www.address(), "", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let request = Request::post("http://www.test.tld/").header("content-length", "5");
    let (response, mut stream) = client
        .ready()
        .await?
        .send_request(request.body(())?, false)?;
    stream.send_data("hello".into(), false)?;
    let mut body = timeout(DEADLINE, response).await??.into_body();
    while let Some(piece) = timeout(DEADLINE, body.data()).await? {
        piece?;
    }
    // When this response has arrived, so has everything that the proxy has sent on the first
    // stream, such as a reset.
    assert_eq!(client.get("/").await?.0, 200);
    stream.send_data(Bytes::new(), true)?;
    Ok(())
}

#[tokio::test]
async fn interim_responses_reach_the_client() -> anyhow::Result<()> {
    let early = Origin::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await?;
    let http2 = Http2Origin::start(h2::server::Builder::new(), None, |mut asked: Asked| async {
        let mut hints = Response::new(());
        *hints.status_mut() = StatusCode::from_u16(103)?;
        hints.headers_mut().insert("link", "</a.css>".parse()?);
        asked.respond.send_informational(hints)?;
        asked.answer("ok")
    })
    .await?;
    for (server, options) in [
        (early.address(), ""),
        (http2.address(), ", protocol = \"h2c\""),
    ] {
        let proxy = proxy(server, options, "").await?;
        let client = Http2Client::connect(proxy.address()).await?;
        let request = Request::get("http://www.test.tld/").body(())?;
        let (mut response, _) = client.ready().await?.send_request(request, true)?;
        let interim = std::future::poll_fn(|cx| response.poll_informational(cx));
        let interim = timeout(DEADLINE, interim)
            .await?
            .context("an interim response")??;
        assert_eq!(interim.status(), 103);
        assert_eq!(interim.headers()["link"], "</a.css>");
        assert_eq!(timeout(DEADLINE, response).await??.status(), 200);
        // The same over HTTP/1.1.
        let mut wire = Wire::connect(proxy.address()).await?;
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        let head = String::from_utf8(wire.until(b"\r\n\r\n").await?)?;
        assert!(head.starts_with("HTTP/1.1 103 Early Hints\r\n"), "{head}");
        assert_eq!(wire.response("GET").await?.body, b"ok");
    }
    Ok(())
}

#[tokio::test]
async fn a_stop_loses_no_request() -> anyhow::Result<()> {
    let (there, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&there), Arc::clone(&go_on));
    let www = Http2Origin::start(h2::server::Builder::new(), None, move |asked: Asked| {
        let (there, go_on) = signals.clone();
        async move {
            there.notify_one();
            go_on.notified().await;
            asked.answer("late")
        }
    })
    .await?;
    let mut proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let request = Request::get("http://www.test.tld/").body(())?;
    let (response, _) = client.ready().await?.send_request(request, true)?;
    timeout(DEADLINE, there.notified()).await?;
    proxy.signal(Signal::SIGTERM)?;
    // The proxy sends GOAWAY, and accepts no further requests.
    let error = timeout(DEADLINE, async {
        loop {
            match client.clone().ready().await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    });
    let error = error.await?.downcast::<h2::Error>()?;
    assert!(error.is_go_away(), "{error}");
    go_on.notify_one();
    let response = timeout(DEADLINE, response).await??;
    assert_eq!(response.status(), 200);
    assert!(proxy.ended().await?.success());
    Ok(())
}
