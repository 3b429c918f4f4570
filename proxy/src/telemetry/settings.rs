//! Settings of the log: its contents, format and target.

use std::path::PathBuf;

use tracing::Level;

/// Settings of the log: level, format and target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The least urgent level that is written. Dependencies are limited to `WARN` in any case, and
    /// access records have a separate switch: `Telemetry::set_access`.
    pub level: Level,
    /// The format of a line.
    pub format: LogFormat,
    /// The destination of lines.
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
    /// One record for each request and each end of a tunnel, whatever the level.
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
    /// A file that lines are appended to. It is created if it does not exist.
    File(PathBuf),
}
