//! Tests of a plugin without the proxy: native, in memory, with the same glue code.
//!
//! Owns the doubles of a request and of the proxy. Exists only outside the sandbox. Questions are
//! answered as in the proxy, except shares: the test puts requests into a share
//! ([`RequestBuilder::in_share`]).
//!
//! ```
//! # use pointsman_sdk::questions::{self, LookUp};
//! # use pointsman_sdk::{Decision, Error, NoConfig, Request, Router};
//! use pointsman_sdk::testing::{Proxy, RequestBuilder};
//!
//! # struct MyRouter(LookUp);
//! # impl Router for MyRouter {
//! #     type Config = NoConfig;
//! #     fn configure(_: NoConfig) -> Result<Self, Error> {
//! #         questions::look_up("tenants", "header:x-tenant").map(Self)
//! #     }
//! #     fn route(&self, request: &Request) -> Result<Decision, Error> {
//! #         Ok(request.ask(&self.0).map_or(Decision::Next, |name| {
//! #             Decision::backend(String::from_utf8_lossy(&name))
//! #         }))
//! #     }
//! # }
//! let proxy = Proxy::new(&["gold"]).table("tenants", &[("acme", "gold")]);
//! let router = proxy.configure::<MyRouter>("{}").unwrap();
//! let request = RequestBuilder::get("/").header("x-tenant", "acme").build();
//! assert_eq!(router.route(&request), Ok(Decision::backend("gold")));
//! ```

mod part;
mod question;
mod request;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::rc::Rc;

pub use crate::head::{ClientCertificate, Edit, Options, ResponseEdit};
pub use request::{RequestBuilder, edits, options, response_edits};

use crate::backends::{Server, State};
use crate::head::Head;
use crate::log::Level;
use crate::matching::{Case, Kind};
use crate::{Decision, Request, Router, config};
use question::Question;

/// Maximum number of questions of a plugin, as in the proxy.
const MAX_QUESTIONS: usize = 1024;

thread_local! {
    /// The proxy of the instance that was last used on this thread.
    static CURRENT: RefCell<Rc<Double>> = RefCell::default();
}

/// The double of the proxy.
#[derive(Default)]
struct Double {
    backends: RefCell<Vec<Backend>>,
    tables: RefCell<HashMap<String, Table>>,
    questions: RefCell<Vec<Question>>,
    is_configuring: Cell<bool>,
    log: RefCell<Vec<(Level, String)>>,
}

type Table = HashMap<Vec<u8>, Vec<u8>>;

#[derive(Clone)]
struct Backend {
    name: String,
    state: State,
    servers: Vec<Server>,
}

impl Backend {
    /// Creates a backend with one idle server of the same name.
    fn new(name: &str) -> Self {
        let server = Server {
            name: name.to_owned(),
            usable: true,
            weight: 1,
            ..Server::default()
        };
        Self {
            name: name.to_owned(),
            state: State {
                usable_servers: 1,
                ..State::default()
            },
            servers: vec![server],
        }
    }
}

impl Double {
    /// Runs `read` on the backend `name`.
    fn of_backend<T>(&self, name: &str, read: impl FnOnce(&Backend) -> T) -> Option<T> {
        let backends = self.backends.borrow();
        backends
            .iter()
            .find(|backend| backend.name == name)
            .map(read)
    }

    fn define(&self, question: Result<Question, String>) -> Result<u32, String> {
        assert!(
            self.is_configuring.get(),
            "a question was defined outside of `configure`"
        );
        let mut questions = self.questions.borrow_mut();
        if questions.len() == MAX_QUESTIONS {
            return Err(format!("a plugin has {MAX_QUESTIONS} questions at most"));
        }
        questions.push(question?);
        Ok(u32::try_from(questions.len() - 1).unwrap_or_default())
    }

    fn with_question<T>(&self, number: u32, answer: impl FnOnce(&Question) -> T) -> T {
        let questions = self.questions.borrow();
        let question = usize::try_from(number).ok();
        let question = question.and_then(|number| questions.get(number));
        let Some(question) = question else {
            panic!("the question {number} is not one of this instance's");
        };
        answer(question)
    }

    fn look_up(&self, table: &str, key: &[u8]) -> Option<Vec<u8>> {
        let tables = self.tables.borrow();
        tables.get(table)?.get(key).cloned()
    }

    fn is_usable(&self, backend: &str) -> bool {
        self.of_backend(backend, |backend| backend.state.usable_servers > 0)
            .unwrap_or(false)
    }
}

fn current() -> Rc<Double> {
    CURRENT.with_borrow(Rc::clone)
}

pub(crate) fn backend_names() -> Vec<String> {
    let current = current();
    let backends = current.backends.borrow();
    backends
        .iter()
        .map(|backend| backend.name.clone())
        .collect()
}

pub(crate) fn backend_state(name: &str) -> Option<State> {
    current().of_backend(name, |backend| backend.state)
}

pub(crate) fn backend_servers(name: &str) -> Option<Vec<Server>> {
    current().of_backend(name, |backend| backend.servers.clone())
}

pub(crate) fn write_log(level: Level, message: &str) {
    current().log.borrow_mut().push((level, message.to_owned()));
}

pub(crate) fn random_number() -> u64 {
    RandomState::new().hash_one(())
}

