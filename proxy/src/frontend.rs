//! The frontends of one worker, and the rules for their requests.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::acme::HttpChallenges;
use crate::config;
use crate::http::edit::Edit;
use crate::plugin::BackendName;
use crate::router::Router;
use crate::telemetry::{Handshakes, ResponseCounts};
use crate::transport::tls::ServerTls;
use crate::upstream::LocalCluster;

/// A frontend in one worker. A reload replaces its rules but keeps the frontend.
#[derive(Debug)]
pub struct Frontend {
    /// Name, shared by its connections.
    pub name: Rc<str>,
    /// The worker's last request number.
    ids: Rc<Cell<u64>>,
    rules: RefCell<Rc<Rules>>,
}

/// Rules for the requests of one frontend.
///
/// Each request has an `Rc` of the rules that were in force when its head was complete. It switches
/// to the current rules after it has waited for its body or for an instance, and after an attempt
/// in which no server could be connected to.
#[derive(Debug)]
pub struct Rules {
    /// Configuration of the frontend.
    pub config: config::Frontend,
    /// Sockets of the frontend.
    pub sockets: Sockets,
    /// `Strict-Transport-Security` field of responses over TLS.
    pub hsts: Option<Edit>,
    /// Counters of responses.
    pub response_counts: Arc<ResponseCounts>,
    /// Counters of TLS handshakes.
    pub handshakes: Arc<Handshakes>,
    /// Responses to the HTTP challenges of ACME servers.
    pub challenges: Arc<HttpChallenges>,
    /// Number of this worker.
    pub worker: usize,
    /// The router. None: all requests go to the default backend.
    pub router: Option<Rc<RefCell<Router>>>,
    /// Backend for requests for which the router names no backend.
    pub default_backend: Option<Rc<LocalCluster>>,
    /// Backends of the configuration, by name.
    pub backends: Rc<HashMap<BackendName, Rc<LocalCluster>>>,
}

impl Rules {
    /// Returns the maximum number of router calls for one request.
    pub fn max_attempts(&self) -> u32 {
        self.config.routing.max_attempts
    }
}

/// Returns the response field that makes browsers use only TLS (RFC 6797, section 6.1).
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
    /// Configuration of the bind.
    pub config: config::Bind,
    /// TLS with its clients, if configured.
    pub tls: Option<Arc<ServerTls>>,
}

/// Sockets of a frontend, each with the settings for its new connections.
#[derive(Debug, Default)]
pub struct Sockets {
    current: HashMap<String, Rc<LocalBind>>,
    /// Sockets that the last reload removed. Connections that another worker accepted from them can
    /// still arrive here.
    retired: HashMap<String, Rc<LocalBind>>,
}

impl Sockets {
    /// Creates the sockets. `names` maps the name of each socket to the index of its `bind` in
    /// `config`. `tls` has one element for each `bind`.
    pub fn new(
        config: &config::Frontend,
        tls: &[Option<Arc<ServerTls>>],
        names: &HashMap<String, usize>,
    ) -> Sockets {
        let bind = |index: &usize| {
            let config = config.bind.get(*index)?.clone();
            let tls = tls.get(*index).cloned().flatten();
            // Never serve plain text on a bind with TLS.
            let is_whole = tls.is_some() == config.tls.is_some();
            is_whole.then(|| Rc::new(LocalBind { config, tls }))
        };
        let current = names
            .iter()
            .filter_map(|(name, index)| Some((name.clone(), bind(index)?)));
        Sockets {
            current: current.collect(),
            retired: HashMap::new(),
        }
    }

    /// Returns the `bind` that the socket of this name was opened for.
    pub fn bind(&self, name: &str) -> Option<&Rc<LocalBind>> {
        self.current.get(name).or_else(|| self.retired.get(name))
    }

    fn remember(&mut self, before: &Sockets) {
        let is_retired = |(name, _): &(&String, &Rc<LocalBind>)| !self.current.contains_key(*name);
        let retired = before.current.iter().filter(is_retired);
        let retired = retired.map(|(name, bind)| (name.clone(), Rc::clone(bind)));
        self.retired = retired.collect();
    }
}

impl Frontend {
    /// Creates a frontend with its first rules.
    pub fn new(rules: Rules, ids: Rc<Cell<u64>>) -> Frontend {
        Frontend {
            name: Rc::from(rules.config.name.as_str()),
            ids,
            rules: RefCell::new(Rc::new(rules)),
        }
    }

    /// Returns the rules in force.
    pub fn rules(&self) -> Rc<Rules> {
        Rc::clone(&self.rules.borrow())
    }

    /// Replaces the rules. The new ones apply to later requests, and to requests in progress that
    /// are routed later.
    pub fn set_rules(&self, mut rules: Rules) {
        rules.sockets.remember(&self.rules().sockets);
        *self.rules.borrow_mut() = Rc::new(rules);
    }

    /// Returns a unique number for a request.
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

    /// Returns the sockets of a frontend with these `bind` elements. The name of each socket is its
    /// index.
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
