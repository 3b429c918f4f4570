//! Metrics: Prometheus can parse them, and no counter decreases while the process runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use pointsman_tests::{Origin, Proxy, Wire, log_field, python};

use crate::swaps::{config, directory, put, status};

const MANUAL: &str = include_str!("../../docs/run/operating.md");

/// The result of a scrape.
pub(crate) struct Metrics {
    text: String,
    /// Values by name and labels, as they are written in `text`.
    series: BTreeMap<String, f64>,
}

impl Metrics {
    /// Scrapes a proxy that was started with a configuration from [`with_address`].
    pub(crate) async fn of(proxy: &Proxy) -> anyhow::Result<Self> {
        Self::accepted_by(proxy, "application/openmetrics-text").await
    }

    async fn accepted_by(proxy: &Proxy, accept: &str) -> anyhow::Result<Self> {
        let line = proxy.line_with("admin interface, read-only").await?;
        let address = log_field(&line, "address").context("address")?;
        Self::at(address.parse()?, accept).await
    }

    /// Scrapes the metrics in the format that this `Accept` selects.
    async fn at(address: SocketAddr, accept: &str) -> anyhow::Result<Self> {
        let mut client = Wire::connect(address).await?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        let text = String::from_utf8(client.exchange(request).await?.body)?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').context("a value")?;
            Ok((name.to_owned(), value.parse()?))
        });
        Ok(Self {
            series: series.collect::<anyhow::Result<_>>()?,
            text,
        })
    }

    /// Returns the sum over every series with this name and all of these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let is_asked = |series: &str| {
            let (found, its) = series.split_once('{').unwrap_or((series, ""));
            found == name && labels.iter().all(|label| its.contains(label))
        };
        let series = self.series.iter().filter(|(series, _)| is_asked(series));
        series.map(|(_, value)| value).sum()
    }

    /// Returns the same sum as [`Metrics::sum`], as an integer.
    pub(crate) fn count(&self, name: &str, labels: &[&str]) -> anyhow::Result<u64> {
        let sum = self.sum(name, labels).to_string();
        sum.parse().with_context(|| format!("{name}: {sum}"))
    }

    /// Fails if a counter of `before` has decreased or is missing.
    fn check_since(&self, before: &Metrics) -> anyhow::Result<()> {
        for (series, old) in &before.series {
            let name = series.split('{').next().unwrap_or_default();
            let ends = ["_total", "_bucket", "_count", "_sum"];
            if ends.iter().any(|end| name.ends_with(end)) {
                let new = self.series.get(series);
                ensure!(new >= Some(old), "{series} was {old} and is {new:?}");
            }
        }
        Ok(())
    }
}

/// Adds a TCP address for the admin interface to a configuration from [`config`].
pub(crate) fn with_address(config: &str) -> String {
    let socket = "admin.socket = \"admin.sock\"";
    config.replace(
        socket,
        &format!("{socket}\nadmin.address = \"127.0.0.1:0\""),
    )
}

#[tokio::test]
async fn prometheus_reads_what_the_manual_lists() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let proxy =
        Proxy::pointsman_in(directory()?, &with_address(&config("error", "", &www))).await?;
    status(&proxy).await?;
    let metrics = Metrics::of(&proxy).await?;
    let families = parse("openmetrics", &metrics)?;
    // The parser drops `_total` from the names of counters, but the manual has it.
    let found: BTreeSet<String> = families
        .lines()
        .map(|line| match line.split_once(' ') {
            Some((name, "counter")) => format!("{name}_total"),
            Some((name, _)) => name.to_owned(),
            None => line.to_owned(),
        })
        .collect();
    let listed = MANUAL.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("| `")?.split_once('`')?;
        let is_metric = ["pointsman_", "process_"]
            .iter()
            .any(|one| name.starts_with(one));
        is_metric.then(|| name.to_owned())
    });
    assert_eq!(found, listed.collect());

    let older = Metrics::accepted_by(&proxy, "text/plain").await?;
    assert_eq!(parse("text", &older)?, families);
    assert!(
        older.text.contains("# HELP pointsman_reloads_total "),
        "{}",
        older.text
    );
    Ok(())
}

