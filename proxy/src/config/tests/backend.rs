//! Tests of `[backend.NAME]`: every key, and values that depend on one another.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Method};

use super::{EVERY, errors, read};
use crate::config::{
    Affinity, AffinityCookie, Backend, BackendTimeouts, Balance, CertificateFiles, Check,
    CheckKind, Failures, Hash, HashKey, HttpReuse, Init, LearnedAffinity, Outlier, Protocol,
    ProxyVersion, Resolve, Retry, SameSite, Secure, Server, ServerAddress, ServerState, ServerTls,
    Statuses,
};

/// Parses a backend that has one server and these lines.
fn backend(lines: &str) -> Backend {
    let (config, _) = read(&text(lines));
    config.backends.into_iter().next().unwrap()
}

fn text(lines: &str) -> String {
    format!(
        "[frontend.a]\nbind = \"*:80\"\ndefault_backend = \"b\"\n\
         [backend.b]\nserver.a = \"localhost:80\"\n{lines}"
    )
}

#[test]
fn every_key_of_a_backend_takes_effect() {
    let (config, _) = read(EVERY);
    let backend = &config.backends[0];
    let timeouts = BackendTimeouts {
        connect: Duration::from_millis(1500),
        queue: Duration::ZERO,
        server: Duration::from_hours(24),
        tunnel: Some(Duration::from_hours(12)),
        server_fin: Duration::from_millis(1),
        server_keep_alive: Duration::from_secs(3),
    };
    assert_eq!(backend.timeouts, timeouts);
    assert_eq!(backend.http_reuse, HttpReuse::Always);
    assert_eq!(
        backend.servers_file,
        Some(PathBuf::from("etc/servers.json"))
    );
    let resolve = Resolve {
        init: Init::Required,
        nameservers: vec![
            "127.0.0.1:53".parse().unwrap(),
            "[::1]:5353".parse().unwrap(),
        ],
        min_interval: Duration::from_millis(100),
        max_interval: Duration::from_hours(1),
    };
    assert_eq!(backend.resolve, resolve);
    assert_eq!(backend.slow_start, Some(Duration::from_secs(30)));
    assert_eq!(backend.max_requests, NonZeroU32::new(1000));
    assert_eq!(backend.max_queue, 0);
    let hash = Hash {
        key: HashKey::Header(HeaderName::from_static("x-user")),
        max_load: Some(125),
    };
    assert_eq!(backend.balance, Balance::Hash(hash));
    assert_eq!(config.backends[1].balance, Balance::PeakEwma);
}

#[test]
fn every_key_about_failures_takes_effect() {
    let (config, _) = read(EVERY);
    let backend = &config.backends[0];
    let check = Check {
        kind: CheckKind::Http {
            path: "/health?full=1".to_owned(),
            host: Some("health.example.org".to_owned()),
            expect: Statuses(vec![200..=200, 300..=399, 401..=403]),
        },
        interval: Duration::from_secs(10),
        timeout: Duration::from_millis(500),
        rise: 1,
        fall: 100,
        port: NonZeroU16::new(8081),
    };
    assert_eq!(backend.check, Some(check));
    let grpc = CheckKind::Grpc {
        service: "example.Greeter".to_owned(),
    };
    assert_eq!(config.backends[1].check.as_ref().unwrap().kind, grpc);
    let outlier = Outlier {
        consecutive: 0,
        on: Failures {
            reset: true,
            statuses: Statuses(vec![500..=599]),
            ..Failures::default()
        },
        ejection: Duration::from_secs(30),
        max_ejection: Duration::from_hours(1),
        max_ejected: 100,
        panic: 20,
    };
    assert_eq!(backend.outlier, outlier);
    let retry = Retry {
        attempts: 16,
        on: Failures {
            connect: true,
            refused_stream: true,
            reset: true,
            timeout: true,
            statuses: Statuses(vec![502..=504, 429..=429]),
        },
        methods: vec![Method::POST, Method::from_bytes(b"PURGE").unwrap()],
        pause: Duration::ZERO,
        budget: 0,
    };
    assert_eq!(backend.retry, retry);
}

#[test]
fn every_key_of_affinity_takes_effect() {
    let (config, _) = read(EVERY);
    let cookie = AffinityCookie {
        name: "server".to_owned(),
        secret: "correct horse".to_owned(),
        secure: Secure::Always,
        http_only: false,
        same_site: SameSite::None,
        max_age: Some(Duration::from_hours(24)),
    };
    assert_eq!(config.backends[0].affinity, Some(Affinity::Cookie(cookie)));
    let learned = LearnedAffinity {
        field: HeaderName::from_static("mcp-session-id"),
        ttl: Duration::from_hours(1),
        max_entries: 64,
    };
    let learned = Affinity::Learned(learned);
    assert_eq!(config.backends[1].affinity, Some(learned));
}

