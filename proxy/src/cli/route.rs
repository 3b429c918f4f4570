//! `pointsman route`: explains one decision.

mod connection;
mod report;
mod request;

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::connection::ConnectionFlags;
use self::report::{Answered, Report, StageReport};
use super::lines;
use super::{Exit, response};
use crate::config::{BackendId, Config, Frontend, Mode, OnFault, Source, TooLarge};
use crate::http::message::RequestHead;
use crate::http::path;
use crate::http::syntax;
use crate::plugin::{
    Answers, BodyPrefix, Cacheability, Decision, Environment, Fault, Read, Request, Route,
};
use crate::rollout::backends::ConfiguredBackends;
use crate::rollout::loader::{Load, Loader};
use crate::router::Router;
use crate::router::stage::Stage;
use crate::router::version::Version;
use crate::tables::{PreparedTables, Tables};

/// Number of decisions that are timed after the first one.
const REPEATS: usize = 1000;

/// Flags of `pointsman route`.
#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// Configuration file
    #[arg(
        short,
        long = "config",
        value_name = "FILE",
        default_value = "pointsman.toml"
    )]
    config: PathBuf,
    /// Frontend that gets the request; required if several have a router
    #[arg(short, long, value_name = "NAME")]
    frontend: Option<String>,
    /// Header field of the request; can be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// Address of the peer: the client, or a trusted proxy in front of this one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    client: IpAddr,
    #[command(flatten)]
    connection: ConnectionFlags,
    /// Body of the request; the router sees only the part that the frontend waits for
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Number of earlier choices for the request that have failed
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    attempt: u32,
    /// Print each plugin's reads, questions, their results, and its decision
    #[arg(long)]
    explain: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Method of the request
    #[arg(default_value = "GET", value_parser = parse_method)]
    method: String,
    /// Target of the request: a path with its query, or a URL, which also sets Host
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

pub(super) fn run(flags: &Flags) -> Exit {
    match explain(flags) {
        Ok(report) if flags.json => {
            super::print(&report.json());
            Exit::Success
        }
        Ok(report) => {
            super::print(&report.text(flags.explain));
            Exit::Success
        }
        Err(exit) => exit,
    }
}

/// Loads the configured tables from their files.
fn tables(config: &Config, source: &Source) -> Result<Arc<Tables>, Exit> {
    let backends = config.backends.iter();
    let backends: HashSet<&str> = backends.map(|backend| backend.name.as_str()).collect();
    let is_backend = |name: &str| backends.contains(name);
    match PreparedTables::new(&config.tables, None, &is_backend) {
        Ok(prepared) => Ok(prepared.commit(None).tables),
        Err(mistakes) => {
            for (name, error) in mistakes {
                super::print_errors(&crate::control::locate_table(config, source, &name, &error));
            }
            Err(Exit::Config)
        }
    }
}

