//! Cache of reusable decisions: a tree of the reads and questions of a plugin, and of the values
//! that they returned.
//!
//! The host sees every read of a plugin, so it can determine what a decision depends on (as in Open
//! vSwitch's megaflow cache, but for HTTP heads). An inner node is a read, with one branch for each
//! value seen so far; a leaf is a decision. At each node, a request follows the branch of its own
//! value. If it reaches a leaf, the plugin could not distinguish it from the request that the
//! decision was made for, so the decision is reused and no guest code runs.
//!
//! Which read comes next depends only on the values read before it, so requests with the same
//! values follow the same path. The reads therefore need no canonical order. The numbers of entries
//! and bytes are bounded. When the cache is full, a decision that was not used recently is evicted
//! (the CLOCK algorithm). Owned by `router`, one for each worker and version.

mod value;

use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;

use hashbrown::HashTable;

use crate::http::edit::Edit;
use crate::plugin::{Decision, Edits, Options, Read, Route, Target, Value};

pub(super) use value::Facts;

/// Limits of one cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Maximum number of decisions.
    pub(super) entries: usize,
    /// Maximum number of bytes, including overhead.
    pub(super) bytes: usize,
    /// Maximum number of bytes of one decision; larger ones are not cached.
    pub(super) entry_bytes: usize,
}

/// Default limits: room for the hosts of a large site, times the variants of each, which take some
/// megabytes.
const LIMITS: Limits = Limits {
    entries: 16 * 1024,
    bytes: 16 << 20,
    entry_bytes: 256 << 10,
};

/// Size of a node in addition to its value: the node's slot, its entry in its parent's table, and
/// the allocator's overhead.
const NODE_COST: usize = size_of::<Option<Node>>() + 64;

/// Minimum capacity of a table that is worth shrinking.
const MIN_SHRINK: usize = 64;

/// The decision tree.
#[derive(Debug)]
pub(super) struct Cache {
    limits: Limits,
    /// Hasher with random keys, so that clients cannot choose values that collide.
    hasher: ValueHasher,
    nodes: Vec<Option<Node>>,
    /// Indices in `nodes` that are None.
    free: Vec<Id>,
    root: Option<Id>,
    /// Every leaf, in no particular order. `hand` is the position of the CLOCK algorithm's hand.
    leaves: Vec<Id>,
    hand: usize,
    bytes: usize,
    /// Buffer for the value that is looked up, kept to reuse its allocation.
    value: Vec<u8>,
}

/// Hasher of values, with different random keys for each cache.
#[derive(Debug)]
struct ValueHasher {
    random: RandomState,
    /// Keys for hashing short values. Most answers to questions are short.
    keys: [u64; 2],
}

impl ValueHasher {
    fn new() -> ValueHasher {
        let random = RandomState::new();
        let keys = [0_u8, 1].map(|number| random.hash_one(number));
        ValueHasher { random, keys }
    }

    fn hash(&self, value: &[u8]) -> u64 {
        let mut short = [0; 8];
        let Some(bytes) = short.get_mut(..value.len()) else {
            return self.random.hash_one(value);
        };
        bytes.copy_from_slice(value);
        let [first, second] = self.keys;
        let number = u64::from_le_bytes(short).wrapping_add(value.len() as u64);
        let (number, factor) = (number ^ first, second | 1);
        let product = u128::from(number) * u128::from(factor);
        let high = u64::try_from(product >> 64).unwrap_or_default();
        high ^ number.wrapping_mul(factor)
    }
}

/// Index into `nodes`.
type Id = u32;

#[derive(Debug)]
struct Node {
    /// Node above this one; None for the root.
    parent: Option<Id>,
    /// Value of the parent's read that leads to this node; empty for the root. `hash` is its hash.
    value: Box<[u8]>,
    hash: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Read {
        read: Read,
        /// Child nodes by value.
        branches: HashTable<Id>,
    },
    Leaf {
        decision: Rc<Decision>,
        /// Whether the decision was used since the clock's hand last passed it.
        recent: bool,
        /// Index into `leaves`.
        place: usize,
    },
}

/// Error: after the same values, the plugin read something else or made another decision. It is
/// less cacheable than it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inconsistent;

impl Default for Cache {
    fn default() -> Self {
        Cache::new(LIMITS)
    }
}

impl Cache {
    pub(super) fn new(limits: Limits) -> Cache {
        Cache {
            limits,
            hasher: ValueHasher::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            root: None,
            leaves: Vec::new(),
            hand: 0,
            bytes: 0,
            value: Vec::new(),
        }
    }

