//! Where clients connect, in one worker, and the rules that their requests go by.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::config;
use crate::plugin::BackendName;
use crate::router::Router;
use crate::telemetry::Answers;
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
    /// Counts the answers.
    pub answers: Arc<Answers>,
    /// The number of this worker.
    pub worker: usize,
    /// None: everything goes to the default backend.
    pub router: Option<Rc<RefCell<Router>>>,
    /// Where requests go for which the router names no backend.
    pub default_backend: Option<Rc<LocalCluster>>,
    /// Every backend of the configuration, by name.
    pub backends: Rc<HashMap<BackendName, Rc<LocalCluster>>>,
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
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.borrow_mut() = Rc::new(rules);
    }

    /// A number for a request, which no other has.
    pub fn next_id(&self) -> u64 {
        let id = self.ids.get() + 1;
        self.ids.set(id);
        id
    }
}
