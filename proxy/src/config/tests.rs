//! Tests of the whole reader: values and defaults, agreement with the manual, and no panic on any
//! text.

mod backend;
mod manuals;
mod servers_file;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::{
    Acme, AcmeChallenge, Admin, Bind, BindAddress, ClientCertificates, Config, DEFAULT_TABLE_SIZE,
    Errors, FrontendTimeouts, Hsts, Isolation, Limits, LogFormat, LogLevel, LogTarget, Mode,
    OnFault, PluginSource, Source, Table, TableFormat, TableValues, TlsVersion, load, parse,
    sections,
};

const HAPROXY: &str = include_str!("../../../tests/config/haproxy.toml");
const EVERY: &str = include_str!("../../../tests/config/every.toml");
const MANUAL: &str = include_str!("../../../docs/run/configuration.md");

fn read(text: &str) -> (Config, Source) {
    parse(Path::new("etc/pointsman.toml"), text.to_owned()).unwrap()
}

fn errors(text: &str) -> Errors {
    parse(Path::new("pointsman.toml"), text.to_owned()).unwrap_err()
}

#[test]
fn reads_the_configuration_of_the_design() {
    let (config, _) = read(HAPROXY);
    let frontend = &config.frontends[0];
    assert_eq!(config.max_connections.unwrap().get(), 4096);
    assert_eq!(config.user.as_deref(), Some("haproxy"));
    let bind = Bind::new(BindAddress::Tcp("0.0.0.0:80".parse().unwrap()));
    assert_eq!(frontend.bind, [bind]);
    assert_eq!(frontend.timeouts.client, Duration::from_hours(24));
    assert_eq!(
        frontend.timeouts.request_header,
        FrontendTimeouts::default().request_header
    );
    assert_eq!(
        config.backend(frontend.default_backend.unwrap()).name,
        "www_backend"
    );
    let router = &frontend.router[0];
    assert_eq!(
        router.plugin,
        PluginSource::Bundled("host-suffix".to_owned())
    );
    let rules = r#"{"rules":[{"backend":"node_backend","suffix":"io.test.tld"}]}"#;
    assert_eq!(
        router.config,
        serde_json::from_str::<serde_json::Value>(rules).unwrap()
    );
    assert_eq!(
        (router.on_fault, router.limits),
        (OnFault::Reject, Limits::default())
    );
    let names: Vec<_> = config.backend_ids().map(|(_, b)| b.name.as_str()).collect();
    assert_eq!(names, ["www_backend", "node_backend"]);
    assert_eq!(
        config.backends[1].servers[0].address.to_string(),
        "localhost:9000"
    );
}

#[test]
fn every_key_takes_effect() {
    let (config, source) = read(EVERY);
    assert_eq!(source.directory(), Path::new("etc"));
    assert_eq!(config.workers.unwrap().get(), 2);
    assert_eq!(config.group.as_deref(), Some("proxies"));
    assert_eq!(config.plugin_cache_dir, Some(PathBuf::from("etc/cache")));
    assert_eq!(config.compile.file_size, 32 << 20);
    assert_eq!(config.compile.memory, 2 << 30);
    assert_eq!(config.compile.time, Duration::from_mins(5));
    assert_eq!(config.drain, Duration::ZERO);
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(!config.log.access);
    assert_eq!(
        config.log.target,
        LogTarget::File("etc/logs/proxy.log".into())
    );

    let admin = Admin {
        socket: Some("etc/admin.sock".into()),
        address: Some(([127, 0, 0, 1], 9901).into()),
        redact: vec![http::HeaderName::from_static("x-api-key")],
    };
    assert_eq!(config.admin, admin);
}

