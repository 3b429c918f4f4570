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
    /// Its head. The plugin sees only the forwarded lines. Moved into the sandbox while a
    /// plugin runs, and moved back unchanged.
    pub head: &'a mut RequestHead,
    /// Its sender.
    pub client: &'a Arc<Client>,
    /// Facts about the connection that it arrived on; None without TLS.
    pub tls: Option<&'a Arc<TlsFacts>>,
    /// The start of its body; None if the frontend does not wait for it.
    pub body: Option<&'a BodyPrefix>,
    /// Number of choices that have failed before: 0 at first.
    pub attempt: u32,
    /// Answers that stay the same for the life of the request.
    pub answers: &'a mut Answers,
    /// Its number in the log; None for a request that no client sent.
    pub id: Option<u64>,
}

/// The part of a body that arrived before the router was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyPrefix {
    /// Its octets, without the framing.
    pub bytes: Bytes,
    /// Whether it is the whole body.
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
    /// Returns the parts of the request that questions are answered from.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            head: self.head,
            client: self.client,
            tls: self.tls.map(|facts| &**facts),
            body: self.body.map(BodyPrefix::as_body),
        }
    }
}

/// State that keeps the answers to a request's questions consistent, whether the cache or a plugin
/// asks.
///
/// Created once for each request; [`begin_attempt`](Self::begin_attempt) clears what can change
/// between attempts.
#[derive(Debug, Default)]
pub struct Answers {
    draws: Draws,
    /// Backends that were queried, and whether they were usable.
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
