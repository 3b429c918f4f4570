//! Resources that the connections of one worker share: buffers, heads for reuse, the date.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::http::message::{RequestHead, ResponseHead};
use crate::transport::buffer::BufferPool;

/// Heads of either kind that a worker keeps for reuse.
const MAX_FREE_HEADS: usize = 32;
/// Largest buffer that a kept head has, in bytes and in lines.
const MAX_HEAD_BYTES: usize = 8 * 1024;
const MAX_HEAD_LINES: usize = 64;
/// Connections that are read from after their last answer, for each worker. For one more, the
/// first of them is closed: its answer may be lost if its client is still sending.
pub const MAX_LINGERING: usize = 64;

/// Shared by the connections of one worker, and touched by one at a time.
#[derive(Debug, Default)]
pub struct Resources {
    /// Of connections on both sides.
    pub buffers: BufferPool,
    request_heads: RefCell<Vec<RequestHead>>,
    response_heads: RefCell<Vec<ResponseHead>>,
    date: RefCell<Date>,
    lingering: RefCell<VecDeque<Rc<Notify>>>,
}

/// The present second, as HTTP writes it.
#[derive(Debug, Default)]
struct Date {
    second: u64,
    text: String,
}

impl Resources {
    /// With these buffers.
    pub fn new(buffers: BufferPool) -> Resources {
        Resources {
            buffers,
            ..Resources::default()
        }
    }

    /// An empty head.
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

    /// A head without meaning yet.
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

    /// Calls `with` with the present time, as `Date` has it.
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

    /// A place among the lingering connections.
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

/// A connection that is read from after its last answer.
#[derive(Debug)]
pub struct LingeringPlace<'a> {
    resources: &'a Resources,
    recall: Rc<Notify>,
}

impl LingeringPlace<'_> {
    /// Waits until the place is needed for another connection.
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
