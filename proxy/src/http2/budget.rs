//! Limits on frames that cost more than they contribute.
//!
//! The h2 crate answers every PING and SETTINGS, and lets a client open and reset streams forever.
//! Here, each such frame is charged to a budget, which useful frames and time refill. This module
//! reads only the headers of frames (RFC 9113, section 4.1), in both directions.

use std::time::Duration;

use tokio::time::Instant;

/// Length of a frame header.
const HEADER: usize = 9;

/// Length of the client's connection preface (RFC 9113, section 3.4).
const PREFACE: u64 = 24;

/// Largest burst of resets, as in nghttp2. A browser that leaves a page can reset a hundred
/// streams.
const MAX_RESETS: u32 = 1000;

/// Largest burst of other frames that carry nothing. A gRPC peer measures the round-trip time: it
/// sends a PING for some of the data that it receives. Sending data refills the budget for such
/// PINGs.
const MAX_IDLE: u32 = 1000;

/// Time that refills each budget by one frame: 33 per second, as in nghttp2.
const REFILL: Duration = Duration::from_millis(30);

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    left: u32,
    max: u32,
}

impl Bucket {
    const fn full(max: u32) -> Bucket {
        Bucket { left: max, max }
    }

    fn add(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.max);
    }

    /// Takes one token. Returns false if there was none left.
    fn spend(&mut self) -> bool {
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

/// Finds frame headers in a stream of bytes.
#[derive(Debug, Default)]
struct Frames {
    /// Bytes of the current frame's payload, or of the preface, that are still to come.
    skip: u64,
    header: [u8; HEADER],
    filled: usize,
    /// Whether a frame header has been seen.
    has_header: bool,
    /// Whether the whole first frame has been seen.
    has_first: bool,
}

impl Frames {
    /// Calls `each` with the type, flags and length of every frame whose header ends in `bytes`.
    fn scan(&mut self, mut bytes: &[u8], mut each: impl FnMut(u8, u8, u32)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let count = usize::try_from(self.skip).map_or(bytes.len(), |n| n.min(bytes.len()));
                self.skip -= count as u64;
                self.has_first |= self.skip == 0 && self.has_header;
                bytes = &bytes[count..];
                continue;
            }
            let count = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
            if self.filled == HEADER {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.skip = u64::from(length);
                self.has_header = true;
                self.has_first |= length == 0;
                each(kind, flags, length);
            }
        }
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// Flag that marks a SETTINGS or PING frame as the acknowledgment of one from this side.
const ACK: u8 = 1;

/// The budget of one connection.
#[derive(Debug)]
pub(super) struct Budget {
    received: Frames,
    sent: Frames,
    resets: Bucket,
    idle: Bucket,
    /// Time up to which the buckets have been refilled.
    credited: Instant,
    violation: Option<Violation>,
}

/// A violation by the peer that ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// The peer's first frame was not SETTINGS (RFC 9113, section 3.4).
    Preface,
    /// The peer sent more resets, or more frames that carry nothing, than its budget allows.
    Flood,
}

impl Budget {
    /// Creates the budget of a client connection, on which the peer sends the preface.
    pub(super) fn of_client(now: Instant) -> Budget {
        let mut budget = Budget::new(now);
        budget.received.skip = PREFACE;
        budget
    }

    /// Creates the budget of a connection to a server, on which this side sends the preface.
    pub(super) fn of_server(now: Instant) -> Budget {
        let mut budget = Budget::new(now);
        budget.sent.skip = PREFACE;
        budget
    }

    fn new(now: Instant) -> Budget {
        Budget {
            received: Frames::default(),
            sent: Frames::default(),
            resets: Bucket::full(MAX_RESETS),
            idle: Bucket::full(MAX_IDLE),
            credited: now,
            violation: None,
        }
    }

    /// Returns whether the peer has sent a whole frame.
    pub(super) fn has_frame(&self) -> bool {
        self.received.has_first
    }

