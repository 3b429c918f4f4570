//! Every key of the file: its permitted values and its default.
//!
//! Called only by [`draft`](super::draft), [`parse`](super::parse) and
//! [`servers_file`](super::servers_file).

mod backend;
mod bind;
mod frontend;
mod router;
mod routing;
mod table;
mod tls;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Errors};
use super::hints::{self, Section};
use super::reader::{Entry, Report, Table};
use super::units;
use super::{
    Admin, Backend, Compile, Config, DEFAULT_DRAIN, DEFAULT_REDACT, HeadLimits, HttpReuse, Log,
    LogFormat, LogLevel, LogTarget, Server, Source, Tls,
};

/// Longest timeout. A timeout of a year has the same effect as none.
const MAX_TIMEOUT: Duration = Duration::from_hours(365 * 24);

/// Range of timeouts. A timeout of zero would end every operation before it starts.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=MAX_TIMEOUT;

/// Range of waits. Unlike a timeout, a wait can be zero.
const WAIT: RangeInclusive<Duration> = Duration::ZERO..=MAX_TIMEOUT;

/// Number of workers. A number beyond the cores of any machine is a mistake.
const WORKERS: RangeInclusive<u64> = 1..=4096;

/// Length of a backlog. `listen(2)` takes an int, but some kernels use only 16 bits of it.
const BACKLOG: RangeInclusive<u64> = 1..=65_535;

/// Number of field lines of a head. Parsing allocates a table with one span for each line.
const HEADERS: RangeInclusive<u64> = 1..=4096;

/// Size of a head, which is kept in memory as a whole.
const HEADER_SIZE: RangeInclusive<u64> = 1024..=16 * 1024 * 1024;

/// Size of a body.
const BYTES: RangeInclusive<u64> = 0..=i64::MAX as u64;

/// Memory of a compiler. A compiler with less memory cannot compile any plugin.
const COMPILE_MEMORY: RangeInclusive<u64> = 64 << 20..=1 << 40;

const COMPILE_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// Size of a plugin's file. No compiler has enough memory for a larger file.
const PLUGIN_SIZE: RangeInclusive<u64> = 1024..=1 << 30;

const CONNECTIONS: RangeInclusive<u64> = 1..=u32::MAX as u64;

/// Length of a queue. Each waiting request occupies memory and a client connection.
const MAX_QUEUE: RangeInclusive<u32> = 0..=1_000_000;

const HTTP_REUSE: [(&str, HttpReuse); 3] = [
    ("never", HttpReuse::Never),
    ("safe", HttpReuse::Safe),
    ("always", HttpReuse::Always),
];

/// Longest name of a frontend, backend or server. Such names appear in every log line.
const MAX_NAME: usize = 128;

/// Reads the whole file. Returns the part that could be read, and all mistakes.
///
/// # Errors
/// If the text is not TOML: its contents are then not reliable.
pub(super) fn read(source: &Source) -> Result<(Config, Option<Errors>), Errors> {
    let (tree, syntax) = source.tree();
    let report = Report::default();
    let config = Reader {
        report: &report,
        directory: source.directory(),
    }
    .config(Table::root(&report, Section::Top, tree.get_ref()));
    let (found, _) = report.into_parts();
    match source.check(&syntax, found) {
        Err(errors) if !syntax.is_empty() => Err(errors),
        checked => Ok((config, checked.err())),
    }
}

/// Returns the keys that [`read`] looks up in the tables that `source` has.
#[cfg(test)]
pub(super) fn known_keys(source: &Source) -> std::collections::BTreeSet<String> {
    let (tree, _) = source.tree();
    let report = Report::default();
    Reader {
        report: &report,
        directory: source.directory(),
    }
    .config(Table::root(&report, Section::Top, tree.get_ref()));
    report.into_parts().1
}

/// Reads a servers file from its parsed tree and its syntax errors.
///
/// # Errors
/// All mistakes in the file.
pub(super) fn read_servers(
    source: &Source,
    tree: &DeTable<'_>,
    syntax: &[Diagnostic],
) -> Result<Vec<Server>, Errors> {
    let report = Report::default();
    let servers = Reader {
        report: &report,
        directory: source.directory(),
    }
    .servers_of_file(Table::root(&report, Section::ServersFile, tree));
    let (found, _) = report.into_parts();
    source.check(syntax, found)?;
    Ok(servers)
}

/// Tables that a frontend can name.
struct Named<'n> {
    backends: &'n [Backend],
    tls: &'n [Tls],
}

struct Reader<'a> {
    report: &'a Report,
    /// Directory that relative paths are resolved against.
    directory: &'a Path,
}

