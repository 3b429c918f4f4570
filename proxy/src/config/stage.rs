//! `[[frontend.NAME.router]]`: one plugin of a router, and how it runs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Most stages of one router: each may ask a plugin, one after the other.
pub const MAX_STAGES: usize = 16;

/// Default of [`Stage::max_faults`]: a handful of requests that no test had is not yet a
/// broken plugin.
pub const DEFAULT_MAX_FAULTS: u32 = 20;

/// Default of [`Stage::fault_window`].
pub const DEFAULT_FAULT_WINDOW: Duration = Duration::from_secs(10);

/// One plugin of a frontend's router.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Letters, digits and `-_.`; no other stage of the router has the same. Default: the plugin's
    /// name.
    pub name: String,
    /// Where the component comes from.
    pub plugin: PluginSource,
    /// The plugin's own table as JSON; `{}` where there is none.
    pub config: serde_json::Value,
    /// What becomes of a request on which the plugin fails. Default [`OnFault::Reject`].
    pub on_fault: OnFault,
    /// So many faults within [`fault_window`](Self::fault_window) end a version's service.
    /// Default [`DEFAULT_MAX_FAULTS`].
    pub max_faults: u32,
    /// Default [`DEFAULT_FAULT_WINDOW`].
    pub fault_window: Duration,
    /// How long an instance of the plugin is used. Default [`Isolation::Instance`].
    pub isolation: Isolation,
    /// Whether a change of the plugin's file puts it into service. Default true.
    pub watch: bool,
    /// What the plugin may use up.
    pub limits: Limits,
}

impl Stage {
    /// Whether a plugin that is there to refuse requests lets all of them in once it fails.
    pub fn fails_open(&self) -> bool {
        let refuses = self.plugin == PluginSource::Bundled("address-list".to_owned());
        refuses && self.on_fault != OnFault::Reject
    }
}

/// Which stage of which frontend is meant: `FRONTEND/STAGE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageId {
    /// The frontend's name.
    pub frontend: String,
    /// The stage's name.
    pub name: String,
}

impl StageId {
    /// The stage `name` of `frontend`.
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

/// Where a plugin's component comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginSource {
    /// One of [`BUNDLED_PLUGINS`](super::BUNDLED_PLUGINS).
    Bundled(String),
    /// A file; a relative path starts at the configuration file's directory.
    File(PathBuf),
}

/// How long an instance of a plugin is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// For one request after the other.
    Instance,
    /// For one decision alone: nothing of a request outlives it.
    Request,
}

/// What becomes of a request on which the plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFault {
    /// It is answered 503.
    Reject,
    /// It goes to the frontend's default backend, which is then set.
    DefaultBackend,
    /// The next stage decides; after the last one, it goes to the frontend's default backend.
    Next,
}

impl OnFault {
    /// Every one.
    pub const ALL: [OnFault; 3] = [OnFault::Reject, OnFault::DefaultBackend, OnFault::Next];

    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            OnFault::Reject => "reject",
            OnFault::DefaultBackend => "default-backend",
            OnFault::Next => "next",
        }
    }
}

/// `[frontend.NAME.router.limits]`: what a plugin may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time of one decision, in processor time. Default 10 ms.
    pub deadline: Duration,
    /// Longest time to instantiate and to configure, in processor time. Default 5 s.
    pub configure_deadline: Duration,
    /// Bytes of one instance: memories, tables, globals, and what the proxy keeps. Default 64 MiB.
    pub memory: u64,
    /// Bytes that one call can make the host allocate. Default 1 MiB.
    pub host_memory: u64,
    /// Bytes that the matchers of one version may take, for all workers together. Default 64 MiB.
    pub questions: u64,
    /// Bytes of a response that the plugin makes, fields and body. Default 64 KiB.
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
