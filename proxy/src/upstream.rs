//! Backends and their servers: `checkout` gives a connection for one exchange.
//!
//! One [`Backend`] for each configured backend and worker. Knows nothing of plugins and
//! nothing of downstream. Called by `request`.

pub mod balance;
pub mod body;
pub mod connect;
pub mod health;
pub mod pool;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config;
use crate::telemetry::Counter;
use balance::RoundRobin;
use health::Health;
use pool::{Link, Links, Pool};

/// Where a server listens, resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(std::path::PathBuf),
}

/// One server of a backend, as all workers share it.
#[derive(Debug)]
pub struct SharedServer {
    /// The name in the configuration.
    pub name: String,
    /// Every address that its name has, in the order they are tried; never empty.
    pub endpoints: Vec<Endpoint>,
    /// Free slots, where `max_connections` limits them.
    slots: Option<Arc<Semaphore>>,
    /// One for each worker.
    uses: Box<[Uses]>,
}

/// What one worker did with a server. Written by that worker alone.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Uses {
    exchanges: Counter,
    dialled: Counter,
    refused: Counter,
}

/// What was done with a server, over all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerTotals {
    /// Requests and tunnels that it got.
    pub exchanges: u64,
    /// Connections made for them.
    pub dialled: u64,
    /// Connections that could not be made.
    pub refused: u64,
}

impl SharedServer {
    /// What was done with it.
    pub fn totals(&self) -> ServerTotals {
        let sum =
            |counter: fn(&Uses) -> &Counter| self.uses.iter().map(|uses| counter(uses).get()).sum();
        ServerTotals {
            exchanges: sum(|uses| &uses.exchanges),
            dialled: sum(|uses| &uses.dialled),
            refused: sum(|uses| &uses.refused),
        }
    }
}

/// A backend as all workers share it.
#[derive(Debug)]
pub struct SharedBackend {
    /// The name in the configuration.
    pub name: String,
    /// How long each of its waits may take.
    pub timeouts: config::BackendTimeouts,
    /// In the order of the configuration; never empty.
    pub servers: Vec<SharedServer>,
    /// One for each worker.
    loads: Box<[Load]>,
}

/// What one worker has under way at a backend. Written by that worker alone, and on a cache
/// line of its own: counting a request disturbs nobody.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load {
    active: AtomicU32,
    queued: AtomicU32,
}

impl SharedBackend {
    /// Resolves the servers' names, for so many workers; blocks while it does.
    ///
    /// # Errors
    /// The first server whose name has no address, with the reason.
    pub fn resolve(
        backend: &config::Backend,
        workers: usize,
    ) -> Result<SharedBackend, ResolveError> {
        let servers = backend.servers.iter().map(|server| {
            Ok(SharedServer {
                name: server.name.clone(),
                endpoints: connect::resolve(&server.address).map_err(|source| ResolveError {
                    server: server.name.clone(),
                    source,
                })?,
                slots: server
                    .max_connections
                    .map(|slots| Arc::new(Semaphore::new(slots.get() as usize))),
                uses: (0..workers).map(|_| Uses::default()).collect(),
            })
        });
        Ok(SharedBackend {
            name: backend.name.clone(),
            timeouts: backend.timeouts,
            servers: servers.collect::<Result<_, _>>()?,
            loads: (0..workers).map(|_| Load::default()).collect(),
        })
    }

    /// Whether the names of both have the same addresses, in whatever order: name servers
    /// rotate them.
    pub fn has_endpoints_of(&self, other: &SharedBackend) -> bool {
        let endpoints = |backend: &SharedBackend| -> Vec<Vec<Endpoint>> {
            let servers = backend.servers.iter();
            let endpoints = servers.map(|server| {
                let mut endpoints = server.endpoints.clone();
                endpoints.sort_unstable();
                endpoints
            });
            endpoints.collect()
        };
        endpoints(self) == endpoints(other)
    }

    /// Requests and tunnels in progress, over all workers.
    pub fn active(&self) -> u32 {
        self.sum(|load| &load.active)
    }

    /// Servers, usable or not.
    pub fn server_count(&self) -> u32 {
        u32::try_from(self.servers.len()).unwrap_or(u32::MAX)
    }

    /// Servers that have a free slot.
    pub fn usable_servers(&self) -> u32 {
        let usable = self.servers.iter().filter(|server| {
            let slots = server.slots.as_ref();
            slots.is_none_or(|slots| slots.available_permits() > 0)
        });
        u32::try_from(usable.count()).unwrap_or(u32::MAX)
    }

