//! Where lines are written, by the queue's writing thread alone.
//!
//! Never fails towards the queue: what the output refuses is tried again, and lines that are
//! lost meanwhile are counted in a line of their own once writing works again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::clock::Clock;
use super::settings::LogFormat;

/// Between two reports of lost lines, so that an overload does not write about itself.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Room that an empty buffer keeps: what a worker that answers 85,000 requests a second logs
/// until the next batch. More is given back after a burst.
const KEPT_BYTES: usize = 256 * 1024;

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

/// Writes batches of whole lines, and reports those that were lost.
pub(super) struct Sink {
    output: Output,
    format: LogFormat,
    clock: Clock,
    /// The batch in hand.
    batch: Vec<u8>,
    /// Bytes of it that the output has taken.
    written: usize,
    /// Lost lines that have been reported.
    reported: u64,
    last_report: Option<Instant>,
    /// Whether lost lines are still to be reported.
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
    /// What the output refuses is kept for the next [`flush`](Self::flush); there must be
    /// nothing of an earlier batch.
    pub(super) fn write(&mut self, batch: &mut Vec<u8>) {
        debug_assert!(self.batch.is_empty(), "an earlier batch is not written");
        std::mem::swap(&mut self.batch, batch);
        self.flush();
    }

    /// Writes the rest of the batch in hand. Returns whether nothing is left of it.
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
            // A stream of the standard library buffers no whole line.
            let _ = self.output.flush();
            self.reset();
        }
        true
    }

    /// Whether the output has refused something that is to be tried again.
    pub(super) fn is_behind(&self) -> bool {
        !self.batch.is_empty() || self.owes_report
    }

    /// Opens the log file anew. Without effect where the output is no file. Returns how many
    /// lines were lost: one that the old file has in part.
    pub(super) fn reopen(&mut self) -> u64 {
        let flushed = self.flush();
        // If it cannot be opened, the old file stays in use: lines in an unexpected file are
        // better than none.
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

    /// A new file begins with a whole line: the rest of one that the old file has is dropped.
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

    /// Writes how many of the `lost` lines were lost since it was last written. Waits
    /// [`REPORT_INTERVAL`] after the last time, unless `closing`.
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
