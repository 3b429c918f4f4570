//! The steps of a request's life, one by one: `cargo bench --bench request`.
//!
//! `cargo xtask bench` measures the whole, next to other proxies.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use pointsman::http::forwarded::{Trust, drop_claims, set_x_forwarded};
use pointsman::http::head::Client;
use pointsman::http::message::RequestHead;
use pointsman::http1::write::{Expect, OutgoingRequest, Via, push_request};
use pointsman::http1::{self, Limits, Persistence, Progress, Scan};
use pointsman::plugin::{
    self, Answers, BackendName, BackendState, Backends, Compiler, Engine, EngineLimits,
    Environment, Plugin, ServerState, Settings, Source,
};
use pointsman::router::Router;
use pointsman::router::stage::Stage;
use pointsman::router::version::{Version, VersionSpec};
use pointsman::transport::io::{Io, Socket};
use pointsman::tunnel::{self, End, Scratch, Tunnel};
use pointsman::upstream::Hold;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn main() {
    divan::main();
}

/// A browser's request.
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
    fn names(&self) -> Vec<BackendName> {
        ["node_backend", "www_backend"]
            .map(BackendName::from)
            .to_vec()
    }

    fn find(&self, name: &str) -> Option<BackendName> {
        self.names().into_iter().find(|known| **known == *name)
    }

    fn is_usable(&self, _: &str) -> bool {
        true
    }

    fn state(&self, name: &str) -> Option<BackendState> {
        self.find(name).map(|_| BackendState {
            usable_servers: 1,
            ..BackendState::default()
        })
    }

    fn servers(&self, name: &str) -> Option<Vec<ServerState>> {
        self.configured(name)
    }

    fn configured(&self, name: &str) -> Option<Vec<ServerState>> {
        let server = ServerState::idle("server".into(), 1, None);
        self.find(name).map(|_| vec![server])
    }
}

fn version(config: &serde_json::Value) -> Version {
    version_by(config, |_, plugin, _, _| plugin)
}

fn version_by(
    config: &serde_json::Value,
    prepare: impl FnOnce(&Source, Plugin, &Settings, &Environment) -> Plugin,
) -> Version {
    let engine = Engine::try_new(EngineLimits { instances: 8 }, Compiler::InProcess).unwrap();
    let source = Source {
        name: "host-suffix".to_owned(),
        bytes: include_bytes!("../../plugins/host-suffix/host-suffix.wasm").into(),
    };
    let settings = Settings {
        config: config.to_string(),
        ..Settings::default()
    };
    let plugin = Plugin::load(&engine, &source, None).unwrap();
    let environment = Environment::new(Arc::new(TwoBackends), Arc::default());
    let plugin = prepare(&source, plugin, &settings, &environment);
    let draft = VersionSpec::new(plugin, settings, environment);
    Version::try_new(draft).unwrap().0
}

fn router(config: &serde_json::Value) -> Router {
    Router::new(vec![Stage::new(Arc::new(version(config)), None, 0)], 0)
}

/// Returns the one rule of README.md's example.
fn one_rule() -> serde_json::Value {
    json!({"rules": [{"suffix": "io.test.tld", "backend": "node_backend"}]})
}

/// Returns `count` rules, each for a different field. Only the last one matches.
fn rules(count: usize) -> serde_json::Value {
    let rules = (1..=count).map(|number| {
        let suffix = if number == count { "match" } else { "other" };
        json!({"header": format!("x-{number}"), "suffix": suffix, "backend": "node_backend"})
    });
    json!({"rules": rules.collect::<Vec<_>>()})
}

/// Returns a head with 12 fields of a browser and `more` fields that rules can test, together with
/// its client.
fn request(more: usize) -> (RequestHead, Arc<Client>, Answers) {
    let mut head = RequestHead::default();
    let parsed =
        http1::request::parse(REQUEST, &Limits::default(), &mut Scan::default(), &mut head);
    assert!(matches!(parsed, Ok(Progress::Complete(_))));
    for number in 1..=more {
        let name = format!("x-{number}");
        head.fields_mut().push(name.as_bytes(), b"a match");
    }
    (head, client(), Answers::default())
}

