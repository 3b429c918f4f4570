//! Logging: the subscriber that writes log lines, and the access record of each request. Also the
//! counters for metrics.
//!
//! Owns the destination, format and level of log lines. Writing a line never waits for the output:
//! lines pass through a bounded queue to a dedicated thread, and lines that do not fit are dropped
//! and counted. This module depends on no other part of the request path: `cli` installs it, every
//! module logs through `tracing`, and `request` and `tunnel` emit [`AccessRecord`]s.
//!
//! `docs/run/logs.md` describes both formats for users.

mod access;
mod clock;
mod counters;
mod escape;
mod ledger;
mod line;
mod number;
mod output;
mod panics;
mod queue;
mod record;
mod settings;
mod sink;
mod switch;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use tracing::{Level, Subscriber};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

pub use self::access::{AccessRecord, ClientAddress, End, RequestId, Times};
pub use self::counters::{
    CertificateOrders, Counter, HandshakeOutcome, Handshakes, OrderOutcome, ResponseCounts,
};
pub use self::ledger::{Countable, Ledger};
use self::line::{Fields, Line};
pub use self::output::AccessTap;
pub use self::panics::{current_panic, log_panics};
pub use self::queue::{BATCH_INTERVAL, MAX_QUEUED_BYTES};
use self::queue::{Queue, Writer};
use self::settings::Color;
pub use self::settings::{AccessLog, LogFormat, LogSettings, LogTarget};
use self::sink::{Output, Sink};
use self::switch::LevelSwitch;
use crate::config;

/// Reason why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log file cannot be opened for appending.
    #[error("cannot open the log file {}", path.display())]
    Open {
        /// The configured path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The thread that writes the log cannot be started.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// This process already has a subscriber.
    #[error("logging is already installed")]
    Installed(#[source] TryInitError),
}

/// Handle to the running log. Dropping it writes out the queued lines, and waits for at most one
/// second.
#[derive(Debug)]
pub struct Telemetry {
    switch: LevelSwitch,
    writer: Writer,
    /// Path of the log file, if the target is a file.
    path: Option<PathBuf>,
}

impl Telemetry {
    /// Sets the least urgent level that is written, for every thread.
    pub fn set_level(&self, level: Level) {
        self.switch.set_level(level);
    }

    /// Turns access records on or off for the whole process. They are on initially.
    pub fn set_access(&self, access: AccessLog) {
        output::set_enabled(access);
    }

    /// Applies the settings of `log` that can change while the process runs.
    pub fn apply(&self, log: &config::Log) {
        self.set_level(log.level.into());
        self.set_access(if log.access {
            AccessLog::On
        } else {
            AccessLog::Off
        });
    }

    /// Returns the number of lines lost so far because the output did not keep up.
    pub fn lost_lines(&self) -> u64 {
        self.writer.lost()
    }

    /// Reopens the log file before the next line is written, so that a rotated file is released.
    /// Does nothing if the target is not a file. Blocks.
    ///
    /// # Errors
    /// [`TelemetryError::Open`]. In this case lines still go to the old file. Perhaps no one reads
    /// that file any more, so the reason is also written to standard error.
    pub fn reopen(&self) -> Result<(), TelemetryError> {
        if let Some(path) = &self.path {
            append_to(path).inspect_err(|error| {
                let _ = writeln!(io::stderr(), "error: {}", chain(error));
            })?;
            self.writer.reopen();
        }
        Ok(())
    }
}

/// Formats an error and its chain of causes on one line.
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

/// Starts logging for the whole process. `tap` is called with each access record.
///
/// # Errors
/// [`TelemetryError::Open`] for a file that cannot be appended to, [`TelemetryError::Thread`] if
/// the system cannot start a thread, [`TelemetryError::Installed`] on a second call.
pub fn install(
    settings: &LogSettings,
    tap: Option<AccessTap>,
) -> Result<Telemetry, TelemetryError> {
    let (output, color) = open(settings)?;
    let (subscriber, log, telemetry) = assemble(settings, output, color, tap)?;
    subscriber.try_init().map_err(TelemetryError::Installed)?;
    output::install(log);
    output::set_enabled(AccessLog::On);
    Ok(telemetry)
}

fn open(settings: &LogSettings) -> Result<(Output, Color), TelemetryError> {
    let (output, terminal) = match &settings.target {
        LogTarget::Stderr => (
            Output::Stream(Box::new(io::stderr())),
            io::stderr().is_terminal(),
        ),
        LogTarget::Stdout => (
            Output::Stream(Box::new(io::stdout())),
            io::stdout().is_terminal(),
        ),
        LogTarget::File(path) => {
            let file = append_to(path)?;
            (Output::File(path.clone(), file), false)
        }
    };
    // Colors are for people at a terminal who have not turned them off (`NO_COLOR`).
    let wants_color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let color = if wants_color && settings.format == LogFormat::Text {
        Color::Ansi
    } else {
        Color::Never
    };
    Ok((output, color))
}

fn append_to(path: &Path) -> Result<File, TelemetryError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|source| TelemetryError::Open {
        path: path.to_owned(),
        source,
    })
}

/// Creates the subscriber for events, the log for access records, and the handle to both.
fn assemble(
    settings: &LogSettings,
    output: Output,
    color: Color,
    tap: Option<AccessTap>,
) -> Result<
    (
        impl Subscriber + Send + Sync + 'static,
        output::Log,
        Telemetry,
    ),
    TelemetryError,
> {
    let sink = Sink::new(output, settings.format);
    let (queue, writer) = Queue::start(sink).map_err(TelemetryError::Thread)?;
    let switch = LevelSwitch::new(settings.level);
    let log = output::Log {
        queue: queue.clone(),
        format: settings.format,
        color,
        tap,
    };
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(Fields(settings.format))
        .event_format(Line(settings.format))
        .with_ansi(color == Color::Ansi)
        .with_writer(move || queue.clone());
    let subscriber = tracing_subscriber::registry()
        .with(lines)
        .with(switch.clone());
    let path = match &settings.target {
        LogTarget::File(path) => Some(path.clone()),
        LogTarget::Stderr | LogTarget::Stdout => None,
    };
    let telemetry = Telemetry {
        switch,
        writer,
        path,
    };
    Ok((subscriber, log, telemetry))
}

#[cfg(test)]
mod tests;
