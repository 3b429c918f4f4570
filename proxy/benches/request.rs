//! The parts of a request's way, one by one: `cargo bench --bench request`.
//!
//! How long they take together is for `cargo xtask bench` to say, beside other proxies.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::convert::Infallible;
use std::sync::Arc;

use divan::{Bencher, black_box};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pointsman::http::head::{Client, Head, Scheme};
use pointsman::plugin::{
    BackendName, BackendState, Backends, Compiler, Engine, EngineLimits, Plugin, Settings, Source,
};
use pointsman::request::admit;
use pointsman::router::Router;
use pointsman::router::version::{Draft, Version};
use pointsman::stream::Stream;
use pointsman::tunnel::{self, Scratch, Tunnel};
use pointsman::upstream::Hold;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn main() {
    divan::main();
}

/// What a browser sends.
const REQUEST: &[u8] = b"GET /index.html?a=b HTTP/1.1\r\n\
    Host: io.test.tld\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: none\r\n\
    Priority: u=0, i\r\n\r\n";

#[derive(Debug)]
struct TwoBackends;

impl Backends for TwoBackends {
    fn find(&self, name: &str) -> Option<BackendName> {
        ["www_backend", "node_backend"]
            .contains(&name)
            .then(|| BackendName::from(name))
    }

    fn state(&self, name: &str) -> Option<BackendState> {
        Some(BackendState {
            usable_servers: self.servers(name)?,
            active: 0,
            queued: 0,
        })
    }

    fn servers(&self, name: &str) -> Option<u32> {
        self.find(name).map(|_| 1)
    }
}

fn version(config: &serde_json::Value) -> Version {
    version_by(config, |_, plugin, _, _| plugin)
}

fn version_by(
    config: &serde_json::Value,
    prepare: impl FnOnce(&Source, Plugin, &Settings, &Arc<dyn Backends>) -> Plugin,
) -> Version {
    let engine = Engine::try_new(EngineLimits { instances: 8 }, Compiler::Here).unwrap();
    let source = Source {
        name: "host-suffix".to_owned(),
        bytes: include_bytes!("../../plugins/host-suffix/host-suffix.wasm").into(),
    };
    let settings = Settings {
        config: config.to_string(),
        ..Settings::default()
    };
    let plugin = Plugin::load(&engine, &source, None).unwrap();
    let backends: Arc<dyn Backends> = Arc::new(TwoBackends);
    let plugin = prepare(&source, plugin, &settings, &backends);
    let draft = Draft::new(plugin, settings, backends);
    Version::try_new(draft).unwrap().0
}

fn router(config: &serde_json::Value) -> Router {
    Router::new(Arc::new(version(config)), None, 0)
}

/// The scenario's one rule.
fn one_rule() -> serde_json::Value {
    json!({"rules": [{"suffix": "io.test.tld", "backend": "node_backend"}]})
}

/// `count` rules, each about another field, of which only the last matches.
fn rules(count: usize) -> serde_json::Value {
    let rules = (1..=count).map(|number| {
        let suffix = if number == count { "match" } else { "other" };
        json!({"header": format!("x-{number}"), "suffix": suffix, "backend": "node_backend"})
    });
    json!({"rules": rules.collect::<Vec<_>>()})
}

/// A head with 12 fields of a browser, and `more` that a rule may ask for.
fn head(more: usize) -> Head {
    let mut headers = HeaderMap::new();
    let text = std::str::from_utf8(REQUEST).unwrap();
    for line in text.lines().skip(1).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    for number in 1..=more {
        let name = HeaderName::try_from(format!("x-{number}")).unwrap();
        headers.append(name, HeaderValue::from_static("a match"));
    }
    Head {
        method: Method::GET,
        scheme: Scheme::Http,
        path_and_query: "/index.html?a=b".parse().unwrap(),
        headers,
        client: client(),
    }
}

fn client() -> Arc<Client> {
    Arc::new(Client {
        address: "127.0.0.1".to_owned(),
        port: 40_000,
    })
}

#[divan::bench]
fn decision_from_the_cache(bencher: Bencher<'_, '_>) {
    let mut router = router(&one_rule());
    let mut head = head(0);
    router.decide(&mut head);
    assert!(router.decide(&mut head).cached);
    bencher.bench_local(|| router.decide(black_box(&mut head)));
}

