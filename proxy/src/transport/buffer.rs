//! A worker's buffers.
//!
//! A connection borrows a buffer while the buffer contains bytes, and returns it when it is empty.
//! An idle connection therefore uses none.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::memory;

/// Size of a buffer in bytes. The head of nearly every message fits into it, with the start of the
/// body. A transfer between HTTP/1.1 connections that stalls in both directions keeps up to four
/// buffers, 64 KiB: one to read and one to write for each connection.
pub const BUFFER_SIZE: usize = 16 * 1024;

/// Maximum number of free buffers that a worker keeps. Normal load uses fewer at once; the
/// additional buffers of a burst go back to the allocator.
const MAX_FREE: usize = 32;

/// Minimum number of bytes that a burst must have returned to the allocator before the allocator is
/// trimmed.
const MIN_TRIM: usize = 256 * 1024;
/// Time without returned buffers after which a burst is considered over.
const TRIM_AFTER: Duration = Duration::from_secs(1);

/// The free buffers of one worker.
#[derive(Clone, Default)]
pub struct BufferPool {
    free: Rc<RefCell<Vec<Box<[u8]>>>>,
    queues: Rc<RefCell<Vec<Vec<u8>>>>,
    surplus: Rc<Surplus>,
}

/// Number of bytes that the pool has returned to the allocator because it had enough free buffers.
/// The allocator keeps this memory, mixed with memory in use, until the allocator is trimmed.
#[derive(Default)]
struct Surplus {
    bytes: Cell<usize>,
    latest: Cell<Option<Instant>>,
}

impl Surplus {
    fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
        self.latest.set(Some(Instant::now()));
    }

    /// Returns whether a burst is over and has left enough bytes to trim. If so, resets the count.
    fn is_due(&self) -> bool {
        let is_over = self
            .latest
            .get()
            .is_some_and(|latest| latest.elapsed() >= TRIM_AFTER);
        let is_due = is_over && self.bytes.get() >= MIN_TRIM;
        if is_due {
            self.bytes.set(0);
        }
        is_due
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("free", &self.free.borrow().len())
            .finish_non_exhaustive()
    }
}

impl BufferPool {
    fn take(&self) -> Box<[u8]> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| vec![0; BUFFER_SIZE].into_boxed_slice())
    }

    fn put(&self, bytes: Box<[u8]>) {
        let mut free = self.free.borrow_mut();
        if bytes.len() == BUFFER_SIZE && free.len() < MAX_FREE {
            free.push(bytes);
        } else {
            self.surplus.add(bytes.len());
        }
    }

    /// Once a burst is over, returns the memory that it has left with the allocator to the system.
    /// Must be called from time to time.
    pub fn trim(&self) {
        if self.surplus.is_due() {
            memory::give_back();
        }
    }

    fn take_queue(&self) -> Vec<u8> {
        let free = self.queues.borrow_mut().pop();
        free.unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE))
    }

    fn put_queue(&self, mut queue: Vec<u8>) {
        let mut free = self.queues.borrow_mut();
        // A queue that has grown for a large head, or that never came from the pool, is not worth
        // keeping.
        if (BUFFER_SIZE..=2 * BUFFER_SIZE).contains(&queue.capacity()) && free.len() < MAX_FREE {
            queue.clear();
            free.push(queue);
        } else {
            self.surplus.add(queue.capacity());
        }
    }
}

/// Bytes that were read but not used yet. The buffer uses no memory after
/// [`release_if_empty`](Buffer::release_if_empty) has released it.
#[derive(Debug)]
pub struct Buffer {
    pool: BufferPool,
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Creates an empty buffer. It takes memory from `pool` when something is read.
    pub fn new(pool: BufferPool) -> Buffer {
        Buffer {
            pool,
            bytes: Box::default(),
            start: 0,
            end: 0,
        }
    }

    /// Returns the worker's pool.
    pub fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// Returns the bytes in the buffer.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns whether the buffer is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Returns the free space after the bytes in the buffer: at least one byte, unless the buffer
    /// contains `limit` bytes.
    ///
    /// The buffer grows beyond [`BUFFER_SIZE`] only when it is full, and never beyond `limit`.
    pub fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = self.pool.take();
        }
        if self.start > 0 && (self.end == self.bytes.len() || self.end >= limit) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() && self.end < limit {
            self.grow(limit);
        }
        let end = self.bytes.len().min(limit.max(self.end));
        self.bytes.get_mut(self.end..end).unwrap_or_default()
    }

    #[cold]
    fn grow(&mut self, limit: usize) {
        let mut larger = vec![0; (2 * self.bytes.len()).min(limit)].into_boxed_slice();
        larger[..self.end].copy_from_slice(&self.bytes[..self.end]);
        let old = std::mem::replace(&mut self.bytes, larger);
        self.pool.put(old);
    }

    /// Records that `count` bytes were put into the free space.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Removes bytes from the front.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Returns the bytes in the buffer mutably, so that some can be moved.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Removes a range of bytes and moves the bytes after it forward.
    pub fn remove(&mut self, range: Range<usize>) {
        let end = range.end.min(self.filled().len());
        if range.start < end {
            self.filled_mut().copy_within(end.., range.start);
            self.end -= end - range.start;
            self.consume(0);
        }
    }

    /// Releases the memory if the buffer is empty.
    pub fn release_if_empty(&mut self) {
        if self.is_empty() && !self.bytes.is_empty() {
            self.start = 0;
            self.end = 0;
            self.pool.put(std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.pool.put(std::mem::take(&mut self.bytes));
        }
    }
}

/// Bytes that wait to be written. The queue uses no memory after
/// [`release_if_empty`](Queue::release_if_empty) has released it.
#[derive(Debug)]
pub struct Queue {
    pool: BufferPool,
    bytes: Vec<u8>,
    sent: usize,
}

