//! `backend.NAME.check`: active health checks.

use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::statuses;
use crate::config::hints::Section;
use crate::config::reader::{Entry, Table};
use crate::config::sections::whole;
use crate::config::{Check, CheckKind, Server, ServerAddress, Statuses};

/// Kind of a check, as configured.
#[derive(Clone, Copy)]
enum Kind {
    Tcp,
    Http,
    Grpc,
}

const KINDS: [(&str, Kind); 3] = [
    ("tcp", Kind::Tcp),
    ("http", Kind::Http),
    ("grpc", Kind::Grpc),
];

const HTTP_KEYS: [&str; 3] = ["path", "host", "expect"];
const GRPC_KEYS: [&str; 1] = ["service"];

/// Range of the interval. Shorter intervals would burden the servers; with longer ones, checks
/// would be useless.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);

/// Number of consecutive checks.
const COUNT: RangeInclusive<u32> = 1..=100;

/// Default response statuses that count as success.
const EXPECTED: RangeInclusive<u16> = 200..=399;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_RISE: u32 = 2;
const DEFAULT_FALL: u32 = 3;

/// Reads `check`: a word or a table. `servers` are the servers to check.
pub(super) fn check(entry: &Entry<'_>, servers: &[Server]) -> Option<Check> {
    if !entry.is_table() {
        let kind = check_kind(entry.choice(&KINDS)?, Options::default());
        return Some(Check {
            kind,
            interval: DEFAULT_INTERVAL,
            timeout: DEFAULT_TIMEOUT,
            rise: DEFAULT_RISE,
            fall: DEFAULT_FALL,
            port: None,
        });
    }
    let mut table = entry.table(Section::Check)?;
    let kind = table.value_or("kind", Kind::Http, |e| e.choice(&KINDS));
    if !matches!(kind, Kind::Http) {
        table.reject(&HTTP_KEYS, "applies only to `kind = \"http\"`");
    }
    if !matches!(kind, Kind::Grpc) {
        table.reject(&GRPC_KEYS, "applies only to `kind = \"grpc\"`");
    }
    let port = table.take("port");
    if let Some(port) = &port {
        check_port(port, servers);
    }
    let port = port.and_then(|e| u16::try_from(e.integer(1..=65_535)?).ok());
    let check = Check {
        kind: check_kind(kind, options(&mut table)),
        interval: table.value_or("interval", DEFAULT_INTERVAL, |e| e.duration(INTERVAL)),
        timeout: table.value_or("timeout", DEFAULT_TIMEOUT, |e| e.duration(TIMEOUT)),
        rise: table.value_or("rise", DEFAULT_RISE, |e| whole(e, COUNT)),
        fall: table.value_or("fall", DEFAULT_FALL, |e| whole(e, COUNT)),
        port: port.and_then(NonZeroU16::new),
    };
    table.finish();
    Some(check)
}

/// Keys that apply only to one kind of check.
#[derive(Default)]
struct Options {
    path: Option<String>,
    host: Option<String>,
    expect: Option<Statuses>,
    service: Option<String>,
}

fn options(table: &mut Table<'_>) -> Options {
    Options {
        path: table.take("path").and_then(|e| path(&e)),
        host: table.take("host").and_then(|e| host(&e)),
        expect: table.take("expect").map(|e| expect(&e)),
        service: table.take("service").and_then(|e| service(&e)),
    }
}

fn check_kind(kind: Kind, options: Options) -> CheckKind {
    match kind {
        Kind::Tcp => CheckKind::Tcp,
        Kind::Http => CheckKind::Http {
            path: options.path.unwrap_or_else(|| "/".to_owned()),
            host: options.host,
            expect: options.expect.unwrap_or_else(|| Statuses(vec![EXPECTED])),
        },
        Kind::Grpc => CheckKind::Grpc {
            service: options.service.unwrap_or_default(),
        },
    }
}

fn check_port(entry: &Entry<'_>, servers: &[Server]) {
    let is_unix = |server: &&Server| matches!(server.address, ServerAddress::Unix(_));
    if let Some(server) = servers.iter().find(is_unix) {
        let what = format!("does not go with `server.{}`", server.name);
        let help = "leave it out, or give such servers a backend of their own";
        entry.refuse(&what, "a Unix socket has no port", help);
    }
}

fn path(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text("/health")?;
    let label = if !text.starts_with('/') {
        "does not begin with `/`"
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        "contains a blank, a control character or a non-ASCII character"
    } else {
        return Some(text.to_owned());
    };
    entry.refuse("is not a path", label, "as in `\"/health\"`");
    None
}

fn host(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text("example.org")?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let label = "empty, or contains a blank, a control character or a non-ASCII character";
        entry.refuse("is not a host", label, "as in `\"example.org\"`");
        return None;
    }
    Some(text.to_owned())
}

fn expect(entry: &Entry<'_>) -> Statuses {
    let elements = entry.one_or_many();
    if elements.is_empty() {
        entry.refuse("has no status", "empty", "as in `\"2xx\"`");
    }
    let read = |element: &Entry<'_>| {
        let text = element.text("2xx")?;
        statuses::range(element, text, &statuses::FINAL)
    };
    Statuses(elements.iter().filter_map(read).collect())
}

fn service(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text("example.Greeter")?;
    if text.chars().any(char::is_control) {
        let help = "as in `\"example.Greeter\"`";
        entry.refuse("is not a service", "a control character", help);
        return None;
    }
    Some(text.to_owned())
}
