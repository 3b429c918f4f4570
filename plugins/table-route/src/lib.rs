//! Routes by the operator's table: a part of the request is looked up, and its value names the
//! backend.
//!
//! Owns the meaning of a value. Requests whose lookups give the same backend share one cached
//! decision. A table can be replaced without reconfiguring this plugin.

#[cfg(test)]
mod tests;

use pointsman_sdk::questions::{self, LookUp};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends};
use serde::Deserialize;

/// The plugin's table in the proxy's configuration.
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
        // This question is never asked. An error of its definition can only be about the key, while
        // an error of the lookup can be about the table or the key.
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
        // A value that is not UTF-8 cannot be the name of a backend. The proxy reports the unknown
        // backend as a fault.
        let name = request.ask(&self.backend);
        let name = name.map(|name| String::from_utf8_lossy(&name).into_owned());
        Ok(name.map_or_else(|| self.otherwise.clone(), Decision::Backend))
    }
}

pointsman_sdk::export!(TableRoute);
