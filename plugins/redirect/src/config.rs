//! The plugin's options, and the checks that TOML's types cannot express.
//!
//! Owns the names of the options, which README.md lists, and the error messages. Called by
//! `configure`.

use std::collections::{BTreeMap, BTreeSet};

use pointsman_sdk::Error;
use serde::Deserialize;

/// The plugin's table in the proxy's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    hosts: Option<Vec<String>>,
    paths: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "match")]
    matching: Matching,
    scheme: Option<Scheme>,
    host: Option<String>,
    port: Option<u16>,
    #[serde(default = "found")]
    status: u16,
}

fn found() -> u16 {
    302
}

/// The way in which a path of `paths` matches.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Matching {
    /// The request's path begins with the segments of this path.
    #[default]
    Prefix,
    /// The request's path equals this path.
    Exact,
}

/// A scheme to redirect to.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The options, after they have been checked.
pub(crate) struct Checked {
    /// Hosts in lower case, without duplicates.
    pub(crate) hosts: Option<BTreeSet<String>>,
    pub(crate) paths: Option<BTreeMap<String, String>>,
    pub(crate) matching: Matching,
    pub(crate) change: Change,
}

/// The parts of a URL that a redirect changes in addition to the path.
pub(crate) struct Change {
    pub(crate) scheme: Option<Scheme>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) status: u16,
}

impl Config {
    pub(crate) fn checked(self) -> Result<Checked, Error> {
        if self.scheme.is_none() && self.host.is_none() && self.paths.is_none() {
            return Err(Error::new("give one of `scheme`, `host` and `paths`"));
        }
        if ![301, 302, 303, 307, 308].contains(&self.status) {
            return Err(Error::at("status", "must be 301, 302, 303, 307 or 308"));
        }
        if self.port.is_some() && self.scheme.is_none() && self.host.is_none() {
            return Err(Error::at("port", "needs `scheme` or `host`"));
        }
        if let Some(host) = &self.host {
            check_host("host", host)?;
        }
        let mut hosts = BTreeSet::new();
        for (index, host) in self.hosts.iter().flatten().enumerate() {
            check_host(&format!("hosts[{index}]"), host)?;
            hosts.insert(host.to_ascii_lowercase());
        }
        for (path, replacement) in self.paths.iter().flatten() {
            let key = format!("paths.{path}");
            check_path(&key, path, "?#")?;
            // The replacement of a whole path can contain a query.
            let forbidden = match self.matching {
                Matching::Prefix => "?#",
                Matching::Exact => "",
            };
            check_path(&key, replacement, forbidden)?;
        }
        Ok(Checked {
            hosts: self.hosts.map(|_| hosts),
            paths: self.paths,
            matching: self.matching,
            change: Change {
                scheme: self.scheme,
                host: self.host.map(|host| host.to_ascii_lowercase()),
                port: self.port,
                status: self.status,
            },
        })
    }
}

fn check_host(key: &str, host: &str) -> Result<(), Error> {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~[]:%".contains(&octet);
    let is_literal = host.starts_with('[') && host.ends_with(']');
    let has_port = host.contains(':') && !is_literal;
    // The host of a request has no trailing dot, so a host with one here would never match.
    if host.is_empty() || !host.bytes().all(allowed) || has_port || host.ends_with('.') {
        let message = format_args!(
            "{host:?} is not a host: write a name or an address, without a port or a trailing dot"
        );
        return Err(Error::at(key, message));
    }
    Ok(())
}

fn check_path(key: &str, path: &str, forbidden: &str) -> Result<(), Error> {
    let is_graphic = path.bytes().all(|octet| octet.is_ascii_graphic());
    if !path.starts_with('/') {
        let message = format_args!("{path:?} must begin with `/`");
        return Err(Error::at(key, message));
    }
    if !is_graphic || path.contains(|character| forbidden.contains(character)) {
        let message = format_args!(
            "{path:?} must be an encoded path: no query, no blanks, other characters as %XX"
        );
        return Err(Error::at(key, message));
    }
    Ok(())
}
