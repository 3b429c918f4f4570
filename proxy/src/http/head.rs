//! The head of a request, in the form that routing and forwarding share.
//!
//! Made by `request::admit`, read by the plugin, edited by its decision, sent upstream.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method};

/// A request's head after its framing and its target were checked.
#[derive(Debug, Clone)]
pub struct Head {
    /// As sent.
    pub method: Method,
    /// Whether the request came over TLS.
    pub scheme: Scheme,
    /// Origin form, or `*` for `OPTIONS *` (RFC 9112, section 3.2).
    pub path_and_query: PathAndQuery,
    /// Every field as received; `host` holds the target's authority where it had one
    /// (RFC 9112, section 3.2.2).
    pub headers: HeaderMap,
    /// Who sent it: one value for each connection.
    pub client: Arc<Client>,
}

impl Head {
    /// The value of each line of the field `name`, in the order received.
    pub fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.headers
            .get_all(name)
            .into_iter()
            .map(http::HeaderValue::as_bytes)
    }

    /// Every field line: name in lower case, value. Lines of one name stand together.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let lines = self.headers.iter();
        lines.map(|(name, value)| (name.as_str(), value.as_bytes()))
    }

    /// Moves the head out; what stays says nothing. Allocates nothing.
    #[must_use]
    pub fn take(&mut self) -> Head {
        let client = Arc::clone(&self.client);
        std::mem::replace(
            self,
            Head {
                method: Method::GET,
                scheme: Scheme::Http,
                path_and_query: PathAndQuery::from_static("/"),
                headers: HeaderMap::new(),
                client,
            },
        )
    }
}

/// The scheme of the request's target URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Over plain TCP or a Unix socket.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// The peer of a downstream connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// An IP address in text form, or the path of a Unix socket (empty where it has none).
    pub address: String,
    /// 0 for a Unix socket.
    pub port: u16,
}
