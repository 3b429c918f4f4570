//! Advice for unknown keys: other proxies' spellings, keys of another table, and misspelled keys.
//! Owns the names of the tables; reads no values.

mod foreign;

use foreign::{FOREIGN, FOREIGN_BALANCE, FOREIGN_FAILURES, FOREIGN_TIMEOUTS};

/// A table of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Top,
    TopTimeout,
    Compile,
    Log,
    Admin,
    Frontends,
    Frontend,
    FrontendTimeout,
    Forwarded,
    FrontendHttp,
    Hsts,
    Bind,
    AcceptProxy,
    Router,
    Limits,
    Routing,
    RoutingBody,
    TlsTables,
    Tls,
    Certificate,
    ClientCertificates,
    Acme,
    Backends,
    Backend,
    Resolve,
    Balance,
    Check,
    Outlier,
    Affinity,
    Retry,
    BackendTimeout,
    ServersFile,
    Servers,
    Server,
    ServerTls,
    Tables,
    Table,
}

impl Section {
    /// Returns the table's path as written in the manual.
    pub(super) fn documented_path(self) -> &'static str {
        match self {
            Section::Top => "",
            Section::TopTimeout => "timeout",
            Section::Compile => "compile",
            Section::Log => "log",
            Section::Admin => "admin",
            Section::Frontends | Section::Frontend => "frontend.NAME",
            Section::FrontendTimeout => "frontend.NAME.timeout",
            Section::Forwarded => "frontend.NAME.forwarded",
            Section::FrontendHttp => "frontend.NAME.http",
            Section::Hsts => "frontend.NAME.hsts",
            Section::Bind => "frontend.NAME.bind",
            Section::AcceptProxy => "frontend.NAME.bind.proxy_protocol",
            Section::TlsTables | Section::Tls => "tls.NAME",
            Section::Certificate => "tls.NAME.certificates",
            Section::ClientCertificates => "tls.NAME.client_certificates",
            Section::Acme => "tls.NAME.acme",
            Section::ServerTls => "backend.NAME.server.NAME.tls",
            Section::Router => "frontend.NAME.router",
            Section::Limits => "frontend.NAME.router.limits",
            Section::Routing => "frontend.NAME.routing",
            Section::RoutingBody => "frontend.NAME.routing.body",
            // A servers file has only `server`, in the same form as in a backend.
            Section::Backends | Section::Backend | Section::ServersFile => "backend.NAME",
            Section::Resolve => "backend.NAME.resolve",
            Section::Balance => "backend.NAME.balance",
            Section::Check => "backend.NAME.check",
            Section::Outlier => "backend.NAME.outlier",
            Section::Affinity => "backend.NAME.affinity",
            Section::Retry => "backend.NAME.retry",
            Section::BackendTimeout => "backend.NAME.timeout",
            Section::Servers | Section::Server => "backend.NAME.server.NAME",
            Section::Tables | Section::Table => "table.NAME",
        }
    }
}

