//! From a cluster to a lease: which endpoint serves a request, and over which connection.
//!
//! Servers take turns; the addresses of one are tried in the resolver's order. An endpoint
//! that could not be connected to gets no request for a while, then one that finds out
//! whether it is back: the others go elsewhere meanwhile.
//!
//! Where nothing else is left, requests go to such endpoints all the same, each in the order
//! of its turn. A lone server that restarts is then used the moment it listens again, as with
//! HAProxy without checks and with nginx, which never gives up its last server. Answering 503
//! until a probe has succeeded would add an outage of up to ten seconds to each restart.
//! A server that refuses costs nothing to ask. With one that swallows packets each request
//! waits `timeout.connect` before its 503, which is the price.

use std::fmt::Write as _;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::connect::{self, DialCause};
use super::connection::Check;
use super::endpoint::{Address, Counts, Endpoint, EndpointId, Permit};
use super::establish::{Established, Limits, Needs};
use super::health::Condition;
use super::http2::Sharing;
use super::lease::{Active, Lease, Origin, Queued};
use super::local::{LocalCluster, LocalEndpoint, LocalServer, LocalSet};
use super::stream::ServerStream;
use crate::config::HttpReuse;
use crate::transport::proxy_protocol::Header;

/// How long a connection attempt may take before other requests avoid its endpoint.
///
/// By then the first SYN, sent anew after a second (RFC 6298, section 2), is lost or the host
/// is gone. Without it, all requests of a whole `timeout.connect` would wait for a host that
/// has just gone silent.
const SUSPECT_AFTER: Duration = Duration::from_secs(1);

/// Failed attempts that an error lists.
const MAX_LISTED: usize = 8;

/// Whether a request may use a connection that its server may close at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Nothing: it can be sent again.
    Replayable,
    /// A failure that its client is prepared for, which has had an answer over its own
    /// connection before.
    Safe,
    /// An error that its client does not expect: it is the first on its client's connection
    /// and cannot be sent again.
    Risky,
    /// A second failure: an idle connection has just turned out to be dead. It gets a new one.
    Fresh,
}

impl Reuse {
    fn is_allowed(self, by: HttpReuse) -> bool {
        match (self, by) {
            (Reuse::Fresh, _) | (_, HttpReuse::Never) | (Reuse::Risky, HttpReuse::Safe) => false,
            (Reuse::Replayable | Reuse::Safe, _) | (Reuse::Risky, HttpReuse::Always) => true,
        }
    }

    /// Which connections of HTTP/2 it may share. One that nobody uses may end at any moment, as one
    /// of HTTP/1.1; the others of one in use are at risk with it.
    fn sharing(self, by: HttpReuse) -> Sharing {
        match (self, by) {
            (Reuse::Fresh, _) | (_, HttpReuse::Never) => Sharing::None,
            (Reuse::Risky, HttpReuse::Safe) => Sharing::InUse,
            _ => Sharing::Any,
        }
    }

    /// How closely to look at an idle connection: a system call more is nothing beside a
    /// request that fails.
    fn check(self) -> Check {
        match self {
            Reuse::Replayable => Check::Events,
            Reuse::Safe | Reuse::Risky | Reuse::Fresh => Check::Socket,
        }
    }
}

/// Why there is no connection for a request.
#[derive(Debug, Error)]
pub enum CheckoutError {
    /// Every address of every server was tried: these attempts failed, in this order.
    #[error("no server could be reached: {}", list(.0))]
    Unreachable(Vec<DialError>),
    /// No slot came free within `timeout.queue`.
    #[error("no server had a free slot for {}", format_seconds(*.0))]
    QueueFull(Duration),
}

/// A connection that could not be made.
#[derive(Debug, Error)]
#[error("`{server}` at {address}: {error}")]
pub struct DialError {
    /// The server's name.
    pub server: String,
    /// The address that was tried.
    pub address: Address,
    /// The error that connecting ended with. A part of the text, since one of several errors is
    /// not the source of all.
    pub error: io::Error,
}

impl DialError {
    /// The kind of its error.
    pub fn cause(&self) -> DialCause {
        DialCause::of(&self.error)
    }
}

fn list(errors: &[DialError]) -> String {
    let shown = errors.iter().take(MAX_LISTED).map(ToString::to_string);
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if let Some(more) = errors
        .len()
        .checked_sub(MAX_LISTED)
        .filter(|more| *more > 0)
    {
        // Writing to a String does not fail.
        let _ = write!(text, "; {more} more");
    }
    text
}

fn format_seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

impl LocalCluster {
    /// A connection for one exchange: an idle one of the server whose turn it is, or a new
    /// one.
    ///
    /// # Errors
    /// [`CheckoutError`], answered 503.
    ///
    /// # Cancel safety
    /// Safe: dropping it gives slot and connection back.
    pub async fn checkout(
        self: &Rc<Self>,
        reuse: Reuse,
        needs: Needs,
    ) -> Result<Lease, CheckoutError> {
        self.checkout_for(&Header::Local, reuse, needs).await
    }

