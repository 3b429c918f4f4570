//! Connections that a server has authenticated for one client, between that client's requests.
//!
//! They are in no pool: they stay with their client until either side closes. The client's
//! connection owns them. A connection is added when an exchange ends, and looked up before
//! `checkout`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::checkout::{Bound, CheckoutError, Demand};
use super::connection::{Check, Connection};
use super::endpoint::{Endpoint, Permit, Standing};
use super::lease::{Active, Lease, Origin, Queued};
use super::local::{LocalCluster, LocalEndpoint};
use super::stream::ServerStream;

/// One client's private connections, at most one for each cluster. An idle private connection
/// occupies no slot.
#[derive(Debug, Default)]
pub struct PrivateConnections(Vec<Private>);

#[derive(Debug)]
struct Private {
    connection: Box<Connection>,
    cluster: Rc<LocalCluster>,
    endpoint: Rc<LocalEndpoint>,
}

impl PrivateConnections {
    /// Keeps the lease's connection, if it can be used again, and releases the lease's slot.
    pub fn put(&mut self, lease: Lease) {
        let Some((mut connection, cluster, endpoint)) = lease.into_reusable() else {
            return;
        };
        connection.wire.release_buffers();
        self.0
            .retain(|private| !Rc::ptr_eq(&private.cluster, &cluster));
        self.0.push(Private {
            connection,
            cluster,
            endpoint,
        });
    }

    /// Returns a lease on the client's connection to this cluster. Returns `None` if there is no
    /// usable connection, or if the request must go to another endpoint.
    ///
    /// # Errors
    /// [`CheckoutError::QueueTimeout`], [`CheckoutError::QueueFull`]; the connection is kept.
    ///
    /// # Cancel safety
    /// Safe: the connection is kept.
    pub async fn take(
        &mut self,
        cluster: &Rc<LocalCluster>,
        demand: &Demand<'_>,
    ) -> Result<Option<Lease>, CheckoutError> {
        let is_its = |private: &Private| Rc::ptr_eq(&private.cluster, cluster);
        let Some(index) = self.0.iter().position(is_its) else {
            return Ok(None);
        };
        if !self.0[index].is_usable() {
            self.0.swap_remove(index);
            return Ok(None);
        }
        let endpoint = self.0[index].endpoint.endpoint();
        // One client connection can carry requests of several sessions.
        let is_elsewhere = match demand.bound {
            Some(Bound::Session(id)) => id != endpoint.id(),
            Some(Bound::Server(name) | Bound::OnlyServer(name)) => name != endpoint.server().name(),
            Some(Bound::Key(key)) => cluster
                .preferred(key, demand)
                .is_some_and(|id| id != endpoint.id()),
            // The existing connection takes precedence over `balance`.
            None => false,
        };
        if is_elsewhere || demand.avoid.contains(&endpoint.id()) {
            return Ok(None);
        }
        let limit = demand.queue_timeout(&cluster.set().settings.backend);
        let Some(permit) = cluster.bound_permit(endpoint, limit).await? else {
            return Ok(None);
        };
        // The connection may have ended while the request waited for the slot.
        let mut private = self.0.swap_remove(index);
        Ok(private.is_usable().then(|| private.into_lease(permit)))
    }
}

impl LocalCluster {
    /// Waits in this endpoint's queue for a slot of the endpoint. Returns `None` if the endpoint
    /// has become unusable.
    pub(super) async fn bound_permit(
        &self,
        endpoint: &Arc<Endpoint>,
        limit: Duration,
    ) -> Result<Option<Permit>, CheckoutError> {
        if endpoint.has_no_queue()
            && let Some(permit) = endpoint.try_bound_permit()
        {
            return Ok(Some(permit));
        }
        let place = endpoint.enter_queue().ok_or(CheckoutError::QueueFull)?;
        let _waiting = Queued::new(self);
        let permit = place.wait(|| {
            if endpoint.standing() == Standing::Unusable {
                return Some(None);
            }
            endpoint.try_bound_permit().map(Some)
        });
        let permit = tokio::time::timeout(limit, permit).await;
        permit.map_err(|_| CheckoutError::QueueTimeout(limit))
    }
}

impl Private {
    fn into_lease(self, permit: Permit) -> Lease {
        let server = self.endpoint.endpoint().server();
        server.counts(self.cluster.worker).exchanges.count();
        let settings = self.cluster.settings();
        let active = Active::new(&self.cluster, &self.endpoint);
        let stream = ServerStream::Http1(self.connection);
        Lease::new(
            stream,
            Origin::Pooled,
            active,
            settings,
            (permit, None),
            None,
        )
    }

