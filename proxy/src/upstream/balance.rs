//! Which server is tried first, and which next.

use std::cell::Cell;

/// Servers take turns.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    next: Cell<usize>,
}

impl RoundRobin {
    /// All of `servers`, in the order in which to try them for one request.
    pub(super) fn order<'a, T>(&self, servers: &'a [T]) -> impl Iterator<Item = &'a T> + Clone {
        let first = self.turn(servers.len());
        let (later, sooner) = servers.split_at(first);
        sooner.iter().chain(later)
    }

    fn turn(&self, count: usize) -> usize {
        // A reload may have left fewer.
        let turn = if self.next.get() < count {
            self.next.get()
        } else {
            0
        };
        self.next.set(turn + 1);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_begins_in_its_turn() {
        let robin = RoundRobin::default();
        let check = |servers: &'static str, expected| {
            let order: String = robin
                .order(servers.as_bytes())
                .map(|&b| char::from(b))
                .collect();
            assert_eq!(order, expected);
        };
        check("abc", "abc");
        check("abc", "bca");
        check("abc", "cab");
        check("abc", "abc");
        // Fewer since a reload.
        check("abc", "bca");
        check("a", "a");
        check("ab", "ba");
        check("", "");
    }
}
