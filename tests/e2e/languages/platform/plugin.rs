//! A plugin whose response depends on the request's path. It uses the time, random numbers and
//! output. The test `platform` builds it in a project from `plugin new`, with that project's SDK.

use pointsman_sdk::{Cacheability, Decision, Error, NoConfig, Request, Response, Router};

struct Mine;

impl Router for Mine {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, Error> {
        Ok(Self)
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let body = match request.path() {
            "/log" => {
                pointsman_sdk::info!("printed");
                String::new()
            }
            // Printing has no effect, and does no harm.
            "/print" => {
                println!("printed");
                String::new()
            }
            "/clock" => {
                let now = pointsman_sdk::clock::now();
                let now = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                now.as_secs().to_string()
            }
            "/random" => pointsman_sdk::random::number().to_string(),
            _ => String::new(),
        };
        Ok(Decision::Respond(Response::new(200).body(body)))
    }
}

pointsman_sdk::export!(Mine);
