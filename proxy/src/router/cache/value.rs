//! What a read gives for a request, as bytes that are equal where a plugin sees the same.

use crate::http::head::Head;
use crate::plugin::Read;

/// All that a plugin can read of a request.
#[derive(Debug, Clone, Copy)]
pub(in crate::router) struct Facts<'a> {
    pub(in crate::router) head: &'a Head,
    /// Backends tried before.
    pub(in crate::router) attempt: u32,
}

impl Facts<'_> {
    /// Writes the value of `read`, and nothing else, to `value`.
    ///
    /// Two requests give the same bytes exactly if a plugin that makes this read gets the
    /// same from both: lists have the length of each element before it.
    pub(super) fn value_of(self, read: &Read, value: &mut Vec<u8>) {
        value.clear();
        let head = self.head;
        match read {
            Read::Method => value.extend_from_slice(head.method.as_str().as_bytes()),
            // The scheme is all that there is to know of a TLS session so far.
            Read::Scheme | Read::Tls => {
                value.extend_from_slice(head.scheme.as_str().as_bytes());
            }
            Read::PathWithQuery => {
                value.extend_from_slice(head.path_and_query.as_str().as_bytes());
            }
            Read::Header(name) => {
                for line in head.values(name) {
                    push(value, line);
                }
            }
            Read::Headers => {
                for (name, line) in head.lines() {
                    push(value, name.as_bytes());
                    push(value, line);
                }
            }
            Read::Client => {
                value.extend_from_slice(&head.client.port.to_ne_bytes());
                value.extend_from_slice(head.client.address.as_bytes());
            }
            Read::Attempt => value.extend_from_slice(&self.attempt.to_ne_bytes()),
        }
    }
}

fn push(value: &mut Vec<u8>, element: &[u8]) {
    value.extend_from_slice(&element.len().to_ne_bytes());
    value.extend_from_slice(element);
}
