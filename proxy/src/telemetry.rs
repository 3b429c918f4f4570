//! Logs: the subscriber that writes them, and the record of each request.
//!
//! Owns where log lines go, their form and their level. Writing a line never blocks the
//! thread that logs it: lines pass through a bounded queue to a thread of their own, and
//! what does not fit is dropped and counted. A leaf: `cli` installs it, every module logs
//! through `tracing`, `request` and `tunnel` emit [`AccessRecord`]s.
//!
//! `docs/logs.md` describes both formats for users.

mod access;
mod counters;
mod line;
mod sink;
mod switch;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry};

pub use self::access::{ACCESS_TARGET, AccessRecord, End, Times};
pub use self::counters::{Answers, Counter};
use self::line::{Fields, Line};
use self::sink::{Output, Signals, Sink};
use self::switch::LevelSwitch;
use crate::config;

/// Lines that wait for the writing thread before further ones are dropped.
///
/// At some 300 bytes a line, 20 MB at the most: half a second of logs at 128,000 lines a
/// second, which bridges a slow disk but not a stopped one.
pub const MAX_QUEUED_LINES: usize = 64 * 1024;

/// A further layer that sees every enabled event, as the demo's tap.
pub type ExtraLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// What to log, in which form, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The least urgent level that is written. Dependencies are held to `WARN`, whatever
    /// this is, and access records have a switch of their own: [`Telemetry::set_access`].
    pub level: Level,
    /// The form of a line.
    pub format: LogFormat,
    /// Where lines go.
    pub target: LogTarget,
}

impl Default for LogSettings {
    /// `info`, text, standard error.
    fn default() -> Self {
        Self {
            level: Level::INFO,
            format: LogFormat::Text,
            target: LogTarget::Stderr,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time level source: message key=value ...`
    Text,
    /// One flat JSON object (RFC 8259).
    Json,
}

/// Whether access records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// One for each request and each tunnel's end, whatever the level.
    On,
    /// None, and none is made.
    Off,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error, in colour where that is a terminal.
    Stderr,
    /// Standard output, in colour where that is a terminal.
    Stdout,
    /// A file, made where it is not there, and appended to.
    File(PathBuf),
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log file cannot be opened for appending.
    #[error("cannot open the log file {}", path.display())]
    Open {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This process has a subscriber already.
    #[error("logging is already installed")]
    Installed(#[source] TryInitError),
}

/// Logging in service. Dropping it writes out what is queued, waiting a second at most.
#[derive(Debug)]
pub struct Telemetry {
    switch: LevelSwitch,
    signals: Arc<Signals>,
    _guard: WorkerGuard,
}

impl Telemetry {
    /// Changes the least urgent level that is written, for every thread.
    pub fn set_level(&self, level: Level) {
        self.switch.set_level(level);
    }

    /// Turns access records on or off, for every thread. They are on at first.
    pub fn set_access(&self, access: AccessLog) {
        self.switch.set_access(access);
    }

    /// Sets what can be changed while the process runs as `log` has it.
    pub fn apply(&self, log: &config::Log) {
        self.set_level(log.level.into());
        self.set_access(if log.access {
            AccessLog::On
        } else {
            AccessLog::Off
        });
    }

    /// Opens the log file anew before the next line is written, so that a rotated file is
    /// let go. Without effect where the target is no file.
    pub fn reopen(&self) {
        self.signals.reopen.store(true, Ordering::Release);
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // Before the guard drops and waits for the last batch.
        self.signals.closing.store(true, Ordering::Release);
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl From<config::LogLevel> for Level {
    fn from(level: config::LogLevel) -> Level {
        match level {
            config::LogLevel::Error => Level::ERROR,
            config::LogLevel::Warn => Level::WARN,
            config::LogLevel::Info => Level::INFO,
            config::LogLevel::Debug => Level::DEBUG,
            config::LogLevel::Trace => Level::TRACE,
        }
    }
}

/// Starts logging for the whole process.
///
/// # Errors
/// [`TelemetryError::Open`] for a file that cannot be appended to,
/// [`TelemetryError::Installed`] on a second call.
pub fn install(
    settings: &LogSettings,
    extra: Option<ExtraLayer>,
) -> Result<Telemetry, TelemetryError> {
    let (subscriber, telemetry) = build(settings, extra)?;
    subscriber.try_init().map_err(TelemetryError::Installed)?;
    Ok(telemetry)
}

fn build(
    settings: &LogSettings,
    extra: Option<ExtraLayer>,
) -> Result<(impl Subscriber + Send + Sync + 'static, Telemetry), TelemetryError> {
    let (output, ansi) = match &settings.target {
        LogTarget::Stderr => (
            Output::Stream(Box::new(io::stderr())),
            wants_color(io::stderr().is_terminal()),
        ),
        LogTarget::Stdout => (
            Output::Stream(Box::new(io::stdout())),
            wants_color(io::stdout().is_terminal()),
        ),
        LogTarget::File(path) => {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|source| TelemetryError::Open {
                    path: path.clone(),
                    source,
                })?;
            (Output::File(path.clone(), file), false)
        }
    };
    Ok(assemble(
        settings,
        output,
        ansi && settings.format == LogFormat::Text,
        extra,
    ))
}

fn assemble(
    settings: &LogSettings,
    output: Output,
    ansi: bool,
    extra: Option<ExtraLayer>,
) -> (impl Subscriber + Send + Sync + 'static, Telemetry) {
    let signals = Arc::new(Signals::default());
    let (sink, counter) = Sink::new(output, settings.format, Arc::clone(&signals));
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_QUEUED_LINES)
        .thread_name("log")
        .finish(sink);
    counter.set(writer.error_counter());

    let switch = LevelSwitch::new(settings.level);
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(Fields(settings.format))
        .event_format(Line(settings.format))
        .with_ansi(ansi)
        .with_writer(writer);
    let subscriber = tracing_subscriber::registry()
        .with(extra)
        .with(lines)
        .with(switch.clone());
    let telemetry = Telemetry {
        switch,
        signals,
        _guard: guard,
    };
    (subscriber, telemetry)
}

/// Colour is for people at a terminal who did not ask for none (`NO_COLOR`).
fn wants_color(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests;
