//! The endpoints of a set that are eligible for requests at one moment.
//!
//! Each worker creates its own view again after each change to a server's condition, state or
//! weight.

use std::time::Duration;

use tokio::time::Instant;

use super::balance::Candidates;
use super::endpoint::Standing;
use super::endpoint_set::{EndpointEntry, EndpointSet};
use super::health::Condition;
use super::settings::Settings;
use crate::config::ServerState;

/// Sets larger than this are scanned at most once per [`MIN_AGE`]. A view of such a set can
/// therefore be outdated, so each user of a view checks the endpoint again.
const SMALL: usize = 64;

const MIN_AGE: Duration = Duration::from_millis(10);

/// The endpoints of a set, grouped by the requests that they are eligible for.
#[derive(Debug, Default)]
pub(super) struct View {
    epoch: u64,
    /// Time of creation, for large sets only.
    made: Option<Instant>,
    pub(super) candidates: Candidates,
    /// Endpoints on trial, each of which is tested by one request at a time.
    pub(super) trials: Vec<usize>,
    /// Endpoints for requests that no other endpoint can serve.
    pub(super) suspects: Vec<usize>,
    /// Whether so few endpoints are usable that all endpoints of ready servers count as usable.
    pub(super) is_panic: bool,
}

impl View {
    pub(super) fn new(set: &EndpointSet, settings: &Settings, epoch: u64) -> View {
        let mut view = View {
            epoch,
            made: (set.endpoints().len() > SMALL).then(Instant::now),
            ..View::default()
        };
        let mut usable = Vec::new();
        let mut ready = 0;
        let mut all_usable = 0;
        for server_entry in set.servers() {
            let entries = set.endpoints_of(server_entry);
            let first = server_entry.position();
            let is_usable = |entry: &EndpointEntry| entry.endpoint.standing() == Standing::Usable;
            let has_preferred = entries
                .iter()
                .any(|entry| !entry.is_fallback && is_usable(entry));
            for (position, entry) in (first..).zip(entries) {
                let standing = entry.endpoint.standing();
                if entry.endpoint.server().state() == ServerState::Ready {
                    ready += 1;
                    all_usable += usize::from(standing == Standing::Usable);
                }
                match standing {
                    Standing::Usable if entry.is_fallback && has_preferred => {}
                    Standing::Usable => usable.push(position),
                    Standing::Trial => {
                        if !(entry.is_fallback && has_preferred) {
                            view.trials.push(position);
                        }
                        view.suspects.push(position);
                    }
                    Standing::Suspect => view.suspects.push(position),
                    Standing::Draining | Standing::Unusable => {}
                }
            }
        }
        let entry = |position: usize| &set.endpoints()[position];
        let panic = settings.backend.outlier.panic as usize;
        if all_usable * 100 < panic * ready {
            let positions = 0..set.endpoints().len();
            let is_ready =
                |position: &usize| entry(*position).endpoint.server().state() == ServerState::Ready;
            usable = positions.filter(is_ready).collect();
            view.is_panic = true;
        }
        let weighed = usable.into_iter().filter_map(|position| {
            let weight = set.weight(entry(position));
            (weight > 0).then_some((position, weight))
        });
        let weighed: Vec<_> = weighed.collect();
        // The candidates are the usable endpoints of the lowest tier that has any. The next tier
        // follows once no endpoint of this tier is usable.
        let tiers = weighed.iter().map(|(position, _)| entry(*position).tier);
        let tier = tiers.min();
        let first = weighed
            .into_iter()
            .filter(|(position, _)| Some(entry(*position).tier) == tier);
        view.candidates = Candidates::new(first, epoch);
        // Meanwhile, backups are not tested: they serve only when no other server can. Servers of
        // weight 0 serve only their sessions, so no other request tries them.
        let has_weight = |position: &usize| set.weight(entry(*position)) > 0;
        let is_first = |position: &usize| tier.is_none_or(|tier| entry(*position).tier <= tier);
        view.trials
            .retain(|position| has_weight(position) && is_first(position));
        view.suspects.retain(has_weight);
        view.suspects
            .sort_by_key(|position| View::rank(set, *position));
        view
    }

    /// Returns the sort key of a suspect. Endpoints that accept connections, and can therefore
    /// respond, come before unreachable ones.
    pub(super) fn rank(set: &EndpointSet, position: usize) -> (bool, u32) {
        let entry = &set.endpoints()[position];
        let is_unreachable = entry.endpoint.condition() == Condition::Unreachable;
        (is_unreachable, entry.tier)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns whether the view is old enough to be replaced.
    pub(super) fn may_be_renewed(&self) -> bool {
        self.made.is_none_or(|made| made.elapsed() >= MIN_AGE)
    }
}
