//! Sends each tenant's requests to the backend that the operator's table assigns to the tenant.

use pointsman_sdk::questions::{self, LookUp, Value};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    table: Option<String>,
    tenant: Option<String>,
}

struct TenantRouter {
    tenant: Value,
    backend: LookUp,
}

impl Router for TenantRouter {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let part = config.tenant.as_deref().unwrap_or("header:x-tenant");
        let table = config.table.as_deref().unwrap_or("tenants");
        let tenant = questions::value(part).map_err(|error| error.at_key("tenant"))?;
        let backend = questions::look_up(table, part).map_err(|error| error.at_key("table"))?;
        Ok(Self { tenant, backend })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        request.tag_by("tenant", &self.tenant);
        Ok(match request.ask(&self.backend) {
            Some(name) => Decision::backend(String::from_utf8(name)?),
            None => Decision::Next,
        })
    }
}

pointsman_sdk::export!(TenantRouter);

#[cfg(test)]
mod tests;
