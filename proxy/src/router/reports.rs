//! Log lines about a plugin's faults. Each kind is logged at most once a second.
//!
//! Used by `router` and `local_version`.

use std::time::Duration;

use tokio::time::Instant;

use super::version::Version;
use crate::plugin::Fault;
use crate::telemetry::RequestId;

/// Minimum interval between two log lines about faults of one kind.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// Rate limiter that keeps a plugin that fails on every request from filling the log.
#[derive(Debug, Default)]
pub(super) struct Reports(Vec<Report>);

#[derive(Debug)]
struct Report {
    kind: &'static str,
    last: Instant,
    /// Number of faults that were not logged since the last log line.
    skipped: u64,
}

impl Reports {
    /// Counts a fault of this kind. If it is to be logged, returns the number of faults that were
    /// skipped since the last log line; otherwise None.
    pub(super) fn admit(&mut self, kind: &'static str) -> Option<u64> {
        let now = Instant::now();
        let Some(report) = self.0.iter_mut().find(|report| report.kind == kind) else {
            self.0.push(Report {
                kind,
                last: now,
                skipped: 0,
            });
            return Some(0);
        };
        if now.duration_since(report.last) < REPORT_PAUSE {
            report.skipped += 1;
            return None;
        }
        report.last = now;
        Some(std::mem::take(&mut report.skipped))
    }

    /// Logs a fault that occurred on this request, with the guest's backtrace.
    pub(super) fn fault(&mut self, version: &Version, fault: &Fault, request: Option<u64>) {
        let Some(more) = self.admit(fault.kind()) else {
            return;
        };
        let backtrace = match fault {
            Fault::Trap { backtrace, .. } => {
                Some(backtrace.as_str()).filter(|text| !text.is_empty())
            }
            _ => None,
        };
        tracing::warn!(
            id = request.map(|id| display(RequestId(id))),
            frontend = version.stage().frontend,
            stage = version.stage().name,
            plugin = version.plugin_name(),
            version = version.number(),
            kind = fault.kind(),
            error = %fault,
            backtrace,
            more,
            "plugin fault"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn faults_of_a_kind_are_logged_once_a_second() {
        let mut reports = Reports::default();
        assert_eq!(reports.admit("trap"), Some(0));
        assert_eq!(reports.admit("trap"), None);
        assert_eq!(reports.admit("trap"), None);
        assert_eq!(reports.admit("deadline"), Some(0));
        tokio::time::advance(REPORT_PAUSE).await;
        assert_eq!(reports.admit("trap"), Some(2));
        assert_eq!(reports.admit("trap"), None);
    }
}
