//! The far end of the log's queue: runs on the writing thread alone.
//!
//! Never fails towards the queue: a line that cannot be written is counted, and the count is
//! written as a line of its own once writing works again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tracing_appender::non_blocking::ErrorCounter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::LogFormat;

/// Between two reports of lost lines, so that an overload does not write about itself.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Where the bytes go.
pub(super) enum Output {
    /// A stream that is there for the whole run.
    Stream(Box<dyn Write + Send>),
    /// A file that can be opened anew under the same name.
    File(PathBuf, File),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stream(stream) => stream.write(bytes),
            Output::File(_, file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Stream(stream) => stream.flush(),
            Output::File(_, file) => file.flush(),
        }
    }
}

/// What the rest of the process tells the writing thread.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Raised by `Telemetry::reopen`, taken before the next line.
    pub(super) reopen: AtomicBool,
    /// Raised as `Telemetry` drops: the batch in hand is the last one.
    pub(super) closing: AtomicBool,
}

/// Set once the queue exists, which needs the sink first.
#[derive(Clone)]
pub(super) struct Dropped(Arc<OnceLock<ErrorCounter>>);

impl Dropped {
    pub(super) fn set(&self, counter: ErrorCounter) {
        // Set once, by the function that made both.
        let _ = self.0.set(counter);
    }

    fn count(&self) -> usize {
        self.0.get().map_or(0, ErrorCounter::dropped_lines)
    }
}

/// Buffers a batch of lines, and reports those that were lost.
pub(super) struct Sink {
    output: BufWriter<Output>,
    format: LogFormat,
    signals: Arc<Signals>,
    /// Lines that found the queue full.
    dropped: Dropped,
    /// Lines that the output refused.
    unwritten: usize,
    reported: usize,
    last_report: Option<Instant>,
}

impl Sink {
    pub(super) fn new(output: Output, format: LogFormat, signals: Arc<Signals>) -> (Self, Dropped) {
        let dropped = Dropped(Arc::new(OnceLock::new()));
        let sink = Self {
            output: BufWriter::with_capacity(64 * 1024, output),
            format,
            signals,
            dropped: dropped.clone(),
            unwritten: 0,
            reported: 0,
            last_report: None,
        };
        (sink, dropped)
    }

    fn reopen_if_asked(&mut self) {
        if !self.signals.reopen.swap(false, Ordering::AcqRel) {
            return;
        }
        // A failed flush or open leaves the old file in use: lines in an unexpected file
        // are better than none.
        let _ = self.output.flush();
        if let Output::File(path, file) = self.output.get_mut()
            && let Ok(new) = OpenOptions::new().append(true).create(true).open(&*path)
        {
            *file = new;
        }
    }

    fn report_lost(&mut self, wait: Duration) {
        let lost = self.dropped.count().saturating_add(self.unwritten);
        let early = self.last_report.is_some_and(|last| last.elapsed() < wait);
        if lost == self.reported || early {
            return;
        }
        let count = lost - self.reported;
        let mut time = String::new();
        // Writing to a String does not fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let line = match self.format {
            LogFormat::Text => {
                format!("{time} WARN  pointsman::telemetry: log lines were lost count={count}\n")
            }
            LogFormat::Json => format!(
                "{{\"time\":\"{time}\",\"level\":\"WARN\",\"source\":\"pointsman::telemetry\",\
                 \"message\":\"log lines were lost\",\"count\":{count}}}\n"
            ),
        };
        if self.output.write_all(line.as_bytes()).is_ok() {
            self.reported = lost;
            self.last_report = Some(Instant::now());
        }
    }
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.reopen_if_asked();
        if self.output.write_all(line).is_err() {
            self.unwritten = self.unwritten.saturating_add(1);
        }
        Ok(line.len())
    }

    /// Called by the writing thread at the end of each batch.
    fn flush(&mut self) -> io::Result<()> {
        let closing = self.signals.closing.load(Ordering::Acquire);
        self.report_lost(if closing {
            Duration::ZERO
        } else {
            REPORT_INTERVAL
        });
        // What could not be flushed stays in the buffer for the next batch; lines are lost
        // only once that is full.
        let _ = self.output.flush();
        Ok(())
    }
}
