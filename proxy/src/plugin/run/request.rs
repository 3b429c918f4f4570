//! A request as plugins read it, and the stored answers to questions about it.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

use super::backends::Backends;
use crate::http::head::{Client, TlsFacts};
use crate::http::message::RequestHead;
use crate::questions::{Answer, Body, Draws, Questions, Subject};

/// A request, as far as a plugin can read it.
#[derive(Debug)]
pub struct Request<'a> {
    /// The request head. The plugin sees only the field lines that are forwarded. The head is moved
    /// into the sandbox while a plugin runs, and is moved back unchanged.
    pub head: &'a mut RequestHead,
    /// The client that sent the request.
    pub client: &'a Arc<Client>,
    /// Facts about the TLS connection on which the request arrived; None without TLS.
    pub tls: Option<&'a Arc<TlsFacts>>,
    /// The start of the request body; None if the frontend does not wait for it.
    pub body: Option<&'a BodyPrefix>,
    /// Number of earlier choices that have failed; 0 at first.
    pub attempt: u32,
    /// Stored answers to questions, shared by all plugins that route the request.
    pub answers: &'a mut Answers,
    /// The request's number in the log; None for a request that no client sent.
    pub id: Option<u64>,
}

/// The part of a body that arrived before the router was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyPrefix {
    /// Octets of the body, without the framing.
    pub bytes: Bytes,
    /// Whether `bytes` contains the whole body.
    pub is_complete: bool,
}

impl BodyPrefix {
    /// Returns the body as questions see it.
    pub fn as_body(&self) -> Body<'_> {
        Body {
            bytes: &self.bytes,
            is_complete: self.is_complete,
        }
    }
}

impl Request<'_> {
    /// Returns the parts of the request on which the answers to questions depend.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            head: self.head,
            client: self.client,
            tls: self.tls.map(|facts| &**facts),
            body: self.body.map(BodyPrefix::as_body),
        }
    }
}

/// Stored state that keeps the answers to a request's questions consistent, no matter whether the
/// cache or a plugin needs an answer.
///
/// Created once for each request; [`begin_attempt`](Self::begin_attempt) clears what can change
/// between attempts.
#[derive(Debug, Default)]
pub struct Answers {
    draws: Draws,
    /// Backends that were queried, each with whether it was usable then.
    usable: Vec<(Box<str>, bool)>,
}

impl Answers {
    /// Starts an attempt at routing. Clears the usability of backends, which can have changed since
    /// the previous attempt.
    pub fn begin_attempt(&mut self) {
        self.usable.clear();
    }

    /// Returns the answer to a question about `subject`.
    pub fn answer<'a>(
        &'a mut self,
        questions: &'a Questions,
        number: u32,
        subject: Subject<'a>,
        backends: &dyn Backends,
    ) -> Answer<'a> {
        let known = RefCell::new(&mut self.usable);
        let is_usable = |backend: &str| {
            let mut known = known.borrow_mut();
            if let Some((_, is_usable)) = known.iter().find(|(name, _)| **name == *backend) {
                return *is_usable;
            }
            let is_usable = backends.is_usable(backend);
            known.push((backend.into(), is_usable));
            is_usable
        };
        questions.answer(number, subject, &self.draws, &is_usable)
    }
}