#[test]
fn every_key_of_a_frontend_takes_effect() {
    let (config, _) = read(EVERY);
    let frontend = &config.frontends[0];
    assert_eq!((frontend.name.as_str(), frontend.backlog), ("z", 4096));
    let binds = frontend.bind.iter().map(|bind| bind.address.to_string());
    assert_eq!(
        binds.collect::<Vec<_>>(),
        [
            "127.0.0.1:8080",
            "[::]:8080",
            "localhost:8080",
            "unix:/run/z.sock",
            "unix:etc/./z.sock",
            "0.0.0.0:8443",
            "0.0.0.0:8081",
        ]
    );
    let bind = &frontend.bind[4];
    assert_eq!(bind.access.mode, Some(0o660));
    assert_eq!(bind.access.user.as_deref(), Some("haproxy"));
    assert_eq!(bind.access.group.as_deref(), Some("proxies"));
    let bind = &frontend.bind[5];
    assert_eq!(bind.tls.as_deref(), Some("site"));
    let accept = bind.proxy_protocol.as_ref().unwrap();
    assert_eq!(accept.from[0].to_string(), "10.0.0.0/8");
    assert!(accept.from_unix && !bind.h2c);
    let bind = &frontend.bind[6];
    assert!(bind.h2c && bind.redirect.unwrap().port.unwrap().get() == 8443);
    let hsts = Hsts {
        max_age: Duration::from_hours(24),
        include_subdomains: true,
        preload: true,
    };
    assert_eq!(frontend.hsts, Some(hsts));
    assert_eq!(frontend.mode, Mode::Http);
    assert_eq!(config.frontends[1].mode, Mode::Tcp);
    let timeouts = FrontendTimeouts {
        handshake: Duration::from_secs(3),
        request_header: Duration::from_secs(1),
        keep_alive: Duration::from_secs(2),
        client: Duration::from_mins(90),
        client_fin: Duration::from_secs(4),
    };
    assert_eq!(frontend.timeouts, timeouts);
    assert!(!frontend.forwarded.x_forwarded && !frontend.forwarded.via);
    let trusted: Vec<_> = frontend
        .forwarded
        .trusted_proxies
        .networks
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(trusted, ["10.0.0.0/8", "::1/128"]);
    assert!(frontend.forwarded.trusted_proxies.unix);
    assert!(frontend.http.normalize_path);
    assert_eq!(frontend.http.max_concurrent_streams, 10);

    let router = &frontend.router[0];
    assert_eq!(
        router.plugin,
        PluginSource::File("etc/plugins/mine.wasm".into())
    );
    assert_eq!(router.name, "first");
    assert_eq!(router.on_fault, OnFault::DefaultBackend);
    assert_eq!((router.max_faults, router.watch), (3, false));
    assert_eq!(router.fault_window, Duration::from_mins(1));
    assert_eq!(router.isolation, Isolation::Request);
    let table = r#"{"text":"a","whole":-1,"hexadecimal":255,"fraction":0.5,"flag":true,
        "day":"2024-02-29","list":[1,{"nested":"b"}]}"#;
    assert_eq!(
        router.config,
        serde_json::from_str::<serde_json::Value>(table).unwrap()
    );
    let limits = Limits {
        deadline: Duration::from_millis(5),
        configure_deadline: Duration::from_mins(1),
        memory: 16 << 20,
        host_memory: 512 << 10,
        questions: 128 << 20,
        response: 0,
    };
    assert_eq!(router.limits, limits);
    assert!(config.frontends[1].router.is_empty());
}

#[test]
fn every_key_of_tls_takes_effect() {
    let (config, _) = read(EVERY);
    let [site, more] = &config.tls[..] else {
        panic!("two tables");
    };
    assert_eq!(site.name, "site");
    assert_eq!(site.certificates.len(), 1);
    assert_eq!(
        site.certificates[0].ocsp,
        Some(PathBuf::from("etc/site.ocsp"))
    );
    assert!(site.strict_sni);
    assert_eq!(site.versions, [TlsVersion::Tls13]);
    assert_eq!(site.alpn, Some(vec!["http/1.1".to_owned()]));
    let clients = ClientCertificates {
        ca: "etc/clients.pem".into(),
        is_required: false,
        crl: vec!["etc/clients.crl".into()],
    };
    assert_eq!(site.client_certificates, Some(clients));
    assert_eq!(more.certificates.len(), 2);
    let acme = Acme {
        names: vec!["example.org".to_owned(), "www.example.org".to_owned()],
        contact: vec!["mailto:admin@example.org".to_owned()],
        directory: "https://acme.example.org/directory".to_owned(),
        ca: Some("etc/acme-ca.pem".into()),
        storage: "etc/acme".into(),
        challenge: AcmeChallenge::TlsAlpn01,
    };
    assert_eq!(more.acme, Some(acme));
}