    /// As [`checkout`](Self::checkout); servers that want to know get to know the client.
    ///
    /// # Errors
    /// As [`checkout`](Self::checkout).
    ///
    /// # Cancel safety
    /// As [`checkout`](Self::checkout).
    pub async fn checkout_for(
        self: &Rc<Self>,
        client: &Header<'_>,
        reuse: Reuse,
        needs: Needs,
    ) -> Result<Lease, CheckoutError> {
        let set = self.set();
        let mut search = Search {
            cluster: self,
            set: &set,
            idle: reuse
                .is_allowed(set.settings.http_reuse)
                .then(|| reuse.check()),
            sharing: reuse.sharing(set.settings.http_reuse),
            wait_until: None,
            needs,
            client,
            failures: Vec::new(),
        };
        let order = self.turn.order(&set.servers);
        for effort in [Effort::Promising, Effort::Any] {
            let mut full = Vec::new();
            for server in order.clone() {
                if !search.is_candidate(server, effort) {
                    continue;
                }
                let Some(permit) = server.server.try_permit() else {
                    full.push(server);
                    continue;
                };
                if let Ok(lease) = search.connect(server, permit, effort).await {
                    return Ok(lease);
                }
            }
            // Rather a slot at a server that works than a try at one that does not.
            if !full.is_empty() {
                return search.queue(&full).await;
            }
        }
        Err(search.unreachable())
    }
}

/// Which endpoints a request may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Those that nothing speaks against, or that it is to probe.
    Promising,
    /// Every one.
    Any,
}

/// A request in search of a connection.
struct Search<'a> {
    cluster: &'a Rc<LocalCluster>,
    set: &'a Rc<LocalSet>,
    /// How an idle connection is looked at; None: it may not serve.
    idle: Option<Check>,
    /// Which connections of HTTP/2 it may have a stream of.
    sharing: Sharing,
    /// Until when it waits for connections that other requests make.
    wait_until: Option<Instant>,
    needs: Needs,
    client: &'a Header<'a>,
    /// Endpoints that could not be connected to, and why: none is tried twice.
    failures: Vec<(Rc<LocalEndpoint>, io::Error)>,
}

