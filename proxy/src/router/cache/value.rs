//! What a read gives for a request, as bytes that are equal where a plugin sees the same.

use crate::http::head::Client;
use crate::http::message::RequestHead;
use crate::plugin::{self, Read, Request};

/// All that a plugin can read of a request.
#[derive(Debug, Clone, Copy)]
pub(in crate::router) struct Facts<'a> {
    pub(in crate::router) head: &'a RequestHead,
    pub(in crate::router) client: &'a Client,
    /// Backends tried before.
    pub(in crate::router) attempt: u32,
}

impl<'a> Facts<'a> {
    /// Those of `request`.
    pub(in crate::router) fn of(request: &'a Request<'_>) -> Facts<'a> {
        Facts {
            head: request.head,
            client: request.client,
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
            // The scheme is all that there is to know of a TLS session so far.
            Read::Scheme | Read::Tls => {
                value.extend_from_slice(head.scheme().as_str().as_bytes());
            }
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
            Read::Attempt => value.extend_from_slice(&self.attempt.to_ne_bytes()),
        }
    }
}

fn push(value: &mut Vec<u8>, element: &[u8]) {
    value.extend_from_slice(&element.len().to_ne_bytes());
    value.extend_from_slice(element);
}
