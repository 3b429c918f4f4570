//! Tests of the algorithms, without endpoints.

use proptest::prelude::*;

use super::*;
use crate::config::{Hash, HashKey};

/// Candidates numbered from 0, all of them open by default.
#[derive(Default)]
struct Bed {
    weights: Vec<u32>,
    loads: Vec<u32>,
    latencies: Vec<Option<f64>>,
    closed: Vec<usize>,
}

impl Field for Bed {
    fn total_load(&self) -> u32 {
        self.loads.iter().sum()
    }

    fn load(&self, candidate: usize) -> u32 {
        self.loads.get(candidate).copied().unwrap_or(0)
    }

    fn is_open(&self, candidate: usize) -> bool {
        !self.closed.contains(&candidate)
    }

    fn latency(&self, candidate: usize) -> Option<f64> {
        self.latencies.get(candidate).copied().flatten()
    }

    fn token(&self, candidate: usize) -> u64 {
        hash::of(&candidate.to_le_bytes())
    }
}

impl Bed {
    fn new(weights: &[u32]) -> Bed {
        Bed {
            weights: weights.to_vec(),
            ..Bed::default()
        }
    }

    fn candidates(&self) -> Candidates {
        Candidates::new(self.weights.iter().copied().enumerate(), 1)
    }

    fn counts(&self, balance: Balance, choices: u32, key: impl Fn(u32) -> Option<u64>) -> Vec<u32> {
        let balancer = Balancer::new(balance, 0, Random::from_seed(1));
        let candidates = self.candidates();
        let mut counts = vec![0; self.weights.len()];
        for choice in 0..choices {
            let chosen = balancer.choose(&candidates, key(choice), self);
            counts[chosen.unwrap()] += 1;
        }
        counts
    }
}

fn hashed(max_load: Option<u32>) -> Balance {
    Balance::Hash(Hash {
        key: HashKey::Client,
        max_load,
    })
}

fn key(choice: u32) -> u64 {
    hash::of(&choice.to_le_bytes())
}

#[test]
fn each_algorithm_chooses_the_expected_candidate() {
    // Weights, loads and closed candidates; then the first choices.
    for (balance, weights, loads, closed, expected) in [
        (
            Balance::RoundRobin,
            &[1, 1, 1][..],
            &[][..],
            &[][..],
            "0 1 2 0 1",
        ),
        (Balance::RoundRobin, &[1, 1, 1], &[], &[1], "0 2 0 2"),
        (
            Balance::RoundRobin,
            &[5, 1, 1],
            &[],
            &[],
            "0 0 0 1 0 0 2 0 0 0 1",
        ),
        (Balance::RoundRobin, &[1, 0, 1], &[], &[], "0 2 0 2"),
        (Balance::LeastRequests, &[1, 1, 1], &[], &[], "0 1 2 0"),
        (Balance::LeastRequests, &[1, 1, 1], &[3, 2, 9], &[], "1 1 1"),
        (Balance::LeastRequests, &[1, 1, 1], &[3, 2, 9], &[1], "0 0"),
        (Balance::LeastRequests, &[1, 4], &[1, 6], &[], "1 1"),
        (Balance::LeastRequests, &[1, 4], &[1, 8], &[], "0 0"),
        (Balance::First, &[1, 1, 1], &[9, 0, 0], &[], "0 0"),
        (Balance::First, &[1, 1, 1], &[], &[0], "1 1"),
        (Balance::Random, &[0, 1, 0], &[], &[], "1 1"),
    ] {
        let bed = Bed {
            loads: loads.to_vec(),
            closed: closed.to_vec(),
            ..Bed::new(weights)
        };
        let balancer = Balancer::new(balance.clone(), 0, Random::from_seed(1));
        let candidates = bed.candidates();
        let chosen = expected.split(' ').map(|_| {
            let chosen = balancer.choose(&candidates, None, &bed);
            chosen.unwrap().to_string()
        });
        let chosen: Vec<_> = chosen.collect();
        assert_eq!(
            chosen.join(" "),
            expected,
            "{balance:?} {weights:?} {loads:?}"
        );
    }
}

#[test]
fn no_candidate_is_chosen_if_none_is_open() {
    for count in [0, 1, 2, 20] {
        let bed = Bed {
            closed: (0..count).collect(),
            ..Bed::new(&vec![1; count])
        };
        for balance in [
            Balance::LeastRequests,
            Balance::RoundRobin,
            Balance::PeakEwma,
            Balance::Random,
            Balance::First,
            hashed(None),
            hashed(Some(125)),
        ] {
            let balancer = Balancer::new(balance.clone(), 3, Random::from_seed(1));
            let chosen = balancer.choose(&bed.candidates(), Some(1), &bed);
            assert_eq!(chosen, None, "{balance:?} of {count}");
        }
    }
}

#[test]
fn the_fastest_known_candidate_is_chosen() {
    for (latencies, loads, expected) in [
        (&[Some(2.0), Some(1.0)][..], &[0, 0][..], 1),
        // At half the response time, a candidate can serve two requests for the cost of one.
        (&[Some(2.0), Some(0.9)], &[0, 1], 1),
        (&[Some(2.0), Some(1.1)], &[0, 1], 0),
        // A candidate with an unknown response time is tried once.
        (&[Some(1.0), None], &[0, 0], 1),
        (&[Some(1.0), None], &[5, 1], 0),
    ] {
        let bed = Bed {
            latencies: latencies.to_vec(),
            loads: loads.to_vec(),
            ..Bed::new(&[1, 1])
        };
        let balancer = Balancer::new(Balance::PeakEwma, 0, Random::from_seed(1));
        let chosen = balancer.choose(&bed.candidates(), None, &bed);
        assert_eq!(chosen, Some(expected), "{latencies:?} {loads:?}");
    }
}

