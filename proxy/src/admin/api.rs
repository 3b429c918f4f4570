//! Requests and responses of the admin interface, in JSON. Shared by the interface and `pointsman
//! ctl`. Fields are added, never changed. See docs/run/operating.md.

use serde::{Deserialize, Serialize};

/// Response to `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of Pointsman.
    pub version: String,
    /// Process ID.
    pub pid: u32,
    /// `serving` or `draining`.
    pub state: String,
    /// Seconds since the process started.
    pub uptime_seconds: u64,
    /// Number of worker threads.
    pub workers: usize,
    /// Open client connections, including tunnels.
    pub connections: usize,
    /// Path of the configuration file.
    pub config: String,
    /// Reloads applied since the start.
    pub reloads: u64,
    /// Reloads refused since the start.
    pub reloads_refused: u64,
    /// Frontends, in the order of the configuration.
    pub frontends: Vec<Frontend>,
    /// Backends, in the order of the configuration.
    pub backends: Vec<Backend>,
    /// Certificates presented to clients, each with the name of its `[tls.NAME]`.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// Tables, in the order of the configuration.
    #[serde(default)]
    pub tables: Vec<Table>,
}

/// A table in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Name, as configured.
    pub name: String,
    /// Path of its file.
    pub file: String,
    /// Number of entries.
    pub entries: usize,
    /// Memory used, in bytes.
    pub bytes: usize,
    /// When the contents in force were loaded or saved, in seconds since 1970.
    pub loaded: u64,
    /// Number of manual changes that are not saved.
    pub unsaved: u64,
    /// Whether the file that is now on disk was refused.
    pub failed: bool,
    /// Reason why the file was refused. Null for clients that have only query rights.
    pub error: Option<String>,
}

/// A certificate in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Name of its `[tls.NAME]`.
    pub tls: String,
    /// DNS names, IP addresses and URIs that it is valid for.
    pub names: Vec<String>,
    /// Path of its file. Null if it did not come from a file.
    pub file: Option<String>,
    /// Start of its validity, in seconds since 1970.
    pub not_before: i64,
    /// End of its validity, in seconds since 1970.
    pub not_after: i64,
    /// SHA-256 of the certificate, in hexadecimal.
    pub sha256: String,
}

/// A frontend in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frontend {
    /// Name, as configured.
    pub name: String,
    /// Number of responses by class: 1xx, 2xx, 3xx, 4xx and 5xx.
    pub answers: [u64; 5],
    /// Plugins of its router, in the order in which they are called.
    #[serde(default)]
    pub stages: Vec<Stage>,
}

/// A plugin of a router in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Name, as configured.
    pub name: String,
    /// Name of the plugin in the configuration.
    pub plugin: String,
    /// Number of the active version.
    pub version: u32,
}

/// A backend in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Name, as configured.
    pub name: String,
    /// Requests and tunnels in progress.
    pub active: u32,
    /// Requests waiting for a server.
    pub queued: u32,
    /// Servers, in the order of the configuration.
    pub servers: Vec<Server>,
}

/// A server in [`Backend`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Name, as configured.
    pub name: String,
    /// Requests and tunnels sent to the server.
    pub requests: u64,
    /// Connections established to the server.
    pub connects: u64,
    /// Failed attempts to connect to the server.
    pub connect_errors: u64,
    /// Requests that failed at this server and were then retried.
    #[serde(default)]
    pub retries: u64,
    /// Number of times that one of its addresses changed its health state, because of checks or of
    /// requests.
    #[serde(default)]
    pub state_changes: u64,
    /// Its share of the requests, relative to the other servers' weights.
    #[serde(default)]
    pub weight: u16,
    /// Whether it serves only while no other server can.
    #[serde(default)]
    pub backup: bool,
    /// Its resolved addresses.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// An address of a [`Server`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The resolved address.
    pub address: String,
    /// `up`, `going-down`, `down`, `unreachable`, `ejected`, `trial`, `draining` or `maintenance`.
    pub state: String,

    /// Requests and tunnels in progress.
    pub active: u32,
}

/// Response to `GET /v1/plugins`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plugins {
    /// Versions of all stages. For each stage, the active version comes first, then the version on
    /// trial, if any, then the earlier versions, newest first.
    pub versions: Vec<Version>,
}

/// A version of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Name of the frontend.
    pub frontend: String,
    /// Name of the stage.
    #[serde(default)]
    pub stage: String,
    /// Version number. Each stage counts from 1.
    pub number: u32,
    /// Name of the plugin in the configuration.
    pub plugin: String,
    /// Where its file was loaded from.
    pub source: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// `active`, `failing` (active, but no longer called because of too many faults), `shadow`,
    /// `canary`, `replaced`, `rolled-back` or `failed`.
    pub state: String,
    /// When it was created, in seconds since 1970.
    pub since: u64,
    /// Cause of its creation: `start`, `reload`, `file`, `swap`, `trial`, `promote`, `rollback` or
    /// `faults`.
    #[serde(default)]
    pub cause: String,
    /// The plugin's configuration. Null for clients that have only query rights.
    #[serde(default)]
    pub config: Option<serde_json::Value>,
    /// Number of decisions, including those from the cache.
    pub decisions: u64,
    /// Number of decisions from the cache.
    pub cached: u64,
    /// Number of faults by kind. Kinds without faults are absent.
    pub faults: std::collections::BTreeMap<String, u64>,
    /// Calls of the plugin by duration. Empty buckets are absent.
    pub histogram: Vec<Bucket>,
    /// Total duration of all calls.
    pub nanoseconds: u64,
}

