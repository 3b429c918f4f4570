//! Routes by the operator's table: a part of the request, looked up, names the backend.
//!
//! Owns what a value means. Requests whose look-ups give the same backend share one cached
//! decision; a table is replaced without this plugin noticing.

#[cfg(test)]
mod tests;

use pointsman_sdk::questions::{self, LookUp};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends};
use serde::Deserialize;

/// The plugin's table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    table: String,
    key: String,
    otherwise: Option<String>,
}

/// The router.
pub struct TableRoute {
    backend: LookUp,
    otherwise: Decision,
}

impl Router for TableRoute {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        // Not asked: its error is about the key alone, while that of the look-up is of either.
        questions::value(&config.key).map_err(|error| error.at_key("key"))?;
        let backend = questions::look_up(&config.table, &config.key);
        let otherwise = match config.otherwise {
            Some(name) => {
                backends::require("otherwise", &name)?;
                Decision::Backend(name)
            }
            None => Decision::Next,
        };
        Ok(Self {
            backend: backend.map_err(|error| error.at_key("table"))?,
            otherwise,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        // A name that is no text is none of a backend's, which the proxy then says.
        let name = request.ask(&self.backend);
        let name = name.map(|name| String::from_utf8_lossy(&name).into_owned());
        Ok(name.map_or_else(|| self.otherwise.clone(), Decision::Backend))
    }
}

pointsman_sdk::export!(TableRoute);