impl<'a> Reader<'a> {
    fn config(&self, mut top: Table<'a>) -> Config {
        let max_connections = top.take("max_connections").and_then(|e| connections(&e));
        let workers = top.take("workers").and_then(|e| e.integer(WORKERS));
        let user = top.take("user").and_then(|e| account(&e));
        let group = top.take("group").and_then(|e| account(&e));
        let plugin_cache_dir = top.take("plugin_cache_dir").and_then(|e| self.path(&e));
        let log = top.table("log", Section::Log).map(|table| self.log(table));
        let admin = top
            .table("admin", Section::Admin)
            .map(|table| self.admin(table));
        let compile = top.table("compile", Section::Compile).map(compile);
        let mut drain = DEFAULT_DRAIN;
        if let Some(mut timeout) = top.table("timeout", Section::TopTimeout) {
            drain = timeout.value_or("drain", drain, |e| e.duration(WAIT));
            timeout.finish();
        }

        // Read backends and `tls` first, because frontends refer to them.
        let backends = top.table("backend", Section::Backends);
        let backends = backends.map_or_else(Vec::new, |mut table| {
            let entries = table.take_all();
            entries.iter().filter_map(|e| self.backend(e)).collect()
        });
        let tls = top.table("tls", Section::TlsTables);
        let tls = tls.map_or_else(Vec::new, |mut table| {
            let entries = table.take_all();
            entries.iter().filter_map(|e| self.tls(e)).collect()
        });
        let tables = top.table("table", Section::Tables);
        let tables = tables.map_or_else(Vec::new, |mut table| {
            let entries = table.take_all();
            entries.iter().filter_map(|e| self.table(e)).collect()
        });
        let frontends = top.table("frontend", Section::Frontends);
        if frontends.is_none() {
            top.missing("frontend", "`[frontend.www]` with `bind = \"*:80\"`");
        }
        let frontends = frontends.map_or_else(Vec::new, |table| {
            self.frontends(
                table,
                &Named {
                    backends: &backends,
                    tls: &tls,
                },
            )
        });
        top.finish();

        Config {
            max_connections,
            workers: workers
                .and_then(|n| usize::try_from(n).ok())
                .and_then(NonZeroUsize::new),
            user,
            group,
            drain,
            log: log.unwrap_or_default(),
            admin: admin.unwrap_or_default(),
            plugin_cache_dir,
            compile: compile.unwrap_or_default(),
            tls,
            frontends,
            backends,
            tables,
        }
    }

    fn log(&self, mut table: Table<'a>) -> Log {
        let default = Log::default();
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let log = Log {
            level: table.value_or("level", default.level, |e| e.choice(&levels)),
            format: table.value_or("format", default.format, |e| e.choice(&formats)),
            access: table.value_or("access", default.access, Entry::boolean),
            target: table.value_or("target", default.target, |e| self.log_target(e)),
        };
        table.finish();
        log
    }

    fn admin(&self, mut table: Table<'a>) -> Admin {
        let socket = table.take("socket").and_then(|e| self.path(&e));
        let address = table.take("address").and_then(|e| loopback(&e));
        let redact = table.take("redact").map(|e| e.one_or_many());
        let name = |element: &Entry<'_>| field_name(element, "cookie");
        let redact = redact.map(|names| names.iter().filter_map(name).collect());
        table.finish();
        Admin {
            socket,
            address,
            redact: redact.unwrap_or_else(|| DEFAULT_REDACT.to_vec()),
        }
    }

    fn log_target(&self, entry: &Entry<'a>) -> Option<LogTarget> {
        match entry.text("stderr")? {
            "stderr" => Some(LogTarget::Stderr),
            "stdout" => Some(LogTarget::Stdout),
            text if text.contains('/') => self.path(entry).map(LogTarget::File),
            text => {
                let diagnostic = entry.error("must be `stderr`, `stdout` or a path");
                let help = match hints::closest(text, &["stderr", "stdout"]) {
                    Some(word) => format!("did you mean `\"{word}\"`?"),
                    None => format!("a path has a slash: `\"./{text}\"`"),
                };
                entry.push(diagnostic.label("neither of these").help(help));
                None
            }
        }
    }

    /// Returns a path, resolved against the directory of the configuration file.
    fn path(&self, entry: &Entry<'a>) -> Option<PathBuf> {
        let text = entry.text("/var/lib/pointsman")?;
        if text.is_empty() || text.contains('\0') {
            entry.push(entry.error("is not a path").label("no path"));
            return None;
        }
        Some(self.directory.join(text))
    }
}

