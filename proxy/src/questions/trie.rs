//! Entries of a matcher on text: a trie in which a chain of nodes with one child each is merged
//! into one node.
//!
//! A search follows the part from the root, byte by byte, as far as some entry begins with the same
//! bytes. The number of steps is bounded by the length of the part and by that of the longest
//! entry. It does not depend on the number of entries, nor on what a client chooses to send. `fst`,
//! the usual crate for such sets, takes at most half of the memory but twice the time, since it
//! decodes a node at each step.
//!
//! Nodes are stored level by level, so that the children of a node are adjacent. The labels and the
//! children of a node end where those of the next node begin. Built by `trie::build`.

mod build;

/// Flag in [`Node::children`], set if an entry ends at this node. The other bits are the index of
/// the first child.
const HAS_VALUE: u32 = 1 << 31;

/// A trie of entries, each with a value.
#[derive(Debug)]
pub(super) struct Trie {
    /// Nodes by level, siblings sorted by first byte. An extra node at the end only marks where the
    /// last node's label and children end.
    nodes: Box<[Node]>,
    /// For each node, the byte that leads to it; unused for the root.
    firsts: Box<[u8]>,
    /// Labels of all nodes, in the order of `nodes`.
    labels: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// Start of the node's label in `labels`. The label is the bytes after the node's first byte.
    label: u32,
    /// Index of the first child, combined with [`HAS_VALUE`].
    children: u32,
    /// Value of the entry that ends at this node, if any.
    value: u32,
}

/// Reasons why a trie cannot be built.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BuildError {
    /// The entries at these two indices are equal; the smaller index is first.
    Repeated(usize, usize),
    /// The entries need more than a trie can address.
    Large,
}

/// An entry with which a part begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Length of the entry.
    pub(super) length: usize,
    /// Value of the entry.
    pub(super) value: u32,
}

/// A part that is read from one end, with or without case folding.
pub(super) trait Text: Copy {
    /// Returns the number of bytes of the part.
    fn length(self) -> usize;

    /// Returns the byte at position `at`, which is less than the length.
    fn byte(self, at: usize) -> u8;

    /// Returns whether the part continues with `label` at position `at`, which is not beyond the
    /// length.
    fn continues(self, at: usize, label: &[u8]) -> bool;
}

impl Trie {
    /// Calls `visit` with every entry with which `text` begins, shortest first.
    #[inline]
    pub(super) fn walk<T: Text>(&self, text: T, mut visit: impl FnMut(Step)) {
        let mut index = 0;
        let mut at = 0;
        while let [node, next, ..] = self.nodes[index..] {
            let label = &self.labels[node.label as usize..next.label as usize];
            if !text.continues(at, label) {
                return;
            }
            at += label.len();
            if node.children & HAS_VALUE != 0 {
                visit(Step {
                    length: at,
                    value: node.value,
                });
            }
            if at == text.length() {
                return;
            }
            let children = node.first_child()..next.first_child();
            let Some(child) = find(&self.firsts[children.clone()], text.byte(at)) else {
                return;
            };
            index = children.start + child;
            at += 1;
        }
    }

    /// Reverses each label, for parts that are read from their end. The bytes of a label are then
    /// in the same order as those of the part.
    pub(super) fn reverse_labels(&mut self) {
        for pair in self.nodes.windows(2) {
            self.labels[pair[0].label as usize..pair[1].label as usize].reverse();
        }
    }

    /// Returns the bytes of memory that the trie occupies, excluding the value itself.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.nodes) + self.firsts.len() + self.labels.len()
    }
}

impl Node {
    #[inline]
    fn first_child(self) -> usize {
        (self.children & !HAS_VALUE) as usize
    }
}

/// Returns the index of `byte` in `firsts`, which is sorted.
///
/// Counts the smaller bytes without a branch. A search that mispredicts branches at each node would
/// take longer.
#[inline]
fn find(firsts: &[u8], byte: u8) -> Option<usize> {
    // At most 255 bytes are smaller.
    let smaller = firsts.iter().fold(0_u8, |count, &first| {
        count.wrapping_add(u8::from(first < byte))
    });
    let at = usize::from(smaller);
    (firsts.get(at) == Some(&byte)).then_some(at)
}
