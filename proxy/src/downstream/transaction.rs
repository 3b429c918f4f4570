//! One request and its response, for the access log.

use std::rc::Rc;
use std::sync::Arc;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use tokio::time::Instant;

use crate::http::head::Client;
use crate::router::version::Version;
use crate::telemetry::{AccessRecord, ClientAddress, End, Times};
use crate::upstream::{LocalCluster, LocalEndpoint};

/// What is known of a request so far.
#[derive(Debug)]
pub struct Transaction {
    id: u64,
    started: Instant,
    times: Times,
    /// When the latest stage ended.
    mark: Instant,
    method: Option<Method>,
    host: Option<HeaderValue>,
    target: Option<PathAndQuery>,
    /// What the client is told.
    pub status: Option<StatusCode>,
    /// Bytes of the request's body, or of the tunnel, from the client.
    pub bytes_in: u64,
    /// Bytes of the response's body, or of the tunnel, to the client.
    pub bytes_out: u64,
    /// Chosen by the decision.
    pub backend: Option<Rc<LocalCluster>>,
    /// What was connected to.
    pub endpoint: Option<Rc<LocalEndpoint>>,
    version: Option<Arc<Version>>,
    cached: Option<bool>,
    /// How it ended; None while it goes on.
    pub end: Option<End>,
    /// Why, where it failed.
    pub reason: Option<String>,
}

/// The stages whose time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The plugin's decision, or the cache's.
    Decision,
    /// Until there was a connection to a server.
    Connect,
    /// Until the response's head was there.
    Response,
}

impl Transaction {
    /// Starts the record of a request whose head came in `head` after its first byte.
    pub fn new(id: u64, started: Instant, now: Instant) -> Transaction {
        Transaction {
            id,
            started,
            times: Times {
                head: Some(now - started),
                ..Times::default()
            },
            mark: now,
            method: None,
            host: None,
            target: None,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            backend: None,
            endpoint: None,
            version: None,
            cached: None,
            end: None,
            reason: None,
        }
    }

    /// What was asked.
    pub fn asked(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap) {
        self.method = Some(method.clone());
        self.host = match uri.authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            None => headers.get(HOST).cloned(),
        };
        self.target = uri.path_and_query().cloned();
    }

    /// Lets go of the buffer that the head was read into; for a request whose tunnel may
    /// last for days.
    pub fn compact(&mut self) {
        let host = self.host.take();
        self.host = host.and_then(|host| HeaderValue::from_bytes(host.as_bytes()).ok());
        let target = self.target.take();
        self.target = target.and_then(|target| PathAndQuery::try_from(target.as_str()).ok());
    }

    /// Who decided, and whether from the cache.
    pub fn decided(&mut self, version: &Arc<Version>, cached: bool) {
        // Its count is shared by all workers: kept out of the way of what is not logged.
        if AccessRecord::enabled() {
            self.version = Some(Arc::clone(version));
            self.cached = Some(cached);
        }
        self.passed(Stage::Decision);
    }

    /// A stage has ended just now.
    pub fn passed(&mut self, stage: Stage) {
        if !AccessRecord::enabled() {
            return;
        }
        let now = Instant::now();
        let time = Some(now - self.mark);
        match stage {
            Stage::Decision => self.times.decision = time,
            Stage::Connect => self.times.connect = time,
            Stage::Response => self.times.response = time,
        }
        self.mark = now;
    }

    /// Ends the record, unless it has ended already: the first cause counts.
    pub fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// Ends the record of a response that did not reach the client whole, although all of
    /// it had been handed over.
    pub fn cut(&mut self, end: End, reason: String) {
        if matches!(self.end, None | Some(End::Ok | End::LocalReply)) {
            self.end = Some(end);
            self.reason = Some(reason);
        }
    }

    /// Ends the record with what went wrong.
    pub fn fail(&mut self, end: End, reason: impl FnOnce() -> String) {
        if self.end.is_none() {
            self.end = Some(end);
            self.reason = Some(reason());
        }
    }

    /// Writes the access-log line. `end` is how it ended if nothing was said of it yet.
    pub fn log(self, frontend: &str, client: &Client, end: End) {
        if !AccessRecord::enabled() {
            return;
        }
        let mut times = self.times;
        times.total = Some(self.started.elapsed());
        AccessRecord {
            id: Some(self.id),
            frontend,
            client: ClientAddress {
                address: &client.address,
                port: client.port,
            },
            method: self.method.as_ref().map(Method::as_str),
            host: self.host.as_ref().map(HeaderValue::as_bytes),
            target: self
                .target
                .as_ref()
                .map(|target| target.as_str().as_bytes()),
            status: self.status.map(|status| status.as_u16()),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            backend: self
                .backend
                .as_ref()
                .map(|backend| &**backend.cluster().name()),
            server: self
                .endpoint
                .as_ref()
                .map(|endpoint| endpoint.server_name()),
            plugin: self.version.as_ref().map(|version| version.plugin_name()),
            version: self.version.as_ref().map(|version| version.number()),
            cached: self.cached,
            end: self.end.unwrap_or(end),
            reason: self.reason.as_deref(),
            times,
        }
        .emit();
    }
}
