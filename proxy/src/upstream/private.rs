//! Connections that a server has authenticated for one client, between that client's requests.
//!
//! They are in no pool: they stay with their client until either side closes. Owned by the
//! client's connection; filled when an exchange ends, and asked before `checkout`.

use std::rc::Rc;

use super::checkout::CheckoutError;
use super::connection::{Check, Connection};
use super::endpoint::Permit;
use super::lease::{Active, Lease, Origin, Queued};
use super::local::{LocalCluster, LocalEndpoint, LocalSet};
use super::stream::ServerStream;

/// One client's connections, at most one for each cluster. Idle ones take no slot.
#[derive(Debug, Default)]
pub struct PrivateConnections(Vec<Private>);

#[derive(Debug)]
struct Private {
    connection: Box<Connection>,
    cluster: Rc<LocalCluster>,
    endpoint: Rc<LocalEndpoint>,
}

impl PrivateConnections {
    /// Keeps the lease's connection, if it can serve again, and gives its slot back.
    pub fn put(&mut self, lease: Lease) {
        let Some((mut connection, cluster, endpoint)) = lease.into_reusable() else {
            return;
        };
        connection.wire.rest();
        self.0
            .retain(|private| !Rc::ptr_eq(&private.cluster, &cluster));
        self.0.push(Private {
            connection,
            cluster,
            endpoint,
        });
    }

    /// A lease on the connection to this cluster; None if there is none that still serves.
    ///
    /// # Errors
    /// [`CheckoutError::QueueFull`]; the connection is kept.
    ///
    /// # Cancel safety
    /// Safe: the connection is kept.
    pub async fn take(
        &mut self,
        cluster: &Rc<LocalCluster>,
    ) -> Result<Option<Lease>, CheckoutError> {
        let is_its = |private: &Private| Rc::ptr_eq(&private.cluster, cluster);
        let Some(index) = self.0.iter().position(is_its) else {
            return Ok(None);
        };
        let set = cluster.set();
        if !self.0[index].is_usable(&set) {
            self.0.swap_remove(index);
            return Ok(None);
        }
        let permit = self.0[index].permit(&set).await?;
        // It may have ended while the slot was waited for.
        let mut private = self.0.swap_remove(index);
        Ok(private
            .is_usable(&set)
            .then(|| private.into_lease(set, permit)))
    }
}

impl Private {
    /// Waits in line for a slot of its server.
    async fn permit(&self, set: &LocalSet) -> Result<Permit, CheckoutError> {
        let server = self.endpoint.endpoint().server();
        if let Some(permit) = server.try_permit() {
            return Ok(permit);
        }
        let limit = set.settings.timeouts.queue;
        let _waiting = Queued::new(&self.cluster);
        let permit = tokio::time::timeout(limit, server.permit()).await;
        permit.map_err(|_| CheckoutError::QueueFull(limit))
    }

    fn into_lease(self, set: Rc<LocalSet>, permit: Permit) -> Lease {
        let server = self.endpoint.endpoint().server();
        server.counts(self.cluster.worker).exchanges.count();
        let active = Active::new(&self.cluster, &self.endpoint);
        Lease::new(
            ServerStream::Http1(self.connection),
            Origin::Pooled,
            active,
            set,
            permit,
        )
    }

    /// Whether its server is still configured, and has neither closed it nor said anything.
    fn is_usable(&mut self, set: &LocalSet) -> bool {
        let mut endpoints = set.servers.iter().flat_map(|server| &server.endpoints);
        endpoints.any(|endpoint| Rc::ptr_eq(endpoint, &self.endpoint))
            && self.connection.is_alive(Check::Socket)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::upstream::testing::{Bed, closed};
    use crate::upstream::{Needs, Reuse};

    fn bed(servers: &str) -> (Bed, Rc<LocalCluster>) {
        let mut bed = Bed::new(servers);
        bed.listen("1");
        bed.listen("2");
        let cluster = bed.start();
        (bed, cluster)
    }

    /// Keeps a new connection to the cluster.
    async fn keep(private: &mut PrivateConnections, cluster: &Rc<LocalCluster>) {
        let mut lease = cluster.checkout(Reuse::Fresh, Needs::Any).await.unwrap();
        lease.stream.make_private();
        private.put(lease);
    }

    #[tokio::test]
    async fn each_cluster_has_its_own() {
        let (one, two) = (bed("a=1"), bed("a=1"));
        let mut private = PrivateConnections::default();
        for (_, cluster) in [&one, &two] {
            assert!(private.take(cluster).await.unwrap().is_none());
            keep(&mut private, cluster).await;
        }
        for (_, cluster) in [&one, &two] {
            let lease = private.take(cluster).await.unwrap().unwrap();
            assert_eq!(lease.origin, Origin::Pooled);
            assert!(private.take(cluster).await.unwrap().is_none());
            private.put(lease);
        }
        // A further one to the same cluster takes the place of the first.
        let (bed, cluster) = one;
        let first = bed.accept("1").await;
        keep(&mut private, &cluster).await;
        closed(first).await;
    }

    #[tokio::test]
    async fn one_that_cannot_serve_is_closed() {
        let (mut bed, cluster) = bed("a=1");
        let mut private = PrivateConnections::default();
        keep(&mut private, &cluster).await;
        drop(bed.accept("1").await);
        assert!(private.take(&cluster).await.unwrap().is_none(), "ended");
        keep(&mut private, &cluster).await;
        let mut peer = bed.accept("1").await;
        peer.write_all(b"H").await.unwrap();
        assert!(private.take(&cluster).await.unwrap().is_none(), "spoke");
        keep(&mut private, &cluster).await;
        let peer = bed.accept("1").await;
        bed.configure("a=2");
        cluster.apply(&bed.reload());
        assert!(private.take(&cluster).await.unwrap().is_none(), "gone");
        closed(peer).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_a_slot_while_it_serves() {
        let (_bed, cluster) = bed("a=1*1");
        let mut private = PrivateConnections::default();
        keep(&mut private, &cluster).await;
        let other = cluster.checkout(Reuse::Fresh, Needs::Any).await.unwrap();
        let full = private.take(&cluster).await;
        assert!(matches!(full, Err(CheckoutError::QueueFull(_))));
        drop(other);
        let lease = private.take(&cluster).await.unwrap().unwrap();
        assert!(matches!(
            cluster.checkout(Reuse::Fresh, Needs::Any).await,
            Err(CheckoutError::QueueFull(_))
        ));
        drop(lease);
        cluster.checkout(Reuse::Fresh, Needs::Any).await.unwrap();
    }
}
