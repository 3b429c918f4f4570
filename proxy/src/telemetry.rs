//! Logs: the subscriber that writes them, and the record of each request. Counters, for metrics.
//!
//! Owns where log lines go, their form and their level. Writing a line never waits for the
//! output: lines pass through a bounded queue to a thread of their own, and what does not fit
//! is dropped and counted. A leaf: `cli` installs it, every module logs through `tracing`,
//! `request` and `tunnel` emit [`AccessRecord`]s.
//!
//! `docs/logs.md` describes both formats for users.

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
    Answers, CertificateOrders, Counter, HandshakeOutcome, Handshakes, OrderOutcome,
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

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log file cannot be opened for appending.
    #[error("cannot open the log file {}", path.display())]
    Open {
        /// As configured.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is no thread to write the log with.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
    /// This process has a subscriber already.
    #[error("logging is already installed")]
    Installed(#[source] TryInitError),
}

/// Logging in service. Dropping it writes out what is queued, waiting a second at most.
#[derive(Debug)]
pub struct Telemetry {
    switch: LevelSwitch,
    writer: Writer,
    /// The file that is written to, if it is one.
    path: Option<PathBuf>,
}

impl Telemetry {
    /// Changes the least urgent level that is written, for every thread.
    pub fn set_level(&self, level: Level) {
        self.switch.set_level(level);
    }

    /// Turns access records on or off, for the process. They are on at first.
    pub fn set_access(&self, access: AccessLog) {
        output::set_enabled(access);
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

    /// Lines that were lost so far: the output did not keep up.
    pub fn lost_lines(&self) -> u64 {
        self.writer.lost()
    }

    /// Opens the log file anew before the next line is written, so that a rotated file is
    /// let go. Without effect where the target is no file. Blocks.
    ///
    /// # Errors
    /// [`TelemetryError::Open`]: lines go on into the old file, in which nobody may look any more,
    /// so standard error gets the reason as well.
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

/// Starts logging for the whole process. `tap` sees each access record.
///
/// # Errors
/// [`TelemetryError::Open`] for a file that cannot be appended to,
/// [`TelemetryError::Thread`] if the system has no thread to give,
/// [`TelemetryError::Installed`] on a second call.
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
    // Colour is for people at a terminal who did not ask for none (`NO_COLOR`).
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

/// The two ways into the log, for events and for access records, and what keeps it going.
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
