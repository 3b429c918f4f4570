//! A guest's lines in the proxy's log.
//!
//! Bounds how long and how many they are, so that no guest floods a log, and escapes
//! them, so that none forges a line. Written by `host` and `wasi`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::fault::escape;

/// Longest line of a guest, in bytes; more is cut off.
const MAX_LINE: usize = 4096;

/// Most lines that one instance may write in a second; more are counted and dropped.
///
/// One worker with a busy plugin stays below what a terminal or journald takes.
const MAX_LINES_PER_SECOND: u32 = 100;

const WINDOW: Duration = Duration::from_secs(1);

/// Log of one instance. A clone writes to the same one.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    frontend: String,
    plugin: Arc<str>,
    /// One thread at a time runs an instance: never contended, there for `Send` streams.
    rate: Mutex<Rate>,
}

#[derive(Debug, Default)]
struct Rate {
    window: Option<Instant>,
    written: u32,
    dropped: u64,
}

/// What becomes of one line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Write it, after the news that so many lines were dropped before it.
    Write {
        dropped_before: u64,
    },
    Drop,
}

impl Rate {
    fn admit(&mut self, now: Instant) -> Verdict {
        let same_window = self
            .window
            .is_some_and(|start| now.saturating_duration_since(start) < WINDOW);
        if !same_window {
            self.window = Some(now);
            self.written = 0;
        }
        if self.written == MAX_LINES_PER_SECOND {
            self.dropped += 1;
            return Verdict::Drop;
        }
        self.written += 1;
        Verdict::Write {
            dropped_before: std::mem::take(&mut self.dropped),
        }
    }
}

impl Log {
    pub(super) fn new(frontend: String, plugin: Arc<str>) -> Log {
        Log(Arc::new(Inner {
            frontend,
            plugin,
            rate: Mutex::default(),
        }))
    }

    /// Writes each line of `message`, which may hold any text: a traceback is of use only as
    /// it is laid out.
    pub(super) fn write(&self, level: Level, message: &str) {
        let text = message.trim_end_matches('\n');
        // Not `lines`: an empty message is a line, too.
        let mut lines = text.split('\n');
        for line in lines.by_ref().take(MAX_LINES_PER_SECOND as usize) {
            self.line(level, line);
        }
        // No more than that can be written; to go through a million would hold up the worker.
        let rest = lines.count();
        if rest > 0 {
            let mut rate = self.0.rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.dropped += rest as u64;
        }
    }

    fn line(&self, level: Level, message: &str) {
        let now = Instant::now();
        let Inner {
            frontend,
            plugin,
            rate,
        } = &*self.0;
        let verdict = rate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(now);
        let Verdict::Write { dropped_before } = verdict else {
            return;
        };
        self.0.report_dropped(dropped_before);
        let mut line = String::with_capacity(message.len().min(MAX_LINE));
        escape(message, MAX_LINE, &mut line);
        match level {
            Level::ERROR => tracing::error!(target: "plugin", %frontend, %plugin, "{line}"),
            Level::WARN => tracing::warn!(target: "plugin", %frontend, %plugin, "{line}"),
            Level::INFO => tracing::info!(target: "plugin", %frontend, %plugin, "{line}"),
            Level::DEBUG => tracing::debug!(target: "plugin", %frontend, %plugin, "{line}"),
            Level::TRACE => tracing::trace!(target: "plugin", %frontend, %plugin, "{line}"),
        }
    }
}

impl Inner {
    fn report_dropped(&self, dropped: u64) {
        let Inner {
            frontend, plugin, ..
        } = self;
        if dropped > 0 {
            tracing::warn!(target: "plugin", %frontend, %plugin, dropped, "log lines of the plugin dropped");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let rate = self.rate.get_mut().unwrap_or_else(PoisonError::into_inner);
        let dropped = rate.dropped;
        self.report_dropped(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let start = Instant::now();
        let mut rate = Rate::default();
        for _ in 0..MAX_LINES_PER_SECOND {
            assert_eq!(rate.admit(start), Verdict::Write { dropped_before: 0 });
        }
        assert_eq!(rate.admit(start), Verdict::Drop);
        assert_eq!(rate.admit(start + WINDOW / 2), Verdict::Drop);
        assert_eq!(
            rate.admit(start + WINDOW),
            Verdict::Write { dropped_before: 2 }
        );
        assert_eq!(
            rate.admit(start + WINDOW),
            Verdict::Write { dropped_before: 0 }
        );
    }
}
