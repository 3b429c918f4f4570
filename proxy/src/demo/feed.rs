//! Broadcasts live messages to all open pages.
//!
//! Memory is bounded: a page that reads too slowly misses messages, and only the latest records are
//! kept for pages that open later. Sending never waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::telemetry::{AccessRecord, AccessTap};

/// Maximum number of messages that a slow page can lag behind before it misses some.
const MAX_BEHIND: usize = 256;

/// Maximum number of access records that a new page receives. They include the record of the
/// request for the page itself.
const MAX_RECENT: usize = 12;

/// Sends JSON messages to all open pages. Clones share the same feed.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sender: broadcast::Sender<Utf8Bytes>,
    /// The latest records. Also locked while a record is sent, so that a new page gets each record
    /// exactly once.
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
    /// Returns a tap that puts the proxy's access records into this feed. There is no loop:
    /// messages of the notifier do not create access records.
    pub fn tap(&self) -> AccessTap {
        let feed = self.clone();
        Box::new(move |record| feed.send_record(&message(record)))
    }

    /// Sends a message to every open page.
    pub(super) fn send(&self, message: &Value) {
        // Fails only if no page is open.
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

    /// Returns the latest records, oldest first, and a receiver for all later messages.
    pub(super) fn subscribe(&self) -> (Vec<Utf8Bytes>, broadcast::Receiver<Utf8Bytes>) {
        let recent = self.recent();
        (recent.iter().cloned().collect(), self.0.sender.subscribe())
    }

    /// Returns the number of open pages.
    pub(super) fn pages(&self) -> usize {
        self.0.sender.receiver_count()
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Utf8Bytes>> {
        // The list contains only complete messages, so it is valid even after a panic in another
        // thread.
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Converts a record to JSON with the field names of the log. Absent fields are left out.
fn message(record: &AccessRecord<'_>) -> Value {
    let bytes = |value: Option<&[u8]>| value.map(|value| value.escape_ascii().to_string());
    let milliseconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
    let mut message = json!({
        "type": "access",
        "id": record.id.map(|id| format!("{id:x}")),
        "frontend": record.frontend,
        "client": record.client.to_string(),
        "peer": record.peer.map(|peer| peer.to_string()),
        "method": record.method,
        "host": bytes(record.host),
        "target": bytes(record.target),
        "status": record.status,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "backend": record.backend,
        "server": record.server,
        "plugin": record.plugin,
        "version": record.version,
        "cached": record.cached,
        "end": record.end.as_str(),
        "reason": record.reason,
        "head": milliseconds(record.times.head),
        "decision": milliseconds(record.times.decision),
        "connect": milliseconds(record.times.connect),
        "response": milliseconds(record.times.response),
        "total": milliseconds(record.times.total),
    });
    if let Value::Object(fields) = &mut message {
        fields.retain(|_, value| !value.is_null());
    }
    message
}
