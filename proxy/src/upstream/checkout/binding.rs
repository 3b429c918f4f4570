//! Requests that are bound to one endpoint: they wait for that endpoint, even if others are free.

use std::rc::Rc;
use std::sync::Arc;

use super::demand::{Bound, Demand};
use super::error::CheckoutError;
use super::patience::Patience;
use super::search::{Chosen, Search};
use crate::upstream::balance::preferred;
use crate::upstream::endpoint::EndpointId;
use crate::upstream::lease::{Lease, Trial};
use crate::upstream::local::LocalCluster;

impl LocalCluster {
    /// Returns the endpoint that this key prefers among the usable ones.
    pub(in crate::upstream) fn preferred(
        self: &Rc<Self>,
        key: u64,
        demand: &Demand<'_>,
    ) -> Option<EndpointId> {
        let patience = Patience::default();
        let search = Search::new(self, demand, &patience);
        let position = search.preferred(key)?;
        Some(search.set.endpoint(position).id())
    }
}

impl Search<'_> {
    /// Returns a connection to the endpoint to which the request is bound, or `None` if that
    /// endpoint does not serve the request.
    ///
    /// # Errors
    /// The request has waited for too long, or too many requests are waiting already.
    pub(super) async fn bound(&mut self, bound: Bound<'_>) -> Result<Option<Lease>, CheckoutError> {
        let (Bound::Server(name) | Bound::OnlyServer(name)) = bound else {
            let position = match bound {
                Bound::Session(id) => self.set.source.position(id),
                Bound::Key(key) => self.preferred(key),
                Bound::Server(_) | Bound::OnlyServer(_) => None,
            };
            return match position {
                Some(position) => self.bound_to(position, bound).await,
                None => Ok(None),
            };
        };
        // If one address of the server fails, the request tries the server's other addresses, but
        // none twice.
        while let Some(position) = self.of_server(name) {
            let failed = self.failure_count();
            let lease = self.bound_to(position, bound).await?;
            if lease.is_some() || self.failure_count() == failed || self.has_tried_enough() {
                return Ok(lease);
            }
        }
        Ok(None)
    }

    /// Returns a connection to this endpoint, or `None` if the endpoint does not serve the request.
    async fn bound_to(
        &mut self,
        position: usize,
        bound: Bound<'_>,
    ) -> Result<Option<Lease>, CheckoutError> {
        let endpoint = Arc::clone(self.set.endpoint(position));
        let accepts = match bound {
            Bound::Session(_) => endpoint.keeps_sessions(),
            // The candidates of the view meet the same condition. It is checked again because the
            // view can be outdated.
            _ => endpoint.is_usable(),
        };
        // Only bound requests still go to this endpoint, so one of them has to test whether it
        // serves again.
        let trial = (!accepts && endpoint.is_on_trial()).then(|| Trial::begin(&endpoint));
        let trial = trial.flatten();
        if !accepts && trial.is_none() || self.is_ruled_out(endpoint.id()) {
            return Ok(None);
        }
        let limit = self.demand.queue_timeout(&self.set.settings.backend);
        let permit = self.cluster.bound_permit(&endpoint, limit).await?;
        let Some(permit) = permit else {
            return Ok(None);
        };
        let chosen = Chosen {
            position,
            permit,
            trial,
        };
        Ok(self.connect(chosen).await)
    }

    /// Returns the usable endpoint that a key prefers, with or without a free slot.
    fn preferred(&self, key: u64) -> Option<usize> {
        preferred(&self.view.candidates, key, |position| {
            let entry = &self.set.source.endpoints()[position];
            let is_candidate =
                entry.endpoint.is_usable() && !self.is_ruled_out(entry.endpoint.id());
            is_candidate.then_some(entry.token)
        })
    }

    /// Returns the least loaded usable endpoint of a server. If none is usable, returns any that is
    /// on trial.
    fn of_server(&self, name: &str) -> Option<usize> {
        let entries = self.set.source.of(name);
        let usable = entries
            .iter()
            .filter(|entry| entry.endpoint.is_usable() && !self.is_ruled_out(entry.endpoint.id()));
        let least = usable.min_by_key(|entry| {
            let endpoint = &entry.endpoint;
            (
                entry.is_fallback,
                !endpoint.has_free_slot(),
                endpoint.active(),
            )
        });
        let any = || {
            let mut entries = entries.iter();
            entries.find(|entry| {
                entry.endpoint.is_on_trial() && !self.is_ruled_out(entry.endpoint.id())
            })
        };
        let entry = least.or_else(any)?;
        self.set.source.position(entry.endpoint.id())
    }
}
