//! Redirects to another scheme, host or path.
//!
//! Owns the location that a client is sent to. Reads the request's scheme, host and target only if
//! it redirects, since the target is part of the location.

mod config;
#[cfg(test)]
mod tests;

use config::{Change, Config, Matching};
use pointsman_sdk::questions::{self, Matcher};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router};

/// The router.
pub struct Redirect {
    hosts: Option<Matcher<()>>,
    paths: Option<Matcher<Replacement>>,
    change: Change,
}

/// The replacement for a path or for its prefix.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Replacement {
    /// Number of bytes that are replaced at the start of the path; none for the whole path.
    length: Option<usize>,
    /// The string that replaces them.
    text: String,
}

impl Router for Redirect {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let config = config.checked()?;
        let hosts = config.hosts.map(|hosts| {
            let matcher =
                questions::exact("host").entries(hosts.into_iter().map(|host| (host, ())));
            matcher.map_err(|error| error.at_key("hosts"))
        });
        let paths = config.paths.map(|paths| {
            let definition = match config.matching {
                Matching::Exact => questions::exact("path"),
                Matching::Prefix => questions::path_prefix("path"),
            };
            let entries = paths.into_iter().map(|(path, text)| {
                let replacement = Replacement::new(&path, text, config.matching);
                (path, replacement)
            });
            let matcher = definition.entries(entries);
            matcher.map_err(|error| error.at_key("paths"))
        });
        Ok(Self {
            hosts: hosts.transpose()?,
            paths: paths.transpose()?,
            change: config.change,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let is_host = |hosts: &Matcher<()>| request.ask(hosts).is_some();
        if !self.hosts.as_ref().is_none_or(is_host) {
            return Ok(Decision::Next);
        }
        let replacement = match &self.paths {
            Some(paths) => match request.ask(paths) {
                Some(replacement) => Some(replacement),
                None => return Ok(Decision::Next),
            },
            None => None,
        };
        let location = self.location(request, replacement);
        Ok(location.map_or(Decision::Next, |location| {
            Decision::redirect(self.change.status, location)
        }))
    }
}

impl Redirect {
    /// Returns the location that a request is redirected to; none if the request is already there.
    fn location(&self, request: &Request, replacement: Option<&Replacement>) -> Option<String> {
        let origin = self.change.origin(request);
        if origin.is_none() && replacement.is_none() {
            return None;
        }
        let target = request.path_with_query();
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        // The `*` of `OPTIONS *` is not a path.
        if !path.starts_with('/') {
            return None;
        }
        let path = match replacement {
            Some(replacement) => replacement.apply(path),
            None => path.to_owned(),
        };
        let origin = origin.unwrap_or_default();
        let location = with_query(&path, query);
        let is_there = origin.is_empty() && *location == *target;
        (!is_there).then(|| format!("{origin}{location}"))
    }
}

/// Adds the query of a request, with its `?`, to a location: after a query of the location's own, and
/// before its fragment.
fn with_query(location: &str, query: &str) -> String {
    let (path, fragment) = location.split_at(location.find('#').unwrap_or(location.len()));
    match query.strip_prefix('?') {
        Some("") if path.contains('?') => location.to_owned(),
        Some(parameters) if path.contains('?') => format!("{path}&{parameters}{fragment}"),
        _ => format!("{path}{query}{fragment}"),
    }
}

impl Change {
    /// Returns the scheme and authority of the location; none if they stay the same, or if the
    /// request has no host.
    fn origin(&self, request: &Request) -> Option<String> {
        if self.scheme.is_none() && self.host.is_none() {
            return None;
        }
        let own_scheme = request.scheme();
        let scheme = self.scheme.map_or(&*own_scheme, |scheme| scheme.name());
        let host = self.host.as_deref().unwrap_or_else(|| request.host());
        if host.is_empty() {
            return None;
        }
        let is_there = scheme == own_scheme && host == request.host();
        let port = self.port.map(|port| format!(":{port}"));
        (!is_there).then(|| format!("{scheme}://{host}{}", port.unwrap_or_default()))
    }
}

impl Replacement {
    fn new(path: &str, text: String, matching: Matching) -> Self {
        match matching {
            Matching::Exact => Self { length: None, text },
            // For whole segments, trailing slashes make no difference.
            Matching::Prefix => Self {
                length: Some(path.strip_suffix('/').unwrap_or(path).len()),
                text: text.strip_suffix('/').unwrap_or(&text).to_owned(),
            },
        }
    }

    fn apply(&self, path: &str) -> String {
        let rest = self.length.and_then(|length| path.get(length..));
        let path = format!("{}{}", self.text, rest.unwrap_or_default());
        // A path that begins with two slashes names a host: `/old//evil.test` must not become
        // `//evil.test`. Browsers treat a backslash as a slash.
        format!("/{}", path.trim_start_matches(['/', '\\']))
    }
}

pointsman_sdk::export!(Redirect);
