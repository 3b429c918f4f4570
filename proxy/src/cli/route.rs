//! `pointsman route`: one decision, explained.

mod connection;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use self::connection::ConnectionFlags;
use super::lines::{self, Line};
use super::{Exit, response};
use crate::config::{BackendId, Config, Forwarded, Frontend};
use crate::http::field::FieldKind;
use crate::http::forwarded::{self, Trust};
use crate::http::head::Client;
use crate::http::message::RequestHead;
use crate::http::origin::Origin;
use crate::http::path;
use crate::http::syntax;
use crate::http1::request::{self, RequestError};
use crate::http1::{Limits, Scan};
use crate::plugin::{Cacheability, Fault, Request, Route};
use crate::rollout::loader::{ConfiguredBackends, Load, Loader};
use crate::router::Router;

/// Decisions over which the time is taken, after the first one.
const REPEATS: usize = 1000;

/// Flags of `pointsman route`.
#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// The configuration file
    #[arg(
        short,
        long = "config",
        value_name = "FILE",
        default_value = "pointsman.toml"
    )]
    config: PathBuf,
    /// The frontend that gets the request; needed where there are several with a router
    #[arg(short, long, value_name = "NAME")]
    frontend: Option<String>,
    /// A field of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// The address that connects: the client's, or that of a trusted proxy before it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    client: IpAddr,
    #[command(flatten)]
    connection: ConnectionFlags,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The request's method
    #[arg(default_value = "GET", value_parser = parse_method)]
    method: String,
    /// The request's target: a path with its query, or a whole URL, which sets Host too
    #[arg(default_value = "/", value_parser = parse_target)]
    target: String,
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("a header is written as 'Name: value'")?;
    let value = value.trim();
    if !syntax::is_name(name.as_bytes()) {
        return Err(format!("{name:?} is not the name of a header"));
    }
    if !syntax::is_value(value.as_bytes()) {
        return Err(format!("{value:?} is not the value of a header"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_method(text: &str) -> Result<String, String> {
    if !syntax::is_name(text.as_bytes()) {
        return Err("a method is a word, such as GET".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_target(text: &str) -> Result<String, String> {
    let is_printed = |character: char| !character.is_whitespace() && !character.is_control();
    if text.is_empty() || !text.chars().all(is_printed) {
        return Err("a target has no blanks".to_owned());
    }
    Ok(text.to_owned())
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    frontend: String,
    plugin: Option<String>,
    sha256: Option<String>,
    decision: &'static str,
    backend: Option<String>,
    status: Option<u16>,
    /// Of a plugin that answers by itself.
    response: Option<response::Shown>,
    reason: Option<String>,
    edits: Vec<String>,
    reads: Vec<String>,
    cacheable: bool,
    /// The plugin's log lines while it was configured and decided, once.
    log: Vec<Line>,
    /// Of the first decision on a fresh instance.
    first_ns: Option<u128>,
    /// The median of those that follow.
    median_ns: Option<u128>,
    /// The mean of those that come from the cache, where it may keep this one.
    cached_ns: Option<u128>,
}

pub(super) fn run(flags: &Flags) -> Exit {
    match explain(flags) {
        Ok(report) => {
            super::print(&render(&report, flags.json));
            Exit::Success
        }
        Err(exit) => exit,
    }
}

fn explain(flags: &Flags) -> Result<Report, Exit> {
    let (config, source) = super::load(&flags.config)?;
    let frontend = choose(&config, flags.frontend.as_deref())?;
    let mut report = Report {
        frontend: frontend.name.clone(),
        plugin: None,
        sha256: None,
        decision: "default-backend",
        backend: None,
        status: None,
        response: None,
        reason: None,
        edits: Vec::new(),
        reads: Vec::new(),
        cacheable: true,
        log: Vec::new(),
        first_ns: None,
        median_ns: None,
        cached_ns: None,
    };
    let mut head = match head(flags) {
        Ok(head) => head,
        Err(error) => {
            report.decision = "refused";
            report.status = Some(400);
            report.reason = Some(error.to_string());
            return Ok(report);
        }
    };
    if frontend.http.normalize_path
        && let Err(error) = path::normalize(&mut head)
    {
        report.decision = "refused";
        report.status = Some(400);
        report.reason = Some(error.to_string());
        return Ok(report);
    }
    flags.connection.set_line(&mut head);
    let tls = flags.connection.facts()?;
    let client = describe_origin(&mut head, &frontend.forwarded, flags.client);
    let Some(router) = &frontend.router else {
        resolve(&mut report, &config, frontend, &Route::Default);
        return Ok(report);
    };
    let loader =
        Loader::try_new(&config, 1, super::COMPILER).map_err(|error| super::fail(&error))?;
    let load = Load {
        frontend: &frontend.name,
        router,
        plugin: &router.plugin,
        source: None,
        backends: Arc::new(ConfiguredBackends::new(&config)),
        events: None,
    };
    let (loaded, logged) = lines::collect(|| loader.load(load));
    let version = match loaded {
        Ok(loaded) => loaded.numbered(1).0,
        Err(error) => {
            lines::show(&logged);
            super::print_errors(&crate::control::locate(&source, &frontend.name, &error));
            return Err(Exit::Config);
        }
    };
    report.plugin = Some(version.plugin_name().to_owned());
    report.sha256 = Some(version.sha256().to_owned());
    let mut request = Request {
        head: &mut head,
        client: &client,
        tls: tls.as_ref(),
        attempt: 0,
        id: None,
    };
    // Loading has tried other instances out, which logged as much.
    let (asked, logged) = lines::collect(|| {
        let mut router = Router::new(Arc::clone(&version), version.instantiate().ok(), 0);
        let start = Instant::now();
        let decided = router.ask(&mut request);
        (router, decided, start.elapsed())
    });
    let (mut router, decided, first) = asked;
    report.log = logged;
    report.first_ns = Some(first.as_nanos());
    report.reads = router
        .reads()
        .reads
        .iter()
        .map(ToString::to_string)
        .collect();
    report.cacheable =
        router.reads().cacheable && router.cacheability() == Some(Cacheability::Cacheable);
    if decided.is_ok() {
        report.median_ns = Some(median(&mut router, &mut request).as_nanos());
        report.cached_ns = cached(&mut router, &mut request).map(|time| time.as_nanos());
    }
    match decided {
        Ok(decided) => {
            report.edits = decided.edits.describe();
            resolve(&mut report, &config, frontend, &decided.route);
        }
        Err(fault) => failed(&mut report, &fault),
    }
    Ok(report)
}

/// The frontend that was named, or the only one that has a router.
fn choose<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Frontend, Exit> {
    let candidates: Vec<&Frontend> = config
        .frontends
        .iter()
        .filter(|frontend| name.map_or(frontend.router.is_some(), |name| frontend.name == name))
        .collect();
    match (candidates.as_slice(), name) {
        ([only], _) => Ok(only),
        ([], None) => Ok(&config.frontends[0]),
        (_, Some(name)) => Err(usage(&format!("there is no frontend `{name}`"), config)),
        (_, None) => Err(usage(
            "several frontends have a router; choose one with --frontend",
            config,
        )),
    }
}

fn usage(message: &str, config: &Config) -> Exit {
    let names: Vec<_> = config
        .frontends
        .iter()
        .map(|frontend| frontend.name.as_str())
        .collect();
    super::fail(&std::io::Error::other(format!(
        "{message} (there are: {})",
        names.join(", ")
    )))
}

/// The request's head as the plugin would get it.
fn head(flags: &Flags) -> Result<RequestHead, RequestError> {
    let is_host = |name: &str| FieldKind::of(name.as_bytes()) == FieldKind::Host;
    let (version, host) = if flags.headers.iter().any(|(name, _)| is_host(name)) {
        ("1.1", "")
    } else if flags.target.contains("://") {
        ("1.1", "Host:\r\n")
    } else {
        // Someone who asks by hand may leave Host out: as HTTP/1.0 may.
        ("1.0", "")
    };
    let (method, target) = (&flags.method, &flags.target);
    let mut text = format!("{method} {target} HTTP/{version}\r\n{host}");
    for (name, value) in &flags.headers {
        // Writing to a String does not fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    let mut head = RequestHead::default();
    request::parse(
        text.as_bytes(),
        &Limits::default(),
        &mut Scan::default(),
        &mut head,
    )?;
    Ok(head)
}

/// Treats what the head says about its origin as the frontend does, and gives the client.
fn describe_origin(head: &mut RequestHead, settings: &Forwarded, peer: IpAddr) -> Arc<Client> {
    let peer = peer.to_canonical();
    let trusted = &settings.trusted_proxies;
    let (trust, origin) = if trusted.contains(&peer) {
        let origin = Origin::of(head.fields(), |address| trusted.contains(address));
        (Trust::Trusted, origin)
    } else {
        (Trust::Untrusted, Origin::default())
    };
    head.set_scheme(origin.scheme.unwrap_or(head.scheme()));
    let peer = Client::named(peer);
    let named = origin.client.map(Client::named);
    forwarded::drop_claims(head, trust);
    if settings.x_forwarded {
        let client = named.as_ref().map(|client| client.address.as_bytes());
        forwarded::set_x_forwarded(head, peer.address.as_bytes(), client, trust);
    }
    Arc::new(named.unwrap_or(peer))
}

fn resolve(report: &mut Report, config: &Config, frontend: &Frontend, route: &Route) {
    let backend = match route {
        Route::Backend(name) => {
            report.decision = "backend";
            Some(name.to_string())
        }
        Route::Default => {
            report.decision = "default-backend";
            frontend
                .default_backend
                .map(|id: BackendId| config.backend(id).name.clone())
        }
        Route::Respond(response) => {
            report.decision = "respond";
            report.status = Some(response.status);
            report.response = Some(response::Shown::new(response));
            return;
        }
    };
    if backend.is_none() {
        report.status = Some(503);
        report.reason = Some("the frontend has no default backend".to_owned());
    }
    report.backend = backend;
}

fn failed(report: &mut Report, fault: &Fault) {
    report.decision = "fault";
    report.reason = Some(match fault {
        Fault::Trap { backtrace, .. } if !backtrace.is_empty() => format!("{fault}\n{backtrace}"),
        fault => fault.to_string(),
    });
}

fn median(router: &mut Router, request: &mut Request<'_>) -> Duration {
    let mut times = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        let start = Instant::now();
        // How it ends was seen on the first.
        let _ = router.ask(request);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[REPEATS / 2]
}

/// The time of a decision from the cache; None where it is not kept there. All in one go:
/// reading the clock takes as long.
fn cached(router: &mut Router, request: &mut Request<'_>) -> Option<Duration> {
    // The first puts it in.
    router.decide(request, None);
    if !router.decide(request, None).cached {
        return None;
    }
    let start = Instant::now();
    for _ in 0..REPEATS {
        router.decide(request, None);
    }
    Some(start.elapsed() / u32::try_from(REPEATS).unwrap_or(u32::MAX))
}

fn render(report: &Report, json: bool) -> String {
    if json {
        return serde_json::to_string(report).unwrap_or_default() + "\n";
    }
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        for (index, part) in value.split('\n').enumerate() {
            let name = if index == 0 { name } else { "" };
            let line = format!("{name:<10}{part}");
            // Writing to a String does not fail.
            let _ = writeln!(text, "{}", line.trim_end());
        }
    };
    let mut decision = report.decision.to_owned();
    if let Some(backend) = &report.backend {
        decision = format!("{backend} ({decision})");
    }
    if let Some(status) = report.status {
        decision = format!("{decision} {status}");
    }
    line("decision", &decision);
    if let Some(reason) = &report.reason {
        line("reason", reason);
    }
    if let Some(response) = &report.response {
        line("response", &response.to_string());
    }
    line("frontend", &report.frontend);
    if let Some(plugin) = &report.plugin {
        line("plugin", plugin);
        line(
            "read",
            &if report.reads.is_empty() {
                "nothing".to_owned()
            } else {
                report.reads.join(", ")
            },
        );
        line("cacheable", if report.cacheable { "yes" } else { "no" });
    }
    if !report.edits.is_empty() {
        line("edits", &report.edits.join("\n"));
    }
    if !report.log.is_empty() {
        let lines: Vec<_> = report.log.iter().map(ToString::to_string).collect();
        line("log", &lines.join("\n"));
    }
    if let (Some(first), Some(median)) = (report.first_ns, report.median_ns) {
        let mut text = format!("{}; {} at first", nanoseconds(median), nanoseconds(first));
        if let Some(cached) = report.cached_ns {
            text = format!("{text}; {} from the cache", nanoseconds(cached));
        }
        line("time", &text);
    }
    text
}

fn nanoseconds(time: u128) -> String {
    match time {
        0..10_000 => format!("{time} ns"),
        10_000..10_000_000 => format!("{} µs", time / 1000),
        _ => format!("{} ms", time / 1_000_000),
    }
}