impl Queue {
    /// Creates an empty queue. It takes memory from `pool` when something is put into it.
    pub fn new(pool: BufferPool) -> Queue {
        Queue {
            pool,
            bytes: Vec::new(),
            sent: 0,
        }
    }

    /// Returns the bytes that wait to be written.
    #[inline]
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// Returns whether no bytes wait.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Returns whether some bytes were written while others still wait.
    #[inline]
    pub fn is_partly_sent(&self) -> bool {
        self.sent > 0 && !self.is_empty()
    }

    /// Returns the vector to append to. The caller must only append.
    #[inline]
    pub fn end(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = self.pool.take_queue();
        } else if self.sent > 0 && self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
        &mut self.bytes
    }

    /// Records that `count` bytes were written.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
    }

    /// Releases the memory if no bytes wait.
    pub fn release_if_empty(&mut self) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            self.sent = 0;
            self.pool.put_queue(std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 {
            self.pool.put_queue(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8], limit: usize) -> usize {
        let room = buffer.room(limit);
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        buffer.advance(count);
        count
    }

    #[test]
    fn memory_is_borrowed_and_given_back() {
        let pool = BufferPool::default();
        let mut buffer = Buffer::new(pool.clone());
        assert!(buffer.is_empty() && buffer.bytes.is_empty());
        put(&mut buffer, b"abc", BUFFER_SIZE);
        buffer.release_if_empty();
        assert_eq!(buffer.filled(), b"abc");
        buffer.consume(3);
        buffer.release_if_empty();
        assert!(buffer.bytes.is_empty());
        assert_eq!(pool.free.borrow().len(), 1);
        put(&mut buffer, b"abc", BUFFER_SIZE);
        drop(buffer);
        assert_eq!(pool.free.borrow().len(), 1);
    }

    #[test]
    fn a_buffer_grows_only_to_its_limit() {
        let limit = BUFFER_SIZE + 10;
        let mut buffer = Buffer::new(BufferPool::default());
        let mut sent = Vec::new();
        for step in 0..=u8::MAX {
            let piece = [step; 100];
            let count = put(&mut buffer, &piece, limit);
            sent.extend_from_slice(&piece[..count]);
        }
        assert_eq!(sent.len(), limit);
        assert!(buffer.room(limit).is_empty());
        assert_eq!(buffer.filled(), sent);
        // The free space at the front is used first.
        buffer.consume(50);
        assert_eq!(buffer.room(limit).len(), 50);
        assert_eq!(buffer.filled(), &sent[50..]);
    }

    #[test]
    fn bytes_are_removed_from_within() {
        let check = |range: Range<usize>, expected: &[u8]| {
            let mut buffer = Buffer::new(BufferPool::default());
            put(&mut buffer, b"__abcdef", BUFFER_SIZE);
            buffer.consume(2);
            buffer.remove(range.clone());
            assert_eq!(buffer.filled(), expected, "{range:?}");
            assert_eq!(buffer.is_empty(), expected.is_empty(), "{range:?}");
        };
        check(0..0, b"abcdef");
        check(0..2, b"cdef");
        check(2..4, b"abef");
        check(4..6, b"abcd");
        check(4..9, b"abcd");
        check(6..9, b"abcdef");
        check(0..6, b"");
    }

    #[test]
    fn there_is_room_unless_the_limit_is_reached() {
        let mut buffer = Buffer::new(BufferPool::default());
        // A large head has arrived and been consumed; only the bytes after it remain.
        while put(&mut buffer, &[1; 1000], 3 * BUFFER_SIZE) > 0 {}
        buffer.consume(2 * BUFFER_SIZE + 100);
        let left = buffer.filled().len();
        assert_eq!(buffer.room(BUFFER_SIZE).len(), BUFFER_SIZE - left);
        assert_eq!(buffer.filled().len(), left);
    }

    #[test]
    fn a_queue_is_reused() {
        let pool = BufferPool::default();
        let mut queue = Queue::new(pool.clone());
        queue.end().extend_from_slice(b"abc");
        queue.consume(2);
        queue.release_if_empty();
        assert_eq!(queue.pending(), b"c");
        queue.consume(1);
        queue.end().extend_from_slice(b"def");
        assert_eq!(queue.pending(), b"def");
        queue.consume(3);
        queue.release_if_empty();
        assert_eq!(pool.queues.borrow().len(), 1);
        queue.end().resize(3 * BUFFER_SIZE, 0);
        assert!(pool.queues.borrow().is_empty());
        drop(queue);
        assert!(pool.queues.borrow().is_empty(), "too large to keep");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_goes_back_when_a_burst_is_over() {
        let surplus = Surplus::default();
        assert!(!surplus.is_due());
        for _ in 0..MIN_TRIM / BUFFER_SIZE - 1 {
            surplus.add(BUFFER_SIZE);
        }
        tokio::time::advance(TRIM_AFTER).await;
        assert!(!surplus.is_due(), "not worth it");
        surplus.add(BUFFER_SIZE);
        assert!(!surplus.is_due(), "there may be more of it");
        tokio::time::advance(TRIM_AFTER).await;
        assert!(surplus.is_due());
        assert!(!surplus.is_due(), "it is done");
    }

    #[test]
    fn a_large_buffer_does_not_stay_in_the_pool() {
        let pool = BufferPool::default();
        let mut buffer = Buffer::new(pool.clone());
        while put(&mut buffer, &[0; 1000], 2 * BUFFER_SIZE) > 0 {}
        assert_eq!(pool.free.borrow().len(), 1, "the one it has outgrown");
        drop(buffer);
        assert_eq!(pool.free.borrow().len(), 1);
    }
}
