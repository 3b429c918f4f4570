//! Endpoints, shared by all workers.
//!
//! An [`Endpoint`] is one resolved address of a [`Server`]. It keeps its identity, with its slots
//! and its health, across changes that do not affect it. `cluster` creates endpoints; a lease owns
//! a reference to its endpoint.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::health::{Change, Condition, Health, Tried};
use super::queue::{Place, Queue};
use super::server::{Server, state_word};
use super::shared::Shared;
use super::slots::{Slots, Taken};
use crate::config::{Outlier, ServerState};

/// A resolved address on which a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One slot of an endpoint and one slot of its backend, if these have limits. Released when
/// dropped.
#[derive(Debug, Default)]
pub(super) struct Permit {
    endpoint: Option<Arc<Endpoint>>,
    backend: Option<Arc<Shared>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(shared) = self.backend.take() {
            shared.slots.release();
            shared.queue.wake();
        }
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.slots.release();
            endpoint.queue.wake();
            endpoint.server.shared.queue.wake();
        }
    }
}

/// Identifies an endpoint for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointId(u64);

/// Number of the next endpoint.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl EndpointId {
    /// Returns the lower half of the ID's number.
    pub(super) fn low(self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the other half follows from the present"
        )]
        let low = self.0 as u32;
        low
    }

    /// Returns the latest ID whose number has this lower half.
    pub(super) fn from_low(low: u32) -> EndpointId {
        let next = NEXT_ID.load(Ordering::Relaxed);
        let id = next & !u64::from(u32::MAX) | u64::from(low);
        EndpointId(if id < next {
            id
        } else {
            id.saturating_sub(1 << 32).max(u64::from(low))
        })
    }
}

/// One resolved address of a server.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    server: Arc<Server>,
    address: Address,
    slots: Slots,
    /// Queue of requests that are bound to the endpoint and wait for a slot.
    queue: Arc<Queue>,
    health: Health,
    /// Requests in flight, for each worker.
    loads: Box<[Load]>,
}

/// Requests that one worker has in flight. Written by that worker alone, on its own cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load {
    active: Gauge,
}

/// A number that rises and falls, written by a single thread.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicU32);

impl Gauge {
    #[inline]
    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds one. Only one thread writes, so no other write can come between the load and the store.
    pub(super) fn raise(&self) {
        self.0.store(self.get().wrapping_add(1), Ordering::Relaxed);
    }

    pub(super) fn lower(&self) {
        self.0.store(self.get().wrapping_sub(1), Ordering::Relaxed);
    }
}

/// The requests that an endpoint is eligible for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// All requests.
    Usable,
    /// One request at a time, to test whether the endpoint serves again.
    Trial,
    /// Requests that no other endpoint can serve.
    Suspect,
    /// Only requests of its sessions.
    Draining,
    /// No requests.
    Unusable,
}

impl Endpoint {
    /// Creates an endpoint, without any history, for an address of `server` and for this number of
    /// workers.
    pub(super) fn new(server: &Arc<Server>, address: Address, workers: usize) -> Endpoint {
        Endpoint {
            id: EndpointId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            server: Arc::clone(server),
            address,
            slots: Slots::new(None),
            queue: Arc::new(Queue::new(0)),
            health: Health::new(),
            loads: (0..workers).map(|_| Load::default()).collect(),
        }
    }

    /// Returns the endpoint's ID.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Returns the server to which the address belongs.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Returns the address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the condition that checks and requests have established.
    pub fn condition(&self) -> Condition {
        self.health.condition()
    }

    /// Returns whether every request can use the endpoint, provided that a slot is free.
    pub fn is_usable(&self) -> bool {
        self.standing() == Standing::Usable
    }

