//! The log's queue, from the threads that log to the thread that writes.
//!
//! Each thread that logs has its own lane: a buffer of whole lines that only the writing thread
//! empties. Two workers therefore never wait for each other. A lane's lock is held while a line is
//! appended, and while the writing thread exchanges the buffer for an empty one.
//!
//! The writing thread sleeps while nothing is logged, and the first line wakes it. From then on it
//! checks the lanes every [`BATCH_INTERVAL`] for as long as there are lines. A busy worker
//! therefore makes no system call to log.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread::{self, Thread};
use std::time::Duration;

use super::clock::Clock;
use super::sink::Sink;

/// Maximum number of bytes that wait in one thread's lane. Further lines are dropped.
///
/// This is enough for 13,000 lines of 300 bytes, which a worker that serves 60,000 requests a
/// second writes in a fifth of a second. The lane can absorb the pauses of a slow disk, but not a
/// disk that has stopped.
pub const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// Space that is reserved before each line is written: enough for the longest access record.
/// Without the reservation, the buffer of a lane would double its capacity as it grows, and could
/// exceed [`MAX_QUEUED_BYTES`].
const LINE_ROOM: usize = 32 * 1024;

/// Longest time that a line waits while the writing thread keeps up.
///
/// It is long enough for one wakeup to handle a hundred lines, and short enough for people who
/// watch the log.
pub const BATCH_INTERVAL: Duration = Duration::from_millis(10);

/// Pause between two attempts to write to an output that has failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for the writing thread when the process exits.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

thread_local! {
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// This thread's lane, and the queue to which the lane belongs.
struct Own {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
}

/// The queue's handle for threads that log. Clones share one queue.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

/// State shared by the writing thread and the threads that log.
#[derive(Debug, Default)]
pub(super) struct Shared {
    lanes: Mutex<Vec<Arc<Lane>>>,
    /// Number of lost lines: those that found their lane full, and those that were cut off when the
    /// file was rotated.
    lost: AtomicU64,
    /// Set by the writing thread before it checks for lines one last time and then sleeps. Cleared
    /// by the thread that wakes it.
    asleep: AtomicBool,
    /// Set to request that the file be reopened before the next line.
    reopen: AtomicBool,
    /// Set once no more lines will be added to the lanes.
    closing: AtomicBool,
    /// The writing thread. Set before the first line is logged.
    writer: OnceLock<Thread>,
}

#[derive(Debug, Default)]
struct Lane(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    clock: Clock,
}

/// Handle to the writing thread. Dropping it writes out the queued lines, and waits for at most one
/// second.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Channel that is disconnected when the thread ends. It is in a mutex because a receiver is
    /// not `Sync`.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Queue {
    /// Starts the writing thread.
    ///
    /// # Errors
    /// The system's error, if it cannot start a thread.
    pub(super) fn start(sink: Sink) -> io::Result<(Queue, Writer)> {
        let shared = Arc::new(Shared::default());
        let (alive, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("log".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                write_until_closed(&shared, sink);
                drop(alive);
            }
        })?;
        // Cannot fail: it is set nowhere else.
        let _ = shared.writer.set(thread.thread().clone());
        let queue = Queue(Arc::clone(&shared));
        let ended = Mutex::new(ended);
        Ok((queue, Writer { shared, ended }))
    }

    /// Appends the line that `write` produces. Drops the line if the lane is full.
    ///
    /// The line can be longer than [`LINE_ROOM`]: its length is unknown until it has been written.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>, &mut Clock)) {
        // The lane of a thread that is exiting has already been destroyed, so its line gets a new
        // lane.
        let mut write = Some(write);
        let pushed = OWN.try_with(|own| {
            // Normally `write` logs nothing, so the cell is not borrowed.
            let mut own = own.try_borrow_mut().ok()?;
            let lane = match &mut *own {
                Some(own) if Arc::ptr_eq(&own.shared, &self.0) => &own.lane,
                own => &own.insert(self.open()).lane,
            };
            lane.push(&self.0, write.take()?);
            Some(())
        });
        if let (Err(_) | Ok(None), Some(write)) = (pushed, write) {
            self.open().lane.push(&self.0, write);
        }
        if self.0.asleep.load(Ordering::Relaxed) {
            self.0.wake();
        }
    }

    #[cold]
    fn open(&self) -> Own {
        let lane = Arc::new(Lane::default());
        self.0.lanes().push(Arc::clone(&lane));
        Own {
            shared: Arc::clone(&self.0),
            lane,
        }
    }
}

