//! `GET /metrics`: the process's counters in the text format of Prometheus (`OpenMetrics`).

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::control::Control;
use crate::plugin::Fault;
use crate::router::stats::{BUCKETS, Totals};
use crate::upstream::Condition;

/// The content type of [`render`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// All metrics as text.
pub(super) fn render(control: &Control) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("pointsman");
    registry.register_collector(Box::new(Metrics(control.clone())));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Metrics(Control);

/// A metric's values, each with its labels.
type Series<T> = Vec<(Vec<(&'static str, String)>, T)>;

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.process(&mut encoder)?;
        self.plugins(&mut encoder)?;
        self.backends(&mut encoder)
    }
}

impl Metrics {
    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let control = &self.0;
        let connections = i64::try_from(control.connections()).unwrap_or(i64::MAX);
        gauges(
            encoder,
            "connections",
            "Clients' connections that are open, tunnels included",
            vec![(Vec::new(), connections)],
        )?;
        let reloads = control.reloads();
        counters(
            encoder,
            "reloads",
            "Configurations read since the start",
            vec![
                (vec![("result", "applied".to_owned())], reloads.applied),
                (vec![("result", "refused".to_owned())], reloads.refused),
            ],
        )?;
        let mut answers = Vec::new();
        for (frontend, counts) in control.answers() {
            for (class, count) in CLASSES.iter().zip(counts.totals()) {
                let labels = vec![
                    ("frontend", frontend.clone()),
                    ("status", (*class).to_owned()),
                ];
                answers.push((labels, count));
            }
        }
        counters(encoder, "responses", "Responses to clients", answers)
    }

    fn plugins(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut versions: Series<Totals> = Vec::new();
        let mut active = Vec::new();
        for router in self.0.routers() {
            let candidate = router.rollout.as_ref().map(|rollout| rollout.version());
            let retired = router.retired.iter().map(|retired| &retired.version);
            let versions_of = std::iter::once(&router.active).chain(candidate);
            for version in versions_of.chain(retired) {
                let labels = vec![
                    ("frontend", router.frontend.clone()),
                    ("plugin", version.plugin_name().to_owned()),
                    ("version", version.number().to_string()),
                ];
                active.push((
                    [
                        labels.clone(),
                        vec![("sha256", version.sha256().to_owned())],
                    ]
                    .concat(),
                    i64::from(version.number() == router.active.number()),
                ));
                versions.push((labels, version.stats().totals()));
            }
        }
        gauges(
            encoder,
            "plugin_active",
            "1 for the version that decides, 0 for those before it",
            active,
        )?;
        let mut decisions = Vec::new();
        let mut faults = Vec::new();
        for (labels, totals) in &versions {
            let with =
                |name, value: &str| [labels.clone(), vec![(name, value.to_owned())]].concat();
            decisions.push((with("source", "cache"), totals.cached));
            decisions.push((with("source", "plugin"), totals.asked));
            for (kind, count) in Fault::KINDS.iter().zip(totals.faults) {
                faults.push((with("kind", kind), count));
            }
        }
        counters(
            encoder,
            "decisions",
            "Decisions, faults included",
            decisions,
        )?;
        counters(encoder, "plugin_faults", "Faults of plugins", faults)?;
        let mut histogram = encoder.encode_descriptor(
            "decision_seconds",
            "What calls of plugins took; decisions from the cache are not among them",
            None,
            MetricType::Histogram,
        )?;
        for (labels, totals) in &versions {
            let bounds = BUCKETS.iter().map(|&bound| seconds(bound));
            let buckets: Vec<(f64, u64)> = bounds.chain([f64::MAX]).zip(totals.buckets).collect();
            histogram
                .encode_family(labels)?
                .encode_histogram::<NoLabelSet>(
                    seconds(totals.nanoseconds),
                    totals.buckets.iter().sum(),
                    &buckets,
                    None,
                )?;
        }
        Ok(())
    }

    fn backends(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut active = Vec::new();
        let mut queued = Vec::new();
        let mut requests = Vec::new();
        let mut connects = Vec::new();
        let mut up = Vec::new();
        for cluster in self.0.clusters() {
            let name = vec![("backend", cluster.name().to_string())];
            active.push((name.clone(), i64::from(cluster.active())));
            queued.push((name.clone(), i64::from(cluster.queued())));
            for member in cluster.endpoints().members() {
                let server = member.server();
                let labels = [name.clone(), vec![("server", server.name().to_owned())]].concat();
                let totals = server.totals();
                let with =
                    |result: &str| [labels.clone(), vec![("result", result.to_owned())]].concat();
                connects.push((with("connected"), totals.dialled));
                connects.push((with("failed"), totals.refused));
                for endpoint in member.endpoints() {
                    let address = vec![("address", endpoint.address().to_string())];
                    let is_up = endpoint.condition() == Condition::Up;
                    up.push(([labels.clone(), address].concat(), i64::from(is_up)));
                }
                requests.push((labels, totals.exchanges));
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
            "Requests that wait for a server",
            queued,
        )?;
        gauges(
            encoder,
            "endpoint_up",
            "0 for an address to which the last attempt to connect failed, or else 1",
            up,
        )?;
        counters(
            encoder,
            "server_requests",
            "Requests and tunnels of a server",
            requests,
        )?;
        counters(
            encoder,
            "server_connects",
            "Connections to a server",
            connects,
        )
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a time of years is exact enough"
)]
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
