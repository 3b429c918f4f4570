//! Entries in one block of memory, for tables of a million entries and more.
//!
//! ```text
//! text   length of key (2), length of value (2), key, value | the next entry ...
//! index  half of a key's hash (4), where its entry begins (4) | ...
//! ```
//!
//! A lookup reads one slot of the index and one entry of the text. In a large table, neither is in
//! a CPU cache, so these two reads make up most of its cost. Each entry takes four bytes for its
//! lengths and 12 bytes of index, and all entries together take two allocations. Most maps would
//! need a third read, and take more memory just after they have grown.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use super::error::Mistake;
use super::{MAX_KEY, MAX_VALUE};
use crate::memory;

/// Number of bytes that precede an entry's key.
const HEAD: usize = 4;

/// Value of an empty slot of the index.
const EMPTY: u64 = u64::MAX;

/// Immutable entries, in the order in which they were added.
#[derive(Debug)]
pub(super) struct Entries {
    text: Box<[u8]>,
    /// Hash table with open addressing and linear probing. A third of its slots are empty, so that
    /// every search ends soon.
    index: Box<[u64]>,
    len: usize,
    /// Hasher with random keys, since clients choose the keys that are looked up.
    hasher: RandomState,
}

impl Entries {
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns the value of `key`, whose hash is `hash`.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<&[u8]> {
        let mut place = place(hash, self.index.len());
        loop {
            let (half, at) = split(self.index[place])?;
            if half == lower(hash) {
                let (found, value) = entry(&self.text, at);
                if found == key {
                    return Some(value);
                }
            }
            place = next(place, self.index.len());
        }
    }

    /// Returns the keys and values, in the order in which they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        entries(&self.text).map(|(_, key, value)| (key, value))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the total number of bytes of all keys and values.
    pub(super) fn text_len(&self) -> usize {
        self.text.len() - HEAD * self.len
    }

    /// Returns the bytes of memory that the entries occupy.
    pub(super) fn memory(&self) -> usize {
        self.text.len() + size_of_val(&*self.index)
    }
}

/// Collects entries and builds their index.
#[derive(Debug)]
pub(super) struct Builder {
    text: Vec<u8>,
    len: usize,
}

impl Builder {
    /// Creates a builder with room for `bytes` bytes of keys and values, and for `entries` entries.
    pub(super) fn with_capacity(bytes: usize, entries: usize) -> Builder {
        let text = Vec::with_capacity(bytes + HEAD * entries);
        memory::prefer_huge_pages(&text);
        Builder { text, len: 0 }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`Mistake::TooLarge`], and errors of [`check`].
    pub(super) fn push(&mut self, key: &str, value: &str) -> Result<(), Mistake> {
        check(key, value)?;
        let lengths = [key, value].map(|part| u16::try_from(part.len()));
        let [Ok(key_len), Ok(value_len)] = lengths else {
            return Err(Mistake::TooLarge);
        };
        // The start of the entry must fit into the 32 bits of an index slot.
        if u32::try_from(self.text.len()).is_err() {
            return Err(Mistake::TooLarge);
        }
        self.len += 1;
        self.text.extend_from_slice(&key_len.to_le_bytes());
        self.text.extend_from_slice(&value_len.to_le_bytes());
        self.text.extend_from_slice(key.as_bytes());
        self.text.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// Builds the entries and their index.
    ///
    /// # Errors
    /// A key that occurs twice.
    pub(super) fn build(self) -> Result<Entries, String> {
        let text = self.text.into_boxed_slice();
        let hasher = RandomState::new();
        let places = self.len + self.len / 2 + 1;
        let mut index = Vec::with_capacity(places);
        memory::prefer_huge_pages(&index);
        index.resize(places, EMPTY);
        let mut index = index.into_boxed_slice();
        for (at, key, _) in entries(&text) {
            let hash = hasher.hash_one(key);
            let mut place = place(hash, index.len());
            while let Some((half, known)) = split(index[place]) {
                if half == lower(hash) && entry(&text, known).0 == key {
                    return Err(String::from_utf8_lossy(key).into_owned());
                }
                place = next(place, index.len());
            }
            index[place] = u64::from(lower(hash)) << 32 | at as u64;
        }
        Ok(Entries {
            text,
            index,
            len: self.len,
            hasher,
        })
    }
}

/// Returns the half of a hash that the index stores.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "only the lower half is needed"
)]
fn lower(hash: u64) -> u32 {
    hash as u32
}

/// Returns the index slot where the search for a hash begins. It is determined by the upper bits of
/// the hash.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is less than `places`")]
fn place(hash: u64, places: usize) -> usize {
    ((u128::from(hash) * places as u128) >> 64) as usize
}

