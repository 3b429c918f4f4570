//! A request as plugins read it, and what is kept of the answers to questions about it.

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
    /// Its head, of which the plugin sees the forwarded lines. Moved into the sandbox while a
    /// plugin runs; afterwards as it was.
    pub head: &'a mut RequestHead,
    /// Its sender.
    pub client: &'a Arc<Client>,
    /// Of the connection that it came over; None without TLS.
    pub tls: Option<&'a Arc<TlsFacts>>,
    /// The beginning of its body; None if the frontend does not wait for it.
    pub body: Option<&'a BodyPrefix>,
    /// How many choices have failed before: 0 at first.
    pub attempt: u32,
    /// The answers that stay the same while the request lasts.
    pub answers: &'a mut Answers,
    /// Its number in the log; None for one that nobody sent.
    pub id: Option<u64>,
}

/// The part of a body that arrived before the router was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyPrefix {
    /// Its octets, without the framing.
    pub bytes: Bytes,
    /// Whether it is the whole body.
    pub is_complete: bool,
}

impl BodyPrefix {
    /// For questions.
    pub fn as_body(&self) -> Body<'_> {
        Body {
            bytes: &self.bytes,
            is_complete: self.is_complete,
        }
    }
}

impl Request<'_> {
    /// What questions about it are answered from.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            head: self.head,
            client: self.client,
            tls: self.tls.map(|facts| &**facts),
            body: self.body.map(BodyPrefix::as_body),
        }
    }
}

/// What the answers to a request's questions must agree upon, whoever asks: the cache or a plugin.
///
/// Made once for each request; [`begin_attempt`](Self::begin_attempt) forgets what may change
/// between attempts.
#[derive(Debug, Default)]
pub struct Answers {
    draws: Draws,
    /// Which backends were usable when they were asked about.
    usable: Vec<(Box<str>, bool)>,
}

impl Answers {
    /// The router is asked, perhaps again: backends may have become usable or unusable since.
    pub fn begin_attempt(&mut self) {
        self.usable.clear();
    }

    /// The answer to a question about `subject`.
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
