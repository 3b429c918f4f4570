//! `[backend.NAME]`: its own keys, and the calls that read its subtables.

mod affinity;
mod balance;
mod check;
mod failures;
mod resolve;
mod server;
mod statuses;

use std::path::PathBuf;

use super::{
    HTTP_REUSE, MAX_QUEUE, Reader, TIMEOUT, WAIT, check_name, connections, head_limits, whole,
};
use crate::config::hints::{self, Section};
use crate::config::reader::{Entry, Table};
use crate::config::{
    Backend, BackendId, BackendTimeouts, DEFAULT_MAX_QUEUE, HttpReuse, Outlier, Resolve, Retry,
    Server,
};

const SERVER_EXAMPLE: &str = "`server.a = \"localhost:8080\"`";

impl<'a> Reader<'a> {
    /// Reads a backend. Returns it even if its servers are invalid, so that frontends can refer to
    /// it.
    pub(super) fn backend(&self, entry: &Entry<'a>) -> Option<Backend> {
        let mut table = entry.table(Section::Backend)?;
        check_name(entry, "backend");
        let servers = self.servers(&mut table);
        let servers_file = table.take("servers_file");
        let resolve = table.table("resolve", Section::Resolve);
        let balance = table.take("balance").and_then(|e| balance::balance(&e));
        let slow_start = table.take("slow_start").and_then(|e| e.duration(TIMEOUT));
        let check = table.take("check").and_then(|e| check::check(&e, &servers));
        let outlier = table.table("outlier", Section::Outlier);
        let affinity = table.take("affinity");
        let retry = table.table("retry", Section::Retry);
        let max_requests = table.take("max_requests").and_then(|e| connections(&e));
        let max_queue = table.value_or("max_queue", DEFAULT_MAX_QUEUE, |e| whole(e, MAX_QUEUE));
        let timeouts = table.table("timeout", Section::BackendTimeout);
        let limits = head_limits(&mut table);
        let http_reuse = table.value_or("http_reuse", HttpReuse::default(), |e| {
            e.choice(&HTTP_REUSE)
        });
        table.finish();
        Some(Backend {
            name: entry.name.to_owned(),
            servers,
            servers_file: servers_file.and_then(|e| self.servers_file(&e)),
            resolve: resolve.map_or_else(Resolve::default, resolve::resolve),
            balance: balance.unwrap_or_default(),
            slow_start,
            check,
            outlier: outlier.map_or_else(Outlier::default, failures::outlier),
            affinity: affinity.and_then(|e| affinity::affinity(&e)),
            retry: retry.map_or_else(Retry::default, failures::retry),
            max_requests,
            max_queue,
            timeouts: timeouts.map(backend_timeouts).unwrap_or_default(),
            limits,
            http_reuse,
        })
    }

    /// Reads the servers: at least one, unless a servers file provides more.
    fn servers(&self, backend: &mut Table<'a>) -> Vec<Server> {
        let has_file = backend.has("servers_file");
        let servers = if has_file {
            backend.take("server")
        } else {
            backend.require("server", SERVER_EXAMPLE)
        };
        let Some(mut servers) = servers.and_then(|e| e.table(Section::Servers)) else {
            return Vec::new();
        };
        let entries = servers.take_all();
        if entries.is_empty() && !has_file {
            servers.empty(SERVER_EXAMPLE);
        }
        entries.iter().filter_map(|e| self.server(e)).collect()
    }

    /// Reads the servers of a servers file, which can be empty.
    pub(super) fn servers_of_file(&self, mut top: Table<'a>) -> Vec<Server> {
        let servers = top.require("server", SERVER_EXAMPLE);
        let servers = servers.and_then(|e| e.table(Section::Servers));
        top.finish();
        let entries = servers.map_or_else(Vec::new, |mut table| table.take_all());
        entries.iter().filter_map(|e| self.server(e)).collect()
    }

    fn servers_file(&self, entry: &Entry<'a>) -> Option<PathBuf> {
        let path = self.path(entry)?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("json" | "toml")) {
            let help = "as in `\"servers.json\"`";
            entry.refuse("must end in `.json` or `.toml`", "neither of these", help);
            return None;
        }
        Some(path)
    }
}

pub(super) fn backend_id(entry: &Entry<'_>, backends: &[Backend]) -> Option<BackendId> {
    let names: Vec<_> = backends.iter().map(|b| b.name.as_str()).collect();
    let text = entry.text(names.first().unwrap_or(&"www"))?;
    let position = backends.iter().position(|b| b.name == text);
    if position.is_none() {
        let help = match (hints::closest(text, &names), names.as_slice()) {
            (Some(name), _) => format!("did you mean `\"{name}\"`?"),
            (None, []) => format!("no backend is configured: add `[backend.{text}]`"),
            (None, names) => format!("write {}", hints::list(names)),
        };
        let diagnostic = entry.error("names an unknown backend").absent();
        entry.push(diagnostic.label("no backend of this name").help(help));
    }
    position.map(BackendId)
}

fn backend_timeouts(mut table: Table<'_>) -> BackendTimeouts {
    let default = BackendTimeouts::default();
    let timeouts = BackendTimeouts {
        connect: table.value_or("connect", default.connect, |e| e.duration(TIMEOUT)),
        queue: table.value_or("queue", default.queue, |e| e.duration(WAIT)),
        server: table.value_or("server", default.server, |e| e.duration(TIMEOUT)),
        tunnel: table.take("tunnel").and_then(|e| e.duration(TIMEOUT)),
        server_fin: table.value_or("server_fin", default.server_fin, |e| e.duration(TIMEOUT)),
        server_keep_alive: table.value_or("server_keep_alive", default.server_keep_alive, |e| {
            e.duration(TIMEOUT)
        }),
    };
    table.finish();
    timeouts
}