    /// Returns the word for the endpoint's state, one of [`Endpoint::STATES`].
    pub fn state_word(&self) -> &'static str {
        let condition = self.condition();
        match self.server.state() {
            ServerState::Drain if condition.is_usable() => state_word(ServerState::Drain),
            ServerState::Maintenance => state_word(ServerState::Maintenance),
            ServerState::Ready | ServerState::Drain => condition.word(),
        }
    }

    /// All words for states.
    pub const STATES: [&str; 8] = [
        "up",
        "going-down",
        "down",
        "unreachable",
        "ejected",
        "trial",
        "draining",
        "maintenance",
    ];

    /// Returns the number of requests and tunnels in progress, over all workers.
    #[inline]
    pub fn active(&self) -> u32 {
        self.loads.iter().map(|load| load.active.get()).sum()
    }

    /// Returns the number of this worker's requests and tunnels in progress.
    pub(super) fn active_of(&self, worker: usize) -> &Gauge {
        &self.loads[worker].active
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Returns which requests the endpoint is eligible for.
    #[inline]
    pub(super) fn standing(&self) -> Standing {
        let condition = self.health.condition();
        match (self.server.state(), condition) {
            (ServerState::Maintenance, _) | (_, Condition::Down) => Standing::Unusable,
            (ServerState::Drain, _) => Standing::Draining,
            (ServerState::Ready, Condition::Up | Condition::GoingDown) => Standing::Usable,
            (ServerState::Ready, Condition::Trial) => Standing::Trial,
            (ServerState::Ready, Condition::Unreachable | Condition::Ejected) => Standing::Suspect,
        }
    }

    /// Returns whether requests of the endpoint's sessions can still go to it.
    pub(super) fn keeps_sessions(&self) -> bool {
        let standing = self.standing();
        standing == Standing::Usable
            || standing == Standing::Draining && self.health.condition().is_usable()
    }

    /// Returns whether requests of the endpoint's sessions can test whether it serves again.
    pub(super) fn is_on_trial(&self) -> bool {
        self.server.state() != ServerState::Maintenance
            && self.health.condition() == Condition::Trial
    }

    /// Changes the limits. Only one thread at a time may call this.
    pub(super) fn set_limits(&self, max_requests: Option<NonZeroU32>, max_queue: u32) {
        self.slots.set_limit(max_requests);
        self.queue.set_max(max_queue);
        self.queue.wake();
    }

    /// Returns whether a slot is free. A waiting request can still get that slot first.
    pub(super) fn has_free_slot(&self) -> bool {
        self.slots.is_free()
    }

    /// Returns the maximum number of concurrent requests, over all workers.
    pub fn max_requests(&self) -> Option<NonZeroU32> {
        self.slots.limit()
    }

    /// Returns whether the server has more connections than this endpoint's limit of concurrent
    /// requests. If so, idle connections can keep the server from serving the connections in use.
    pub(super) fn is_crowded(&self) -> bool {
        let limit = self.slots.limit();
        limit.is_some_and(|limit| self.server.open() > limit.get())
    }

    /// Returns a permit for one request, if slots are free and no other request waits for one.
    pub(super) fn try_permit(self: &Arc<Endpoint>) -> Option<Permit> {
        let is_free = self.queue.is_empty() && self.server.shared.queue.is_empty();
        is_free.then(|| self.overtaking_permit()).flatten()
    }

    /// Returns a permit if slots are free, even if other requests wait. Used for the first request
    /// in the queue, and for requests that test an endpoint.
    pub(super) fn overtaking_permit(self: &Arc<Endpoint>) -> Option<Permit> {
        let shared = &self.server.shared;
        if !self.slots.is_free() {
            return None;
        }
        let of_backend = shared.slots.try_take()?;
        let Some(own) = self.slots.try_take() else {
            // Another request took the endpoint's last slot. While this request held the backend's
            // slot, a third one may have found the backend full, so the queue is woken.
            if of_backend == Taken::Slot {
                shared.slots.release();
                shared.queue.wake();
            }
            return None;
        };
        Some(self.permit(own, of_backend))
    }

    /// Returns a permit for a request that is bound to the endpoint. The backend's limit does not
    /// apply to such requests.
    pub(super) fn try_bound_permit(self: &Arc<Endpoint>) -> Option<Permit> {
        let own = self.slots.try_take()?;
        Some(self.permit(own, self.server.shared.slots.take()))
    }

    fn permit(self: &Arc<Endpoint>, own: Taken, of_backend: Taken) -> Permit {
        // Without a limit, the permit contains no reference, so that workers do not contend for the
        // reference count.
        Permit {
            endpoint: (own == Taken::Slot).then(|| Arc::clone(self)),
            backend: (of_backend == Taken::Slot).then(|| Arc::clone(&self.server.shared)),
        }
    }

    /// Returns whether no request is waiting for this particular endpoint.
    pub(super) fn has_no_queue(&self) -> bool {
        self.queue.is_empty()
    }

    /// Enters the queue of requests that are bound to the endpoint. Returns `None` if the queue is
    /// full.
    pub(super) fn enter_queue(&self) -> Option<Place> {
        self.queue.enter()
    }

    /// Records that no connection could be established.
    pub(super) fn unreachable(&self, error: &dyn fmt::Display) {
        self.publish(self.health.unreachable(), error);
    }

    /// Records that a connection was established.
    pub(super) fn reached(&self) {
        self.publish(self.health.connected(), &"a connection was established");
    }

    /// Records that a request got a good response.
    #[inline]
    pub(super) fn answered(&self, of: Tried) {
        self.health.answered();
        if of == Tried::Trial {
            let change = self.health.trial_succeeded();
            self.publish(change, &"a request was answered");
        }
    }

    /// Ejects the endpoint.
    pub(super) fn eject(&self, outlier: &Outlier, reason: &dyn fmt::Display) {
        self.publish(self.health.eject(outlier), reason);
    }

    /// Publishes a change to the endpoint's condition, if there is one, to the workers, the keeper
    /// and the log.
    pub(super) fn publish(&self, change: Option<Change>, reason: &dyn fmt::Display) {
        let Some(Change { from, to }) = change else {
            return;
        };
        self.server.count_change();
        let shared = &self.server.shared;
        if to.is_usable() && !from.is_usable() && shared.starts_slowly() {
            self.health.begin_slow_start();
        }
        shared.changed();
        // Requests that wait for this endpoint may now have to go to another one.
        self.queue.wake();
        let (backend, server) = (&*shared.name, &*self.server.name);
        let (from, to) = (from.word(), to.word());
        let address = &self.address;
        if self.health.condition().is_usable() {
            tracing::info!(backend, server, %address, from, to, %reason, "server changed");
        } else {
            tracing::warn!(backend, server, %address, from, to, %reason, "server changed");
        }
    }
}
