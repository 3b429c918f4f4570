//! `[frontend.NAME]`: addresses for clients to connect to, and the rules for their requests.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::backend::backend_id;
use super::bind::Bound;
use super::{
    BACKLOG, BYTES, MAX_TIMEOUT, Named, Reader, TIMEOUT, check_name, head_limits, routing,
};
use crate::config::hints::Section;
use crate::config::reader::{Entry, Table};
use crate::config::{
    DEFAULT_BACKLOG, Forwarded, Frontend, FrontendHttp, FrontendLimits, FrontendTimeouts, Hsts,
    Mode, TrustedProxies, address,
};

const MODES: [(&str, Mode); 2] = [("http", Mode::Http), ("tcp", Mode::Tcp)];

/// Keys that apply only to a frontend with HTTP.
const HTTP_KEYS: [&str; 7] = [
    "forwarded",
    "hsts",
    "http",
    "max_body",
    "max_discard",
    "max_header_size",
    "max_headers",
];

/// Number of concurrent streams. A client needs at least one, and each stream uses memory.
const STREAMS: RangeInclusive<u64> = 1..=10_000;

/// Range of `max_age`. Zero makes browsers forget the rule; the browsers' preload lists require two
/// years.
const HSTS_AGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(10 * 365 * 24);

impl<'a> Reader<'a> {
    pub(super) fn frontends(&self, mut table: Table<'a>, named: &Named<'_>) -> Vec<Frontend> {
        let entries = table.take_all();
        if entries.is_empty() {
            table.empty("`[frontend.www]` with `bind = \"*:80\"`");
        }
        let mut bound = HashMap::new();
        let read = |entry| self.frontend(entry, named, &mut bound);
        entries.iter().filter_map(read).collect()
    }

    fn frontend(
        &self,
        entry: &Entry<'a>,
        named: &Named<'_>,
        bound: &mut Bound,
    ) -> Option<Frontend> {
        let mut table = entry.table(Section::Frontend)?;
        check_name(entry, "frontend");
        let mode = table.value_or("mode", Mode::default(), |e| e.choice(&MODES));
        if mode == Mode::Tcp {
            table.reject(&HTTP_KEYS, "applies only to HTTP, but `mode` is `\"tcp\"`");
        }
        let bind = match table.require("bind", "`bind = \"*:80\"`") {
            Some(bind) => self.binds(&bind, mode, named.tls, bound),
            None => Vec::new(),
        };
        let default_backend = table.take("default_backend");
        let timeouts = table.table("timeout", Section::FrontendTimeout);
        let forwarded = table.table("forwarded", Section::Forwarded);
        let http = table.table("http", Section::FrontendHttp);
        let hsts = table.table("hsts", Section::Hsts);
        let backlog = table.value_or("backlog", u64::from(DEFAULT_BACKLOG), |e| {
            e.integer(BACKLOG)
        });
        let limits = frontend_limits(&mut table);
        let router = table.take("router");
        let routing = table.table("routing", Section::Routing);
        if router.is_none() && default_backend.is_none() {
            let example = match named.backends.first() {
                Some(backend) => format!("`default_backend = \"{}\"`, or a router", backend.name),
                None => "`default_backend`, or a router".to_owned(),
            };
            table.missing("default_backend", &example);
        }
        let router = router.map(|router| self.router(&router, default_backend.is_some()));
        let default_backend = default_backend.and_then(|e| backend_id(&e, named.backends));
        table.finish();
        Some(Frontend {
            name: entry.name.to_owned(),
            mode,
            bind,
            default_backend,
            timeouts: timeouts.map(frontend_timeouts).unwrap_or_default(),
            forwarded: forwarded.map(forwarded_fields).unwrap_or_default(),
            http: http.map(frontend_http).unwrap_or_default(),
            hsts: hsts.map(strict_transport_security),
            backlog: u32::try_from(backlog).unwrap_or(DEFAULT_BACKLOG),
            limits,
            router: router.unwrap_or_default(),
            routing: routing
                .map(|table| routing::routing(table, mode))
                .unwrap_or_default(),
        })
    }
}

fn frontend_limits(table: &mut Table<'_>) -> FrontendLimits {
    let default = FrontendLimits::default();
    FrontendLimits {
        head: head_limits(table),
        max_body: table.take("max_body").and_then(|entry| entry.size(BYTES)),
        max_discard: table.value_or("max_discard", default.max_discard, |e| e.size(BYTES)),
    }
}

fn frontend_timeouts(mut table: Table<'_>) -> FrontendTimeouts {
    let default = FrontendTimeouts::default();
    let timeouts = FrontendTimeouts {
        handshake: table.value_or("handshake", default.handshake, |e| e.duration(TIMEOUT)),
        request_header: table.value_or("request_header", default.request_header, |e| {
            e.duration(TIMEOUT)
        }),
        keep_alive: table.value_or("keep_alive", default.keep_alive, |e| e.duration(TIMEOUT)),
        client: table.value_or("client", default.client, |e| e.duration(TIMEOUT)),
        client_fin: table.value_or("client_fin", default.client_fin, |e| e.duration(TIMEOUT)),
    };
    table.finish();
    timeouts
}

fn frontend_http(mut table: Table<'_>) -> FrontendHttp {
    let default = FrontendHttp::default();
    let normalize_path = table.value_or("normalize_path", default.normalize_path, Entry::boolean);
    let streams = u64::from(default.max_concurrent_streams);
    let streams = table.value_or("max_concurrent_streams", streams, |e| e.integer(STREAMS));
    table.finish();
    FrontendHttp {
        normalize_path,
        max_concurrent_streams: u32::try_from(streams).unwrap_or(default.max_concurrent_streams),
    }
}

fn strict_transport_security(mut table: Table<'_>) -> Hsts {
    let hsts = Hsts {
        max_age: table.value_or("max_age", MAX_TIMEOUT, |e| e.duration(HSTS_AGE)),
        include_subdomains: table.value_or("include_subdomains", false, Entry::boolean),
        preload: table.value_or("preload", false, Entry::boolean),
    };
    table.finish();
    hsts
}

fn forwarded_fields(mut table: Table<'_>) -> Forwarded {
    let default = Forwarded::default();
    let trusted = table
        .take("trusted_proxies")
        .map_or_else(Vec::new, |e| e.one_or_many());
    let mut unix = false;
    let network = |element: &Entry<'_>| {
        let text = element.text("10.0.0.0/8")?;
        if text == "unix" {
            unix = true;
            return None;
        }
        match address::network(text) {
            Ok(network) => Some(network),
            Err(error) => {
                let diagnostic = element.error("is not a network").label(error.label);
                element.push(diagnostic.help(error.help));
                None
            }
        }
    };
    let forwarded = Forwarded {
        x_forwarded: table.value_or("x_forwarded", default.x_forwarded, Entry::boolean),
        via: table.value_or("via", default.via, Entry::boolean),
        trusted_proxies: TrustedProxies {
            networks: trusted.iter().filter_map(network).collect(),
            unix,
        },
    };
    table.finish();
    forwarded
}
