//! One instance of a plugin: its store, and the calls of `route`.
//!
//! Used by one thread at a time. After a trap the guest's state is unreliable, so the instance is
//! not used again.

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

/// Maximum number of request handles that a guest may keep before its instance is replaced.
///
/// Most guests drop the handle before they return. A guest with a garbage collector may drop it
/// later.
const MAX_HANDLES: u32 = 64;

/// One running instance of a plugin, for one worker.
pub struct Instance {
    pub(super) engine: Engine,
    pub(super) store: Store<State>,
    pub(super) router: Router,
    pub(super) cacheability: Cacheability,
    /// Processor time that the start of the instance took.
    pub(super) start_time: Duration,
    pub(super) deadline: Duration,
    /// Deadline of the next call only.
    pub(super) deadline_of_next: Duration,
    pub(super) max_response: usize,
    /// Whether a call ended in a trap, so that the guest's state is unreliable.
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
    /// Returns the questions that `configure` has defined.
    pub fn questions(&self) -> &Arc<Questions> {
        &self.store.data().questions
    }

    /// Returns the cacheability of the instance's decisions.
    pub fn cacheability(&self) -> Cacheability {
        self.cacheability
    }

    /// Calls `route` for one decision.
    ///
    /// Blocks the thread, at most until the deadline; a guest that waits for a timer causes a
    /// fault. The head is moved into the store and back, not copied, and stays unchanged: edits are
    /// in the decision. `reads` is cleared and then filled with what the guest read, even if the
    /// call ends in a fault.
    ///
    /// # Errors
    /// A [`Fault`]; then check [`is_spent`](Self::is_spent).
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

    /// Tries out the instance: calls `route` once, with `GET /` for `localhost`.
    ///
    /// # Errors
    /// A [`Fault`] other than [`Fault::Error`]: a plugin may reject a request that it does not
    /// expect.
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

    /// Returns whether the instance must not be used again. This is the case if a call trapped,
    /// exceeded its deadline or was aborted, or if the guest keeps too many request handles.
    ///
    /// After an error that `route` returned, or an invalid decision, the instance stays usable.
    pub fn is_spent(&self) -> bool {
        self.broken || self.store.data().handles() > MAX_HANDLES
    }

    /// Returns the processor time that the start of the instance took, including `configure`; the
    /// maximum duration if the guest waited for a timer.
    pub fn start_time(&self) -> Duration {
        let wasi = self.store.data().wasi.as_ref();
        if wasi.is_some_and(|wasi| wasi.has_waited()) {
            return Duration::MAX;
        }
        self.start_time
    }

    /// Returns the bytes that the instance occupies: memories, tables, and the host's data for it.
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
            // Nothing is sent to a server, so edits are dropped; tags still go into the access log
            // record.
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

/// Returns the store's limits and refusals, for the description of a fault.
pub(super) fn explain(store: &mut Store<State>) -> Explain {
    let host_memory = store.hostcall_fuel();
    let memory = &mut store.data_mut().memory;
    Explain {
        memory: memory.limit(),
        memory_refused: memory.take_refused(),
        host_memory,
    }
}
