//! What a guest sees of the host: the data of its store and the functions it imports.
//!
//! Reads are recorded, edits are collected; nothing of the request is changed here.
//! WASI's part is in `wasi`. Called by wasmtime while a guest runs.

use std::sync::Arc;

use tracing::Level;
use wasmtime::component::Resource;

use super::bindings::pointsman::router::{backends, log, request};
use super::convert::{self, Edited};
use super::fault::Refusal;
use super::limits::{Deadline, MemoryLimit};
use super::lines;
use super::log::Log;
use super::types::{self, Backends, Edits, Read, Reads};
use super::wasi::Wasi;
use crate::http::head::{CertificateFacts, Client, TlsFacts};
use crate::http::message;
use crate::http::syntax;
use request::EditError;

/// Most edits to one request.
const MAX_EDITS: usize = 128;

/// Most bytes of names and values in the edits to one request.
///
/// What servers take for a whole head is less.
const MAX_EDIT_BYTES: usize = 64 * 1024;

/// What a `request-head` stands for.
///
/// One request at a time is in an instance, so its representation is not an index into a
/// table but the number of the call: another number is a handle kept from an earlier one.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct RequestHead;

/// Data of one instance's store.
pub(super) struct State {
    pub(super) backends: Arc<dyn Backends>,
    pub(super) memory: MemoryLimit,
    pub(super) deadline: Deadline,
    pub(super) log: Log,
    /// There if the component imports any of WASI.
    pub(super) wasi: Option<Box<Wasi>>,
    /// What the guest read in the present call.
    pub(super) reads: Reads,
    request: Option<Request>,
    /// Number of the present call; wraps around.
    call: u32,
    /// Handles that the guest was given and has not dropped.
    handles: u32,
}

struct Request {
    head: message::RequestHead,
    client: Arc<Client>,
    tls: Option<Arc<TlsFacts>>,
    attempt: u32,
    edits: Edits,
    /// Edits made, those that others replaced included.
    edit_count: usize,
    edit_bytes: usize,
}

type OptionalText = wasmtime::Result<Option<String>>;
type EditResult = wasmtime::Result<Result<(), EditError>>;

impl State {
    pub(super) fn new(
        backends: Arc<dyn Backends>,
        memory: MemoryLimit,
        deadline: Deadline,
        log: Log,
        wasi: Option<Box<Wasi>>,
    ) -> State {
        State {
            backends,
            memory,
            deadline,
            log,
            wasi,
            reads: Reads::default(),
            request: None,
            call: 0,
            handles: 0,
        }
    }

    /// Takes a request in, its head included; the handle is the guest's way to it.
    pub(super) fn begin(&mut self, request: &mut types::Request<'_>) -> Resource<RequestHead> {
        self.call = self.call.wrapping_add(1);
        self.handles = self.handles.saturating_add(1);
        self.reads.clear();
        self.memory.take_refused();
        self.request = Some(Request {
            head: std::mem::take(request.head),
            client: Arc::clone(request.client),
            tls: request.tls.cloned(),
            attempt: request.attempt,
            edits: Edits::default(),
            edit_count: 0,
            edit_bytes: 0,
        });
        Resource::new_own(self.call)
    }

    /// Gives the request of [`begin`](Self::begin) back, with the edits to it.
    ///
    /// # Panics
    /// Without a `begin` before it.
    pub(super) fn end(&mut self) -> (message::RequestHead, Edits) {
        let request = self.request.take().expect("begin put a request in");
        (request.head, request.edits)
    }

