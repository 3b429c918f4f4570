//! Real socket.io: a backend with a cookie, and several servers that do not share sessions.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use pointsman_tests::{Process, Setup};
use serde_json::Value;

use crate::scenario::node;

const CLIENTS: usize = 6;

fn script(arguments: &[&str]) -> anyhow::Result<Process> {
    let mut command = node("socketio_sessions.js");
    command.args(arguments);
    Process::start(command)
}

async fn server(name: &str) -> anyhow::Result<(SocketAddr, Process)> {
    let process = script(&["server", name])?;
    let line = process.line_with("{\"port\":").await?;
    let ready: Value = serde_json::from_str(&line)?;
    let port = u16::try_from(ready["port"].as_u64().context("no port")?)?;
    Ok((SocketAddr::from(([127, 0, 0, 1], port)), process))
}

/// Waits until `count` lines report this event. Returns each client's server, from its last such
/// event.
async fn servers(
    clients: &Process,
    event: &str,
    count: usize,
) -> anyhow::Result<BTreeMap<u64, String>> {
    let what = format!("`{event}` of {count} clients");
    clients
        .wait_for(&what, |lines| {
            let found = of_event(lines, event);
            (found.len() >= count).then(|| {
                let server = |event: &Value| Some(event["server"].as_str()?.to_owned());
                let by_client = found.iter();
                by_client
                    .filter_map(|event| Some((event["client"].as_u64()?, server(event)?)))
                    .collect()
            })
        })
        .await
}

fn of_event(lines: &[String], event: &str) -> Vec<Value> {
    let events = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok());
    events
        .filter(|found: &Value| found["event"] == event)
        .collect()
}

#[tokio::test]
async fn clients_stay_with_their_server_until_it_is_killed() -> anyhow::Result<()> {
    let (one, first) = server("one").await?;
    let (two, _second) = server("two").await?;
    let proxy = Setup::before([one, two])
        .workers(2)
        .backend("balance = \"round_robin\"")
        .backend("affinity = { cookie = \"server\" }")
        .start()
        .await?;
    let port = proxy.address().port().to_string();
    let clients = script(&["clients", &port, &CLIENTS.to_string()])?;
    let before = servers(&clients, "upgraded", CLIENTS).await?;
    assert_eq!(before.len(), CLIENTS, "{before:?}");
    let of_first: Vec<_> = before
        .iter()
        .filter(|(_, server)| *server == "one")
        .collect();
    let moving = of_first.len();
    ensure!((1..CLIENTS).contains(&moving), "{before:?}");
    first.signal(Signal::SIGKILL)?;
    let after = servers(&clients, "upgraded", CLIENTS + moving).await?;
    ensure!(after.values().all(|server| server == "two"), "{after:?}");
    // All clients are connected, and no client of the surviving server was ever disconnected.
    clients.signal(Signal::SIGUSR2)?;
    let answers = servers(&clients, "answer", CLIENTS).await?;
    assert_eq!(answers, after);
    let left = of_event(&clients.log(), "disconnect");
    let left: Vec<_> = left
        .iter()
        .filter_map(|event| event["client"].as_u64())
        .collect();
    assert_eq!(left.len(), moving, "{left:?}");
    ensure!(
        left.iter().all(|client| before[client] == "one"),
        "{left:?}"
    );
    Ok(())
}
