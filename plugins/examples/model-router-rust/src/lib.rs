//! Sends requests to backends by the model that their JSON body names.

use std::collections::BTreeMap;

use pointsman_sdk::questions::{self, Matcher, Value};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    models: BTreeMap<String, String>,
    member: Option<String>,
}

struct ModelRouter {
    model: Value,
    backend: Matcher<String>,
}

impl Router for ModelRouter {
    type Config = Config;

    fn configure(Config { models, member }: Config) -> Result<Self, Error> {
        for (model, backend) in &models {
            backends::require(format!("models.{model}"), backend)?;
        }
        let part = format!("body-json:{}", member.as_deref().unwrap_or("/model"));
        let model = questions::value(&part).map_err(|error| error.at_key("member"))?;
        let backend = questions::exact(&part).entries(models)?;
        Ok(Self { model, backend })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        request.tag_by("model", &self.model);
        let backend = request.ask(&self.backend);
        Ok(backend.map_or(Decision::Next, Decision::backend))
    }
}

pointsman_sdk::export!(ModelRouter);

#[cfg(test)]
mod tests;
