//! Routes by a member of a JSON body.
//!
//! Owns the mapping of values to backends. Does not read the body unless the configuration rejects
//! incomplete bodies: the proxy finds the member, and requests with the same answer share one
//! cached decision.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use pointsman_sdk::questions::{self, Matcher};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Response, Router, backends};
use serde::Deserialize;

/// The plugin's table in the proxy's configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    member: String,
    backends: BTreeMap<String, String>,
    #[serde(default)]
    incomplete: Incomplete,
}

/// The decision about a request whose body is incomplete.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Incomplete {
    #[default]
    Next,
    Reject,
}

/// The router.
pub struct JsonRoute {
    backends: Matcher<String>,
    incomplete: Incomplete,
}

impl Router for JsonRoute {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let over = format!("body-json:{}", config.member);
        // This question is never asked. Its definition checks the pointer, which would otherwise
        // not be checked if `backends` is empty.
        questions::value(&over).map_err(|error| error.at_key("member"))?;
        for (value, name) in &config.backends {
            backends::require(format_args!("backends.{value}"), name)?;
        }
        let backends = questions::exact(&over).entries(config.backends);
        Ok(Self {
            backends: backends.map_err(|error| error.at_key("backends"))?,
            incomplete: config.incomplete,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        if let Some(name) = request.ask(&self.backends) {
            return Ok(Decision::backend(name));
        }
        Ok(match self.incomplete {
            Incomplete::Reject if is_incomplete(request) => refused(),
            Incomplete::Reject | Incomplete::Next => Decision::Next,
        })
    }
}

/// Reports whether the proxy has waited for the body, and the body is still incomplete.
fn is_incomplete(request: &Request) -> bool {
    !request.body_is_complete() && request.body_prefix().is_some()
}

/// Returns the response to a request whose body is incomplete (RFC 9110, section 15.5.14).
fn refused() -> Decision {
    let response = Response::new(413)
        .header("content-type", "text/plain; charset=utf-8")
        .body("the body is too long, or arrived too slowly, to route the request\n");
    Decision::respond(response)
}

pointsman_sdk::export!(JsonRoute);
