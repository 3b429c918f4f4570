//! Counts of answers, for who collects metrics.
//!
//! Each worker counts for itself, on a cache line of its own; who asks sums up.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

/// What a frontend has answered, over all workers.
#[derive(Debug)]
pub struct Answers(Box<[Counts]>);

/// By the first digit of the status, from 1.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counts([AtomicU64; 5]);

impl Answers {
    /// For so many workers.
    pub fn new(workers: usize) -> Answers {
        Answers((0..workers).map(|_| Counts::default()).collect())
    }

    /// Counts one, of a worker that counts from one thread alone.
    pub fn count(&self, worker: usize, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.0[worker].0.get(class) {
            let count = counter.load(Ordering::Relaxed);
            counter.store(count.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// So many of 1xx, 2xx, 3xx, 4xx and 5xx.
    pub fn totals(&self) -> [u64; 5] {
        std::array::from_fn(|class| {
            let counts = self.0.iter();
            counts
                .map(|counts| counts.0[class].load(Ordering::Relaxed))
                .sum()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class() {
        let answers = Answers::new(2);
        for (worker, status) in [(0, 101), (1, 200), (0, 204), (1, 599), (0, 999)] {
            answers.count(worker, StatusCode::from_u16(status).unwrap());
        }
        // 999 is of no class.
        assert_eq!(answers.totals(), [1, 2, 0, 0, 1]);
    }
}
