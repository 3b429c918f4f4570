//! The gradual rollout of a version alongside the active one. Either requests are mirrored to the
//! new version, or it decides for a share of the clients.
//!
//! There is one [`Rollout`] for all workers. Started and ended by the module `crate::rollout`; used
//! by `router`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use http::HeaderName;

use super::results::Results;
use super::version::Version;

/// Number of units that make up 100 percent. A share is a number of these units.
const WHOLE: u32 = 10_000;

/// A version that is being rolled out.
#[derive(Debug)]
pub struct Rollout {
    version: Arc<Version>,
    mode: Mode,
    share: Share,
    results: Arc<Results>,
}

/// How a version is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A share of the requests is mirrored to the version. Its decisions are compared, but have no
    /// effect.
    Mirror,
    /// The version decides for a share of the clients.
    Canary,
}

/// A share of the requests or of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Mode {
    /// Returns the mode's name in flags, JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Mirror => "shadow",
            Mode::Canary => "canary",
        }
    }
}

impl Share {
    /// Returns the share for a percentage, rounded to a hundredth of a percent. None if the result
    /// is not from 0.01 to 100.
    pub fn of_percent(percent: f64) -> Option<Share> {
        let parts = (percent * f64::from(WHOLE) / 100.0).round();
        if !(1.0..=f64::from(WHOLE)).contains(&parts) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to 10,000"
        )]
        Some(Share(parts as u32))
    }

    /// Returns the share in percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) * 100.0 / f64::from(WHOLE)
    }

    /// Returns whether the next request of a sequence is part of the share; `sum` is the state of
    /// the sequence.
    pub(super) fn takes_next(self, sum: &mut u32) -> bool {
        *sum += self.0;
        let takes = *sum >= WHOLE;
        *sum %= WHOLE;
        takes
    }

    /// Returns whether a client is part of the share. The result is the same in every worker and
    /// every process. A larger share contains all clients of a smaller one.
    pub(super) fn takes_client(self, address: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        hasher.finish() % u64::from(WHOLE) < u64::from(self.0)
    }
}

impl Rollout {
    /// Creates a rollout with counters for `workers` workers.
    pub fn new(
        version: Arc<Version>,
        mode: Mode,
        share: Share,
        redact: Vec<HeaderName>,
        workers: usize,
    ) -> Rollout {
        Rollout {
            version,
            mode,
            share,
            results: Arc::new(Results::new(redact, workers)),
        }
    }

    /// Returns the version that is being rolled out.
    pub fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// Returns how the version is tested.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns the share of the requests or the clients.
    pub fn share(&self) -> Share {
        self.share
    }

    /// Returns the results so far.
    pub fn results(&self) -> &Arc<Results> {
        &self.results
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let check = |percent: f64, parts| {
            assert_eq!(
                Share::of_percent(percent).map(|share| share.0),
                parts,
                "{percent}"
            );
        };
        check(10.0, Some(1000));
        check(0.01, Some(1));
        check(100.0, Some(10_000));
        check(0.0, None);
        check(-1.0, None);
        check(100.1, None);
        check(f64::NAN, None);
    }

    #[test]
    fn a_share_of_requests_is_exact() {
        for percent in [0.5, 10.0, 33.33, 100.0] {
            let share = Share::of_percent(percent).unwrap();
            let mut sum = 0;
            let taken = (0..WHOLE).filter(|_| share.takes_next(&mut sum)).count();
            assert_eq!(taken, share.0 as usize, "{percent}");
        }
    }

    #[test]
    fn a_greater_share_has_the_clients_of_a_smaller_one() {
        let (small, large) = (Share(1000), Share(3000));
        let clients: Vec<String> = (0..10_000)
            .map(|n| format!("10.0.{}.{}", n / 256, n % 256))
            .collect();
        let taken = |share: Share| clients.iter().filter(|one| share.takes_client(one)).count();
        assert!((800..1200).contains(&taken(small)), "{}", taken(small));
        assert!((2700..3300).contains(&taken(large)), "{}", taken(large));
        let both = |one: &&String| small.takes_client(one) && !large.takes_client(one);
        assert_eq!(clients.iter().filter(both).count(), 0);
    }
}
