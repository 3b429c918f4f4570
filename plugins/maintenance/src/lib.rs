//! Responds with a maintenance page, except to those who work on the site.
//!
//! Owns the page, and the choice of clients that get through. Reads no part of the request, and
//! asks only the questions that its configuration needs.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use pointsman_sdk::questions::{self, Matcher};
use pointsman_sdk::{Cacheability, Decision, Error, Network, Request, Response, Router, syntax};
use serde::Deserialize;

/// The default page.
const PAGE: &str = include_str!("page.html");

/// The plugin's table in the proxy's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default = "unavailable")]
    status: u16,
    #[serde(default = "page")]
    body: String,
    #[serde(default = "html")]
    content_type: String,
    retry_after: Option<u32>,
    #[serde(default)]
    allow: Vec<Network>,
    #[serde(default)]
    paths: Vec<String>,
    bypass: Option<Bypass>,
}

/// A field or a cookie that lets a client through, whatever its address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bypass {
    header: Option<String>,
    cookie: Option<String>,
    value: String,
}

fn yes() -> bool {
    true
}

fn unavailable() -> u16 {
    503
}

fn page() -> String {
    PAGE.to_owned()
}

fn html() -> String {
    "text/html; charset=utf-8".to_owned()
}

/// The router.
pub struct Maintenance {
    enabled: bool,
    response: Response,
    /// The fields, cookies and addresses that let a client through.
    ways: [Matcher<()>; 3],
}

impl Router for Maintenance {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let response = config.response()?;
        for (index, path) in config.paths.iter().enumerate() {
            if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
                let message = "must be an encoded path: it begins with `/` and has no query";
                return Err(Error::at(format_args!("paths[{index}]"), message));
            }
        }
        let mut known = BTreeSet::new();
        let mut networks = config.allow.iter().enumerate();
        if let Some((index, twice)) = networks.find(|(_, network)| !known.insert(**network)) {
            let message = format_args!("{twice} is already in the list");
            return Err(Error::at(format_args!("allow[{index}]"), message));
        }
        let paths: BTreeSet<String> = config.paths.into_iter().collect();
        let paths = paths.into_iter().map(|path| (path, ()));
        let allow = config.allow.iter().map(|network| (network.to_string(), ()));
        let bypass = config.bypass.map(Bypass::checked).transpose()?;
        let (over, secret) = bypass.unwrap_or_default();
        let secret = secret.into_iter().map(|secret| (secret, ()));
        Ok(Self {
            enabled: config.enabled,
            response,
            ways: [
                questions::exact(&over)
                    .entries(secret)
                    .map_err(|error| error.at_key("bypass"))?,
                questions::exact("path")
                    .entries(paths)
                    .map_err(|error| error.at_key("paths"))?,
                questions::network("client-address")
                    .entries(allow)
                    .map_err(|error| error.at_key("allow"))?,
            ],
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let is_let_through = || self.ways.iter().any(|way| request.ask(way).is_some());
        Ok(if !self.enabled || is_let_through() {
            Decision::Next
        } else {
            Decision::respond(self.response.clone())
        })
    }
}

impl Config {
    fn response(&self) -> Result<Response, Error> {
        if !(200..=599).contains(&self.status) || [204, 205, 304].contains(&self.status) {
            let message = "must be a status between 200 and 599 that can have a body";
            return Err(Error::at("status", message));
        }
        let printable = |octet: u8| octet.is_ascii_graphic() || octet == b' ';
        if self.content_type.is_empty() || !self.content_type.bytes().all(printable) {
            return Err(Error::at("content_type", "must be a media type"));
        }
        let mut response = Response::new(self.status)
            .header("content-type", self.content_type.as_str())
            // No cache may serve the page once the site is back.
            .header("cache-control", "no-store")
            .body(self.body.as_str());
        if let Some(seconds) = self.retry_after {
            response = response.header("retry-after", seconds.to_string());
        }
        Ok(response)
    }
}

impl Bypass {
    /// Checks the options. Returns the part of a request that must equal the secret, and the
    /// secret.
    fn checked(self) -> Result<(String, Option<String>), Error> {
        let (key, kind, name) = match (self.header, self.cookie) {
            (Some(name), None) => ("bypass.header", "header", name),
            (None, Some(name)) => ("bypass.cookie", "cookie", name),
            _ => {
                let message = "give `value`, and either `header` or `cookie`";
                return Err(Error::at("bypass", message));
            }
        };
        if !syntax::is_token(&name) {
            return Err(Error::at(key, format_args!("{name:?} is not a name")));
        }
        if self.value.is_empty() {
            return Err(Error::at(
                "bypass.value",
                "an empty value would let everybody through",
            ));
        }
        let allowed = |octet: u8| octet.is_ascii_graphic() && octet != b';';
        if !self.value.bytes().all(allowed) {
            let message = "no request would match: use only visible ASCII characters, and no `;`";
            return Err(Error::at("bypass.value", message));
        }
        Ok((format!("{kind}:{name}"), Some(self.value)))
    }
}

pointsman_sdk::export!(Maintenance);
