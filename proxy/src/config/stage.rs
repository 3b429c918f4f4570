//! `[[frontend.NAME.router]]`: one plugin of a router, and how it runs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Maximum number of stages of one router. A request can need a call of each stage, one after the
/// other.
pub const MAX_STAGES: usize = 16;

/// Default of [`Stage::max_faults`]. A plugin that fails on a few unusual requests is not
/// considered broken.
pub const DEFAULT_MAX_FAULTS: u32 = 20;

/// Default of [`Stage::fault_window`].
pub const DEFAULT_FAULT_WINDOW: Duration = Duration::from_secs(10);

/// One plugin of a frontend's router.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Name of the stage: letters, digits and `-_.`; unique within the router. Default: the
    /// plugin's name.
    pub name: String,
    /// Source of the component.
    pub plugin: PluginSource,
    /// The plugin's own table as JSON; `{}` if there is none.
    pub config: serde_json::Value,
    /// Treatment of a request on which the plugin fails. Default [`OnFault::Reject`].
    pub on_fault: OnFault,
    /// Number of faults within [`fault_window`](Self::fault_window) after which a version is taken
    /// out of service. Default [`DEFAULT_MAX_FAULTS`].
    pub max_faults: u32,
    /// Period in which faults are counted. Default [`DEFAULT_FAULT_WINDOW`].
    pub fault_window: Duration,
    /// How long an instance of the plugin is used. Default [`Isolation::Instance`].
    pub isolation: Isolation,
    /// Whether a change to the plugin's file is put into service automatically. Default true.
    pub watch: bool,
    /// Limits on the plugin's resources.
    pub limits: Limits,
}

impl Stage {
    /// Returns whether the plugin exists to refuse requests, but requests pass if it fails.
    pub fn fails_open(&self) -> bool {
        let refuses = self.plugin == PluginSource::Bundled("address-list".to_owned());
        refuses && self.on_fault != OnFault::Reject
    }
}

/// Identifies a stage of a frontend: `FRONTEND/STAGE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageId {
    /// Name of the frontend.
    pub frontend: String,
    /// Name of the stage.
    pub name: String,
}

impl StageId {
    /// Returns the ID of the stage `name` of `frontend`.
    pub fn new(frontend: &str, name: &str) -> StageId {
        StageId {
            frontend: frontend.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.frontend, self.name)
    }
}

/// Source of a plugin's component.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginSource {
    /// One of [`BUNDLED_PLUGINS`](super::BUNDLED_PLUGINS).
    Bundled(String),
    /// A file. A relative path is resolved against the directory of the configuration file.
    File(PathBuf),
}

/// How long an instance of a plugin is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// For many requests, one after the other.
    Instance,
    /// For one decision only: no state of a request outlives it.
    Request,
}

/// Treatment of a request on which the plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFault {
    /// The request is rejected with 503.
    Reject,
    /// The request goes to the frontend's default backend, which must be set.
    DefaultBackend,
    /// The next stage decides. If there is no next stage, the request goes to the frontend's
    /// default backend.
    Next,
}

impl OnFault {
    /// All variants.
    pub const ALL: [OnFault; 3] = [OnFault::Reject, OnFault::DefaultBackend, OnFault::Next];

    /// Returns the variant's name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            OnFault::Reject => "reject",
            OnFault::DefaultBackend => "default-backend",
            OnFault::Next => "next",
        }
    }
}

/// `[frontend.NAME.router.limits]`: limits on a plugin's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum processor time of one decision. Default 10 ms.
    pub deadline: Duration,
    /// Maximum processor time to instantiate and configure the plugin. Default 5 s.
    pub configure_deadline: Duration,
    /// Maximum size of one instance, in bytes: memories, tables, globals, and the proxy's own data
    /// for the instance. Default 64 MiB.
    pub memory: u64,
    /// Maximum number of bytes that one call can make the host allocate. Default 1 MiB.
    pub host_memory: u64,
    /// Maximum size of the matchers of one version, in bytes. All workers share them. Default 64
    /// MiB.
    pub questions: u64,
    /// Maximum size of a response that the plugin returns, in bytes, for fields and body together.
    /// Default 64 KiB.
    pub response: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(10),
            configure_deadline: Duration::from_secs(5),
            memory: 64 << 20,
            host_memory: 1 << 20,
            questions: 64 << 20,
            response: 64 << 10,
        }
    }
}