    /// Whether another store would do for the guest as it is now.
    ///
    /// # Errors
    /// What the guest has done that ties it to this one.
    pub(super) fn check_pure(&mut self) -> Result<(), &'static str> {
        if !self.reads.cacheable {
            return Err("asks for the time or random numbers");
        }
        let holds_resources = self
            .wasi
            .as_ref()
            .is_some_and(|wasi| wasi.holds_resources());
        if holds_resources || self.handles > 0 {
            return Err("takes hold of a resource, such as standard output");
        }
        Ok(())
    }

    pub(super) fn handles(&self) -> u32 {
        self.handles
    }

    fn request(&mut self, handle: &Resource<RequestHead>) -> wasmtime::Result<&mut Request> {
        match &mut self.request {
            Some(request) if handle.rep() == self.call => Ok(request),
            _ => Err(Refusal::StaleHandle.into()),
        }
    }

    /// Records `read`, then reads.
    fn read<T>(
        &mut self,
        handle: &Resource<RequestHead>,
        read: Read,
        value: impl FnOnce(&Request) -> T,
    ) -> wasmtime::Result<T> {
        let value = value(self.request(handle)?);
        self.reads.record(read);
        Ok(value)
    }

    /// The same for something of the client's certificate; None without one.
    fn read_certificate<T>(
        &mut self,
        handle: &Resource<RequestHead>,
        read: Read,
        value: impl FnOnce(&CertificateFacts) -> T,
    ) -> wasmtime::Result<Option<T>> {
        self.read(handle, read, |request| {
            let facts = request.tls.as_deref()?;
            facts.client_certificate.as_deref().map(value)
        })
    }
}

impl Request {
    fn edit(&mut self, edit: Result<Edited, EditError>) -> EditResult {
        if self.head.is_without_http() {
            return Ok(Err(EditError::Forbidden));
        }
        let edit = match edit {
            Ok(edit) => edit,
            Err(error) => return Ok(Err(error)),
        };
        if self.edit_count == MAX_EDITS {
            return Err(Refusal::TooManyEdits(MAX_EDITS).into());
        }
        self.edit_count += 1;
        self.edit_bytes += edit.size();
        if self.edit_bytes > MAX_EDIT_BYTES {
            return Err(Refusal::EditsTooLarge(MAX_EDIT_BYTES).into());
        }
        match edit {
            Edited::Field(edit) => self.edits.fields.push(edit),
            Edited::Host(host) => self.edits.host = Some(host),
            Edited::Target(target) => self.edits.target = Some(target),
        }
        Ok(Ok(()))
    }
}

/// The bytes of a name, a method or a target, which are valid UTF-8.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl request::Host for State {}

impl request::HostRequestHead for State {
    fn method(&mut self, handle: Resource<RequestHead>) -> wasmtime::Result<String> {
        self.read(&handle, Read::Method, |request| text(request.head.method()))
    }

    fn scheme(&mut self, handle: Resource<RequestHead>) -> wasmtime::Result<String> {
        self.read(&handle, Read::Scheme, |request| {
            request.head.scheme().as_str().to_owned()
        })
    }

    fn version(&mut self, handle: Resource<RequestHead>) -> wasmtime::Result<String> {
        self.read(&handle, Read::Version, |request| {
            request.head.version_text().to_owned()
        })
    }

    fn path_with_query(&mut self, handle: Resource<RequestHead>) -> wasmtime::Result<String> {
        self.read(&handle, Read::PathWithQuery, |request| {
            text(request.head.target())
        })
    }

    fn header(
        &mut self,
        handle: Resource<RequestHead>,
        mut name: String,
    ) -> wasmtime::Result<Vec<Vec<u8>>> {
        let fields = self.request(&handle)?.head.fields();
        if !syntax::is_name(name.as_bytes()) {
            // No request has a field of such a name, so there is no read to record.
            return Ok(Vec::new());
        }
        let values = fields.values(name.as_bytes()).map(<[u8]>::to_vec).collect();
        name.make_ascii_lowercase();
        self.reads.record(Read::Header(name.into()));
        Ok(values)
    }

