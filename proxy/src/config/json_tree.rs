//! Parses JSON into the same tree as TOML, with the location of each key and value. Both formats
//! can then be read in the same way.

use std::borrow::Cow;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::diagnostic::{Diagnostic, Span};

/// Parses `text`, which must be an object. Invalid values are reported and left out.
///
/// The JSON parser limits the nesting.
pub(super) fn parse(text: &str) -> (Spanned<DeTable<'_>>, Vec<Diagnostic>) {
    let fail = |error| (Spanned::new(0..0, DeTable::new()), vec![error]);
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => {}
        Ok(_) => {
            let start = text.find(|c: char| !c.is_ascii_whitespace()).unwrap_or(0);
            let diagnostic = Diagnostic::new(start..start + 1, "the file is not an object");
            let help = "as in `{\"server\": {\"a\": \"localhost:8080\"}}`";
            return fail(diagnostic.label("no `{`").help(help));
        }
        Err(error) => return fail(syntax_error(text, &error)),
    }
    let mut scanner = Scanner {
        text,
        at: 0,
        errors: Vec::new(),
    };
    let tree = match scanner.value("") {
        Some(value) => match value.into_inner() {
            DeValue::Table(table) => table,
            _ => DeTable::new(),
        },
        None => DeTable::new(),
    };
    (Spanned::new(0..text.len(), tree), scanner.errors)
}

/// Converts the parser's error. Removes the location from its message, because the diagnostic shows
/// the location.
fn syntax_error(text: &str, error: &serde_json::Error) -> Diagnostic {
    let before = text.split_inclusive('\n').take(error.line().max(1) - 1);
    let start: usize = before.map(str::len).sum();
    let at = (start + error.column().max(1) - 1).min(text.len());
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let diagnostic = Diagnostic::new(at..at + 1, "the file is not JSON");
    diagnostic.label(message.to_owned())
}

/// Scans text that is known to be valid JSON.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
    errors: Vec<Diagnostic>,
}

impl<'t> Scanner<'t> {
    /// Reads the next value. `path` is the key that it belongs to.
    fn value(&mut self, path: &str) -> Option<Spanned<DeValue<'t>>> {
        let start = self.skip_blanks();
        let value = match self.peek() {
            b'{' => DeValue::Table(self.object(path)),
            b'[' => DeValue::Array(self.array(path)),
            b'"' => DeValue::String(Cow::Owned(self.string().into_inner())),
            _ => self.scalar(path)?,
        };
        Some(Spanned::new(start..self.at, value))
    }

    fn object(&mut self, path: &str) -> DeTable<'t> {
        let mut table = DeTable::new();
        self.at += 1;
        while self.next_element(b'}') {
            let key = self.string();
            self.skip_blanks();
            // Skip the colon.
            self.at += 1;
            let name = key.get_ref();
            let path = match path {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            let value = self.value(&path);
            if table.contains_key(name.as_str()) {
                let diagnostic = Diagnostic::new(key.span(), format!("duplicate key `{name}`"));
                let diagnostic = diagnostic.label("already defined above");
                self.errors
                    .push(diagnostic.help("leave one out, or rename it"));
                continue;
            }
            if let Some(value) = value {
                let key = Spanned::new(key.span(), Cow::Owned(key.into_inner()));
                table.insert(key, value);
            }
        }
        table
    }

    fn array(&mut self, path: &str) -> DeArray<'t> {
        let mut array = DeArray::new();
        self.at += 1;
        while self.next_element(b']') {
            let path = format!("{path}[{}]", array.len());
            if let Some(value) = self.value(&path) {
                array.push(value);
            }
        }
        array
    }

    /// Moves to the next element of an array or object. Returns false at the closing bracket,
    /// `close`.
    fn next_element(&mut self, close: u8) -> bool {
        self.skip_blanks();
        if self.peek() == b',' {
            self.at += 1;
            self.skip_blanks();
        }
        let is_end = self.peek() == close || self.at >= self.text.len();
        if is_end {
            self.at += 1;
        }
        !is_end
    }

    fn string(&mut self) -> Spanned<String> {
        let start = self.skip_blanks();
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        while bytes.get(end).is_some_and(|byte| *byte != b'"') {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        self.at = end + 1;
        let text = self.slice(start..self.at);
        let string = serde_json::from_str(text).unwrap_or_default();
        Spanned::new(start..self.at, string)
    }

    /// Reads a number, `true` or `false`. Reports `null` as an error.
    fn scalar(&mut self, path: &str) -> Option<DeValue<'t>> {
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
        self.at += length.unwrap_or(rest.len()).max(1);
        let span = start..self.at;
        match self.slice(span.clone()) {
            "true" => return Some(DeValue::Boolean(true)),
            "false" => return Some(DeValue::Boolean(false)),
            "null" => {
                let diagnostic = Diagnostic::new(span, format!("`{path}` is null"));
                let diagnostic = diagnostic.label("no value");
                self.errors.push(diagnostic.help("leave it out"));
            }
            // Every JSON number is a TOML number.
            number => match DeValue::parse(number) {
                Ok(number) => return Some(number.into_inner()),
                Err(error) => {
                    let message = format!("`{path}`: {}", error.message());
                    self.errors.push(Diagnostic::new(span, message));
                }
            },
        }
        None
    }

    fn skip_blanks(&mut self) -> usize {
        while self.peek().is_ascii_whitespace() {
            self.at += 1;
        }
        self.at
    }

    /// Returns the next byte, or NUL at the end.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn slice(&self, span: Span) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }
}
