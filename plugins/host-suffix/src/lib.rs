//! Routes by the end of a header field: the ACL `hdr_end(host) -i`, and a little more.
//!
//! Owns the order of rules and the choice of a backend. Must not look at a request beyond
//! the fields that its rules name: each field read is part of a cached decision. Made and
//! asked by the SDK.

mod config;
mod field;
#[cfg(test)]
mod tests;

use config::{Config, Rule};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router};

/// The router: rules in their order, the first that matches wins.
pub struct HostSuffix {
    groups: Vec<Group>,
}

/// Rules that follow each other and look at the same field, which is read once for all.
struct Group {
    /// In lower case.
    header: String,
    rules: Vec<Rule>,
}

impl Router for HostSuffix {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let mut groups: Vec<Group> = Vec::new();
        for (header, rule) in config.checked()? {
            match groups.last_mut() {
                Some(group) if group.header == header => group.rules.push(rule),
                _ => groups.push(Group {
                    header,
                    rules: vec![rule],
                }),
            }
        }
        Ok(Self { groups })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let backend = self.groups.iter().find_map(|group| group.choose(request));
        Ok(backend.map_or(Decision::DefaultBackend, Decision::backend))
    }
}

impl Group {
    /// The backend of the first rule that one of the field's values matches.
    fn choose(&self, request: &Request) -> Option<&str> {
        let lines = request.header_lines(&self.header);
        let rule = match lines.as_slice() {
            [] => None,
            // No list: a comma in it is refused before routing, as is a second line.
            [host] if self.header == "host" => {
                let value = host.trim_ascii();
                self.rules.iter().find(|rule| rule.matches(value))
            }
            lines => self.rules.iter().find(|rule| {
                let mut values = lines.iter().flat_map(|line| field::values(line));
                values.any(|value| rule.matches(value))
            }),
        };
        rule.map(|rule| rule.backend.as_str())
    }
}

pointsman_sdk::export!(HostSuffix);
