//! Collects and prints the log lines of plugins for commands that run plugins without a log.
//!
//! Lines of the plugins are collected at every level. Lines of the proxy about plugins are
//! collected from `info` up.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// Log target of the plugins' own lines.
const PLUGIN: &str = "plugin";

/// A log line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    level: &'static str,
    /// Frontend of the plugin that wrote the line; empty if the line is not from a plugin.
    #[serde(skip)]
    frontend: String,
    #[serde(skip)]
    stage: String,
    #[serde(skip)]
    plugin: String,
    text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<6}{}", self.level, self.text)
    }
}

/// Runs `work` on this thread and collects the lines that it logs.
pub(super) fn collect<T>(work: impl FnOnce() -> T) -> (T, Vec<Line>) {
    let collector = Collector::default();
    let subscriber = tracing_subscriber::registry().with(collector.clone());
    let done = tracing::subscriber::with_default(subscriber, work);
    let mut lines = collector.0.lock().unwrap_or_else(PoisonError::into_inner);
    (done, std::mem::take(&mut *lines))
}

/// Prints lines to standard error, but each line only once: every instance of a plugin logs the
/// same lines while it is configured.
pub(super) fn show(lines: &[Line]) {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        if lines[..index].contains(line) {
            continue;
        }
        // The stage's name is more specific than the plugin's.
        let plugin = match line.stage.as_str() {
            "" => &line.plugin,
            _ => &line.stage,
        };
        for part in [&line.frontend, plugin] {
            if !part.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(text, "{part}: ");
            }
        }
        let _ = writeln!(text, "{line}");
    }
    super::print_error(&text);
}

#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<Line>>>);

impl<S: Subscriber> Layer<S> for Collector {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == PLUGIN || *metadata.level() <= Level::INFO
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line {
            level: match *event.metadata().level() {
                Level::ERROR => "error",
                Level::WARN => "warn",
                Level::INFO => "info",
                Level::DEBUG => "debug",
                Level::TRACE => "trace",
            },
            ..Line::default()
        };
        event.record(&mut line);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "frontend" => self.frontend = value,
            "stage" => self.stage = value,
            "plugin" => self.plugin = value,
            "message" => self.text.insert_str(0, &value),
            name => {
                let _ = write!(self.text, " {name}={value}");
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
