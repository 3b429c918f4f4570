//! Reasons why a change is refused.

use std::fmt::Write as _;

use thiserror::Error;

use super::prepared::PrepareError;
use crate::config::{self, StageId};
use crate::rollout::RolloutError;
use crate::rollout::loader::VersionError;
use crate::tables::{self, SaveError};
use crate::telemetry::TelemetryError;

/// Reason why a change had no effect.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// There is no such frontend, or it has no router.
    #[error("there is no frontend `{0}` with a router")]
    NoRouter(String),
    /// The frontend has no such stage. The list contains the names of its stages.
    #[error("frontend `{}` has no `{}` in its router; it has {}", .0.frontend, .0.name, listed(.1))]
    NoStage(StageId, Vec<String>),
    /// The frontend has several stages, and the request names none of them.
    #[error("frontend `{frontend}` has several plugins: name {}", addresses(.frontend, .stages))]
    WhichStage {
        /// The frontend's name.
        frontend: String,
        /// The names of its stages, in the order of its router.
        stages: Vec<String>,
    },
    /// There is no such backend, or it has no such server.
    #[error("there is no server `{0}/{1}`; `servers` lists them")]
    NoServer(String, String),
    /// There is no version with this number to go back to.
    #[error("`{0}` has no version {1} to roll back to; `plugins` lists its versions")]
    NoVersion(StageId, u32),
    /// There is no good version before the active one.
    #[error(
        "`{0}` has no good version before the active one to roll back to: give the number of a version; \
         `plugins` lists them"
    )]
    NothingBefore(StageId),
    /// None of the versions to go back to could be started.
    #[error("none of the versions that `{stage}` could roll back to can be started:{}", lines(.refusals))]
    NoneStarts {
        /// The stage that the versions belong to.
        stage: StageId,
        /// The number of each version, with the reason why it could not be started.
        refusals: Vec<(u32, VersionError)>,
    },
    /// A request that was made later was completed first.
    #[error(
        "a later change of `{stage}`, to version {version}, was completed first and stays in force"
    )]
    Overtaken {
        /// The stage that both requests change.
        stage: StageId,
        /// The version that was put into service or on trial in the meantime.
        version: u32,
    },
    /// A reload that was requested later was completed first.
    #[error("a later reload was completed first and stays in force")]
    OvertakenByReload,
    /// The trial was aborted before it began.
    #[error("the trial of `{0}` was aborted before it began")]
    Aborted(StageId),
    /// Every attempt was outdated by other changes before it could be published.
    #[error("other changes intervened in every attempt: try again")]
    Busy,
    /// The rollout cannot end as requested.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// The plugin cannot serve.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The table refuses the change.
    #[error(transparent)]
    Table(#[from] tables::ChangeError),
    /// The table cannot be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The configuration is wrong.
    #[error("{0}")]
    Config(config::Errors),
    /// Something that the configuration names is missing or invalid.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The log could not be reopened, so lines would still be written to a rotated file.
    #[error("the log file cannot be reopened, so log lines still go to the old one")]
    Log(#[source] TelemetryError),
    /// A step that involves the process itself failed: binding a socket, or starting a successor.
    #[error(transparent)]
    Process(Box<dyn std::error::Error + Send + Sync>),
    /// The work panicked, for example in the compiler. This is a bug in this program.
    #[error("internal error: {0}")]
    Panicked(String),
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

impl ChangeError {
    /// Returns whether the change failed because its target no longer exists or the process is
    /// stopping.
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

/// Formats names of stages, quoted.
fn listed(names: &[String]) -> String {
    let quoted = names.iter().map(|name| format!("`{name}`"));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Formats stages as `FRONTEND/STAGE`, as they are named in requests.
fn addresses(frontend: &str, names: &[String]) -> String {
    let addresses = names.iter().map(|name| format!("`{frontend}/{name}`"));
    addresses.collect::<Vec<_>>().join(" or ")
}
