//! Sends requests to a second backend while the first one has no usable server.

use pointsman_sdk::questions::{self, Usable};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    primary: String,
    secondary: String,
}

struct Failover {
    backends: Config,
    primary_usable: Usable,
}

impl Router for Failover {
    type Config = Config;

    fn configure(backends: Config) -> Result<Self, Error> {
        backends::require("primary", &backends.primary)?;
        backends::require("secondary", &backends.secondary)?;
        Ok(Self {
            primary_usable: questions::usable(&backends.primary)?,
            backends,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        // A later attempt means that an earlier one reached no server, although the backend seemed
        // usable.
        if request.attempt() == 0 && request.ask(&self.primary_usable) {
            return Ok(Decision::backend(&self.backends.primary));
        }
        request.tag("failover", "true");
        Ok(Decision::backend(&self.backends.secondary))
    }
}

pointsman_sdk::export!(Failover);

#[cfg(test)]
mod tests;
