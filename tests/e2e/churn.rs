//! Many concurrent changes, in random order and under load, again and again.
//!
//! `POINTSMAN_CHURN_ROUNDS` is the number of rounds (6 by default). `POINTSMAN_CHURN_SEED` is the
//! seed, with which a run can be repeated.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use pointsman_tests::{DEADLINE, Origin, Proxy};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::swaps::{Load, put};
use crate::tunnels::echo_or_www;

/// Default number of rounds, which take about ten seconds.
const ROUNDS: u32 = 6;
/// Changes per round.
const CHANGES: usize = 24;
/// Number of rounds between two checks of the process's resources. After each check, the process is
/// upgraded to a new one.
const PERIOD: u32 = 50;
/// Number of rounds after which the resources of a process should no longer grow.
const WARM_UP: u32 = 3;
/// Number of components to swap to.
const FILES: usize = 5;
const FRONTENDS: [&str; 2] = ["http-in", "other"];

/// A generator of pseudorandom numbers (xorshift64*), whose quality does not matter here.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap_or(0) % bound
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Returns one of the configurations that reloads choose from.
fn config(kind: usize, www: &Origin) -> String {
    let frontend = |name: &str, file: usize| {
        format!(
            "[frontend.{name}]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
             router.plugin = \"./v{file}.wasm\"\nrouter.watch = false\n\
             router.config = {{ mode = \"harmless\", spare_probe = true }}\n\
             router.limits.deadline = \"20s\"\n"
        )
    };
    // The kinds: the initial configuration; another file for one frontend; another backend, so that
    // all routers are rebuilt.
    let (file, more) = match kind {
        0 => (0, ""),
        1 => (1, ""),
        _ => (0, "[backend.more]\nserver.more = \"127.0.0.1:1\"\n"),
    };
    format!(
        "workers = 2\nplugin_cache_dir = \"cache\"\nadmin.socket = \"admin.sock\"\n\
         timeout.drain = \"10s\"\n{}{}[backend.www]\nserver.www = \"{}\"\n{more}",
        frontend(FRONTENDS[0], file),
        frontend(FRONTENDS[1], 0),
        www.address()
    )
}

