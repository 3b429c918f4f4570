//! `[frontend.NAME.router]`: which plugin, its own configuration, and its limits.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::{Reader, TIMEOUT};
use crate::config::hints::{self, Section};
use crate::config::reader::{Entry, Table};
use crate::config::{
    BUNDLED_PLUGINS, DEFAULT_FAULT_WINDOW, DEFAULT_MAX_FAULTS, Isolation, Limits, OnFault,
    PluginSource, Router, json,
};

/// A worker decides nothing else while a plugin runs, so no decision may take long.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(1);

/// Instantiation and configuration run beside the workers.
const CONFIGURE_DEADLINE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_mins(10);

/// One page of WebAssembly, and all that 32 bits can address.
const MEMORY: RangeInclusive<u64> = 64 << 10..=4 << 30;

/// Less than one head could not be read.
const HOST_MEMORY: RangeInclusive<u64> = 64 << 10..=1 << 30;

/// None at all is no policy.
const MAX_FAULTS: RangeInclusive<u64> = 1..=1_000_000;

/// A response is held in memory whole.
const RESPONSE: RangeInclusive<u64> = 0..=16 << 20;

impl<'a> Reader<'a> {
    pub(super) fn router(&self, entry: &Entry<'a>, has_default_backend: bool) -> Option<Router> {
        let mut table = entry.table(Section::Router)?;
        let plugin = table.require("plugin", "`plugin = \"host-suffix\"`, or a file");
        let plugin = plugin.and_then(|e| self.plugin(&e));
        let config = match table.take("config") {
            Some(config) if config.is_table() => {
                json::from_toml(config.spanned(), &config.path, self.report)
            }
            Some(config) => {
                let diagnostic = config.error("must be a table").label("not a table");
                config.push(diagnostic.help("write `router.config.KEY = VALUE`"));
                serde_json::Value::Null
            }
            None => serde_json::Value::Object(serde_json::Map::new()),
        };
        let on_fault = table.take("on_fault");
        let choices = [
            ("reject", OnFault::Reject),
            ("default-backend", OnFault::DefaultBackend),
        ];
        let chosen = on_fault.as_ref().and_then(|e| e.choice(&choices));
        let chosen = chosen.unwrap_or(OnFault::Reject);
        if let Some(entry) = on_fault
            && chosen == OnFault::DefaultBackend
            && !has_default_backend
        {
            let what = "is `default-backend`, but the frontend has no `default_backend`";
            let diagnostic = entry
                .error(what)
                .label("no backend to fall back on")
                .absent();
            entry.push(diagnostic.help("add `default_backend`, or write `\"reject\"`"));
        }
        let max_faults = table.value_or("max_faults", u64::from(DEFAULT_MAX_FAULTS), |e| {
            e.integer(MAX_FAULTS)
        });
        let fault_window = table.value_or("fault_window", DEFAULT_FAULT_WINDOW, |e| {
            e.duration(TIMEOUT)
        });
        let isolations = [
            ("instance", Isolation::Instance),
            ("request", Isolation::Request),
        ];
        let isolation = table.value_or("isolation", Isolation::Instance, |e| e.choice(&isolations));
        let watch = table.value_or("watch", true, Entry::boolean);
        let limits = table.table("limits", Section::Limits);
        table.finish();
        Some(Router {
            plugin: plugin?,
            config,
            on_fault: chosen,
            max_faults: u32::try_from(max_faults).unwrap_or(DEFAULT_MAX_FAULTS),
            fault_window,
            isolation,
            watch,
            limits: limits.map(self::limits).unwrap_or_default(),
        })
    }

    fn plugin(&self, entry: &Entry<'a>) -> Option<PluginSource> {
        let text = entry.text("host-suffix")?;
        let is_path = text.contains('/')
            || Path::new(text)
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("wasm"));
        if is_path {
            return self.path(entry).map(PluginSource::File);
        }
        if BUNDLED_PLUGINS.contains(&text) {
            return Some(PluginSource::Bundled(text.to_owned()));
        }
        let help = match hints::closest(text, BUNDLED_PLUGINS) {
            Some(name) => format!("did you mean `\"{name}\"`?"),
            None => format!(
                "bundled: {}; a file has a slash or ends in `.wasm`: `\"./{text}.wasm\"`",
                hints::list(BUNDLED_PLUGINS)
            ),
        };
        let diagnostic = entry
            .error("names no bundled plugin")
            .label("no plugin of this name");
        entry.push(diagnostic.help(help));
        None
    }
}

fn limits(mut table: Table<'_>) -> Limits {
    let default = Limits::default();
    let configure = default.configure_deadline;
    let limits = Limits {
        deadline: table.value_or("deadline", default.deadline, |e| e.duration(DEADLINE)),
        configure_deadline: table.value_or("configure_deadline", configure, |e| {
            e.duration(CONFIGURE_DEADLINE)
        }),
        memory: table.value_or("memory", default.memory, |e| e.size(MEMORY)),
        host_memory: table.value_or("host_memory", default.host_memory, |e| e.size(HOST_MEMORY)),
        response: table.value_or("response", default.response, |e| e.size(RESPONSE)),
    };
    table.finish();
    limits
}