    /// Returns the cached decision for a request that the plugin could not distinguish from this
    /// one, if any.
    pub(super) fn find(&mut self, facts: &mut Facts<'_>) -> Option<&Rc<Decision>> {
        let leaf = self.walk(facts)?;
        match &mut node_mut(&mut self.nodes, leaf).content {
            Content::Leaf {
                decision, recent, ..
            } => {
                *recent = true;
                Some(decision)
            }
            Content::Read { .. } => None,
        }
    }

    fn walk(&mut self, facts: &mut Facts<'_>) -> Option<Id> {
        let mut id = self.root?;
        loop {
            let Content::Read { read, branches } = &node(&self.nodes, id).content else {
                return Some(id);
            };
            facts.value_of(read, &mut self.value);
            let hash = self.hasher.hash(&self.value);
            id = branch(&self.nodes, branches, hash, &self.value)?;
        }
    }

    /// Stores a decision that was made after these `reads` of a request.
    ///
    /// # Errors
    /// [`Inconsistent`]; the decision is not stored.
    pub(super) fn insert(
        &mut self,
        reads: &[Read],
        facts: &mut Facts<'_>,
        decision: &Rc<Decision>,
    ) -> Result<(), Inconsistent> {
        let mut cost = NODE_COST + cost_of(decision);
        for read in reads {
            facts.value_of(read, &mut self.value);
            cost += NODE_COST + name_cost(read) + self.value.len();
        }
        if cost > self.limits.entry_bytes.min(self.limits.bytes) || self.limits.entries == 0 {
            return Ok(());
        }
        // Evict before following the path, since eviction can remove nodes on it.
        while self.leaves.len() >= self.limits.entries || self.bytes + cost > self.limits.bytes {
            self.evict();
        }
        let mut at = self.root;
        let mut above = None;
        let mut hash = 0;
        self.value.clear();
        for read in reads {
            // If one node of the path is missing, all nodes below it are missing as well.
            let id = at.unwrap_or_else(|| {
                let content = Content::Read {
                    read: read.clone(),
                    branches: HashTable::new(),
                };
                self.add(above, hash, content)
            });
            let Content::Read {
                read: known,
                branches,
            } = &node(&self.nodes, id).content
            else {
                return Err(Inconsistent);
            };
            if known != read {
                return Err(Inconsistent);
            }
            facts.value_of(read, &mut self.value);
            hash = self.hasher.hash(&self.value);
            at = branch(&self.nodes, branches, hash, &self.value);
            above = Some(id);
        }
        let Some(id) = at else {
            let content = Content::Leaf {
                decision: Rc::clone(decision),
                recent: false,
                place: self.leaves.len(),
            };
            let id = self.add(above, hash, content);
            self.leaves.push(id);
            return Ok(());
        };
        match &node(&self.nodes, id).content {
            Content::Leaf {
                decision: known, ..
            } if known == decision => Ok(()),
            _ => Err(Inconsistent),
        }
    }

    /// Removes the cached decision that a request like this one would receive.
    pub(super) fn forget(&mut self, facts: &mut Facts<'_>) {
        if let Some(leaf) = self.walk(facts) {
            self.remove(leaf);
        }
    }

    /// Removes every decision.
    pub(super) fn clear(&mut self) {
        *self = Cache::new(self.limits);
    }

    /// Adds a node below `parent`, on the branch of `self.value`.
    fn add(&mut self, parent: Option<Id>, hash: u64, content: Content) -> Id {
        let added = Node {
            parent,
            value: self.value.as_slice().into(),
            hash,
            content,
        };
        self.bytes += added.cost();
        let id = if let Some(id) = self.free.pop() {
            self.nodes[id as usize] = Some(added);
            id
        } else {
            self.nodes.push(Some(added));
            // The limit on bytes keeps the number of nodes far below the maximum.
            Id::try_from(self.nodes.len() - 1).unwrap_or(Id::MAX)
        };
        let Some(parent) = parent else {
            self.root = Some(id);
            return id;
        };
        self.change_branches(parent, |nodes, branches| {
            branches.insert_unique(hash, id, |&id| node(nodes, id).hash);
        });
        id
    }

    /// Removes a leaf that was not used recently.
    fn evict(&mut self) {
        loop {
            self.hand = if self.hand + 1 < self.leaves.len() {
                self.hand + 1
            } else {
                0
            };
            let id = self.leaves[self.hand];
            match &mut node_mut(&mut self.nodes, id).content {
                Content::Leaf { recent, .. } if *recent => *recent = false,
                _ => return self.remove(id),
            }
        }
    }

