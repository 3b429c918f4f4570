//! Which endpoints are ejected for the requests that fail there.

use std::sync::Arc;

use super::Cluster;
use crate::config::Outlier;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::failure::Failure;
use crate::upstream::health::{Condition, Tried};

impl Cluster {
    /// A request has failed at this endpoint, which may be one too many: then it is ejected, unless
    /// too many are already, or no other is usable.
    pub(in crate::upstream) fn fail(
        &self,
        endpoint: &Arc<Endpoint>,
        outlier: &Outlier,
        failure: Failure,
        of: Tried,
    ) {
        if !endpoint.health().failed(outlier, of) {
            return;
        }
        // Two at once could eject too many. Whoever comes second leaves it to the next failure.
        let Ok(_alone) = self.ejecting.try_lock() else {
            return;
        };
        let set = self.endpoints.load();
        let (mut all, mut ejected, mut has_usable) = (1, 1, false);
        for other in set.choices() {
            if other.endpoint.id() == endpoint.id() {
                continue;
            }
            all += 1;
            let condition = other.endpoint.condition();
            ejected += usize::from(matches!(condition, Condition::Ejected | Condition::Trial));
            has_usable |= other.endpoint.is_usable() && set.weight(other) > 0;
        }
        // One may always be ejected, however few there are.
        let is_allowed = ejected == 1 && outlier.max_ejected > 0
            || ejected * 100 <= all * outlier.max_ejected as usize;
        if has_usable && is_allowed || endpoint.condition() == Condition::Trial {
            endpoint.eject(outlier, &failure);
        }
    }
}
