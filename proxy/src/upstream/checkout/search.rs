//! A request's search for an endpoint and a connection.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::demand::Demand;
use super::error::{CheckoutError, DialError};
use super::patience::{Patience, longest};
use crate::config::HttpReuse;
use crate::upstream::balance::Field;
use crate::upstream::connect::{self, DialCause};
use crate::upstream::connection::Check;
use crate::upstream::endpoint::{Endpoint, EndpointId, Permit, Standing};
use crate::upstream::establish::{Established, Limits};
use crate::upstream::http2::Sharing;
use crate::upstream::lease::{Active, Lease, Origin, Queued, Trial};
use crate::upstream::local::{AsOf, LocalCluster, LocalEndpoint, LocalSet};
use crate::upstream::server::Counts;
use crate::upstream::stream::ServerStream;
use crate::upstream::view::View;

/// Duration of a connection attempt after which other requests avoid the endpoint.
///
/// An attempt that takes this long means that the host is gone, or that the first SYN was lost,
/// since a SYN is sent again after a second (RFC 6298, section 2). Without this limit, all requests
/// of a whole `timeout.connect` would wait for a host that has just gone silent.
pub(super) const SUSPECT_AFTER: Duration = Duration::from_secs(1);

/// Maximum number of connection attempts that a request makes before it pauses. Without the limit,
/// a request that no server can serve would make one attempt for each server.
pub(super) const MAX_DIALS: usize = 16;

/// The state of a request's search for a connection.
pub(super) struct Search<'a> {
    pub(super) cluster: &'a Rc<LocalCluster>,
    pub(super) set: Rc<LocalSet>,
    pub(super) view: Rc<View>,
    pub(super) demand: &'a Demand<'a>,
    patience: &'a Patience,
    /// Whether the request avoids the endpoints where it has failed.
    pub(super) skips_failed: bool,
    /// How to check an idle connection. `None`: the request must not use an idle connection.
    idle: Option<Check>,
    /// Which HTTP/2 connections the request can share.
    sharing: Sharing,
    /// Deadline for waiting for connections that other requests establish.
    wait_until: Option<Instant>,
    /// Endpoints to which no connection could be established, with the errors. No endpoint is tried
    /// twice.
    failures: Vec<(Rc<LocalEndpoint>, io::Error)>,
}

/// Adapter through which the balancer reads the facts about a search's candidates.
struct Open<'a, 's>(&'a Search<'s>);

impl Field for Open<'_, '_> {
    fn total_load(&self) -> u32 {
        self.0.cluster.cluster.active()
    }

    fn load(&self, candidate: usize) -> u32 {
        self.0.set.endpoint(candidate).active()
    }

    #[inline]
    fn is_open(&self, candidate: usize) -> bool {
        let search = self.0;
        let endpoint = search.set.endpoint(candidate);
        // The view can be slightly outdated, so the endpoint itself is checked.
        let is_usable = search.view.is_panic || endpoint.standing() == Standing::Usable;
        is_usable && endpoint.has_free_slot() && !search.is_ruled_out(endpoint.id())
    }

    fn latency(&self, candidate: usize) -> Option<f64> {
        let latency = &self.0.set.used(candidate)?.latency;
        latency.seconds(Instant::now())
    }

    fn token(&self, candidate: usize) -> u64 {
        self.0.set.source.endpoints()[candidate].token
    }
}

/// An endpoint with a slot for a request.
pub(super) struct Chosen {
    pub(super) position: usize,
    pub(super) permit: Permit,
    pub(super) trial: Option<Trial>,
}

