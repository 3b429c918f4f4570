//! The plugin's options, and the checks that TOML's types cannot express.
//!
//! Owns the names of the options, which README.md lists, and the error messages. Called by
//! `configure`.

use std::collections::BTreeMap;
use std::fmt;

use pointsman_sdk::{Decision, Error, Response, backends, syntax};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::condition::{Condition, Test};

/// Maximum number of field lines that the proxy accepts in a plugin's response.
const MAX_FIELDS: usize = 128;

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
    method: Option<Methods>,
    path: Option<RawCondition>,
    #[serde(default)]
    header: BTreeMap<String, RawCondition>,
    #[serde(default)]
    cookie: BTreeMap<String, RawCondition>,
    #[serde(default)]
    query: BTreeMap<String, RawCondition>,
    backend: Option<String>,
    respond: Option<RawResponse>,
    redirect: Option<RawRedirect>,
}

/// One method, or a list of methods any of which can match.
struct Methods(Vec<String>);

/// A condition as it is written in the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCondition {
    exact: Option<String>,
    prefix: Option<String>,
    suffix: Option<String>,
    contains: Option<String>,
    regex: Option<String>,
    present: Option<bool>,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    not: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResponse {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRedirect {
    #[serde(default = "found")]
    status: u16,
    location: String,
}

fn found() -> u16 {
    302
}

/// A rule whose options have been checked: conditions that must all hold. Conditions on parts with
/// few distinct values come first, and conditions on parts that differ in each request come last.
pub(crate) struct Rule {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) decision: Decision,
}

impl Config {
    pub(crate) fn checked(self) -> Result<Vec<Rule>, Error> {
        let rules = self.rules.into_iter().enumerate();
        rules
            .map(|(index, rule)| rule.checked(&format!("rules[{index}]")))
            .collect()
    }
}

impl RawRule {
    fn checked(mut self, at: &str) -> Result<Rule, Error> {
        let decision = self.decision(at)?;
        let mut conditions = Vec::new();
        if let Some(Methods(methods)) = self.method {
            let key = format!("{at}.method");
            if methods.is_empty() {
                return Err(Error::at(key, "an empty list matches no request"));
            }
            if methods.iter().any(|method| !syntax::is_token(method)) {
                let message = "a method is a case-sensitive word such as GET";
                return Err(Error::at(key, message));
            }
            conditions.push(Condition {
                over: "method".to_owned(),
                test: Test::Exact(methods),
                ignore_case: false,
                negated: false,
                key,
            });
        }
        for (name, condition) in self.header {
            let key = format!("{at}.header.{name}");
            check_name(&key, &name)?;
            let over = format!("header:{}", name.to_ascii_lowercase());
            conditions.push(condition.checked(&key, over)?);
        }
        for (name, condition) in self.cookie {
            let key = format!("{at}.cookie.{name}");
            check_name(&key, &name)?;
            conditions.push(condition.checked(&key, format!("cookie:{name}"))?);
        }
        if let Some(condition) = self.path {
            let key = format!("{at}.path");
            conditions.push(condition.checked(&key, "path".to_owned())?);
        }
        for (name, condition) in self.query {
            let key = format!("{at}.query.{name}");
            conditions.push(condition.checked(&key, format!("query:{name}"))?);
        }
        if conditions.is_empty() {
            let message = "a rule without a condition matches every request; for requests that no \
                           other rule matches, set the frontend's `default_backend`";
            return Err(Error::at(at, message));
        }
        Ok(Rule {
            conditions,
            decision,
        })
    }

    fn decision(&mut self, at: &str) -> Result<Decision, Error> {
        match (
            self.backend.take(),
            self.respond.take(),
            self.redirect.take(),
        ) {
            (Some(name), None, None) => {
                backends::require(format_args!("{at}.backend"), &name)?;
                Ok(Decision::Backend(name))
            }
            (None, Some(response), None) => response.checked(&format!("{at}.respond")),
            (None, None, Some(redirect)) => redirect.checked(&format!("{at}.redirect")),
            _ => Err(Error::at(
                at,
                "give one of `backend`, `respond` and `redirect`",
            )),
        }
    }
}

