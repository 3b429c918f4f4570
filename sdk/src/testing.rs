//! Tests of a plugin without the proxy: native, in memory, with the same glue.
//!
//! Owns the doubles of a request and of the proxy. Exists only outside the sandbox.
//!
//! ```
//! # use pointsman_sdk::{Decision, Error, NoConfig, Request, Router};
//! use pointsman_sdk::testing::{Instance, RequestBuilder};
//!
//! # struct MyRouter;
//! # impl Router for MyRouter {
//! #     type Config = NoConfig;
//! #     fn configure(_: NoConfig) -> Result<Self, Error> { Ok(Self) }
//! #     fn route(&self, _: &Request) -> Result<Decision, Error> { Ok(Decision::DefaultBackend) }
//! # }
//! let router = Instance::<MyRouter>::configure("{}", &["www_backend"]).unwrap();
//! let request = RequestBuilder::get("/").header("host", "test.tld").build();
//! assert_eq!(router.route(&request), Ok(Decision::DefaultBackend));
//! ```

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::mem;

use crate::head::Head;
use crate::log::Level;
use crate::{Client, Decision, Request, Router, Tls, backends, config};

thread_local! {
    static PROXY: RefCell<Proxy> = RefCell::default();
}

/// What stands in for the proxy on this thread.
#[derive(Default)]
struct Proxy {
    backends: Vec<(String, backends::State)>,
    log: Vec<(Level, String)>,
}

pub(crate) fn backend_state(name: &str) -> Option<backends::State> {
    PROXY.with_borrow(|proxy| {
        let found = proxy.backends.iter().find(|(known, _)| known == name);
        found.map(|(_, state)| *state)
    })
}

pub(crate) fn write_log(level: Level, message: &str) {
    PROXY.with_borrow_mut(|proxy| proxy.log.push((level, message.to_owned())));
}

pub(crate) fn random_number() -> u64 {
    RandomState::new().hash_one(())
}

/// Sets the load that [`backends::state`] tells of `name` on this thread; adds the backend
/// where [`Instance::configure`] did not name it.
pub fn set_backend(name: &str, state: backends::State) {
    PROXY.with_borrow_mut(|proxy| {
        proxy.backends.retain(|(known, _)| known != name);
        proxy.backends.push((name.to_owned(), state));
    });
}

/// Takes the lines that were logged on this thread.
pub fn take_log() -> Vec<(Level, String)> {
    PROXY.with_borrow_mut(|proxy| mem::take(&mut proxy.log))
}

/// A configured router, driven as the proxy drives one.
pub struct Instance<R>(R);

impl<R: Router> Instance<R> {
    /// Configures a router with `config`, which is JSON, before a proxy that has these
    /// backends, each with one server.
    ///
    /// # Errors
    /// What the proxy would show: `rules[0].suffix: message`.
    pub fn configure(config: &str, backends: &[&str]) -> Result<Self, String> {
        let state = backends::State {
            usable_servers: 1,
            ..backends::State::default()
        };
        PROXY.with_borrow_mut(|proxy| {
            let named = backends.iter().map(|name| ((*name).to_owned(), state));
            proxy.backends = named.collect();
            proxy.log.clear();
        });
        config::parse(config)
            .and_then(R::configure)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// The router itself.
    pub fn router(&self) -> &R {
        &self.0
    }

    /// Routes a request.
    ///
    /// # Errors
    /// The router's own, as text.
    pub fn route(&self, request: &Request) -> Result<Decision, String> {
        self.0.route(request).map_err(|error| error.to_string())
    }
}

/// An edit that a plugin made to a request. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Every line of the field was replaced by one.
    SetHeader(String, Vec<u8>),
    /// A line was added.
    AppendHeader(String, Vec<u8>),
    /// Every line of the field was removed.
    RemoveHeader(String),
    /// The target was replaced.
    SetPathWithQuery(String),
}

/// The edits made to a request, in their order.
pub fn edits(request: &Request) -> Vec<Edit> {
    request.head().edits.borrow().clone()
}

/// The certificate of a client, as [`Request`] tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Distinguished name (RFC 4514).
    pub subject: String,
    /// Distinguished name (RFC 4514).
    pub issuer: String,
    /// DNS names, addresses and URIs.
    pub names: Vec<String>,
    /// In hex.
    pub serial: String,
    /// In hex.
    pub sha256: String,
    /// Seconds since 1970.
    pub not_after: u64,
}

