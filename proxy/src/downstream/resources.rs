//! Resources that the connections of one worker share: buffers, reusable heads, the date.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::http::message::{RequestHead, ResponseHead};
use crate::transport::buffer::BufferPool;

/// Maximum number of heads of each kind that a worker keeps for reuse.
const MAX_FREE_HEADS: usize = 32;
/// Maximum buffer size of a head that is kept for reuse, in bytes and in lines.
const MAX_HEAD_BYTES: usize = 8 * 1024;
const MAX_HEAD_LINES: usize = 64;
/// Maximum number of lingering connections per worker. One more connection closes the oldest, whose
/// response may be lost if its client is still sending.
pub const MAX_LINGERING: usize = 64;

/// Resources shared by the connections of one worker, used by one connection at a time.
#[derive(Debug, Default)]
pub struct Resources {
    /// Buffers for connections of both sides.
    pub buffers: BufferPool,
    request_heads: RefCell<Vec<RequestHead>>,
    response_heads: RefCell<Vec<ResponseHead>>,
    date: RefCell<Date>,
    lingering: RefCell<VecDeque<Rc<Notify>>>,
}

/// The current second, formatted as an HTTP date.
#[derive(Debug, Default)]
struct Date {
    second: u64,
    text: String,
}

impl Resources {
    /// Creates resources with these buffers.
    pub fn new(buffers: BufferPool) -> Resources {
        Resources {
            buffers,
            ..Resources::default()
        }
    }

    /// Returns an empty head, reused if possible.
    pub fn request_head(&self) -> RequestHead {
        self.request_heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a head for reuse.
    pub fn put_request_head(&self, mut head: RequestHead) {
        let mut free = self.request_heads.borrow_mut();
        if free.len() < MAX_FREE_HEADS {
            head.clear();
            head.fields_mut().shrink_to(MAX_HEAD_BYTES, MAX_HEAD_LINES);
            free.push(head);
        }
    }

    /// Returns a head whose start line is not set yet, reused if possible.
    pub fn response_head(&self) -> ResponseHead {
        self.response_heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a head for reuse.
    pub fn put_response_head(&self, mut head: ResponseHead) {
        let mut free = self.response_heads.borrow_mut();
        if free.len() < MAX_FREE_HEADS {
            head.fields_mut().clear();
            head.fields_mut().shrink_to(MAX_HEAD_BYTES, MAX_HEAD_LINES);
            free.push(head);
        }
    }

    /// Calls `with` with the current time, formatted for `Date`.
    pub fn with_date<T>(&self, with: impl FnOnce(&[u8]) -> T) -> T {
        let now = SystemTime::now();
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut date = self.date.borrow_mut();
        if date.second != second || date.text.is_empty() {
            date.second = second;
            date.text = httpdate::fmt_http_date(now);
        }
        with(date.text.as_bytes())
    }

    /// Adds a lingering connection. If there are too many, signals the oldest one to close.
    pub fn linger(&self) -> LingeringPlace<'_> {
        let recall = Rc::new(Notify::new());
        let mut lingering = self.lingering.borrow_mut();
        if lingering.len() >= MAX_LINGERING
            && let Some(first) = lingering.pop_front()
        {
            first.notify_one();
        }
        lingering.push_back(Rc::clone(&recall));
        LingeringPlace {
            resources: self,
            recall,
        }
    }
}

/// The slot of a lingering connection; freed when dropped.
#[derive(Debug)]
pub struct LingeringPlace<'a> {
    resources: &'a Resources,
    recall: Rc<Notify>,
}

impl LingeringPlace<'_> {
    /// Waits until another connection needs the slot.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn recalled(&self) {
        self.recall.notified().await;
    }
}

impl Drop for LingeringPlace<'_> {
    fn drop(&mut self) {
        let mut lingering = self.resources.lingering.borrow_mut();
        lingering.retain(|other| !Rc::ptr_eq(other, &self.recall));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_to_linger_makes_room() {
        let resources = Resources::default();
        let mut places: Vec<_> = (0..MAX_LINGERING).map(|_| resources.linger()).collect();
        drop(places.pop());
        let _room = resources.linger();
        let _one_more = resources.linger();
        places[0].recalled().await;
        assert_eq!(resources.lingering.borrow().len(), MAX_LINGERING);
    }
}