    /// Returns whether the connection can carry another request: the endpoint still serves its
    /// sessions, and the server has neither closed the connection nor sent anything.
    fn is_usable(&mut self) -> bool {
        let endpoint = self.endpoint.endpoint();
        self.cluster.has(&self.endpoint)
            && endpoint.keeps_sessions()
            && self.connection.is_alive(Check::Socket)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::upstream::hash;
    use crate::upstream::testing::{Bed, closed, fresh};

    fn bed(servers: &str) -> (Bed, Rc<LocalCluster>) {
        let mut bed = Bed::new(servers);
        bed.listen("1");
        bed.listen("2");
        let cluster = bed.start();
        (bed, cluster)
    }

    /// Adds a new connection to the cluster.
    async fn keep(private: &mut PrivateConnections, cluster: &Rc<LocalCluster>) {
        let mut lease = cluster.checkout(&fresh()).await.unwrap();
        lease.stream.make_private();
        private.put(lease);
    }

    #[tokio::test]
    async fn each_cluster_has_its_own_connection() {
        let (one, two) = (bed("a=1"), bed("a=1"));
        let mut private = PrivateConnections::default();
        for (_, cluster) in [&one, &two] {
            assert!(private.take(cluster, &fresh()).await.unwrap().is_none());
            keep(&mut private, cluster).await;
        }
        for (_, cluster) in [&one, &two] {
            let lease = private.take(cluster, &fresh()).await.unwrap().unwrap();
            assert_eq!(lease.origin, Origin::Pooled);
            assert!(private.take(cluster, &fresh()).await.unwrap().is_none());
            private.put(lease);
        }
        // A second connection to the same cluster replaces the first.
        let (bed, cluster) = one;
        let first = bed.accept("1").await;
        keep(&mut private, &cluster).await;
        closed(first).await;
    }

    /// If a request's key prefers another server, the request does not use the connection. The
    /// connection is kept for requests whose keys prefer its own server.
    #[tokio::test]
    async fn a_key_that_prefers_another_server_leaves_it_alone() {
        let (_bed, cluster) = bed("a=1 b=2");
        let mut private = PrivateConnections::default();
        keep(&mut private, &cluster).await;
        let own = private.0[0].endpoint.endpoint().id();
        let mut used = [0, 0];
        for number in 0..32_u8 {
            let demand = Demand {
                bound: Some(Bound::Key(hash::of(&[number]))),
                ..fresh()
            };
            let preferred = cluster.checkout(&demand).await.unwrap();
            let is_own = preferred.endpoint().endpoint().id() == own;
            let taken = private.take(&cluster, &demand).await.unwrap();
            assert_eq!(taken.is_some(), is_own, "{number}");
            used[usize::from(is_own)] += 1;
            if let Some(lease) = taken {
                private.put(lease);
            }
        }
        assert!(used.iter().all(|count| *count > 4), "{used:?}");
    }

    #[tokio::test]
    async fn a_connection_that_cannot_serve_is_closed() {
        let (mut bed, cluster) = bed("a=1");
        let mut private = PrivateConnections::default();
        keep(&mut private, &cluster).await;
        drop(bed.accept("1").await);
        assert!(
            private.take(&cluster, &fresh()).await.unwrap().is_none(),
            "ended"
        );
        keep(&mut private, &cluster).await;
        let mut peer = bed.accept("1").await;
        peer.write_all(b"H").await.unwrap();
        assert!(
            private.take(&cluster, &fresh()).await.unwrap().is_none(),
            "spoke"
        );
        keep(&mut private, &cluster).await;
        let peer = bed.accept("1").await;
        bed.configure("a=2");
        cluster.apply(&bed.reload());
        assert!(
            private.take(&cluster, &fresh()).await.unwrap().is_none(),
            "gone"
        );
        closed(peer).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_takes_a_slot_while_it_serves() {
        let (_bed, cluster) = bed("a=1*1");
        let mut private = PrivateConnections::default();
        keep(&mut private, &cluster).await;
        let other = cluster.checkout(&fresh()).await.unwrap();
        let full = private.take(&cluster, &fresh()).await;
        assert!(matches!(full, Err(CheckoutError::QueueTimeout(_))));
        drop(other);
        let lease = private.take(&cluster, &fresh()).await.unwrap().unwrap();
        assert!(matches!(
            cluster.checkout(&fresh()).await,
            Err(CheckoutError::QueueTimeout(_))
        ));
        drop(lease);
        cluster.checkout(&fresh()).await.unwrap();
    }
}
