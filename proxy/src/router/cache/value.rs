//! Encodes the value of a read as bytes. They are equal for two requests if and only if a plugin
//! sees the same value.

use crate::http::head::CertificateFacts;
use crate::plugin::{Answers, Backends, BodyPrefix, Read, Request};
use crate::questions::{Questions, Subject, reads};

/// Everything that a plugin can read from a request or ask about it.
#[derive(Debug)]
pub(in crate::router) struct Facts<'a> {
    pub(in crate::router) subject: Subject<'a>,
    /// Number of earlier choices that have failed.
    pub(in crate::router) attempt: u32,
    /// Questions of the plugin.
    pub(in crate::router) questions: &'a Questions,
    pub(in crate::router) answers: &'a mut Answers,
    pub(in crate::router) backends: &'a dyn Backends,
}

impl<'a> Facts<'a> {
    /// Returns the facts of `request`.
    pub(in crate::router) fn of(
        request: &'a mut Request<'_>,
        questions: &'a Questions,
        backends: &'a dyn Backends,
    ) -> Facts<'a> {
        Facts {
            subject: Subject {
                head: request.head,
                client: request.client,
                tls: request.tls.map(|facts| &**facts),
                body: request.body.map(BodyPrefix::as_body),
            },
            attempt: request.attempt,
            questions,
            answers: request.answers,
            backends,
        }
    }

    /// Replaces the contents of `value` by the encoded value of `read`.
    ///
    /// Two requests have the same bytes if and only if the read returns the same result to a plugin
    /// for both. Therefore each element of a list is preceded by its length.
    pub(super) fn value_of(&mut self, read: &Read, value: &mut Vec<u8>) {
        value.clear();
        let head = self.subject.head;
        let tls = self.subject.tls;
        match read {
            Read::Method => value.extend_from_slice(head.method()),
            Read::Scheme => value.extend_from_slice(head.scheme().as_str().as_bytes()),
            Read::Version => value.extend_from_slice(head.version_text().as_bytes()),
            Read::Authority => value.extend_from_slice(reads::authority(head)),
            Read::Host => value.extend_from_slice(reads::host(head).as_bytes()),
            Read::PathWithQuery => value.extend_from_slice(head.target()),
            Read::Path => value.extend_from_slice(head.path()),
            Read::QueryParameter(name) => {
                push_option(
                    value,
                    reads::query_parameter(head, name.as_bytes()).as_deref(),
                );
            }
            Read::Header(name) => {
                for line in reads::header(head, name.as_bytes()) {
                    push(value, line);
                }
            }
            Read::Headers => {
                for (name, line) in reads::headers(head) {
                    push(value, name);
                    push(value, line);
                }
            }
            Read::Cookie(name) => push_option(value, reads::cookie(head, name.as_bytes())),
            Read::ClientAddress => {
                value.extend_from_slice(self.subject.client.address.as_bytes());
            }
            Read::ClientPort => {
                value.extend_from_slice(&self.subject.client.port.to_ne_bytes());
            }
            Read::ServerName => {
                let name = tls.and_then(|facts| facts.server_name.as_deref());
                push_option(value, name.map(str::as_bytes));
            }
            Read::Alpn => push_option(value, tls.and_then(|facts| facts.alpn.as_deref())),
            Read::Attempt => value.extend_from_slice(&self.attempt.to_ne_bytes()),
            Read::Question(number) => self.write_answer(*number, value),
            read => self.write_certificate(read, value),
        }
    }

    #[inline]
    fn write_answer(&mut self, number: u32, value: &mut Vec<u8>) {
        let answer = self
            .answers
            .answer(self.questions, number, self.subject, self.backends);
        answer.write_key(value);
    }

    fn write_certificate(&self, read: &Read, value: &mut Vec<u8>) {
        let text = |part: fn(&'a CertificateFacts) -> &'a str| {
            self.of_certificate(part).map(str::as_bytes)
        };
        match read {
            Read::CertificateSubject => push_option(value, text(|facts| &facts.subject)),
            Read::CertificateIssuer => push_option(value, text(|facts| &facts.issuer)),
            Read::CertificateSerial => push_option(value, text(|facts| &facts.serial)),
            Read::CertificateSha256 => push_option(value, text(|facts| &facts.sha256)),
            Read::CertificateNames => {
                let names = self.of_certificate(|facts| &facts.names[..]);
                for name in names.unwrap_or_default() {
                    push(value, name.as_bytes());
                }
            }
            _ => {
                let seconds = self.of_certificate(CertificateFacts::not_after);
                let bytes = seconds.map(u64::to_ne_bytes);
                push_option(value, bytes.as_ref().map(<[u8; 8]>::as_slice));
            }
        }
    }

    /// Returns a part of the client's certificate; None without a certificate.
    fn of_certificate<T>(&self, part: impl FnOnce(&'a CertificateFacts) -> T) -> Option<T> {
        self.subject.tls?.client_certificate.as_deref().map(part)
    }
}

fn push(value: &mut Vec<u8>, element: &[u8]) {
    value.extend_from_slice(&element.len().to_ne_bytes());
    value.extend_from_slice(element);
}

/// Appends an optional element, encoded so that None differs from an empty element.
fn push_option(value: &mut Vec<u8>, element: Option<&[u8]>) {
    value.push(u8::from(element.is_some()));
    push(value, element.unwrap_or_default());
}
