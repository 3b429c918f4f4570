//! Backends with several servers: which server gets a request, and how a server that fails is
//! detected, excluded and readmitted.

mod affinity;
mod balancing;
mod check_connections;
mod checks;
mod hashing;
mod learned;
mod orders;
mod outliers;
mod queues;
mod retry;
mod socketio;

use std::net::SocketAddr;

use anyhow::Context as _;
use pointsman_tests::{Behavior, DEADLINE, ProgrammableOrigin, Proxy, Wire, log_field};
use serde_json::Value;

const GET: &str = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";

/// Lines for an admin interface that both `ctl` and Prometheus can use.
const ADMIN: &str = "admin.socket = \"admin.sock\"\nadmin.address = \"127.0.0.1:0\"";

/// Returns a GET with these field lines.
fn get_with(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: www.test.tld\r\n{lines}\r\n")
}

/// Sends `count` requests over one connection, and returns the bodies of the responses, separated
/// by blanks. If a status is not 200, it replaces the body.
async fn answers(proxy: SocketAddr, count: usize) -> anyhow::Result<String> {
    let mut client = Wire::connect(proxy).await?;
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(answer(&mut client, GET).await?);
    }
    Ok(answers.join(" "))
}

/// Returns the body of the response, or a status other than 200.
async fn answer(client: &mut Wire, request: impl AsRef<[u8]>) -> anyhow::Result<String> {
    let answer = client.exchange(request).await?;
    Ok(match answer.head.status()? {
        200 => String::from_utf8(answer.body)?,
        status => status.to_string(),
    })
}

/// Sets how all of these servers treat requests from now on.
fn set_all(origins: &[ProgrammableOrigin], behavior: Behavior) {
    for origin in origins {
        origin.set(behavior);
    }
}

/// Counts how often a word occurs in a text.
fn count(text: &str, word: &str) -> usize {
    text.split_whitespace()
        .filter(|found| *found == word)
        .count()
}

/// Returns the changes of a server's state that the log reports so far, as `FROM TO`.
fn changes_in(lines: &[String], server: &str) -> Vec<String> {
    let changes = lines.iter().filter(|line| {
        line.contains("server changed") && log_field(line, "server") == Some(server)
    });
    changes
        .filter_map(|line| {
            let (from, to) = (log_field(line, "from")?, log_field(line, "to")?);
            Some(format!("{from} {to}"))
        })
        .collect()
}

/// Waits until the log has reported exactly these states of a server, starting with the initial
/// state.
async fn changes(proxy: &Proxy, server: &str, expected: &[&str]) -> anyhow::Result<()> {
    let expected: Vec<_> = expected
        .windows(2)
        .map(|pair| format!("{} {}", pair[0], pair[1]))
        .collect();
    let what = format!("`server changed` of {server}: {expected:?}");
    proxy
        .wait_for(&what, |lines| {
            (changes_in(lines, server) == expected).then_some(())
        })
        .await
}

/// Waits for the `number`th log line, counted from 1, that reports a change of a server to the
/// state `to`.
async fn became(proxy: &Proxy, server: &str, to: &str, number: usize) -> anyhow::Result<String> {
    let what = format!("{server} to become {to} for the {number}th time");
    let is_it = |line: &&String| {
        line.contains("server changed")
            && log_field(line, "server") == Some(server)
            && log_field(line, "to") == Some(to)
    };
    proxy
        .wait_for(&what, |lines| {
            lines.iter().filter(is_it).nth(number - 1).cloned()
        })
        .await
}

/// Returns what `ctl servers --json` reports about a server of the backend.
async fn server(proxy: &Proxy, name: &str) -> anyhow::Result<Value> {
    let text = proxy.ctl(&["servers", "--json"]).await?;
    let servers: Value = serde_json::from_str(&text)?;
    let servers = servers["backends"][0]["servers"].as_array();
    let mut servers = servers.context("servers")?.iter();
    let server = servers.find(|server| server["name"] == name);
    Ok(server.with_context(|| text.clone())?.clone())
}

/// Returns the state of a server's only address.
async fn state(proxy: &Proxy, name: &str) -> anyhow::Result<String> {
    let server = server(proxy, name).await?;
    let state = server["endpoints"][0]["state"].as_str();
    Ok(state.context("state")?.to_owned())
}

/// Waits until `count` requests wait for a slot.
async fn queued(proxy: &Proxy, count: u64) -> anyhow::Result<()> {
    backend_has(proxy, "queued", count).await
}

/// Waits until `count` requests are in progress.
async fn active(proxy: &Proxy, count: u64) -> anyhow::Result<()> {
    backend_has(proxy, "active", count).await
}

async fn backend_has(proxy: &Proxy, what: &str, count: u64) -> anyhow::Result<()> {
    let waiting = async {
        loop {
            let status = proxy.ctl(&["status", "--json"]).await?;
            let status: Value = serde_json::from_str(&status)?;
            if status["backends"][0][what] == count {
                return Ok(());
            }
        }
    };
    let waited = tokio::time::timeout(DEADLINE, waiting).await;
    waited.with_context(|| format!("{what} is never {count}"))?
}
