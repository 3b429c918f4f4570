//! Routes by method, path, fields, cookies and parameters of the query.
//!
//! Owns the order of rules, and what of a request each condition is about. Reads what a condition
//! asks about only if those before it hold: each read is part of a cached decision.

mod config;

use config::{Config, Rule, What};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router};

/// The router: rules in their order, the first all of whose conditions hold wins.
pub struct HeaderMatch {
    rules: Vec<Rule>,
}

impl Router for HeaderMatch {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        Ok(Self {
            rules: config.checked()?,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let holds = |rule: &&Rule| {
            let mut conditions = rule.conditions.iter();
            conditions.all(|(what, condition)| condition.holds(&what.values(request)))
        };
        let found = self.rules.iter().find(holds);
        Ok(found.map_or(Decision::DefaultBackend, |rule| rule.decision.clone()))
    }
}

impl What {
    /// The values that a request has of it; none where it has not got it.
    fn values(&self, request: &Request) -> Vec<Vec<u8>> {
        match self {
            What::Method => vec![request.method().into()],
            What::Path => vec![request.path().into()],
            What::Header(name) => request.header_lines(name),
            What::Cookie(name) => request.cookie(name).into_iter().collect(),
            What::Query(name) => request.query_param(name).into_iter().collect(),
        }
    }
}

pointsman_sdk::export!(HeaderMatch);
