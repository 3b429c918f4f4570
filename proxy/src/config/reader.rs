//! Typed access to the tree of a TOML file. Errors are collected; the first one does not stop the
//! reading.
//!
//! A [`Table`] returns its keys by name and finally reports the keys that were not read. An
//! [`Entry`] returns its value as a type. The module does not define the keys of Pointsman's
//! configuration; `sections` does.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Span};
use super::hints::{self, Section};
use super::units;

/// Collects errors.
#[derive(Default)]
pub(super) struct Report {
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// Every key that was looked up. A test compares these keys with the manual.
    known: RefCell<BTreeSet<String>>,
}

impl Report {
    pub(super) fn push(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// Returns the errors and the keys that were looked up.
    pub(super) fn into_parts(self) -> (Vec<Diagnostic>, BTreeSet<String>) {
        (self.diagnostics.into_inner(), self.known.into_inner())
    }
}

/// A table whose keys are being read.
pub(super) struct Table<'a> {
    report: &'a Report,
    section: Section,
    /// Path of the table, such as `frontend.www.timeout`; empty for the file itself.
    pub(super) path: String,
    /// Location to underline if a key is missing.
    pub(super) span: Span,
    /// Entries that have not been read yet, in the order of the file.
    entries: Vec<Entry<'a>>,
    known: Vec<&'static str>,
}

/// A key with its value.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    report: &'a Report,
    /// Path of the key, such as `frontend.www.timeout.client`.
    pub(super) path: String,
    /// The last part of `path`; empty for an element of an array.
    pub(super) name: &'a str,
    /// Location of the key, or of the array element.
    pub(super) key: Span,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Table<'a> {
    /// Creates the table of the whole file, with the keys of `section`.
    pub(super) fn root(report: &'a Report, section: Section, tree: &'a DeTable<'a>) -> Self {
        Self::new(report, section, String::new(), 0..0, tree)
    }

    fn new(
        report: &'a Report,
        section: Section,
        path: String,
        span: Span,
        tree: &'a DeTable<'a>,
    ) -> Self {
        let entry = |(key, value): (&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>)| Entry {
            report,
            path: join(&path, key.get_ref()),
            name: key.get_ref(),
            key: key.span(),
            value,
        };
        let mut entries: Vec<_> = tree.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.key.start);
        Self {
            report,
            section,
            path,
            span,
            entries,
            known: Vec::new(),
        }
    }

    /// Removes and returns the key `name`, if the file has it.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Entry<'a>> {
        self.known.push(name);
        let documented = join(self.section.documented_path(), name);
        self.report.known.borrow_mut().insert(documented);
        let at = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.remove(at))
    }

    /// Removes and returns the key `name`, or reports that it is missing. `example` is a line that
    /// would add the key.
    pub(super) fn require(&mut self, name: &'static str, example: &str) -> Option<Entry<'a>> {
        let entry = self.take(name);
        if entry.is_none() {
            self.missing(name, example);
        }
        entry
    }

    /// Returns whether the file has the key `name` and the key has not been taken yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// Reports an error for each key in `names` that the file has. The caller must still take these
    /// keys. `why` follows the key's path in the message.
    pub(super) fn reject(&self, names: &[&str], why: &str) {
        for entry in &self.entries {
            if names.contains(&entry.name) {
                let diagnostic = entry.key_error(format!("`{}` {why}", entry.path));
                let diagnostic = diagnostic.label("does not belong here");
                self.report.push(diagnostic.help("leave it out"));
            }
        }
    }

    /// Reports that this table has no key `name`. `example` is a line that would add the key.
    pub(super) fn missing(&self, name: &str, example: &str) {
        let (place, label) = match self.path.as_str() {
            "" => ("the file".to_owned(), String::new()),
            path => (format!("`{path}`"), format!("`{name}` is missing")),
        };
        let message = format!("{place} has no `{name}`");
        let diagnostic = Diagnostic::new(self.span.clone(), message).label(label);
        self.report
            .push(diagnostic.absent().help(format!("add {example}")));
    }

    /// Reports that this table is empty. `example` is a line that would correct the mistake.
    pub(super) fn empty(&self, example: &str) {
        let message = format!("`{}` is empty", self.path);
        let diagnostic =
            Diagnostic::new(self.span.clone(), message).label("at least one is needed");
        self.report
            .push(diagnostic.absent().help(format!("add {example}")));
    }

    /// Removes and returns the table `name`, if the file has it.
    pub(super) fn table(&mut self, name: &'static str, section: Section) -> Option<Table<'a>> {
        self.take(name)?.table(section)
    }

    /// Removes and returns all remaining keys of a table in which the user chooses the names of the
    /// keys.
    pub(super) fn take_all(&mut self) -> Vec<Entry<'a>> {
        let documented = self.section.documented_path().to_owned();
        self.report.known.borrow_mut().insert(documented);
        std::mem::take(&mut self.entries)
    }

    /// Removes the key `name` and reads its value by `read`. Returns `default` if the key is absent
    /// or its value is wrong. `read` must report a wrong value, so that the configuration is
    /// refused.
    pub(super) fn value_or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Entry<'a>) -> Option<T>,
    ) -> T {
        let entry = self.take(name);
        entry.and_then(|entry| read(&entry)).unwrap_or(default)
    }

    /// Reports every unknown key, with its new name if it was renamed.
    pub(super) fn finish(self) {
        for entry in &self.entries {
            let place = match self.path.as_str() {
                "" => String::new(),
                path => format!(" in `{path}`"),
            };
            if let Some(new) = hints::new_name(self.section, entry.name) {
                let message = format!("`{}`{place} is now called `{new}`", entry.name);
                let diagnostic = Diagnostic::new(entry.key.clone(), message);
                let help = format!("write `{new}`");
                self.report
                    .push(diagnostic.label("this key was renamed").help(help));
                continue;
            }
            let message = format!("unknown key `{}`{place}", entry.name);
            let help = hints::unknown_key(self.section, entry.name, &self.known);
            let diagnostic = Diagnostic::new(entry.key.clone(), message);
            self.report.push(diagnostic.label("unknown key").help(help));
        }
    }
}

