//! Routes by the beginning of the path: the longest prefix that matches wins.
//!
//! Owns the order of rules and what becomes of the path. Reads the target, and nothing else.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use pointsman_sdk::{Cacheability, Decision, Error, Request, Response, Router, backends};
use serde::Deserialize;

/// Longest target that the proxy lets a plugin set.
const MAX_TARGET: usize = 8 * 1024;

/// `router.config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    rules: Vec<RawRule>,
}

/// A rule as it is written.
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

/// The router: rules, the one with the longest prefix first.
pub struct PathPrefix {
    rules: Vec<Rule>,
}

struct Rule {
    /// Without a slash at its end where it stands for whole segments.
    prefix: String,
    matching: Matching,
    backend: String,
    /// What stands in the prefix's place; for whole segments without a slash at its end.
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
        let mut rules: Vec<Rule> = Vec::with_capacity(config.rules.len());
        for (index, rule) in config.rules.into_iter().enumerate() {
            let written = rule.prefix.clone();
            let rule = rule.checked(index)?;
            let same =
                |known: &Rule| known.prefix == rule.prefix && known.matching == rule.matching;
            if let Some(first) = rules.iter().position(same) {
                return Err(Error::at(
                    format_args!("rules[{index}].prefix"),
                    format_args!("{written:?} is the prefix of rules[{first}] already"),
                ));
            }
            rules.push(rule);
        }
        // Of two prefixes of one length at most one matches, but for whole segments and text, of
        // which segments are the narrower.
        rules.sort_by_key(|rule| (Reverse(rule.prefix.len()), rule.matching));
        Ok(Self { rules })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let path = request.path();
        let mut found = self.rules.iter();
        let Some((rule, rest)) = found.find_map(|rule| Some((rule, rule.rest(path)?))) else {
            return Ok(Decision::DefaultBackend);
        };
        if let Some(replacement) = &rule.replacement {
            let path = [replacement, rest].concat();
            // Of nothing, or of a part of a segment, a path is left all the same.
            let slash = if path.starts_with('/') { "" } else { "/" };
            let (mark, query) = request.query().map_or(("", ""), |query| ("?", query));
            let target = [slash, &path, mark, query].concat();
            if request.set_path_with_query(&target).is_err() {
                return Ok(refused(&target));
            }
        }
        Ok(Decision::backend(&rule.backend))
    }
}

impl Rule {
    /// What follows the prefix in `path`; none where it does not match.
    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.prefix.as_str())?;
        let ends_segment = rest.is_empty() || rest.starts_with('/');
        // `*` of `OPTIONS *` is no path.
        let matches = self.matching == Matching::Text || ends_segment;
        (matches && path.starts_with('/')).then_some(rest)
    }
}

impl RawRule {
    fn checked(self, index: usize) -> Result<Rule, Error> {
        let key = |name: &str| format!("rules[{index}].{name}");
        check_path(&self.prefix).map_err(|message| Error::at(key("prefix"), message))?;
        if let Some(rewrite) = &self.rewrite {
            if self.strip {
                let message =
                    "to strip the prefix is to rewrite it to \"/\": leave one of them out";
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
        Ok(Rule {
            prefix,
            matching,
            backend: self.backend,
            replacement,
        })
    }
}

/// The answer to a target that the proxy does not take: the client's fault, not the plugin's, which
/// too many of would put out of service (RFC 9110, sections 15.5.1 and 15.5.15).
fn refused(target: &str) -> Decision {
    let (status, text) = if target.len() > MAX_TARGET {
        (414, "the target is too long\n")
    } else {
        (400, "the target has octets that HTTP does not allow\n")
    };
    let response = Response::new(status)
        .header("content-type", "text/plain; charset=utf-8")
        .body(text);
    Decision::respond(response)
}

/// A path whose last segment ends with it.
fn without_slash(mut path: String) -> String {
    if path.ends_with('/') {
        path.pop();
    }
    path
}

/// What is wrong with a path that is to begin others.
fn check_path(path: &str) -> Result<(), &'static str> {
    let allowed = |octet: u8| octet.is_ascii_graphic() && !b"?#".contains(&octet);
    if !path.starts_with('/') {
        Err("must begin with `/`")
    } else if !path.bytes().all(allowed) {
        Err("must be a path as it is sent: no query, no blank; other characters as %XX")
    } else {
        Ok(())
    }
}

pointsman_sdk::export!(PathPrefix);
