//! Why a change was refused.

use std::fmt::Write as _;

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
    /// No such backend, or no such server of it.
    #[error("there is no server `{0}/{1}`; `servers` lists them")]
    NoServer(String, String),
    /// No version with this number to go back to.
    #[error("frontend `{0}` has no such version as {1} to go back to; `plugins` lists them")]
    NoVersion(String, u32),
    /// No version before the active one.
    #[error(
        "frontend `{0}` has no good version before the active one to go back to: name one by its \
         number; `plugins` lists them"
    )]
    NothingBefore(String),
    /// Each of the versions to go back to was tried.
    #[error("frontend `{frontend}` has no version to go back to that can be started:{}", lines(.refusals))]
    NoneStarts {
        /// The frontend's name.
        frontend: String,
        /// The versions by their numbers, each with the reason.
        refusals: Vec<(u32, VersionError)>,
    },
    /// A later request was done first.
    #[error(
        "a later change of frontend `{frontend}` was done first, and stays: it left version \
         {version}"
    )]
    Overtaken {
        /// The frontend's name.
        frontend: String,
        /// The version that came into service or on trial meanwhile.
        version: u32,
    },
    /// A later reload was done first.
    #[error("a later reload was done first, and stays in force")]
    OvertakenByReload,
    /// The trial was aborted before it began.
    #[error("the trial of frontend `{0}` was aborted before it began")]
    Aborted(String),
    /// Other changes came in between each time.
    #[error("other changes came in between again and again: try it once more")]
    Busy,
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

fn lines(refusals: &[(u32, VersionError)]) -> String {
    let mut text = String::new();
    for (number, error) in refusals {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nversion {number}: {error}");
    }
    text
}
