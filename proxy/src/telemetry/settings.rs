//! What is logged, in which form, and where to.

use std::path::PathBuf;

use tracing::Level;

/// What to log, in which form, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The least urgent level that is written. Dependencies are held to `WARN`, whatever
    /// this is, and access records have a switch of their own: `Telemetry::set_access`.
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

/// Whether text lines have the colours of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    Never,
    Ansi,
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
