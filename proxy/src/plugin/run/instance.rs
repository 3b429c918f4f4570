//! One copy of a plugin: its store, and the calls of `route`.
//!
//! Used by one thread at a time. A trap leaves nothing to rely upon, so the instance is not used
//! again.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;

use super::bindings::{self, Router};
use super::decision::{Decision, Edits, Options, Route};
use super::engine::Engine;
use super::fault::{self, Explain, Fault};
use super::host::Ended;
use super::host::State;
use super::limits::Deadline;
use super::reads::{Cacheability, Reads};
use super::request::{Answers, Request};
use super::{convert, ticker};
use crate::http::field::FieldKind;
use crate::http::head::Client;
use crate::http::message::{RequestHead, Version};
use crate::questions::Questions;

/// Request handles that a guest may hold on to before its instance is replaced.
///
/// Guests drop the handle before they return; one with a collector may drop it later.
const MAX_HANDLES: u32 = 64;

/// One running copy of a plugin, for one worker.
pub struct Instance {
    pub(super) engine: Engine,
    pub(super) store: Store<State>,
    pub(super) router: Router,
    pub(super) cacheability: Cacheability,
    /// Processor time that its start took.
    pub(super) start_time: Duration,
    pub(super) deadline: Duration,
    /// That of the next call alone.
    pub(super) deadline_of_next: Duration,
    pub(super) max_response: usize,
    /// A call ended in a trap: nothing in the guest can be relied upon.
    pub(super) broken: bool,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("cacheability", &self.cacheability)
            .field("memory", &self.memory())
            .field("spent", &self.is_spent())
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// The questions that `configure` has defined.
    pub fn questions(&self) -> &Arc<Questions> {
        &self.store.data().questions
    }

    /// What `configure` answered.
    pub fn cacheability(&self) -> Cacheability {
        self.cacheability
    }

    /// One decision.
    ///
    /// Blocks the thread, at most for the deadline; a guest that waits is at fault. The head is moved into the store and
    /// back, not copied, and is as it was: edits are in the decision. `reads` is cleared, then
    /// filled with what the guest read, also where it ends in a fault.
    ///
    /// # Errors
    /// A [`Fault`]; then see [`is_spent`](Self::is_spent).
    pub fn route(
        &mut self,
        request: &mut Request<'_>,
        reads: &mut Reads,
    ) -> Result<Decision, Fault> {
        let state = self.store.data_mut();
        state.log.begin(request.id);
        std::mem::swap(&mut state.reads, reads);
        let handle = state.begin(request);
        let deadline = std::mem::replace(&mut self.deadline_of_next, self.deadline);
        state.deadline = Deadline::of(deadline);
        self.store.set_epoch_deadline(ticker::FIRST_CHECK);

        let running = self.engine.running();
        let answer = self
            .router
            .pointsman_router_plugin()
            .call_route(&mut self.store, handle);
        drop(running);

        let state = self.store.data_mut();
        let mut ended = state.end();
        std::mem::swap(request.head, &mut ended.head);
        std::mem::swap(request.answers, &mut ended.answers);
        std::mem::swap(&mut state.reads, reads);
        if let Some(wasi) = &mut state.wasi {
            wasi.end();
        }
        self.decision(answer, ended)
    }

    /// Asks it once, about `GET /` for `localhost`.
    ///
    /// # Errors
    /// A [`Fault`], but not [`Fault::Error`]: a plugin may refuse a request that it does not know.
    pub fn try_out(&mut self) -> Result<(), Fault> {
        let mut head = RequestHead::default();
        head.start(b"GET", b"/", Version::Http11);
        head.fields_mut().push_kind(FieldKind::Host, b"localhost");
        let client = Arc::new(Client {
            address: "127.0.0.1".to_owned(),
            port: 0,
        });
        let mut request = Request {
            head: &mut head,
            client: &client,
            tls: None,
            body: None,
            attempt: 0,
            answers: &mut Answers::default(),
            id: None,
        };
        match self.route(&mut request, &mut Reads::default()) {
            Ok(_) | Err(Fault::Error(_)) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Whether the instance must not be used again: a call ended in a trap, an overrun
    /// deadline or the like, or the guest keeps the handles of its requests.
    ///
    /// An error that `route` returned, or a decision that is not valid, leaves it usable.
    pub fn is_spent(&self) -> bool {
        self.broken || self.store.data().handles() > MAX_HANDLES
    }

    /// Processor time that its start took, `configure` included; without end if it waited.
    pub fn start_time(&self) -> Duration {
        let wasi = self.store.data().wasi.as_ref();
        if wasi.is_some_and(|wasi| wasi.has_waited()) {
            return Duration::MAX;
        }
        self.start_time
    }

    /// Bytes that it has: memories, tables, and what the host keeps for it.
    pub fn memory(&self) -> usize {
        self.store.data().memory.used()
    }

    fn decision(
        &mut self,
        answer: wasmtime::Result<Result<bindings::GuestDecision, String>>,
        ended: Ended,
    ) -> Result<Decision, Fault> {
        let answer = answer.map_err(|error| {
            self.broken = true;
            fault::from_call(&error, explain(&mut self.store))
        })?;
        let decision = answer.map_err(|message| Fault::Error(fault::text(&message)))?;
        let backends = &*self.store.data().backends;
        let route = convert::route(decision, backends, &ended.from_tables, self.max_response)?;
        let draft = ended.draft;
        let (edits, options) = match route {
            // What is not sent needs no edits; the record has tags all the same.
            Route::Respond(_) => {
                let options = Options {
                    tags: draft.options.tags,
                    ..Options::default()
                };
                (Edits::default(), options)
            }
            _ => (draft.edits, draft.options),
        };
        Ok(Decision {
            route,
            edits,
            response_edits: draft.response_edits,
            options,
        })
    }
}

/// The store's limits and refusals, for the text of a fault.
pub(super) fn explain(store: &mut Store<State>) -> Explain {
    let host_memory = store.hostcall_fuel();
    let memory = &mut store.data_mut().memory;
    Explain {
        memory: memory.limit(),
        memory_refused: memory.take_refused(),
        host_memory,
    }
}
