//! The functions of `request-head`. Functions that read are implemented here; functions that change
//! something are delegated.

use wasmtime::component::Resource;

use super::{RequestHead, State, text};
use crate::http::head::CertificateFacts;
use crate::http::syntax;
use crate::plugin::run::bindings::pointsman::router::request;
use crate::plugin::run::convert;
use crate::plugin::run::decision::Value;
use crate::plugin::run::draft::{EditResult, TimeoutKind};
use crate::plugin::run::reads::Read;
use crate::questions::reads;

type Handle = Resource<RequestHead>;
type OptionalText = wasmtime::Result<Option<String>>;
type OptionalOctets = wasmtime::Result<Option<Vec<u8>>>;

impl request::Host for State {}

impl State {
    /// Reads part of the client's certificate; None without a certificate.
    fn read_certificate<T>(
        &mut self,
        handle: &Handle,
        read: Read,
        value: impl FnOnce(&CertificateFacts) -> T,
    ) -> wasmtime::Result<Option<T>> {
        self.read(handle, read, |call| {
            let facts = call.tls.as_deref()?;
            facts.client_certificate.as_deref().map(value)
        })
    }
}

impl request::HostRequestHead for State {
    fn method(&mut self, handle: Handle) -> wasmtime::Result<String> {
        self.read(&handle, Read::Method, |call| text(call.head.method()))
    }

    fn scheme(&mut self, handle: Handle) -> wasmtime::Result<String> {
        self.read(&handle, Read::Scheme, |call| {
            call.head.scheme().as_str().to_owned()
        })
    }

    fn version(&mut self, handle: Handle) -> OptionalText {
        self.read(&handle, Read::Version, |call| {
            let version = call.head.version_text();
            (!version.is_empty()).then(|| version.to_owned())
        })
    }

    fn authority(&mut self, handle: Handle) -> wasmtime::Result<Vec<u8>> {
        self.read(&handle, Read::Authority, |call| {
            reads::authority(&call.head).to_vec()
        })
    }

    fn host(&mut self, handle: Handle) -> wasmtime::Result<String> {
        self.read(&handle, Read::Host, |call| {
            reads::host(&call.head).into_owned()
        })
    }

    fn path_with_query(&mut self, handle: Handle) -> wasmtime::Result<String> {
        self.read(&handle, Read::PathWithQuery, |call| {
            text(call.head.target())
        })
    }

    fn path(&mut self, handle: Handle) -> wasmtime::Result<String> {
        self.read(&handle, Read::Path, |call| text(call.head.path()))
    }

    fn query_parameter(&mut self, handle: Handle, name: String) -> OptionalOctets {
        let value = self.call(&handle).map(|call| {
            let value = reads::query_parameter(&call.head, name.as_bytes());
            value.map(std::borrow::Cow::into_owned)
        })?;
        self.reads.record(Read::QueryParameter(name.into()));
        Ok(value)
    }

    fn header(&mut self, handle: Handle, mut name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        let head = &self.call(&handle)?.head;
        if !syntax::is_name(name.as_bytes()) {
            // No request can have a field with an invalid name, so the result does not depend on
            // the request and no read is recorded.
            return Ok(Vec::new());
        }
        let values = reads::header(head, name.as_bytes());
        let values = values.map(<[u8]>::to_vec).collect();
        name.make_ascii_lowercase();
        self.reads.record(Read::Header(name.into()));
        Ok(values)
    }

