//! Sends a share of the sessions to a separate backend, and each session always to the same server.

use pointsman_sdk::questions::{self, Share, Value};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    backend: String,
    percent: f64,
    cookie: Option<String>,
}

struct StickyCanary {
    backend: String,
    canary: Share,
    session: Value,
}

impl Router for StickyCanary {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        backends::require("backend", &config.backend)?;
        let part = format!("cookie:{}", config.cookie.as_deref().unwrap_or("session"));
        Ok(Self {
            session: questions::value(&part).map_err(|error| error.at_key("cookie"))?,
            // A negative percentage becomes a share of 0; the proxy refuses a share above
            // 1,000,000.
            canary: questions::share(&part, "canary", (config.percent * 1e4).round() as u32)?,
            backend: config.backend,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        request.set_affinity_by(&self.session);
        request.tag_by("session", &self.session);
        if !request.ask(&self.canary) {
            return Ok(Decision::Next);
        }
        request.tag("canary", "true");
        Ok(Decision::backend(&self.backend))
    }
}

pointsman_sdk::export!(StickyCanary);

#[cfg(test)]
mod tests;