fn explain(flags: &Flags) -> Result<Report, Exit> {
    let (config, source) = super::load(&flags.config)?;
    let frontend = choose(&config, flags.frontend.as_deref())?;
    let mut report = Report {
        frontend: frontend.name.clone(),
        decision: "default-backend",
        cacheable: true,
        ..Report::default()
    };
    let mut head = match admitted(flags, frontend) {
        Ok(head) => head,
        Err(reason) => return Ok(report.refused(400, reason)),
    };
    let body = match body_prefix(flags, frontend, &head) {
        Ok(body) => body,
        Err(reason) => return Ok(report.refused(413, reason)),
    };
    let tls = flags.connection.facts()?;
    let (client, tls) = match frontend.mode {
        Mode::Http => {
            let client = request::describe_origin(&mut head, &frontend.forwarded, flags.client);
            (client, tls)
        }
        Mode::Tcp => {
            let ends_tls = frontend.bind.iter().any(|bind| bind.tls.is_some());
            (request::peer(flags.client), tls.filter(|_| ends_tls))
        }
    };
    if frontend.router.is_empty() {
        resolve(&mut report, &config, frontend, &Route::Default);
        return Ok(report);
    }
    let tables = tables(&config, &source)?;
    let loader =
        Loader::try_new(&config, 1, super::COMPILER).map_err(|error| super::fail(&error))?;
    let versions = load(&loader, &config, &source, frontend, &tables)?;
    let mut answers = Answers::default();
    let mut request = Request {
        head: &mut head,
        client: &client,
        tls: tls.as_ref(),
        body: body.as_ref(),
        attempt: flags.attempt,
        answers: &mut answers,
        id: None,
    };
    // Instances that were started for loading logged the same lines. Those lines were dropped.
    let (mut router, logged) = lines::collect(|| {
        let stages = versions.iter().map(|version| {
            let instance = version.instantiate().ok();
            Stage::new(Arc::clone(version), instance, 0)
        });
        Router::new(stages.collect(), 0)
    });
    report.log = logged;
    ask(&mut router, &mut request, &mut report);
    let decision = router.decide(&mut request, None);
    let decider = router.decider(&decision);
    report.stage = Some(router.stage(&decision).name().to_owned());
    report.plugin = Some(decider.plugin_name().to_owned());
    report.sha256 = Some(decider.sha256().to_owned());
    match decision.decision {
        Ok(decided) => {
            report.edits = decided.edits.describe(|_| String::new());
            report.response_edits = decided.describe_response_edits();
            report.options = decided.options.describe(|_| String::new());
            resolve(&mut report, &config, frontend, &decided.route);
        }
        Err(fault) => {
            report.decision = "fault";
            report.reason = Some(report::reason(&fault));
        }
    }
    report.cached_ns = cached(&mut router, &mut request).map(|time| time.as_nanos());
    Ok(report)
}

/// Returns the head that the router receives, or why the proxy would refuse the request.
fn admitted(flags: &Flags, frontend: &Frontend) -> Result<RequestHead, String> {
    if frontend.mode == Mode::Tcp {
        return Ok(flags.connection.head_without_http());
    }
    let mut head = request::head(flags).map_err(|error| error.to_string())?;
    if frontend.http.normalize_path {
        path::normalize(&mut head).map_err(|error| error.to_string())?;
    }
    flags.connection.set_line(&mut head);
    Ok(head)
}

/// Returns the part of the body that the router waits for, or why the proxy would refuse the
/// request.
fn body_prefix(
    flags: &Flags,
    frontend: &Frontend,
    head: &RequestHead,
) -> Result<Option<BodyPrefix>, String> {
    let (Some(text), Some(settings)) = (&flags.body, &frontend.routing.body) else {
        return Ok(None);
    };
    if text.is_empty() || !settings.is_for(head.fields().values(b"Content-Type")) {
        return Ok(None);
    }
    let is_complete = text.len() <= settings.size;
    if !is_complete && settings.too_large == TooLarge::Reject {
        return Err(format!("the body has more than {} bytes", settings.size));
    }
    let bytes = text.as_bytes();
    let bytes = bytes.get(..settings.size).unwrap_or(bytes);
    Ok(Some(BodyPrefix {
        bytes: Bytes::copy_from_slice(bytes),
        is_complete,
    }))
}

/// Calls the stages in order until one of them decides. A stage that fails also ends the calls,
/// unless its `on_fault` is `next`. Adds the result of each call to the report.
fn ask(router: &mut Router, request: &mut Request<'_>, report: &mut Report) {
    for stage in router.stages_mut() {
        let ((decided, first), logged) = lines::collect(|| {
            let start = Instant::now();
            (stage.call(request), start.elapsed())
        });
        report.log.extend(logged);
        let asked = stage_report(stage, request, &decided);
        report.cacheable &= asked.cacheable;
        for Answered { read, .. } in &asked.reads {
            if !report.reads.contains(read) {
                report.reads.push(read.clone());
            }
        }
        report.stages.push(asked);
        report.first_ns = Some(first.as_nanos());
        report.median_ns = None;
        let is_last = match &decided {
            Ok(decision) => decision.route != Route::Next,
            Err(_) => stage.on_fault() != OnFault::Next,
        };
        if decided.is_ok() {
            report.median_ns = Some(median(stage, request).as_nanos());
        }
        if is_last {
            return;
        }
    }
}