    fn headers(&mut self, handle: Handle) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        self.read(&handle, Read::Headers, |call| {
            let lines = reads::headers(&call.head);
            lines
                .map(|(name, value)| (text(name), value.to_vec()))
                .collect()
        })
    }

    fn cookie(&mut self, handle: Handle, name: String) -> OptionalOctets {
        let value = self.call(&handle).map(|call| {
            let value = reads::cookie(&call.head, name.as_bytes());
            value.map(<[u8]>::to_vec)
        })?;
        self.reads.record(Read::Cookie(name.into()));
        Ok(value)
    }

    fn client_address(&mut self, handle: Handle) -> wasmtime::Result<String> {
        self.read(&handle, Read::ClientAddress, |call| {
            call.client.address.clone()
        })
    }

    fn client_port(&mut self, handle: Handle) -> wasmtime::Result<u16> {
        self.read(&handle, Read::ClientPort, |call| call.client.port)
    }

    fn server_name(&mut self, handle: Handle) -> OptionalText {
        self.read(&handle, Read::ServerName, |call| {
            let name = call.tls.as_deref()?.server_name.as_deref()?;
            Some(name.to_owned())
        })
    }

    fn alpn(&mut self, handle: Handle) -> OptionalText {
        self.read(&handle, Read::Alpn, |call| {
            // ALPN selects a protocol name that this proxy offered, so the name is ASCII.
            call.tls.as_deref()?.alpn.as_deref().map(text)
        })
    }

    fn client_certificate_subject(&mut self, handle: Handle) -> OptionalText {
        self.read_certificate(&handle, Read::CertificateSubject, |certificate| {
            certificate.subject.to_string()
        })
    }

    fn client_certificate_issuer(&mut self, handle: Handle) -> OptionalText {
        self.read_certificate(&handle, Read::CertificateIssuer, |certificate| {
            certificate.issuer.to_string()
        })
    }

    fn client_certificate_names(&mut self, handle: Handle) -> wasmtime::Result<Vec<String>> {
        let names = self.read_certificate(&handle, Read::CertificateNames, |certificate| {
            certificate.names.iter().map(ToString::to_string).collect()
        });
        names.map(Option::unwrap_or_default)
    }

    fn client_certificate_serial(&mut self, handle: Handle) -> OptionalText {
        self.read_certificate(&handle, Read::CertificateSerial, |certificate| {
            certificate.serial.to_string()
        })
    }

    fn client_certificate_sha256(&mut self, handle: Handle) -> OptionalText {
        self.read_certificate(&handle, Read::CertificateSha256, |certificate| {
            certificate.sha256.to_string()
        })
    }

    fn client_certificate_not_after(&mut self, handle: Handle) -> wasmtime::Result<Option<u64>> {
        let read = Read::CertificateNotAfter;
        self.read_certificate(&handle, read, CertificateFacts::not_after)
    }

    fn attempt(&mut self, handle: Handle) -> wasmtime::Result<u32> {
        self.read(&handle, Read::Attempt, |call| call.attempt)
    }

    fn body_prefix(&mut self, handle: Handle) -> OptionalOctets {
        self.reads.forbid_caching();
        let call = self.call(&handle)?;
        Ok(call.body.as_ref().map(|body| body.bytes.to_vec()))
    }

    fn body_is_complete(&mut self, handle: Handle) -> wasmtime::Result<bool> {
        self.reads.forbid_caching();
        let call = self.call(&handle)?;
        Ok(call.body.as_ref().is_some_and(|body| body.is_complete))
    }

    fn ask(&mut self, handle: Handle, question: u32) -> wasmtime::Result<Option<u32>> {
        self.ask_number(&handle, question)
    }

    fn ask_value(&mut self, handle: Handle, question: u32) -> OptionalOctets {
        self.ask_octets(&handle, question)
    }

    fn set_header(&mut self, handle: Handle, name: String, value: Vec<u8>) -> EditResult {
        self.edit(&handle, |draft| {
            draft.edit(convert::set_header(&name, &value))
        })
    }

    fn set_header_by(&mut self, handle: Handle, name: String, question: u32) -> EditResult {
        self.check_value_question(question)?;
        self.edit(&handle, |draft| draft.set_header_by(&name, question))
    }

    fn append_header(&mut self, handle: Handle, name: String, value: Vec<u8>) -> EditResult {
        self.edit(&handle, |draft| {
            draft.edit(convert::append_header(&name, &value))
        })
    }

    fn remove_header(&mut self, handle: Handle, name: String) -> EditResult {
        self.edit(&handle, |draft| draft.edit(convert::remove_header(&name)))
    }

    fn set_authority(&mut self, handle: Handle, value: Vec<u8>) -> EditResult {
        self.edit(&handle, |draft| draft.edit(convert::set_authority(&value)))
    }

    fn set_path_with_query(&mut self, handle: Handle, value: String) -> EditResult {
        self.edit(&handle, |draft| draft.edit(convert::set_target(&value)))
    }

    fn replace_path_prefix(
        &mut self,
        handle: Handle,
        length: u32,
        replacement: String,
    ) -> EditResult {
        self.edit(&handle, |draft| {
            draft.edit(convert::replace_path_prefix(length, &replacement))
        })
    }

    fn set_response_header(&mut self, handle: Handle, name: String, value: Vec<u8>) -> EditResult {
        self.edit(&handle, |draft| {
            draft.edit_response(convert::set_response_header(&name, &value))
        })
    }

    fn append_response_header(
        &mut self,
        handle: Handle,
        name: String,
        value: Vec<u8>,
    ) -> EditResult {
        self.edit(&handle, |draft| {
            draft.edit_response(convert::append_response_header(&name, &value))
        })
    }

    fn remove_response_header(&mut self, handle: Handle, name: String) -> EditResult {
        self.edit(&handle, |draft| {
            draft.edit_response(convert::remove_response_header(&name))
        })
    }

    fn set_affinity(&mut self, handle: Handle, key: Vec<u8>) -> wasmtime::Result<()> {
        let draft = &mut self.call(&handle)?.draft;
        draft.set_affinity(Value::Fixed(key.into()))
    }

    fn set_affinity_by(&mut self, handle: Handle, question: u32) -> wasmtime::Result<()> {
        self.check_value_question(question)?;
        let draft = &mut self.call(&handle)?.draft;
        draft.set_affinity(Value::By(question))
    }

    fn set_queue_timeout(&mut self, handle: Handle, milliseconds: u32) -> wasmtime::Result<()> {
        self.set_timeout(&handle, TimeoutKind::Queue, milliseconds)
    }

    fn set_connect_timeout(&mut self, handle: Handle, milliseconds: u32) -> wasmtime::Result<()> {
        self.set_timeout(&handle, TimeoutKind::Connect, milliseconds)
    }

    fn set_server_timeout(&mut self, handle: Handle, milliseconds: u32) -> wasmtime::Result<()> {
        self.set_timeout(&handle, TimeoutKind::Server, milliseconds)
    }

    fn set_tunnel_timeout(&mut self, handle: Handle, milliseconds: u32) -> wasmtime::Result<()> {
        self.set_timeout(&handle, TimeoutKind::Tunnel, milliseconds)
    }

    fn set_tries(&mut self, handle: Handle, tries: u32) -> wasmtime::Result<()> {
        self.call(&handle)?.draft.set_tries(tries)
    }

    fn tag(&mut self, handle: Handle, name: String, value: String) -> wasmtime::Result<()> {
        let value = Value::Fixed(value.into_bytes().into());
        self.call(&handle)?.draft.tag(&name, value)
    }

    fn tag_by(&mut self, handle: Handle, name: String, question: u32) -> wasmtime::Result<()> {
        self.check_value_question(question)?;
        self.call(&handle)?.draft.tag(&name, Value::By(question))
    }

    fn drop(&mut self, _handle: Handle) -> wasmtime::Result<()> {
        self.handles = self.handles.saturating_sub(1);
        Ok(())
    }
}
