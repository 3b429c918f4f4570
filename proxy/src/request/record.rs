//! Facts about one request, for the access log.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use crate::http::head::Client;
use crate::http::message::RequestHead;
use crate::plugin::{Decision, Value};
use crate::router::version::Version;
use crate::telemetry::{AccessRecord, ClientAddress, End, Times};
use crate::upstream::{LocalCluster, LocalEndpoint};

/// The record of a request in progress. It is written once, when the request ends.
#[derive(Debug)]
pub struct Record {
    id: u64,
    started: Instant,
    times: Times,
    /// When the last timed stage ended.
    mark: Instant,
    /// The status that was sent to the client.
    pub status: Option<u16>,
    /// Number of bytes of the request's body, or of the tunnel, from the client.
    pub bytes_in: u64,
    /// Number of bytes of the response's body, or of the tunnel, to the client.
    pub bytes_out: u64,
    /// The chosen backend.
    pub backend: Option<Rc<LocalCluster>>,
    /// The endpoint that the request was sent to.
    pub endpoint: Option<Rc<LocalEndpoint>>,
    /// The kind of the plugin's fault. Recorded even if the request succeeds.
    pub fault: Option<&'static str>,
    /// The decision, if it has tags.
    decided: Option<Rc<Decision>>,
    version: Option<Arc<Version>>,
    cached: Option<bool>,
    end: Option<End>,
    reason: Option<String>,
}

/// The sender of a request, for its record.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The client.
    pub client: &'a Client,
    /// The peer of the connection, if it is not the client.
    pub peer: Option<&'a Client>,
}

/// Stages whose duration is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Receiving the first bytes of the body, if the router waits for them.
    Body,
    /// Deciding, by the plugin or from the cache.
    Decision,
    /// Getting a connection to a server.
    Connect,
    /// Waiting for the response's head.
    Response,
}

impl Record {
    /// Starts the record of a request whose head arrived between `started` and `now`.
    pub fn new(id: u64, started: Instant, now: Instant) -> Record {
        Record {
            id,
            started,
            times: Times {
                head: Some(now - started),
                ..Times::default()
            },
            mark: now,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            backend: None,
            endpoint: None,
            fault: None,
            decided: None,
            version: None,
            cached: None,
            end: None,
            reason: None,
        }
    }

    /// Returns the request's ID.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Records which version decided, and whether the decision came from the cache.
    pub fn decided(&mut self, version: &Arc<Version>, cached: bool) {
        // The reference count is shared by all workers, so it is not touched if access logging is
        // disabled.
        if AccessRecord::enabled() {
            self.version = Some(Arc::clone(version));
            self.cached = Some(cached);
        }
        self.passed(Stage::Decision);
    }

    /// Records the tags of a decision.
    pub(super) fn tag(&mut self, decided: &Rc<Decision>) {
        let has_tags = !decided.options.tags.is_empty() && AccessRecord::enabled();
        self.decided = has_tags.then(|| Rc::clone(decided));
    }

    /// Returns when the last timed stage ended; initially, when the head was complete.
    pub fn mark(&self) -> Instant {
        self.mark
    }

    /// Records that a stage has just ended.
    pub fn passed(&mut self, stage: Stage) {
        if !AccessRecord::enabled() {
            return;
        }
        let now = Instant::now();
        let time = Some(now - self.mark);
        match stage {
            Stage::Body => self.times.body = time,
            Stage::Decision => self.times.decision = time,
            Stage::Connect => self.times.connect = time,
            Stage::Response => self.times.response = time,
        }
        self.mark = now;
    }

    /// Records how the request ended, unless that is recorded already.
    pub fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// Records how and why the request failed, unless its end is recorded already.
    pub fn fail(&mut self, end: End, reason: impl FnOnce() -> String) {
        if self.end.is_none() {
            self.end = Some(end);
            self.reason = Some(reason());
        }
    }

    /// Records that a panic ended the request, even if another end is recorded already.
    pub(super) fn panicked(&mut self, message: String) {
        self.end = Some(End::Internal);
        self.reason = Some(message);
    }

    /// Returns whether the request's end has been recorded.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Writes the access log record. `end` is how the request ended if nothing has been recorded.
    pub fn log(&self, frontend: &str, sender: Sender<'_>, head: &RequestHead, end: End) {
        if !AccessRecord::enabled() {
            return;
        }
        let mut times = self.times;
        times.total = Some(self.started.elapsed());
        let host = head.authority();
        let head = Some(head).filter(|head| !head.method().is_empty());
        let Sender { client, peer } = sender;
        let tags = self
            .decided
            .iter()
            .flat_map(|decided| &decided.options.tags);
        let tags = tags.filter_map(|tag| match &tag.value {
            Value::Fixed(value) => Some((&*tag.name, &**value)),
            Value::By(_) => None,
        });
        let tags: Vec<(&str, &[u8])> = tags.collect();
        AccessRecord {
            id: Some(self.id),
            frontend,
            client: address_of(client),
            peer: peer.map(address_of),
            method: head.and_then(|head| std::str::from_utf8(head.method()).ok()),
            // A connection without HTTP has only a host.
            host,
            target: head.map(RequestHead::target),
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            backend: self.backend.as_ref().map(|local| &**local.cluster().name()),
            server: self.endpoint.as_ref().map(|local| local.server_name()),
            stage: self.version.as_ref().map(|version| &*version.stage().name),
            plugin: self.version.as_ref().map(|version| version.plugin_name()),
            version: self.version.as_ref().map(|version| version.number()),
            cached: self.cached,
            tags: &tags,
            fault: self.fault,
            end: self.end.unwrap_or(end),
            reason: self.reason.as_deref(),
            times,
        }
        .emit();
    }
}

fn address_of(client: &Client) -> ClientAddress<'_> {
    ClientAddress {
        address: &client.address,
        port: client.port,
    }
}