/// A request to the admin interface: its path and body.
type Change = (&'static str, Value);

fn change(numbers: &mut Numbers, directory: &Path) -> Change {
    let frontend = *numbers.one_of(&FRONTENDS);
    let file = directory.join(format!("v{}.wasm", numbers.below(FILES)));
    match numbers.below(10) {
        0..=2 => ("/v1/swap", json!({"frontend": frontend, "file": file})),
        3 => (
            "/v1/swap",
            json!({"frontend": frontend, "file": file, "shadow": 50}),
        ),
        4 => (
            "/v1/swap",
            json!({"frontend": frontend, "file": file, "canary": 50}),
        ),
        5 => ("/v1/promote", json!({"frontend": frontend})),
        6 => ("/v1/abort", json!({"frontend": frontend})),
        7 | 8 => ("/v1/rollback", json!({"frontend": frontend})),
        _ => ("/v1/reload", json!(null)),
    }
}

/// Sends a request to the admin interface, and returns the status and the response.
async fn ask(socket: PathBuf, path: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        let (method, body) = match body {
            Some(body) => ("POST", body.to_string()),
            None => ("GET", String::new()),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        anyhow::Ok((status, serde_json::from_str(body)?))
    };
    let answer = tokio::time::timeout(4 * DEADLINE, exchange).await;
    answer.with_context(|| format!("{path}: no answer"))?
}

/// Numbers of the versions of a frontend in service and on trial.
#[derive(Debug, PartialEq, Eq)]
struct FrontendVersions {
    active: u64,
    file: String,
    on_trial: Option<u64>,
}

async fn frontend_versions(proxy: &Proxy, frontend: &str) -> anyhow::Result<FrontendVersions> {
    let socket = proxy.directory().join("admin.sock");
    let (_, plugins) = ask(socket, "/v1/plugins", None).await?;
    let versions = plugins["versions"].as_array().context("versions")?.iter();
    let mut versions = versions.filter(|version| version["frontend"] == frontend);
    let active = versions.next().context("an active version")?;
    ensure!(active["state"] == "active", "{active}");
    let on_trial = versions.find(|one| one["state"] == "shadow" || one["state"] == "canary");
    Ok(FrontendVersions {
        active: active["number"].as_u64().context("number")?,
        file: active["source"].as_str().context("source")?.to_owned(),
        on_trial: on_trial.and_then(|version| version["number"].as_u64()),
    })
}

/// Returns the version that a response names as the active one, with its frontend.
fn reported_version(answer: &Value) -> Option<(String, u64)> {
    let (stage, rest) = answer["message"].as_str()?.split_once(": version ")?;
    let (frontend, _) = stage.split_once('/')?;
    let (number, rest) = rest.split_once(' ')?;
    rest.contains(" is now active").then_some(())?;
    Some((frontend.to_owned(), number.parse().ok()?))
}

/// Requests many changes at once, each of which succeeds or is refused because of another. Checks
/// that the version in service is then one that a successful change has reported, or is unchanged.
async fn round(numbers: &mut Numbers, proxy: &Proxy, www: &Origin) -> anyhow::Result<()> {
    let mut possible: BTreeSet<(String, u64)> = BTreeSet::new();
    for frontend in FRONTENDS {
        let active = frontend_versions(proxy, frontend).await?.active;
        possible.insert((frontend.to_owned(), active));
    }
    proxy.configure(&config(numbers.below(3), www))?;
    let socket = proxy.directory().join("admin.sock");
    let mut changes = JoinSet::new();
    for _ in 0..CHANGES {
        let (path, body) = change(numbers, proxy.directory());
        let socket = socket.clone();
        changes.spawn(async move {
            let answer = ask(socket, path, Some(&body)).await;
            answer.with_context(|| format!("{path} {body}"))
        });
    }
    let mut is_reloaded = false;
    while let Some(done) = changes.join_next().await {
        let (status, answer) = done??;
        ensure!(matches!(status, 200 | 404 | 409), "{status}: {answer}");
        if status == 200 {
            possible.extend(reported_version(&answer));
            is_reloaded |= answer["message"]
                .as_str()
                .is_some_and(|text| text.contains("in force"));
        }
    }
    for frontend in FRONTENDS {
        let active = frontend_versions(proxy, frontend).await?.active;
        // The response to a reload does not name the versions that it has put into service.
        let is_possible = is_reloaded || possible.contains(&(frontend.to_owned(), active));
        ensure!(is_possible, "{frontend}: {active}, not of {possible:?}");
    }
    Ok(())
}

/// Makes the last changes of a round to a frontend, and checks that the state matches the
/// responses.
async fn final_change(numbers: &mut Numbers, proxy: &Proxy, frontend: &str) -> anyhow::Result<()> {
    let socket = proxy.directory().join("admin.sock");
    let file = proxy
        .directory()
        .join(format!("v{}.wasm", numbers.below(FILES)));
    // Applies the file on disk first, so that the next reload changes nothing.
    let (status, answer) = ask(socket.clone(), "/v1/reload", Some(&json!(null))).await?;
    ensure!(status == 200, "{answer}");
    let swap = json!({"frontend": frontend, "file": file});
    let (status, answer) = ask(socket.clone(), "/v1/swap", Some(&swap)).await?;
    ensure!(status == 200, "{answer}");
    let swapped = frontend_versions(proxy, frontend).await?;
    let (_, number) = reported_version(&answer).context("no version")?;
    let expected = FrontendVersions {
        active: number,
        file: file.display().to_string(),
        on_trial: None,
    };
    ensure!(swapped == expected, "{swapped:?} after {answer}");
    match numbers.below(4) {
        0 => {
            let trial = json!({"frontend": frontend, "file": file, "canary": 1});
            let (status, answer) = ask(socket, "/v1/swap", Some(&trial)).await?;
            ensure!(status == 200, "{answer}");
            let on_trial = frontend_versions(proxy, frontend).await?.on_trial;
            ensure!(on_trial == Some(number + 1), "{on_trial:?} after {answer}");
        }
        1 => {
            let back = json!({"frontend": frontend, "version": number});
            let (status, answer) = ask(socket, "/v1/rollback", Some(&back)).await?;
            ensure!(status == 200, "{answer}");
            ensure!(
                frontend_versions(proxy, frontend).await? == expected,
                "{answer}"
            );
        }
        2 => {
            let back = json!({"frontend": frontend});
            let (status, answer) = ask(socket, "/v1/rollback", Some(&back)).await?;
            ensure!(matches!(status, 200 | 404), "{answer}");
            let active = frontend_versions(proxy, frontend).await?.active;
            let wanted = reported_version(&answer).map_or(number, |(_, number)| number);
            ensure!(active == wanted, "{active} after {answer}");
        }
        _ => {
            let (status, answer) = ask(socket, "/v1/reload", Some(&json!(null))).await?;
            ensure!(status == 200, "{answer}");
            ensure!(
                frontend_versions(proxy, frontend).await?.active == number,
                "{answer}"
            );
        }
    }
    Ok(())
}

/// A process's memory in KiB, its descriptors and its threads.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory: usize,
    descriptors: usize,
    threads: usize,
}