    /// Requests that wait for a slot, over all workers.
    pub fn queued(&self) -> u32 {
        self.sum(|load| &load.queued)
    }

    fn sum(&self, counter: fn(&Load) -> &AtomicU32) -> u32 {
        let loads = self.loads.iter();
        loads
            .map(|load| counter(load).load(Ordering::Relaxed))
            .sum()
    }
}

/// A server whose name cannot be resolved.
#[derive(Debug, Error)]
#[error("the address of server `{server}` cannot be resolved")]
pub struct ResolveError {
    /// The server's name in the configuration.
    pub server: String,
    /// What the resolver said.
    pub source: io::Error,
}

/// Why there is no connection for a request.
#[derive(Debug, Error)]
pub enum CheckoutError {
    /// Every server was tried; the last attempt's reason.
    #[error("no server could be reached; the last one tried was `{server}`")]
    Unreachable {
        /// The server's name.
        server: String,
        /// What connecting to it ended with.
        source: io::Error,
    },
    /// No slot came free within `timeout.queue`.
    #[error("no server had a free slot for {}", format_seconds(*.0))]
    QueueFull(Duration),
}

fn format_seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// A backend as one worker sees it.
#[derive(Debug)]
pub struct Backend {
    place: Rc<Place>,
    servers: Vec<Server>,
    turn: RoundRobin,
    links: Rc<Links>,
}

/// One worker's place at a backend. Shared within the worker, so that no count of its
/// holders is kept for all of them.
#[derive(Debug)]
pub struct Place {
    /// The backend.
    pub backend: Arc<SharedBackend>,
    worker: usize,
}

/// A server as one worker sees it.
#[derive(Debug)]
pub(crate) struct Server {
    health: Health,
    pool: Rc<Pool>,
}

impl Backend {
    /// A worker's own view, with nothing pooled yet; `worker` counts from 0.
    pub fn new(shared: Arc<SharedBackend>, worker: usize, links: &Rc<Links>) -> Backend {
        let servers = shared.servers.iter().map(|_| Server {
            health: Health::default(),
            pool: links.pool(),
        });
        Backend {
            servers: servers.collect(),
            turn: RoundRobin::default(),
            links: Rc::clone(links),
            place: Rc::new(Place {
                backend: shared,
                worker,
            }),
        }
    }

    /// What all workers share of it.
    pub fn shared(&self) -> &Arc<SharedBackend> {
        &self.place.backend
    }

    /// The worker's place at it.
    pub fn place(&self) -> &Rc<Place> {
        &self.place
    }

    /// A connection for one exchange: an idle one of the server whose turn it is, or a new
    /// one. A server that cannot be reached is left out for a while, and the next is tried.
    ///
    /// # Errors
    /// [`CheckoutError`], answered 503.
    ///
    /// # Cancel safety
    /// Safe: dropping it gives slot and connection back.
    pub async fn checkout(&self, reuse: Reuse) -> Result<Lease, CheckoutError> {
        let mut refused = None;
        let mut full = Vec::new();
        for index in self.turn.order(&self.servers) {
            let Ok(slot) = self.shared().servers[index].try_slot() else {
                full.push(index);
                continue;
            };
            match self.connect(index, slot, reuse).await {
                Ok(lease) => return Ok(lease),
                Err(source) => refused = Some((index, source)),
            }
        }
        match refused {
            Some((index, source)) if full.is_empty() => Err(self.unreachable(index, source)),
            _ => self.queue(&full, reuse).await,
        }
    }

    /// Waits in line for whichever of the `full` servers has a free slot first.
    async fn queue(&self, full: &[usize], reuse: Reuse) -> Result<Lease, CheckoutError> {
        let limit = self.shared().timeouts.queue;
        let waiting = Gauge::raise(&self.place, |load| &load.queued);
        let slots = full.iter().map(|&index| {
            Box::pin(async move { (index, self.shared().servers[index].slot().await) })
        });
        let first = futures_util::future::select_all(slots);
        let Ok(((index, slot), _, _)) = tokio::time::timeout(limit, first).await else {
            return Err(CheckoutError::QueueFull(limit));
        };
        drop(waiting);
        self.connect(index, slot, reuse)
            .await
            .map_err(|source| self.unreachable(index, source))
    }

