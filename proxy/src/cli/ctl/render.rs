//! Renders responses of the admin interface as readable text.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use crate::admin::api;

/// Maximum number of characters of a plugin's configuration that are shown. `--json` shows all of
/// it.
const MAX_CONFIG: usize = 200;

pub(super) fn status(status: &api::Status) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    line(format!(
        "pointsman {}, process {}, {} for {} s, {} workers",
        status.version, status.pid, status.state, status.uptime_seconds, status.workers
    ));
    line(format!("connections  {}", status.connections));
    line(format!(
        "config       {} ({} reloads, {} refused)",
        status.config, status.reloads, status.reloads_refused
    ));
    line(String::new());
    line(
        "FRONTEND              1xx        2xx        3xx        4xx        5xx  PLUGINS".to_owned(),
    );
    for frontend in &status.frontends {
        let stages = frontend.stages.iter();
        let stages = stages.map(|stage| format!("{} (version {})", stage.name, stage.version));
        let stages = match frontend.stages.as_slice() {
            [] => "-".to_owned(),
            _ => stages.collect::<Vec<_>>().join(", "),
        };
        let answers = frontend.answers.map(|count| format!("{count:>10}"));
        let answers = answers.join(" ");
        line(format!("{:<15}{answers}  {stages}", frontend.name));
    }
    line(String::new());
    line(
        "BACKEND/SERVER                  ACTIVE  QUEUED   REQUESTS   CONNECTS     ERRORS"
            .to_owned(),
    );
    for backend in &status.backends {
        line(format!(
            "{:<30}{:>8}{:>8}",
            backend.name, backend.active, backend.queued
        ));
        for server in &backend.servers {
            line(format!(
                "  {:<44}{:>11}{:>11}{:>11}",
                server.name, server.requests, server.connects, server.connect_errors
            ));
            let endpoints = server.endpoints.iter();
            for endpoint in endpoints.filter(|endpoint| endpoint.state != "up") {
                line(format!("    {} is {}", endpoint.address, endpoint.state));
            }
        }
    }
    if !status.certificates.is_empty() {
        line(String::new());
        line("TLS             SHA-256       EXPIRES               NAMES".to_owned());
    }
    for certificate in &status.certificates {
        line(format!(
            "{:<15} {}  {}  {}",
            certificate.tls,
            certificate.sha256.get(..12).unwrap_or(&certificate.sha256),
            time(certificate.not_after.try_into().unwrap_or_default()),
            certificate.names.join(" ")
        ));
    }
    if !status.tables.is_empty() {
        line(String::new());
        line(
            "TABLE              ENTRIES   UNSAVED  LOADED                         FILE".to_owned(),
        );
    }
    for table in &status.tables {
        line(format!(
            "{:<15} {:>10} {:>9}  {}  {}",
            table.name,
            table.entries,
            table.unsaved,
            time(table.loaded),
            table.file
        ));
        if table.failed {
            let why = table.error.as_deref().unwrap_or("it was refused");
            line(format!("  the file is not in force: {why}"));
        }
    }
    text
}

pub(super) fn servers(servers: &api::Servers) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    line(
        "BACKEND/SERVER                ADDRESS                      STATE        WEIGHT  ACTIVE   REQUESTS    RETRIES"
            .to_owned(),
    );
    for backend in &servers.backends {
        for server in &backend.servers {
            let name = format!("{}/{}", backend.name, server.name);
            let weight = if server.backup {
                format!("{} (backup)", server.weight)
            } else {
                server.weight.to_string()
            };
            if server.endpoints.is_empty() {
                line(format!(
                    "{name:<29} -                            no address"
                ));
            }
            for (index, endpoint) in server.endpoints.iter().enumerate() {
                // The counts belong to the server, not to the address.
                let counts = if index == 0 {
                    format!("{:>10} {:>10}", server.requests, server.retries)
                } else {
                    String::new()
                };
                line(
                    format!(
                        "{name:<29} {:<28} {:<12} {weight:>6} {:>7} {counts}",
                        endpoint.address, endpoint.state, endpoint.active
                    )
                    .trim_end()
                    .to_owned(),
                );
            }
        }
    }
    text
}

pub(super) fn plugins(plugins: &api::Plugins) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    line("FRONTEND/STAGE                 VERSION  STATE        DECISIONS   CACHED  FAULTS  MEDIAN  SHA-256       SOURCE".to_owned());
    for version in &plugins.versions {
        let cached = percent(version.cached, version.decisions);
        let faults: u64 = version.faults.values().sum();
        line(format!(
            "{:<30} {:>7}  {:<11} {:>10} {cached:>8} {faults:>7} {:>7}  {}  {}",
            format!("{}/{}", version.frontend, version.stage),
            version.number,
            version.state,
            version.decisions,
            median(&version.histogram),
            version.sha256.get(..12).unwrap_or(&version.sha256),
            version.source
        ));
        line(format!("{:<39} {}", "", origin(version)));
        for (kind, count) in &version.faults {
            line(format!("{:<50}{kind}: {count}", ""));
        }
    }
    text
}

pub(super) fn trials(trials: &api::Trials) -> String {
    if trials.trials.is_empty() {
        return "no version is on trial, and none has been\n".to_owned();
    }
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    for trial in &trials.trials {
        line(format!(
            "{}/{}: version {} as a {} of {} % next to version {}",
            trial.frontend, trial.stage, trial.number, trial.mode, trial.percent, trial.active
        ));
        if let Some(ended) = trial.ended {
            line(format!("  {} on {}", trial.state, time(ended)));
        }
        line(format!(
            "  calls {}, different decisions {}, failures {}",
            trial.asked, trial.differing, trial.failed
        ));
        for example in &trial.examples {
            line(format!(
                "  {} {}\n    version {}: {}\n    version {}: {}",
                example.method,
                example.target,
                trial.active,
                example.active,
                trial.number,
                example.trial
            ));
            for (name, value) in &example.fields {
                let value = value.as_deref().unwrap_or("(not shown)");
                line(format!("    {name}: {value}"));
            }
        }
    }
    text
}

/// Describes when, why and with which configuration a version was created.
fn origin(version: &api::Version) -> String {
    let since = time(version.since);
    let came = format!("{since}, by {}", version.cause);
    match &version.config {
        Some(config) => format!("{came}, with {}", shorten(&config.to_string())),
        None => came,
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_CONFIG) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Formats a time as HTTP does (RFC 9110, section 5.6.7). The format cannot represent times after
/// the year 9999.
fn time(seconds: u64) -> String {
    const LAST: u64 = 253_402_300_799;
    let since = Duration::from_secs(seconds.min(LAST));
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since)
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{} %", u128::from(part) * 100 / u128::from(whole))
}

/// Returns the upper bound of the bucket that contains the median.
fn median(histogram: &[api::Bucket]) -> String {
    let all: u64 = histogram.iter().map(|bucket| bucket.calls).sum();
    let mut before = 0;
    for bucket in histogram {
        before += bucket.calls;
        if before * 2 >= all && all > 0 {
            return match bucket.up_to {
                Some(bound) if bound < 1_000_000 => format!("<{} µs", bound / 1000),
                Some(bound) => format!("<{} ms", bound / 1_000_000),
                None => "more".to_owned(),
            };
        }
    }
    "-".to_owned()
}
