//! `backend.NAME.server.NAME`: address, weight and protocol of a server.

use std::ops::RangeInclusive;

use crate::config::hints::Section;
use crate::config::reader::Entry;
use crate::config::sections::{MAX_QUEUE, Reader, check_name, connections, whole};
use crate::config::{
    DEFAULT_MAX_QUEUE, Protocol, ProxyVersion, Server, ServerAddress, ServerState, address,
};

/// Range of weights, as in HAProxy.
const WEIGHT: RangeInclusive<u32> = 0..=256;

const STATES: [(&str, ServerState); 3] = [
    ("ready", ServerState::Ready),
    ("drain", ServerState::Drain),
    ("maintenance", ServerState::Maintenance),
];

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("http1", Protocol::Http1),
    ("h2", Protocol::Http2),
    ("h2c", Protocol::H2c),
];

const PROXY_VERSIONS: [(&str, ProxyVersion); 2] =
    [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];

impl<'a> Reader<'a> {
    pub(super) fn server(&self, entry: &Entry<'a>) -> Option<Server> {
        check_name(entry, "server");
        if !entry.is_table() {
            return Some(Server::new(entry.name, self.server_address(entry)?));
        }
        let mut table = entry.table(Section::Server)?;
        let address = table.require("address", "`address = \"localhost:8080\"`");
        let address = address.and_then(|e| self.server_address(&e));
        let weight = table.take("weight").and_then(|e| whole(&e, WEIGHT));
        let backup = table.value_or("backup", false, Entry::boolean);
        let state = table.value_or("state", ServerState::default(), |e| e.choice(&STATES));
        let max_requests = table.take("max_requests").and_then(|e| connections(&e));
        let max_queue = table.value_or("max_queue", DEFAULT_MAX_QUEUE, |e| whole(e, MAX_QUEUE));
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
            let diagnostic = entry.key_error(message).label("a path is not a host name");
            entry.push(diagnostic.help("add `tls.server_name = \"example.org\"`"));
        }
        Some(Server {
            weight: weight.and_then(|n| u16::try_from(n).ok()).unwrap_or(1),
            backup,
            state,
            max_requests,
            max_queue,
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
                entry.refuse("is not an address", error.label, error.help);
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
    entry.refuse("does not go with `tls`", label, help);
}