    async fn connect(&self, index: usize, slot: Slot, reuse: Reuse) -> io::Result<Lease> {
        let server = &self.servers[index];
        let uses = &self.shared().servers[index].uses[self.place.worker];
        let pooled = match reuse {
            Reuse::Allowed => server.pool.take(),
            Reuse::Fresh => None,
        };
        let (link, origin) = if let Some(link) = pooled {
            (link, Origin::Pooled)
        } else {
            self.links.make_room();
            let dialled = connect::dial(
                &self.shared().servers[index].endpoints,
                self.shared().timeouts.connect,
            );
            match dialled.await {
                Ok(stream) => {
                    server.health.answered();
                    uses.dialled.count();
                    (Link::new(stream, &self.links), Origin::Dialled)
                }
                Err(error) => {
                    uses.refused.count();
                    // That descriptors have run out is not the server's fault.
                    if !is_exhaustion(&error) {
                        server.health.failed();
                    }
                    return Err(error);
                }
            }
        };
        uses.exchanges.count();
        Ok(Lease {
            link,
            origin,
            server: index,
            pool: Rc::clone(&server.pool),
            slot,
            active: Gauge::raise(&self.place, |load| &load.active),
        })
    }

    fn unreachable(&self, index: usize, source: io::Error) -> CheckoutError {
        CheckoutError::Unreachable {
            server: self.shared().servers[index].name.clone(),
            source,
        }
    }

    /// Closes what has been idle too long, or was closed by its server.
    pub fn sweep(&self) {
        for server in &self.servers {
            server.pool.sweep();
        }
    }
}

/// Whether this process, or the machine, has no descriptors or memory left for a socket.
pub fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOBUFS,
        rustix::io::Errno::NOMEM,
    ];
    exhausted
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl SharedServer {
    fn try_slot(&self) -> Result<Slot, tokio::sync::TryAcquireError> {
        match &self.slots {
            None => Ok(None),
            Some(slots) => Arc::clone(slots).try_acquire_owned().map(Some),
        }
    }

    async fn slot(&self) -> Slot {
        match &self.slots {
            None => None,
            // Never closed; if it were, the request would go on without a slot.
            Some(slots) => Arc::clone(slots).acquire_owned().await.ok(),
        }
    }
}

/// Whether an idle connection may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// An idle connection or a new one.
    Allowed,
    /// A new one: an idle one has just turned out to be dead.
    Fresh,
}

/// Where a lease's connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It has served before: its server may have closed it at any time.
    Pooled,
    /// It is new.
    Dialled,
}

/// A place among a server's `max_connections`, where it has a limit.
type Slot = Option<OwnedSemaphorePermit>;

/// A connection for one exchange, and the places that it takes.
///
/// Dropping it closes the connection; [`Lease::release`] keeps it for the next request.
#[derive(Debug)]
pub struct Lease {
    /// The connection.
    pub link: Box<Link>,
    /// Whether it has served before.
    pub origin: Origin,
    /// The server's index in its backend.
    pub server: usize,
    pool: Rc<Pool>,
    slot: Slot,
    active: Gauge,
}

impl Lease {
    /// Gives the connection back, if it can serve again; closes it otherwise.
    pub fn release(self) {
        if self.link.is_reusable() {
            self.pool.put(self.link);
        }
    }

    /// Takes the connection out for a tunnel; the place stays taken while `Hold` lives.
    pub fn into_tunnel(self) -> (Box<Link>, Hold) {
        let hold = Hold {
            _slot: self.slot,
            _active: Some(self.active),
        };
        (self.link, hold)
    }
}

/// Keeps a tunnel counted among its server's connections; by default it holds nothing.
#[derive(Debug, Default)]
pub struct Hold {
    _slot: Slot,
    _active: Option<Gauge>,
}

/// Counts one while it lives.
#[derive(Debug)]
struct Gauge {
    place: Rc<Place>,
    counter: fn(&Load) -> &AtomicU32,
}

impl Gauge {
    fn raise(place: &Rc<Place>, counter: fn(&Load) -> &AtomicU32) -> Gauge {
        let gauge = Gauge {
            place: Rc::clone(place),
            counter,
        };
        gauge.change(|count| count + 1);
        gauge
    }

    /// Only this thread writes: nothing can come between the two.
    fn change(&self, change: impl Fn(u32) -> u32) {
        let counter = (self.counter)(&self.place.backend.loads[self.place.worker]);
        counter.store(change(counter.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.change(|count| count - 1);
    }
}