#[inline]
fn next(place: usize, places: usize) -> usize {
    if place + 1 == places { 0 } else { place + 1 }
}

/// Splits a slot's value into the lower half of a hash and the start of an entry; None if the slot
/// is empty.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "each half is used on its own"
)]
fn split(place: u64) -> Option<(u32, usize)> {
    (place != EMPTY).then_some(((place >> 32) as u32, place as u32 as usize))
}

/// Returns the start, key and value of each entry.
fn entries(text: &[u8]) -> impl Iterator<Item = (usize, &[u8], &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == text.len() {
            return None;
        }
        let (key, value) = entry(text, at);
        let begin = at;
        at += HEAD + key.len() + value.len();
        Some((begin, key, value))
    })
}

/// Checks the lengths of an entry.
///
/// # Errors
/// [`Mistake::EmptyKey`], [`Mistake::LongKey`], [`Mistake::LongValue`].
pub(super) fn check(key: &str, value: &str) -> Result<(), Mistake> {
    match (key.len(), value.len()) {
        (0, _) => Err(Mistake::EmptyKey),
        (length, _) if length > MAX_KEY => Err(Mistake::LongKey(length)),
        (_, length) if length > MAX_VALUE => Err(Mistake::LongValue(length)),
        _ => Ok(()),
    }
}

/// Returns key and value of the entry that starts at `at`.
#[inline]
fn entry(text: &[u8], at: usize) -> (&[u8], &[u8]) {
    let (head, rest) = text[at..].split_at(HEAD);
    let length = |index: usize| usize::from(u16::from_le_bytes([head[index], head[index + 1]]));
    let (key, rest) = rest.split_at(length(0));
    (key, &rest[..length(2)])
}

#[cfg(test)]
mod tests {
    use proptest::collection::hash_map;
    use proptest::prelude::*;

    use super::*;

    fn find<'e>(entries: &'e Entries, key: &str) -> Option<&'e [u8]> {
        entries.find(entries.hash(key.as_bytes()), key.as_bytes())
    }

    #[test]
    fn lengths() {
        let check = |key: usize, value: usize, expected: Result<(), Mistake>| {
            let mut builder = Builder::with_capacity(0, 0);
            let (key, value) = ("k".repeat(key), "v".repeat(value));
            assert_eq!(builder.push(&key, &value), expected);
            let entries = builder.build().unwrap();
            let found = find(&entries, &key);
            assert_eq!(found, expected.is_ok().then_some(value.as_bytes()));
        };
        check(1, 0, Ok(()));
        check(MAX_KEY, MAX_VALUE, Ok(()));
        check(0, 1, Err(Mistake::EmptyKey));
        check(MAX_KEY + 1, 1, Err(Mistake::LongKey(MAX_KEY + 1)));
        check(1, MAX_VALUE + 1, Err(Mistake::LongValue(MAX_VALUE + 1)));
    }

    #[test]
    fn entries_are_small() {
        let mut builder = Builder::with_capacity(0, 0);
        for number in 0..100_000 {
            let (key, value) = (
                format!("tenant-{number}"),
                format!("backend-{}", number % 7),
            );
            builder.push(&key, &value).unwrap();
        }
        let entries = builder.build().unwrap();
        let most = entries.text_len() * 3 / 2 + 16 * entries.len();
        assert!(entries.memory() <= most, "{} > {most}", entries.memory());
    }

    #[test]
    fn duplicate_keys_are_reported() {
        let mut builder = Builder::with_capacity(0, 0);
        for key in ["a", "b", "c", "b"] {
            builder.push(key, "").unwrap();
        }
        assert_eq!(builder.build().unwrap_err(), "b");
    }

    proptest! {
        #[test]
        fn entries_are_those_that_were_added(pairs in hash_map("[ab]{1,3}", ".{0,9}", 0..14)) {
            let mut builder = Builder::with_capacity(0, 0);
            for (key, value) in &pairs {
                builder.push(key, value).unwrap();
            }
            let entries = builder.build().unwrap();
            prop_assert_eq!(entries.len(), pairs.len());
            let expected = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
            prop_assert!(entries.iter().eq(expected));
            for first in ["", "a", "b"] {
                for key in ["a", "b", "aa", "ab", "ba", "bb", "c"] {
                    let key = format!("{first}{key}");
                    let expected = pairs.get(&key).map(String::as_bytes);
                    prop_assert_eq!(find(&entries, &key), expected);
                }
            }
        }
    }
}
