//! The output of `pointsman route`, as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::lines::Line;
use super::super::response;
use crate::plugin::Fault;

/// The report on one decision.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) frontend: String,
    /// The stage that decided, and its plugin.
    pub(super) stage: Option<String>,
    pub(super) plugin: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) decision: &'static str,
    pub(super) backend: Option<String>,
    pub(super) server: Option<String>,
    pub(super) status: Option<u16>,
    /// The response, if the plugin returns one.
    pub(super) response: Option<response::Shown>,
    pub(super) reason: Option<String>,
    /// Edits of all stages together.
    pub(super) edits: Vec<String>,
    pub(super) response_edits: Vec<String>,
    pub(super) options: Vec<String>,
    /// Reads of all stages, each once.
    pub(super) reads: Vec<String>,
    pub(super) cacheable: bool,
    /// Log lines of the plugins during configuration and the first decision.
    pub(super) log: Vec<Line>,
    /// Time that the first decision of the deciding stage took, on a fresh instance.
    pub(super) first_ns: Option<u128>,
    /// Median time of that stage's further decisions.
    pub(super) median_ns: Option<u128>,
    /// Mean time of the router's decision when it comes from the cache, if this decision can be
    /// cached.
    pub(super) cached_ns: Option<u128>,
    /// The stages that were called, in order.
    pub(super) stages: Vec<StageReport>,
}

/// The decision of one stage.
#[derive(Debug, Serialize)]
pub(super) struct StageReport {
    pub(super) stage: String,
    pub(super) plugin: String,
    pub(super) decision: String,
    pub(super) cacheable: bool,
    pub(super) reads: Vec<Answered>,
    pub(super) edits: Vec<String>,
    pub(super) response_edits: Vec<String>,
    pub(super) options: Vec<String>,
}

/// A read or a question, and its result.
#[derive(Debug, Serialize)]
pub(super) struct Answered {
    pub(super) read: String,
    pub(super) answer: String,
}

/// Describes why a plugin made no decision.
pub(super) fn reason(fault: &Fault) -> String {
    match fault {
        Fault::Trap { backtrace, .. } if !backtrace.is_empty() => format!("{fault}\n{backtrace}"),
        fault => fault.to_string(),
    }
}

/// Writes each line of `value` on its own line, with `name` before the first.
fn line(text: &mut String, name: &str, value: &str) {
    for (index, part) in value.split('\n').enumerate() {
        let name = if index == 0 { name } else { "" };
        let line = format!("{name:<10}{part}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn list(text: &mut String, name: &str, values: &[String]) {
    if !values.is_empty() {
        line(text, name, &values.join("\n"));
    }
}

impl Report {
    /// Turns this into the report of a request that the frontend refuses with this status.
    pub(super) fn refused(self, status: u16, reason: String) -> Report {
        Report {
            decision: "refused",
            status: Some(status),
            reason: Some(reason),
            ..self
        }
    }

    /// Formats the report as one JSON object.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Formats the report as text. If `explains` is true, the text contains the decision of each
    /// stage.
    pub(super) fn text(&self, explains: bool) -> String {
        let mut text = String::new();
        let out = &mut text;
        line(out, "decision", &self.outcome());
        if let Some(reason) = &self.reason {
            line(out, "reason", reason);
        }
        if let Some(response) = &self.response {
            line(out, "response", &response.to_string());
        }
        line(out, "frontend", &self.frontend);
        if let Some(plugin) = &self.plugin {
            line(out, "plugin", plugin);
            let reads = match self.reads.as_slice() {
                [] => "nothing".to_owned(),
                reads => reads.join(", "),
            };
            line(out, "read", &reads);
            line(out, "cacheable", yes_or_no(self.cacheable));
        }
        list(out, "edits", &self.edits);
        list(out, "response", &self.response_edits);
        list(out, "options", &self.options);
        if explains {
            self.stages.iter().for_each(|stage| stage.write(out));
        }
        let log: Vec<String> = self.log.iter().map(ToString::to_string).collect();
        list(out, "log", &log);
        self.write_times(out);
        text
    }

    fn outcome(&self) -> String {
        let mut decision = self.decision.to_owned();
        if let Some(server) = &self.server {
            decision = format!("server {server}");
        }
        if let Some(backend) = &self.backend {
            decision = format!("{backend} ({decision})");
        }
        if let Some(status) = self.status {
            decision = format!("{decision} {status}");
        }
        decision
    }

    fn write_times(&self, out: &mut String) {
        if let (Some(first), Some(median)) = (self.first_ns, self.median_ns) {
            let mut text = format!("{}; {} at first", nanoseconds(median), nanoseconds(first));
            if let Some(cached) = self.cached_ns {
                text = format!("{text}; {} from the cache", nanoseconds(cached));
            }
            line(out, "time", &text);
        }
    }
}

impl StageReport {
    fn write(&self, out: &mut String) {
        line(out, "stage", &format!("{}: {}", self.stage, self.decision));
        for Answered { read, answer } in &self.reads {
            line(out, "", &format!("  {read} = {answer}"));
        }
        let changes = self.edits.iter().chain(&self.response_edits);
        for change in changes.chain(&self.options) {
            line(out, "", &format!("  {change}"));
        }
        line(
            out,
            "",
            &format!("  cacheable: {}", yes_or_no(self.cacheable)),
        );
    }
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn nanoseconds(time: u128) -> String {
    match time {
        0..10_000 => format!("{time} ns"),
        10_000..10_000_000 => format!("{} µs", time / 1000),
        _ => format!("{} ms", time / 1_000_000),
    }
}