    /// Removes a leaf, and every node above it that has no other branch left.
    fn remove(&mut self, leaf: Id) {
        if let Content::Leaf { place, .. } = node(&self.nodes, leaf).content {
            self.leaves.swap_remove(place);
            if let Some(&moved) = self.leaves.get(place)
                && let Content::Leaf { place: at, .. } =
                    &mut node_mut(&mut self.nodes, moved).content
            {
                *at = place;
            }
        }
        let mut id = leaf;
        while let Some(removed) = self.nodes[id as usize].take() {
            self.free.push(id);
            self.bytes -= removed.cost();
            let Some(parent) = removed.parent else {
                self.root = None;
                return;
            };
            let is_needed = self.change_branches(parent, |nodes, branches| {
                if let Ok(entry) = branches.find_entry(removed.hash, |&branch| branch == id) {
                    entry.remove();
                }
                // A hash table never shrinks by itself, so it has to be shrunk explicitly.
                if branches.capacity() > MIN_SHRINK.max(4 * branches.len()) {
                    branches.shrink_to(2 * branches.len(), |&id| node(nodes, id).hash);
                }
                !branches.is_empty()
            });
            if is_needed {
                return;
            }
            id = parent;
        }
    }

    /// Calls `change` with mutable access to a read's branches and shared access to all nodes.
    fn change_branches<T: Default>(
        &mut self,
        id: Id,
        change: impl FnOnce(&[Option<Node>], &mut HashTable<Id>) -> T,
    ) -> T {
        let Content::Read { branches, .. } = &mut node_mut(&mut self.nodes, id).content else {
            return T::default();
        };
        let mut taken = std::mem::take(branches);
        let result = change(&self.nodes, &mut taken);
        if let Content::Read { branches, .. } = &mut node_mut(&mut self.nodes, id).content {
            *branches = taken;
        }
        result
    }
}

/// Returns the node with this index. The node must not have been removed.
fn node(nodes: &[Option<Node>], id: Id) -> &Node {
    nodes[id as usize].as_ref().expect("a live node")
}

fn node_mut(nodes: &mut [Option<Node>], id: Id) -> &mut Node {
    nodes[id as usize].as_mut().expect("a live node")
}

fn branch(nodes: &[Option<Node>], branches: &HashTable<Id>, hash: u64, value: &[u8]) -> Option<Id> {
    branches
        .find(hash, |&id| *node(nodes, id).value == *value)
        .copied()
}

impl Node {
    fn cost(&self) -> usize {
        let content = match &self.content {
            Content::Read { read, .. } => name_cost(read),
            Content::Leaf { decision, .. } => cost_of(decision),
        };
        NODE_COST + self.value.len() + content
    }
}

fn name_cost(read: &Read) -> usize {
    read.name().len()
}

/// Returns the number of bytes that a decision occupies.
fn cost_of(decision: &Decision) -> usize {
    let answer = match &decision.route {
        Route::Respond(answer) => {
            let lines = answer.fields.iter();
            let fields: usize = lines
                .map(|line| FIELD_COST + line.name.len() + line.value.len())
                .sum();
            fields + answer.body.len()
        }
        Route::Backend(_) | Route::Server(_) | Route::Default | Route::Next => 0,
    };
    let response: usize = decision.response_edits.iter().map(field_cost).sum();
    size_of::<Decision>()
        + edit_cost(&decision.edits)
        + response
        + option_cost(&decision.options)
        + answer
}

/// Size of a field in addition to its octets: its list element and the allocator's overhead.
const FIELD_COST: usize = 96;

fn field_cost(edit: &Edit) -> usize {
    let value = edit.value().unwrap_or_default();
    FIELD_COST + edit.name().len() + value.len()
}

fn edit_cost(edits: &Edits) -> usize {
    let fields: usize = edits.fields.iter().map(field_cost).sum();
    let authority = edits.authority.as_deref().unwrap_or_default();
    let target = edits.target.as_ref().map_or(0, Target::size);
    fields + size_of_val(&edits.by[..]) + authority.len() + target
}

fn option_cost(options: &Options) -> usize {
    let tags = options.tags.iter();
    let tags: usize = tags
        .map(|tag| FIELD_COST + tag.name.len() + tag.value.size())
        .sum();
    options.affinity.as_ref().map_or(0, Value::size) + tags
}

#[cfg(test)]
mod tests;
