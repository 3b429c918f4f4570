//! Autobahn's WebSocket cases have the same verdicts through the proxy and without it.
//!
//! `kosoku` runs all 517 cases against an echo server on Node's `ws`. The echo server itself does
//! not pass some of them, such as those for compression, which it does not offer. Their verdicts
//! are also the same both times.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use pointsman_tests::{Process, Proxy, python};
use serde_json::Value;

use crate::scenario::Node;

/// Number of cases in kosoku 0.1.0.
const CASES: usize = 517;
/// Longest wait for all cases, which take 20 s on an idle machine.
const RUN_TIMEOUT: Duration = Duration::from_mins(5);
/// Number of cases on compression (12.* and 13.*), which the echo server does not implement.
const COMPRESSION_CASES: usize = 216;

#[tokio::test]
async fn every_case_ends_as_without_a_proxy() -> anyhow::Result<()> {
    let echo = Node::start("echo.js").await?;
    let proxy = Proxy::pointsman(&format!(
        r#"
[frontend.http-in]
bind = "127.0.0.1:0"
timeout.client = "24h"
default_backend = "echo"
router.plugin = "host-suffix"
router.config.rules = [{{ suffix = "io.test.tld", backend = "echo" }}]

[backend.echo]
timeout.server = "24h"
server.echo = "{}"
"#,
        echo.address
    ))
    .await?;

    // The runs do not overlap, because some cases measure how soon a close is answered.
    let direct = run(echo.address).await?;
    let proxied = run(proxy.address()).await?;

    assert_eq!(direct.len(), CASES, "cases run");
    let unimplemented = |verdicts: &Verdicts| {
        let unimplemented = |verdict: &&Value| verdict["behavior"] == "UNIMPLEMENTED";
        verdicts.values().filter(unimplemented).count()
    };
    assert_eq!(unimplemented(&direct), COMPRESSION_CASES);
    let passed =
        |verdict: &Value| verdict["behavior"] != "FAILED" && verdict["behavior"] != "ERROR";
    let failed: Vec<_> = direct
        .iter()
        .filter(|(_, verdict)| !passed(verdict))
        .collect();
    ensure!(
        failed.is_empty(),
        "the echo server alone fails: {failed:#?}"
    );

    let differing: Vec<_> = direct
        .iter()
        .filter(|(case, verdict)| proxied.get(*case) != Some(verdict))
        .map(|(case, verdict)| format!("{case}: {verdict} became {:?}", proxied.get(case)))
        .collect();
    ensure!(differing.is_empty(), "{}", differing.join("\n"));
    Ok(())
}

/// Verdicts by case number, without the parts that depend on time or on how TCP splits the bytes.
type Verdicts = BTreeMap<String, Value>;

async fn run(server: SocketAddr) -> anyhow::Result<Verdicts> {
    let mut command = Command::new(python()?);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/autobahn.py"))
        .arg(format!("ws://{server}"));
    let mut process = Process::start(command)?.with_deadline(RUN_TIMEOUT);
    let verdicts = process.line_with("{\"1.1.1\":").await?;
    ensure!(process.ended().await?.success(), "kosoku failed");
    serde_json::from_str(&verdicts).context("kosoku's verdicts")
}
