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

/// The record of a request under way. It is written once, when the request ends.
#[derive(Debug)]
pub struct Record {
    id: u64,
    started: Instant,
    times: Times,
    /// When the latest stage ended.
    mark: Instant,
    /// The status that the client was sent.
    pub status: Option<u16>,
    /// Bytes of the request's body, or of the tunnel, from the client.
    pub bytes_in: u64,
    /// Bytes of the response's body, or of the tunnel, to the client.
    pub bytes_out: u64,
    /// The backend that was chosen.
    pub backend: Option<Rc<LocalCluster>>,
    /// The endpoint that was reached.
    pub endpoint: Option<Rc<LocalEndpoint>>,
    /// The kind of the plugin's fault, whatever became of the request.
    pub fault: Option<&'static str>,
    /// Has tags.
    decided: Option<Rc<Decision>>,
    version: Option<Arc<Version>>,
    cached: Option<bool>,
    end: Option<End>,
    reason: Option<String>,
}

/// The sender of a request, as its record shows it.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The client.
    pub client: &'a Client,
    /// The peer of the connection, if that is another.
    pub peer: Option<&'a Client>,
}

/// The stages whose time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The first bytes of the body, if the router waits for them.
    Body,
    /// The plugin's decision, or the cache's.
    Decision,
    /// Until there was a connection to a server.
    Connect,
    /// Until the response's head was there.
    Response,
}

impl Record {
    /// Begins the record of a request whose head took from `started` until `now`.
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

    /// The request's number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Notes who decided, and whether from the cache.
    pub fn decided(&mut self, version: &Arc<Version>, cached: bool) {
        // Its count is shared by all workers: left alone if nobody reads the record.
        if AccessRecord::enabled() {
            self.version = Some(Arc::clone(version));
            self.cached = Some(cached);
        }
        self.passed(Stage::Decision);
    }

    /// Notes the tags of a decision.
    pub(super) fn tag(&mut self, decided: &Rc<Decision>) {
        let has_tags = !decided.options.tags.is_empty() && AccessRecord::enabled();
        self.decided = has_tags.then(|| Rc::clone(decided));
    }

    /// When the latest stage ended whose time is taken; the head at first.
    pub fn mark(&self) -> Instant {
        self.mark
    }

    /// A stage has ended just now.
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

    /// Notes how the request ended. The first cause counts.
    pub fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// Notes what went wrong. The first cause counts.
    pub fn fail(&mut self, end: End, reason: impl FnOnce() -> String) {
        if self.end.is_none() {
            self.end = Some(end);
            self.reason = Some(reason());
        }
    }

    /// Notes that a panic ended it, whatever was noted before.
    pub(super) fn panicked(&mut self, message: String) {
        self.end = Some(End::Internal);
        self.reason = Some(message);
    }

    /// Whether its end was noted.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Writes the access-log line. `end` is how the request ended if nothing was noted.
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
            // A connection without HTTP has a host alone.
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
