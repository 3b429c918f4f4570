//! A guest's lines in the proxy's log.
//!
//! Limits the length and number of lines, so that no guest can flood the log. Escapes them, so that
//! no guest can forge a line. Called by `host` and `wasi`.

mod budget;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Level;
use tracing::field::display;

pub use self::budget::LineBudget;
use super::fault::escape;
use crate::config::StageId;
use crate::telemetry::RequestId;

/// Maximum number of bytes of a guest's line; longer lines are cut.
pub(super) const MAX_LINE: usize = 4096;

/// Maximum number of bytes of one message, with each line cut to [`MAX_LINE`]; further lines are
/// dropped.
///
/// The guest's call waits while the host escapes and writes the lines, and its deadline cannot
/// interrupt the host.
const MAX_MESSAGE: usize = 4 * MAX_LINE;

/// Calls one of `tracing`'s macros with target and level, which have to be constants.
macro_rules! at_level {
    ($level:expr, $call:ident $(; $($field:tt)*)?) => {
        match $level {
            Level::ERROR => tracing::$call!(target: "plugin", Level::ERROR $(, $($field)*)?),
            Level::WARN => tracing::$call!(target: "plugin", Level::WARN $(, $($field)*)?),
            Level::INFO => tracing::$call!(target: "plugin", Level::INFO $(, $($field)*)?),
            Level::DEBUG => tracing::$call!(target: "plugin", Level::DEBUG $(, $($field)*)?),
            Level::TRACE => tracing::$call!(target: "plugin", Level::TRACE $(, $($field)*)?),
        }
    };
}

/// Log of one instance. Clones write to the same log.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stage: StageId,
    plugin: Arc<str>,
    budget: LineBudget,
    /// Number of the request that is being routed; 0 if there is none.
    request: AtomicU64,
}

impl Log {
    pub(super) fn new(stage: StageId, plugin: Arc<str>, budget: LineBudget) -> Log {
        Log(Arc::new(Inner {
            stage,
            plugin,
            budget,
            request: AtomicU64::new(0),
        }))
    }

    /// Starts a call of `route`: later lines are logged under this request's number.
    pub(super) fn begin(&self, request: Option<u64>) {
        self.0
            .request
            .store(request.unwrap_or_default(), Ordering::Relaxed);
        self.0.report_dropped();
    }

    /// Writes each line of `message`, which can contain any bytes. Line breaks are kept, since a
    /// traceback is readable only with its layout.
    ///
    /// Lines over the budget or beyond [`MAX_MESSAGE`] are only counted. If the log's level is
    /// disabled, the message is not even read.
    pub(super) fn write(&self, level: Level, message: impl AsRef<[u8]>) {
        if !at_level!(level, enabled) {
            return;
        }
        let message = message.as_ref();
        let end = message.iter().rposition(|&byte| byte != b'\n');
        let text = &message[..end.map_or(0, |end| end + 1)];
        // An empty message is also a line.
        let lines = 1 + count_ends(text);
        let fitting = count_fitting(text);
        let granted = self.0.budget.take(fitting);
        self.0.budget.drop_lines(lines - fitting);
        for line in text.split(|&byte| byte == b'\n').take(granted) {
            self.0.write_line(level, &String::from_utf8_lossy(line));
        }
        if granted < lines {
            self.0.report_dropped();
        }
    }
}

#[expect(
    clippy::naive_bytecount,
    reason = "compiled to vector instructions, which is fast enough for a message"
)]
fn count_ends(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

/// Returns how many lines of a message fit into [`MAX_MESSAGE`].
fn count_fitting(text: &[u8]) -> usize {
    let mut size = 0;
    let lines = text.split(|&byte| byte == b'\n');
    lines
        .take_while(|line| {
            // An empty line counts as one byte, since writing it takes time as well.
            size += line.len().clamp(1, MAX_LINE);
            size <= MAX_MESSAGE
        })
        .count()
}

impl Inner {
    fn write_line(&self, level: Level, text: &str) {
        let (frontend, stage, plugin) = (&self.stage.frontend, &self.stage.name, &self.plugin);
        let request = self.request.load(Ordering::Relaxed);
        let id = (request != 0).then(|| display(RequestId(request)));
        let mut line = String::with_capacity(text.len().min(MAX_LINE));
        escape(text, MAX_LINE, &mut line);
        at_level!(level, event; id, %frontend, %stage, %plugin, "{line}");
    }

    fn report_dropped(&self) {
        let (frontend, stage, plugin) = (&self.stage.frontend, &self.stage.name, &self.plugin);
        if let Some(dropped) = self.budget.take_report() {
            tracing::warn!(target: "plugin", %frontend, %stage, %plugin, dropped, "plugin log lines dropped");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.report_dropped();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A writer that counts the bytes written to the log.
    #[derive(Debug, Clone, Default)]
    struct Counter(Arc<AtomicUsize>);

    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(bytes.len(), Ordering::Relaxed);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_costs_no_more_than_a_few_long_lines() {
        let check = |line: usize, lines: usize, dropped: u64| {
            let counter = Counter::default();
            let writer = counter.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_writer(move || writer.clone())
                .finish();
            let budget = LineBudget::default();
            let log = Log::new(
                StageId::new("front", "stage"),
                "plugin".into(),
                budget.clone(),
            );
            tracing::subscriber::with_default(subscriber, || {
                log.write(Level::INFO, vec!["\u{1}".repeat(line); lines].join("\n"));
            });
            assert_eq!(budget.dropped(), dropped, "{lines} of {line} bytes");
            let written = counter.0.load(Ordering::Relaxed);
            // Each control character is escaped to five bytes.
            assert!(written < 6 * MAX_MESSAGE, "{written} bytes");
        };
        check(1_000_000, 1, 0);
        check(MAX_LINE, 4, 0);
        check(MAX_LINE, 5, 1);
        check(MAX_LINE, 100, 96);
        check(100_000, 10, 6);
        check(MAX_LINE / 2, 100, 92);
    }

    #[test]
    fn a_million_lines_are_counted_and_not_written() {
        let budget = LineBudget::default();
        let log = Log::new(
            StageId::new("front", "stage"),
            "plugin".into(),
            budget.clone(),
        );
        let subscriber = tracing_subscriber::fmt()
            .with_writer(std::io::sink)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            log.write(Level::INFO, vec![b'\n'; 1_000_000]);
            assert_eq!(budget.dropped(), 0, "an empty message is one line");
            let text = [vec![b'\n'; 999_999], vec![b'x']].concat();
            log.write(Level::INFO, &text);
            assert_eq!(budget.dropped(), 999_901);
            // This level is disabled, so these lines take nothing from the budget.
            log.write(Level::DEBUG, &text);
            assert_eq!(budget.dropped(), 999_901);
        });
    }
}
