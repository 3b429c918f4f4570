//! State that a request owns, apart from its two connections.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::record::{Record, Sender};
use crate::config::RedirectToHttps;
use crate::frontend::Rules;
use crate::http::edit::Edit;
use crate::http::forwarded::Trust;
use crate::http::head::{Client, TlsFacts};
use crate::http::message::{RequestHead, Scheme};
use crate::http::origin::Origin;
use crate::plugin::{Answers, BodyPrefix};
use crate::telemetry::{End, current_panic};

/// Facts about the client that all requests of a connection share. They never change.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// The frontend's name, for the log.
    pub frontend: Rc<str>,
    /// The peer: a client, or a proxy in front of this one.
    pub peer: Arc<Client>,
    /// Scheme that the peer uses.
    pub scheme: Scheme,
    /// Facts about the TLS session between the peer and this proxy.
    pub tls: Option<Arc<TlsFacts>>,
    /// Whether the peer is trusted to report the origin of its requests.
    pub trust: Trust,
    /// Address that the peer connected to; None if that is the local address of the connection.
    pub destination: Option<Box<SocketAddr>>,
    /// If set, every request is redirected to HTTPS.
    pub redirect: Option<RedirectToHttps>,
}

/// State of one request, from its head to the end of its response or tunnel.
///
/// Dropping the context writes the access log record. An early drop means that a stopping worker or
/// a panic has ended the request.
#[derive(Debug)]
pub struct Context {
    /// Facts about the request's connection.
    pub facts: Rc<ConnectionFacts>,
    /// Rules of the request's frontend. Refreshed only after a wait or a failed attempt, in case a
    /// reload has replaced them.
    pub rules: Rc<Rules>,
    /// The head that the server gets, before the decision's edits.
    pub head: RequestHead,
    /// The client that a trusted peer named; None if the peer is the client.
    pub named_client: Option<Arc<Client>>,
    /// The record for the access log.
    pub record: Record,
    /// How the request ended, if no other end is recorded.
    pub default_end: End,
    /// Number of routing choices that have failed.
    pub attempt: u32,
    /// Answers to plugins' questions about the request.
    pub answers: Answers,
    /// The first bytes of the request's body, if the router reads them.
    pub body_prefix: Option<BodyPrefix>,
    /// Response edits: the common ones, then those of this request. Empty if this request has none.
    edits: Vec<Edit>,
    is_logged: bool,
}

impl Context {
    /// Creates the context of a request whose head is complete, or that was refused.
    pub fn new(
        facts: Rc<ConnectionFacts>,
        rules: Rc<Rules>,
        mut head: RequestHead,
        record: Record,
    ) -> Context {
        let origin = match facts.trust {
            Trust::Untrusted => Origin::default(),
            Trust::Trusted => {
                let trusted = &rules.config.forwarded.trusted_proxies;
                Origin::of(head.fields(), |address| trusted.contains(address))
            }
        };
        head.set_scheme(origin.scheme.unwrap_or(facts.scheme));
        Context {
            facts,
            rules,
            head,
            named_client: origin
                .client
                .map(|address| Arc::new(Client::named(address))),
            record,
            default_end: End::Drain,
            attempt: 0,
            answers: Answers::default(),
            body_prefix: None,
            edits: Vec::new(),
            is_logged: false,
        }
    }

    /// Returns the client that sent the request.
    #[inline]
    pub fn client(&self) -> &Arc<Client> {
        self.named_client.as_ref().unwrap_or(&self.facts.peer)
    }

    /// Returns the edits to apply to the final response, whether a server or this proxy creates the
    /// response.
    pub fn response_edits(&self) -> &[Edit] {
        if self.edits.is_empty() {
            self.common_edits()
        } else {
            &self.edits
        }
    }

    /// Adds an edit to apply to the final response.
    pub fn edit_response(&mut self, edit: Option<Edit>) {
        if self.edits.is_empty() {
            self.edits = self.common_edits().to_vec();
        }
        self.edits.extend(edit);
    }

    /// Replaces this request's own response edits.
    pub(super) fn set_response_edits(&mut self, edits: &[Edit]) {
        self.edits.clear();
        if !edits.is_empty() {
            let common = self.common_edits().to_vec();
            self.edits = [&common, edits].concat();
        }
    }

    fn common_edits(&self) -> &[Edit] {
        match self.head.scheme() {
            Scheme::Https => self.rules.hsts.as_slice(),
            // RFC 6797, section 7.2, forbids `Strict-Transport-Security` over plain HTTP.
            Scheme::Http => &[],
        }
    }

    /// Writes the access log record and returns the head for reuse.
    pub fn log(mut self) -> RequestHead {
        self.write();
        self.is_logged = true;
        std::mem::take(&mut self.head)
    }

    /// Ends the request without an access log record.
    pub fn discard(mut self) {
        self.is_logged = true;
    }

    fn write(&self) {
        let facts = &self.facts;
        let sender = Sender {
            client: self.client(),
            peer: self.named_client.as_ref().map(|_| &*facts.peer),
        };
        self.record
            .log(&facts.frontend, sender, &self.head, self.default_end);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.is_logged {
            return;
        }
        if let Some(message) = current_panic() {
            // Logged even if access records are disabled, because an operator must see it.
            tracing::error!(
                id = format_args!("{:x}", self.record.id()),
                frontend = &*self.facts.frontend,
                "internal error ended a request"
            );
            self.record.panicked(message);
        }
        self.write();
    }
}