/// Returns the metric families, with their types, that Prometheus's own parser of this format
/// finds.
fn parse(format: &str, metrics: &Metrics) -> anyhow::Result<String> {
    let mut parser = Command::new(python()?)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/metrics.py"))
        .arg(format)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = parser.stdin.take().context("its input")?;
    input.write_all(metrics.text.as_bytes())?;
    drop(input);
    let output = parser.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        metrics.text
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn a_histogram_has_every_call() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let keys = "router.on_fault = \"default-backend\"\nrouter.max_faults = 1000";
    let config = with_address(&config("error", keys, &www));
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    // Each request calls the plugin, because an error is never cached.
    for _ in 0..5 {
        assert_eq!(status(&proxy).await?, 200);
    }
    let metrics = Metrics::of(&proxy).await?;
    let buckets: Vec<(f64, f64)> = metrics
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("pointsman_decision_seconds_bucket{"))
        .map(|line| {
            let (_, rest) = line.split_once("le=\"").context("a bound")?;
            let (bound, rest) = rest.split_once('"').context("its end")?;
            let (_, count) = rest.rsplit_once(' ').context("a count")?;
            Ok((bound.parse()?, count.parse()?))
        })
        .collect::<anyhow::Result<_>>()?;
    assert_eq!(buckets.len(), 15);
    for pair in buckets.windows(2) {
        assert!(
            pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1,
            "{buckets:?}"
        );
    }
    assert_eq!((buckets[0].0, buckets[13].0), (1e-6, 0.1));
    assert_eq!(buckets[14], (f64::INFINITY, 5.0));
    let frontend = ["frontend=\"http-in\""];
    let calls = metrics.count("pointsman_decision_seconds_count", &frontend)?;
    assert_eq!(calls, 5);
    let sum = metrics.sum("pointsman_decision_seconds_sum", &frontend);
    // The sum is at most the sum of the calls' upper bounds, taken from their buckets.
    let calls =
        |index: usize| buckets[index].1 - index.checked_sub(1).map_or(0.0, |one| buckets[one].1);
    let most: f64 = (0..15)
        .filter(|&index| calls(index) > 0.0)
        .map(|index| calls(index) * buckets[index].0)
        .sum();
    assert!(sum > 0.0 && sum <= most, "{sum} of {most}");
    let asked = metrics.count("pointsman_decisions_total", &["source=\"plugin\""])?;
    let faults = metrics.count("pointsman_plugin_faults_total", &["kind=\"error\""])?;
    assert_eq!((asked, faults), (5, 5));
    Ok(())
}

#[tokio::test]
async fn no_counter_falls_or_ends() -> anyhow::Result<()> {
    let (www, other) = (
        Origin::with_name("www").await?,
        Origin::with_name("other").await?,
    );
    let first = with_address(&config("harmless", "", &www));
    let proxy = Proxy::pointsman_in(directory()?, &first).await?;
    let path = proxy.directory().join("next.wasm");
    let mut before = Metrics::of(&proxy).await?;
    let mut asked = 0;
    let mut check = async || {
        for _ in 0..3 {
            ensure!(status(&proxy).await? == 200);
        }
        asked += 3;
        let metrics = Metrics::of(&proxy).await?;
        metrics.check_since(&before)?;
        before = metrics;
        anyhow::Ok(())
    };
    check().await?;
    // The proxy keeps fewer versions than this.
    for number in 0..7 {
        put(&path, &number.to_string())?;
        proxy.ctl(&["swap", "http-in", "next.wasm"]).await?;
        check().await?;
    }
    proxy.ctl(&["rollback", "http-in"]).await?;
    check().await?;
    // First the server gets another address, and a frontend is added. Then the server has another
    // name, and the frontend is removed. Last, the initial configuration returns.
    let extra = "\n[frontend.extra]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n";
    let (one, two) = (www.address().to_string(), other.address().to_string());
    for config in [
        first.replace(&one, &two) + extra,
        first.replace("server.www", "server.other"),
        first.clone(),
    ] {
        proxy.configure(&config)?;
        proxy.ctl(&["reload"]).await?;
        check().await?;
    }
    fs::remove_file(&path)?;
    let all = [
        ("pointsman_decisions_total", "frontend=\"http-in\""),
        ("pointsman_responses_total", "status=\"2xx\""),
        ("pointsman_server_requests_total", "backend=\"www\""),
    ];
    for (name, label) in all {
        assert_eq!(before.count(name, &[label])?, asked, "{name}");
    }
    // Each combination of labels has one series, however many versions there have been.
    let decisions = before
        .series
        .keys()
        .filter(|series| series.starts_with(all[0].0));
    assert_eq!(decisions.count(), 2);
    Ok(())
}