/// All keys, each with the table that it belongs to: the table's path in the manual, and the key.
const ELSEWHERE: &[(&str, &str)] = &[
    ("", "max_connections"),
    ("", "workers"),
    ("", "user"),
    ("", "group"),
    ("", "plugin_cache_dir"),
    ("timeout", "drain"),
    ("compile", "file_size"),
    ("compile", "time"),
    ("log", "level"),
    ("log", "format"),
    ("log", "access"),
    ("admin", "socket"),
    ("frontend.NAME", "bind"),
    ("frontend.NAME", "default_backend"),
    ("frontend.NAME", "backlog"),
    ("frontend.NAME", "max_headers"),
    ("frontend.NAME", "max_header_size"),
    ("frontend.NAME", "max_body"),
    ("frontend.NAME", "max_discard"),
    ("frontend.NAME", "mode"),
    ("frontend.NAME.timeout", "handshake"),
    ("frontend.NAME.timeout", "request_header"),
    ("frontend.NAME.timeout", "keep_alive"),
    ("frontend.NAME.timeout", "client"),
    ("frontend.NAME.timeout", "client_fin"),
    ("frontend.NAME.forwarded", "x_forwarded"),
    ("frontend.NAME.forwarded", "via"),
    ("frontend.NAME.forwarded", "trusted_proxies"),
    ("frontend.NAME.http", "normalize_path"),
    ("frontend.NAME.http", "max_concurrent_streams"),
    ("frontend.NAME.bind", "redirect_to_https"),
    ("frontend.NAME.bind", "h2c"),
    ("tls.NAME", "certificate"),
    ("tls.NAME", "certificates"),
    ("tls.NAME", "client_certificates"),
    ("tls.NAME", "strict_sni"),
    ("tls.NAME", "acme"),
    ("frontend.NAME.router", "plugin"),
    ("frontend.NAME.router", "on_fault"),
    ("frontend.NAME.router", "config"),
    ("frontend.NAME.router", "max_faults"),
    ("frontend.NAME.router", "fault_window"),
    ("frontend.NAME.router", "isolation"),
    ("frontend.NAME.router", "watch"),
    ("frontend.NAME.router.limits", "deadline"),
    ("frontend.NAME.router.limits", "configure_deadline"),
    ("frontend.NAME.router.limits", "memory"),
    ("frontend.NAME.router.limits", "host_memory"),
    ("frontend.NAME.router.limits", "questions"),
    ("frontend.NAME.router.limits", "response"),
    ("frontend.NAME.routing", "max_attempts"),
    ("frontend.NAME.routing", "explain_header"),
    ("frontend.NAME.routing.body", "too_large"),
    ("backend.NAME", "max_headers"),
    ("backend.NAME", "max_header_size"),
    ("backend.NAME.timeout", "connect"),
    ("backend.NAME.timeout", "queue"),
    ("backend.NAME.timeout", "server"),
    ("backend.NAME.timeout", "tunnel"),
    ("backend.NAME.timeout", "server_fin"),
    ("backend.NAME.timeout", "server_keep_alive"),
    ("backend.NAME", "http_reuse"),
    ("backend.NAME", "servers_file"),
    ("backend.NAME", "resolve"),
    ("backend.NAME", "balance"),
    ("backend.NAME", "slow_start"),
    ("backend.NAME", "check"),
    ("backend.NAME", "outlier"),
    ("backend.NAME", "affinity"),
    ("backend.NAME", "retry"),
    ("backend.NAME", "max_requests"),
    ("backend.NAME", "max_queue"),
    ("backend.NAME.resolve", "init"),
    ("backend.NAME.resolve", "nameservers"),
    ("backend.NAME.resolve", "min_interval"),
    ("backend.NAME.resolve", "max_interval"),
    ("backend.NAME.balance", "hash"),
    ("backend.NAME.balance", "max_load"),
    ("backend.NAME.check", "interval"),
    ("backend.NAME.check", "expect"),
    ("backend.NAME.check", "rise"),
    ("backend.NAME.check", "fall"),
    ("backend.NAME.outlier", "consecutive"),
    ("backend.NAME.outlier", "ejection"),
    ("backend.NAME.outlier", "max_ejection"),
    ("backend.NAME.outlier", "max_ejected"),
    ("backend.NAME.outlier", "panic"),
    ("backend.NAME.affinity", "learn"),
    ("backend.NAME.affinity", "secret"),
    ("backend.NAME.affinity", "secure"),
    ("backend.NAME.affinity", "http_only"),
    ("backend.NAME.affinity", "same_site"),
    ("backend.NAME.affinity", "ttl"),
    ("backend.NAME.affinity", "max_entries"),
    ("backend.NAME.retry", "attempts"),
    ("backend.NAME.retry", "methods"),
    ("backend.NAME.retry", "pause"),
    ("backend.NAME.retry", "budget"),
    ("backend.NAME.server.NAME", "address"),
    ("backend.NAME.server.NAME", "weight"),
    ("backend.NAME.server.NAME", "backup"),
    ("backend.NAME.server.NAME", "state"),
    ("table.NAME", "values"),
];

/// Renamed keys: table, old name, new name.
const RENAMED: &[(Section, &str, &str)] = &[
    (Section::Top, "cache_dir", "plugin_cache_dir"),
    (Section::FrontendTimeout, "request", "request_header"),
    (Section::Server, "max_connections", "max_requests"),
];

/// Returns what to write for another proxy's value of `balance`.
pub(super) fn foreign_balance(text: &str) -> Option<&'static str> {
    word(FOREIGN_BALANCE, text)
}

/// Returns what to write for another proxy's name of a failure.
pub(super) fn failure(text: &str) -> Option<&'static str> {
    word(FOREIGN_FAILURES, text)
}

