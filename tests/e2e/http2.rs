//! HTTP/2 with clients and with servers.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::Reason;
use http::{Method, Request, Response, StatusCode};
use nix::sys::signal::Signal;
use pointsman_tests::{Asked, DEADLINE, Http2Client, Http2Origin, Origin, Proxy, Wire, python};
use sha1::{Digest as _, Sha1};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::swaps::variant;
use crate::tunnels::handshake;

const MANUAL: &str = include_str!("../../docs/http2.md");

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("e2e/http2")
        .join(name)
}

/// A proxy that speaks HTTP/2 by prior knowledge to clients, and this to its server.
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

/// Answers with the head that it got, and its trailers.
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

/// Serves a large body, one that never reads, and small ones.
async fn patient() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        loop {
            let Ok(head) = wire.head().await else {
                return Ok(());
            };
            if head.start_line.contains("/stalled") {
                // Until the proxy gives up.
                let _ = wire.end().await;
                return Ok(());
            }
            let body = if head.start_line.contains("/big") {
                vec![b'x'; 400_000]
            } else {
                b"served".to_vec()
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            // A client that leaves in the middle is no fault of this server.
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

/// A server of gRPC, which ends with this value.
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

/// Answers with the number of the connection, once `together` requests are there.
async fn gathering(builder: h2::server::Builder, together: usize) -> anyhow::Result<Http2Origin> {
    let (there, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    Http2Origin::start(builder, None, move |asked: Asked| {
        let (there, all) = (Arc::clone(&there), Arc::clone(&all));
        async move {
            let complete = all.notified();
            if there.fetch_add(1, Ordering::SeqCst) + 1 == together {
                all.notify_waiters();
            } else {
                timeout(DEADLINE, complete).await?;
            }
            let number = asked.connection.to_string();
            asked.answer(number)
        }
    })
    .await
}

/// The answers to so many requests at once over one connection.
async fn at_once(client: &Http2Client, count: usize) -> anyhow::Result<Vec<(u16, Bytes)>> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let client = client.clone();
        requests.spawn(async move { client.get("/").await });
    }
    requests.join_all().await.into_iter().collect()
}

#[tokio::test]
async fn many_requests_share_a_connection_to_the_server() -> anyhow::Result<()> {
    let www = gathering(h2::server::Builder::new(), 90).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let answers = at_once(&client, 90).await?;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    assert_eq!(www.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn another_connection_is_made_before_the_server_refuses_streams() -> anyhow::Result<()> {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(5);
    let www = gathering(builder, 20).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let answers = at_once(&client, 20).await?;
    assert!(
        answers.iter().all(|(status, _)| *status == 200),
        "{answers:?}"
    );
    assert!(www.connections() >= 4, "{} connections", www.connections());
    Ok(())
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_elsewhere() -> anyhow::Result<()> {
    let www = Http2Origin::start(h2::server::Builder::new(), None, |mut asked: Asked| async {
        if asked.connection == 0 && asked.number > 0 {
            asked.respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
        let number = asked.connection.to_string();
        asked.answer(number)
    })
    .await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    assert_eq!(client.get("/").await?, (200, "0".into()));
    // A POST as well: nobody has acted on it.
    let request = Request::post("http://www.test.tld/").body(())?;
    let (response, _) = client.ready().await?.send_request(request, true)?;
    assert_eq!(timeout(DEADLINE, response).await??.status(), 200);
    assert_eq!(www.connections(), 2);
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_goaway_fails_no_request() -> anyhow::Result<()> {
    let script = |asked: Asked| async { asked.answer("x") };
    let www = Http2Origin::start(h2::server::Builder::new(), Some(7), script).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    for _ in 0..20 {
        let answers = at_once(&client, 50).await?;
        assert!(
            answers.iter().all(|(status, _)| *status == 200),
            "{answers:?}"
        );
    }
    assert!(www.connections() >= 20, "{} connections", www.connections());
    Ok(())
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

/// Clients may send the end of a body in a frame of its own, and some fail if the stream was reset
/// before that.
#[tokio::test]
async fn a_body_may_end_after_the_response() -> anyhow::Result<()> {
    let www = Origin::naming("www").await?;
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
    // Comes after whatever the proxy has sent on that stream.
    assert_eq!(client.get("/").await?.0, 200);
    stream.send_data(Bytes::new(), true)?;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_dead_gets_no_further_request() -> anyhow::Result<()> {
    let script = |asked: Asked| async move {
        if asked.connection == 0 && asked.number > 0 {
            // Not a byte more on this connection.
            std::future::pending::<()>().await;
        }
        let number = asked.connection.to_string();
        asked.answer(number)
    };
    let www = Http2Origin::start(h2::server::Builder::new(), None, script).await?;
    let options = ", protocol = \"h2c\" }\ntimeout.server = \"300ms\"\nserver.unused = { address = \"127.0.0.1:1\"";
    let proxy = proxy(www.address(), options, "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    assert_eq!(client.get("/").await?, (200, "0".into()));
    assert_eq!(client.get("/").await?.0, 504);
    assert_eq!(client.get("/").await?, (200, "1".into()));
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
        // And over HTTP/1.1.
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
    // It says so, and takes no further request.
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

/// A WebSocket's bytes, there and back, by extended CONNECT.
async fn echoes(client: &Http2Client) -> anyhow::Result<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://io.test.tld/chat")
        .header("sec-websocket-version", "13")
        .body(())?;
    let protocol = h2::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let (response, mut stream) = client.ready().await?.send_request(request, false)?;
    let response = timeout(DEADLINE, response).await??;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let mut body = response.into_body();
    for message in ["hello", "again"] {
        stream.send_data(message.into(), false)?;
        let mut seen = Vec::new();
        while seen.len() < message.len() {
            let piece = timeout(DEADLINE, body.data()).await?.context("an echo")??;
            body.flow_control().release_capacity(piece.len())?;
            seen.extend_from_slice(&piece);
        }
        assert_eq!(seen, message.as_bytes());
    }
    // The end of one direction is carried across.
    stream.send_data(Bytes::new(), true)?;
    while let Some(piece) = timeout(DEADLINE, body.data()).await? {
        assert!(piece?.is_empty());
    }
    Ok(())
}

/// The `Sec-WebSocket-Accept` of a key (RFC 6455, section 1.3).
fn accept_of(key: &str) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    STANDARD.encode(digest)
}

/// Switches to WebSocket, and sends back what it gets.
async fn http1_echo() -> anyhow::Result<Origin> {
    Origin::scripted(|mut wire, _| async move {
        let head = wire.head().await?;
        let key = head.field("sec-websocket-key").context("a key")?;
        let accept = accept_of(&key);
        wire.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        ))
        .await?;
        let (mut socket, _) = wire.into_parts();
        let (mut read, mut write) = socket.split();
        tokio::io::copy(&mut read, &mut write).await?;
        Ok(())
    })
    .await
}

async fn http2_echo() -> anyhow::Result<Http2Origin> {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    Http2Origin::start(builder, None, |mut asked: Asked| async move {
        ensure!(asked.request.method() == Method::CONNECT, "{asked:?}");
        ensure!(!asked.request.headers().contains_key("sec-websocket-key"));
        let mut stream = asked.respond.send_response(Response::new(()), false)?;
        let mut body = asked.request.into_body();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            stream.send_data(piece, false)?;
        }
        stream.send_data(Bytes::new(), true)?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn websockets_over_http2() -> anyhow::Result<()> {
    let (http1, http2) = (http1_echo().await?, http2_echo().await?);
    for (server, options) in [
        (http1.address(), ""),
        (http2.address(), ", protocol = \"h2c\""),
    ] {
        let proxy = proxy(server, options, "").await?;
        let client = Http2Client::connect(proxy.address()).await?;
        echoes(&client).await?;
        let line = proxy.line_with("end=tunnel").await?;
        assert!(line.contains("bytes_in=10 bytes_out=10"), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn websockets_over_http1_to_an_http2_server() -> anyhow::Result<()> {
    let www = http2_echo().await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let mut wire = Wire::connect(proxy.address()).await?;
    wire.send(handshake("io.test.tld")).await?;
    let head = wire.head().await?;
    assert_eq!(head.status()?, 101);
    assert!(head.field("sec-websocket-accept").is_some());
    wire.send("hello").await?;
    assert_eq!(wire.exactly(5).await?, b"hello");
    Ok(())
}

#[tokio::test]
async fn a_server_without_websockets_is_a_502() -> anyhow::Result<()> {
    let script = |asked: Asked| async { asked.answer("x") };
    let www = Http2Origin::start(h2::server::Builder::new(), None, script).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let mut wire = Wire::connect(proxy.address()).await?;
    let answer = wire.exchange(handshake("io.test.tld")).await?;
    assert_eq!(answer.head.status()?, 502);
    proxy.line_with("takes no WebSockets over HTTP/2").await?;
    Ok(())
}

/// Reads bodies, and answers with their length.
async fn counting() -> anyhow::Result<Http2Origin> {
    Http2Origin::start(
        h2::server::Builder::new(),
        None,
        |asked: Asked| async move {
            let (parts, mut body) = asked.request.into_parts();
            let mut length = 0;
            while let Some(piece) = body.data().await {
                let piece = piece?;
                length += piece.len();
                body.flow_control().release_capacity(piece.len())?;
            }
            let asked = Asked {
                request: Request::from_parts(parts, body),
                ..asked
            };
            asked.answer(length.to_string())
        },
    )
    .await
}

/// A server sends several window updates for each window of a body: that is no flood.
#[tokio::test]
async fn a_long_upload_is_no_flood() -> anyhow::Result<()> {
    const LENGTH: usize = 40 << 20;
    let www = counting().await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let mut wire = Wire::connect(proxy.address())
        .await?
        .with_deadline(4 * DEADLINE);
    wire.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n"
    ))
    .await?;
    wire.send_bulk(LENGTH).await?;
    assert_eq!(
        wire.response("PUT").await?.body,
        LENGTH.to_string().as_bytes()
    );
    assert_eq!(www.connections(), 1);
    Ok(())
}

/// Each takes no more of the connection's window than it uses.
#[tokio::test]
async fn slow_uploads_do_not_hold_up_others() -> anyhow::Result<()> {
    let www = counting().await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let request = Request::post("http://www.test.tld/").body(())?;
        let (response, mut stream) = client.ready().await?.send_request(request, false)?;
        stream.send_data(vec![b'x'; 100].into(), false)?;
        slow.push((response, stream));
    }
    let mut wire = Wire::connect(proxy.address()).await?;
    wire.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        .await?;
    wire.send_bulk(500_000).await?;
    assert_eq!(wire.response("PUT").await?.body, b"500000");
    for (response, mut stream) in slow {
        stream.send_data(Bytes::new(), true)?;
        assert_eq!(timeout(DEADLINE, response).await??.status(), 200);
    }
    assert_eq!(www.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn trailers_of_a_message_with_a_length() -> anyhow::Result<()> {
    for length in ["0", "2"] {
        let www = Http2Origin::start(
            h2::server::Builder::new(),
            None,
            move |mut asked: Asked| async move {
                let mut response = Response::new(());
                response
                    .headers_mut()
                    .insert("content-length", length.parse()?);
                let mut stream = asked.respond.send_response(response, false)?;
                if length == "2" {
                    stream.send_data("ok".into(), false)?;
                }
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", "0".parse()?);
                stream.send_trailers(trailers)?;
                Ok(())
            },
        )
        .await?;
        let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
        let client = Http2Client::connect(proxy.address()).await?;
        let request = Request::get("http://www.test.tld/").body(())?;
        let (response, _) = client.ready().await?.send_request(request, true)?;
        let response = timeout(DEADLINE, response).await??;
        assert_eq!(response.headers()["content-length"], length);
        let mut body = response.into_body();
        while let Some(piece) = timeout(DEADLINE, body.data()).await? {
            body.flow_control().release_capacity(piece?.len())?;
        }
        let trailers = timeout(DEADLINE, body.trailers()).await??;
        assert_eq!(
            trailers.context("trailers")?["grpc-status"],
            "0",
            "{length}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_request_that_kills_its_connection_is_sent_twice_at_most() -> anyhow::Result<()> {
    // The settings of HTTP/2, and the end once there is a request.
    let www = Origin::scripted(|mut wire, _| async move {
        wire.exactly(24).await?;
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
        loop {
            let head = wire.exactly(9).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            wire.exactly(length as usize).await?;
            if head[3] == 1 {
                return Ok(());
            }
        }
    })
    .await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let client = Http2Client::connect(proxy.address()).await?;
    assert_eq!(client.get("/").await?.0, 502);
    assert_eq!(www.connections(), 2);
    Ok(())
}

#[tokio::test]
async fn a_burst_opens_few_connections() -> anyhow::Result<()> {
    let www = gathering(h2::server::Builder::new(), 250).await?;
    let proxy = proxy(www.address(), ", protocol = \"h2c\"", "").await?;
    let mut answers = JoinSet::new();
    for _ in 0..5 {
        let client = Http2Client::connect(proxy.address()).await?;
        answers.spawn(async move { at_once(&client, 50).await });
    }
    for answers in answers.join_all().await {
        assert!(answers?.iter().all(|(status, _)| *status == 200));
    }
    assert_eq!(www.connections(), 3);
    Ok(())
}

#[tokio::test]
async fn max_body_does_not_end_websockets() -> anyhow::Result<()> {
    let www = http1_echo().await?;
    let proxy = Proxy::pointsman(&format!(
        r#"
        [frontend.http-in]
        bind = {{ address = "127.0.0.1:0", h2c = true }}
        default_backend = "www"
        max_body = "4B"
        [backend.www]
        server.www = "{}"
        "#,
        www.address()
    ))
    .await?;
    echoes(&Http2Client::connect(proxy.address()).await?).await
}
