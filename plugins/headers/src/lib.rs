//! Edits the fields of requests and responses, and leaves the decision to the next plugin.
//!
//! Owns the order of edits: remove, set, append. Reads only the HTTP version, to skip connections
//! without HTTP, so one cached decision serves all requests with the same version and the same
//! answers.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pointsman_sdk::questions::{self, Matcher, TextDefinition};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, syntax};
use serde::Deserialize;

/// The plugin's table in the proxy's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    hosts: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    #[serde(default)]
    request: Edits,
    #[serde(default)]
    response: Edits,
}

/// The edits of the request's fields or of the response's.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edits {
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    append: BTreeMap<String, String>,
}

/// The router.
pub struct Headers {
    hosts: Option<Matcher<()>>,
    paths: Option<Matcher<()>>,
    request: Edits,
    response: Edits,
}

impl Router for Headers {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        config.request.check("request")?;
        config.response.check("response")?;
        for name in config
            .request
            .remove
            .iter()
            .chain(config.request.append.keys())
        {
            if name.eq_ignore_ascii_case("host") {
                let message = "`host` can only be set: a request has exactly one";
                return Err(Error::at("request", message));
            }
        }
        let hosts = questions::exact("host").ignore_case();
        let paths = questions::path_prefix("path");
        Ok(Self {
            hosts: define(hosts, "hosts", config.hosts, check_host)?,
            paths: define(paths, "paths", config.paths, check_path)?,
            request: config.request,
            response: config.response,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let matches = |matcher: &Matcher<()>| request.ask(matcher).is_some();
        let conditions = [&self.hosts, &self.paths];
        // A connection without HTTP has nothing to edit.
        if conditions.into_iter().flatten().all(matches) && request.version().is_some() {
            self.request.edit_request(request)?;
            self.response.edit_response(request)?;
        }
        Ok(Decision::Next)
    }
}

impl Edits {
    fn check(&self, side: &str) -> Result<(), Error> {
        for (index, name) in self.remove.iter().enumerate() {
            check_name(format!("{side}.remove[{index}]"), name)?;
        }
        for (edit, fields) in [("set", &self.set), ("append", &self.append)] {
            for (name, value) in fields {
                let key = format!("{side}.{edit}.{name}");
                if value
                    .bytes()
                    .any(|octet| octet.is_ascii_control() && octet != b'\t')
                {
                    return Err(Error::at(key, "must be one line"));
                }
                check_name(key, name)?;
            }
        }
        Ok(())
    }

    fn edit_request(&self, request: &Request) -> Result<(), Error> {
        for name in &self.remove {
            request.remove_header(name)?;
        }
        for (name, value) in &self.set {
            if name.eq_ignore_ascii_case("host") {
                request.set_authority(value)?;
            } else {
                request.set_header(name, value)?;
            }
        }
        for (name, value) in &self.append {
            request.append_header(name, value)?;
        }
        Ok(())
    }

    fn edit_response(&self, request: &Request) -> Result<(), Error> {
        for name in &self.remove {
            request.remove_response_header(name)?;
        }
        for (name, value) in &self.set {
            request.set_response_header(name, value)?;
        }
        for (name, value) in &self.append {
            request.append_response_header(name, value)?;
        }
        Ok(())
    }
}

/// Defines the matcher for a list, if the configuration has the list.
fn define(
    definition: TextDefinition<'_>,
    list: &str,
    texts: Option<Vec<String>>,
    check: fn(&str) -> Result<(), Error>,
) -> Result<Option<Matcher<()>>, Error> {
    let Some(texts) = texts else {
        return Ok(None);
    };
    for (index, text) in texts.iter().enumerate() {
        check(text).map_err(|error| error.at_key(format_args!("{list}[{index}]")))?;
    }
    let matcher = definition.entries(texts.into_iter().map(|text| (text, ())));
    let matcher = matcher.map_err(|error| match error.entry() {
        Some(entry) => error.at_key(format_args!("{list}[{entry}]")),
        None => error.at_key(list),
    });
    matcher.map(Some)
}

/// Checks that a request can have this host: it has no port and no trailing dot.
fn check_host(host: &str) -> Result<(), Error> {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~[]:%".contains(&octet);
    let is_literal = host.starts_with('[') && host.ends_with(']');
    let has_port = host.contains(':') && !is_literal;
    if host.is_empty() || !host.bytes().all(allowed) || has_port || host.ends_with('.') {
        return Err(Error::new(format_args!(
            "{host:?} is not a host: write a name or an address, without a port or a trailing dot"
        )));
    }
    Ok(())
}

/// Checks that the path of a request can begin with `path`.
fn check_path(path: &str) -> Result<(), Error> {
    let allowed = |octet: u8| octet.is_ascii_graphic() && !b"?#".contains(&octet);
    if !path.starts_with('/') {
        return Err(Error::new(format_args!("{path:?} must begin with `/`")));
    }
    if !path.bytes().all(allowed) {
        return Err(Error::new(format_args!(
            "{path:?} must be an encoded path: no query, no blanks, other characters as %XX"
        )));
    }
    Ok(())
}

fn check_name(key: String, name: &str) -> Result<(), Error> {
    if !syntax::is_token(name) {
        return Err(Error::at(key, format_args!("{name:?} is not a name")));
    }
    if syntax::is_reserved(name) {
        return Err(Error::at(key, "only the proxy may set this field"));
    }
    Ok(())
}

pointsman_sdk::export!(Headers);
