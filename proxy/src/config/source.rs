//! A configuration's text, kept so that later errors can be shown in it.
//!
//! The tree is made anew for each error: errors are rare, and a tree that borrows from
//! the text beside it could not be moved.

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Errors, File, Ground, Span};

/// Longest file: ten thousand backends fit in a tenth of it.
const MAX_FILE: u64 = 16 << 20;

/// The text that a [`Config`](super::Config) was read from, to show errors in that only
/// turn up later: what a plugin says of its table, a plugin's file that is not there.
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

    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.file.text
    }

    /// The text that is the value at `key_path`.
    pub(super) fn text_at(&self, key_path: &[&str]) -> Option<String> {
        let (tree, _) = self.tree();
        let (last, tables) = key_path.split_last()?;
        let table = find(tree.get_ref(), tables).table?;
        Some(table.get(*last)?.get_ref().as_str()?.to_owned())
    }

    /// The directory of the file, where relative paths start; empty for the current one.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The key of the plugin at this position of a frontend's router: `router` where that is one
    /// table, `router[1]` in a list.
    pub fn stage_key(&self, frontend: &str, position: usize) -> String {
        let (tree, _) = self.tree();
        let router = find(tree.get_ref(), &["frontend", frontend, "router"]);
        match router.table {
            Some(_) => "router".to_owned(),
            None => format!("router[{position}]"),
        }
    }

    /// What the plugin at this position of the router of `frontend` said of its own table.
    ///
    /// `message` may begin with a path and `": "`, as in `rules[0].backend: no backend of
    /// this name`; then the key is underlined, or as much of the path as there is. Any
    /// other message is shown at the router.
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

    /// An error at the key `key_path`, as in `["backend", "www", "server", "a"]` or
    /// `["frontend", "www", "bind[0]"]`, or at as much of it as the file has; `help` says what would
    /// be right.
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

    /// Whether the file has the key `key_path`.
    pub fn has_key(&self, key_path: &[&str]) -> bool {
        let (tree, _) = self.tree();
        let Some((last, tables)) = key_path.split_last() else {
            return true;
        };
        let table = find(tree.get_ref(), tables).table;
        table.is_some_and(|table| table.contains_key(*last))
    }

    /// An error of the file as a whole; `help` says what to do.
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

    /// The tree with the errors of its syntax.
    pub(super) fn tree(&self) -> (Spanned<DeTable<'_>>, Vec<Diagnostic>) {
        let (tree, errors) = DeTable::parse_recoverable(&self.file.text);
        let diagnostic = |error| syntax_error(&self.file.text, error);
        (tree, errors.iter().map(diagnostic).collect())
    }

    /// All errors, where there are any.
    pub(super) fn check(
        &self,
        syntax: &[Diagnostic],
        mut found: Vec<Diagnostic>,
    ) -> Result<(), Errors> {
        if !syntax.is_empty()
            && let Some(span) = haproxy_section(&self.file.text)
        {
            let message = "this is a configuration of HAProxy's, not of Pointsman's";
            let help = "docs/configuration.md has the line of ours for each of HAProxy's";
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

    /// An error in a tree that a syntax error damaged may be the damage itself.
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

/// Reads the file at `path`, which errors call `what`.
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

/// The parser's message, with what it expected beside the place and advice below.
fn syntax_error(text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let found = text.get(span.clone()).unwrap_or_default();
    let (message, label) = error
        .message()
        .split_once(", ")
        .unwrap_or((error.message(), ""));
    match message {
        "duplicate key" => Diagnostic::new(span, format!("duplicate key `{found}`"))
            .label("it stands above already")
            .help("leave one out, or rename it"),
        "string values must be quoted" => Diagnostic::new(span, message)
            .label("neither a number nor `true` nor `false`")
            .help(format!("text needs quotes: `\"{found}\"`")),
        _ => Diagnostic::new(span, message).label(label),
    }
}

/// Where `text` is another proxy's configuration (`haproxy.cfg`): at its first section.
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

/// A place in the tree, and the table below it.
#[derive(Clone)]
struct Place<'a> {
    /// None: the file as a whole.
    span: Option<Span>,
    table: Option<&'a DeTable<'a>>,
}

/// What to underline for a key: its value where that is one word or number, else the key.
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

/// Follows `path` as far as it leads; a name may end in the position of an array's element.
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

/// Follows a path in text, as `rules[0].backend`, as far as it leads; None where not even
/// its first key is there. Keys may hold dots: the longest that fits is taken.
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
            // An element has no key: for a table, the opening brace or header says where.
            if here.table.is_some() {
                here.span = Some(element.span());
            }
            Some(find_in_value(here, element, rest))
        }),
        _ => None,
    };
    below.unwrap_or(here)
}
