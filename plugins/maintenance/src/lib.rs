//! Answers with a page while a site is being worked on, but for those who work on it.
//!
//! Owns who gets through, and the page. Reads no more than its configuration asks about.

#[cfg(test)]
mod tests;

use pointsman_sdk::{
    Cacheability, Decision, Error, Network, Networks, Request, Response, Router, syntax,
};
use serde::Deserialize;

/// The page where none is configured.
const PAGE: &str = include_str!("page.html");

/// `router.config`.
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

/// What lets a client through wherever it comes from.
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
    allow: Networks<()>,
    paths: Vec<String>,
    bypass: Option<(Place, Vec<u8>)>,
}

/// Where the value lies that lets a client through.
enum Place {
    Header(String),
    Cookie(String),
}

impl Router for Maintenance {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let response = config.response()?;
        for (index, path) in config.paths.iter().enumerate() {
            if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
                let message = "must be a path as it is sent: begin with `/`, no query";
                return Err(Error::at(format_args!("paths[{index}]"), message));
            }
        }
        let networks = config.allow.iter().map(|network| (*network, ()));
        let allow = Networks::new(networks).map_err(|twice| {
            let last = config.allow.iter().rposition(|known| *known == twice);
            let key = format!("allow[{}]", last.unwrap_or_default());
            Error::at(key, format_args!("{twice} is in the list already"))
        })?;
        Ok(Self {
            enabled: config.enabled,
            response,
            allow,
            paths: config.paths,
            bypass: config.bypass.map(Bypass::checked).transpose()?,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        // From what few requests differ in to what each has its own of: a cached decision is kept
        // under what was read.
        if !self.enabled || self.is_bypassed(request) || self.is_open(request) {
            return Ok(Decision::DefaultBackend);
        }
        let listed = !self.allow.is_empty()
            && request
                .client()
                .ip()
                .is_some_and(|address| self.allow.find(address).is_some());
        Ok(if listed {
            Decision::DefaultBackend
        } else {
            Decision::respond(self.response.clone())
        })
    }
}

impl Maintenance {
    fn is_bypassed(&self, request: &Request) -> bool {
        let Some((place, expected)) = &self.bypass else {
            return false;
        };
        let value = match place {
            Place::Header(name) => request.header(name),
            Place::Cookie(name) => request.cookie(name),
        };
        value.is_some_and(|value| is_same(&value, expected))
    }

    fn is_open(&self, request: &Request) -> bool {
        !self.paths.is_empty() && self.paths.iter().any(|path| path == request.path())
    }
}

impl Config {
    fn response(&self) -> Result<Response, Error> {
        if !(200..=599).contains(&self.status) || [204, 205, 304].contains(&self.status) {
            let message = "must be a status within 200 and 599 that may have a body";
            return Err(Error::at("status", message));
        }
        let printable = |octet: u8| octet.is_ascii_graphic() || octet == b' ';
        if self.content_type.is_empty() || !self.content_type.bytes().all(printable) {
            return Err(Error::at("content_type", "must be a media type"));
        }
        let mut response = Response::new(self.status)
            .header("content-type", self.content_type.as_str())
            // What is answered now must not be shown later.
            .header("cache-control", "no-store")
            .body(self.body.as_str());
        if let Some(seconds) = self.retry_after {
            response = response.header("retry-after", seconds.to_string());
        }
        Ok(response)
    }
}

impl Bypass {
    fn checked(self) -> Result<(Place, Vec<u8>), Error> {
        let (key, place) = match (self.header, self.cookie) {
            (Some(name), None) => ("bypass.header", Place::Header(name)),
            (None, Some(name)) => ("bypass.cookie", Place::Cookie(name)),
            _ => {
                let message = "give one of `header` and `cookie`, and `value`";
                return Err(Error::at("bypass", message));
            }
        };
        let (Place::Header(name) | Place::Cookie(name)) = &place;
        if !syntax::is_token(name) {
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
            let message = "no request would match: only visible ASCII characters, and no `;`";
            return Err(Error::at("bypass.value", message));
        }
        Ok((place, self.value.into_bytes()))
    }
}

/// Whether two secrets are the same, in a time that does not tell how far they are.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

pointsman_sdk::export!(Maintenance);
