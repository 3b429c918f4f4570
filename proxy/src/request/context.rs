//! Everything that one request owns besides its two connections.

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

/// Facts about the client that all requests of a connection share. Never change.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// The frontend's name, for the log.
    pub frontend: Rc<str>,
    /// The peer: a client, or a proxy before this one.
    pub peer: Arc<Client>,
    /// How the peer speaks to this proxy.
    pub scheme: Scheme,
    /// Of the TLS session between the peer and this proxy.
    pub tls: Option<Arc<TlsFacts>>,
    /// Whether the peer is believed about the origin of its requests.
    pub trust: Trust,
    /// Where the peer connected to; None: to this proxy's end of its connection.
    pub destination: Option<Box<SocketAddr>>,
    /// Where its requests are sent, in place of an answer.
    pub redirect: Option<RedirectToHttps>,
}

/// One request, from its head to the end of its response or tunnel.
///
/// Dropping it writes its line to the access log; one that is dropped in the middle was cut
/// off by a worker that stops, or by a panic.
#[derive(Debug)]
pub struct Context {
    /// Of its connection.
    pub facts: Rc<ConnectionFacts>,
    /// Those that it began with; a reload does not change them.
    pub rules: Rc<Rules>,
    /// As the server gets it, but for what the decision changes.
    pub head: RequestHead,
    /// The client that a trusted peer named; None if the peer is the client.
    pub named_client: Option<Arc<Client>>,
    /// For the access log.
    pub record: Record,
    /// How it ended if nothing else is noted.
    pub default_end: End,
    /// How many choices have failed.
    pub attempt: u32,
    /// To questions about it.
    pub answers: Answers,
    /// The beginning of its body, if the router may read it.
    pub body_prefix: Option<BodyPrefix>,
    /// Edits of the response that are this request's own, and those that all have.
    edits: Vec<Edit>,
    is_logged: bool,
}

impl Context {
    /// A request whose head is complete, or one that was refused.
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

    /// The sender of the request.
    #[inline]
    pub fn client(&self) -> &Arc<Client> {
        self.named_client.as_ref().unwrap_or(&self.facts.peer)
    }

    /// Edits of the final response, whoever makes it.
    pub fn response_edits(&self) -> &[Edit] {
        if self.edits.is_empty() {
            self.common_edits()
        } else {
            &self.edits
        }
    }

    /// Adds an edit of the final response.
    pub fn edit_response(&mut self, edit: Option<Edit>) {
        if self.edits.is_empty() {
            self.edits = self.common_edits().to_vec();
        }
        self.edits.extend(edit);
    }

    /// Replaces the edits of the response that are this request's own.
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
            // RFC 6797, section 7.2: not over plain HTTP.
            Scheme::Http => &[],
        }
    }

    /// Writes the line, and gives the head back.
    pub fn log(mut self) -> RequestHead {
        self.write();
        self.is_logged = true;
        std::mem::take(&mut self.head)
    }

    /// Ends without a line.
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
            // With access records or without: somebody has to look at it.
            tracing::error!(
                id = format_args!("{:x}", self.record.id()),
                frontend = &*self.facts.frontend,
                "a fault of the proxy itself ended a request"
            );
            self.record.panicked(message);
        }
        self.write();
    }
}
