//! Which server is tried first, and which next.

use std::cell::Cell;

use super::Server;

/// Round robin over the servers that answer, then over those that lately did not.
#[derive(Debug, Default)]
pub(crate) struct RoundRobin {
    next: Cell<usize>,
}

impl RoundRobin {
    /// The order in which to try `servers` for one request.
    pub(crate) fn order(&self, servers: &[Server]) -> impl Iterator<Item = usize> + use<> {
        // Nearly every backend is all up: no list is made for that case.
        let down: Vec<bool> = if servers.iter().any(|server| server.health.is_down()) {
            servers
                .iter()
                .map(|server| server.health.is_down())
                .collect()
        } else {
            Vec::new()
        };
        order(self.turn(servers.len()), servers.len(), down)
    }

    fn turn(&self, count: usize) -> usize {
        let turn = self.next.get();
        self.next.set(if turn + 1 < count { turn + 1 } else { 0 });
        turn
    }
}

/// All of `0..count` from `first` on, those marked in `down` last.
fn order(first: usize, count: usize, down: Vec<bool>) -> impl Iterator<Item = usize> {
    let passes = if down.is_empty() { 1 } else { 2 };
    (0..passes).flat_map(move |pass| {
        let down = down.clone();
        (0..count)
            .map(move |step| (first + step) % count)
            .filter(move |&index| down.is_empty() || down[index] == (pass == 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_turns_and_tries_those_that_are_down_last() {
        let check = |first, down: &[bool], expected: &[usize]| {
            let count = expected.len();
            let order: Vec<_> = order(first, count, down.to_vec()).collect();
            assert_eq!(order, expected, "from {first}, down {down:?}");
        };
        check(0, &[], &[0]);
        check(0, &[], &[0, 1, 2]);
        check(2, &[], &[2, 0, 1]);
        check(0, &[true, false, false], &[1, 2, 0]);
        check(1, &[false, true, true], &[0, 1, 2]);
        check(1, &[true, true, true], &[1, 2, 0]);
    }

    #[test]
    fn turns_wrap() {
        let robin = RoundRobin::default();
        let turns: Vec<_> = (0..5).map(|_| robin.turn(2)).collect();
        assert_eq!(turns, [0, 1, 0, 1, 0]);
    }
}