fn head_limits(table: &mut Table<'_>) -> HeadLimits {
    let default = HeadLimits::default();
    let count = |entry: &Entry<'_>| usize::try_from(entry.integer(HEADERS)?).ok();
    let size = |entry: &Entry<'_>| usize::try_from(entry.size(HEADER_SIZE)?).ok();
    HeadLimits {
        max_headers: table.value_or("max_headers", default.max_headers, count),
        max_header_size: table.value_or("max_header_size", default.max_header_size, size),
    }
}

fn compile(mut table: Table<'_>) -> Compile {
    let default = Compile::default();
    let compile = Compile {
        file_size: table.value_or("file_size", default.file_size, |e| e.size(PLUGIN_SIZE)),
        memory: table.value_or("memory", default.memory, |e| e.size(COMPILE_MEMORY)),
        time: table.value_or("time", default.time, |e| e.duration(COMPILE_TIME)),
    };
    table.finish();
    compile
}

/// Reads a whole number that fits in 32 bits.
fn whole(entry: &Entry<'_>, range: RangeInclusive<u32>) -> Option<u32> {
    let (least, most) = range.into_inner();
    u32::try_from(entry.integer(least.into()..=most.into())?).ok()
}

/// Reads two durations in `range`, each given by its key and default. The first must not be longer
/// than the second.
fn ordered(
    table: &mut Table<'_>,
    range: &RangeInclusive<Duration>,
    least: (&'static str, Duration),
    most: (&'static str, Duration),
) -> (Duration, Duration) {
    let entries = (table.take(least.0), table.take(most.0));
    let read = |entry: &Option<Entry<'_>>, default| {
        let entry = entry.as_ref();
        entry.map_or(Some(default), |e| e.duration(range.clone()))
    };
    let (Some(shorter), Some(longer)) = (read(&entries.0, least.1), read(&entries.1, most.1))
    else {
        return (least.1, most.1);
    };
    if shorter > longer {
        let (shown, name) = (units::show_duration(longer), most.0);
        match entries {
            (Some(entry), _) => {
                let what = format!("is longer than `{name}`");
                entry.refuse(
                    &what,
                    format!("`{name}` is `{shown}`"),
                    format!("raise `{name}`"),
                );
            }
            (None, Some(entry)) => {
                let (shown, name) = (units::show_duration(shorter), least.0);
                let what = format!("is shorter than `{name}`");
                entry.refuse(
                    &what,
                    format!("`{name}` is `{shown}`"),
                    format!("lower `{name}`"),
                );
            }
            (None, None) => {}
        }
    }
    (shorter, longer)
}

/// Reads the name of a header field, in lowercase. `example` is used in the error.
fn field_name(entry: &Entry<'_>, example: &str) -> Option<HeaderName> {
    let name = HeaderName::try_from(entry.text(example)?).ok();
    if name.is_none() {
        let help = format!("as in `\"{example}\"`");
        entry.refuse(
            "is not the name of a field",
            "no field can have this name",
            help,
        );
    }
    name
}

fn connections(entry: &Entry<'_>) -> Option<NonZeroU32> {
    let number = entry.integer(CONNECTIONS)?;
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

/// Reads a loopback address, which no other machine can reach.
fn loopback(entry: &Entry<'_>) -> Option<SocketAddr> {
    let address: Option<SocketAddr> = entry.text("127.0.0.1:9901")?.parse().ok();
    let address = address.filter(|address| address.ip().is_loopback());
    if address.is_none() {
        let diagnostic = entry.error("is not a loopback address");
        let help = "as in `\"127.0.0.1:9901\"`; for access from another machine, use a tunnel";
        entry.push(
            diagnostic
                .label("the listener asks for no password")
                .help(help),
        );
    }
    address
}

/// Reads the name of a user or a group.
fn account(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text("pointsman")?;
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        let diagnostic = entry.error("is a number, not the name of a user or a group");
        let help = format!("`getent passwd {text}` and `getent group {text}` show the names");
        entry.push(diagnostic.label("a number").help(help));
        return None;
    }
    if text.is_empty() || text.contains(|c: char| c.is_control() || c.is_whitespace() || c == ':') {
        let diagnostic = entry.error("is not the name of a user or a group");
        entry.push(
            diagnostic
                .label("no user or group can have this name")
                .help("as in `\"pointsman\"`"),
        );
        return None;
    }
    Some(text.to_owned())
}

fn check_name(entry: &Entry<'_>, what: &str) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let name = entry.name;
    if !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(allowed) {
        return;
    }
    let message = format!("`{}` is not a name for a {what}", name.escape_debug());
    let help = format!("1 to {MAX_NAME} letters, digits and `-`, `_`, `.`, `:`");
    entry.push(entry.key_error(message).label("not a name").help(help));
}