#[test]
fn the_better_of_two_random_candidates_is_chosen() {
    let bed = Bed {
        loads: (0..100).map(|candidate| candidate % 10).collect(),
        ..Bed::new(&[1; 100])
    };
    let counts = bed.counts(Balance::LeastRequests, 100_000, |_| None);
    let of_load = |load: usize| counts.iter().skip(load).step_by(10).sum::<u32>();
    // With two random draws, the less loaded candidate is in the lowest of ten load classes with a
    // probability of 19 %, and in the highest with 1 %.
    assert!((18_000..20_000).contains(&of_load(0)), "{}", of_load(0));
    assert!((500..1_500).contains(&of_load(9)), "{}", of_load(9));
}

#[test]
fn only_keys_of_a_removed_candidate_move() {
    let bed = Bed::new(&[1; 10]);
    let less = Bed::new(&[1, 1, 1, 0, 1, 1, 1, 1, 1, 1]);
    let balancer = Balancer::new(hashed(None), 0, Random::from_seed(1));
    let (all, rest) = (bed.candidates(), less.candidates());
    let mut moved = 0;
    for choice in 0..10_000 {
        let before = balancer.choose(&all, Some(key(choice)), &bed);
        let after = balancer.choose(&rest, Some(key(choice)), &less);
        if before != after {
            assert_eq!(before, Some(3));
            moved += 1;
        }
    }
    assert!((900..1_100).contains(&moved), "{moved}");
}

#[test]
fn a_hash_does_not_fill_a_candidate_beyond_its_bound() {
    let balancer = Balancer::new(hashed(Some(125)), 0, Random::from_seed(1));
    let mut bed = Bed {
        loads: vec![0; 10],
        ..Bed::new(&[1; 10])
    };
    let candidates = bed.candidates();
    // Every request has the same key.
    for choice in 1..=1_000_u32 {
        let chosen = balancer.choose(&candidates, Some(7), &bed).unwrap();
        bed.loads[chosen] += 1;
        assert!(
            bed.loads[chosen] <= (choice * 125).div_ceil(1_000),
            "{:?}",
            bed.loads
        );
    }
}

/// Returns whether each count is proportional to its weight: it differs from its expected value by
/// at most `tolerance` times that value, or by at most 1.
fn is_in_proportion(counts: &[u32], weights: &[u32], tolerance: f64) -> bool {
    let choices = f64::from(counts.iter().sum::<u32>());
    let total = f64::from(weights.iter().sum::<u32>());
    let mut pairs = counts.iter().zip(weights);
    pairs.all(|(count, weight)| {
        let expected = choices * f64::from(*weight) / total;
        (f64::from(*count) - expected).abs() <= (expected * tolerance).max(1.0)
    })
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1..=256_u32, 2..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn turns_are_in_proportion_to_weights(weights in weights()) {
        let counts = Bed::new(&weights).counts(Balance::RoundRobin, 100_000, |_| None);
        prop_assert!(is_in_proportion(&counts, &weights, 0.01), "{counts:?}");
    }

    #[test]
    fn turns_are_spread_evenly(weights in weights()) {
        // A candidate is always less than two turns behind its share, or ahead of it.
        let bed = Bed::new(&weights);
        let balancer = Balancer::new(Balance::RoundRobin, 0, Random::from_seed(1));
        let candidates = bed.candidates();
        let total = f64::from(weights.iter().sum::<u32>());
        let mut counts = vec![0_u32; weights.len()];
        for choice in 1..=2_000_u32 {
            counts[balancer.choose(&candidates, None, &bed).unwrap()] += 1;
            for (count, weight) in counts.iter().zip(&weights) {
                let due = f64::from(choice) * f64::from(*weight) / total;
                prop_assert!((f64::from(*count) - due).abs() < 2.0, "{counts:?}");
            }
        }
    }

    #[test]
    fn random_and_hash_follow_the_weights(weights in prop::collection::vec(20..=256_u32, 2..8)) {
        let bed = Bed::new(&weights);
        for balance in [Balance::Random, hashed(None)] {
            let counts = bed.counts(balance.clone(), 100_000, |choice| Some(key(choice)));
            prop_assert!(is_in_proportion(&counts, &weights, 0.1), "{balance:?} {counts:?}");
        }
    }

    #[test]
    fn a_change_of_candidates_keeps_turns_in_proportion(
        weights in prop::collection::vec(1..=8_u32, 4..8),
        changes in prop::collection::vec(0..3_usize, 1..50),
    ) {
        let bed = Bed::new(&weights);
        let balancer = Balancer::new(Balance::RoundRobin, 0, Random::from_seed(1));
        let mut counts = vec![0_u32; weights.len()];
        let mut expected = vec![0.0; weights.len()];
        for (version, gone) in changes.iter().enumerate() {
            // One of the first three candidates is missing for a while, and the others get its
            // turns.
            let weighed = weights.iter().copied().enumerate();
            let weighed = weighed.filter(|(candidate, _)| candidate != gone);
            let candidates = Candidates::new(weighed.clone(), version as u64);
            let total: u32 = weighed.clone().map(|(_, weight)| weight).sum();
            for _ in 0..200 {
                counts[balancer.choose(&candidates, None, &bed).unwrap()] += 1;
            }
            for (candidate, weight) in weighed {
                expected[candidate] += 200.0 * f64::from(weight) / f64::from(total);
            }
        }
        for (count, expected) in counts.iter().zip(&expected) {
            // Each change can cost a candidate a turn, or give it an extra one.
            let tolerance = 2.0 + 2.0 * f64::from(u32::try_from(changes.len()).unwrap());
            prop_assert!((f64::from(*count) - expected).abs() < tolerance, "{counts:?} {expected}");
        }
    }
}
