//! Admits or denies clients by their address.
//!
//! Owns the rule that the list with the most specific network wins. Reads no part of the request,
//! so one cached decision serves all clients of a list.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use pointsman_sdk::questions::{self, Matcher};
use pointsman_sdk::{Cacheability, Decision, Error, Network, Request, Response, Router, backends};
use serde::Deserialize;

/// The plugin's table in the proxy's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    default: Verdict,
    #[serde(default)]
    allow: Vec<Network>,
    #[serde(default)]
    deny: Vec<Network>,
    backend: Option<String>,
    #[serde(default)]
    denied: Denied,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Allow,
    Deny,
}

/// The response that denied clients get, or the backend that they are sent to.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Denied {
    backend: Option<String>,
    status: Option<u16>,
    body: Option<String>,
}

/// The router.
pub struct AddressList {
    networks: Matcher<Verdict>,
    default: Verdict,
    allowed: Decision,
    denied: Decision,
}

impl Router for AddressList {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        config.check()?;
        let verdicts = |list: &[Network], verdict| -> Vec<_> {
            let list = list.iter();
            list.map(|network| (network.to_string(), verdict)).collect()
        };
        let allow = verdicts(&config.allow, Verdict::Allow);
        let deny = verdicts(&config.deny, Verdict::Deny);
        let key = if allow.is_empty() { "deny" } else { "allow" };
        let networks = questions::network("client-address")
            .entries(allow.into_iter().chain(deny))
            .map_err(|error| error.at_key(key))?;
        let allowed = match config.backend {
            Some(name) => {
                backends::require("backend", &name)?;
                Decision::Backend(name)
            }
            None => Decision::Next,
        };
        Ok(Self {
            networks,
            default: config.default,
            allowed,
            denied: config.denied.decision()?,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let found = request.ask(&self.networks);
        Ok(match found.unwrap_or(&self.default) {
            Verdict::Allow => self.allowed.clone(),
            Verdict::Deny => self.denied.clone(),
        })
    }
}

impl Config {
    /// Checks that no network occurs twice in the lists.
    fn check(&self) -> Result<(), Error> {
        let mut known = BTreeSet::new();
        let all = self.allow.iter().chain(&self.deny);
        all.into_iter()
            .find(|network| !known.insert(**network))
            .map_or(Ok(()), |network| Err(self.is_twice(*network)))
    }

    /// Returns the error for a network that occurs twice in the lists.
    fn is_twice(&self, network: Network) -> Error {
        let keys = |name: &'static str, list: &[Network]| -> Vec<String> {
            let places = list
                .iter()
                .enumerate()
                .filter(|(_, known)| **known == network);
            places
                .map(|(index, _)| format!("{name}[{index}]"))
                .collect()
        };
        let keys = [keys("allow", &self.allow), keys("deny", &self.deny)].concat();
        let first = keys.first().map_or("", String::as_str);
        let key = keys.get(1).map_or(first, String::as_str);
        Error::at(
            key,
            format_args!(
                "{network} is already listed as {first}: list each network only once; the most \
                 specific one wins"
            ),
        )
    }
}

impl Denied {
    fn decision(self) -> Result<Decision, Error> {
        if let Some(name) = self.backend {
            if self.status.is_some() || self.body.is_some() {
                let message = "the backend sends the response: leave out `status` and `body`";
                return Err(Error::at("denied.backend", message));
            }
            backends::require("denied.backend", &name)?;
            return Ok(Decision::Backend(name));
        }
        let status = self.status.unwrap_or(403);
        if !(200..=599).contains(&status) || [204, 205, 304].contains(&status) {
            let message = "must be a status between 200 and 599 that can have a body";
            return Err(Error::at("denied.status", message));
        }
        let body = self
            .body
            .unwrap_or_else(|| "requests from this address are not allowed\n".to_owned());
        Ok(Decision::respond(
            Response::new(status)
                .header("content-type", "text/plain; charset=utf-8")
                .body(body),
        ))
    }
}

pointsman_sdk::export!(AddressList);
