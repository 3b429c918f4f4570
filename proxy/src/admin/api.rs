//! Requests and answers of the admin interface, in JSON: for the interface and for `pointsman
//! ctl`. Fields are added, never changed; docs/admin.md describes them.

use serde::{Deserialize, Serialize};

/// Of `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of Pointsman.
    pub version: String,
    /// The process's number.
    pub pid: u32,
    /// `serving` or `draining`.
    pub state: String,
    /// Since the start.
    pub uptime_seconds: u64,
    /// Threads that serve.
    pub workers: usize,
    /// Clients' connections that are open, tunnels included.
    pub connections: usize,
    /// The configuration's file.
    pub config: String,
    /// Configurations taken up since the start.
    pub reloads: u64,
    /// Configurations refused since the start.
    pub reloads_refused: u64,
    /// In the order of the configuration.
    pub frontends: Vec<Frontend>,
    /// In the order of the configuration.
    pub backends: Vec<Backend>,
    /// Certificates for clients, by the names of their `[tls.NAME]`.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// In the order of the configuration.
    #[serde(default)]
    pub tables: Vec<Table>,
}

/// A table in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// As configured.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Number of entries.
    pub entries: usize,
    /// Bytes of memory.
    pub bytes: usize,
    /// When the file was loaded that is in force, or when it was saved, in seconds since 1970.
    pub loaded: u64,
    /// Changes by hand that are not saved.
    pub unsaved: u64,
    /// Whether the file on disk was refused.
    pub failed: bool,
    /// Why it was; null for clients that may only ask.
    pub error: Option<String>,
}

/// A certificate in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The name of its `[tls.NAME]`.
    pub tls: String,
    /// DNS names, IP addresses and URIs that it is for.
    pub names: Vec<String>,
    /// Its file; null if it did not come from one.
    pub file: Option<String>,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A frontend in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frontend {
    /// As configured.
    pub name: String,
    /// Answers of 1xx, 2xx, 3xx, 4xx and 5xx.
    pub answers: [u64; 5],
    /// The plugins of its router, in the order in which they are asked.
    #[serde(default)]
    pub stages: Vec<Stage>,
}

/// A plugin of a router in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// As configured.
    pub name: String,
    /// As the configuration calls it.
    pub plugin: String,
    /// Number of the version that decides.
    pub version: u32,
}

/// A backend in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// As configured.
    pub name: String,
    /// Requests and tunnels in progress.
    pub active: u32,
    /// Requests that wait for a server.
    pub queued: u32,
    /// In the order of the configuration.
    pub servers: Vec<Server>,
}

/// A server in [`Backend`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// As configured.
    pub name: String,
    /// Requests and tunnels that it got.
    pub requests: u64,
    /// Connections made to it.
    pub connects: u64,
    /// Connections that could not be made.
    pub connect_errors: u64,
    /// Requests that failed there, and were sent again.
    #[serde(default)]
    pub retries: u64,
    /// Changes of what checks and requests have found out about its addresses.
    #[serde(default)]
    pub state_changes: u64,
    /// Its share of the requests, beside those of others.
    #[serde(default)]
    pub weight: u16,
    /// Whether it serves only while no other server can.
    #[serde(default)]
    pub backup: bool,
    /// Its addresses.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// An address of a [`Server`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Resolved.
    pub address: String,
    /// `up`, `going-down`, `down`, `unreachable`, `ejected`, `trial`, `draining` or `maintenance`.
    pub state: String,

    /// Requests and tunnels in progress.
    pub active: u32,
}

/// Of `GET /v1/plugins`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plugins {
    /// Of each stage the active version, then those before it, the latest first.
    pub versions: Vec<Version>,
}

/// A version of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The frontend's name.
    pub frontend: String,
    /// The name of its stage.
    #[serde(default)]
    pub stage: String,
    /// Counts from 1 for each stage.
    pub number: u32,
    /// As the configuration calls it.
    pub plugin: String,
    /// Where its file came from.
    pub source: String,
    /// The file's SHA-256, in hexadecimal.
    pub sha256: String,
    /// `active`, `failing` (active, but left alone after too many faults), `shadow`, `canary`,
    /// `replaced`, `rolled-back` or `failed`.
    pub state: String,
    /// When it was made, in seconds since 1970.
    pub since: u64,
    /// Why it came: `start`, `reload`, `file`, `swap`, `trial`, `promote`, `rollback` or `faults`.
    #[serde(default)]
    pub cause: String,
    /// The plugin's configuration; null for clients that may only ask.
    #[serde(default)]
    pub config: Option<serde_json::Value>,
    /// Decisions, from the cache and not.
    pub decisions: u64,
    /// Of them, those from the cache.
    pub cached: u64,
    /// Faults by kind, those that there were.
    pub faults: std::collections::BTreeMap<String, u64>,
    /// Calls of the plugin by what they took.
    pub histogram: Vec<Bucket>,
    /// Total time of all calls.
    pub nanoseconds: u64,
}

