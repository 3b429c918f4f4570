//! The simulated request of `pointsman route`, in the form that the frontend would receive.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::Flags;
use crate::config::Forwarded;
use crate::http::field::FieldKind;
use crate::http::forwarded::{self, Trust};
use crate::http::head::Client;
use crate::http::message::RequestHead;
use crate::http::origin::Origin;
use crate::http1::request::{self, RequestError};
use crate::http1::{Limits, Scan};

/// Returns the request's head in the form that the plugin would receive.
pub(super) fn head(flags: &Flags) -> Result<RequestHead, RequestError> {
    let is_host = |name: &str| FieldKind::of(name.as_bytes()) == FieldKind::Host;
    let (version, host) = if flags.headers.iter().any(|(name, _)| is_host(name)) {
        ("1.1", "")
    } else if flags.target.contains("://") {
        ("1.1", "Host:\r\n")
    } else {
        // The user can leave out Host. Only HTTP/1.0 permits a request without it.
        ("1.0", "")
    };
    let (method, target) = (&flags.method, &flags.target);
    let mut text = format!("{method} {target} HTTP/{version}\r\n{host}");
    for (name, value) in &flags.headers {
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    let mut head = RequestHead::default();
    request::parse(
        text.as_bytes(),
        &Limits::default(),
        &mut Scan::default(),
        &mut head,
    )?;
    Ok(head)
}

/// Returns the client of a direct connection: the peer itself.
pub(super) fn peer(address: IpAddr) -> Arc<Client> {
    Arc::new(Client::named(address.to_canonical()))
}

/// Applies the frontend's rules for forwarded headers to the head, and returns the client.
pub(super) fn describe_origin(
    head: &mut RequestHead,
    settings: &Forwarded,
    peer: IpAddr,
) -> Arc<Client> {
    let peer = peer.to_canonical();
    let trusted = &settings.trusted_proxies;
    let (trust, origin) = if trusted.contains(&peer) {
        let origin = Origin::of(head.fields(), |address| trusted.contains(address));
        (Trust::Trusted, origin)
    } else {
        (Trust::Untrusted, Origin::default())
    };
    head.set_scheme(origin.scheme.unwrap_or(head.scheme()));
    let peer = Client::named(peer);
    let named = origin.client.map(Client::named);
    forwarded::drop_claims(head, trust);
    if settings.x_forwarded {
        let client = named.as_ref().map(|client| client.address.as_bytes());
        forwarded::set_x_forwarded(head, peer.address.as_bytes(), client, trust);
    }
    Arc::new(named.unwrap_or(peer))
}