fn stage_report(
    stage: &Stage,
    request: &mut Request<'_>,
    decided: &Result<Rc<Decision>, Fault>,
) -> StageReport {
    let version = stage.version();
    let questions = version.questions();
    let name = |question: u32| questions.describe(question).to_string();
    let reads = stage.reads();
    let answered = reads.reads.iter().map(|read| Answered {
        read: match read {
            Read::Question(number) => name(*number),
            read => read.to_string(),
        },
        answer: version.show(read, request),
    });
    let mut report = StageReport {
        stage: stage.name().to_owned(),
        plugin: version.plugin_name().to_owned(),
        decision: String::new(),
        cacheable: reads.cacheable && stage.cacheability() == Some(Cacheability::Cacheable),
        reads: answered.collect(),
        edits: Vec::new(),
        response_edits: Vec::new(),
        options: Vec::new(),
    };
    match decided {
        Ok(decided) => {
            report.decision = decided.route.describe();
            report.edits = decided.edits.describe(name);
            report.response_edits = decided.describe_response_edits();
            report.options = decided.options.describe(name);
        }
        Err(fault) => report.decision = format!("fault: {}", report::reason(fault)),
    }
    report
}

/// Loads and tries every plugin of the frontend's router.
fn load(
    loader: &Loader,
    config: &Config,
    source: &Source,
    frontend: &Frontend,
    tables: &Arc<Tables>,
) -> Result<Vec<Arc<Version>>, Exit> {
    let mut versions = Vec::new();
    let mut mistakes = None;
    for (position, stage) in frontend.router.iter().enumerate() {
        let load = Load {
            frontend: &frontend.name,
            stage,
            plugin: &stage.plugin,
            source: None,
            environment: Environment::new(
                Arc::new(ConfiguredBackends::new(config)),
                Arc::clone(tables),
            ),
            events: None,
        };
        let (loaded, logged) = lines::collect(|| loader.load(load));
        match loaded {
            Ok(loaded) => versions.push(loaded.numbered(1).0),
            Err(error) => {
                lines::show(&logged);
                let errors = crate::control::locate(source, &frontend.name, position, &error);
                errors.add_to(&mut mistakes);
            }
        }
    }
    match mistakes {
        None => Ok(versions),
        Some(errors) => {
            super::print_errors(&errors);
            Err(Exit::Config)
        }
    }
}

/// Returns the named frontend, or the only one that has a router.
fn choose<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Frontend, Exit> {
    let candidates: Vec<&Frontend> = config
        .frontends
        .iter()
        .filter(|frontend| name.map_or(!frontend.router.is_empty(), |name| frontend.name == name))
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
        "{message} (frontends: {})",
        names.join(", ")
    )))
}

fn resolve(report: &mut Report, config: &Config, frontend: &Frontend, route: &Route) {
    let backend = match route {
        Route::Backend(name) => {
            report.decision = "backend";
            Some(name.to_string())
        }
        Route::Server(choice) => {
            report.decision = "server";
            report.server = Some(choice.server.to_string());
            Some(choice.backend.to_string())
        }
        Route::Default | Route::Next => {
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

fn median(stage: &mut Stage, request: &mut Request<'_>) -> Duration {
    let mut times = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        let start = Instant::now();
        // The first call has already shown the result.
        let _ = stage.call(request);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[REPEATS / 2]
}

/// Measures the mean time of a decision from the cache. Returns `None` if the decision is not
/// cached. Measures all repetitions together, because reading the clock takes as long as one
/// decision.
fn cached(router: &mut Router, request: &mut Request<'_>) -> Option<Duration> {
    // The first call fills the cache.
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