#[test]
fn tables() {
    let table = |lines: &str| {
        let (config, _) = read(&format!("{HAPROXY}\n[table.t]\n{lines}"));
        config.tables[0].clone()
    };
    let plain = Table {
        name: "t".to_owned(),
        file: "etc/t.csv".into(),
        format: TableFormat::Csv,
        values: TableValues::Any,
        file_size: DEFAULT_TABLE_SIZE,
    };
    assert_eq!(table("file = \"t.csv\""), plain);
    let (config, _) = read(EVERY);
    let every = Table {
        name: "tenants".to_owned(),
        file: "etc/tenants.json".into(),
        format: TableFormat::Json,
        values: TableValues::Backends,
        file_size: 1 << 20,
    };
    assert_eq!(config.tables, [every]);
}

#[test]
fn the_manual_has_every_key_and_no_other() {
    let (_, source) = read(EVERY);
    let known = sections::known_keys(&source);
    let rows = MANUAL.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows
        .filter_map(|row| row.split_once('`'))
        .map(|(key, _)| key.to_owned());
    let headings = MANUAL.lines().filter_map(|line| line.strip_prefix("## `["));
    let headings = headings
        .filter_map(|l| l.split_once(']'))
        .map(|(key, _)| key.to_owned());
    let mut documented: BTreeSet<String> = rows.chain(headings).collect();
    // The manual has no heading for tables that contain only named tables.
    let parents = ["frontend", "backend", "backend.NAME.server", "tls", "table"];
    documented.extend(parents.map(str::to_owned));
    let missing: Vec<_> = known.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "missing {missing:?}, stale {stale:?}"
    );
}

/// Checks which part of `HAPROXY` is underlined for a message of a plugin.
#[test]
fn a_plugin_error_is_shown_where_it_belongs() {
    let check = |text: &str, message: &str, underlined: &str, title: &str| {
        let (_, source) = read(text);
        let rendered = source.plugin_error("http-in", 0, message).to_string();
        assert!(rendered.contains(title), "{rendered}");
        let lines: Vec<_> = rendered.lines().collect();
        let marks = lines.iter().find(|line| line.contains('^')).unwrap();
        let at = marks.find('^').unwrap();
        let length = marks.matches('^').count();
        let above = lines.iter().position(|line| line == marks).unwrap() - 1;
        assert_eq!(&lines[above][at..at + length], underlined, "{rendered}");
    };
    let none = "rules[0].backend: no backend of this name";
    let title = "error: `frontend.http-in.router.config.rules[0].backend`: no backend of this name";
    check(HAPROXY, none, "\"node_backend\"", title);
    let element = r#"{ suffix = "io.test.tld", backend = "node_backend" }"#;
    check(
        HAPROXY,
        "rules[0].header: missing",
        element,
        "rules[0].header`: missing",
    );
    check(
        HAPROXY,
        "rules[7]: too many",
        "rules",
        "rules[7]`: too many",
    );
    check(HAPROXY, "rules: empty", "rules", "rules`: empty");
    check(
        HAPROXY,
        "trap: out of bounds",
        "router",
        "`frontend.http-in.router`: trap: out",
    );
    check(
        HAPROXY,
        "no colon",
        "router",
        "`frontend.http-in.router`: no colon",
    );
    check(HAPROXY, "[0]: strange", "router", "[0]: strange");
    check(HAPROXY, ": strange", "router", ": strange");
    let list = HAPROXY
        .replace(
            "router.plugin = \"host-suffix\"",
            "router = [{ plugin = \"canary\" }]",
        )
        .replace("router.config.rules", "# ");
    check(
        &list,
        "percent: missing",
        "{ plugin = \"canary\" }",
        "`frontend.http-in.router[0]`: percent: missing",
    );
    let dotted = HAPROXY.replace("config.rules", "config.\"a.b[0]\"");
    check(
        &dotted,
        "a.b[0][0].backend: x",
        "\"node_backend\"",
        "a.b[0][0].backend`: x",
    );
}

