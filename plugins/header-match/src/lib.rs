//! Routes by method, path, fields, cookies and query parameters.
//!
//! Owns the order of rules. Reads no part of the request: each condition is a question, which is
//! asked only if all earlier conditions hold.

mod condition;
mod config;
#[cfg(test)]
mod tests;

use condition::{Asked, Builder, Questions};
use config::Config;
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router};

/// The router: rules in their order. The first rule whose conditions all hold wins.
pub struct HeaderMatch {
    questions: Questions,
    rules: Vec<Rule>,
}

struct Rule {
    conditions: Vec<Asked>,
    decision: Decision,
}

impl Router for HeaderMatch {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let mut questions = Builder::default();
        let rules = config.checked()?.into_iter().map(|rule| {
            let conditions = rule.conditions.into_iter();
            let conditions: Result<_, Error> = conditions
                .map(|condition| questions.add(condition))
                .collect();
            Ok(Rule {
                conditions: conditions?,
                decision: rule.decision,
            })
        });
        let rules = rules.collect::<Result<_, Error>>()?;
        Ok(Self {
            rules,
            questions: questions.define()?,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let found = self.rules.iter().find(|rule| {
            let mut conditions = rule.conditions.iter();
            conditions.all(|condition| self.questions.hold(request, condition))
        });
        Ok(found.map_or(Decision::Next, |rule| rule.decision.clone()))
    }
}

pointsman_sdk::export!(HeaderMatch);
