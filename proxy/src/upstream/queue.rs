//! A queue of requests that wait for a slot, either of one endpoint or of any server of a backend.
//!
//! Requests are served in order of arrival, over all workers. Only requests that wait, and threads
//! that release a slot while a request waits, take the lock.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Waiting requests, in order of arrival.
#[derive(Debug)]
pub(super) struct Queue {
    /// Number of waiters in `line`, which can be read without the lock.
    waiting: AtomicU32,
    max: AtomicU32,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// Waiters by number. A waiter has no waker until it is first polled.
    waiters: BTreeMap<u64, Option<Waker>>,
}

impl Queue {
    pub(super) fn new(max: u32) -> Queue {
        Queue {
            waiting: AtomicU32::new(0),
            max: AtomicU32::new(max),
            line: Mutex::default(),
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the maximum number of waiting requests. Requests that are already waiting stay.
    pub(super) fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Returns whether no request waits. If a request waits, others must not overtake it.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// Enters the queue at its end. Returns `None` if the queue is full.
    pub(super) fn enter(self: &Arc<Queue>) -> Option<Place> {
        let mut line = self.line();
        if line.waiters.len() >= self.max.load(Ordering::Relaxed) as usize {
            return None;
        }
        let number = line.next;
        line.next += 1;
        line.waiters.insert(number, None);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(line);
        Some(Place {
            queue: Arc::clone(self),
            number,
        })
    }

    /// Wakes the first request in the queue. Called when a slot may have become free.
    pub(super) fn wake(&self) {
        if !self.is_empty() {
            wake_first(self.line());
        }
    }
}

fn wake_first(mut line: MutexGuard<'_, Line>) {
    let first = line.waiters.values_mut().next();
    let waker = first.and_then(Option::take);
    drop(line);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A position in the queue, released when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    queue: Arc<Queue>,
    number: u64,
}

impl Place {
    /// Waits until the request is first in the queue and `take` returns a value.
    ///
    /// # Cancel safety
    /// Safe: the request keeps its position.
    pub(super) async fn wait<T>(&self, mut take: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| self.poll(&mut take, cx)).await
    }

    fn poll<T>(&self, take: &mut impl FnMut() -> Option<T>, cx: &Context<'_>) -> Poll<T> {
        let mut line = self.queue.line();
        let is_first = line.waiters.keys().next() == Some(&self.number);
        line.waiters.insert(self.number, Some(cx.waker().clone()));
        drop(line);
        match is_first.then(take).flatten() {
            Some(taken) => Poll::Ready(taken),
            None => Poll::Pending,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        line.waiters.remove(&self.number);
        self.queue.waiting.fetch_sub(1, Ordering::SeqCst);
        // The next request in the queue may have been waiting only for this request to leave.
        wake_first(line);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::pin::pin;

    use super::*;

    /// Polls each future once. Returns which are ready.
    async fn poll_all<F: Future + Unpin>(futures: &mut [F]) -> Vec<bool> {
        poll_fn(|cx| {
            let polled = futures.iter_mut();
            let ready = polled.map(|future| std::pin::Pin::new(future).poll(cx).is_ready());
            Poll::Ready(ready.collect())
        })
        .await
    }

    #[tokio::test]
    async fn first_come_first_served() {
        let queue = Arc::new(Queue::new(9));
        let free = Cell::new(0_u32);
        let take = || {
            let left = free.get().checked_sub(1)?;
            free.set(left);
            Some(())
        };
        let places: Vec<_> = (0..3).map(|_| queue.enter().unwrap()).collect();
        let mut waits: Vec<_> = places
            .iter()
            .map(|place| Box::pin(place.wait(take)))
            .collect();
        // All three requests arrive at once. The last in the queue does not overtake the others.
        assert_eq!(poll_all(&mut waits).await, [false; 3]);
        free.set(1);
        assert_eq!(poll_all(&mut waits[1..]).await, [false, false]);
        assert_eq!(poll_all(&mut waits[..1]).await, [true]);
    }

    #[tokio::test]
    async fn a_request_that_leaves_wakes_the_next() {
        let queue = Arc::new(Queue::new(9));
        let (first, second) = (queue.enter().unwrap(), queue.enter().unwrap());
        let mut wait = pin!(async {
            second.wait(|| Some(())).await;
        });
        let pending = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        let leave = async { drop(first) };
        tokio::join!(wait, leave);
    }

    #[tokio::test]
    async fn a_free_slot_wakes_the_first_request() {
        let queue = Arc::new(Queue::new(9));
        let place = queue.enter().unwrap();
        let free = RefCell::new(None);
        let give = async {
            *free.borrow_mut() = Some(7);
            queue.wake();
        };
        let (taken, ()) = tokio::join!(place.wait(|| free.borrow_mut().take()), give);
        assert_eq!(taken, 7);
        assert!(!queue.is_empty());
        drop(place);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_number_of_waiting_requests_is_limited() {
        let queue = Arc::new(Queue::new(1));
        let place = queue.enter();
        assert!(place.is_some());
        assert!(queue.enter().is_none());
        drop(place);
        assert!(queue.enter().is_some());
        queue.set_max(0);
        assert!(queue.enter().is_none());
    }
}
