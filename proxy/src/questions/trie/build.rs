//! Builds a [`Trie`] from entries in any order.

use std::collections::VecDeque;
use std::ops::Range;

use super::{BuildError, HAS_VALUE, Node, Trie};

/// A node that is still to be laid out.
struct Pending {
    /// Range of sorted entries below the node.
    entries: Range<usize>,
    /// Number of bytes that lead to the node.
    depth: usize,
    /// The last of the bytes that lead to the node.
    first: u8,
}

impl Trie {
    /// Builds a trie. `entry` returns the text at an index below `count`, and `value` returns the
    /// value at an index.
    ///
    /// # Errors
    /// Two texts are equal, or there are too many entries.
    pub(in crate::questions) fn new<'e>(
        count: usize,
        entry: impl Fn(usize) -> &'e [u8],
        value: impl Fn(usize) -> u32,
    ) -> Result<Trie, BuildError> {
        let last = u32::try_from(count).map_err(|_| BuildError::Large)?;
        let mut order: Vec<u32> = (0..last).collect();
        let entry = |index: u32| entry(index as usize);
        order.sort_unstable_by(|&one, &other| (entry(one), one).cmp(&(entry(other), other)));
        let pairs = order
            .windows(2)
            .filter(|pair| entry(pair[0]) == entry(pair[1]));
        if let Some(pair) = pairs.min_by_key(|pair| pair[1]) {
            return Err(BuildError::Repeated(pair[0] as usize, pair[1] as usize));
        }
        let mut layout = Layout::default();
        let mut level = VecDeque::from([Pending {
            entries: 0..count,
            depth: 0,
            first: 0,
        }]);
        while let Some(node) = level.pop_front() {
            layout.push(
                node,
                |at| entry(order[at]),
                |at| value(order[at] as usize),
                &mut level,
            )?;
        }
        layout.finish()
    }
}

#[derive(Default)]
struct Layout {
    nodes: Vec<Node>,
    firsts: Vec<u8>,
    labels: Vec<u8>,
    /// Index of the next child. Nodes are laid out in the order in which they are found.
    next_child: usize,
}

impl Layout {
    fn push<'e>(
        &mut self,
        node: Pending,
        entry: impl Fn(usize) -> &'e [u8],
        value: impl Fn(usize) -> u32,
        level: &mut VecDeque<Pending>,
    ) -> Result<(), BuildError> {
        let Pending {
            mut entries,
            depth,
            first,
        } = node;
        if self.nodes.is_empty() {
            self.next_child = 1;
        }
        // The entries are sorted, so a prefix that the first and the last one share is common to
        // all of them.
        let label = match entries.clone().last() {
            Some(last) => common(&entry(entries.start)[depth..], &entry(last)[depth..]),
            None => 0,
        };
        let end = depth + label;
        let mut laid = Node {
            label: index(self.labels.len())?,
            children: index(self.next_child)?,
            value: 0,
        };
        if !entries.is_empty() {
            let shortest = entry(entries.start);
            self.labels.extend_from_slice(&shortest[depth..end]);
            if shortest.len() == end {
                laid.children |= HAS_VALUE;
                laid.value = value(entries.start);
                entries.start += 1;
            }
        }
        self.nodes.push(laid);
        self.firsts.push(first);
        while !entries.is_empty() {
            let first = entry(entries.start)[end];
            let until = boundary(&entries, |at| entry(at)[end] == first);
            self.next_child += 1;
            level.push_back(Pending {
                entries: entries.start..until,
                depth: end + 1,
                first,
            });
            entries.start = until;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Trie, BuildError> {
        self.nodes.push(Node {
            label: index(self.labels.len())?,
            children: index(self.next_child)?,
            value: 0,
        });
        Ok(Trie {
            nodes: self.nodes.into(),
            firsts: self.firsts.into(),
            labels: self.labels.into(),
        })
    }
}

/// Returns the length of the common prefix.
fn common(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.iter().zip(other);
    pairs.take_while(|(one, other)| one == other).count()
}

/// Returns the first index of `range` at which `holds` is false. `holds` must be true before that
/// index and false from there on.
fn boundary(range: &Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn index(place: usize) -> Result<u32, BuildError> {
    let place = u32::try_from(place).ok();
    place
        .filter(|place| place & HAS_VALUE == 0)
        .ok_or(BuildError::Large)
}
