//! Live messages on their way to every open page.
//!
//! Bounded both ways: a page that reads too slowly misses messages, and only the last records
//! are kept for pages that open later. Sending never waits.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::telemetry::ACCESS_TARGET;

/// Messages that a slow page may be behind before it misses some.
const MAX_BEHIND: usize = 256;

/// Access records that a new page is told of, the request for itself among them.
const MAX_RECENT: usize = 12;

/// Hands JSON messages to all open pages. Clones share one feed.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sender: broadcast::Sender<Utf8Bytes>,
    /// Held while sending too, so that a new page gets each record once.
    recent: Mutex<VecDeque<Utf8Bytes>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Shared {
            sender: broadcast::Sender::new(MAX_BEHIND),
            recent: Mutex::default(),
        }))
    }
}

impl Feed {
    /// A layer that puts the proxy's access records into this feed.
    pub fn tap(&self) -> Tap {
        Tap(self.clone())
    }

    /// Sends to every open page.
    pub(super) fn send(&self, message: &Value) {
        // No page is open: no one to tell.
        let _ = self.0.sender.send(message.to_string().into());
    }

    fn send_record(&self, record: &Value) {
        let text = Utf8Bytes::from(record.to_string());
        let mut recent = self.recent();
        if recent.len() == MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back(text.clone());
        let _ = self.0.sender.send(text);
    }

    /// The last records, oldest first, and everything from now on.
    pub(super) fn subscribe(&self) -> (Vec<Utf8Bytes>, broadcast::Receiver<Utf8Bytes>) {
        let recent = self.recent();
        (recent.iter().cloned().collect(), self.0.sender.subscribe())
    }

    /// Pages that are open.
    pub(super) fn pages(&self) -> usize {
        self.0.sender.receiver_count()
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Utf8Bytes>> {
        // A list of whole texts is sound whoever panicked beside it.
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layer made by [`Feed::tap`]. What the notifier sends makes no records, so that nothing
/// goes in a circle.
#[derive(Debug)]
pub struct Tap(Feed);

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == ACCESS_TARGET {
            let mut record = Record(Map::new());
            event.record(&mut record);
            record.0.insert("type".to_owned(), "access".into());
            self.0.send_record(&Value::Object(record.0));
        }
    }
}

/// An access record's fields, under the names that the log has for them.
struct Record(Map<String, Value>);

impl Record {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.insert(field, value.escape_ascii().to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.insert(field, format!("{value:?}"));
    }
}
