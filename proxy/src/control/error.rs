//! Why a change was refused.

use std::fmt::Write as _;

use thiserror::Error;

use super::prepared::PrepareError;
use crate::config::{self, StageId};
use crate::rollout::RolloutError;
use crate::rollout::loader::VersionError;
use crate::tables::{self, SaveError};
use crate::telemetry::TelemetryError;

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// No such frontend, or one without a router.
    #[error("there is no frontend `{0}` with a router")]
    NoRouter(String),
    /// No such stage of this frontend, which has others.
    #[error("frontend `{}` has no `{}` in its router; there is {}", .0.frontend, .0.name, listed(.1))]
    NoStage(StageId, Vec<String>),
    /// The frontend has several stages, and none was named.
    #[error("frontend `{frontend}` has several plugins: say which, {}", addresses(.frontend, .stages))]
    WhichStage {
        /// The frontend's name.
        frontend: String,
        /// The names of its stages, in their order.
        stages: Vec<String>,
    },
    /// No such backend, or no such server of it.
    #[error("there is no server `{0}/{1}`; `servers` lists them")]
    NoServer(String, String),
    /// No version with this number to go back to.
    #[error("`{0}` has no such version as {1} to go back to; `plugins` lists them")]
    NoVersion(StageId, u32),
    /// No version before the active one.
    #[error(
        "`{0}` has no good version before the active one to go back to: name one by its number; \
         `plugins` lists them"
    )]
    NothingBefore(StageId),
    /// Each of the versions to go back to was tried.
    #[error("`{stage}` has no version to go back to that can be started:{}", lines(.refusals))]
    NoneStarts {
        /// Whose versions they are.
        stage: StageId,
        /// The versions by their numbers, each with the reason.
        refusals: Vec<(u32, VersionError)>,
    },
    /// A later request was done first.
    #[error("a later change of `{stage}` was done first, and stays: it left version {version}")]
    Overtaken {
        /// What both would have changed.
        stage: StageId,
        /// The version that came into service or on trial meanwhile.
        version: u32,
    },
    /// A later reload was done first.
    #[error("a later reload was done first, and stays in force")]
    OvertakenByReload,
    /// The trial was aborted before it began.
    #[error("the trial of `{0}` was aborted before it began")]
    Aborted(StageId),
    /// Other changes came in between each time.
    #[error("other changes came in between again and again: try it once more")]
    Busy,
    /// The rollout cannot end.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The plugin cannot serve.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A table does not take the change.
    #[error(transparent)]
    Table(#[from] tables::ChangeError),
    /// A table cannot be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
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

impl ChangeError {
    /// Whether what was to be changed is gone, or the process is about to be.
    pub(super) fn is_gone(&self) -> bool {
        matches!(
            self,
            ChangeError::Stopping | ChangeError::NoRouter(_) | ChangeError::NoStage(..)
        )
    }
}

fn lines(refusals: &[(u32, VersionError)]) -> String {
    let mut text = String::new();
    for (number, error) in refusals {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nversion {number}: {error}");
    }
    text
}

/// The names of stages, quoted.
fn listed(names: &[String]) -> String {
    let quoted = names.iter().map(|name| format!("`{name}`"));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Stages as they are addressed.
fn addresses(frontend: &str, names: &[String]) -> String {
    let addresses = names.iter().map(|name| format!("`{frontend}/{name}`"));
    addresses.collect::<Vec<_>>().join(" or ")
}
