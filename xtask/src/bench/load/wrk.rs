//! wrk as the client: its command line, its scripts, and its output.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::process::Command;

use super::{FIELDS, Load};
use crate::bench::tools::{Tools, cores};
use crate::bench::workloads::{Requests, Shape};

/// Hosts of requests that a script builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Hosts that no other run uses; the number identifies the run.
    Fresh(usize),
    /// One host for all requests, from the same script, so that generating the load costs the same.
    One,
}

/// Loads `proxy` for `seconds`.
///
/// # Errors
/// wrk cannot be run, or its output cannot be parsed. The result contains the errors that wrk
/// counts.
pub(crate) async fn run(
    tools: &Tools,
    proxy: SocketAddr,
    requests: Requests,
    hosts: Hosts,
    seconds: u64,
) -> anyhow::Result<Load> {
    let folder = crate::bench::peers::folder()?;
    let arguments = arguments(&folder, proxy, requests, hosts, seconds)?;
    let output = Command::new(&tools.wrk)
        .args(&arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("wrk: {}: {text}{error}", output.status);
    }
    parse(&text).with_context(|| format!("cannot parse the output of wrk:\n{text}"))
}

/// Returns the command as one would type it, for the report.
pub(crate) fn shown(requests: Requests, seconds: u64) -> String {
    let script = match requests.shape {
        Shape::Upload(size) => format!(" -s upload.lua  # a body of {size} bytes"),
        Shape::FreshHosts => " -s hosts.lua  # another Host each time".to_owned(),
        Shape::Close => "  # and Connection: close".to_owned(),
        Shape::Plain | Shape::Download(_) => String::new(),
    };
    format!(
        "wrk -t{} -c{} -d{seconds}s --timeout 30s --latency http://PROXY{}{script}",
        cores(),
        requests.connections,
        requests.path
    )
}

fn arguments(
    folder: &TempDir,
    proxy: SocketAddr,
    requests: Requests,
    hosts: Hosts,
    seconds: u64,
) -> anyhow::Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = vec![
        format!("-t{}", cores()).into(),
        format!("-c{}", requests.connections).into(),
        format!("-d{seconds}s").into(),
        "--timeout".into(),
        "30s".into(),
        "--latency".into(),
    ];
    for (name, value) in FIELDS {
        arguments.extend(["-H".into(), format!("{name}: {value}").into()]);
    }
    let script = match requests.shape {
        Shape::Plain | Shape::Download(_) => None,
        Shape::Close => {
            arguments.extend(["-H".into(), "Connection: close".into()]);
            None
        }
        Shape::Upload(size) => Some(upload(size)),
        Shape::FreshHosts => Some(fresh_hosts(requests.path, hosts)),
    };
    if let Some(script) = script {
        let file = Path::new(folder.path()).join("script.lua");
        std::fs::write(&file, script)?;
        arguments.extend(["-s".into(), file.into()]);
    }
    arguments.push(format!("http://{proxy}{}", requests.path).into());
    Ok(arguments)
}

fn upload(size: usize) -> String {
    format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {size})\n")
}

/// Returns a script that builds each request itself: a dozen fields, one of which varies.
fn fresh_hosts(path: &str, hosts: Hosts) -> String {
    let mut rest = String::new();
    for (name, value) in FIELDS.iter().filter(|(name, _)| *name != "Host") {
        let _ = write!(rest, "{name}: {value}\\r\\n");
    }
    let (run, step) = match hosts {
        Hosts::Fresh(run) => (run, 1),
        Hosts::One => (0, 0),
    };
    format!(
        r#"local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
local count = 0
local head, tail
function init()
  head = "GET {path} HTTP/1.1\r\nHost: h{run}-" .. number .. "-"
  tail = ".io.test.tld\r\n{rest}\r\n"
end
function request()
  count = count + {step}
  return head .. count .. tail
end
"#
    )
}

/// Parses the output of wrk with `--latency`.
fn parse(text: &str) -> Option<Load> {
    let mut load = Load::default();
    let mut complete = false;
    for line in text.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("50%") => load.p50_us = microseconds(words.next()?)?,
            Some("99%") => load.p99_us = microseconds(words.next()?)?,
            Some("Socket") => {
                let counts = line.strip_prefix("Socket errors: ")?;
                if counts.split(", ").any(|count| !count.ends_with(" 0")) {
                    load.errors.push(format!("socket errors: {counts}"));
                }
            }
            Some("Non-2xx") => {
                let count = words.next_back()?;
                load.errors
                    .push(format!("{count} responses other than 2xx"));
            }
            Some(count) if line.contains(" requests in ") => {
                load.answered = count.parse().ok()?;
                let time = line.split(" requests in ").nth(1)?.split(',').next()?;
                load.seconds = microseconds(time)? / 1e6;
                complete = true;
            }
            _ => {}
        }
    }
    if complete && load.answered == 0 {
        load.errors.push("no request was answered".to_owned());
    }
    complete.then_some(load)
}

/// Parses a time as wrk writes it: `623.00us`, `1.20ms`, `4.00s`, `1.00m`.
fn microseconds(text: &str) -> Option<f64> {
    let units = [
        ("us", 1.0),
        ("ms", 1e3),
        ("s", 1e6),
        ("m", 60e6),
        ("h", 3.6e9),
    ];
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    Some(number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Running 4s test @ http://127.0.0.1:33333/\n  2 threads and 64 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     2.10ms    1.07ms  24.09ms   80.65%\n    \
        Req/Sec    15.41k     1.52k   18.10k    62.50%\n  Latency Distribution\n     50%  623.00us\n     \
        75%    2.47ms\n     90%    3.20ms\n     99%    5.65ms\n  123456 requests in 4.01s, 22.44MB read\n\
        Requests/sec:  30708.99\nTransfer/sec:      5.56MB\n";

    #[test]
    fn printed() {
        let load = Load {
            answered: 123_456,
            seconds: 4.01,
            p50_us: 623.0,
            p99_us: 5650.0,
            ..Load::default()
        };
        assert_eq!(parse(PRINTED), Some(load));
        assert_eq!(parse("unable to connect\n"), None);
    }

    #[test]
    fn printed_errors() {
        let text = format!(
            "{PRINTED}  Socket errors: connect 0, read 3, write 0, timeout 0\n  Non-2xx or 3xx responses: 12\n"
        );
        assert_eq!(
            parse(&text).unwrap().errors,
            [
                "socket errors: connect 0, read 3, write 0, timeout 0",
                "12 responses other than 2xx"
            ]
        );
        let none = PRINTED.replace("123456 requests", "0 requests");
        assert_eq!(parse(&none).unwrap().errors, ["no request was answered"]);
    }

    #[test]
    fn times() {
        let check = |text, expected| assert_eq!(microseconds(text), expected, "{text}");
        check("623.00us", Some(623.0));
        check("1.50ms", Some(1500.0));
        check("4.00s", Some(4e6));
        check("1.00m", Some(60e6));
        check("1.00", None);
    }

    #[test]
    fn each_run_has_hosts_of_its_own() {
        let script = fresh_hosts("/", Hosts::Fresh(3));
        assert!(script.contains("Host: h3-") && script.contains("count + 1"));
        assert!(fresh_hosts("/", Hosts::One).contains("count + 0"));
    }
}