/// A bucket of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Upper bound in nanoseconds. Null means no bound.
    pub up_to: Option<u64>,
    /// Number of calls in this bucket only; not cumulative.
    pub calls: u64,
}

/// Response to `GET /v1/config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Path of the file.
    pub path: String,
    /// Text of the file at the time it was read.
    pub text: String,
}

/// Body of `POST /v1/swap`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// Name of the frontend.
    pub frontend: String,
    /// Name of the stage. Can be absent if the frontend has only one.
    #[serde(default)]
    pub stage: Option<String>,
    /// Absolute path of a component. If absent, the configured plugin is used.
    pub file: Option<std::path::PathBuf>,
    /// Start a shadow trial instead: mirror this percentage of requests to the new version. Its
    /// decisions have no effect.
    pub shadow: Option<f64>,
    /// Start a canary trial instead: let the new version decide for this percentage of clients.
    pub canary: Option<f64>,
}

/// Response to `GET /v1/servers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Servers {
    /// Backends, in the order of the configuration.
    pub backends: Vec<Backend>,
}

/// Body of `POST /v1/server`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerOverride {
    /// Name of the backend.
    pub backend: String,
    /// Name of the server.
    pub server: String,
    /// New state: `ready`, `drain` or `maintenance`.
    #[serde(default)]
    pub state: Option<String>,
    /// New weight, 0 to 256.
    #[serde(default)]
    pub weight: Option<u16>,
}

/// Body of `POST /v1/table/get` and `POST /v1/table/delete`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Name of the table.
    pub table: String,
    /// The key.
    pub key: String,
}

/// Response to `POST /v1/table/get`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Value of the key.
    pub value: String,
}

/// Body of `POST /v1/table/set`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name of the table.
    pub table: String,
    /// The key.
    pub key: String,
    /// New value of the key.
    pub value: String,
}

/// Body of `POST /v1/table/save`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaveTable {
    /// Name of the table.
    pub table: String,
}

/// Body of `POST /v1/promote` and `POST /v1/abort`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndTrial {
    /// Name of the frontend.
    pub frontend: String,
    /// Name of the stage. Can be absent if the frontend has only one.
    #[serde(default)]
    pub stage: Option<String>,
}

/// Response to `GET /v1/trials`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trials {
    /// Trials of all stages. For each stage, the running trial comes first, then the last trial
    /// that ended.
    pub trials: Vec<Trial>,
}

/// A trial of a version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Name of the frontend.
    pub frontend: String,
    /// Name of the stage.
    #[serde(default)]
    pub stage: String,
    /// Number of the active version.
    pub active: u32,
    /// Number of the version on trial.
    pub number: u32,
    /// `shadow` or `canary`.
    pub mode: String,
    /// Share of the requests (shadow) or of the clients (canary) that are in the trial, in percent.
    pub percent: f64,
    /// Number of requests on which the version on trial was called.
    pub asked: u64,
    /// Number of requests on which the two versions decided differently. Counted only in a shadow
    /// trial.
    pub differing: u64,
    /// Number of requests on which the version on trial failed.
    pub failed: u64,
    /// The first requests with differing decisions.
    pub examples: Vec<Example>,
    /// `running`, or how the trial ended: `promoted`, `aborted`, `failed`, `replaced` or
    /// `superseded`.
    #[serde(default)]
    pub state: String,
    /// When the trial ended, in seconds since 1970. Null while it runs.
    #[serde(default)]
    pub ended: Option<u64>,
}

/// A request on which two versions decided differently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Method of the request.
    pub method: String,
    /// Path and query of the request.
    pub target: String,
    /// Names and values of the request's header fields. A value is null if it must not be shown.
    pub fields: Vec<(String, Option<String>)>,
    /// Decision of the active version.
    pub active: String,
    /// Decision of the version on trial.
    pub trial: String,
}

/// Body of `POST /v1/rollback`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Name of the frontend.
    pub frontend: String,
    /// Name of the stage. Can be absent if the frontend has only one.
    #[serde(default)]
    pub stage: Option<String>,
    /// Number of the version to go back to. If absent, the last good version before the active one.
    pub version: Option<u32>,
}

/// Body of `POST /v1/log-level`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLevel {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

/// Response to a successful change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Description of the result.
    pub message: String,
}

/// Body of every response with an error status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The reason, and what to do about it.
    pub error: String,
}