#[test]
fn a_key_error_is_shown_at_the_key() {
    let (_, source) = read(HAPROXY);
    let path = ["backend", "www_backend", "server", "www_test"];
    let errors = source.key_error(&path, "no such host", Some("check the name"));
    let expected = "\
error: `backend.www_backend.server.www_test`: no such host
  --> etc/pointsman.toml:18:19
   |
18 | server.www_test = \"localhost:9010\"
   |                   ^^^^^^^^^^^^^^^^
   |
   = help: check the name";
    assert_eq!(errors.to_string(), expected);
    let errors = source.key_error(&["frontend", "http-in", "bind", "x"], "in use", None);
    assert!(errors.to_string().contains("toml:9:8"), "{errors}");
    let errors = source.key_error(&["nowhere"], "is not there", None);
    assert_eq!(
        errors.to_string(),
        "error: `nowhere`: is not there\n--> etc/pointsman.toml"
    );
}

#[test]
fn errors_merge_and_are_counted() {
    let mut all = errors("maxconn = 1");
    assert_eq!(all.len(), 2);
    all.merge(errors("a = "));
    assert_eq!((all.len(), all.messages().count()), (3, 3));
    assert!(all.styled().contains('\u{1b}') && !all.to_string().contains('\u{1b}'));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let missing = load(&directory.path().join("none.toml")).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    let unreadable = load(directory.path()).unwrap_err();
    assert!(
        unreadable.to_string().contains("cannot be read"),
        "{unreadable}"
    );
    let latin = directory.path().join("latin.toml");
    std::fs::write(&latin, b"a = 1\nb = \"\xe9\"\n").unwrap();
    let latin = load(&latin).unwrap_err().to_string();
    assert!(
        latin.contains("not UTF-8") && latin.contains("latin.toml:2:6"),
        "{latin}"
    );
    let endless = load(Path::new("/dev/zero")).unwrap_err();
    assert!(
        endless.to_string().contains("longer than 16 MiB"),
        "{endless}"
    );
}

/// The work must be proportional to the length of the text, not to its square.
#[test]
fn a_long_file_of_errors_is_reported_whole() {
    let lines: Vec<_> = (0..2000).map(|i| format!("key{i} = {i}")).collect();
    let errors = errors(&lines.join("\n"));
    assert_eq!(errors.len(), 2001);
    assert!(errors.to_string().contains("pointsman.toml:2000:1"));
}

/// Parses `text` and renders the result in every way; must not panic.
fn survive(text: &str) {
    match parse(Path::new("p.toml"), text.to_owned()) {
        Err(errors) => assert!(!errors.to_string().is_empty() && !errors.styled().is_empty()),
        Ok((config, source)) => {
            for frontend in &config.frontends {
                let errors = source.plugin_error(&frontend.name, 0, "rules[0].backend: wrong");
                assert_eq!(errors.len(), 1);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn no_text_like_toml_causes_a_panic(text in r#"([a-c\[\]{}".=,#\\' \n\r0-9é\u{0}]|frontend|backend|router|server|bind|timeout|config|"\*:80"|"5s"){0,60}"#) {
        survive(&text);
    }

    #[test]
    fn no_mutation_causes_a_panic(
        every in any::<bool>(),
        from in any::<prop::sample::Index>(),
        length in 0usize..40,
        patch in r#"[a-z\[\]{}".=,# \n0-9é]{0,12}"#,
    ) {
        let text = if every { EVERY } else { HAPROXY };
        let from = text.floor_char_boundary(from.index(text.len()));
        let to = text.floor_char_boundary((from + length).min(text.len()));
        let mut mutated = text.to_owned();
        mutated.replace_range(from..to, &patch);
        survive(&mutated);
    }

    #[test]
    fn no_plugin_message_causes_a_panic(message in r"[a-z\[\]0-9.: é\n\u{1b}]{0,40}") {
        let (_, source) = read(EVERY);
        let errors = source.plugin_error("z", 0, &message);
        let escaped = errors.to_string().contains('\u{1b}');
        prop_assert!(!escaped);
        source.plugin_error(&message, 3, &message);
    }
}
