//! The host as a guest sees it: the data of the guest's store, and the functions that the guest
//! imports.
//!
//! Reads are recorded and edits are collected; the request itself is not changed here. WASI is in
//! `wasi`. Called by wasmtime while a guest runs.

mod backends;
mod changes;
mod log;
mod questions;
mod request;

use std::sync::Arc;

use wasmtime::component::Resource;

use super::backends::{Backends, ConfiguredServers};
use super::draft::Draft;
use super::fault::Refusal;
use super::limits::{Deadline, MemoryLimit};
use super::log::Log;
use super::reads::{Read, Reads};
use super::request::{Answers, BodyPrefix, Request};
use super::wasi::Wasi;
use crate::http::head::{Client, TlsFacts};
use crate::http::message;
use crate::questions::{Builder, Questions, Subject};

pub(super) use self::questions::add_to_linker as add_questions_to_linker;

/// Host type behind a guest's `request-head` handle.
///
/// An instance handles one request at a time. So the handle's representation is the number of the
/// call, not an index into a table. A handle with another number was kept from an earlier call and
/// is stale.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct RequestHead;

/// Data of one instance's store.
pub(super) struct State {
    pub(super) backends: Arc<dyn Backends>,
    configured_servers: Arc<ConfiguredServers>,
    pub(super) memory: MemoryLimit,
    pub(super) deadline: Deadline,
    pub(super) log: Log,
    /// WASI state; present if the component imports any WASI interface.
    pub(super) wasi: Option<Box<Wasi>>,
    /// Reads of the current call.
    pub(super) reads: Reads,
    /// Questions that `configure` is defining; present only while it runs.
    pub(super) definitions: Option<Builder>,
    /// Questions that `configure` has defined.
    pub(super) questions: Arc<Questions>,
    call: Option<Call>,
    /// Number of the current call; wraps around.
    number: u32,
    /// Number of handles that the guest has received and not dropped.
    handles: u32,
}

/// One call of `route`.
struct Call {
    head: message::RequestHead,
    client: Arc<Client>,
    tls: Option<Arc<TlsFacts>>,
    body: Option<BodyPrefix>,
    attempt: u32,
    answers: Answers,
    draft: Draft,
    /// Values that lookups returned.
    from_tables: Vec<Box<[u8]>>,
}

/// Results of a call that has ended.
pub(super) struct Ended {
    pub(super) head: message::RequestHead,
    pub(super) answers: Answers,
    pub(super) draft: Draft,
    pub(super) from_tables: Vec<Box<[u8]>>,
}

impl State {
    pub(super) fn new(
        backends: Arc<dyn Backends>,
        configured_servers: Arc<ConfiguredServers>,
        memory: MemoryLimit,
        deadline: Deadline,
        log: Log,
        wasi: Option<Box<Wasi>>,
    ) -> State {
        State {
            backends,
            configured_servers,
            memory,
            deadline,
            log,
            wasi,
            reads: Reads::default(),
            definitions: None,
            questions: Arc::default(),
            call: None,
            number: 0,
            handles: 0,
        }
    }

    /// Moves a request, including its head, into the store. Returns the handle through which the
    /// guest reaches the request.
    pub(super) fn begin(&mut self, request: &mut Request<'_>) -> Resource<RequestHead> {
        self.number = self.number.wrapping_add(1);
        self.handles = self.handles.saturating_add(1);
        self.reads.clear();
        self.memory.take_refused();
        self.call = Some(Call {
            head: std::mem::take(request.head),
            client: Arc::clone(request.client),
            tls: request.tls.cloned(),
            body: request.body.cloned(),
            attempt: request.attempt,
            answers: std::mem::take(request.answers),
            draft: Draft::default(),
            from_tables: Vec::new(),
        });
        Resource::new_own(self.number)
    }

    /// Returns the request passed to [`begin`](Self::begin) and the edits to it.
    ///
    /// # Panics
    /// If `begin` was not called before.
    pub(super) fn end(&mut self) -> Ended {
        let call = self.call.take().expect("begin put a request in");
        Ended {
            head: call.head,
            answers: call.answers,
            draft: call.draft,
            from_tables: call.from_tables,
        }
    }

    /// Checks that the guest's current state does not depend on this store.
    ///
    /// # Errors
    /// Description of what the guest did to make its state depend on the store.
    pub(super) fn check_pure(&mut self) -> Result<(), &'static str> {
        if !self.reads.cacheable {
            return Err("reads the time or random numbers");
        }
        let holds_resources = self
            .wasi
            .as_ref()
            .is_some_and(|wasi| wasi.holds_resources());
        if holds_resources || self.handles > 0 {
            return Err("acquires a resource, such as standard output");
        }
        Ok(())
    }

    pub(super) fn handles(&self) -> u32 {
        self.handles
    }

    fn call(&mut self, handle: &Resource<RequestHead>) -> wasmtime::Result<&mut Call> {
        match &mut self.call {
            Some(call) if handle.rep() == self.number => Ok(call),
            _ => Err(Refusal::StaleHandle.into()),
        }
    }

    /// Reads a value from the request and records `read`.
    fn read<T>(
        &mut self,
        handle: &Resource<RequestHead>,
        read: Read,
        value: impl FnOnce(&Call) -> T,
    ) -> wasmtime::Result<T> {
        let value = value(self.call(handle)?);
        self.reads.record(read);
        Ok(value)
    }
}

impl Call {
    fn subject(&self) -> Subject<'_> {
        Subject {
            head: &self.head,
            client: &self.client,
            tls: self.tls.as_deref(),
            body: self.body.as_ref().map(BodyPrefix::as_body),
        }
    }
}

/// Converts octets to the contract's text type. They are ASCII, except for other octets that HTTP
/// allows in a target.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
