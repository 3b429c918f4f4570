//! The endpoints that are eligible for the next requests.

/// Candidates with their weights. Immutable: each change creates a new value.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Candidates {
    list: Vec<usize>,
    /// Weights in the order of `list`. No weight is 0.
    weights: Vec<u32>,
    /// Cumulative sums of the weights: the sum for a candidate includes its own weight.
    sums: Vec<u64>,
    is_even: bool,
    version: u64,
}

impl Candidates {
    /// Creates candidates from pairs of candidate number and weight, in ascending order of the
    /// numbers. Candidates of weight 0 are left out. Each change needs a different `version`.
    pub(in crate::upstream) fn new(
        weighed: impl Iterator<Item = (usize, u32)>,
        version: u64,
    ) -> Candidates {
        let (list, weights): (Vec<_>, Vec<_>) = weighed.filter(|(_, weight)| *weight > 0).unzip();
        let mut sum = 0;
        let sums = weights.iter().map(|weight: &u32| {
            sum += u64::from(*weight);
            sum
        });
        Candidates {
            sums: sums.collect(),
            is_even: weights.windows(2).all(|pair| pair[0] == pair[1]),
            list,
            weights,
            version,
        }
    }

    #[inline]
    pub(in crate::upstream) fn list(&self) -> &[usize] {
        &self.list
    }

    pub(super) fn weights(&self) -> &[u32] {
        &self.weights
    }

    /// Returns whether all weights are equal.
    pub(super) fn is_even(&self) -> bool {
        self.is_even
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Returns the sum of all weights.
    pub(super) fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// Returns the weight of a candidate, or 1 if the number is not that of a candidate.
    pub(super) fn weight_of(&self, candidate: usize) -> u32 {
        let position = self.list.binary_search(&candidate);
        position.map_or(1, |position| self.weights[position])
    }

    /// Returns the candidate at `point`, if the total weight is divided among the candidates in
    /// order.
    pub(super) fn at(&self, point: u64) -> Option<usize> {
        let position = if self.is_even {
            let weight = u64::from(*self.weights.first()?);
            usize::try_from(point / weight).ok()?
        } else {
            self.sums.partition_point(|sum| *sum <= point)
        };
        self.list.get(position).copied()
    }
}
