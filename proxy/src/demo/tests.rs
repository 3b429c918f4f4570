//! Tests of the demo: its backends over real sockets, and the page.

use std::fs;
use std::net::SocketAddr;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use futures_util::{SinkExt as _, StreamExt as _};

use super::policy::Policy;
use super::*;
use crate::telemetry::{AccessRecord, ClientAddress, End, Times};

/// An interval so long that only the first tick is sent, which comes at once.
const NO_TICK: Duration = Duration::from_hours(1);

fn demo(feed: &Feed) -> Demo {
    Demo::start_with(feed.clone(), 8080, NO_TICK, || Ok(())).unwrap()
}

async fn request(
    address: SocketAddr,
    method: Method,
    path: &str,
    origin: Option<&str>,
) -> Response<String> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "www.localhost");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    drop(sender);
    connection.await.unwrap().unwrap();
    Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
}

async fn open(
    address: SocketAddr,
    origin: Option<&str>,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut request = "ws://io.localhost/".into_client_request().unwrap();
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
    }
    Ok(client_async(request, stream).await?.0)
}

/// Returns the next message of this kind.
async fn next(page: &mut WebSocketStream<TcpStream>, kind: &str) -> Value {
    loop {
        let message = page.next().await.unwrap().unwrap();
        let value: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        if value["type"] == kind {
            return value;
        }
    }
}

#[tokio::test]
async fn the_page_loads_no_other_files() {
    let demo = demo(&Feed::default());
    let response = request(demo.servers.page, Method::GET, "/", None).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-served-by"], "www_backend");
    let html = response.body();
    for left in ["@style@", "@script@", "@port@", "src=", "<link rel=\"style"] {
        assert!(!html.contains(left), "{left}");
    }
    // `${port}` is part of the script, so it must not be replaced.
    assert!(html.contains("`ws://io.localhost${port}/`"));
    assert!(html.contains(":8080</text>"));
}

#[tokio::test]
async fn both_backends_name_themselves() {
    let demo = demo(&Feed::default());
    for (address, name) in [
        (demo.servers.page, "www_backend"),
        (demo.servers.notifier, "node_backend"),
    ] {
        let response = request(address, Method::GET, "/whoami?x", None).await;
        assert_eq!(response.headers()["x-served-by"], name);
        let body: Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(body["served_by"], name);
        assert_eq!(body["host"], "www.localhost");
        assert_eq!(body["target"], "/whoami?x");

        let refused = request(address, Method::POST, "/whoami", None).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn only_pages_under_localhost_may_read() {
    let demo = demo(&Feed::default());
    let check = async |origin: &'static str, may_read: bool| {
        for address in [demo.servers.page, demo.servers.notifier] {
            let response = request(address, Method::GET, "/whoami", Some(origin)).await;
            let allowed = response.headers().get("access-control-allow-origin");
            assert_eq!(allowed.is_some(), may_read, "{origin}");
        }
        let opened = open(demo.servers.notifier, Some(origin)).await;
        match opened {
            Ok(_) => assert!(may_read, "{origin}"),
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), StatusCode::FORBIDDEN);
                assert!(!may_read, "{origin}");
            }
            Err(error) => panic!("{origin}: {error}"),
        }
    };
    check("http://www.localhost:8080", true).await;
    check("http://localhost:8080", true).await;
    check("http://localhost.example.com", false).await;
    check("http://evillocalhost", false).await;
    check("https://example.com", false).await;
    check("null", false).await;
}

#[tokio::test]
async fn a_message_reaches_all_pages() {
    let demo = demo(&Feed::default());
    let mut first = open(demo.servers.notifier, None).await.unwrap();
    let hello = next(&mut first, "hello").await;
    assert_eq!(hello["served_by"], "node_backend");
    let mut second = open(demo.servers.notifier, None).await.unwrap();
    next(&mut second, "hello").await;

    let said = Message::text(format!(" {} ", "ä".repeat(400)));
    first.send(said).await.unwrap();
    for page in [&mut first, &mut second] {
        let heard = next(page, "message").await;
        assert_eq!(heard["from"], hello["number"]);
        assert_eq!(heard["text"].as_str().unwrap().chars().count(), 279);
    }
}

#[tokio::test]
async fn a_message_too_large_ends_its_own_page_only() {
    let demo = demo(&Feed::default());
    let mut first = open(demo.servers.notifier, None).await.unwrap();
    let mut second = open(demo.servers.notifier, None).await.unwrap();
    next(&mut first, "hello").await;
    next(&mut second, "hello").await;
    first.send(Message::text("x".repeat(5000))).await.unwrap();
    // The connection must be closed, with or without a close frame, and the message must not be
    // broadcast.
    while let Some(Ok(message)) = first.next().await {
        assert!(!message.to_text().unwrap_or_default().contains("xxx"));
    }
    second.send(Message::text("still here")).await.unwrap();
    assert_eq!(next(&mut second, "message").await["text"], "still here");
}

