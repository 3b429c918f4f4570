//! The endpoints of sessions, as learned from responses: `affinity.learn`.
//!
//! All workers share one table of fixed size, without a lock. The table consists of buckets with a
//! few entries each. If a bucket is full, a new entry replaces the one that has not been seen for
//! longest. Sessions are stored as keyed hashes. The key is random for each process, so that no
//! client can make two sessions collide.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::EndpointId;

/// Number of entries in a bucket, which occupies two cache lines.
const WAYS: usize = 8;

/// Unit of times in the table.
const UNIT: Duration = Duration::from_secs(4);

/// Number of bits for the time in an entry's `place`. A `place` consists of the endpoint's number,
/// the time when the session was last seen, and some bits of the session's hash.
const SEEN_BITS: u32 = 20;
const CHECK_BITS: u32 = 12;

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A table of sessions with their endpoints.
#[derive(Debug)]
pub(super) struct Learned {
    begin: Instant,
    buckets: Box<[Bucket]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Bucket([Entry; WAYS]);

/// An entry of the table. Its two numbers are not written in one atomic step. The hash bits in
/// `place` show whether it belongs to `session`.
#[derive(Debug, Default)]
struct Entry {
    /// Hash of the session; 0 if the entry is free.
    session: AtomicU64,
    place: AtomicU64,
}

impl Learned {
    /// Creates a table for about `max_entries` sessions.
    pub(super) fn new(max_entries: u32) -> Learned {
        let buckets = buckets(max_entries);
        Learned {
            begin: Instant::now(),
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
        }
    }

    /// Returns a table of another size with the same sessions, as many as fit.
    pub(super) fn resized(&self, max_entries: u32) -> Learned {
        let mut new = Learned::new(max_entries);
        new.begin = self.begin;
        for entry in self.buckets.iter().flat_map(|bucket| &bucket.0) {
            let session = entry.session.load(Ordering::Relaxed);
            if session != 0 {
                new.put(session, entry.place.load(Ordering::Relaxed));
            }
        }
        new
    }

    /// Returns whether the table has the right size for this number of sessions.
    pub(super) fn fits(&self, max_entries: u32) -> bool {
        self.buckets.len() == buckets(max_entries)
    }

    /// Returns the endpoint of this session, if the session was seen within `ttl`. Marks the
    /// session as seen now.
    pub(super) fn find(&self, session: &[u8], ttl: Duration) -> Option<EndpointId> {
        let hash = hash(session);
        let entry = self
            .bucket(hash)
            .0
            .iter()
            .find(|entry| entry.session.load(Ordering::Acquire) == hash)?;
        let place = entry.place.load(Ordering::Relaxed);
        let now = self.now();
        let age = UNIT * u32::try_from(age(place, now)).unwrap_or(u32::MAX);
        if check(place) != check_of(hash) || age > ttl {
            return None;
        }
        let endpoint = place >> (SEEN_BITS + CHECK_BITS);
        let seen = pack(endpoint, now, hash);
        if seen != place {
            // The update is skipped if another worker has just changed the entry.
            let order = Ordering::Relaxed;
            let _ = entry.place.compare_exchange(place, seen, order, order);
        }
        Some(EndpointId::from_low(u32::try_from(endpoint).unwrap_or(0)))
    }

    /// Records that a session belongs to this endpoint.
    pub(super) fn insert(&self, session: &[u8], endpoint: EndpointId) {
        let hash = hash(session);
        self.put(hash, pack(u64::from(endpoint.low()), self.now(), hash));
    }

    fn put(&self, session: u64, place: u64) {
        let entries = &self.bucket(session).0;
        let now = self.now();
        let known = entries
            .iter()
            .find(|entry| entry.session.load(Ordering::Relaxed) == session);
        let oldest = || {
            entries
                .iter()
                .max_by_key(|entry| match entry.session.load(Ordering::Relaxed) {
                    0 => u64::MAX,
                    _ => age(entry.place.load(Ordering::Relaxed), now),
                })
        };
        if let Some(entry) = known.or_else(oldest) {
            entry.place.store(place, Ordering::Relaxed);
            entry.session.store(session, Ordering::Release);
        }
    }

    fn bucket(&self, hash: u64) -> &Bucket {
        // The number of buckets is a power of two.
        let mask = self.buckets.len() - 1;
        &self.buckets[usize::try_from(hash >> 16).unwrap_or(0) & mask]
    }

    /// Returns the number of units since the table was created.
    fn now(&self) -> u64 {
        self.begin.elapsed().as_secs() / UNIT.as_secs()
    }
}

/// Returns the number of buckets for `max_entries` sessions. Buckets are half full on average, so
/// that few of them are completely full.
fn buckets(max_entries: u32) -> usize {
    (2 * max_entries as usize / WAYS).max(1).next_power_of_two()
}

fn hash(session: &[u8]) -> u64 {
    KEY.hash_one(session).max(1)
}

fn check_of(hash: u64) -> u64 {
    hash & ((1 << CHECK_BITS) - 1)
}

fn check(place: u64) -> u64 {
    place & ((1 << CHECK_BITS) - 1)
}

fn pack(endpoint: u64, seen: u64, hash: u64) -> u64 {
    let seen = seen & ((1 << SEEN_BITS) - 1);
    endpoint << (SEEN_BITS + CHECK_BITS) | seen << CHECK_BITS | check_of(hash)
}

/// Returns the number of units since an entry was last seen.
fn age(place: u64, now: u64) -> u64 {
    now.wrapping_sub(place >> CHECK_BITS) & ((1 << SEEN_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_mins(1);

    fn id(number: u32) -> EndpointId {
        EndpointId::from_low(number)
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_are_known_until_they_are_not_seen_for_a_while() {
        let learned = Learned::new(64);
        assert_eq!(learned.find(b"a", TTL), None);
        learned.insert(b"a", id(0));
        assert_eq!(learned.find(b"a", TTL), Some(id(0)));
        assert_eq!(learned.find(b"b", TTL), None);
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(50)).await;
            assert_eq!(learned.find(b"a", TTL), Some(id(0)), "seen in time");
        }
        tokio::time::advance(Duration::from_secs(70)).await;
        assert_eq!(learned.find(b"a", TTL), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_make_room() {
        let learned = Learned::new(1_024);
        for session in 0..10_000_u32 {
            learned.insert(&session.to_le_bytes(), id(0));
            if session % 100 == 0 {
                tokio::time::advance(Duration::from_secs(4)).await;
            }
        }
        let known = |session: u32| learned.find(&session.to_le_bytes(), 1_000 * TTL).is_some();
        let recent = (9_600..10_000).filter(|session| known(*session)).count();
        assert!(recent > 390, "{recent}");
        let all = (0..10_000).filter(|session| known(*session)).count();
        assert!((1_024..=2_048).contains(&all), "{all}");
        let smaller = learned.resized(64);
        assert!(smaller.fits(64) && !smaller.fits(1_024));
        let larger = learned.resized(65_536);
        let kept = (0..10_000_u32).filter(|session| {
            let session = session.to_le_bytes();
            larger.find(&session, 1_000 * TTL).is_some()
        });
        assert_eq!(kept.count(), all);
    }
}
