//! `[frontend.NAME.router]`, one table or a list of them: plugins, their configuration, and their
//! limits.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::{MAX_NAME, Reader, TIMEOUT};
use crate::config::hints::{self, Section};
use crate::config::reader::{Entry, Table};
use crate::config::{
    BUNDLED_PLUGINS, DEFAULT_FAULT_WINDOW, DEFAULT_MAX_FAULTS, Isolation, Limits, MAX_STAGES,
    OnFault, PluginSource, Stage, json,
};

/// Range of the deadline of a decision. While a plugin runs, its worker does nothing else, so
/// decisions must be short.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(1);

/// Range of the deadline for instantiation and configuration. Both run off the worker threads if
/// they take long.
const CONFIGURE_DEADLINE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_mins(10);

/// Memory of an instance: from one page of WebAssembly to all that a 32-bit address can reach.
const MEMORY: RangeInclusive<u64> = 64 << 10..=4 << 30;

/// Memory that a call can make the host allocate. With less than the minimum, a plugin could not
/// read even one head.
const HOST_MEMORY: RangeInclusive<u64> = 64 << 10..=1 << 30;

/// Memory of matchers: from space for about ten thousand entries to the most that a process can
/// spare for lists.
const QUESTIONS: RangeInclusive<u64> = 1 << 20..=4 << 30;

/// Number of faults. With zero, no version could be in service.
const MAX_FAULTS: RangeInclusive<u64> = 1..=1_000_000;

/// Size of a response, which is kept in memory as a whole.
const RESPONSE: RangeInclusive<u64> = 0..=16 << 20;

impl<'a> Reader<'a> {
    /// Reads the stages. Returns those before the first invalid one, so that their positions match
    /// the file.
    pub(super) fn router(&self, entry: &Entry<'a>, has_default_backend: bool) -> Vec<Stage> {
        let elements = entry.one_or_many();
        if elements.is_empty() {
            let diagnostic = entry.error("is empty").label("at least one is needed");
            entry.push(diagnostic.help("add `{ plugin = \"host-suffix\" }`, or leave it out"));
        }
        if let Some(first) = elements.get(MAX_STAGES) {
            let message = format!("`{}` has more than {MAX_STAGES} plugins", entry.path);
            first.push(first.key_error(message).label("one too many"));
        }
        let mut names = Vec::new();
        let stages = elements.iter().take(MAX_STAGES);
        let stages = stages.map(|element| self.stage(element, has_default_backend, &mut names));
        // Read all stages, so that the mistakes in each of them are reported.
        let stages: Vec<_> = stages.collect();
        stages.into_iter().map_while(|stage| stage).collect()
    }

    fn stage(
        &self,
        entry: &Entry<'a>,
        has_default_backend: bool,
        names: &mut Vec<String>,
    ) -> Option<Stage> {
        let mut table = entry.table(Section::Router)?;
        let plugin = table.require("plugin", "`plugin = \"host-suffix\"`, or a file");
        let plugin = plugin.and_then(|e| self.plugin(&e));
        let default_name = plugin.as_ref().map(name_of);
        let name = stage_name(entry, table.take("name"), default_name, names);
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
        let choices = OnFault::ALL.map(|choice| (choice.name(), choice));
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
        let limits = limits.map(self::limits).unwrap_or_default();
        table.finish();
        Some(Stage {
            name: name?,
            plugin: plugin?,
            config,
            on_fault: chosen,
            max_faults: u32::try_from(max_faults).unwrap_or(DEFAULT_MAX_FAULTS),
            fault_window,
            isolation,
            watch,
            limits,
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
                "write {}, or a path with a slash or ending in `.wasm`: `\"./{text}.wasm\"`",
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

/// Returns the stage's configured name, or its plugin's name. No earlier stage may have the same
/// name.
fn stage_name(
    stage: &Entry<'_>,
    entry: Option<Entry<'_>>,
    default_name: Option<String>,
    names: &mut Vec<String>,
) -> Option<String> {
    let name = match &entry {
        Some(entry) => configured_name(entry)?,
        None => default_name?,
    };
    if names.contains(&name) {
        let diagnostic = match entry {
            Some(entry) => entry.error("is the name of an earlier plugin of this router"),
            None => stage.key_error(format!(
                "`{}` is called `{name}`, like an earlier plugin of this router",
                stage.path
            )),
        };
        let diagnostic = diagnostic.label("the same name a second time");
        stage.push(diagnostic.help(format!("give it another: `name = \"{name}-2\"`")));
        return None;
    }
    names.push(name.clone());
    Some(name)
}

fn configured_name(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text("canary")?;
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(is_in_name) {
        let help = format!("1 to {MAX_NAME} letters, digits and `-`, `_`, `.`");
        entry.refuse("is not a name for a plugin of a router", "not a name", help);
        return None;
    }
    Some(text.to_owned())
}

fn name_of(plugin: &PluginSource) -> String {
    let path = match plugin {
        PluginSource::Bundled(name) => return name.clone(),
        PluginSource::File(path) => path,
    };
    let stem = path.file_stem().unwrap_or("plugin".as_ref());
    let stem = stem.to_string_lossy();
    let fitting = stem.chars().map(|c| if is_in_name(c) { c } else { '_' });
    fitting.take(MAX_NAME).collect()
}

/// Returns whether the name of a stage can contain `c`. Names appear in `FRONTEND/STAGE`, in
/// metrics and in the response field of `explain_header`.
fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
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
        questions: table.value_or("questions", default.questions, |e| e.size(QUESTIONS)),
        response: table.value_or("response", default.response, |e| e.size(RESPONSE)),
    };
    table.finish();
    limits
}
