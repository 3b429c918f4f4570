//! Internal failures of the proxy while it serves. The tests cause them with values that no
//! configuration can contain.

use std::net::SocketAddr;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::drain::{Stopped, supervise};
use super::handle::Process;
use super::signals::Signals;
use super::sockets::{Known, Sockets};
use super::survey::resolve;
use super::workers::{Shared, Threads};
use crate::config::{self, Config};
use crate::connection_limiter::ConnectionLimiter;
use crate::control::{Control, Handles, Prepared};
use crate::plugin::Compiler;
use crate::telemetry::{self, End, LogFormat, LogSettings, LogTarget, Telemetry};
use crate::worker::{Command, DrainState, WorkerConfig};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: www.test.tld\r\nConnection: close\r\n\r\n";

/// The log of the test process.
struct Log {
    telemetry: Arc<Telemetry>,
    path: PathBuf,
    requests: Arc<Mutex<Vec<Ended>>>,
}

/// ID of a request, how it ended, and why.
type Ended = (Option<u64>, End, Option<String>);

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let path = tempfile::tempdir().unwrap().keep().join("log");
    let requests = Arc::new(Mutex::new(Vec::new()));
    let settings = LogSettings {
        level: tracing::Level::INFO,
        format: LogFormat::Text,
        target: LogTarget::File(path.clone()),
    };
    let seen = Arc::clone(&requests);
    let tap = move |record: &telemetry::AccessRecord<'_>| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push((record.id, record.end, record.reason.map(str::to_owned)));
    };
    let telemetry = telemetry::install(&settings, Some(Box::new(tap))).unwrap();
    let show = panic::take_hook();
    telemetry::log_panics();
    let log = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // Also shows the panic in the output of a failing test.
        show(info);
        log(info);
    }));
    Log {
        telemetry: Arc::new(telemetry),
        path,
        requests,
    }
});

/// Waits until a line of the log contains `text`.
async fn logged(text: &str) {
    loop {
        let log = std::fs::read_to_string(&LOG.path).unwrap();
        if log.lines().any(|line| line.contains(text)) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A serving process without signal handling.
struct Serving {
    process: Process,
    threads: Threads,
    commands: Vec<mpsc::UnboundedSender<Command>>,
    limiter: Arc<ConnectionLimiter>,
    address: SocketAddr,
}

fn serve(text: &str, change: impl FnOnce(&mut Config)) -> Serving {
    let parsed = config::parse(Path::new("/dev/null/none"), text.to_owned());
    let (mut config, source) = parsed.unwrap();
    change(&mut config);
    let workers = config.worker_count();
    let mut sockets = Sockets::new(Vec::new());
    let known = sockets.known();
    let mut bound = known.bind(&config.frontends, workers, &resolve).unwrap();
    let address = bound.frontends[0].fresh[0].parse().unwrap();
    let prepared = Prepared::new(config, source, Compiler::InProcess).unwrap();
    let limiter = Arc::new(ConnectionLimiter::new(100, workers));
    let (drain, drain_state) = watch::channel(DrainState::Serving);
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
    let handles = Handles {
        workers: senders.clone(),
        drain,
        telemetry: Arc::clone(&LOG.telemetry),
        limiter: Arc::clone(&limiter),
    };
    let (control, configs) = Control::new(prepared, &mut bound.frontends, handles);
    let shared = Shared {
        drain: drain_state,
        limiter: Arc::clone(&limiter),
        max_connections: 100,
    };
    let threads = Threads::start(configs, receivers, &shared).unwrap();
    sockets.replace(bound);
    Serving {
        process: Process::new(control, sockets, 100),
        threads,
        commands: senders,
        limiter,
        address,
    }
}

/// Sends a request over a new connection and returns the whole response.
async fn answer(address: SocketAddr) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Names are not resolved again: by then, the name service could be slow or give another answer.
#[test]
fn names_are_bound_as_they_were_resolved() {
    let text = "[frontend.http]
bind = 'name.invalid:0'
default_backend = 'www'
                [backend.www]
server.www = '127.0.0.1:9'";
    let (config, _) = config::parse(Path::new("/dev/null/none"), text.to_owned()).unwrap();
    let resolve = |host: &str, port| {
        assert_eq!((host, port), ("name.invalid", 0));
        Ok(vec![SocketAddr::from(([127, 0, 0, 123], 0))])
    };
    let bound = Known::default()
        .bind(&config.frontends, 1, &resolve)
        .unwrap();
    let address: SocketAddr = bound.frontends[0].fresh[0].parse().unwrap();
    assert_eq!(address.ip().to_string(), "127.0.0.123");
}

#[tokio::test]
async fn a_worker_that_panics_is_replaced_and_repeated_panics_end_the_process() {
    let serving = serve(
        r#"
        workers = 2
        plugin_cache_dir = "/dev/null"
        timeout.drain = "1h"
        [frontend.http]
        bind = "127.0.0.1:0"
        router.plugin = "maintenance"
        router.config.status = 200
        "#,
        |_| {},
    );
    let Serving {
        process,
        threads,
        commands,
        limiter,
        address,
    } = serving;
    // The computed deadline for idle clients overflows, which panics.
    let fail = || {
        let config = WorkerConfig {
            frontends: Vec::new(),
            clusters: Vec::new(),
            challenges: Arc::default(),
            drain_grace: Duration::MAX,
        };
        commands[0].send(Command::Apply(config)).unwrap();
    };
    let all_answer = async || {
        // Enough connections for both workers to get some.
        for _ in 0..16 {
            let answer = answer(address).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    };
    let signals = Signals::new().unwrap();
    let supervised = supervise(signals, &process, threads, JoinSet::new());
    let clients = async {
        all_answer().await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        fail();
        logged("the worker has been replaced worker=0").await;
        all_answer().await;
        fail();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap_or_default();
    };
    let (stopped, ()) = tokio::join!(supervised, clients);
    assert_eq!(stopped, Stopped::Failed);
    logged("the worker has failed twice in a short time: the process ends worker=0").await;
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(limiter.taken(), 0);
}

#[tokio::test]
async fn a_panic_outside_the_workers_ends_the_process() {
    let serving = serve(
        "workers = 1\n[frontend.http]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         [backend.www]\nserver.www = \"127.0.0.1:9\"",
        |_| {},
    );
    let mut tasks = JoinSet::new();
    tasks.spawn(async { panic!("as if it were the one that watches files") });
    let signals = Signals::new().unwrap();
    let stopped = supervise(signals, &serving.process, serving.threads, tasks).await;
    assert_eq!(stopped, Stopped::Failed);
}

#[tokio::test]
async fn a_panic_of_a_connection_ends_only_its_request() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = serve(
        &format!(
            "workers = 1\n[frontend.http]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
             [backend.www]\nserver.www = \"{}\"",
            silent.local_addr().unwrap()
        ),
        // The computed deadline for the server overflows, which panics.
        |config| config.backends[0].timeouts.server = Duration::MAX,
    );
    for _ in 0..3 {
        assert_eq!(answer(serving.address).await, "");
    }
    let requests = loop {
        let requests = LOG.requests.lock().unwrap().clone();
        if requests.len() == 3 {
            break requests;
        }
        tokio::task::yield_now().await;
    };
    for (id, end, reason) in requests {
        assert_eq!(end, End::Internal);
        assert!(reason.unwrap().contains("overflow"));
        let id = id.unwrap();
        logged(&format!("internal error ended a request id={id:x} ")).await;
    }
    logged("internal error: overflow").await;
    // The permits are returned once the tasks are gone.
    while serving.limiter.taken() > 0 {
        tokio::task::yield_now().await;
    }
}
