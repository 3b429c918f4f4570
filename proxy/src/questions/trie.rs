//! The entries of a matcher on text: a trie whose chains of single children are one node each.
//!
//! A part is followed from the root, byte by byte, as far as entries begin like it: the time
//! depends on the part's length, bounded by the longest entry's, and neither on the number of
//! entries nor on what a client chooses to send. `fst`, the crate for such sets, takes half of the
//! memory or less, and twice as long: a step there decodes a node.
//!
//! Nodes lie level by level, so that the children of one are neighbours, and where a node's label
//! or children end, those of the next one begin. Built by `trie::build`.

mod build;

/// No node, which ends an array; a node's children are counted without this bit.
const HAS_VALUE: u32 = 1 << 31;

/// Entries, each with a value.
#[derive(Debug)]
pub(super) struct Trie {
    /// By level, siblings in order of their first bytes; one more at the end, where there is
    /// nothing but the ends of the last node's label and children.
    nodes: Box<[Node]>,
    /// Of each node, the byte that leads to it; that of the root means nothing.
    firsts: Box<[u8]>,
    /// The labels of all nodes, in their order.
    labels: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// Where the bytes behind the first one begin.
    label: u32,
    /// The first child, and [`HAS_VALUE`].
    children: u32,
    /// Of the entry that ends here, if one does.
    value: u32,
}

/// Why no trie can be built.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BuildError {
    /// The second of these entries, by index, equals the first.
    Repeated(usize, usize),
    /// More than a trie can address.
    Large,
}

/// An entry that a part begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The entry's length.
    pub(super) length: usize,
    /// Its value.
    pub(super) value: u32,
}

/// A part that is read from one end, in one way.
pub(super) trait Text: Copy {
    /// Its length.
    fn length(self) -> usize;

    /// The byte at `at`, which is less than the length.
    fn byte(self, at: usize) -> u8;

    /// Whether `label` stands at `at`, which is not beyond the length.
    fn continues(self, at: usize, label: &[u8]) -> bool;
}

impl Trie {
    /// Calls `visit` with every entry that `text` begins with, shortest first.
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

    /// Turns the labels around, for texts that are read from their end: there a label stands as it
    /// does in the text.
    pub(super) fn reverse_labels(&mut self) {
        for pair in self.nodes.windows(2) {
            self.labels[pair[0].label as usize..pair[1].label as usize].reverse();
        }
    }

    /// Bytes of memory that it takes beside itself.
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

/// Where `byte` is among `firsts`, which are in order.
///
/// Counts the smaller ones without a branch: a search that guesses wrong at each node takes longer.
#[inline]
fn find(firsts: &[u8], byte: u8) -> Option<usize> {
    // At most 255 are smaller.
    let smaller = firsts.iter().fold(0_u8, |count, &first| {
        count.wrapping_add(u8::from(first < byte))
    });
    let at = usize::from(smaller);
    (firsts.get(at) == Some(&byte)).then_some(at)
}
