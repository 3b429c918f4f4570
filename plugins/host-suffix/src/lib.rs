//! Routes by the end of a header field, as HAProxy's ACL `hdr_end(host) -i` does, with a few more
//! options.
//!
//! Owns the order of rules and the choice of a backend. Constructed and called by the SDK.

mod config;
mod field;
mod group;
#[cfg(test)]
mod tests;

use config::Config;
use group::Group;
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router};

/// The router: rules in their order. The first rule that matches wins.
pub struct HostSuffix {
    groups: Vec<Group>,
}

impl Router for HostSuffix {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let rules = config.checked()?;
        let alike = rules.chunk_by(group::is_alike);
        let groups: Result<_, Error> = alike.map(Group::define).collect();
        // The error names the whole list, since only many rules together exceed the limits on
        // questions and entries.
        let groups = groups.map_err(|error| error.at_key("rules"))?;
        Ok(Self { groups })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let backend = self.groups.iter().find_map(|group| group.choose(request));
        Ok(backend.map_or(Decision::Next, Decision::backend))
    }
}

pointsman_sdk::export!(HostSuffix);
