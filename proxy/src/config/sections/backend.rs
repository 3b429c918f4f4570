//! `[backend.NAME]`: the servers, and how they are spoken to.

use super::{HTTP_REUSE, Reader, TIMEOUT, WAIT, check_name, connections, head_limits};
use crate::config::hints::{self, Section};
use crate::config::reader::{Entry, Table};
use crate::config::{
    Backend, BackendId, BackendTimeouts, HttpReuse, Protocol, ProxyVersion, Server, ServerAddress,
    address,
};

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("http1", Protocol::Http1),
    ("h2", Protocol::Http2),
    ("h2c", Protocol::H2c),
];

const PROXY_VERSIONS: [(&str, ProxyVersion); 2] =
    [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];

impl<'a> Reader<'a> {
    /// A backend whose servers are wrong is still one that a frontend may name.
    pub(super) fn backend(&self, entry: &Entry<'a>) -> Option<Backend> {
        let mut table = entry.table(Section::Backend)?;
        check_name(entry, "backend");
        let example = "`server.a = \"localhost:8080\"`";
        let servers = table.require("server", example);
        let servers = servers.and_then(|e| e.table(Section::Servers));
        let servers = servers.map_or_else(Vec::new, |mut servers| {
            let entries = servers.take_all();
            if entries.is_empty() {
                servers.empty(example);
            }
            entries.iter().filter_map(|e| self.server(e)).collect()
        });
        let timeouts = table.table("timeout", Section::BackendTimeout);
        let limits = head_limits(&mut table);
        let http_reuse = table.value_or("http_reuse", HttpReuse::default(), |e| {
            e.choice(&HTTP_REUSE)
        });
        table.finish();
        Some(Backend {
            timeouts: timeouts.map(backend_timeouts).unwrap_or_default(),
            limits,
            http_reuse,
            ..Backend::new(entry.name, servers)
        })
    }

    fn server(&self, entry: &Entry<'a>) -> Option<Server> {
        check_name(entry, "server");
        if !entry.is_table() {
            return Some(Server::new(entry.name, self.server_address(entry)?));
        }
        let mut table = entry.table(Section::Server)?;
        let address = table.require("address", "`address = \"localhost:8080\"`");
        let address = address.and_then(|e| self.server_address(&e));
        let max_requests = table.take("max_requests").and_then(|e| connections(&e));
        let tls = table.take("tls").and_then(|e| self.server_tls(&e));
        let protocol = table.take("protocol");
        let usual = match tls {
            Some(_) => Protocol::Negotiated,
            None => Protocol::Http1,
        };
        let chosen = protocol.as_ref().and_then(|e| e.choice(&PROTOCOLS));
        if let (Some(entry), Some(chosen)) = (&protocol, chosen) {
            check_protocol(entry, chosen, tls.is_some());
        }
        let proxy_protocol = table.take("proxy_protocol");
        let proxy_protocol = proxy_protocol.and_then(|e| e.choice(&PROXY_VERSIONS));
        table.finish();
        let address = address?;
        if let Some(tls) = &tls
            && tls.server_name.is_none()
            && !tls.danger_accept_invalid
            && matches!(address, ServerAddress::Unix(_))
        {
            let message = format!("`{}.tls` has no `server_name`", entry.path);
            let diagnostic = entry.key_error(message).label("a path is no name");
            entry.push(diagnostic.help("add `tls.server_name = \"example.org\"`"));
        }
        Some(Server {
            max_requests,
            tls,
            protocol: chosen.unwrap_or(usual),
            proxy_protocol,
            ..Server::new(entry.name, address)
        })
    }

    fn server_address(&self, entry: &Entry<'a>) -> Option<ServerAddress> {
        let text = entry.text("localhost:8080")?;
        match address::server(text, self.directory) {
            Ok(address) => Some(address),
            Err(error) => {
                let diagnostic = entry.error("is not an address").label(error.label);
                entry.push(diagnostic.help(error.help));
                None
            }
        }
    }
}

fn check_protocol(entry: &Entry<'_>, protocol: Protocol, has_tls: bool) {
    let (label, help) = match (protocol, has_tls) {
        (Protocol::Http2, false) => (
            "`h2` is HTTP/2 over TLS",
            "write `\"h2c\"` for HTTP/2 without TLS, or add `tls = true`",
        ),
        (Protocol::H2c, true) => (
            "`h2c` is HTTP/2 without TLS",
            "write `\"h2\"` for HTTP/2 over TLS, or leave `tls` out",
        ),
        _ => return,
    };
    entry.push(
        entry
            .error("does not go with `tls`")
            .label(label)
            .help(help),
    );
}

pub(super) fn backend_id(entry: &Entry<'_>, backends: &[Backend]) -> Option<BackendId> {
    let names: Vec<_> = backends.iter().map(|b| b.name.as_str()).collect();
    let text = entry.text(names.first().unwrap_or(&"www"))?;
    let position = backends.iter().position(|b| b.name == text);
    if position.is_none() {
        let help = match (hints::closest(text, &names), names.as_slice()) {
            (Some(name), _) => format!("did you mean `\"{name}\"`?"),
            (None, []) => format!("there is none: add `[backend.{text}]`"),
            (None, names) => format!("there is {}", hints::list(names)),
        };
        let diagnostic = entry.error("names a backend that is not there").absent();
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