/// Makes a request in memory: by default from 127.0.0.1, in the clear, without fields.
pub struct RequestBuilder(Head);

impl RequestBuilder {
    /// A request with this method and target, as in `GET` and `/a?b=c`.
    pub fn new(method: &str, target: &str) -> Self {
        Self(Head {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            version: "1.1".to_owned(),
            path_with_query: target.to_owned(),
            headers: Vec::new(),
            client: Client {
                address: "127.0.0.1".to_owned(),
                port: 49152,
            },
            tls: None,
            client_certificate: None,
            attempt: 0,
            edits: RefCell::default(),
        })
    }

    /// A `GET` request.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Adds a field line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let line = (name.to_ascii_lowercase(), value.as_ref().to_vec());
        self.0.headers.push(line);
        self
    }

    /// Sets the version of HTTP: `1.0`, `1.1` or `2`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.0.version);
        self
    }

    /// Sets the client.
    #[must_use]
    pub fn client(mut self, address: &str, port: u16) -> Self {
        self.0.client = Client {
            address: address.to_owned(),
            port,
        };
        self
    }

    /// Makes it a request over TLS, whose scheme is `https`.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        "https".clone_into(&mut self.0.scheme);
        self.0.tls = Some(tls);
        self
    }

    /// Makes it a request over TLS by a client with this certificate, which was verified.
    #[must_use]
    pub fn client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.0.client_certificate = Some(certificate);
        let tls = self.0.tls.take().unwrap_or_default();
        self.tls(tls)
    }

    /// Sets how many backends were tried before.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.0.attempt = attempt;
        self
    }

    /// The request.
    pub fn build(self) -> Request {
        Request::new(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EditError, Error, NoConfig};

    struct Editor;

    impl Router for Editor {
        type Config = NoConfig;

        fn configure(_: NoConfig) -> Result<Self, Error> {
            Ok(Self)
        }

        fn route(&self, request: &Request) -> Result<Decision, Error> {
            request.set_header("X-Seen", request.method())?;
            request.set_path_with_query("/new")?;
            crate::info!("{} edits", 2);
            let busy = backends::state("a").is_some_and(|state| state.active > 0);
            Ok(Decision::backend(if busy { "b" } else { "a" }))
        }
    }

    crate::export!(Editor);

    #[test]
    fn an_instance_sees_edits_backends_and_log_lines() {
        let editor = Instance::<Editor>::configure("{}", &["a", "b"]).unwrap();
        let request = RequestBuilder::get("/old").build();
        assert_eq!(editor.route(&request), Ok(Decision::backend("a")));
        assert_eq!(
            edits(&request),
            [
                Edit::SetHeader("x-seen".into(), b"GET".into()),
                Edit::SetPathWithQuery("/new".into())
            ]
        );
        assert_eq!(request.path(), "/old");
        assert_eq!(take_log(), [(Level::Info, "2 edits".to_owned())]);

        let busy = backends::State {
            active: 1,
            ..backends::State::default()
        };
        set_backend("a", busy);
        assert_eq!(editor.route(&request), Ok(Decision::backend("b")));
    }

    #[test]
    fn edits_are_checked() {
        let request = RequestBuilder::get("/").build();
        let invalid = Err(EditError::InvalidSyntax);
        assert_eq!(request.set_header("a b", "c"), invalid);
        assert_eq!(request.append_header("", "c"), invalid);
        assert_eq!(request.append_header("a", "c\r\nd: e"), invalid);
        assert_eq!(request.set_path_with_query("a"), invalid);
        assert_eq!(request.set_path_with_query("/a b"), invalid);
        assert_eq!(request.set_path_with_query("/a#b"), invalid);
        let long = format!("/{}", "a".repeat(8 * 1024));
        assert_eq!(request.set_path_with_query(&long), invalid);
        let forbidden = Err(EditError::Forbidden);
        assert_eq!(request.remove_header("Content-Length"), forbidden);
        assert_eq!(request.set_header("sec-websocket-key", "a"), forbidden);
        assert_eq!(request.append_header("Host", "a"), forbidden);
        assert_eq!(request.remove_header("host"), forbidden);
        assert_eq!(edits(&request), []);
    }
}
