//! The text of a configuration, kept so that errors found later can be shown in it.
//!
//! The text is parsed again for each error. Errors are rare. A stored tree would have to borrow
//! from the text next to it, and such a value could not be moved.

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Errors, File, Ground, Span};

/// Longest file, in bytes. Ten thousand backends fit in a tenth of it.
const MAX_FILE: u64 = 16 << 20;

/// The text that a [`Config`](super::Config) was read from. Errors found later are shown in it: for
/// example, a plugin refuses its table, or a plugin's file is missing.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    file: Arc<File>,
}

impl Source {
    pub(super) fn new(path: &Path, text: String) -> Self {
        let name = path.display().to_string();
        Self {
            path: path.to_owned(),
            file: Arc::new(File::new(name, text)),
        }
    }

    /// Returns the path of the file, as the caller gave it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.file.text
    }

    /// Returns the value at `key_path`, if it is a string.
    pub(super) fn text_at(&self, key_path: &[&str]) -> Option<String> {
        let (tree, _) = self.tree();
        let (last, tables) = key_path.split_last()?;
        let table = find(tree.get_ref(), tables).table?;
        Some(table.get(*last)?.get_ref().as_str()?.to_owned())
    }

    /// Returns the directory of the file, against which relative paths are resolved. Empty for the
    /// current directory.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Returns the key of the plugin at this position of a frontend's router: `router` for a single
    /// table, or `router[1]` for an element of a list.
    pub fn stage_key(&self, frontend: &str, position: usize) -> String {
        let (tree, _) = self.tree();
        let router = find(tree.get_ref(), &["frontend", frontend, "router"]);
        match router.table {
            Some(_) => "router".to_owned(),
            None => format!("router[{position}]"),
        }
    }

    /// Creates the error for a plugin that refuses its own table. The plugin is at this position of
    /// the router of `frontend`.
    ///
    /// `message` can start with a path and `": "`, as in `rules[0].backend: no backend of this
    /// name`. Then the key at that path is underlined, or the longest part of the path that the
    /// file has. For any other message, the router is underlined.
    pub fn plugin_error(&self, frontend: &str, position: usize, message: &str) -> Errors {
        let (tree, _) = self.tree();
        let key = self.stage_key(frontend, position);
        let router = find(tree.get_ref(), &["frontend", frontend, &key]);
        let at_key = message.split_once(": ").and_then(|(path, reason)| {
            let config = find(router.table?, &["config"]);
            let place = find_path(config.table?, path)?;
            Some((place.span, format!("{path}`: {reason}")))
        });
        let (span, title) = match at_key {
            Some((span, what)) => (span, format!("`frontend.{frontend}.{key}.config.{what}")),
            None => (
                router.span,
                format!("`frontend.{frontend}.{key}`: {message}"),
            ),
        };
        let label = "refused by the plugin";
        self.error_at(span, title, label, None)
    }

    /// Creates an error at the key `key_path`, such as `["backend", "www", "server", "a"]` or
    /// `["frontend", "www", "bind[0]"]`. If the file does not have the key, the error is at the
    /// longest part of the path that it has. `help` says how to correct the mistake.
    pub fn key_error(&self, key_path: &[&str], message: &str, help: Option<&str>) -> Errors {
        let (tree, _) = self.tree();
        let place = find(tree.get_ref(), key_path);
        self.error_at(
            place.span,
            format!("`{}`: {message}", key_path.join(".")),
            "",
            help,
        )
    }

    /// Returns whether the file has the key `key_path`.
    pub fn has_key(&self, key_path: &[&str]) -> bool {
        let (tree, _) = self.tree();
        let Some((last, tables)) = key_path.split_last() else {
            return true;
        };
        let table = find(tree.get_ref(), tables).table;
        table.is_some_and(|table| table.contains_key(*last))
    }

    /// Creates an error that concerns the file as a whole. `help` says what to do.
    pub fn file_error(&self, message: String, help: &str) -> Errors {
        let diagnostic = Diagnostic::without_place(message).help(help);
        Errors::new(&self.file, vec![diagnostic])
    }

    fn error_at(
        &self,
        span: Option<Span>,
        message: String,
        label: &str,
        help: Option<&str>,
    ) -> Errors {
        let mut diagnostic = match span {
            Some(span) => Diagnostic::new(span, message).label(label),
            None => Diagnostic::without_place(message),
        };
        if let Some(help) = help {
            diagnostic = diagnostic.help(help);
        }
        Errors::new(&self.file, vec![diagnostic])
    }

    /// Parses the text and returns the tree and its syntax errors.
    pub(super) fn tree(&self) -> (Spanned<DeTable<'_>>, Vec<Diagnostic>) {
        let (tree, errors) = DeTable::parse_recoverable(&self.file.text);
        let diagnostic = |error| syntax_error(&self.file.text, error);
        (tree, errors.iter().map(diagnostic).collect())
    }

    /// Returns all errors, if there are any.
    pub(super) fn check(
        &self,
        syntax: &[Diagnostic],
        mut found: Vec<Diagnostic>,
    ) -> Result<(), Errors> {
        if !syntax.is_empty()
            && let Some(span) = haproxy_section(&self.file.text)
        {
            let message = "this is an HAProxy configuration, not a Pointsman configuration";
            let help = "docs/start/from-haproxy.md lists the Pointsman lines that replace those of HAProxy";
            let diagnostic = Diagnostic::new(span, message).label("not TOML").help(help);
            return Err(Errors::new(&self.file, vec![diagnostic]));
        }
        self.keep_believable(syntax, &mut found);
        found.extend_from_slice(syntax);
        if found.is_empty() {
            return Ok(());
        }
        Err(Errors::new(&self.file, found))
    }

    /// Drops errors that a syntax error may have caused by damaging the tree.
    fn keep_believable(&self, syntax: &[Diagnostic], found: &mut Vec<Diagnostic>) {
        if syntax.is_empty() {
            return;
        }
        let line = |d: &Diagnostic| d.span.as_ref().map(|span| self.file.line(span.start));
        let damaged: HashSet<_> = syntax.iter().filter_map(line).collect();
        let whole = |d: &Diagnostic| line(d).is_some_and(|line| !damaged.contains(&line));
        found.retain(|d| d.ground == Ground::Present && whole(d));
    }
}