    fn headers(
        &mut self,
        handle: Resource<RequestHead>,
    ) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        self.read(&handle, Read::Headers, |request| {
            let lines = lines::grouped(request.head.fields()).into_iter();
            lines
                .map(|(name, value)| (text(&name.to_ascii_lowercase()), value.to_vec()))
                .collect()
        })
    }

    fn client(&mut self, handle: Resource<RequestHead>) -> wasmtime::Result<request::Client> {
        self.read(&handle, Read::Client, |request| request::Client {
            address: request.client.address.clone(),
            port: request.client.port,
        })
    }

    fn tls(&mut self, handle: Resource<RequestHead>) -> wasmtime::Result<Option<request::Tls>> {
        self.read(&handle, Read::Tls, |request| {
            let facts = request.tls.as_deref()?;
            Some(request::Tls {
                server_name: facts.server_name.as_deref().map(str::to_owned),
                // One of this proxy's own names for protocols.
                alpn: facts.alpn.as_deref().map(text),
            })
        })
    }

    fn client_certificate_subject(&mut self, handle: Resource<RequestHead>) -> OptionalText {
        self.read_certificate(&handle, Read::CertificateSubject, |certificate| {
            certificate.subject.to_string()
        })
    }

    fn client_certificate_issuer(&mut self, handle: Resource<RequestHead>) -> OptionalText {
        self.read_certificate(&handle, Read::CertificateIssuer, |certificate| {
            certificate.issuer.to_string()
        })
    }

    fn client_certificate_names(
        &mut self,
        handle: Resource<RequestHead>,
    ) -> wasmtime::Result<Vec<String>> {
        let names = self.read_certificate(&handle, Read::CertificateNames, |certificate| {
            certificate.names.iter().map(ToString::to_string).collect()
        });
        names.map(Option::unwrap_or_default)
    }

    fn client_certificate_serial(&mut self, handle: Resource<RequestHead>) -> OptionalText {
        self.read_certificate(&handle, Read::CertificateSerial, |certificate| {
            certificate.serial.to_string()
        })
    }

    fn client_certificate_sha256(&mut self, handle: Resource<RequestHead>) -> OptionalText {
        self.read_certificate(&handle, Read::CertificateSha256, |certificate| {
            certificate.sha256.to_string()
        })
    }

    fn client_certificate_not_after(
        &mut self,
        handle: Resource<RequestHead>,
    ) -> wasmtime::Result<Option<u64>> {
        let read = Read::CertificateNotAfter;
        self.read_certificate(&handle, read, CertificateFacts::not_after)
    }

    fn attempt(&mut self, handle: Resource<RequestHead>) -> wasmtime::Result<u32> {
        self.read(&handle, Read::Attempt, |request| request.attempt)
    }

    fn set_header(
        &mut self,
        handle: Resource<RequestHead>,
        name: String,
        value: Vec<u8>,
    ) -> EditResult {
        let edit = convert::set_header(name, &value);
        self.request(&handle)?.edit(edit)
    }

    fn append_header(
        &mut self,
        handle: Resource<RequestHead>,
        name: String,
        value: Vec<u8>,
    ) -> EditResult {
        let edit = convert::append_header(name, &value);
        self.request(&handle)?.edit(edit)
    }

    fn remove_header(&mut self, handle: Resource<RequestHead>, name: String) -> EditResult {
        let edit = convert::remove_header(name);
        self.request(&handle)?.edit(edit)
    }

    fn set_path_with_query(&mut self, handle: Resource<RequestHead>, value: String) -> EditResult {
        let edit = convert::set_target(value);
        self.request(&handle)?.edit(edit)
    }

    fn drop(&mut self, _handle: Resource<RequestHead>) -> wasmtime::Result<()> {
        self.handles = self.handles.saturating_sub(1);
        Ok(())
    }
}

impl backends::Host for State {
    fn state(&mut self, name: String) -> wasmtime::Result<Option<backends::BackendState>> {
        // A state that `configure` saw would be remembered for as long as the instance lives.
        // Without a request it is what it is to begin with, always the same.
        if self.request.is_none() {
            let servers = self.backends.servers(&name);
            return Ok(servers.map(|servers| backends::BackendState {
                usable_servers: servers,
                active: 0,
                queued: 0,
            }));
        }
        self.reads.forbid_caching();
        let state = self.backends.state(&name);
        Ok(state.map(|state| backends::BackendState {
            usable_servers: state.usable_servers,
            active: state.active,
            queued: state.queued,
        }))
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => Level::TRACE,
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        self.log.write(level, &message);
        Ok(())
    }
}
