//! One timer for many deadlines.
//!
//! A leaf. Arming a tokio timer takes a lock and modifies the timer wheel. The deadline of a
//! connection nearly always moves to a later time, with each request. Therefore a [`Timer`] stays
//! armed for an earlier deadline, and compares it with the current one when it fires.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is rearmed as rarely as possible.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The task that the armed timer wakes.
    waker: Option<Waker>,
}

impl Timer {
    /// Returns ready once `deadline` has passed. Each call can pass another deadline.
    pub fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if let (Some(sleep), Some(waker)) = (&self.sleep, &self.waker)
            && sleep.deadline() <= deadline
            && !sleep.is_elapsed()
            && waker.will_wake(cx.waker())
        {
            // The timer is armed for this deadline or an earlier one. Polling it would change
            // nothing.
            return Poll::Pending;
        }
        let polled = self.poll_sleep(deadline, cx);
        if polled.is_pending() {
            self.waker = Some(cx.waker().clone());
        }
        polled
    }

    fn poll_sleep(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            // Poll outside the task's budget. A poll that returns because the budget is used up
            // does not register this task with the timer, so nothing would wake the task.
            ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

/// Ends a wait in which there is no progress: the deadline is `limit` after the last progress.
///
/// Progress is a growing number, such as the number of bytes moved. The clock is read only if the
/// number has changed.
#[derive(Debug)]
pub struct Stall {
    limit: Duration,
    seen: u64,
    /// Time of the last progress. None until a wait is polled, because most operations are ready at
    /// once and never wait.
    since: Option<Instant>,
}

impl Stall {
    /// Creates a stall whose time starts with its first poll. `progress` is the initial progress.
    pub fn new(limit: Duration, progress: u64) -> Stall {
        Stall {
            limit,
            seen: progress,
            since: None,
        }
    }

    /// Restarts the time with the next poll.
    pub fn restart(&mut self) {
        self.since = None;
    }

    /// Returns the longest wait without progress.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Changes the longest wait, counted from the last progress.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Returns ready when `progress` has not changed for `limit`.
    pub fn poll(&mut self, timer: &mut Timer, progress: u64, cx: &mut Context<'_>) -> Poll<()> {
        if progress != self.seen {
            self.seen = progress;
            self.restart();
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        timer.poll_until(since + self.limit, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_deadline_wherever_it_was_armed_before() {
        for (first, second) in [(5, 9), (9, 5), (5, 5)] {
            let start = Instant::now();
            let mut timer = Timer::default();
            poll_fn(|cx| {
                assert!(timer.poll_until(start + first * SECOND, cx).is_pending());
                Poll::Ready(())
            })
            .await;
            poll_fn(|cx| timer.poll_until(start + second * SECOND, cx)).await;
            assert_eq!(start.elapsed(), second * SECOND, "{first} then {second}");
            poll_fn(|cx| timer.poll_until(start + 12 * SECOND, cx)).await;
            assert_eq!(start.elapsed(), 12 * SECOND, "again after it fired");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_without_budget_is_still_woken() {
        let deadline = Instant::now() + SECOND;
        let mut timer = Timer::default();
        let mut is_first = true;
        poll_fn(|cx| {
            if std::mem::take(&mut is_first) {
                while tokio::task::coop::has_budget_remaining() {
                    let _ = tokio::task::coop::poll_proceed(cx).map(|spent| spent.made_progress());
                }
            }
            timer.poll_until(deadline, cx)
        })
        .await;
        assert!(Instant::now() >= deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_counts_from_the_last_progress() {
        let start = Instant::now();
        let mut timer = Timer::default();
        let mut stall = Stall::new(3 * SECOND, 0);
        let mut tick = tokio::time::interval(SECOND);
        let mut progress = 0;
        poll_fn(|cx| {
            while tick.poll_tick(cx).is_ready() {
                if progress < 5 {
                    progress += 1;
                }
            }
            stall.poll(&mut timer, progress, cx)
        })
        .await;
        // The fifth tick comes at 4 s.
        assert_eq!(start.elapsed(), 7 * SECOND);
    }
}
