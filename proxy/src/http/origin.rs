//! The origin of a request, as a trusted proxy describes it: the client's address and scheme.
//!
//! Each proxy appends a description of its own peer. A list is therefore read from its right end,
//! and only as far as trusted proxies have written it. Pure; called once for each request of a
//! trusted peer.

mod forwarded;
mod node;

use std::net::IpAddr;

use super::field::{FieldKind, HeaderFlags};
use super::fields::Fields;
use super::message::Scheme;

/// A request's origin. A field is `None` if no credible value was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client in canonical form: IPv4-mapped addresses are IPv4.
    pub client: Option<IpAddr>,
    /// The scheme that the client used.
    pub scheme: Option<Scheme>,
}

impl Origin {
    /// Reads `X-Forwarded-For` and `X-Forwarded-Proto`, or `Forwarded` (RFC 7239) if there are no
    /// `X-Forwarded-*` fields.
    ///
    /// `X-Forwarded-*` wins because proxies that add to it pass on an untrusted sender's
    /// `Forwarded` unchanged. nginx, HAProxy and Envoy do so by default.
    ///
    /// The client is the rightmost address that is not a trusted proxy's, or the leftmost if all
    /// are. A member that is not an address ends the list, because anyone could have written those
    /// before it. The peer itself must be trusted.
    pub fn of(fields: &Fields, is_trusted: impl Fn(&IpAddr) -> bool) -> Origin {
        let flags = fields.flags();
        if flags.intersects(HeaderFlags::X_FORWARDED) {
            Origin {
                client: rightmost(fields, is_trusted),
                scheme: last_scheme(fields),
            }
        } else if flags.has(FieldKind::Forwarded) {
            forwarded(fields, is_trusted)
        } else {
            Origin::default()
        }
    }
}

/// Returns the scheme in the last member of `X-Forwarded-Proto`.
pub(super) fn last_scheme(fields: &Fields) -> Option<Scheme> {
    let line = lines_from_right(fields, FieldKind::XForwardedProto).next()?;
    node::scheme(members_from_right(line).next()?)
}

fn rightmost(fields: &Fields, is_trusted: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let mut client = None;
    let lines = lines_from_right(fields, FieldKind::XForwardedFor);
    for member in lines.flat_map(members_from_right) {
        let Some(address) = node::address(member) else {
            break;
        };
        client = Some(address);
        if !is_trusted(&address) {
            break;
        }
    }
    client
}

fn forwarded(fields: &Fields, is_trusted: impl Fn(&IpAddr) -> bool) -> Origin {
    let mut origin = Origin::default();
    let lines = lines_from_right(fields, FieldKind::Forwarded);
    for element in lines.flat_map(forwarded::elements_from_right) {
        let Some(element) = forwarded::Element::parse(element) else {
            break;
        };
        // Of the elements that trusted proxies wrote, the one farthest from this proxy describes
        // the client.
        origin.scheme = element.scheme.or(origin.scheme);
        let Some(address) = element.node else {
            break;
        };
        origin.client = Some(address);
        if !is_trusted(&address) {
            break;
        }
    }
    origin
}

fn lines_from_right(fields: &Fields, kind: FieldKind) -> impl Iterator<Item = &[u8]> {
    let lines = fields.received().iter().rev();
    let lines = lines.filter(move |line| line.kind() == kind);
    lines.map(|line| fields.text(line.value()))
}

/// Returns the members from right to left. Skips empty ones, which mean nothing (RFC 9110, section
/// 5.6.1.2).
fn members_from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let members = line.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    members.filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests;
