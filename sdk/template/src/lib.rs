//! Sends clients that have the cookie `canary=1` to a backend of their own.

use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends};
use serde::Deserialize;

/// The table `router.config` of the proxy's configuration.
#[derive(Deserialize)]
struct Config {
    backend: String,
}

struct Canary {
    backend: String,
}

impl Router for Canary {
    type Config = Config;

    fn configure(Config { backend }: Config) -> Result<Self, Error> {
        backends::require("backend", &backend)?;
        Ok(Self { backend })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        Ok(match request.cookie("canary").as_deref() {
            Some(b"1") => Decision::backend(&self.backend),
            _ => Decision::DefaultBackend,
        })
    }
}

pointsman_sdk::export!(Canary);

#[cfg(test)]
mod tests {
    use pointsman_sdk::testing::{Instance, RequestBuilder};

    use super::*;

    #[test]
    fn the_cookie_decides() {
        let config = r#"{"backend": "canary_backend"}"#;
        let router = Instance::<Canary>::configure(config, &["canary_backend"]).unwrap();
        let request = RequestBuilder::get("/").header("cookie", "canary=1").build();
        assert_eq!(router.route(&request), Ok(Decision::backend("canary_backend")));
        let request = RequestBuilder::get("/").build();
        assert_eq!(router.route(&request), Ok(Decision::DefaultBackend));
    }
}
