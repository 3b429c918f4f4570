//! Sends clients with the cookie `canary=1` to a separate backend.

use pointsman_sdk::questions::{self, Matcher};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends};
use serde::Deserialize;

/// The plugin's table in the proxy's configuration.
#[derive(Deserialize)]
struct Config {
    backend: String,
}

struct Canary {
    backend: String,
    testers: Matcher<()>,
}

impl Router for Canary {
    type Config = Config;

    fn configure(Config { backend }: Config) -> Result<Self, Error> {
        backends::require("backend", &backend)?;
        let testers = questions::exact("cookie:canary").entries([("1", ())])?;
        Ok(Self { backend, testers })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        Ok(match request.ask(&self.testers) {
            Some(()) => Decision::backend(&self.backend),
            None => Decision::Next,
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
        let request = RequestBuilder::get("/")
            .header("cookie", "canary=1")
            .build();
        assert_eq!(
            router.route(&request),
            Ok(Decision::backend("canary_backend"))
        );
        let request = RequestBuilder::get("/").build();
        assert_eq!(router.route(&request), Ok(Decision::Next));
    }
}
