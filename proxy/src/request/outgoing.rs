//! A request in the form that the server gets.

use std::rc::Rc;

use super::context::Context;
use super::exchange::ExchangeError;
use crate::config::ServerAddress;
use crate::http::edit::Edit;
use crate::http::field::FieldKind;
use crate::http1::Persistence;
use crate::http1::request::{Expectation, Parsed as Request};
use crate::http1::write::{Expect, OutgoingRequest, Via, push_request};
use crate::http2::client::SendError;
use crate::plugin::{Decision, Options, Otherwise, Route, ServerChoice};
use crate::upstream::{Bound, Demand, Lease, LocalCluster, ServerStream};

/// The destination of a request, and the decision's changes to the request.
#[derive(Debug)]
pub(super) struct Outgoing {
    backend: Rc<LocalCluster>,
    decided: Option<Rc<Decision>>,
}

impl Outgoing {
    pub(super) fn new(backend: Rc<LocalCluster>, decided: Option<Rc<Decision>>) -> Outgoing {
        Outgoing { backend, decided }
    }

    pub(super) fn backend(&self) -> &Rc<LocalCluster> {
        &self.backend
    }

    /// Returns the decision's edits to the request's fields.
    fn edits(&self) -> &[Edit] {
        let decided = self.decided.as_deref();
        decided.map_or(&[], |decided| &decided.edits.fields)
    }

    /// Returns the decision's options.
    pub(super) fn options(&self) -> Option<&Options> {
        self.decided.as_deref().map(|decided| &decided.options)
    }

    /// Returns the server that the decision names.
    pub(super) fn server(&self) -> Option<Bound<'_>> {
        let choice = self.choice()?;
        Some(match choice.otherwise {
            Otherwise::AnotherServer => Bound::Server(&choice.server),
            Otherwise::AskAgain => Bound::OnlyServer(&choice.server),
        })
    }

    /// Returns whether both destinations have the same backend and, if any, the same server.
    pub(super) fn is_same_choice(&self, other: &Outgoing) -> bool {
        Rc::ptr_eq(&self.backend, &other.backend) && self.choice() == other.choice()
    }

    fn choice(&self) -> Option<&ServerChoice> {
        match &self.decided.as_deref()?.route {
            Route::Server(choice) => Some(choice),
            _ => None,
        }
    }

    /// Sets the timeouts of a demand to those of the decision.
    pub(super) fn apply_timeouts(&self, demand: &mut Demand<'_>) {
        if let Some(options) = self.options() {
            demand.queue_timeout = options.queue_timeout;
            demand.connect_timeout = options.connect_timeout;
        }
    }

    /// Sends the head on the lease's stream, or queues it on the lease's connection.
    ///
    /// # Errors
    /// [`ExchangeError::Refused`], [`ExchangeError::Unsendable`]: nothing was sent.
    pub(super) fn push(
        &self,
        cx: &Context,
        request: &Request,
        expectation: Expectation,
        lease: &mut Lease,
    ) -> Result<(), ExchangeError> {
        let default_host = if cx.head.fields().has(FieldKind::Host) {
            String::new()
        } else {
            match lease.endpoint().endpoint().server().address() {
                address @ ServerAddress::Tcp { .. } => address.to_string(),
                // A path is not a host name.
                ServerAddress::Unix(_) | ServerAddress::Srv(_) => "localhost".to_owned(),
            }
        };
        let edits = self.decided.as_deref().map(|decided| &decided.edits);
        let target = edits.and_then(|edits| edits.target.as_ref());
        let target = target.map(|target| target.apply(cx.head.target()));
        let with = OutgoingRequest {
            body: request.body,
            target: target.as_deref(),
            authority: edits.and_then(|edits| edits.authority.as_deref()),
            default_host: default_host.as_bytes(),
            edits: self.edits(),
            via: if cx.rules.config.forwarded.via {
                Via::Add
            } else {
                Via::Omit
            },
            expect: match (request.expectation, expectation) {
                // Part of the body has already arrived, so the client is not waiting for a 100.
                (Expectation::Continue, Expectation::None) => Expect::Drop,
                _ => Expect::Forward,
            },
            persistence: Persistence::KeepAlive,
        };
        let stream = match &mut lease.stream {
            ServerStream::Http1(connection) => {
                push_request(&cx.head, &with, connection.wire.output());
                return Ok(());
            }
            ServerStream::Http2(stream) => stream,
        };
        let is_websocket = request
            .upgrade
            .is_some_and(|upgrade| upgrade.is_websocket());
        let sent = stream.send(&cx.head, &with, is_websocket);
        sent.map_err(|error| match error {
            SendError::Connection(error) => ExchangeError::Refused(error),
            error => ExchangeError::Unsendable(error),
        })
    }
}
