//! What a read gives for a request, as bytes that are equal where a plugin sees the same.

use crate::http::head::{CertificateFacts, Client, TlsFacts};
use crate::http::message::RequestHead;
use crate::plugin::{self, Read, Request};

/// All that a plugin can read of a request.
#[derive(Debug, Clone, Copy)]
pub(in crate::router) struct Facts<'a> {
    pub(in crate::router) head: &'a RequestHead,
    pub(in crate::router) client: &'a Client,
    /// None without TLS.
    pub(in crate::router) tls: Option<&'a TlsFacts>,
    /// Backends tried before.
    pub(in crate::router) attempt: u32,
}

impl<'a> Facts<'a> {
    /// Those of `request`.
    pub(in crate::router) fn of(request: &'a Request<'_>) -> Facts<'a> {
        Facts {
            head: request.head,
            client: request.client,
            tls: request.tls.map(|facts| &**facts),
            attempt: request.attempt,
        }
    }

    /// Writes the value of `read`, and nothing else, to `value`.
    ///
    /// Two requests give the same bytes exactly if a plugin that makes this read gets the
    /// same from both: lists have the length of each element before it.
    pub(super) fn value_of(self, read: &Read, value: &mut Vec<u8>) {
        value.clear();
        let head = self.head;
        match read {
            Read::Method => value.extend_from_slice(head.method()),
            Read::Scheme => value.extend_from_slice(head.scheme().as_str().as_bytes()),
            Read::Version => value.extend_from_slice(head.version_text().as_bytes()),
            Read::PathWithQuery => value.extend_from_slice(head.target()),
            Read::Header(name) => {
                for line in head.fields().values(name.as_bytes()) {
                    push(value, line);
                }
            }
            Read::Headers => {
                for (name, line) in plugin::grouped(head.fields()) {
                    push(value, name);
                    let start = value.len() - name.len();
                    value[start..].make_ascii_lowercase();
                    push(value, line);
                }
            }
            Read::Client => {
                value.extend_from_slice(&self.client.port.to_ne_bytes());
                value.extend_from_slice(self.client.address.as_bytes());
            }
            Read::Tls => {
                if let Some(facts) = self.tls {
                    let name = facts.server_name.as_deref();
                    push_option(value, name.map(str::as_bytes));
                    push_option(value, facts.alpn.as_deref());
                }
            }
            Read::CertificateSubject => {
                push_option(value, self.of_certificate(|facts| facts.subject.as_bytes()));
            }
            Read::CertificateIssuer => {
                push_option(value, self.of_certificate(|facts| facts.issuer.as_bytes()));
            }
            Read::CertificateNames => {
                let names = self.of_certificate(|facts| &facts.names[..]);
                for name in names.unwrap_or_default() {
                    push(value, name.as_bytes());
                }
            }
            Read::CertificateSerial => {
                push_option(value, self.of_certificate(|facts| facts.serial.as_bytes()));
            }
            Read::CertificateSha256 => {
                push_option(value, self.of_certificate(|facts| facts.sha256.as_bytes()));
            }
            Read::CertificateNotAfter => {
                let seconds = self.of_certificate(CertificateFacts::not_after);
                let bytes = seconds.map(u64::to_ne_bytes);
                push_option(value, bytes.as_ref().map(<[u8; 8]>::as_slice));
            }
            Read::Attempt => value.extend_from_slice(&self.attempt.to_ne_bytes()),
        }
    }

    /// A part of the client's certificate; None without one.
    fn of_certificate<T>(self, part: impl FnOnce(&'a CertificateFacts) -> T) -> Option<T> {
        self.tls?.client_certificate.as_deref().map(part)
    }
}

fn push(value: &mut Vec<u8>, element: &[u8]) {
    value.extend_from_slice(&element.len().to_ne_bytes());
    value.extend_from_slice(element);
}

/// None gives other bytes than an element that is empty.
fn push_option(value: &mut Vec<u8>, element: Option<&[u8]>) {
    value.push(u8::from(element.is_some()));
    push(value, element.unwrap_or_default());
}
