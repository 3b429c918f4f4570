//! What the requests of one downstream connection share.
//!
//! Made by `connection`, lent to each request in turn: there is one at a time.

pub mod transaction;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use tokio::time::Instant;

use http::{HeaderMap, HeaderValue, StatusCode, Version};

use crate::http::head::Client;
use crate::http::headers::{self, Noted, Trust};
use crate::stream::{MAX_INTERIM_LEN, Meter};
use crate::telemetry::{AccessRecord, End};
use crate::timer::Timer;
use crate::tunnel;
use crate::upstream::Lease;
use crate::upstream::body::Upload;
use transaction::Transaction;

/// A downstream connection, as its requests see it.
#[derive(Debug)]
pub struct Downstream {
    /// The frontend's name, for the log.
    pub frontend: Rc<str>,
    /// Who is on the other side.
    pub client: Arc<Client>,
    /// Its address as `X-Forwarded-For` names it; None for a Unix socket.
    pub forwarded_for: Option<HeaderValue>,
    /// Whether its own `X-Forwarded-*` fields count.
    pub trust: Trust,
    /// What has passed through it.
    pub meter: Rc<Meter>,
    /// Where the present request's body stands.
    pub upload: Rc<Upload>,
    /// Interim responses of the present exchange.
    pub interim: Arc<Interim>,
    /// Ends waits for the server.
    pub timer: RefCell<Timer>,
    /// Requests so far.
    pub requests: Cell<u64>,
    /// The connection to the server of the present request, while its response streams.
    pub lease: RefCell<Option<Lease>>,
    /// The present request, from its head until its response is sent and logged.
    pub transaction: RefCell<Option<Transaction>>,
    /// When the first byte of a head came whose end has not.
    pub head_since: Cell<Option<Instant>>,
    /// The server's side of a tunnel that begins when the 101 has been sent.
    pub upgrade: RefCell<Option<tunnel::Upstream>>,
}

impl Downstream {
    /// A connection that has carried nothing yet.
    pub fn new(
        frontend: Rc<str>,
        client: Client,
        forwarded_for: Option<HeaderValue>,
        trust: Trust,
        meter: Rc<Meter>,
    ) -> Downstream {
        Downstream {
            frontend,
            client: Arc::new(client),
            forwarded_for,
            trust,
            meter,
            upload: Rc::default(),
            interim: Arc::default(),
            timer: RefCell::default(),
            requests: Cell::default(),
            lease: RefCell::default(),
            transaction: RefCell::default(),
            head_since: Cell::default(),
            upgrade: RefCell::default(),
        }
    }

    /// Changes the record of the present request.
    pub fn note(&self, change: impl FnOnce(&mut Transaction)) {
        if let Some(transaction) = self.transaction.borrow_mut().as_mut() {
            change(transaction);
        }
    }

    /// Ends the present request's record, if there is one, and logs it; `end` is how it
    /// ended where nothing was said of it.
    pub fn log(&self, end: End) {
        if let Some(mut transaction) = self.transaction.take() {
            transaction.bytes_in = self.upload.bytes();
            transaction.log(&self.frontend, &self.client, end);
        }
    }

    /// The present request's record, for the tunnel that the connection becomes.
    pub fn take_record(&self) -> Record {
        let transaction = self.transaction.take();
        // A tunnel may last for days: it keeps nothing that nobody reads.
        let transaction = transaction.filter(|_| AccessRecord::enabled());
        Record(transaction.map(|mut transaction| {
            transaction.compact();
            Box::new(Handshake {
                frontend: Rc::clone(&self.frontend),
                client: Arc::clone(&self.client),
                transaction,
            })
        }))
    }

    /// Moves bytes over the connection to the server while nobody asks for the response:
    /// a client that does not read may have a body to send first.
    pub fn drive(&self, cx: &mut Context<'_>) {
        if let Some(lease) = self.lease.borrow_mut().as_mut() {
            // How it ends is told by the response's body.
            let _ = lease.link.poll_drive(cx);
        }
    }

