//! Metrics of the process, under the names that Prometheus' client libraries agree on.
//!
//! Read from the kernel on each request for metrics. Values that cannot be read are left out.

use std::fmt;
use std::fs;
use std::time::SystemTime;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// A snapshot of the process.
#[derive(Debug)]
pub(super) struct Process {
    open_descriptors: Option<i64>,
    max_descriptors: Option<i64>,
    /// Resident memory, in bytes.
    memory: Option<i64>,
    /// Processor time, in seconds.
    processor: Option<f64>,
    /// Start of the process, in seconds since 1970.
    started: Option<f64>,
}

impl Process {
    pub(super) fn now(started: SystemTime) -> Process {
        let since = started.duration_since(SystemTime::UNIX_EPOCH);
        let limit = getrlimit(Resource::RLIMIT_NOFILE);
        Process {
            open_descriptors: open_descriptors(),
            max_descriptors: limit.ok().map(|(soft, _)| whole(soft)),
            memory: memory(),
            processor: processor(),
            started: since.ok().map(|since| since.as_secs_f64()),
        }
    }
}

/// Counts the open descriptors, except the one used to list them.
fn open_descriptors() -> Option<i64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(whole(open as u64) - 1)
}

fn memory() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "precise enough even for years")]
fn processor() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let time = usage.user_time() + usage.system_time();
    Some(time.num_microseconds() as f64 / 1e6)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        gauge(
            encoder,
            "process_open_fds",
            "Open file descriptors",
            self.open_descriptors,
        )?;
        gauge(
            encoder,
            "process_max_fds",
            "Maximum number of open file descriptors",
            self.max_descriptors,
        )?;
        gauge(
            encoder,
            "process_resident_memory_bytes",
            "Resident memory",
            self.memory,
        )?;
        if let Some(seconds) = self.processor {
            let help = "Processor time, user and system";
            let kind = MetricType::Counter;
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        if let Some(seconds) = self.started {
            let help = "Start time of the process, in seconds since 1970";
            let kind = MetricType::Gauge;
            let metric =
                encoder.encode_descriptor("process_start_time_seconds", help, None, kind)?;
            ConstGauge::new(seconds).encode(metric)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: Option<i64>,
) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}
