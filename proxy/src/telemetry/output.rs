//! The process-wide log for access records.
//!
//! Records do not pass through `tracing`. A record is a single type with known fields, created for
//! every request. One atomic for the whole process says whether records are wanted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::access::AccessRecord;
use super::queue::Queue;
use super::record;
use super::settings::{AccessLog, Color, LogFormat};

/// Callback that receives each access record before the record is written, on the thread that emits
/// it. The callback must not block.
pub type AccessTap = Box<dyn Fn(&AccessRecord<'_>) + Send + Sync>;

impl AccessRecord<'_> {
    /// Returns whether [`emit`](Self::emit) would write anything. Costs one load of an atomic.
    /// Callers can use it to skip work that only the record needs.
    #[inline]
    pub fn enabled() -> bool {
        ENABLED.load(Ordering::Relaxed)
    }

    /// Writes the record to the log of the process, and passes it to the log's tap.
    pub fn emit(&self) {
        if AccessRecord::enabled()
            && let Some(log) = LOG.get()
        {
            log.write(self);
        }
    }
}

/// Whether records are written. False until the process has a log.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// The log of the process.
static LOG: OnceLock<Log> = OnceLock::new();

/// The destination of records.
pub(super) struct Log {
    pub(super) queue: Queue,
    pub(super) format: LogFormat,
    pub(super) color: Color,
    pub(super) tap: Option<AccessTap>,
}

impl Log {
    pub(super) fn write(&self, record: &AccessRecord<'_>) {
        if let Some(tap) = &self.tap {
            tap(record);
        }
        let now = SystemTime::now();
        self.queue.push(|out, clock| {
            record::write(record, out, clock, now, self.format, self.color);
        });
    }
}

/// Makes `log` the log of the process. Has no effect if there already is one.
pub(super) fn install(log: Log) {
    // A log that is already installed stays; `telemetry::install` has reported the error to its
    // second caller.
    let _ = LOG.set(log);
}

pub(super) fn set_enabled(access: AccessLog) {
    ENABLED.store(access == AccessLog::On, Ordering::Relaxed);
}
