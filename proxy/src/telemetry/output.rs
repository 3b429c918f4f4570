//! The process's log, as access records reach it.
//!
//! They do not pass through `tracing`: a record is one type with known fields, made for every
//! request, and whether it is wanted is one atomic for the process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::access::AccessRecord;
use super::queue::Queue;
use super::record;
use super::settings::{AccessLog, Color, LogFormat};

/// Sees each access record before it is written, on the thread that made it. Must not block.
pub type AccessTap = Box<dyn Fn(&AccessRecord<'_>) + Send + Sync>;

impl AccessRecord<'_> {
    /// Whether [`emit`](Self::emit) would write anything: one load of an atomic, so that
    /// callers can leave out what only the record needs.
    #[inline]
    pub fn enabled() -> bool {
        ENABLED.load(Ordering::Relaxed)
    }

    /// Writes the record to the log of the process, and hands it to its tap.
    pub fn emit(&self) {
        if AccessRecord::enabled()
            && let Some(log) = LOG.get()
        {
            log.write(self);
        }
    }
}

/// Whether records are made. False until the process has a log.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// The log of the process.
static LOG: OnceLock<Log> = OnceLock::new();

/// Where records go.
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

/// Makes `log` that of the process. Without effect if it has one.
pub(super) fn install(log: Log) {
    // Whoever came first stays; `telemetry::install` has told the second caller so.
    let _ = LOG.set(log);
}

pub(super) fn set_enabled(access: AccessLog) {
    ENABLED.store(access == AccessLog::On, Ordering::Relaxed);
}
