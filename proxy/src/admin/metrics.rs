//! `GET /metrics`: the counters of the process in the text format of Prometheus (`OpenMetrics`).
//!
//! Each counter has a stable name and covers everything that has existed since the process started.
//! A change to the configuration therefore never lowers or removes a counter. Gauges show the
//! current state.

mod process;

use std::collections::HashSet;
use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::control::Control;
use crate::plugin::Fault;
use crate::router::stats::{BUCKETS, Stats, Totals};
use crate::router::version::Version;
use crate::telemetry::{CertificateOrders, Handshakes, ResponseCounts};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::server::Server;

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    /// Prometheus' own format, older than `OpenMetrics`.
    Text,
}

impl Format {
    /// Chooses the format for these `Accept` values: `Text` only if the client accepts it and does
    /// not accept `OpenMetrics`.
    pub(super) fn of<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
        let accept: Vec<&str> = accept.collect();
        let has = |media: &str| accept.iter().any(|accept| accept.contains(media));
        if has("text/plain") && !has("application/openmetrics-text") {
            Format::Text
        } else {
            Format::OpenMetrics
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Renders all metrics as text.
pub(super) fn render(control: &Control, format: Format) -> Result<String, fmt::Error> {
    let mut own = Registry::with_prefix("pointsman");
    own.register_collector(Box::new(Metrics(control.clone())));
    // Process metrics have the same names in every program, without a prefix.
    let mut process = Registry::default();
    process.register_collector(Box::new(process::Process::now(control.started())));
    let mut text = String::new();
    text::encode_registry(&mut text, &own)?;
    text::encode_registry(&mut text, &process)?;
    match format {
        Format::OpenMetrics => text::encode_eof(&mut text)?,
        Format::Text => text = with_names_of_samples(&text),
    }
    Ok(text)
}

/// Appends `_total` to the names of counters in `# HELP` and `# TYPE` lines. In the older format,
/// these lines must use the same names as the samples.
fn with_names_of_samples(text: &str) -> String {
    let lines = text.lines();
    let types = lines.filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    let counters: HashSet<&str> = types.collect();
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|mark| {
            let (name, rest) = line.strip_prefix(mark)?.split_once(' ')?;
            counters.contains(name).then_some((mark, name, rest))
        });
        match described {
            Some((mark, name, rest)) => {
                out.extend([mark, name, "_total ", rest]);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[derive(Debug)]
struct Metrics(Control);

type Labels = Vec<(&'static str, String)>;

/// A metric's values, each with its labels.
type Series<T> = Vec<(Labels, T)>;

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.connections(encoder)?;
        self.tls(encoder)?;
        self.orders(encoder)?;
        self.log(encoder)?;
        self.versions(encoder)?;
        decisions(encoder)?;
        self.backends(encoder)?;
        servers(encoder)?;
        self.tables(encoder)
    }
}

impl Metrics {
    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let control = &self.0;
        let connections = i64::try_from(control.connections()).unwrap_or(i64::MAX);
        gauges(
            encoder,
            "connections",
            "Open client connections, including tunnels",
            vec![(Vec::new(), connections)],
        )?;
        let reloads = control.reloads();
        counters(
            encoder,
            "reloads",
            "Configuration reloads since the start",
            vec![
                (labels([("result", "applied")]), reloads.applied),
                (labels([("result", "refused")]), reloads.refused),
            ],
        )?;
        let mut answers = Vec::new();
        for ([frontend], counts) in ResponseCounts::of_all() {
            for (class, count) in CLASSES.iter().zip(counts) {
                answers.push((labels([("frontend", &frontend), ("status", class)]), count));
            }
        }
        counters(encoder, "responses", "Responses to clients", answers)
    }

    fn tls(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut handshakes = Vec::new();
        for ([frontend], counts) in Handshakes::of_all() {
            for (outcome, count) in Handshakes::OUTCOMES.iter().zip(counts) {
                let labels = labels([("frontend", &frontend), ("outcome", outcome)]);
                handshakes.push((labels, count));
            }
        }
        let help = "TLS handshakes with clients";
        counters(encoder, "handshakes", help, handshakes)?;
        let mut expiry = Vec::new();
        for site in self.0.sites().states() {
            for certificate in site.certificates {
                let name = certificate.facts.names.first().map_or("", |name| name);
                let labels = labels([("tls", &site.name), ("name", name)]);
                // If two certificates cover the same name, such as one with RSA and one with ECDSA,
                // report the one that expires first.
                let known = expiry.iter_mut().find(|(known, _)| *known == labels);
                let not_after = certificate.facts.not_after;
                match known {
                    Some((_, earliest)) => *earliest = not_after.min(*earliest),
                    None => expiry.push((labels, not_after)),
                }
            }
        }
        gauges(
            encoder,
            "certificate_expiry",
            "Expiry time of a certificate for clients, in seconds since 1970",
            expiry,
        )
    }

    fn orders(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut orders = Vec::new();
        for ([tls], counts) in CertificateOrders::of_all() {
            for (outcome, count) in CertificateOrders::OUTCOMES.iter().zip(counts) {
                orders.push((labels([("tls", &tls), ("result", outcome)]), count));
            }
        }
        let help = "Certificate orders at ACME servers";
        counters(encoder, "certificate_orders", help, orders)?;
        let sites = self.0.acme().into_iter();
        let next = sites.filter_map(|site| Some((labels([("tls", &site.site)]), site.next?)));
        gauges(
            encoder,
            "certificate_next_order",
            "Time of the next certificate order, in seconds since 1970",
            next.collect(),
        )
    }

    fn log(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        counters(
            encoder,
            "log_lines_lost",
            "Log lines lost because the output was too slow",
            vec![(Vec::new(), self.0.telemetry().lost_lines())],
        )
    }

    /// Encodes the active version and the version on trial of each stage, as gauges. Counters do
    /// not have version labels, because versions change.
    fn versions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut active = Vec::new();
        for stage in self.0.stages() {
            let mut add = |version: &Version, is_active| {
                let labels = labels([
                    ("frontend", &stage.id.frontend),
                    ("stage", &stage.id.name),
                    ("plugin", version.plugin_name()),
                    ("version", &version.number().to_string()),
                    ("sha256", version.sha256()),
                ]);
                active.push((labels, i64::from(is_active)));
            };
            add(&stage.active, true);
            if let Some(rollout) = &stage.rollout {
                add(rollout.version(), false);
            }
        }
        gauges(
            encoder,
            "plugin_active",
            "1 for the active version, 0 for a version on trial",
            active,
        )
    }

    fn tables(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut entries = Vec::new();
        let mut bytes = Vec::new();
        let mut loads = Vec::new();
        let mut failed = Vec::new();
        let mut unsaved = Vec::new();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for table in self.0.table_states() {
            let name = labels([("table", &table.name)]);
            let loaded = table.loaded.duration_since(SystemTime::UNIX_EPOCH);
            let loaded = loaded.map_or(0, |since| since.as_secs());
            entries.push((name.clone(), number(table.entries)));
            bytes.push((name.clone(), number(table.bytes)));
            loads.push((name.clone(), i64::try_from(loaded).unwrap_or(i64::MAX)));
            failed.push((name.clone(), i64::from(table.failure.is_some())));
            unsaved.push((name, i64::try_from(table.unsaved).unwrap_or(i64::MAX)));
        }
        gauges(
            encoder,
            "table_entries",
            "Number of entries in a table",
            entries,
        )?;
        gauges(encoder, "table_bytes", "Memory used by a table", bytes)?;
        gauges(
            encoder,
            "table_last_load",
            "Time when the contents in force were loaded or saved, in seconds since 1970",
            loads,
        )?;
        gauges(
            encoder,
            "table_load_failed",
            "1 if the current file of a table was refused and earlier contents are in force",
            failed,
        )?;
        gauges(
            encoder,
            "table_unsaved_changes",
            "Manual changes of a table that are not saved to its file",
            unsaved,
        )
    }

    fn backends(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut active = Vec::new();
        let mut queued = Vec::new();
        let mut usable = Vec::new();
        let mut states = Vec::new();
        let mut weights = Vec::new();
        for cluster in self.0.clusters() {
            let name = labels([("backend", cluster.name())]);
            active.push((name.clone(), i64::from(cluster.active())));
            queued.push((name.clone(), i64::from(cluster.queued())));
            usable.push((name, i64::from(cluster.usable_servers())));
            let set = cluster.endpoints();
            for server_entry in set.servers() {
                let server = server_entry.server().name();
                let name = labels([("backend", cluster.name()), ("server", server)]);
                weights.push((name, i64::from(server_entry.weight())));
                for entry in set.endpoints_of(server_entry) {
                    let endpoint = &entry.endpoint;
                    let address = endpoint.address().to_string();
                    let labels = labels([
                        ("backend", cluster.name()),
                        ("server", server),
                        ("address", &address),
                    ]);
                    let state = endpoint.state_word();
                    for word in Endpoint::STATES {
                        let mut labels = labels.clone();
                        labels.push(("state", word.to_owned()));
                        states.push((labels, i64::from(word == state)));
                    }
                }
            }
        }
        gauges(
            encoder,
            "backend_active",
            "Requests and tunnels in progress",
            active,
        )?;
        gauges(
            encoder,
            "backend_queued",
            "Requests waiting for a server",
            queued,
        )?;
        gauges(
            encoder,
            "backend_usable_servers",
            "Servers that are up and not draining",
            usable,
        )?;
        gauges(
            encoder,
            "server_weight",
            "Weight of a server: its share of the requests, relative to the other servers",
            weights,
        )?;
        gauges(
            encoder,
            "endpoint_state",
            "1 for the current state of a server's address, 0 for its other states",
            states,
        )
    }
}

/// Encodes decisions and faults of each stage, summed over all its versions since the start.
fn decisions(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let stages = Stats::of_all();
    let mut decisions = Vec::new();
    let mut faults = Vec::new();
    let mut dropped = Vec::new();
    for ([frontend, stage], totals) in &stages {
        let own = [("frontend", frontend.as_str()), ("stage", stage.as_str())];
        let with = |name, value| labels([own[0], own[1], (name, value)]);
        decisions.push((with("source", "cache"), totals.cached));
        decisions.push((with("source", "plugin"), totals.called));
        for (kind, count) in Fault::KINDS.iter().zip(totals.faults) {
            faults.push((with("kind", kind), count));
        }
        dropped.push((labels(own), totals.dropped_lines));
    }
    counters(
        encoder,
        "decisions",
        "Decisions, including faults",
        decisions,
    )?;
    counters(encoder, "plugin_faults", "Plugin faults", faults)?;
    counters(
        encoder,
        "plugin_log_lines_dropped",
        "Plugin log lines dropped because there were too many",
        dropped,
    )?;
    let mut histogram = encoder.encode_descriptor(
        "decision_seconds",
        "Duration of plugin calls; decisions from the cache are not included",
        None,
        MetricType::Histogram,
    )?;
    for ([frontend, stage], totals) in &stages {
        histogram
            .encode_family(&labels([("frontend", frontend), ("stage", stage)]))?
            .encode_histogram::<NoLabelSet>(
                seconds(totals.nanoseconds),
                totals.buckets.iter().sum(),
                &buckets(totals),
                None,
            )?;
    }
    Ok(())
}

/// Returns the upper bound of each bucket in seconds, with the number of calls in the bucket.
fn buckets(totals: &Totals) -> Vec<(f64, u64)> {
    let bounds = BUCKETS.iter().map(|&bound| seconds(bound));
    bounds.chain([f64::INFINITY]).zip(totals.buckets).collect()
}

/// Encodes the counters of each backend, summed over all servers that it has had since the start.
fn servers(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut requests = Vec::new();
    let mut connects = Vec::new();
    let mut retries = Vec::new();
    let mut changes = Vec::new();
    for ([backend, server], totals) in Server::totals_of_all() {
        let name = [("backend", backend.as_str()), ("server", server.as_str())];
        let with = |result| labels([name[0], name[1], ("result", result)]);
        connects.push((with("connected"), totals.dialled));
        connects.push((with("failed"), totals.refused));
        requests.push((labels(name), totals.exchanges));
        retries.push((labels(name), totals.retried));
        changes.push((labels(name), totals.changes));
    }
    counters(
        encoder,
        "server_requests",
        "Requests and tunnels sent to a server",
        requests,
    )?;
    counters(
        encoder,
        "server_connects",
        "Attempts to connect to a server",
        connects,
    )?;
    counters(
        encoder,
        "server_retries",
        "Requests that failed at a server and were retried",
        retries,
    )?;
    counters(
        encoder,
        "server_state_changes",
        "State changes of a server's addresses, found by checks and requests",
        changes,
    )
}

fn labels<const N: usize>(labels: [(&'static str, &str); N]) -> Labels {
    labels.map(|(name, value)| (name, value.to_owned())).into()
}

#[expect(clippy::cast_precision_loss, reason = "precise enough even for years")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: Series<u64>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: Series<i64>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let check = |accept: &[&str], expected| {
            assert_eq!(Format::of(accept.iter().copied()), expected, "{accept:?}");
        };
        check(&[], Format::OpenMetrics);
        check(&["*/*"], Format::OpenMetrics);
        check(&["text/plain"], Format::Text);
        check(&["text/plain;version=0.0.4;q=1,*/*;q=0.1"], Format::Text);
        let both = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        check(&[both], Format::OpenMetrics);
        check(
            &["text/plain", "application/openmetrics-text"],
            Format::OpenMetrics,
        );
    }

    #[test]
    fn counters_in_the_older_format() {
        let text =
            "# HELP a Help.\n# TYPE a counter\na_total 1\n# HELP b Help.\n# TYPE b gauge\nb 2\n";
        let expected = "# HELP a_total Help.\n# TYPE a_total counter\na_total 1\n\
                        # HELP b Help.\n# TYPE b gauge\nb 2\n";
        assert_eq!(with_names_of_samples(text), expected);
    }
}