/// Returns the request in the form that the router receives.
fn asked((head, client, answers): &mut (RequestHead, Arc<Client>, Answers)) -> plugin::Request<'_> {
    plugin::Request {
        head,
        client,
        tls: None,
        body: None,
        attempt: 0,
        answers,
        id: None,
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
    let mut request = request(0);
    router.decide(&mut asked(&mut request), None);
    assert!(router.decide(&mut asked(&mut request), None).cached);
    bencher.bench_local(|| router.decide(&mut asked(black_box(&mut request)), None));
}

#[divan::bench]
fn decision_by_host_suffix(bencher: Bencher<'_, '_>) {
    let mut router = router(&one_rule());
    let mut request = request(0);
    bencher.bench_local(|| router.stages_mut()[0].call(&mut asked(black_box(&mut request))));
}

#[divan::bench(args = [1, 8, 32])]
fn decision_by_fields_read(bencher: Bencher<'_, '_>, fields: usize) {
    let mut router = router(&rules(fields));
    let mut request = request(fields);
    router.stages_mut()[0]
        .call(&mut asked(&mut request))
        .unwrap();
    assert_eq!(router.stages()[0].reads().reads.len(), fields);
    bencher.bench_local(|| router.stages_mut()[0].call(&mut asked(black_box(&mut request))));
}

#[divan::bench(args = [1, 8, 32])]
fn decision_from_the_cache_by_fields_read(bencher: Bencher<'_, '_>, fields: usize) {
    let mut router = router(&rules(fields));
    let mut request = request(fields);
    router.decide(&mut asked(&mut request), None);
    assert!(router.decide(&mut asked(&mut request), None).cached);
    bencher.bench_local(|| router.decide(&mut asked(black_box(&mut request)), None));
}

#[divan::bench]
fn instance(bencher: Bencher<'_, '_>) {
    let version = version(&one_rule());
    bencher.bench_local(|| black_box(&version).instantiate().unwrap());
}

/// Measures the same as `instance` with `isolation = "request"`, where the instance starts from a
/// snapshot taken after `configure`.
#[divan::bench]
fn instance_preset(bencher: Bencher<'_, '_>) {
    let version = version_by(&one_rule(), |source, plugin, settings, environment| {
        plugin
            .snapshot(source, settings, environment, None)
            .unwrap()
    });
    bencher.bench_local(|| black_box(&version).instantiate().unwrap());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Parses a request head into spans and writes the head that the server receives.
#[divan::bench]
fn head_of_a_request(bencher: Bencher<'_, '_>) {
    let mut head = RequestHead::default();
    let mut out = Vec::new();
    bencher.bench_local(|| {
        let parsed = http1::request::parse(
            black_box(REQUEST),
            &Limits::default(),
            &mut Scan::default(),
            &mut head,
        );
        let Ok(Progress::Complete(parsed)) = parsed else {
            unreachable!("the request is whole")
        };
        drop_claims(&mut head, Trust::Untrusted);
        set_x_forwarded(&mut head, b"192.0.2.1", None, Trust::Untrusted);
        let with = OutgoingRequest {
            body: parsed.body,
            target: None,
            authority: None,
            default_host: b"",
            edits: &[],
            via: Via::Add,
            expect: Expect::Forward,
            persistence: Persistence::KeepAlive,
        };
        out.clear();
        push_request(&head, &with, &mut out);
        black_box(&out);
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

/// Sends a message through a tunnel and back. Includes the work of client and server and the time
/// spent in the kernel.
#[divan::bench(args = [64, 64 * 1024, 1024 * 1024])]
fn tunnel(bencher: Bencher<'_, '_>, length: usize) {
    const LONG: std::time::Duration = std::time::Duration::from_hours(1);
    let runtime = runtime();
    let local = tokio::task::LocalSet::new();
    let ((mut client, near_client), (near_server, mut server)) =
        runtime.block_on(async { (pair().await, pair().await) });
    let inner = tunnel::Downstream {
        stream: End::Io(Io::plain(Socket::Tcp(near_client))),
        early: Box::default(),
        client: LONG,
        client_fin: LONG,
    };
    let outer = tunnel::Upstream {
        stream: End::Io(Io::plain(Socket::Tcp(near_server))),
        early: Box::default(),
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
