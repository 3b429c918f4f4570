//! Routes by method, path, fields, cookies and parameters of the query.
//!
//! Owns the order of rules, and what of a request each condition is about. Reads what a condition
//! asks about only if those before it hold: each read is part of a cached decision.

mod config;
mod regex;
#[cfg(test)]
mod tests;

use config::{Condition, Config, What};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router};

/// The router: rules in their order, the first all of whose conditions hold wins.
pub struct HeaderMatch {
    /// What the rules are about, each once: it is read for the first condition that asks.
    subjects: Vec<What>,
    rules: Vec<Rule>,
}

struct Rule {
    /// Each with an index into `subjects`.
    conditions: Vec<(usize, Condition)>,
    decision: Decision,
}

impl Router for HeaderMatch {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let mut subjects = Vec::new();
        let rules = config.checked()?.into_iter().map(|rule| {
            let conditions = rule.conditions.into_iter();
            Rule {
                conditions: conditions
                    .map(|(what, condition)| (place(&mut subjects, what), condition))
                    .collect(),
                decision: rule.decision,
            }
        });
        Ok(Self {
            rules: rules.collect(),
            subjects,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let mut values: Vec<_> = self.subjects.iter().map(|what| (what, None)).collect();
        let mut holds = |(subject, condition): &(usize, Condition)| {
            values.get_mut(*subject).is_some_and(|(what, values)| {
                condition.holds(values.get_or_insert_with(|| what.values(request)))
            })
        };
        let found = self
            .rules
            .iter()
            .find(|rule| rule.conditions.iter().all(&mut holds));
        Ok(found.map_or(Decision::DefaultBackend, |rule| rule.decision.clone()))
    }
}

/// The index of `what` in `subjects`, to which it is added.
fn place(subjects: &mut Vec<What>, what: What) -> usize {
    let known = subjects.iter().position(|known| *known == what);
    known.unwrap_or_else(|| {
        subjects.push(what);
        subjects.len() - 1
    })
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
