//! Conversion of DNS answers to addresses of endpoints.

use super::resolver::{Preference, Target};
use crate::upstream::endpoint::Address;
use crate::upstream::endpoint_set::Found;

/// Converts the targets of a name to the addresses of a server.
pub(super) fn found(targets: Vec<Target>) -> Vec<Found> {
    let targets = targets.into_iter().map(|target| Found {
        address: Address::Tcp(target.address),
        weight: target.weight,
        priority: target.priority,
        is_fallback: target.preference == Preference::Fallback,
    });
    targets.collect()
}