pub(crate) fn define_matcher(
    kind: Kind,
    over: &str,
    case: Case,
    entries: &[(String, u32)],
) -> Result<u32, String> {
    current().define(Question::matcher(kind, over, case, entries))
}

pub(crate) fn define_share(over: &str, salt: &str, per_million: u32) -> Result<u32, String> {
    current().define(Question::share(over, salt, per_million))
}

pub(crate) fn define_look_up(table: &str, over: &str) -> Result<u32, String> {
    let proxy = current();
    if !proxy.tables.borrow().contains_key(table) {
        return Err(format!("there is no table {table:?}"));
    }
    proxy.define(Question::look_up(table, over))
}

pub(crate) fn define_value(over: &str) -> Result<u32, String> {
    current().define(Question::of_value(over))
}

pub(crate) fn define_usable(backend: &str) -> Result<u32, String> {
    let proxy = current();
    if proxy.of_backend(backend, |_| ()).is_none() {
        return Err(format!("there is no backend {backend:?}"));
    }
    proxy.define(Ok(Question::Usable {
        backend: backend.to_owned(),
    }))
}

pub(crate) fn ask(head: &Head, question: u32) -> Option<u32> {
    let proxy = current();
    let is_usable = |backend: &str| proxy.is_usable(backend);
    proxy.with_question(question, |question| question.number(head, is_usable))
}

pub(crate) fn ask_value(head: &Head, question: u32) -> Option<Vec<u8>> {
    let proxy = current();
    let look_up = |table: &str, key: &[u8]| proxy.look_up(table, key);
    proxy.with_question(question, |question| question.value(head, look_up))
}

/// A proxy in memory, in which a test configures a plugin.
#[derive(Default)]
pub struct Proxy(Double);

impl Proxy {
    /// Creates a proxy with these backends, each with one usable and idle server of the same name.
    pub fn new(backends: &[&str]) -> Self {
        let backends = backends.iter().map(|name| Backend::new(name)).collect();
        Self(Double {
            backends: RefCell::new(backends),
            ..Double::default()
        })
    }

    /// Adds the operator's table `name` with these keys and values.
    #[must_use]
    pub fn table(self, name: &str, entries: &[(&str, &str)]) -> Self {
        let tables = &self.0.tables;
        tables
            .borrow_mut()
            .insert(name.to_owned(), table_of(entries));
        self
    }

    /// Configures a router with `config`, which is JSON.
    ///
    /// # Errors
    /// The message that the proxy would show: `rules[0].suffix: message`.
    pub fn configure<R: Router>(self, config: &str) -> Result<Instance<R>, String> {
        let proxy = Rc::new(self.0);
        CURRENT.set(Rc::clone(&proxy));
        proxy.is_configuring.set(true);
        let router = config::parse(config).and_then(R::configure);
        proxy.is_configuring.set(false);
        let router = router.map_err(|error| error.to_string())?;
        Ok(Instance { router, proxy })
    }
}

fn table_of(entries: &[(&str, &str)]) -> Table {
    let entries = entries.iter();
    entries
        .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

/// A configured router, called in the same way as by the proxy.
pub struct Instance<R> {
    router: R,
    proxy: Rc<Double>,
}

impl<R: Router> Instance<R> {
    /// Configures a router with `config`, which is JSON, in a [`Proxy`] with these backends.
    ///
    /// # Errors
    /// The message that the proxy would show: `rules[0].suffix: message`.
    pub fn configure(config: &str, backends: &[&str]) -> Result<Self, String> {
        Proxy::new(backends).configure(config)
    }

    /// Returns the router itself.
    pub fn router(&self) -> &R {
        &self.router
    }

    /// Routes a request.
    ///
    /// # Errors
    /// The router's own error, as text.
    pub fn route(&self, request: &Request) -> Result<Decision, String> {
        CURRENT.set(Rc::clone(&self.proxy));
        let decision = self.router.route(request);
        decision.map_err(|error| error.to_string())
    }

    /// Replaces the load of the backend `name`, which is added if it does not exist. The answer to
    /// [`questions::usable`](crate::questions::usable) follows `usable_servers`.
    pub fn set_backend(&self, name: &str, state: State) {
        self.change_backend(name, |backend| backend.state = state);
    }

    /// Replaces the servers of the backend `name`, which is added if it does not exist.
    pub fn set_servers(&self, name: &str, servers: Vec<Server>) {
        let usable = servers.iter().filter(|server| server.usable).count();
        self.change_backend(name, |backend| {
            backend.state.usable_servers = u32::try_from(usable).unwrap_or(u32::MAX);
            backend.servers = servers;
        });
    }

    /// Replaces the operator's table `name`.
    pub fn set_table(&self, name: &str, entries: &[(&str, &str)]) {
        let mut tables = self.proxy.tables.borrow_mut();
        tables.insert(name.to_owned(), table_of(entries));
    }

    /// Returns the lines that the plugin has logged, and clears them.
    pub fn take_log(&self) -> Vec<(Level, String)> {
        mem::take(&mut self.proxy.log.borrow_mut())
    }

    fn change_backend(&self, name: &str, change: impl FnOnce(&mut Backend)) {
        let mut backends = self.proxy.backends.borrow_mut();
        if !backends.iter().any(|backend| backend.name == name) {
            backends.push(Backend::new(name));
        }
        if let Some(backend) = backends.iter_mut().find(|backend| backend.name == name) {
            change(backend);
        }
    }
}

#[cfg(test)]
mod tests;