impl<'a> Entry<'a> {
    /// Creates an error at the value. `what` follows the key's path in the message.
    pub(super) fn error(&self, what: &str) -> Diagnostic {
        Diagnostic::new(self.value.span(), format!("`{}` {what}", self.path))
    }

    /// Creates an error at the key.
    pub(super) fn key_error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.key.clone(), message)
    }

    pub(super) fn push(&self, diagnostic: Diagnostic) {
        self.report.push(diagnostic);
    }

    /// Reports an error at the value. `what` follows the key's path, `label` is shown next to the
    /// value, and `help` says how to correct it.
    pub(super) fn refuse(&self, what: &str, label: impl Into<String>, help: impl Into<String>) {
        self.push(self.error(what).label(label).help(help));
    }

    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    pub(super) fn spanned(&self) -> &'a Spanned<DeValue<'a>> {
        self.value
    }

    fn wrong_type(&self, wanted: &str, help: &str) {
        let found = kind(self.value());
        let what = format!("must be {wanted}, not {found}");
        // The span of a table covers all lines below its header, so underline only its key.
        let diagnostic = match self.value() {
            DeValue::Table(_) => self.key_error(format!("`{}` {what}", self.path)),
            _ => self.error(&what),
        };
        let diagnostic = diagnostic.label(format!("{found}, but {wanted} belongs here"));
        self.report.push(diagnostic.help(help));
    }

    /// Returns the value as a table.
    pub(super) fn table(&self, section: Section) -> Option<Table<'a>> {
        if let DeValue::Table(tree) = self.value() {
            let (path, key) = (self.path.clone(), self.key.clone());
            return Some(Table::new(self.report, section, path, key, tree));
        }
        self.wrong_type("a table", &hints::table_form(section, &self.path));
        None
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.value(), DeValue::Table(_))
    }

    /// Returns the value as a string. `example` is used in the error.
    pub(super) fn text(&self, example: &str) -> Option<&'a str> {
        if let DeValue::String(text) = self.value() {
            return Some(text.as_ref());
        }
        self.wrong_type("text", &format!("as in `\"{example}\"`"));
        None
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        if let DeValue::Boolean(value) = self.value() {
            return Some(*value);
        }
        self.wrong_type("`true` or `false`", "write it without quotes");
        None
    }

    /// Returns the value as a whole number in `range`.
    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let form = format!("{} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = self.value() else {
            self.wrong_type("a whole number", &format!("{form}, without quotes"));
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let diagnostic = self.error("is out of range");
            self.report
                .push(diagnostic.label(format!("must be {form}")));
        }
        number
    }

    /// Returns the value as a duration in `range`. The value must be a string with a unit of time.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let read = match self.value() {
            DeValue::String(text) => units::duration(text),
            DeValue::Integer(number) => Err(units::bare_duration(&number.to_string())),
            _ => {
                self.wrong_type("a duration", "as in `\"500ms\"`, `\"5s\"`, `\"1h30m\"`");
                return None;
            }
        };
        match read {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(_) => {
                let (least, most) = (range.start(), range.end());
                self.out_of_range(&units::show_duration(*least), &units::show_duration(*most));
                None
            }
            Err(error) => {
                let diagnostic = self.error("is not a duration").label(error.label);
                self.report.push(diagnostic.help(error.help));
                None
            }
        }
    }

    /// Returns the value as a number of bytes in `range`. The value must be a string with a unit of
    /// size.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let read = match self.value() {
            DeValue::String(text) => units::size(text),
            DeValue::Integer(number) => Err(units::bare_size(&number.to_string())),
            _ => {
                self.wrong_type("a size", "as in `\"64KiB\"`, `\"64MiB\"`");
                return None;
            }
        };
        match read {
            Ok(bytes) if range.contains(&bytes) => Some(bytes),
            Ok(_) => {
                let (least, most) = (range.start(), range.end());
                self.out_of_range(&units::show_size(*least), &units::show_size(*most));
                None
            }
            Err(error) => {
                let diagnostic = self.error("is not a size").label(error.label);
                self.report.push(diagnostic.help(error.help));
                None
            }
        }
    }

    /// Returns the value as a percentage in `range`. The value must be a string with a `%`.
    pub(super) fn percent(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let read = match self.value() {
            DeValue::String(text) => units::percent(text),
            DeValue::Integer(number) => Err(units::bare_percent(&number.to_string())),
            _ => {
                self.wrong_type("a percentage", "as in `\"20%\"`");
                return None;
            }
        };
        match read {
            Ok(percent) if range.contains(&percent) => Some(percent),
            Ok(_) => {
                self.out_of_range(&format!("{}%", range.start()), &format!("{}%", range.end()));
                None
            }
            Err(error) => {
                self.refuse("is not a percentage", error.label, error.help);
                None
            }
        }
    }

    fn out_of_range(&self, least: &str, most: &str) {
        let label = format!("must be `{least}` to `{most}`");
        self.report.push(self.error("is out of range").label(label));
    }

    /// Returns the choice that the value names.
    pub(super) fn choice<T: Clone>(&self, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let text = self.text(words[0])?;
        let chosen = choices.iter().find(|(word, _)| *word == text);
        if chosen.is_none() {
            let message = format!("must be {}", hints::list(&words));
            let help = match hints::closest(text, &words) {
                Some(word) => format!("did you mean `\"{word}\"`?"),
                None => format!("as in `\"{}\"`", words[0]),
            };
            let diagnostic = self.error(&message).label("not one of these");
            self.report.push(diagnostic.help(help));
        }
        chosen.map(|(_, value)| value.clone())
    }

    /// Returns the elements of an array, or the value itself if it is not an array.
    pub(super) fn one_or_many(&self) -> Vec<Entry<'a>> {
        let DeValue::Array(array) = self.value() else {
            return vec![self.clone()];
        };
        let element = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| Entry {
            report: self.report,
            path: format!("{}[{index}]", self.path),
            name: "",
            key: value.span(),
            value,
        };
        array.iter().enumerate().map(element).collect()
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