#[test]
fn every_key_of_a_server_takes_effect() {
    let (config, _) = read(EVERY);
    let [b, a, c] = &config.backends[0].servers[..] else {
        panic!("three servers");
    };
    let tcp = |host: &str, port| ServerAddress::Tcp {
        host: host.to_owned(),
        port,
    };
    assert_eq!(*b, Server::new("b", tcp("example.org", 80)));
    let full = Server {
        weight: 0,
        backup: true,
        state: ServerState::Drain,
        max_requests: NonZeroU32::new(100),
        max_queue: 10,
        ..Server::new("a", tcp("::1", 8080))
    };
    assert_eq!(*a, full);
    let srv = ServerAddress::Srv("_http._tcp.example.org".to_owned());
    let srv = Server {
        weight: 256,
        state: ServerState::Maintenance,
        ..Server::new("c", srv)
    };
    assert_eq!(*c, srv);
    let servers = &config.backends[1].servers;
    let unix = ServerAddress::Unix("/run/api.sock".into());
    assert_eq!(servers[0].address, unix);
    assert_eq!(servers[0].protocol, Protocol::H2c);
    let tls = ServerTls {
        ca: Some("etc/ca.pem".into()),
        server_name: Some("api.example.org".to_owned()),
        certificate: Some(CertificateFiles {
            certificate: "etc/proxy.pem".into(),
            key: "etc/proxy.key".into(),
            ocsp: None,
        }),
        danger_accept_invalid: true,
    };
    assert_eq!(servers[1].tls, Some(tls));
    assert_eq!(servers[1].protocol, Protocol::Http2);
    assert_eq!(servers[1].proxy_protocol, Some(ProxyVersion::V2));
    assert_eq!(servers[2].tls, Some(ServerTls::default()));
    assert_eq!(servers[2].protocol, Protocol::Negotiated);
}

#[test]
fn omitted_keys_have_their_defaults() {
    let address = ServerAddress::Tcp {
        host: "localhost".to_owned(),
        port: 80,
    };
    let plain = Backend::new("b", vec![Server::new("a", address)]);
    assert_eq!(backend(""), plain);
    let empty = "resolve = {}\noutlier = {}\nretry = {}";
    assert_eq!(backend(empty), plain);
}

#[test]
fn short_forms_stand_for_tables() {
    let balances = [
        ("\"least_requests\"", Balance::LeastRequests),
        ("\"round_robin\"", Balance::RoundRobin),
        ("\"random\"", Balance::Random),
        ("\"first\"", Balance::First),
    ];
    for (text, balance) in balances {
        assert_eq!(backend(&format!("balance = {text}")).balance, balance);
    }
    let hash = |key: &str| backend(&format!("balance.hash = \"{key}\"")).balance;
    let by = |key| {
        Balance::Hash(Hash {
            key,
            max_load: None,
        })
    };
    assert_eq!(hash("client"), by(HashKey::Client));
    assert_eq!(hash("cookie:s"), by(HashKey::Cookie("s".to_owned())));
    assert_eq!(hash("query:a:b"), by(HashKey::Query("a:b".to_owned())));

    for kind in ["tcp", "http", "grpc"] {
        let short = backend(&format!("check = \"{kind}\"")).check;
        assert_eq!(short, backend(&format!("check.kind = \"{kind}\"")).check);
    }
    let check = backend("check = {}").check.unwrap();
    let usual = CheckKind::Http {
        path: "/".to_owned(),
        host: None,
        expect: Statuses(vec![200..=399]),
    };
    assert_eq!(check.kind, usual);
    let seconds = (check.interval.as_secs(), check.timeout.as_secs());
    assert_eq!((seconds, check.rise, check.fall), ((2, 1), 2, 3));
}

#[test]
fn a_servers_file_may_be_the_only_source() {
    let servers_file = |server: &str| {
        let lines = format!("servers_file = \"s.toml\"\n{server}");
        let text = text(&lines).replace("server.a = \"localhost:80\"\n", "");
        read(&text).0.backends[0].servers.len()
    };
    assert_eq!(servers_file(""), 0);
    assert_eq!(servers_file("server = {}"), 0);
    assert_eq!(servers_file("server.b = \"localhost:81\""), 1);
}

#[test]
fn intervals_are_ordered() {
    let check = |lines: &str, message: &str| {
        let errors = errors(&text(lines)).to_string();
        assert!(errors.contains(message), "{errors}");
    };
    check(
        "outlier = { ejection = \"2m\", max_ejection = \"1m\" }",
        "`backend.b.outlier.ejection` is longer than `max_ejection`",
    );
    check("outlier.ejection = \"10m\"", "`max_ejection` is `5m`");
    check("outlier.max_ejection = \"1s\"", "`ejection` is `10s`");
    let equal = "resolve = { min_interval = \"1m\", max_interval = \"1m\" }";
    assert_eq!(backend(equal).resolve.max_interval, Duration::from_mins(1));
}
