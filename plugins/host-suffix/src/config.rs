//! The plugin's options, and the checks that TOML's types cannot express.
//!
//! Owns the names of the options, which README.md lists, and the error messages. Called by
//! `configure`.

use std::fmt;

use pointsman_sdk::{Error, backends, syntax};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// The plugin's table in the proxy's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    rules: Vec<RawRule>,
}

/// A rule as it is written in the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    #[serde(default = "host")]
    header: String,
    suffix: Suffixes,
    backend: String,
    #[serde(default)]
    ignore_port: bool,
    #[serde(default)]
    label_boundary: bool,
}

fn host() -> String {
    "host".to_owned()
}

/// One suffix, or a list of suffixes any of which can match.
struct Suffixes {
    list: Vec<String>,
    /// Whether the value was written as a list, so that errors name the element.
    written: Written,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    AsText,
    AsList,
}

/// A rule whose options have been checked.
#[derive(Clone)]
pub(crate) struct Rule {
    /// In lower case.
    pub(crate) header: String,
    /// The suffixes, in lower case. No suffix is empty.
    pub(crate) suffixes: Vec<String>,
    pub(crate) backend: String,
    pub(crate) port: Port,
    pub(crate) boundary: Boundary,
}

/// The part of a value that is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Kept,
    Ignored,
}

/// The position in a value at which a suffix can start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boundary {
    Anywhere,
    Label,
}

impl Config {
    pub(crate) fn checked(self) -> Result<Vec<Rule>, Error> {
        let rules = self.rules.into_iter().enumerate();
        rules.map(|(index, rule)| rule.checked(index)).collect()
    }
}

impl RawRule {
    fn checked(self, index: usize) -> Result<Rule, Error> {
        let key = |name: &str| format!("rules[{index}].{name}");
        if !syntax::is_token(&self.header) {
            return Err(Error::at(
                key("header"),
                format_args!("{:?} is not the name of a header field", self.header),
            ));
        }
        if self.suffix.list.is_empty() {
            return Err(Error::at(key("suffix"), "an empty list matches no request"));
        }
        if let Some(empty) = self.suffix.list.iter().position(String::is_empty) {
            let key = match self.suffix.written {
                Written::AsText => key("suffix"),
                Written::AsList => key(&format!("suffix[{empty}]")),
            };
            return Err(Error::at(
                key,
                "an empty suffix matches every value; for requests that no other rule \
                 matches, set the frontend's `default_backend`",
            ));
        }
        backends::require(key("backend"), &self.backend)?;
        let suffixes = self.suffix.list.iter();
        Ok(Rule {
            header: self.header.to_ascii_lowercase(),
            suffixes: suffixes.map(|text| text.to_ascii_lowercase()).collect(),
            backend: self.backend,
            port: if self.ignore_port {
                Port::Ignored
            } else {
                Port::Kept
            },
            boundary: if self.label_boundary {
                Boundary::Label
            } else {
                Boundary::Anywhere
            },
        })
    }
}

impl<'de> Deserialize<'de> for Suffixes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Hand-written, since the errors of an untagged enum name neither the key nor the expected
        // type.
        deserializer.deserialize_any(SuffixesVisitor)
    }
}

struct SuffixesVisitor;

impl<'de> Visitor<'de> for SuffixesVisitor {
    type Value = Suffixes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Suffixes, E> {
        Ok(Suffixes {
            list: vec![text.to_owned()],
            written: Written::AsText,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Suffixes, A::Error> {
        let mut list = Vec::new();
        while let Some(text) = texts.next_element()? {
            list.push(text);
        }
        Ok(Suffixes {
            list,
            written: Written::AsList,
        })
    }
}
