//! From a cluster to a lease: which endpoint serves a request, and over which connection.
//!
//! The balancer chooses among the endpoints that are usable. One that cannot be connected to gets no
//! request until the keeper has found that it can be again; the request goes to another. Where no
//! other is left, requests go to such endpoints all the same: a lone server that restarts is used the
//! moment it listens again. If that fails too, the request waits for `retry.pause` and begins anew, up
//! to `retry.attempts` times.

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
    /// A connection for one exchange: an idle one of the endpoint that is chosen for it, or a new
    /// one.
    ///
    /// # Errors
    /// [`CheckoutError`], answered 503.
    ///
    /// # Cancel safety
    /// Safe: dropping it gives slot and connection back.
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
                // It has failed there before, and may go nowhere else.
                tokio::time::sleep(search.set.settings.backend.retry.pause).await;
                search.renew();
                search.is_choosy = false;
                return match search.bound(bound).await? {
                    Some(lease) => Ok(lease),
                    None => Err(search.failed()),
                };
            }
        }
        let mut is_choosy = true;
        loop {
            let mut search = Search::new(self, demand, &patience);
            search.is_choosy = is_choosy;
            if search.has_only_avoided() {
                // The server that has just failed is the only one.
                tokio::time::sleep(search.set.settings.backend.retry.pause).await;
                is_choosy = false;
                search.renew();
                search.is_choosy = false;
            }
            let error = match search.run().await {
                Ok(lease) => return Ok(lease),
                Err(error) => error,
            };
            let CheckoutError::Unreachable(failures) = &error else {
                return Err(error);
            };
            // What is wrong with TLS will not be right in a moment.
            if !failures.iter().any(DialError::may_pass) {
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