/// Used by `tracing-subscriber`, which writes each line in a single call.
impl io::Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(|out, _| out.extend_from_slice(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lane {
    fn push(&self, shared: &Shared, write: impl FnOnce(&mut Vec<u8>, &mut Clock)) {
        let mut lines = self.lines();
        if lines.bytes.len() > MAX_QUEUED_BYTES - LINE_ROOM {
            shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Lines { bytes, clock } = &mut *lines;
        if bytes.capacity() - bytes.len() < LINE_ROOM {
            let capacity = (2 * bytes.capacity()).clamp(2 * LINE_ROOM, MAX_QUEUED_BYTES);
            bytes.reserve_exact(capacity - bytes.len());
        }
        write(bytes, clock);
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // The bytes are valid even if a thread has panicked while it held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, Vec<Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn wake(&self) {
        if self.asleep.swap(false, Ordering::Relaxed) {
            self.unpark();
        }
    }

    fn unpark(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn is_empty(&self) -> bool {
        let lanes = self.lanes();
        lanes.iter().all(|lane| lane.lines().bytes.is_empty())
    }
}

impl Writer {
    /// Returns the number of lines lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Reopens the log file before the next line is written.
    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.shared.unpark();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.unpark();
        // Nothing is ever sent on this channel: the wait ends when the thread ends, or at the
        // timeout.
        let ended = self.ended.get_mut();
        let ended = ended.unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(CLOSE_TIMEOUT);
    }
}

/// Runs the writing thread.
fn write_until_closed(shared: &Shared, mut sink: Sink) {
    let mut batch = Vec::new();
    loop {
        // The flag is read before the lanes, so that every line logged before the flag was set is
        // written.
        let closing = shared.closing.load(Ordering::Acquire);
        if shared.reopen.swap(false, Ordering::AcqRel) {
            let lost = sink.reopen();
            shared.lost.fetch_add(lost, Ordering::Relaxed);
        }
        let found = write_lanes(shared, &mut sink, &mut batch);
        sink.report_lost(shared.lost.load(Ordering::Relaxed), closing);
        if closing {
            return;
        }
        if sink.is_behind() {
            thread::park_timeout(RETRY_INTERVAL);
        } else if found {
            thread::park_timeout(BATCH_INTERVAL);
        } else {
            // Every push locks its lane, and so does the check for lines below. If a push comes
            // before the check, the check finds its line. If it comes after, the thread that pushes
            // sees this store and wakes the writing thread.
            shared.asleep.store(true, Ordering::Relaxed);
            if shared.is_empty() {
                thread::park();
            }
            shared.asleep.store(false, Ordering::Relaxed);
        }
    }
}

/// Writes the contents of all lanes. Returns whether it found any lines.
fn write_lanes(shared: &Shared, sink: &mut Sink, batch: &mut Vec<u8>) -> bool {
    let mut found = false;
    // While the output fails, the sink keeps one batch. Further lines wait in the lanes, which are
    // bounded.
    for index in 0.. {
        if !sink.flush() {
            break;
        }
        let Some(lane) = shared.lanes().get(index).cloned() else {
            break;
        };
        std::mem::swap(&mut lane.lines().bytes, batch);
        if !batch.is_empty() {
            found = true;
            sink.write(batch);
        }
    }
    // Remove the empty lanes of threads that have ended.
    shared
        .lanes()
        .retain(|lane| Arc::strong_count(lane) > 1 || !lane.lines().bytes.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_takes_no_more_memory_than_its_bound() {
        for length in [100, 5_000, LINE_ROOM] {
            let (shared, lane) = (Shared::default(), Lane::default());
            let pushed = 2 * MAX_QUEUED_BYTES / length;
            for _ in 0..pushed {
                lane.push(&shared, |out, _| out.resize(out.len() + length, b'x'));
            }
            let bytes = &lane.lines().bytes;
            assert!(
                bytes.capacity() <= MAX_QUEUED_BYTES,
                "{length}: {}",
                bytes.capacity()
            );
            assert!(
                bytes.len() > MAX_QUEUED_BYTES - 2 * LINE_ROOM,
                "{length}: {}",
                bytes.len()
            );
            let lost = usize::try_from(shared.lost.load(Ordering::Relaxed)).unwrap();
            assert_eq!(bytes.len() / length + lost, pushed, "{length}");
        }
    }
}
