//! Ejection of endpoints where requests fail.

use std::sync::Arc;

use super::Cluster;
use crate::config::Outlier;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::failure::Failure;
use crate::upstream::health::{Condition, Tried};

impl Cluster {
    /// Records that a request has failed at this endpoint. After too many failures the endpoint is
    /// ejected, unless too many endpoints are ejected already, or no other endpoint is usable. An
    /// endpoint on trial is ejected in any case.
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
        // Two concurrent ejections could exceed the limit. The second one is skipped, and the
        // endpoint's next failure tries again.
        let Ok(_alone) = self.ejecting.try_lock() else {
            return;
        };
        let set = self.endpoints.load();
        let (mut all, mut ejected, mut has_usable) = (1, 1, false);
        for other in set.endpoints() {
            if other.endpoint.id() == endpoint.id() {
                continue;
            }
            all += 1;
            let condition = other.endpoint.condition();
            ejected += usize::from(matches!(condition, Condition::Ejected | Condition::Trial));
            has_usable |= other.endpoint.is_usable() && set.weight(other) > 0;
        }
        // One endpoint can be ejected however few there are, unless `max_ejected` is 0.
        let is_allowed = ejected == 1 && outlier.max_ejected > 0
            || ejected * 100 <= all * outlier.max_ejected as usize;
        if has_usable && is_allowed || endpoint.condition() == Condition::Trial {
            endpoint.eject(outlier, &failure);
        }
    }
}
