//! The plugin's lines in the proxy's log.
//!
//! Owns the macros [`trace!`](crate::trace), [`debug!`](crate::debug), [`info!`](crate::info),
//! [`warn!`](crate::warn) and [`error!`](crate::error), which accept what `format!` accepts. The
//! table `[log]` of the proxy's configuration filters the lines.

/// The severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Single steps of the code.
    Trace,
    /// Details that help to find a mistake.
    Debug,
    /// Worth a line in normal operation.
    Info,
    /// Unexpected, but handled.
    Warn,
    /// A failure.
    Error,
}

/// Writes one line to the proxy's log.
pub fn write(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::guest::write_log(level, message);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::write_log(level, message);
}

/// Writes a line at level `trace`.
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Trace, &::std::format!($($line)+)) };
}

/// Writes a line at level `debug`.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($line)+)) };
}

/// Writes a line at level `info`.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($line)+)) };
}

/// Writes a line at level `warn`.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($line)+)) };
}

/// Writes a line at level `error`.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($line)+)) };
}