fn word(words: &[(&str, &'static str)], text: &str) -> Option<&'static str> {
    let normal = normalized(text);
    let found = words.iter().find(|(word, _)| *word == normal)?;
    Some(found.1)
}

/// Converts to lowercase, and replaces `-` and blanks by `_`, because other proxies spell keys in
/// several ways.
fn normalized(text: &str) -> String {
    text.to_lowercase().replace(['-', ' '], "_")
}

/// Returns the new name of a renamed key.
pub(super) fn new_name(section: Section, name: &str) -> Option<&'static str> {
    let mut renamed = RENAMED.iter();
    let found = renamed.find(|(table, old, _)| *table == section && *old == name)?;
    Some(found.2)
}

/// Returns advice about a key that `section` does not have. `known` lists the keys that it has.
pub(super) fn unknown_key(section: Section, name: &str, known: &[&str]) -> String {
    let normal = normalized(name);
    if let Some(key) = known.iter().find(|key| **key == normal) {
        return format!("it is written `{key}`");
    }
    let here = section.documented_path();
    let normal = match normal.as_str() {
        "maxconn" if known.contains(&"max_connections") => {
            return "write `max_connections`".to_owned();
        }
        "maxconn" if known.contains(&"max_requests") => {
            return "write `max_requests`".to_owned();
        }
        "maxconn" => "max_connections".to_owned(),
        "http_keep_alive" | "keep_alive" if known.contains(&"server_keep_alive") => {
            return "write `server_keep_alive`".to_owned();
        }
        _ => normal,
    };
    if let Some(help) = timeout_word(here, &normal) {
        return help;
    }
    if here.ends_with("timeout")
        && let Some(help) = word(FOREIGN_TIMEOUTS, &normal)
    {
        return help.to_owned();
    }
    if let Some(help) = word(FOREIGN, &normal) {
        return help.to_owned();
    }
    if let Some((table, key)) = ELSEWHERE.iter().find(|(t, k)| *k == normal && *t != here) {
        return belongs(here, table, key);
    }
    if let Some(key) = closest(&normal, known) {
        return format!("did you mean `{key}`?");
    }
    match known {
        [] => "this table has no keys".to_owned(),
        known => format!("known keys are {}", list(known)),
    }
}

/// Returns advice for a timeout that is spelled in another way, such as `server_timeout` or
/// `timeout_server` for `timeout.server`.
fn timeout_word(here: &str, normal: &str) -> Option<String> {
    let word = normal
        .strip_suffix("_timeout")
        .or_else(|| normal.strip_prefix("timeout_"))?;
    let word = match word {
        "http_request" | "request" => "request_header",
        word => word,
    };
    let (table, key) = ELSEWHERE
        .iter()
        .find(|(table, key)| table.ends_with("timeout") && *key == word)?;
    if table.strip_suffix(".timeout").unwrap_or_default() == here {
        return Some(format!("write `timeout.{key}`"));
    }
    Some(belongs(here, table, key))
}

/// Says where `key` belongs. If `table` is below `here`, its path is written relative to `here`;
/// otherwise it is written in full.
fn belongs(here: &str, table: &str, key: &str) -> String {
    let below = table.strip_prefix(here).and_then(|rest| {
        if here.is_empty() {
            None
        } else {
            rest.strip_prefix('.')
        }
    });
    match (below, table) {
        (Some(below), _) => format!("write `{below}.{key}`"),
        (None, "") => format!("`{key}` belongs at the top of the file, before any table"),
        (None, table) => format!("`{key}` belongs to `[{table}]`"),
    }
}

/// Returns advice for a value that must be a table but is not.
pub(super) fn table_form(section: Section, path: &str) -> String {
    match section {
        Section::Router => "write `router.plugin = \"host-suffix\"`".to_owned(),
        Section::RoutingBody => "write `routing.body = { size = \"16KiB\" }`".to_owned(),
        Section::FrontendTimeout => "one key for each: `timeout.client = \"60s\"`".to_owned(),
        Section::BackendTimeout => "one key for each: `timeout.server = \"60s\"`".to_owned(),
        Section::TopTimeout => "one key for each: `timeout.drain = \"30s\"`".to_owned(),
        Section::TlsTables | Section::Tls => {
            "every one has a name: `[tls.site]` with `certificate` and `key`".to_owned()
        }
        Section::ServerTls => "write `tls = true`, or a table".to_owned(),
        Section::AcceptProxy => "write `proxy_protocol = { from = \"10.0.0.0/8\" }`".to_owned(),
        Section::Affinity => "write `affinity = { cookie = \"NAME\" }`".to_owned(),
        Section::Servers => "name the server: `server.a = \"localhost:8080\"`".to_owned(),
        Section::Frontends | Section::Frontend => {
            "every frontend has a name: `[frontend.www]`".to_owned()
        }
        Section::Backends | Section::Backend => {
            "every backend has a name: `[backend.www]`".to_owned()
        }
        Section::Tables | Section::Table => {
            "every table has a name: `[table.tenants]` with `file = \"tenants.csv\"`".to_owned()
        }
        _ => format!("write `[{path}]`"),
    }
}

/// Returns the candidate that the user probably meant by `text`.
pub(super) fn closest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let score = |candidate: &&'c str| (strsim::jaro_winkler(text, candidate), *candidate);
    let best = candidates
        .iter()
        .map(score)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    // With a lower threshold, Jaro-Winkler would match words that merely share letters.
    best.filter(|(score, _)| *score > 0.84)
        .map(|(_, candidate)| candidate)
}

/// Formats a list of alternatives: `` `a`, `b` or `c` ``.
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