/// A part of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Upper bound in nanoseconds; null: none.
    pub up_to: Option<u64>,
    /// Calls that took so long, and longer than the bucket before says.
    pub calls: u64,
}

/// Of `GET /v1/config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The file.
    pub path: String,
    /// Its text, as it was when it was read.
    pub text: String,
}

/// For `POST /v1/swap`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// The frontend's name.
    pub frontend: String,
    /// The stage's name; absent: the only one.
    #[serde(default)]
    pub stage: Option<String>,
    /// An absolute path of a component; absent: the configured one.
    pub file: Option<std::path::PathBuf>,
    /// Put it on trial instead: ask it about so many percent of the requests, without effect.
    pub shadow: Option<f64>,
    /// Put it on trial instead: let it decide for so many percent of the clients.
    pub canary: Option<f64>,
}

/// Of `GET /v1/servers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Servers {
    /// In the order of the configuration.
    pub backends: Vec<Backend>,
}

/// For `POST /v1/server`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerOrder {
    /// The backend's name.
    pub backend: String,
    /// The server's name.
    pub server: String,
    /// `ready`, `drain` or `maintenance`.
    #[serde(default)]
    pub state: Option<String>,
    /// 0 to 256.
    #[serde(default)]
    pub weight: Option<u16>,
}

/// For `POST /v1/table/get` and `POST /v1/table/delete`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The table's name.
    pub table: String,
    /// The key.
    pub key: String,
}

/// Answer to `POST /v1/table/get`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// The key's.
    pub value: String,
}

/// For `POST /v1/table/set`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The table's name.
    pub table: String,
    /// The key.
    pub key: String,
    /// Its new value.
    pub value: String,
}

/// For `POST /v1/table/save`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaveTable {
    /// The table's name.
    pub table: String,
}

/// For `POST /v1/promote` and `POST /v1/abort`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndTrial {
    /// The frontend's name.
    pub frontend: String,
    /// The stage's name; absent: the only one.
    #[serde(default)]
    pub stage: Option<String>,
}

/// Of `GET /v1/trials`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trials {
    /// Of each stage the trial under way, then the one that ended last.
    pub trials: Vec<Trial>,
}

/// A version on trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The frontend's name.
    pub frontend: String,
    /// The name of its stage.
    #[serde(default)]
    pub stage: String,
    /// The number of the active version.
    pub active: u32,
    /// The number of the version on trial.
    pub number: u32,
    /// `shadow` or `canary`.
    pub mode: String,
    /// Share of the requests, or of the clients.
    pub percent: f64,
    /// Requests on which it was asked.
    pub asked: u64,
    /// Those of which the active version decided otherwise; of a shadow alone.
    pub differing: u64,
    /// Those on which it failed.
    pub failed: u64,
    /// The first differing ones.
    pub examples: Vec<Example>,
    /// `running`; or how it ended: `promoted`, `aborted`, `failed`, `replaced` or `superseded`.
    #[serde(default)]
    pub state: String,
    /// When it ended, in seconds since 1970; null while it runs.
    #[serde(default)]
    pub ended: Option<u64>,
}

/// A request on which two versions decided differently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Names and values of its fields; null for values that are not shown.
    pub fields: Vec<(String, Option<String>)>,
    /// Decision of the active version.
    pub active: String,
    /// Decision of the version on trial.
    pub trial: String,
}

/// For `POST /v1/rollback`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The frontend's name.
    pub frontend: String,
    /// The stage's name; absent: the only one.
    #[serde(default)]
    pub stage: Option<String>,
    /// The version's number; absent: the last good one before the active one.
    pub version: Option<u32>,
}

/// For `POST /v1/log-level`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLevel {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

/// Outcome of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// In words.
    pub message: String,
}

/// With every status that is no success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The mistake, and how to correct it.
    pub error: String,
}