#[divan::bench]
fn decision_by_host_suffix(bencher: Bencher<'_, '_>) {
    let mut router = router(&one_rule());
    let mut head = head(0);
    bencher.bench_local(|| router.ask(black_box(&mut head)));
}

#[divan::bench(args = [1, 8, 32])]
fn decision_by_fields_read(bencher: Bencher<'_, '_>, fields: usize) {
    let mut router = router(&rules(fields));
    let mut head = head(fields);
    router.ask(&mut head).unwrap();
    assert_eq!(router.reads().reads.len(), fields);
    bencher.bench_local(|| router.ask(black_box(&mut head)));
}

#[divan::bench(args = [1, 8, 32])]
fn decision_from_the_cache_by_fields_read(bencher: Bencher<'_, '_>, fields: usize) {
    let mut router = router(&rules(fields));
    let mut head = head(fields);
    router.decide(&mut head);
    assert!(router.decide(&mut head).cached);
    bencher.bench_local(|| router.decide(black_box(&mut head)));
}

#[divan::bench]
fn instance(bencher: Bencher<'_, '_>) {
    let version = version(&one_rule());
    bencher.bench_local(|| black_box(&version).instantiate().unwrap());
}

/// The same as `isolation = "request"` has it: as it is once it is configured.
#[divan::bench]
fn instance_preset(bencher: Bencher<'_, '_>) {
    let version = version_by(&one_rule(), |source, plugin, settings, backends| {
        plugin.preset(source, settings, backends, None).unwrap()
    });
    bencher.bench_local(|| black_box(&version).instantiate().unwrap());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// From bytes in memory to an admitted request, and an empty answer: hyper's share of it
/// included, the system's not.
#[divan::bench]
fn admitted_request(bencher: Bencher<'_, '_>) {
    const ANSWER: usize = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\
        date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
        .len();
    let runtime = runtime();
    let (mut far, near) = tokio::io::duplex(64 * 1024);
    let client = client();
    let service = service_fn(move |request: Request<Incoming>| {
        let (parts, incoming) = request.into_parts();
        black_box(admit::admit(parts, &incoming, &client).unwrap());
        std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(near), service);
    let local = tokio::task::LocalSet::new();
    local.spawn_local(connection);
    bencher.bench_local(|| {
        local.block_on(&runtime, async {
            far.write_all(REQUEST).await.unwrap();
            far.read_exact(&mut [0; ANSWER]).await.unwrap();
        });
    });
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let pair = (near.unwrap(), far.unwrap().0);
    pair.0.set_nodelay(true).unwrap();
    pair.1.set_nodelay(true).unwrap();
    pair
}

/// A message through a tunnel and back; both ends and the system's share included.
#[divan::bench(args = [64, 64 * 1024, 1024 * 1024])]
fn tunnel(bencher: Bencher<'_, '_>, length: usize) {
    const LONG: std::time::Duration = std::time::Duration::from_hours(1);
    let runtime = runtime();
    let local = tokio::task::LocalSet::new();
    let ((mut client, near_client), (near_server, mut server)) =
        runtime.block_on(async { (pair().await, pair().await) });
    let inner = tunnel::Downstream {
        stream: Stream::Tcp(near_client),
        early: Bytes::new(),
        client: LONG,
        client_fin: LONG,
    };
    let outer = tunnel::Upstream {
        stream: Stream::Tcp(near_server),
        early: Bytes::new(),
        hold: Hold::default(),
        idle: None,
        server: LONG,
        server_fin: LONG,
    };
    let mut tunnel = Tunnel::new(inner, outer, Scratch::default());
    local.spawn_local(std::future::poll_fn(move |cx| tunnel.poll(cx)));
    let message = vec![7; length];
    let mut there = vec![0; length];
    let mut back = vec![0; length];
    bencher
        .counter(divan::counter::BytesCount::new(2 * length))
        .bench_local(|| {
            local.block_on(&runtime, async {
                let echo = async {
                    server.read_exact(&mut there).await.unwrap();
                    server.write_all(&there).await.unwrap();
                };
                let (mut from, mut to) = client.split();
                let ask = async { to.write_all(&message).await.unwrap() };
                let answer = async { from.read_exact(&mut back).await.unwrap() };
                tokio::join!(ask, echo, answer);
            });
        });
}