    /// Whether the present request's response has been handed over whole.
    pub fn has_answered(&self) -> bool {
        self.transaction
            .borrow()
            .as_ref()
            .is_some_and(|transaction| transaction.status.is_some() && transaction.end.is_some())
    }

    /// Whether a request has come whose response has not been handed over whole.
    pub fn is_busy(&self) -> bool {
        self.transaction.borrow().is_some() && !self.has_answered()
    }

    /// Acts on the interim responses that have arrived.
    pub fn forward_interim(&self) {
        if !self.interim.arrived.swap(false, Ordering::Relaxed) {
            return;
        }
        if self.interim.is_continue.swap(false, Ordering::Relaxed) {
            // hyper says 100 to the client as soon as somebody wants its body.
            self.upload.release();
        }
        let mut heads = self.interim.lock();
        self.meter.send_interim(&heads);
        heads.clear();
    }
}

impl Drop for Downstream {
    /// A connection logs what it ends. One that is dropped in the middle is cut off by a
    /// worker that stops.
    fn drop(&mut self) {
        self.log(End::Drain);
    }
}

/// What is left of a connection that became a tunnel: the record of its handshake, which is
/// logged when the tunnel ends. None where nobody reads it, or once it is logged.
#[derive(Debug)]
pub struct Record(Option<Box<Handshake>>);

#[derive(Debug)]
struct Handshake {
    frontend: Rc<str>,
    client: Arc<Client>,
    transaction: Transaction,
}

impl Record {
    /// Logs how the tunnel ended and what passed through it. Once only: later calls do
    /// nothing.
    pub fn log(&mut self, end: End, inward: u64, outward: u64) {
        if let Some(handshake) = self.0.take() {
            let mut transaction = handshake.transaction;
            transaction.finish(end);
            transaction.bytes_in += inward;
            transaction.bytes_out += outward;
            transaction.log(&handshake.frontend, &handshake.client, end);
        }
    }
}

/// Interim responses between hyper, which reports them by a callback that may be called on
/// any thread, and the request. In truth both are on one: nothing here is ever contended.
#[derive(Debug, Default)]
pub struct Interim {
    arrived: AtomicBool,
    is_continue: AtomicBool,
    count: AtomicU32,
    /// Whether the client may be sent any.
    is_welcome: AtomicBool,
    heads: Mutex<Vec<u8>>,
}

impl Interim {
    /// A server's 1xx response.
    pub fn push(&self, status: StatusCode, fields: &HeaderMap) {
        self.arrived.store(true, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        if status == StatusCode::CONTINUE {
            self.is_continue.store(true, Ordering::Relaxed);
            return;
        }
        if !self.is_welcome.load(Ordering::Relaxed) {
            return;
        }
        let mut fields = fields.clone();
        let noted = Noted::of(&fields);
        headers::remove_hop_by_hop(&mut fields, noted);
        let mut heads = self.lock();
        if heads.len() > MAX_INTERIM_LEN {
            return;
        }
        let reason = status.canonical_reason().unwrap_or("Informational");
        heads.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).as_bytes());
        for (name, value) in &fields {
            heads.extend_from_slice(name.as_str().as_bytes());
            heads.extend_from_slice(b": ");
            heads.extend_from_slice(value.as_bytes());
            heads.extend_from_slice(b"\r\n");
        }
        heads.extend_from_slice(b"\r\n");
    }

    /// Forgets the exchange before. A client of HTTP/1.0 gets no interim responses (RFC
    /// 9110, section 15.2).
    pub fn reset(&self, client: Version) {
        let is_welcome = client != Version::HTTP_10;
        self.is_welcome.store(is_welcome, Ordering::Relaxed);
        self.arrived.store(false, Ordering::Relaxed);
        self.is_continue.store(false, Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
        self.lock().clear();
    }

    /// How many there were in this exchange.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