impl Held {
    /// Measures the process that responds on the admin socket. No other admin request may be in
    /// progress.
    async fn by(proxy: &Proxy) -> anyhow::Result<Held> {
        let process = pid(proxy).await?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let number = value.and_then(|value| value.split_whitespace().next());
            anyhow::Ok(number.with_context(|| format!("no {name}"))?.parse()?)
        };
        Ok(Held {
            memory: field("RssAnon:")?,
            descriptors: fs::read_dir(format!("/proc/{process}/fd"))?.count(),
            threads: field("Threads:")?,
        })
    }

    /// Reports whether usage is no higher than before. It tolerates what comes and goes: pooled
    /// connections, threads that wait for work, and memory that an allocator keeps.
    fn is_bounded_by(self, before: Held) -> bool {
        self.memory <= before.memory + (16 << 10)
            && self.descriptors <= before.descriptors + 16
            && self.threads <= before.threads + 12
    }
}

async fn pid(proxy: &Proxy) -> anyhow::Result<u64> {
    let socket = proxy.directory().join("admin.sock");
    let (_, status) = ask(socket, "/v1/status", None).await?;
    status["pid"].as_u64().context("no number")
}

#[tokio::test]
async fn many_changes_at_once_harm_no_request() -> anyhow::Result<()> {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse()).transpose();
    let rounds = number("POINTSMAN_CHURN_ROUNDS")?.map_or(ROUNDS, |rounds: u64| {
        u32::try_from(rounds).unwrap_or(u32::MAX)
    });
    let seed = number("POINTSMAN_CHURN_SEED")?;
    let seed = seed
        .unwrap_or_else(|| RandomState::new().hash_one(0))
        .max(1);
    let mut numbers = Numbers(seed);
    let www = echo_or_www().await?;
    let directory = tempfile::tempdir()?;
    for file in 0..FILES {
        put(
            &directory.path().join(format!("v{file}.wasm")),
            &file.to_string(),
        )?;
    }
    let proxy = Proxy::pointsman_in(directory, &config(0, &www)).await?;
    let mut before = None;
    for turn in 0..rounds {
        let at = || format!("round {turn} of seed {seed}");
        let loads = FRONTENDS.map(|name| proxy.addresses_of(name).map(Load::start));
        let loads: Vec<Load> = loads.into_iter().flatten().collect();
        round(&mut numbers, &proxy, &www).await.with_context(at)?;
        for frontend in FRONTENDS {
            let said = final_change(&mut numbers, &proxy, frontend).await;
            said.with_context(at)?;
        }
        let is_last = turn % PERIOD == PERIOD - 1 || turn == rounds - 1;
        let held = Held::by(&proxy).await?;
        if let (Some(before), true) = (before, is_last) {
            ensure!(
                held.is_bounded_by(before),
                "{held:?} after {before:?}, {}",
                at()
            );
        }
        if turn % PERIOD == WARM_UP {
            before = Some(held);
        }
        if is_last {
            let old = pid(&proxy).await?;
            let socket = proxy.directory().join("admin.sock");
            let (status, answer) = ask(socket, "/v1/upgrade", Some(&json!(null))).await?;
            ensure!(status == 200, "{answer}, {}", at());
            ensure!(pid(&proxy).await? != old, "{answer}, {}", at());
        }
        for load in loads {
            load.stop().await.with_context(at)?;
        }
    }
    Ok(())
}