impl Search<'_> {
    /// Whether it is worth a slot.
    fn is_candidate(&self, server: &LocalServer, effort: Effort) -> bool {
        match effort {
            Effort::Promising => server.is_promising(),
            Effort::Any => server
                .endpoints
                .iter()
                .any(|local| !self.has_failed(local.endpoint().id())),
        }
    }

    fn has_failed(&self, id: EndpointId) -> bool {
        let mut failures = self.failures.iter();
        failures.any(|(failed, _)| failed.endpoint().id() == id)
    }

    /// A connection to one of the server's endpoints; without one the permit comes back.
    async fn connect(
        &mut self,
        server: &LocalServer,
        permit: Permit,
        effort: Effort,
    ) -> Result<Lease, Permit> {
        for local in &server.endpoints {
            let is_up = local.endpoint().condition() == Condition::Up;
            if (is_up || effort == Effort::Any)
                && let Some(idle) = self.idle(server, local)
            {
                return Ok(self.lease(idle, Origin::Pooled, local, permit));
            }
        }
        for local in &server.endpoints {
            let endpoint = local.endpoint();
            // A request that has waited for one probe does not wait for another.
            let is_up = endpoint.condition() == Condition::Up;
            let has_waited = effort == Effort::Promising && !self.failures.is_empty();
            if self.has_failed(endpoint.id()) || (has_waited && !is_up) {
                continue;
            }
            if let Some(stream) = self.wait(server, local).await {
                return Ok(self.lease(stream, Origin::Pooled, local, permit));
            }
            let Some(attempt) = Attempt::begin(endpoint, effort) else {
                continue;
            };
            match self.dial(server, local, &attempt).await {
                Ok(stream) => return Ok(self.lease(stream, Origin::Dialled, local, permit)),
                Err(error) => {
                    self.counts(local).refused.count();
                    self.failures.push((Rc::clone(local), error));
                }
            }
        }
        Err(permit)
    }

    /// Whether it may have a stream of a connection of the server's that others use.
    fn may_share(&self, server: &LocalServer) -> bool {
        let handshake = &server.handshake;
        self.sharing != Sharing::None
            && handshake.allows_http2(self.needs)
            && !handshake.names_clients()
    }

    /// A stream of a connection that another request is making, so that a burst of requests does
    /// not open one for each. All such waits together take `timeout.connect` at most.
    async fn wait(&mut self, server: &LocalServer, local: &LocalEndpoint) -> Option<ServerStream> {
        let limit = self.set.settings.timeouts.connect;
        let shared = &local.pool.shared;
        while self.may_share(server) && shared.is_worth_waiting_for() {
            let until = *self
                .wait_until
                .get_or_insert_with(|| Instant::now() + limit);
            timeout_at(until, shared.dialled()).await.ok()?;
            let stream = self.idle(server, local);
            if stream.is_some() {
                return stream;
            }
        }
        None
    }

    /// A connection that others have used, or a stream of one that they use.
    fn idle(&self, server: &LocalServer, local: &LocalEndpoint) -> Option<ServerStream> {
        if server.handshake.names_clients() {
            return None;
        }
        if self.may_share(server)
            && let Some(stream) = local.pool.shared.stream(self.sharing)
        {
            return Some(ServerStream::Http2(stream));
        }
        local.pool.take(self.idle?).map(ServerStream::Http1)
    }

    /// A new connection.
    async fn dial(
        &self,
        server: &LocalServer,
        local: &LocalEndpoint,
        attempt: &Attempt<'_>,
    ) -> io::Result<ServerStream> {
        let settings = &self.set.settings;
        let budget = &self.cluster.budget;
        let shared = &local.pool.shared;
        let allows_http2 = server.handshake.allows_http2(self.needs);
        let _dialling = allows_http2.then(|| shared.dial());
        budget.make_room();
        let limits = Limits {
            head: settings.head,
            stall: settings.timeouts.server,
        };
        let dialling = connect::dial(
            local.endpoint().address(),
            &server.handshake,
            self.client,
            self.needs,
            settings.timeouts.connect,
            &limits,
        );
        let established = attempt.watch(dialling).await?;
        self.counts(local).dialled.count();
        let connected = local.endpoint().server().connected();
        Ok(match established {
            Established::Http1(io) => {
                if allows_http2 {
                    shared.chose_http1(true);
                }
                let mut connection = budget.connection(io, connected);
                // The pool keeps none that names a client.
                if server.handshake.names_clients() && settings.http_reuse != HttpReuse::Never {
                    connection.make_private();
                }
                ServerStream::Http1(connection)
            }
            Established::Http2(connection, driver) => {
                shared.chose_http1(false);
                let open = budget.open();
                let name = server.server.name();
                ServerStream::Http2(shared.add(*connection, *driver, name, (connected, open)))
            }
        })
    }

    /// Waits in line for whichever of the `full` servers has a free slot first.
    async fn queue(mut self, full: &[&LocalServer]) -> Result<Lease, CheckoutError> {
        let limit = self.set.settings.timeouts.queue;
        let waiting = Queued::new(self.cluster);
        let permits = full
            .iter()
            .map(|server| Box::pin(async move { (*server, server.server.permit().await) }));
        let first = futures_util::future::select_all(permits);
        let Ok(((server, permit), _, _)) = tokio::time::timeout(limit, first).await else {
            return Err(CheckoutError::QueueFull(limit));
        };
        drop(waiting);
        let permit = match self.connect(server, permit, Effort::Promising).await {
            Ok(lease) => return Ok(lease),
            Err(permit) => permit,
        };
        let lease = self.connect(server, permit, Effort::Any).await;
        lease.map_err(|_| self.unreachable())
    }

    fn lease(
        &self,
        stream: ServerStream,
        origin: Origin,
        local: &Rc<LocalEndpoint>,
        permit: Permit,
    ) -> Lease {
        self.counts(local).exchanges.count();
        let active = Active::new(self.cluster, local);
        Lease::new(stream, origin, active, Rc::clone(self.set), permit)
    }

    fn counts<'a>(&self, local: &'a LocalEndpoint) -> &'a Counts {
        local.endpoint().server().counts(self.cluster.worker)
    }

    /// A set is never empty, and `Effort::Any` tries each endpoint.
    fn unreachable(self) -> CheckoutError {
        let failures = self.failures.into_iter().map(|(local, error)| DialError {
            server: local.server_name().to_owned(),
            address: local.endpoint().address().clone(),
            error,
        });
        CheckoutError::Unreachable(failures.collect())
    }
}

/// A connection attempt. Dropped before its end, it has found out nothing.
struct Attempt<'a> {
    endpoint: &'a Endpoint,
    /// The one attempt at an endpoint that was dead.
    is_probe: bool,
}

impl Attempt<'_> {
    /// None if another request probes the endpoint, or it is too early to.
    fn begin(endpoint: &Endpoint, effort: Effort) -> Option<Attempt<'_>> {
        let health = endpoint.health();
        let is_probe = health.condition() == Condition::Due && health.try_probe();
        let may_begin = is_probe || effort == Effort::Any || health.condition() == Condition::Up;
        may_begin.then_some(Attempt { endpoint, is_probe })
    }

    /// The result of an attempt to connect, of which the endpoint's health takes note.
    async fn watch<T>(&self, dial: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let health = self.endpoint.health();
        let mut dial = std::pin::pin!(dial);
        let early = tokio::time::timeout(SUSPECT_AFTER, &mut dial).await;
        let dialled = if let Ok(dialled) = early {
            dialled
        } else {
            health.failed();
            dial.await
        };
        match &dialled {
            Ok(_) => health.connected(),
            // That descriptors have run out is not the server's fault.
            Err(error) if connect::is_exhaustion(error) => {}
            Err(_) => health.failed(),
        }
        dialled
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.endpoint.health().end_probe();
        }
    }
}

#[cfg(test)]
mod tests;
