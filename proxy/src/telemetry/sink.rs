//! The destination of lines, used only by the queue's writing thread.
//!
//! A failure to write is not reported to the queue: the sink writes the refused data again later.
//! Once writing works again, a separate line reports how many lines have been lost meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::clock::Clock;
use super::settings::LogFormat;

/// Minimum time between two reports of lost lines, so that the reports do not add to an overload.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Capacity that an empty buffer keeps. It is enough for the lines that a worker writes from one
/// batch to the next at 85,000 requests a second. After a burst, any capacity beyond it is freed.
const KEPT_BYTES: usize = 256 * 1024;

/// The destination of the bytes.
pub(super) enum Output {
    /// A stream that stays open as long as the process runs.
    Stream(Box<dyn Write + Send>),
    /// A file that can be reopened under the same name.
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

/// Writes batches of whole lines, and reports lost lines.
pub(super) struct Sink {
    output: Output,
    format: LogFormat,
    clock: Clock,
    /// The batch that is being written.
    batch: Vec<u8>,
    /// Number of bytes of `batch` that have been written.
    written: usize,
    /// Number of lost lines that have been reported.
    reported: u64,
    last_report: Option<Instant>,
    /// Whether lost lines have yet to be reported.
    owes_report: bool,
}

impl Sink {
    pub(super) fn new(output: Output, format: LogFormat) -> Self {
        Self {
            output,
            format,
            clock: Clock::new(),
            batch: Vec::new(),
            written: 0,
            reported: 0,
            last_report: None,
            owes_report: false,
        }
    }

    /// Writes a batch of whole lines, and leaves an empty buffer in its place.
    ///
    /// Data that the output refuses is kept for the next [`flush`](Self::flush). The previous batch
    /// must have been written completely.
    pub(super) fn write(&mut self, batch: &mut Vec<u8>) {
        debug_assert!(self.batch.is_empty(), "an earlier batch is not written");
        std::mem::swap(&mut self.batch, batch);
        self.flush();
    }

    /// Writes the rest of the current batch. Returns whether all of it has been written.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(rest) = self
            .batch
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match self.output.write(rest) {
                Ok(0) => return false,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        if self.written > 0 {
            // The streams of the standard library write whole lines without buffering them, so the
            // result of a flush is irrelevant.
            let _ = self.output.flush();
            self.reset();
        }
        true
    }

    /// Returns whether something still has to be written: data that the output has refused, or a
    /// report of lost lines.
    pub(super) fn is_behind(&self) -> bool {
        !self.batch.is_empty() || self.owes_report
    }

    /// Reopens the log file. Does nothing if the output is not a file. Returns the number of lost
    /// lines: one if only part of a line was written to the old file, otherwise zero.
    pub(super) fn reopen(&mut self) -> u64 {
        let flushed = self.flush();
        // If the new file cannot be opened, the old one stays in use: lines in an unexpected file
        // are better than none.
        if let Output::File(path, file) = &mut self.output
            && let Ok(new) = OpenOptions::new().append(true).create(true).open(&*path)
        {
            *file = new;
            if !flushed {
                return self.skip_cut_line();
            }
        }
        0
    }

    /// Drops the rest of a line of which the old file contains only the first part, so that the new
    /// file starts with a whole line. Returns the number of lost lines.
    fn skip_cut_line(&mut self) -> u64 {
        let is_cut = self.written > 0 && self.batch[self.written - 1] != b'\n';
        if !is_cut {
            return 0;
        }
        match self.batch[self.written..]
            .iter()
            .position(|&byte| byte == b'\n')
        {
            Some(end) => self.written += end + 1,
            None => self.reset(),
        }
        1
    }

    fn reset(&mut self) {
        self.written = 0;
        self.batch.clear();
        self.batch.shrink_to(KEPT_BYTES);
    }

    /// Reports how many lines have been lost since the last report. `lost` is the total so far.
    /// Reports are at least [`REPORT_INTERVAL`] apart, unless `closing`.
    pub(super) fn report_lost(&mut self, lost: u64, closing: bool) {
        self.owes_report = lost != self.reported;
        if !self.owes_report || !self.batch.is_empty() {
            return;
        }
        let early = self
            .last_report
            .is_some_and(|last| last.elapsed() < REPORT_INTERVAL);
        if early && !closing {
            return;
        }
        let count = lost - self.reported;
        let time = String::from_utf8_lossy(self.clock.format(SystemTime::now()));
        let line = match self.format {
            LogFormat::Text => {
                format!("{time} WARN  pointsman::telemetry: log lines were lost count={count}\n")
            }
            LogFormat::Json => format!(
                "{{\"time\":\"{time}\",\"level\":\"WARN\",\"source\":\"pointsman::telemetry\",\
                 \"message\":\"log lines were lost\",\"count\":{count}}}\n"
            ),
        };
        self.write(&mut line.into_bytes());
        self.reported = lost;
        self.last_report = Some(Instant::now());
        self.owes_report = false;
    }
}
