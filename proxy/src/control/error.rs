//! Why a change was refused.

use thiserror::Error;

use super::prepared::PrepareError;
use crate::config;
use crate::rollout::RolloutError;
use crate::rollout::loader::VersionError;
use crate::telemetry::TelemetryError;

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// No such frontend, or one without a router.
    #[error("there is no frontend `{0}` with a router")]
    NoRouter(String),
    /// No version to go back to.
    #[error("frontend `{0}` has no such version to go back to; `plugins` lists them")]
    NoVersion(String),
    /// The rollout cannot end.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The plugin cannot serve.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The configuration is wrong.
    #[error("{0}")]
    Config(config::Errors),
    /// Something the configuration names is missing or invalid.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A rotated log file would go on to be written.
    #[error("lines go on into the old log file")]
    Log(#[source] TelemetryError),
    /// The process could not do its part: bind a socket, start a successor.
    #[error(transparent)]
    Process(Box<dyn std::error::Error + Send + Sync>),
    /// Loading led to a panic, of a compiler say: a fault of this program.
    #[error("a fault of the proxy itself: {0}")]
    Panicked(String),
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}