impl RawCondition {
    fn checked(self, key: &str, over: String) -> Result<Condition, Error> {
        let texts = [
            ("exact", self.exact),
            ("prefix", self.prefix),
            ("suffix", self.suffix),
            ("contains", self.contains),
            ("regex", self.regex),
        ];
        let mut given = texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?)));
        let wrong = || {
            let choices = "`exact`, `prefix`, `suffix`, `contains`, `regex` and `present`";
            Error::at(key, format_args!("give one of {choices}"))
        };
        let mut negated = self.not;
        let (test, key) = match (given.next(), self.present) {
            (None, Some(present)) => {
                negated ^= !present;
                (Test::Regex("^".to_owned()), format!("{key}.present"))
            }
            (Some((name, text)), None) if given.next().is_none() => {
                let key = format!("{key}.{name}");
                (test(&key, name, text, self.ignore_case)?, key)
            }
            _ => return Err(wrong()),
        };
        Ok(Condition {
            over,
            // A regular expression ignores case by a flag of its own.
            ignore_case: self.ignore_case && !matches!(test, Test::Regex(_)),
            test,
            negated,
            key,
        })
    }
}

fn test(key: &str, name: &str, text: String, ignore_case: bool) -> Result<Test, Error> {
    if text.is_empty() && name != "exact" && name != "regex" {
        let message = "every value contains an empty text: write `present = true`";
        return Err(Error::at(key, message));
    }
    let flags = if ignore_case { "(?i)" } else { "" };
    Ok(match name {
        "exact" => Test::Exact(vec![text]),
        "prefix" => Test::Prefix(text),
        "suffix" => Test::Suffix(text),
        "contains" => Test::Regex(format!("{flags}{}", escaped(&text))),
        _ => Test::Regex(format!("{flags}{text}")),
    })
}

/// Returns a regular expression that matches the string literally.
fn escaped(text: &str) -> String {
    let mut expression = String::with_capacity(text.len());
    for character in text.chars() {
        // `\<` and `\>` would be word boundaries.
        if character.is_ascii_punctuation() && !"<>".contains(character) {
            expression.push('\\');
        }
        expression.push(character);
    }
    expression
}

impl RawResponse {
    fn checked(self, key: &str) -> Result<Decision, Error> {
        if !(200..=599).contains(&self.status) {
            let message = "must be between 200 and 599";
            return Err(Error::at(format_args!("{key}.status"), message));
        }
        if !self.body.is_empty() && [204, 205, 304].contains(&self.status) {
            let message = format!("status {} allows no body", self.status);
            return Err(Error::at(format_args!("{key}.body"), message));
        }
        if self.headers.len() > MAX_FIELDS {
            let message = format!("a response can have at most {MAX_FIELDS} header fields");
            return Err(Error::at(format_args!("{key}.headers"), message));
        }
        let mut response = Response::new(self.status).body(self.body);
        for (name, value) in self.headers {
            let key = format!("{key}.headers.{name}");
            check_name(&key, &name)?;
            if syntax::is_reserved(&name) {
                return Err(Error::at(key, "only the proxy may set this field"));
            }
            check_value(&key, &value)?;
            response = response.header(name, value);
        }
        Ok(Decision::respond(response))
    }
}

impl RawRedirect {
    fn checked(self, key: &str) -> Result<Decision, Error> {
        if ![301, 302, 303, 307, 308].contains(&self.status) {
            let message = "must be 301, 302, 303, 307 or 308";
            return Err(Error::at(format_args!("{key}.status"), message));
        }
        check_value(&format!("{key}.location"), &self.location)?;
        Ok(Decision::redirect(self.status, self.location))
    }
}

fn check_name(key: &str, name: &str) -> Result<(), Error> {
    if syntax::is_token(name) {
        Ok(())
    } else {
        Err(Error::at(key, format_args!("{name:?} is not a name")))
    }
}

fn check_value(key: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() || value.bytes().any(|octet| octet.is_ascii_control()) {
        return Err(Error::at(key, "must be one line, and not empty"));
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Hand-written, since the errors of an untagged enum name neither the key nor the expected
        // type.
        deserializer.deserialize_any(MethodsVisitor)
    }
}

struct MethodsVisitor;

impl<'de> Visitor<'de> for MethodsVisitor {
    type Value = Methods;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a method or a list of methods")
    }

    fn visit_str<E: de::Error>(self, method: &str) -> Result<Methods, E> {
        Ok(Methods(vec![method.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut methods: A) -> Result<Methods, A::Error> {
        let mut list = Vec::new();
        while let Some(method) = methods.next_element()? {
            list.push(method);
        }
        Ok(Methods(list))
    }
}
