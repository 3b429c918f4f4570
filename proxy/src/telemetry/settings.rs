//! Settings of the log: its level, format and target.

use std::path::PathBuf;

use tracing::Level;

/// Settings of the log: level, format and target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The least urgent level that is written. Dependencies never write anything less urgent than
    /// `WARN`. Access records have a separate switch: `Telemetry::set_access`.
    pub level: Level,
    /// The format of a line.
    pub format: LogFormat,
    /// The destination of lines.
    pub target: LogTarget,
}

impl Default for LogSettings {
    /// Returns the defaults: `info`, text, standard error.
    fn default() -> Self {
        Self {
            level: Level::INFO,
            format: LogFormat::Text,
            target: LogTarget::Stderr,
        }
    }
}

/// The format of a log line.
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
    /// One record is written for each request and for the end of each tunnel, whatever the level.
    On,
    /// No records are created or written.
    Off,
}

/// Whether text lines contain terminal colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    Never,
    Ansi,
}

/// The destination of log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error, in color if it is a terminal.
    Stderr,
    /// Standard output, in color if it is a terminal.
    Stdout,
    /// A file to which lines are appended. It is created if it does not exist.
    File(PathBuf),
}