#[tokio::test]
async fn ticks_count() {
    let feed = Feed::default();
    let demo = Demo::start_with(feed, 8080, Duration::from_millis(5), || Ok(())).unwrap();
    let mut page = open(demo.servers.notifier, None).await.unwrap();
    let first = next(&mut page, "tick").await["count"].as_u64().unwrap();
    let second = next(&mut page, "tick").await["count"].as_u64().unwrap();
    assert_eq!(second, first + 1);
}

#[tokio::test]
async fn pages_see_the_proxys_access_records() {
    let feed = Feed::default();
    let demo = demo(&feed);
    let mut early = open(demo.servers.notifier, None).await.unwrap();
    next(&mut early, "hello").await;
    let tap = feed.tap();
    tap(&AccessRecord {
        id: None,
        frontend: "http-in",
        client: ClientAddress {
            address: "127.0.0.1",
            port: 5000,
        },
        peer: None,
        method: Some("GET"),
        host: Some(b"www.localhost:8080"),
        target: Some(b"/\"\xff"),
        status: Some(200),
        bytes_in: 0,
        bytes_out: 12,
        backend: Some("www_backend"),
        server: Some("page"),
        stage: None,
        plugin: Some("host-suffix"),
        version: Some(1),
        cached: Some(true),
        tags: &[],
        fault: None,
        end: End::Ok,
        reason: None,
        times: Times {
            decision: Some(Duration::from_nanos(120)),
            ..Times::default()
        },
    });
    let mut late = open(demo.servers.notifier, None).await.unwrap();
    for page in [&mut early, &mut late] {
        let record = next(page, "access").await;
        assert_eq!(record["backend"], "www_backend");
        assert_eq!(record["host"], "www.localhost:8080");
        assert_eq!(record["target"], r#"/\"\xff"#);
        assert_eq!(record["cached"], true);
        assert_eq!(record["decision"], 0.00012);
        assert!(record.get("reason").is_none());
    }
}

#[tokio::test]
async fn dropping_the_demo_ends_it() {
    let demo = demo(&Feed::default());
    let (page, notifier) = (demo.servers.page, demo.servers.notifier);
    let mut open = open(notifier, None).await.unwrap();
    drop(demo);
    while let Some(Ok(_)) = open.next().await {}
    assert!(TcpStream::connect(page).await.is_err());
    assert!(TcpStream::connect(notifier).await.is_err());
}

#[tokio::test]
async fn the_button_swaps_the_plugin_in_the_configuration() {
    let demo = demo(&Feed::default());
    let text = || {
        crate::config::load(demo.config()).unwrap();
        fs::read_to_string(demo.config()).unwrap()
    };
    assert!(text().contains("router.plugin = \"host-suffix\""));
    let page = "http://www.localhost:8080";
    for (origin, plugin, status) in [
        (None, "header-match", StatusCode::FORBIDDEN),
        (
            Some("https://example.com"),
            "header-match",
            StatusCode::FORBIDDEN,
        ),
        (
            Some("http://localhost:3000"),
            "header-match",
            StatusCode::FORBIDDEN,
        ),
        (
            Some("https://www.localhost:8080"),
            "header-match",
            StatusCode::FORBIDDEN,
        ),
        (Some(page), "canary", StatusCode::NOT_FOUND),
    ] {
        let path = format!("/swap/{plugin}");
        let response = request(demo.servers.page, Method::POST, &path, origin).await;
        assert_eq!(response.status(), status, "{origin:?} {plugin}");
        assert!(text().contains("router.plugin = \"host-suffix\""));
    }
    // Two pages can ask for the same plugin.
    for plugin in ["header-match", "header-match", "host-suffix"] {
        let path = format!("/swap/{plugin}");
        let response = request(demo.servers.page, Method::POST, &path, Some(page)).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert!(text().contains(&format!("router.plugin = \"{plugin}\"")));
    }
    let looked = request(
        demo.servers.page,
        Method::GET,
        "/swap/header-match",
        Some(page),
    )
    .await;
    assert_eq!(looked.status(), StatusCode::OK);
    assert!(text().contains("router.plugin = \"host-suffix\""));
}

#[test]
fn the_configuration_names_what_was_started() {
    let servers = Servers {
        port: 9090,
        page: "127.0.0.1:4001".parse().unwrap(),
        notifier: "127.0.0.1:4002".parse().unwrap(),
    };
    for policy in [Policy::HostSuffix, Policy::HeaderMatch] {
        let config: toml::Table = policy.config(servers).parse().unwrap();
        let frontend = &config["frontend"]["http-in"];
        assert_eq!(frontend["bind"].as_str(), Some("127.0.0.1:9090"));
        assert_eq!(
            config["backend"]["node_backend"]["server"]["notifier"].as_str(),
            Some("127.0.0.1:4002")
        );
    }
    let demo = demo(&Feed::default());
    assert!(demo.banner().contains("http://www.localhost:8080/"));
}
