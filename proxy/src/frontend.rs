//! Where clients connect, in one worker, and the rules that their requests go by.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::acme::HttpChallenges;
use crate::config;
use crate::http::edit::Edit;
use crate::plugin::BackendName;
use crate::router::Router;
use crate::telemetry::{Answers, Handshakes};
use crate::transport::tls::ServerTls;
use crate::upstream::LocalCluster;

/// A frontend in one worker; it outlives the rules that a reload replaces.
#[derive(Debug)]
pub struct Frontend {
    /// Its name, shared by its connections.
    pub name: Rc<str>,
    /// Numbers the worker's requests.
    ids: Rc<Cell<u64>>,
    rules: RefCell<Rc<Rules>>,
}

/// Rules for the requests of one frontend. A request ends by those that it began with.
#[derive(Debug)]
pub struct Rules {
    /// As configured.
    pub config: config::Frontend,
    /// Its sockets.
    pub sockets: Sockets,
    /// `Strict-Transport-Security` of responses over TLS.
    pub hsts: Option<Edit>,
    /// Counts the answers.
    pub answers: Arc<Answers>,
    /// Counts the TLS handshakes.
    pub handshakes: Arc<Handshakes>,
    /// Answers to ACME servers.
    pub challenges: Arc<HttpChallenges>,
    /// The number of this worker.
    pub worker: usize,
    /// None: everything goes to the default backend.
    pub router: Option<Rc<RefCell<Router>>>,
    /// Where requests go for which the router names no backend.
    pub default_backend: Option<Rc<LocalCluster>>,
    /// Every backend of the configuration, by name.
    pub backends: Rc<HashMap<BackendName, Rc<LocalCluster>>>,
}

impl Rules {
    /// How often the router may be asked about a request.
    pub fn max_attempts(&self) -> u32 {
        self.config.routing.max_attempts
    }
}

/// The field of responses that has browsers use TLS alone (RFC 6797, section 6.1).
pub fn strict_transport_security(hsts: config::Hsts) -> Option<Edit> {
    let mut value = format!("max-age={}", hsts.max_age.as_secs());
    if hsts.include_subdomains {
        value.push_str("; includeSubDomains");
    }
    if hsts.preload {
        value.push_str("; preload");
    }
    Edit::set(b"Strict-Transport-Security", value.as_bytes()).ok()
}

/// A `bind` in one worker.
#[derive(Debug)]
pub struct LocalBind {
    /// As configured.
    pub config: config::Bind,
    /// TLS with its clients, if it is configured.
    pub tls: Option<Arc<ServerTls>>,
}

/// The sockets of a frontend, each with what its new connections begin with.
#[derive(Debug, Default)]
pub struct Sockets {
    current: HashMap<String, Rc<LocalBind>>,
    /// Those that the last reload removed. Another worker may have accepted connections from them
    /// that have not come here yet.
    gone: HashMap<String, Rc<LocalBind>>,
}

impl Sockets {
    /// By their names, each with the position of its `bind` in `config`. `tls` has an element for
    /// each of those.
    pub fn new(
        config: &config::Frontend,
        tls: &[Option<Arc<ServerTls>>],
        names: &HashMap<String, usize>,
    ) -> Sockets {
        let bind = |index: &usize| {
            let config = config.bind.get(*index)?.clone();
            let tls = tls.get(*index).cloned().flatten();
            // Rather nothing than plain text.
            let is_whole = tls.is_some() == config.tls.is_some();
            is_whole.then(|| Rc::new(LocalBind { config, tls }))
        };
        let current = names
            .iter()
            .filter_map(|(name, index)| Some((name.clone(), bind(index)?)));
        Sockets {
            current: current.collect(),
            gone: HashMap::new(),
        }
    }

    /// The `bind` that the socket of this name was opened for.
    pub fn bind(&self, name: &str) -> Option<&Rc<LocalBind>> {
        self.current.get(name).or_else(|| self.gone.get(name))
    }

    fn remember(&mut self, before: &Sockets) {
        let is_gone = |(name, _): &(&String, &Rc<LocalBind>)| !self.current.contains_key(*name);
        let gone = before.current.iter().filter(is_gone);
        let gone = gone.map(|(name, bind)| (name.clone(), Rc::clone(bind)));
        self.gone = gone.collect();
    }
}

impl Frontend {
    /// With the rules to begin with.
    pub fn new(rules: Rules, ids: Rc<Cell<u64>>) -> Frontend {
        Frontend {
            name: Rc::from(rules.config.name.as_str()),
            ids,
            rules: RefCell::new(Rc::new(rules)),
        }
    }

    /// Those in force.
    pub fn rules(&self) -> Rc<Rules> {
        Rc::clone(&self.rules.borrow())
    }

    /// Puts others into force, for requests that begin from now on.
    pub fn set_rules(&self, mut rules: Rules) {
        rules.sockets.remember(&self.rules().sockets);
        *self.rules.borrow_mut() = Rc::new(rules);
    }

    /// A number for a request, which no other has.
    pub fn next_id(&self) -> u64 {
        let id = self.ids.get() + 1;
        self.ids.set(id);
        id
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The sockets of a frontend with these elements of `bind`, which are named by their position.
    fn sockets(binds: &[&str]) -> Sockets {
        let text = format!(
            "[frontend.www]\nbind = [{}]\ndefault_backend = \"www\"\n\
             [backend.www]\nserver.www = \"127.0.0.1:9\"",
            binds.join(", ")
        );
        let (config, _) = config::parse(Path::new("/pointsman.toml"), text).unwrap();
        let names = (0..binds.len()).map(|index| (index.to_string(), index));
        Sockets::new(
            &config.frontends[0],
            &vec![None; binds.len()],
            &names.collect(),
        )
    }

    #[test]
    fn hsts_as_a_field() {
        let check = |max_age, include_subdomains, preload, expected: &str| {
            let edit = strict_transport_security(config::Hsts {
                max_age: std::time::Duration::from_millis(max_age),
                include_subdomains,
                preload,
            });
            let value = edit.as_ref().and_then(Edit::value);
            assert_eq!(value, Some(expected.as_bytes()));
        };
        check(86_400_000, false, false, "max-age=86400");
        check(0, true, false, "max-age=0; includeSubDomains");
        check(1_999, true, true, "max-age=1; includeSubDomains; preload");
    }

    #[test]
    fn a_removed_socket_keeps_its_bind_until_the_reload_after() {
        let first = sockets(&["'*:80'", "{ address = '*:81', h2c = true }"]);
        let mut second = sockets(&["{ address = '*:80', h2c = true }"]);
        second.remember(&first);
        let h2c = |sockets: &Sockets, name| sockets.bind(name).map(|bind| bind.config.h2c);
        assert_eq!(h2c(&second, "0"), Some(true), "as configured now");
        assert_eq!(h2c(&second, "1"), Some(true), "as it was");
        assert_eq!(h2c(&second, "2"), None);
        let mut third = sockets(&["'*:80'"]);
        third.remember(&second);
        assert_eq!((h2c(&third, "0"), h2c(&third, "1")), (Some(false), None));
    }
}