    /// Returns the peer's violation, if any.
    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Accounts for bytes received from the peer.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        let mut useless = 0;
        let mut resets = 0;
        let mut useful = 0;
        let mut is_first = !self.received.has_header;
        let violation = &mut self.violation;
        self.received.scan(bytes, |kind, flags, length| {
            if std::mem::take(&mut is_first) && kind != SETTINGS {
                *violation = Some(Violation::Preface);
            }
            match kind {
                RST_STREAM => resets += 1,
                HEADERS => useful += 1,
                DATA | CONTINUATION if length > 0 => useful += 1,
                SETTINGS | PING if flags & ACK != 0 => {}
                // Includes unknown types, which h2 ignores.
                _ => useless += 1,
            }
        });
        self.idle.add(useful);
        if useless + resets > 0 {
            self.spend(useless, resets);
        }
    }

    /// Accounts for bytes sent to the peer: the peer may respond to data with control frames.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let mut useful = 0;
        self.sent.scan(bytes, |kind, _, length| {
            // Pays for a WINDOW_UPDATE for the stream, one for the connection, and a PING.
            if kind == DATA && length > 0 {
                useful += 3;
            }
        });
        self.idle.add(useful);
    }

    #[cold]
    fn spend(&mut self, useless: u32, resets: u32) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.credited);
        let earned = u32::try_from(passed.as_millis() / REFILL.as_millis()).unwrap_or(u32::MAX);
        if earned > 0 {
            self.credited = now;
            self.idle.add(earned);
            self.resets.add(earned);
        }
        let is_allowed = (0..useless).all(|_| self.idle.spend());
        if !is_allowed || !(0..resets).all(|_| self.resets.spend()) {
            self.violation.get_or_insert(Violation::Flood);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIORITY: u8 = 2;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(vec![0; payload]);
        frame
    }

    fn budget() -> Budget {
        let mut budget = Budget::of_server(Instant::now());
        budget.sent(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        budget.received(&frame(SETTINGS, 0, 0));
        budget.idle.add(1);
        budget
    }

    #[tokio::test(start_paused = true)]
    async fn floods_are_noticed() {
        for (kind, flags, payload) in [
            (PING, 0, 8),
            (SETTINGS, 0, 0),
            (PRIORITY, 0, 5),
            (WINDOW_UPDATE, 0, 4),
            (RST_STREAM, 0, 4),
            (DATA, 0, 0),
            (CONTINUATION, 0, 0),
            (0x42, 0, 100),
        ] {
            let mut budget = budget();
            let frame = frame(kind, flags, payload);
            for _ in 0..1000 {
                budget.received(&frame);
            }
            assert!(budget.violation().is_none(), "{kind}");
            budget.received(&frame);
            assert!(budget.violation() == Some(Violation::Flood), "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn useful_frames_offset_control_frames_but_not_resets() {
        let mut one = budget();
        for _ in 0..5000 {
            one.received(&frame(PING, 0, 8));
            one.received(&frame(DATA, 0, 10));
        }
        for _ in 0..2000 {
            one.sent(&frame(DATA, 0, 10));
            (0..3).for_each(|_| one.received(&frame(WINDOW_UPDATE, 0, 4)));
        }
        // Acknowledgments of our own frames cost nothing.
        for _ in 0..5000 {
            one.received(&frame(PING, ACK, 8));
        }
        assert!(one.violation().is_none());
        let mut rapid = budget();
        for _ in 0..1001 {
            rapid.received(&frame(HEADERS, 5, 20));
            rapid.received(&frame(RST_STREAM, 0, 4));
        }
        assert!(rapid.violation() == Some(Violation::Flood));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_begins_with_settings() {
        let mut budget = Budget::of_client(Instant::now());
        budget.received(&[b'x'; 24]);
        assert_eq!(budget.violation(), None);
        budget.received(&frame(PING, 0, 8));
        assert_eq!(budget.violation(), Some(Violation::Preface));
    }

    #[tokio::test(start_paused = true)]
    async fn time_refills_the_budget_too() {
        let mut budget = budget();
        for _ in 0..10_000 {
            budget.received(&frame(PING, 0, 8));
            tokio::time::advance(REFILL).await;
        }
        assert!(budget.violation().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_found_however_they_arrive() {
        let mut bytes = vec![b'x'; usize::try_from(PREFACE).unwrap()];
        bytes.extend(frame(SETTINGS, 0, 0));
        for _ in 0..300 {
            bytes.extend(frame(HEADERS, 4, 17));
            bytes.extend(frame(PING, 0, 8));
            bytes.extend(frame(RST_STREAM, 0, 4));
        }
        for size in [1, 2, 7, 9, 10, 100, bytes.len()] {
            let mut budget = Budget::of_client(Instant::now());
            for piece in bytes.chunks(size) {
                budget.received(piece);
            }
            assert_eq!(budget.resets.left, MAX_RESETS - 300, "{size}");
            assert!(budget.violation().is_none());
        }
    }
}
