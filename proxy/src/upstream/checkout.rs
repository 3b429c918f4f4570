//! The path from a cluster to a lease: chooses the endpoint and the connection for a request.
//!
//! The balancer chooses among the usable endpoints. An endpoint that refuses connections gets no
//! requests until the keeper has connected to it again; its requests go to other endpoints. If no
//! other endpoint is left, requests go to such endpoints all the same. A single server that
//! restarts is therefore used as soon as it listens again. If those attempts fail too, the request
//! waits for `retry.pause` and starts over, up to `retry.attempts` times.

mod binding;
mod demand;
mod error;
mod patience;
mod search;

use std::rc::Rc;

use self::patience::Patience;
use self::search::Search;
use super::lease::Lease;
use super::local::LocalCluster;

pub use self::demand::{Bound, Demand, Reuse};
pub use self::error::{CheckoutError, DialError};

impl LocalCluster {
    /// Returns a connection for one exchange: an idle one to the chosen endpoint, or a new one.
    ///
    /// # Errors
    /// [`CheckoutError`], which results in a 503.
    ///
    /// # Cancel safety
    /// Safe: dropping the future releases the slot and the connection.
    pub async fn checkout(self: &Rc<Self>, demand: &Demand<'_>) -> Result<Lease, CheckoutError> {
        let patience = Patience::default();
        if let Some(bound) = demand.bound {
            let mut search = Search::new(self, demand, &patience);
            if let Some(lease) = search.bound(bound).await? {
                return Ok(lease);
            }
            if let Bound::OnlyServer(_) = bound {
                if demand.avoid.is_empty() {
                    return Err(search.failed());
                }
                // The request has failed at this server before, but must not go to any other.
                tokio::time::sleep(search.set.settings.backend.retry.pause).await;
                search.renew();
                search.skips_failed = false;
                return match search.bound(bound).await? {
                    Some(lease) => Ok(lease),
                    None => Err(search.failed()),
                };
            }
        }
        let mut skips_failed = true;
        loop {
            let mut search = Search::new(self, demand, &patience);
            search.skips_failed = skips_failed;
            if search.has_only_avoided() {
                // The request has already failed at every usable server.
                tokio::time::sleep(search.set.settings.backend.retry.pause).await;
                skips_failed = false;
                search.renew();
                search.skips_failed = false;
            }
            let error = match search.run().await {
                Ok(lease) => return Ok(lease),
                Err(error) => error,
            };
            let CheckoutError::Unreachable(failures) = &error else {
                return Err(error);
            };
            // A TLS error will not go away during a short pause.
            if !failures.iter().any(DialError::is_transient) {
                return Err(error);
            }
            let settings = Rc::clone(&search.set.settings);
            drop(search);
            let connect = demand.connect_timeout(&settings.backend);
            if !patience.pause(&settings.backend, connect).await {
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests;