/// The next endpoint to try.
enum Next {
    Try(Chosen),
    /// No endpoint that could serve the request has a free slot.
    Full,
    /// No endpoint is left.
    None,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        cluster: &'a Rc<LocalCluster>,
        demand: &'a Demand<'a>,
        patience: &'a Patience,
    ) -> Search<'a> {
        let set = cluster.set();
        let http_reuse = set.settings.backend.http_reuse;
        let reuse = demand.reuse;
        Search {
            cluster,
            view: set.view(&cluster.cluster, AsOf::Lately),
            set,
            demand,
            patience,
            skips_failed: true,
            idle: reuse.is_allowed(http_reuse).then(|| reuse.check()),
            sharing: reuse.sharing(http_reuse),
            wait_until: None,
            failures: Vec::new(),
        }
    }

    /// Adopts the current set and an up-to-date view. Called after a wait.
    pub(super) fn renew(&mut self) {
        self.set = self.cluster.set();
        self.view = self.set.view(&self.cluster.cluster, AsOf::Now);
    }

    /// Adopts the current set and an up-to-date view. Returns whether the view has changed.
    fn has_news(&mut self) -> bool {
        let before = self.view.epoch();
        self.renew();
        self.view.epoch() != before
    }

    pub(super) fn is_ruled_out(&self, id: EndpointId) -> bool {
        self.skips_failed && self.demand.avoid.contains(&id) || self.has_failed(id)
    }

    fn has_failed(&self, id: EndpointId) -> bool {
        let mut failures = self.failures.iter();
        failures.any(|(failed, _)| failed.endpoint().id() == id)
    }

    /// Returns whether the request has failed at every usable endpoint.
    pub(super) fn has_only_avoided(&self) -> bool {
        let avoid = self.demand.avoid;
        let mut candidates = self.view.candidates.list().iter();
        self.skips_failed
            && !avoid.is_empty()
            && candidates.all(|position| avoid.contains(&self.set.endpoint(*position).id()))
    }

    pub(super) async fn run(&mut self) -> Result<Lease, CheckoutError> {
        loop {
            let chosen = match self.next() {
                Next::Try(chosen) => chosen,
                Next::Full => self.queue().await?,
                // The view can be outdated: an endpoint that was usable a moment ago can be suspect
                // by now.
                Next::None if self.has_news() => continue,
                Next::None => break,
            };
            if let Some(lease) = self.connect(chosen).await {
                return Ok(lease);
            }
        }
        loop {
            let chosen = match self.next_suspect() {
                Next::Try(chosen) => chosen,
                Next::Full if self.failures.is_empty() => self.queue().await?,
                Next::Full | Next::None => break,
            };
            if let Some(lease) = self.connect(chosen).await {
                return Ok(lease);
            }
        }
        Err(self.failed())
    }

    /// Returns the number of endpoints to which no connection could be established.
    pub(super) fn failure_count(&self) -> usize {
        self.failures.len()
    }

    /// Returns the reason why there is no connection.
    pub(super) fn failed(&mut self) -> CheckoutError {
        if self.failures.is_empty() {
            return CheckoutError::NoneUsable;
        }
        self.unreachable()
    }

    fn connect_timeout(&self) -> Duration {
        self.demand.connect_timeout(&self.set.settings.backend)
    }

    /// Returns the next suspect endpoint, for a request that no usable endpoint can serve. If
    /// several are equal in rank, each request starts at a different one.
    fn next_suspect(&self) -> Next {
        // The limit is extended by one pause, since the last attempt starts a little late.
        let backend = &self.set.settings.backend;
        let is_late = self
            .patience
            .is_over(longest(backend, self.connect_timeout()).saturating_add(backend.retry.pause));
        if is_late || self.failures.len() >= MAX_DIALS {
            return Next::None;
        }
        let mut is_full = false;
        let rank = |position: &usize| View::rank(&self.set.source, *position);
        let view = &self.view;
        let groups = view
            .suspects
            .chunk_by(|one, other| rank(one) == rank(other));
        // The candidates are included because the view, in particular that of a large set, can be
        // outdated.
        for group in groups.chain([view.candidates.list()]) {
            let start = self.set.balancer.any(group.len());
            let (later, sooner) = group.split_at(start);
            for &position in sooner.iter().chain(later) {
                let endpoint = self.set.endpoint(position);
                let is_possible = match endpoint.standing() {
                    Standing::Usable => !self.is_ruled_out(endpoint.id()),
                    Standing::Suspect | Standing::Trial => !self.has_failed(endpoint.id()),
                    Standing::Draining | Standing::Unusable => false,
                };
                if !is_possible {
                    continue;
                }
                if let Some(permit) = endpoint.overtaking_permit() {
                    return Next::Try(Chosen {
                        position,
                        permit,
                        trial: None,
                    });
                }
                is_full = true;
            }
        }
        if is_full { Next::Full } else { Next::None }
    }

    fn next(&self) -> Next {
        if !self.failures.is_empty() && self.has_tried_enough() {
            return Next::None;
        }
        if let Some(chosen) = self.trial() {
            return Next::Try(chosen);
        }
        let (candidates, balancer) = (&self.view.candidates, &self.set.balancer);
        if let Some(position) = balancer.choose(candidates, self.demand.key, &Open(self))
            && let Some(permit) = self.set.endpoint(position).try_permit()
        {
            return Next::Try(Chosen {
                position,
                permit,
                trial: None,
            });
        }
        let mut left = candidates.list().iter();
        let is_full = left.any(|position| {
            let endpoint = self.set.endpoint(*position);
            (self.view.is_panic || endpoint.is_usable()) && !self.is_ruled_out(endpoint.id())
        });
        if is_full { Next::Full } else { Next::None }
    }

    /// Returns whether the search among usable endpoints has used up its time or its attempts.
    pub(super) fn has_tried_enough(&self) -> bool {
        let backend = &self.set.settings.backend;
        let limit = self.connect_timeout() * (backend.retry.attempts + 1);
        self.patience.is_over(limit) || self.failures.len() >= MAX_DIALS
    }

    /// Returns an endpoint on trial that no other request is testing, together with a slot.
    fn trial(&self) -> Option<Chosen> {
        self.view.trials.iter().find_map(|&position| {
            let endpoint = self.set.endpoint(position);
            if self.is_ruled_out(endpoint.id()) {
                return None;
            }
            let trial = Trial::begin(endpoint)?;
            Some(Chosen {
                position,
                // The request that tests an endpoint overtakes the requests that wait in the queue.
                permit: endpoint.overtaking_permit()?,
                trial: Some(trial),
            })
        })
    }

    /// Waits in the queue for a slot of any endpoint.
    async fn queue(&mut self) -> Result<Chosen, CheckoutError> {
        let limit = self.demand.queue_timeout(&self.set.settings.backend);
        let place = self.cluster.cluster.shared.queue.enter();
        let place = place.ok_or(CheckoutError::QueueFull)?;
        let _waiting = Queued::new(self.cluster);
        // A server where the request has failed is better than no server. Besides, a request that
        // declined free slots would block the requests behind it in the queue.
        self.skips_failed = false;
        let take = || {
            self.renew();
            if let Some(chosen) = self.trial() {
                return Some(chosen);
            }
            let (candidates, balancer) = (&self.view.candidates, &self.set.balancer);
            let Some(position) = balancer.choose(candidates, self.demand.key, &Open(self)) else {
                return match self.next_suspect() {
                    Next::Try(chosen) if candidates.list().is_empty() => Some(chosen),
                    _ => None,
                };
            };
            let permit = self.set.endpoint(position).overtaking_permit()?;
            Some(Chosen {
                position,
                permit,
                trial: None,
            })
        };
        let chosen = tokio::time::timeout(limit, place.wait(take)).await;
        chosen.map_err(|_| CheckoutError::QueueTimeout(limit))
    }

    /// Obtains a connection to the endpoint. On failure, returns `None` and releases the permit.
    pub(super) async fn connect(&mut self, chosen: Chosen) -> Option<Lease> {
        let local = self.cluster.local(&self.set, chosen.position);
        // The request counts from here on, because an endpoint where many requests wait for a
        // connection must not seem idle.
        let active = Active::new(self.cluster, &local);
        if let Some(idle) = self.idle(&local) {
            return Some(self.lease(idle, Origin::Pooled, active, chosen));
        }
        if let Some(stream) = self.wait(&local).await {
            return Some(self.lease(stream, Origin::Pooled, active, chosen));
        }
        match self.dial(&local).await {
            Ok(stream) => Some(self.lease(stream, Origin::Dialled, active, chosen)),
            Err(error) => {
                self.counts(&local).refused.count();
                self.failures.push((local, error));
                None
            }
        }
    }

    /// Returns whether the request can use a stream of a shared connection.
    fn may_share(&self, local: &LocalEndpoint) -> bool {
        let handshake = &local.handshake;
        self.sharing != Sharing::None
            && handshake.allows_http2(self.demand.needs)
            && !handshake.names_clients()
    }

    /// Waits for a connection that another request is establishing, and returns a stream of it.
    /// This prevents a burst of requests from opening one connection each. All such waits of a
    /// request together take at most `timeout.connect`.
    async fn wait(&mut self, local: &LocalEndpoint) -> Option<ServerStream> {
        let limit = self.connect_timeout();
        let shared = &local.pool.shared;
        while self.may_share(local) && shared.is_worth_waiting_for() {
            let until = *self
                .wait_until
                .get_or_insert_with(|| Instant::now() + limit);
            timeout_at(until, shared.dialled()).await.ok()?;
            let stream = self.idle(local);
            if stream.is_some() {
                return stream;
            }
        }
        None
    }

    /// Returns an idle connection, or a stream of a shared one.
    fn idle(&self, local: &LocalEndpoint) -> Option<ServerStream> {
        if local.handshake.names_clients() {
            return None;
        }
        if self.may_share(local)
            && let Some(stream) = local.pool.shared.stream(self.sharing)
        {
            return Some(ServerStream::Http2(stream));
        }
        local.pool.take(self.idle?).map(ServerStream::Http1)
    }

    /// Establishes a new connection.
    async fn dial(&self, local: &LocalEndpoint) -> io::Result<ServerStream> {
        let backend = &self.set.settings.backend;
        let budget = &self.cluster.budget;
        let shared = &local.pool.shared;
        let handshake = &local.handshake;
        let needs = self.demand.needs;
        let allows_http2 = handshake.allows_http2(needs);
        let _dialling = allows_http2.then(|| shared.dial());
        budget.make_room();
        let limits = Limits {
            head: backend.limits,
            stall: backend.timeouts.server,
        };
        let endpoint = local.endpoint();
        self.patience.begin();
        let dialling = connect::dial(
            endpoint.address(),
            handshake,
            self.demand.client,
            needs,
            self.connect_timeout(),
            &limits,
        );
        let established = watch(endpoint, dialling).await?;
        self.counts(local).dialled.count();
        let connected = endpoint.server().connected();
        Ok(match established {
            Established::Http1(io) => {
                if allows_http2 {
                    shared.chose_http1(true);
                }
                let mut connection = budget.connection(io, connected);
                // A connection that names its client serves only that client, so it must stay out
                // of the pool.
                if handshake.names_clients() && backend.http_reuse != HttpReuse::Never {
                    connection.make_private();
                }
                ServerStream::Http1(connection)
            }
            Established::Http2(connection, driver) => {
                shared.chose_http1(false);
                let open = budget.open();
                let name = endpoint.server().name();
                ServerStream::Http2(shared.add(*connection, *driver, name, (connected, open)))
            }
        })
    }

    fn lease(&self, stream: ServerStream, origin: Origin, active: Active, chosen: Chosen) -> Lease {
        self.counts(active.endpoint()).exchanges.count();
        let settings = Rc::clone(&self.set.settings);
        let is_timed = self.set.balancer.needs_latency() || self.cluster.cluster.is_measured();
        let begin = is_timed.then(Instant::now);
        let rights = (chosen.permit, chosen.trial);
        Lease::new(stream, origin, active, settings, rights, begin)
    }

    fn counts<'e>(&self, local: &'e LocalEndpoint) -> &'e Counts {
        local.endpoint().server().counts(self.cluster.worker)
    }

    fn unreachable(&mut self) -> CheckoutError {
        let failures = self.failures.drain(..).map(|(local, error)| DialError {
            server: local.server_name().to_owned(),
            address: local.endpoint().address().clone(),
            error,
        });
        CheckoutError::Unreachable(failures.collect())
    }
}

/// Awaits a connection attempt, and records its result in the endpoint's health. If the attempt
/// takes longer than [`SUSPECT_AFTER`], the endpoint counts as unreachable until the attempt ends.
/// If the future is dropped before that, no result is recorded.
async fn watch<T>(endpoint: &Endpoint, dial: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut dial = std::pin::pin!(dial);
    let early = tokio::time::timeout(SUSPECT_AFTER, &mut dial).await;
    let dialled = if let Ok(dialled) = early {
        dialled
    } else {
        let seconds = SUSPECT_AFTER.as_secs_f64();
        endpoint.unreachable(&format_args!("no answer within {seconds} s"));
        dial.await
    };
    match &dialled {
        Ok(_) => endpoint.reached(),
        // A lack of descriptors is not the server's fault.
        Err(error) if DialCause::of(error) == DialCause::Exhausted => {}
        Err(error) => endpoint.unreachable(error),
    }
    dialled
}
