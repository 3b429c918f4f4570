//! Routes by the end of a header field: the ACL `hdr_end(host) -i`, and a little more.
//!
//! Owns the order of rules and the choice of a backend. Made and asked by the SDK.

mod config;
mod field;
mod group;
#[cfg(test)]
mod tests;

use config::Config;
use group::Group;
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router};

/// The router: rules in their order, the first that matches wins.
pub struct HostSuffix {
    groups: Vec<Group>,
}

impl Router for HostSuffix {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let rules = config.checked()?;
        let alike = rules.chunk_by(group::is_alike);
        let groups: Result<_, Error> = alike.map(Group::define).collect();
        // So many groups and suffixes need the whole list to become so many.
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
