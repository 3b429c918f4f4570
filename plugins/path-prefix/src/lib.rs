//! Routes by the start of the path: the longest prefix that matches wins.
//!
//! Owns the choice of the prefix and the new path. Reads no part of the request, so one cached
//! decision serves every path below a prefix.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pointsman_sdk::questions::{self, Matcher, TextDefinition};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends};
use serde::Deserialize;

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
    prefix: String,
    backend: String,
    #[serde(default)]
    strip: bool,
    rewrite: Option<String>,
    #[serde(default = "yes")]
    whole_segments: bool,
}

fn yes() -> bool {
    true
}

/// The router: rules by their prefixes. The longest prefix that matches wins.
pub struct PathPrefix {
    segments: Matcher<Rule>,
    text: Matcher<Rule>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Rule {
    backend: String,
    /// Length of the prefix in bytes, without a trailing slash if the prefix stands for whole
    /// segments.
    length: usize,
    /// Replacement for the prefix, without a trailing slash if the prefix stands for whole
    /// segments.
    replacement: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Matching {
    Segments,
    Text,
}

impl Router for PathPrefix {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let (mut segments, mut text) = (Vec::new(), Vec::new());
        let mut places = BTreeMap::new();
        for (index, rule) in config.rules.into_iter().enumerate() {
            let written = rule.prefix.clone();
            let (prefix, matching, rule) = rule.checked(index)?;
            if let Some(first) = places.insert((prefix, matching), index) {
                return Err(Error::at(
                    format_args!("rules[{index}].prefix"),
                    format_args!("{written:?} is already the prefix of rules[{first}]"),
                ));
            }
            match matching {
                Matching::Segments => segments.push((index, written, rule)),
                Matching::Text => text.push((index, written, rule)),
            }
        }
        if text.is_empty() || segments.is_empty() {
            // There is only one matcher, so lengths need not be compared. Without them, rules with
            // the same backend share a cached decision.
            for (_, _, rule) in text.iter_mut().chain(&mut segments) {
                rule.forget_length();
            }
        }
        Ok(Self {
            segments: define(questions::path_prefix("path"), segments)?,
            text: define(questions::prefix("path"), text)?,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let answers = [request.ask(&self.text), request.ask(&self.segments)];
        // If both prefixes are equally long, `max_by_key` returns the last one: the prefix in whole
        // segments, which matches fewer paths.
        let longest = answers.into_iter().flatten().max_by_key(|rule| rule.length);
        let Some(rule) = longest else {
            return Ok(Decision::Next);
        };
        if let Some(replacement) = &rule.replacement {
            request.replace_path_prefix(rule.length, replacement)?;
        }
        Ok(Decision::backend(&rule.backend))
    }
}

/// Defines a matcher of prefixes. Each prefix comes with the index of its rule.
fn define(
    definition: TextDefinition<'_>,
    rules: Vec<(usize, String, Rule)>,
) -> Result<Matcher<Rule>, Error> {
    let places: Vec<usize> = rules.iter().map(|(place, ..)| *place).collect();
    let entries = rules.into_iter().map(|(_, prefix, rule)| (prefix, rule));
    definition.entries(entries).map_err(|error| {
        match error.entry().and_then(|entry| places.get(entry)) {
            Some(place) => error.at_key(format_args!("rules[{place}].prefix")),
            None => error.at_key("rules"),
        }
    })
}

impl Rule {
    /// Clears the prefix's length if the path stays as it is.
    fn forget_length(&mut self) {
        if self.replacement.is_none() {
            self.length = 0;
        }
    }
}

impl RawRule {
    /// Returns the checked rule, with its normalized prefix, which must be unique for this kind of
    /// matching.
    fn checked(self, index: usize) -> Result<(String, Matching, Rule), Error> {
        let key = |name: &str| format!("rules[{index}].{name}");
        check_path(&self.prefix).map_err(|message| Error::at(key("prefix"), message))?;
        if let Some(rewrite) = &self.rewrite {
            if self.strip {
                let message =
                    "`strip` rewrites the prefix to \"/\": leave out `strip` or `rewrite`";
                return Err(Error::at(key("strip"), message));
            }
            check_path(rewrite).map_err(|message| Error::at(key("rewrite"), message))?;
        }
        backends::require(key("backend"), &self.backend)?;
        let replacement = self.rewrite.or(self.strip.then(String::new));
        let (prefix, replacement, matching) = if self.whole_segments {
            let replacement = replacement.map(without_slash);
            (without_slash(self.prefix), replacement, Matching::Segments)
        } else {
            (self.prefix, replacement, Matching::Text)
        };
        let rule = Rule {
            backend: self.backend,
            length: prefix.len(),
            replacement,
        };
        Ok((prefix, matching, rule))
    }
}

/// Removes a trailing slash from a path.
fn without_slash(mut path: String) -> String {
    if path.ends_with('/') {
        path.pop();
    }
    path
}

/// Checks a path that serves as a prefix, and returns what is wrong with it.
fn check_path(path: &str) -> Result<(), &'static str> {
    let allowed = |octet: u8| octet.is_ascii_graphic() && !b"?#".contains(&octet);
    if !path.starts_with('/') {
        Err("must begin with `/`")
    } else if !path.bytes().all(allowed) {
        Err("must be an encoded path: no query, no blanks, other characters as %XX")
    } else {
        Ok(())
    }
}

pointsman_sdk::export!(PathPrefix);
