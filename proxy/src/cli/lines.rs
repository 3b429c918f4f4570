//! Lines that plugins log while a command tries them out, where no log is running.
//!
//! Owns how they are collected and shown. Plugins' own lines come in at every level; the proxy's
//! about them from `info` on.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// Target of a plugin's own lines.
const PLUGIN: &str = "plugin";

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    level: &'static str,
    /// Of the plugin that wrote it; empty if none did.
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

/// Does some work on this thread, and collects what is logged meanwhile.
pub(super) fn collect<T>(work: impl FnOnce() -> T) -> (T, Vec<Line>) {
    let collector = Collector::default();
    let subscriber = tracing_subscriber::registry().with(collector.clone());
    let done = tracing::subscriber::with_default(subscriber, work);
    let mut lines = collector.0.lock().unwrap_or_else(PoisonError::into_inner);
    (done, std::mem::take(&mut *lines))
}

/// Shows lines of any frontend on standard error, each once: every instance of a plugin logs the
/// same while it is configured.
pub(super) fn show(lines: &[Line]) {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        if lines[..index].contains(line) {
            continue;
        }
        // Its name in the router tells more than the plugin's.
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