/// Reads the file at `path`. `what` names the file in errors.
pub(super) fn read(path: &Path, what: &str) -> Result<String, Errors> {
    let fail = |text: String, diagnostic| {
        let source = Source::new(path, text);
        Err(Errors::new(&source.file, vec![diagnostic]))
    };
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|f| f.take(MAX_FILE + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let message = format!("{what} cannot be read: {error}");
        return fail(String::new(), Diagnostic::without_place(message));
    }
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("{what} is longer than 16 MiB");
        return fail(String::new(), Diagnostic::without_place(message));
    }
    String::from_utf8(bytes).or_else(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let diagnostic = Diagnostic::new(at..at + 1, format!("{what} is not UTF-8"));
        fail(text, diagnostic.label("this byte"))
    })
}

/// Converts the parser's error: what the parser expected becomes the label, and advice is added.
fn syntax_error(text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let found = text.get(span.clone()).unwrap_or_default();
    let (message, label) = error
        .message()
        .split_once(", ")
        .unwrap_or((error.message(), ""));
    match message {
        "duplicate key" => Diagnostic::new(span, format!("duplicate key `{found}`"))
            .label("already defined above")
            .help("leave one out, or rename it"),
        "string values must be quoted" => Diagnostic::new(span, message)
            .label("neither a number nor `true` nor `false`")
            .help(format!("text needs quotes: `\"{found}\"`")),
        _ => Diagnostic::new(span, message).label(label),
    }
}

/// Returns the location of the first section, if `text` is an HAProxy configuration
/// (`haproxy.cfg`).
fn haproxy_section(text: &str) -> Option<Span> {
    let mut start = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        if line.starts_with('[') {
            return None;
        }
        let mut words = line.split_whitespace();
        let section = match (words.next(), words.next()) {
            (Some("global" | "defaults"), None) => true,
            (Some("frontend" | "backend" | "listen"), Some(name)) => name != "=",
            _ => false,
        };
        if section && found.is_none() {
            found = Some(start..end);
        }
        start += line.len();
    }
    found
}

/// A location in the tree, and the table at that location.
#[derive(Clone)]
struct Place<'a> {
    /// `None` stands for the file as a whole.
    span: Option<Span>,
    table: Option<&'a DeTable<'a>>,
}

/// Returns the location to underline for a key: its value if that is a scalar, else the key.
fn place<'a>(key: Span, value: &'a Spanned<DeValue<'a>>) -> Place<'a> {
    match value.get_ref() {
        DeValue::Table(table) => Place {
            span: Some(key),
            table: Some(table),
        },
        DeValue::Array(_) => Place {
            span: Some(key),
            table: None,
        },
        _ => Place {
            span: Some(value.span()),
            table: None,
        },
    }
}

/// Follows `path` as far as it exists. A name can end with an array index, such as `bind[0]`.
fn find<'a>(tree: &'a DeTable<'a>, path: &[&str]) -> Place<'a> {
    let mut here = Place {
        span: None,
        table: Some(tree),
    };
    for name in path {
        let table = here.table.unwrap_or(tree);
        if name.ends_with(']')
            && let Some(element) = find_path(table, name)
        {
            here = element;
            continue;
        }
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else {
            here.table = None;
            break;
        };
        here = place(key.span(), value);
        if here.table.is_none() {
            break;
        }
    }
    here
}

/// Follows a path in text form, such as `rules[0].backend`, as far as it exists. Returns `None` if
/// not even its first key exists. Keys can contain dots, so the longest matching key is used.
fn find_path<'a>(tree: &'a DeTable<'a>, path: &str) -> Option<Place<'a>> {
    let fits = |key: &str| {
        let rest = path.strip_prefix(key)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
    };
    let keys = tree.iter().filter(|(key, _)| !key.get_ref().is_empty());
    let (key, value) = keys
        .filter(|(key, _)| fits(key.get_ref()).is_some())
        .max_by_key(|(key, _)| key.get_ref().len())?;
    let rest = fits(key.get_ref())?;
    Some(find_in_value(place(key.span(), value), value, rest))
}

fn find_in_value<'a>(here: Place<'a>, value: &'a Spanned<DeValue<'a>>, rest: &str) -> Place<'a> {
    let below = match value.get_ref() {
        DeValue::Table(table) => rest
            .strip_prefix('.')
            .and_then(|rest| find_path(table, rest)),
        DeValue::Array(array) => rest.strip_prefix('[').and_then(|rest| {
            let (index, rest) = rest.split_once(']')?;
            let element = array.get(index.parse::<usize>().ok()?)?;
            let mut here = place(element.span(), element);
            // An array element has no key. If it is a table, its opening brace or header is
            // underlined.
            if here.table.is_some() {
                here.span = Some(element.span());
            }
            Some(find_in_value(here, element, rest))
        }),
        _ => None,
    };
    below.unwrap_or(here)
}
