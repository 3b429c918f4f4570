//! Routes by the beginning of the path: the longest prefix that matches wins.
//!
//! Owns the order of rules and what becomes of the path. Reads the target, and nothing else.

use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends};
use serde::Deserialize;

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
    /// What stands in the prefix's place, without a slash at its end.
    replacement: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
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
        // Stable: of two prefixes of one length at most one matches, but for whole segments and
        // text, of which the one that was written first wins.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
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
            let slash = if rest.starts_with('/') || (rest.is_empty() && !replacement.is_empty()) {
                ""
            } else {
                "/"
            };
            let (mark, query) = request.query().map_or(("", ""), |query| ("?", query));
            request.set_path_with_query(&[replacement, slash, rest, mark, query].concat())?;
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
        let replacement = match self.rewrite {
            Some(rewrite) => Some(rewrite.trim_end_matches('/').to_owned()),
            None => self.strip.then(String::new),
        };
        let (prefix, matching) = if self.whole_segments {
            let prefix = self.prefix.trim_end_matches('/').to_owned();
            (prefix, Matching::Segments)
        } else {
            (self.prefix, Matching::Text)
        };
        Ok(Rule {
            prefix,
            matching,
            backend: self.backend,
            replacement,
        })
    }
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
